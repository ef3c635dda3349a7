"""Solvers: the cheapest plan for a loss, and the best plan for a budget."""

from jaxscale.solve.frontier import Overhead as Overhead
from jaxscale.solve.frontier import compute_optimal as compute_optimal
from jaxscale.solve.frontier import overhead as overhead
from jaxscale.solve.frontier import size_intervals as size_intervals
from jaxscale.solve.intervals import plan_intervals as plan_intervals
from jaxscale.solve.minimize import minimize_cost as minimize_cost
from jaxscale.solve.minimize import minimize_loss as minimize_loss
