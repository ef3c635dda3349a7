"""Solvers: the cheapest plan for a loss, and the best plan for a budget."""

from jaxscale.solve.cost import minimize_cost as minimize_cost
from jaxscale.solve.loss import minimize_loss as minimize_loss
from jaxscale.solve.overhead import Overhead as Overhead
from jaxscale.solve.overhead import overhead as overhead
