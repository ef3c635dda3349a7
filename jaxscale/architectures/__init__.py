"""A transformer's shape, with the parameters, FLOPs and bytes that follow, and published shapes."""

from jaxscale.architectures import pearce as pearce
from jaxscale.architectures.architecture import BYTES_PER_NUMBER as BYTES_PER_NUMBER
from jaxscale.architectures.architecture import Architecture as Architecture
from jaxscale.architectures.architecture import chinchilla_params as chinchilla_params
from jaxscale.architectures.architecture import kv_cache_bytes as kv_cache_bytes
from jaxscale.architectures.architecture import optimizer_bytes as optimizer_bytes
from jaxscale.architectures.architecture import report as report
from jaxscale.architectures.architecture import training_bytes as training_bytes
from jaxscale.architectures.architecture import weight_bytes as weight_bytes
from jaxscale.architectures.counts import COUNTS as COUNTS
from jaxscale.architectures.exact_flops import ExactFlops as ExactFlops
from jaxscale.architectures.exact_flops import flops_over_rule as flops_over_rule
from jaxscale.architectures.exact_flops import params_of as params_of
from jaxscale.architectures.exact_flops import with_exact_flops as with_exact_flops
from jaxscale.architectures.family import CHINCHILLA as CHINCHILLA
from jaxscale.architectures.family import LLAMA as LLAMA
from jaxscale.architectures.family import Family as Family
from jaxscale.architectures.files import catalog as catalog
from jaxscale.architectures.files import entry as entry
from jaxscale.architectures.files import published as published
from jaxscale.architectures.files import read as read
