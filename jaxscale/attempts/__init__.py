"""Repeated sampling: what more attempts at inference gain, and what they cost."""

from jaxscale.attempts.coverage import BetaCoverage as BetaCoverage
from jaxscale.attempts.coverage import PowerCoverage as PowerCoverage
from jaxscale.attempts.coverage import pass_at_k as pass_at_k
from jaxscale.attempts.coverage import power_coverage as power_coverage
from jaxscale.attempts.demand import demand_of_attempts as demand_of_attempts
from jaxscale.attempts.failure import failure_rate as failure_rate
from jaxscale.attempts.joint import minimize_cost_for_success as minimize_cost_for_success
from jaxscale.attempts.required import loss_for_success as loss_for_success
