"""Statistics of a sweep: what can be gathered of a field without keeping it."""

from jaxscale.sweeping.reducing.effects import MainEffects as MainEffects
from jaxscale.sweeping.reducing.extremes import Extremes as Extremes
from jaxscale.sweeping.reducing.histogram import Histogram as Histogram
from jaxscale.sweeping.reducing.moments import Moments as Moments
from jaxscale.sweeping.reducing.quantiles import Quantiles as Quantiles
from jaxscale.sweeping.reducing.statuses import StatusCounts as StatusCounts
from jaxscale.sweeping.reducing.top import TopK as TopK
