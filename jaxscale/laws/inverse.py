"""Where a surface takes a value along a line: the inverse of any law, and of any bill.

`tokens_for` and `params_for` of a law that has none of its own, and the plans at which a bound
meets a constraint, are all one question: how far to go from a point, along params, along tokens
or along both, until a monotone function of logarithms has a given value.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from jaxscale import _arrays
from jaxscale._compiled import compiled
from jaxscale._values import has_normal_exp, is_finite, is_positive, where_safe
from jaxscale.laws import protocol

PARAMS, TOKENS, BOTH = (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)
# Natural logarithms of sizes at which a search may begin, the best first: that of a known model,
# and ever smaller ones, for laws that at such a size are at their floor to the last digit.
BEGINNINGS = tuple(9 * 2.302585 - 7.0 * step for step in range(8))
LOG_TOKENS_PER_PARAM = 3.0  # of 20, where a search begins
STEPS = 8
RESOLVED = 2**14  # epsilons that a loss must be above its floor to tell a slope by

Value = Callable[[Array, Array, Any], Array]  # of log params, log tokens, and what it depends on


def far(dtype: Any) -> float:
    """Logarithm of the largest size that is looked at: its powers do not overflow."""
    return 0.97 * math.log(float(jnp.finfo(dtype).max))


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def crossing(
    value: Value,
    direction: tuple[float, float],
    log_params: Array,
    log_tokens: Array,
    target: Array,
    inputs: Any,
    start: Array,
    end: Array,
) -> Array:
    """How far along `direction` from a point `value(...) = target`; infinite where nowhere.

    Begins at `start`. `end` is where the value is flattest: infinitely far up for a loss, down
    for a bill. What it is above its value there is close to a power of the distance, so Newton's
    method on the logarithm takes few steps from anywhere: a fixed number.
    """

    def along(distance):
        here = log_params + direction[0] * distance, log_tokens + direction[1] * distance
        return value(*here, inputs)

    floor = along(end)
    above = target - floor

    def step(_, distance):
        now, slope = jax.jvp(along, (distance,), (jnp.ones_like(distance),))
        above_now = now - floor
        move = -jnp.log(above_now / above) * above_now / slope
        # A point where nothing can be told apart from the floor, or that overflows.
        retreat = jnp.where(above_now < jnp.inf, -16.0, 48.0).astype(distance.dtype)
        retreat = jnp.where(end < start, -retreat, retreat)
        return distance + jnp.where(is_finite(move), move, retreat)

    found = lax.fori_loop(0, STEPS, step, start)
    return jnp.where((above > 0) & is_finite(found), found, jnp.inf)


@crossing.defjvp
def _crossing_jvp(value, direction, primals, tangents):
    log_params, log_tokens, _, inputs, _, _ = primals
    found = crossing(value, direction, *primals)
    known = is_finite(found)
    distance = jnp.where(known, found, 0)

    def at(distance, log_params, log_tokens, inputs):
        here = log_params + direction[0] * distance, log_tokens + direction[1] * distance
        return value(*here, inputs)

    places = distance, log_params, log_tokens, inputs
    change = jax.jvp(partial(at, distance), places[1:], (*tangents[:2], tangents[3]))[1]
    slope = jax.jvp(lambda x: at(x, *places[1:]), (distance,), (jnp.ones_like(distance),))[1]
    safe = known & (slope != 0)
    moved = (tangents[2] - change) / jnp.where(safe, slope, 1)
    return found, jnp.where(safe, moved, 0)


def loss_value(log_params: Array, log_tokens: Array, inputs: tuple[Any, dict]) -> Array:
    """Loss of `inputs`, a law and its levers, as `crossing` takes it."""
    law, levers = inputs
    return protocol.loss_from_logs(law, log_params, log_tokens, **levers)


def beginning(law: Any, levers: dict, direction: tuple[float, float], like: Array) -> Array:
    """Where along `direction` to begin: the largest size whose loss can be told from the floor.

    Depends on the law and its levers alone, so for one law it is one number.
    """
    top = jnp.asarray(far(like.dtype), like.dtype)
    floor = loss_value(top, top, (law, levers))
    start = jnp.asarray(BEGINNINGS[-1], like.dtype)
    for size in reversed(BEGINNINGS):
        here = jnp.asarray(size, like.dtype)
        more, less = here + LOG_TOKENS_PER_PARAM, here - LOG_TOKENS_PER_PARAM
        point = (less, here) if direction == TOKENS else (here, more)
        loss = loss_value(*point, (law, levers))
        told = loss - floor > RESOLVED * jnp.finfo(like.dtype).eps * jnp.abs(loss)
        start = jnp.where(told & is_finite(loss), here, start)
    return start


def tokens_for(law: Any, loss: ArrayLike, params: ArrayLike, **levers: ArrayLike) -> Array:
    """Training tokens with which `params` parameters reach `loss`; NaN where none do.

    Of any law, by its own `tokens_for` where it has one. All arguments broadcast.
    """
    if hasattr(law, "tokens_for"):
        return law.tokens_for(loss, params, **levers)
    return _other_size(TOKENS, *_arrays.enter(law=law, loss=loss, known=params, levers=levers))


def params_for(law: Any, loss: ArrayLike, tokens: ArrayLike, **levers: ArrayLike) -> Array:
    """Parameters that reach `loss` on `tokens` training tokens; NaN where none do.

    Of any law, by its own `params_for` where it has one. All arguments broadcast.
    """
    if hasattr(law, "params_for"):
        return law.params_for(loss, tokens, **levers)
    return _other_size(PARAMS, *_arrays.enter(law=law, loss=loss, known=tokens, levers=levers))


@partial(compiled, static=1)
def _other_size(direction, law, loss, known, levers):
    law, loss, known, levers = _arrays.align(law, loss, known, levers)
    answer = protocol.is_valid(law) & protocol.are_finite(levers)
    answer &= is_positive(known) & is_finite(loss)
    law, levers = protocol.made_safe(law, answer), protocol.made_safe(levers, answer)
    loss, log_known = where_safe(answer, loss), jnp.log(where_safe(answer, known))
    zero = jnp.zeros_like(loss + log_known)
    at = (zero, log_known + zero) if direction == PARAMS else (log_known + zero, zero)
    start = lax.stop_gradient(beginning(law, levers, direction, zero)) + zero
    end = zero + far(zero.dtype)
    found = crossing(loss_value, direction, *at, loss + zero, (law, levers), start, end)
    answer = answer & has_normal_exp(found)
    return jnp.where(answer, jnp.exp(where_safe(answer, found)), jnp.nan)
