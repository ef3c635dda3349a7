"""Training in time: days on a number of devices, devices for a deadline, and the batch's limit."""

from jaxscale.training.data_parallel import TOKENS_PER_DEVICE as TOKENS_PER_DEVICE
from jaxscale.training.data_parallel import DataParallelTraining as DataParallelTraining
from jaxscale.training.data_parallel import data_parallel_devices as data_parallel_devices
from jaxscale.training.data_parallel import data_parallel_time as data_parallel_time
from jaxscale.training.data_parallel import most_devices as most_devices
from jaxscale.training.data_parallel import tokens_per_device as tokens_per_device
from jaxscale.training.time import devices_for as devices_for
from jaxscale.training.time import training_time as training_time
