"""Money, time and risk: what quality is worth, what machines cost, and what doubt costs."""

from jaxscale.economics.implied import ImpliedDemand as ImpliedDemand
from jaxscale.economics.implied import implied_demand as implied_demand
from jaxscale.economics.released import Release as Release
from jaxscale.economics.released import ReleasesExplained as ReleasesExplained
from jaxscale.economics.released import implied_by_releases as implied_by_releases
from jaxscale.economics.released import release as release
from jaxscale.economics.released import releases as releases
