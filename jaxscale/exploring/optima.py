"""Best plans of a question for other targets and other demands, many at a time."""

from functools import partial
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from jaxscale._numerics.compiled import compiled
from jaxscale.costs import Costs, Demand
from jaxscale.exploring.reading import Asked
from jaxscale.plan import Bounds, Plan, evaluate
from jaxscale.solve import compute_optimal, minimize_cost, minimize_loss

Numbers = NDArray[np.float64]

POINTS = 31  # along a curve: all of one length, so that one program serves them


def law_and_draws(law: Any, draws: Any = None) -> Any:
    """The law at each of POINTS, and with what its runs allow besides along an axis before it."""
    if draws is None:
        return jax.tree.map(lambda x: np.full((1, POINTS), float(x)), law)
    return jax.tree.map(lambda x, more: np.append(float(x), np.asarray(more))[:, None], law, draws)


def losses_of_models(laws: Any, params: Any, tokens: Any, levers: dict[str, float]) -> Numbers:
    """Losses by each law, of `law_and_draws`, of POINTS models; compute-optimal without tokens."""
    with jax.enable_x64(True):
        return np.array(_losses(laws, params, tokens, levers))


@compiled
def _losses(laws: Any, params: Any, tokens: Any, levers: dict[str, Any]) -> Any:
    if tokens is None:
        tokens = compute_optimal(laws, params=params, levers=levers).tokens
    return evaluate(laws, params, tokens, levers=levers).loss


def best_plans(asked: Asked, laws: Any, targets: Any, demand: Demand) -> Plan:
    """The best plans by each law, of `law_and_draws`, at each of POINTS targets and demands.

    Targets are budgets where the question is one of a budget, else losses. On the host.
    """
    is_loss = asked.quality.budget is None
    row = (1, POINTS)
    demand = jax.tree.map(lambda x: np.broadcast_to(np.float64(x), row), demand)
    targets = np.broadcast_to(targets, np.broadcast_shapes(np.shape(targets), row))
    with jax.enable_x64(True):
        plans = _best(is_loss, laws, targets, demand, asked.costs, asked.bounds, asked.levers)
    return jax.tree.map(np.asarray, plans)


@partial(compiled, static=1)
def _best(
    is_loss: bool,
    laws: Any,
    targets: Any,
    demand: Demand,
    costs: Costs,
    bounds: Bounds | None,
    levers: dict[str, Any],
) -> Plan:
    solve = minimize_cost if is_loss else minimize_loss
    return solve(laws, targets, demand, costs, bounds, levers=levers)
