"""How large a language model should be, and how long to train it, once serving is counted."""

from jaxscale import hardware as hardware
from jaxscale import laws as laws
from jaxscale.costs import Costs as Costs
from jaxscale.costs import Demand as Demand
from jaxscale.hardware import accelerator as accelerator
from jaxscale.plan import Bounds as Bounds
from jaxscale.plan import Plan as Plan
from jaxscale.plan import evaluate as evaluate
from jaxscale.solve import minimize_cost as minimize_cost
from jaxscale.solve import minimize_loss as minimize_loss
from jaxscale.status import Status as Status
