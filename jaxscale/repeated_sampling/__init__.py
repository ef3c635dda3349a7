"""Repeated sampling: the gain and the cost of more attempts at inference."""

from jaxscale.repeated_sampling.cost import demand_of_attempts as demand_of_attempts
from jaxscale.repeated_sampling.cost import loss_for_success as loss_for_success
from jaxscale.repeated_sampling.cost import minimize_cost_for_success as minimize_cost_for_success
from jaxscale.repeated_sampling.coverage import BetaCoverage as BetaCoverage
from jaxscale.repeated_sampling.coverage import PowerCoverage as PowerCoverage
from jaxscale.repeated_sampling.coverage import failure_rate as failure_rate
from jaxscale.repeated_sampling.coverage import pass_at_k as pass_at_k
from jaxscale.repeated_sampling.coverage import power_coverage as power_coverage
