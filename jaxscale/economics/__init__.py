"""Money, time and risk: what quality is worth, what machines cost, and what doubt costs."""

from jaxscale.economics.deadline import PricedTraining as PricedTraining
from jaxscale.economics.deadline import best_devices as best_devices
from jaxscale.economics.deadline import deadlines as deadlines
from jaxscale.economics.facts import MachineFacts as MachineFacts
from jaxscale.economics.facts import machine_facts as machine_facts
from jaxscale.economics.failures import LLAMA_3_FAILURE_SECONDS as LLAMA_3_FAILURE_SECONDS
from jaxscale.economics.failures import Checkpointing as Checkpointing
from jaxscale.economics.failures import checkpoint_interval as checkpoint_interval
from jaxscale.economics.failures import goodput as goodput
from jaxscale.economics.implied import ImpliedDemand as ImpliedDemand
from jaxscale.economics.implied import implied_demand as implied_demand
from jaxscale.economics.machines import Spot as Spot
from jaxscale.economics.machines import owned as owned
from jaxscale.economics.machines import rental as rental
from jaxscale.economics.machines import spot as spot
from jaxscale.economics.power import Energy as Energy
from jaxscale.economics.power import carbon as carbon
from jaxscale.economics.power import energy as energy
from jaxscale.economics.power import kilowatts as kilowatts
from jaxscale.economics.regret import ExpectedRegret as ExpectedRegret
from jaxscale.economics.regret import expected_regret as expected_regret
from jaxscale.economics.released import Release as Release
from jaxscale.economics.released import ReleasesExplained as ReleasesExplained
from jaxscale.economics.released import implied_by_releases as implied_by_releases
from jaxscale.economics.released import release as release
from jaxscale.economics.released import releases as releases
