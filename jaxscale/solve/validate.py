# pyright: reportUnknownMemberType=false
"""Checks of inputs before a plan is solved, and of the plan before it says OK.

The latter do not depend on how the answer was found, so they catch a search that went wrong.
"""

from typing import TypeAlias

import jax.numpy as jnp
from jax import Array, lax

from jaxscale._numerics.typed import epsilon
from jaxscale._numerics.values import is_finite, is_normal
from jaxscale.costs import Costs, Demand
from jaxscale.laws import protocol
from jaxscale.laws.inverse import loss_tolerance
from jaxscale.plan import Bounds, Sizes
from jaxscale.solve.newton import Inputs, cost_over_budget, floor_of, params_of_equal_cost
from jaxscale.status import Status, first_status

Case: TypeAlias = tuple[Array, Status]  # a condition, and the status where it holds

# How far to either side a plan of the same cost is compared, in ln(tokens).
OFFSETS = (0.05, 1.0, 8.0)
# In epsilons: losses closer than this count as equal; and what logarithms of a hundred or so lose
# of a size or a cost.
SAME_LOSS = 64.0
SAME_SIZE = 4096.0


# --- Before solving --------------------------------------------------------------------------


def is_valid(inputs: Inputs, bounds: Bounds | None) -> Array:
    """Whether all inputs but the target are numbers of the right sign, in each lane."""
    valid = protocol.is_valid(inputs.law) & protocol.are_finite(inputs.levers)
    valid &= inputs.demand.is_valid() & inputs.costs.is_valid()
    return valid if bounds is None else valid & bounds.is_valid()


def costs_fit(demand: Demand, costs: Costs) -> Array:
    """Whether the cost of training, and the demand at that cost, keep within their dtype."""
    fits = is_normal(4 / costs.train) & is_finite(8 * costs.train)
    return fits & is_finite(costs.effective_demand(demand))


def outcome(*cases: Case) -> tuple[Array, Array]:
    """Status of the first condition that holds, and whether none does."""
    # Not `is_ok(status)`: XLA would carry bytes through every loop that needs one bit.
    failed = cases[0][0]
    for condition, _ in cases[1:]:
        failed |= condition
    return first_status(*cases), ~failed


# --- After solving ---------------------------------------------------------------------------


def is_verified(at_loss: bool, inputs: Inputs, bounds: Bounds, sizes: Sizes) -> Array:
    """Whether sizes meet their target within the bounds, and no neighbor is better.

    `inputs` and `bounds` are aligned. Not for differentiation. Meaningless where not ok.
    """
    inputs, bounds, sizes = lax.stop_gradient((inputs, bounds, sizes))
    x, y = (jnp.where(is_finite(z), z, 0) for z in (sizes.log_params, sizes.log_tokens))
    at_corner = sizes.status == int(Status.AT_CORNER)
    met = meets_target(at_loss, inputs, x, y, at_corner)
    inside = _are_within(bounds, x, y, SAME_SIZE * epsilon(x))
    return met & inside & ~_has_better_neighbor(inputs, bounds, x, y)


def meets_target(
    at_loss: bool, inputs: Inputs, x: Array, y: Array, at_corner: Array | bool = False
) -> Array:
    """Whether log params x and log tokens y meet the target, neither more nor less.

    A corner may do better.
    """
    if at_loss:
        loss = inputs.loss_of_all_tokens(x, y)
        over = loss - inputs.target
        tolerance = loss_tolerance(loss, floor_of(inputs, x), jnp.maximum(abs(x), abs(y)))
    else:
        over = cost_over_budget(x, y, inputs) - 1
        tolerance = SAME_SIZE * epsilon(x)
    return (over <= tolerance) & ((over >= -tolerance) | at_corner)


def _has_better_neighbor(inputs: Inputs, bounds: Bounds, x: Array, y: Array) -> Array:
    """Whether a plan within the bounds, at no more cost, has a lower loss."""
    eps = epsilon(x)
    loss, cost = inputs.loss_of_all_tokens(x, y), cost_over_budget(x, y, inputs)
    least = SAME_LOSS * eps * (1 + jnp.abs(loss))

    def compare(better: Array, offset: Array) -> tuple[Array, None]:
        here = y + offset
        size = params_of_equal_cost(x, y, here, inputs)
        lower = inputs.loss_of_all_tokens(size, here) < loss - least
        lower &= cost_over_budget(size, here, inputs) <= cost * (1 + SAME_SIZE * eps)
        # Well inside: a size that rounding alone keeps from leaving a bound is no plan.
        return better | (lower & _are_within(bounds, size, here, -SAME_SIZE * eps)), None

    offsets = jnp.asarray([sign * each for each in OFFSETS for sign in (-1, 1)], x.dtype)
    return lax.scan(compare, jnp.zeros_like(x, bool), offsets)[0]


def _are_within(bounds: Bounds, log_params: Array, log_tokens: Array, slack: float) -> Array:
    inside = log_params >= jnp.log(bounds.min_params) - slack
    inside &= log_params <= jnp.log(bounds.max_params) + slack
    inside &= log_tokens >= jnp.log(bounds.min_tokens) - slack
    inside &= log_tokens <= jnp.log(bounds.max_tokens) + slack
    return inside & (log_tokens - log_params <= jnp.log(bounds.max_tokens_per_param) + slack)
