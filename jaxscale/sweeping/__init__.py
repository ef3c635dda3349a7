"""Scenarios by the million: spaces that are never made in full, run in chunks on every device."""

from jaxscale.sweeping._sweep import sweep as sweep
from jaxscale.sweeping.axes import geomspace as geomspace
from jaxscale.sweeping.axes import linspace as linspace
from jaxscale.sweeping.distributions import choice as choice
from jaxscale.sweeping.distributions import lognormal as lognormal
from jaxscale.sweeping.distributions import loguniform as loguniform
from jaxscale.sweeping.distributions import normal as normal
from jaxscale.sweeping.distributions import rows as rows
from jaxscale.sweeping.distributions import triangular as triangular
from jaxscale.sweeping.distributions import uniform as uniform
from jaxscale.sweeping.reducers import Extremes as Extremes
from jaxscale.sweeping.reducers import Histogram as Histogram
from jaxscale.sweeping.reducers import MainEffects as MainEffects
from jaxscale.sweeping.reducers import Moments as Moments
from jaxscale.sweeping.reducers import Quantiles as Quantiles
from jaxscale.sweeping.reducers import StatusCounts as StatusCounts
from jaxscale.sweeping.reducers import TopK as TopK
from jaxscale.sweeping.spaces import Grid as Grid
from jaxscale.sweeping.spaces import Sample as Sample
from jaxscale.sweeping.spaces import Sobol as Sobol
from jaxscale.sweeping.store.store import StoreError as StoreError
