"""Money, time and risk: what quality is worth, what machines cost, and what doubt costs."""

from jaxscale.economics.facts import MachineFacts as MachineFacts
from jaxscale.economics.facts import machine_facts as machine_facts
from jaxscale.economics.failures import LLAMA_3_FAILURE_SECONDS as LLAMA_3_FAILURE_SECONDS
from jaxscale.economics.failures import Checkpointing as Checkpointing
from jaxscale.economics.failures import checkpoint_interval as checkpoint_interval
from jaxscale.economics.failures import goodput as goodput
from jaxscale.economics.machines import Spot as Spot
from jaxscale.economics.machines import owned as owned
from jaxscale.economics.machines import rental as rental
from jaxscale.economics.machines import spot as spot
from jaxscale.economics.power import Energy as Energy
from jaxscale.economics.power import carbon as carbon
from jaxscale.economics.power import energy as energy
from jaxscale.economics.power import kilowatts as kilowatts
