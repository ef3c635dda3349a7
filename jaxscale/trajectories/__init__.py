"""Loss curves: laws over the steps of a training, its schedule, and the end from the start."""

from jaxscale.trajectories.curves import Curve as Curve
from jaxscale.trajectories.curves import Curves as Curves
from jaxscale.trajectories.early_power import EarlyPower as EarlyPower
from jaxscale.trajectories.momentum import Momentum as Momentum
from jaxscale.trajectories.multi_power import MultiPower as MultiPower
from jaxscale.trajectories.schedules import Schedule as Schedule
