"""Checks of an answer before it says OK: the target met, the bounds kept, no neighbour better.

They ask nothing of how the answer came about, so what is wrong with a search is seen here.
"""

import jax.numpy as jnp
from jax import Array, lax

from jaxscale._values import is_finite
from jaxscale.laws.inverse import GIVEN, loss_value
from jaxscale.plan import Bounds, Place
from jaxscale.solve.stationary import (
    Inputs,
    bill_over_budget,
    floor_of,
    params_of_equal_bill,
)

# How far to either side a plan of the same bill is looked at for a lower loss, in ln(tokens).
OFFSETS = (0.05, 1.0, 3.0, 8.0)
# In epsilons: of a loss, less than this apart two are one; of a size or a bill, what logarithms
# of a hundred or so lose.
SAME_LOSS = 64.0
SAME_SIZE = 4096.0


def keeps_promises(at_loss: bool, inputs: Inputs, bounds: Bounds | None, place: Place) -> Array:
    """Whether each place meets its target within the bounds, and no neighbour is better.

    `inputs` and `bounds` are aligned. Not for differentiation; of places that are not ok the
    answer means nothing.
    """
    inputs, bounds, place = lax.stop_gradient((inputs, bounds, place))
    x, y = (jnp.where(is_finite(z), z, 0) for z in (place.log_params, place.log_tokens))
    loss = loss_value(x, y, (inputs.law, inputs.levers))
    eps = float(jnp.finfo(x.dtype).eps)
    noise = SAME_LOSS * eps * (1 + jnp.abs(loss))
    if at_loss:
        reducible = inputs.target - floor_of(inputs, x)
        met = loss <= inputs.target + noise + GIVEN * reducible
    else:
        met = bill_over_budget(x, y, inputs) <= 1 + SAME_SIZE * eps

    def look(better, offset):
        here = y + offset
        size = params_of_equal_bill(x, y, here, inputs)
        lower = loss_value(size, here, (inputs.law, inputs.levers)) < loss - noise
        return better | (lower & _are_within(bounds, size, here, 0.0)), None

    offsets = jnp.asarray([sign * each for each in OFFSETS for sign in (-1, 1)], x.dtype)
    better, _ = lax.scan(look, jnp.zeros(x.shape, bool), offsets)
    return met & ~better & _are_within(bounds, x, y, SAME_SIZE * eps)


def _are_within(bounds, log_params, log_tokens, slack):
    if bounds is None:
        return True
    inside = (log_params >= jnp.log(bounds.min_params) - slack) & (
        log_params <= jnp.log(bounds.max_params) + slack
    )
    inside &= log_tokens >= jnp.log(bounds.min_tokens) - slack
    inside &= log_tokens <= jnp.log(bounds.max_tokens) + slack
    return inside & (log_tokens - log_params <= jnp.log(bounds.max_tokens_per_param) + slack)
