# pyright: reportUnknownMemberType=false
"""Bounded plans of laws with a ceiling: past some number of tokens, more of them raise the loss.

Searches take the loss of at most so many tokens, which falls with them. It is the loss of the
plan wherever a plan has no more tokens than its ceiling: without bounds on the least tokens, of
all cheapest plans. Two kinds of plan remain, and both are exact here for laws whose loss and
cost are convex in logarithms, as sums of powers are.
"""

import jax.numpy as jnp
from jax import Array, lax

from jaxscale._numerics.typed import epsilon
from jaxscale._numerics.values import is_finite, is_positive, where_safe
from jaxscale.laws.inverse import PARAMS, beginning, crossing, far, loss_of_all_tokens
from jaxscale.laws.protocol import log_tokens_ceiling
from jaxscale.plan import Bounds, Sizes
from jaxscale.solve.newton import Inputs
from jaxscale.status import Status

TIE = 32.0  # epsilons of a log size, by which it may miss a bound or the ceiling


def at_ceiling(
    at_loss: bool, inputs: Inputs, bounds: Bounds, sizes: Sizes, is_feasible: Array
) -> Sizes:
    """The bounded optimum, from that of the loss of at most so many tokens.

    `is_feasible` is whether there would be a plan without bounds; there, inputs are safe.
    """
    if at_loss:
        return _forced_past(inputs, bounds, sizes, is_feasible)
    return _stopped(inputs, bounds, sizes)


def _stopped(inputs: Inputs, bounds: Bounds, sizes: Sizes) -> Sizes:
    """The best plan of a budget, without tokens that would raise its loss.

    Only the largest model has more than its ceiling, or one that is trained on the fewest tokens.
    """
    x, y = where_safe(sizes.ok, sizes.log_params), sizes.log_tokens
    _, least, least_tokens = _least_tokens(bounds)
    ceiling = log_tokens_ceiling(inputs.law, x, **inputs.levers)
    most = jnp.maximum(ceiling, least)
    stops = sizes.ok & (y > most + _tie(y))
    most = where_safe(stops, most)
    tokens = jnp.where(ceiling > least, jnp.exp(most), least_tokens)
    status = jnp.where(stops, jnp.int8(Status.AT_CORNER), sizes.status)
    return sizes._replace(
        tokens=jnp.where(stops, tokens, _given(sizes.tokens)),
        log_tokens=jnp.where(stops, most, y),
        status=status,
    )


def _forced_past(inputs: Inputs, bounds: Bounds, sizes: Sizes, is_feasible: Array) -> Sizes:
    """The cheapest plan of a loss, where the fewest tokens are past the ceiling.

    There a larger model is needed to make up for more tokens. So no plan has fewer params than
    that of the fewest tokens, which is the cheapest; unless bounds ask for still more params.
    """
    has_least, y, least_tokens = _least_tokens(bounds)
    like = jnp.zeros_like(sizes.log_params)
    start = beginning(inputs.law, inputs.levers, PARAMS, like)
    law, end = (inputs.law, inputs.levers), like + far(like.dtype)
    target = inputs.target + like
    by_loss = crossing(
        loss_of_all_tokens, PARAMS, like, y + like, target, law, lax.stop_gradient(start), end
    )
    ratio, most = bounds.max_tokens_per_param, bounds.max_params
    is_limited = has_least & (ratio > 0) & (ratio < jnp.inf)
    by_ratio = jnp.where(is_limited, least_tokens / where_safe(is_limited, ratio), 0)
    by_bounds = jnp.maximum(bounds.min_params, by_ratio)
    has_bound = is_positive(by_bounds)
    log_bound = jnp.where(has_bound, jnp.log(where_safe(has_bound, by_bounds)), -jnp.inf)
    at_bound = log_bound > by_loss
    x = jnp.where(at_bound, log_bound, by_loss)
    # Where no model reaches the loss on the fewest tokens, they are too few, and not too many.
    reached = is_finite(x)
    x = where_safe(reached, x)
    ceiling = log_tokens_ceiling(inputs.law, x, **inputs.levers)
    forced = is_feasible & has_least & reached & (y > ceiling + _tie(y))
    inside = (least_tokens <= bounds.max_tokens) & (ratio > 0) & (most > 0)
    inside &= x <= jnp.log(most) + _tie(x)
    params = jnp.where(at_bound, by_bounds, jnp.exp(where_safe(inside, x)))
    status = jnp.where(at_bound, jnp.int8(Status.AT_CORNER), jnp.int8(Status.AT_MIN_TOKENS))
    status = jnp.where(inside, status, jnp.int8(Status.INFEASIBLE_BOUNDS))
    return Sizes(
        params=jnp.where(forced, jnp.minimum(params, most), _given(sizes.params)),
        tokens=jnp.where(forced, least_tokens, _given(sizes.tokens)),
        log_params=jnp.where(forced, x, sizes.log_params),
        log_tokens=jnp.where(forced, y, sizes.log_tokens),
        status=jnp.where(forced, status, sizes.status),
        ok=jnp.where(forced, inside, sizes.ok),
    )


def _least_tokens(bounds: Bounds) -> tuple[Array, Array, Array]:
    """Whether there is a bound on the fewest tokens, its logarithm, and itself."""
    has_least = is_positive(bounds.min_tokens)
    tokens = where_safe(has_least, bounds.min_tokens)
    return has_least, jnp.where(has_least, jnp.log(tokens), -jnp.inf), tokens


def _given(size: Array | None) -> Array:
    """A size within bounds, which is a number of its own beside its logarithm."""
    assert size is not None
    return size


def _tie(log_size: Array) -> Array:
    return TIE * epsilon(log_size) * (1 + jnp.abs(log_size))
