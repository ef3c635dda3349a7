"""Checks of an answer before it says OK: the target met, the bounds kept, no neighbor better.

They ask nothing of how the answer came about, so what is wrong with a search is seen here.
"""

import jax.numpy as jnp
from jax import Array, lax

from jaxscale._numerics.values import is_finite
from jaxscale.laws.inverse import loss_tolerance, loss_value
from jaxscale.plan import Bounds, Place
from jaxscale.solve.newton import Inputs, cost_over_budget, floor_of, params_of_equal_cost
from jaxscale.status import Status

# How far to either side a plan of the same cost is looked at for a lower loss, in ln(tokens).
OFFSETS = (0.05, 1.0, 8.0)
# In epsilons: of a loss, less than this apart two are one; of a size or a cost, what logarithms
# of a hundred or so lose.
SAME_LOSS = 64.0
SAME_SIZE = 4096.0


def is_verified(at_loss: bool, inputs: Inputs, bounds: Bounds | None, place: Place) -> Array:
    """Whether each place meets its target within the bounds, and no neighbor is better.

    `inputs` and `bounds` are aligned. Not for differentiation; of places that are not ok the
    answer means nothing.
    """
    inputs, bounds, place = lax.stop_gradient((inputs, bounds, place))
    x, y = (jnp.where(is_finite(z), z, 0) for z in (place.log_params, place.log_tokens))
    met = _meets_target(at_loss, inputs, place.status, x, y)
    if bounds is None:  # `free_optimum` has looked at the neighbors
        return met
    inside = _are_within(bounds, x, y, SAME_SIZE * float(jnp.finfo(x.dtype).eps))
    return met & inside & ~_has_better_neighbor(inputs, bounds, x, y)


def _meets_target(at_loss, inputs, status, x, y):
    """Whether the target is met, neither more nor less; a corner may do better."""
    if at_loss:
        loss = loss_value(x, y, (inputs.law, inputs.levers))
        over = loss - inputs.target
        tolerance = loss_tolerance(loss, floor_of(inputs, x), jnp.maximum(abs(x), abs(y)))
    else:
        over = cost_over_budget(x, y, inputs) - 1
        tolerance = SAME_SIZE * float(jnp.finfo(x.dtype).eps)
    return (over <= tolerance) & ((over >= -tolerance) | (status == int(Status.AT_CORNER)))


def _has_better_neighbor(inputs, bounds, x, y):
    """Whether a plan within the bounds, at no more cost, has a lower loss."""
    law = inputs.law, inputs.levers
    eps = float(jnp.finfo(x.dtype).eps)
    loss, cost = loss_value(x, y, law), cost_over_budget(x, y, inputs)
    least = SAME_LOSS * eps * (1 + jnp.abs(loss))

    def look(better, offset):
        here = y + offset
        size = params_of_equal_cost(x, y, here, inputs)
        lower = loss_value(size, here, law) < loss - least
        lower &= cost_over_budget(size, here, inputs) <= cost * (1 + SAME_SIZE * eps)
        # Well inside: a size that rounding alone keeps from leaving a bound is no plan.
        return better | (lower & _are_within(bounds, size, here, -SAME_SIZE * eps)), None

    offsets = jnp.asarray([sign * each for each in OFFSETS for sign in (-1, 1)], x.dtype)
    return lax.scan(look, jnp.zeros_like(x, bool), offsets)[0]


def _are_within(bounds, log_params, log_tokens, slack):
    inside = log_params >= jnp.log(bounds.min_params) - slack
    inside &= log_params <= jnp.log(bounds.max_params) + slack
    inside &= log_tokens >= jnp.log(bounds.min_tokens) - slack
    inside &= log_tokens <= jnp.log(bounds.max_tokens) + slack
    return inside & (log_tokens - log_params <= jnp.log(bounds.max_tokens_per_param) + slack)
