"""Reducers: statistics of fields that are gathered without storing the fields."""

from jaxscale.sweeping.reducers.counts import Histogram as Histogram
from jaxscale.sweeping.reducers.counts import StatusCounts as StatusCounts
from jaxscale.sweeping.reducers.effects import MainEffects as MainEffects
from jaxscale.sweeping.reducers.extremes import Extremes as Extremes
from jaxscale.sweeping.reducers.extremes import TopK as TopK
from jaxscale.sweeping.reducers.indices import SobolIndices as SobolIndices
from jaxscale.sweeping.reducers.moments import Moments as Moments
from jaxscale.sweeping.reducers.quantiles import Quantiles as Quantiles
