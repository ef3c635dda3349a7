"""Solvers: the cheapest plan for a loss, and the best plan for a budget."""

from jaxscale.solve._overhead import Overhead as Overhead
from jaxscale.solve._overhead import overhead as overhead
from jaxscale.solve._size_intervals import size_intervals as size_intervals
from jaxscale.solve.cost import minimize_cost as minimize_cost
from jaxscale.solve.frontier import compute_optimal as compute_optimal
from jaxscale.solve.loss import minimize_loss as minimize_loss
