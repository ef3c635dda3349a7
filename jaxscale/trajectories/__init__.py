"""Loss curves: laws over the steps of a training, its schedule, and the end from the start."""

from jaxscale.trajectories._extrapolate import Extrapolation as Extrapolation
from jaxscale.trajectories._extrapolate import extrapolate as extrapolate
from jaxscale.trajectories._optimal import optimal_schedule as optimal_schedule
from jaxscale.trajectories._published import catalog as catalog
from jaxscale.trajectories._published import entry as entry
from jaxscale.trajectories._published import published as published
from jaxscale.trajectories.curves import Curve as Curve
from jaxscale.trajectories.curves import Curves as Curves
from jaxscale.trajectories.early_power import EarlyPower as EarlyPower
from jaxscale.trajectories.kaplan_curve import KAPLAN_CURVE as KAPLAN_CURVE
from jaxscale.trajectories.kaplan_curve import KaplanCurve as KaplanCurve
from jaxscale.trajectories.momentum import Momentum as Momentum
from jaxscale.trajectories.multi_power import MultiPower as MultiPower
from jaxscale.trajectories.schedules import Schedule as Schedule
