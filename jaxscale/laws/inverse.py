"""The inverse of any law, and of any cost: the distance along a line to a given value.

`tokens_for` and `params_for` of a law without its own, the sizes of a training of given FLOPs, and
the plans at which a bound meets a constraint, are one problem: how far to go from a point, along
params, tokens or both, until a monotone function of logarithms reaches a value.
"""

import math
import operator
from collections.abc import Callable
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.typed import custom_jvp
from jaxscale._numerics.values import any_of, exp_where, is_finite, is_positive, where_safe
from jaxscale.laws import protocol

PARAMS, TOKENS, BOTH = (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)
# Natural logarithms of sizes at which a search may start, the best first: that of a common model,
# and ever smaller ones, for laws that reach their floor to the last digit there.
BEGINNINGS = tuple(9 * 2.302585 - 7.0 * step for step in range(8))
LOG_TOKENS_PER_PARAM = 3.0  # of 20, where a search starts
STEPS, MORE_STEPS = 8, 32
# A step this small, in roots of an epsilon, leaves an error of its square.
CONVERGED = 1e2
RESOLVED = 2**14  # epsilons above its floor from which on a loss has a slope
# A value within SAME epsilons of its floor counts as reached where that takes a plausible size:
# repeated data does no more good after some hundred epochs. Near it, ALLOWED more are accepted, so
# that rounding never makes a plan cost more than a known one.
SAME, ALLOWED = 16.0, 6.0
NEAR_FLOOR = 2.0**14  # epsilons: nearer to the floor, a loss is matched to its last digits
LOG_SMALLEST, LOG_LARGEST = 0.0, 24 * 2.302585
TOLERANCE = 1e-9  # of the reducible loss

Value = Callable[[Array, Array, Any], Array]  # of log params, log tokens, and what it depends on


def far(dtype: Any) -> float:
    """Logarithm of the largest size considered, whose powers do not overflow."""
    return 0.97 * math.log(float(jnp.finfo(dtype).max))


def is_plausible(log_size: Array) -> Array:
    """Whether a model or a training might be that large."""
    return (log_size > LOG_SMALLEST) & (log_size < LOG_LARGEST)


@custom_jvp(0, 1)
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
    """The distance along `direction` from a point to where `value(...) = target`.

    The search starts at `start`. `end` is where the value is smallest: far up for a loss, far down
    for a cost; within NEAR_FLOOR epsilons of it, ALLOWED more are accepted. Infinite on that side
    where the value never falls to the target, and on the other where it is below it everywhere.
    """
    toward = jnp.where(end >= start, 1.0, -1.0).astype(end.dtype)

    def along(distance):  # in the direction in which the value falls
        distance = toward * distance
        here = log_params + direction[0] * distance, log_tokens + direction[1] * distance
        return value(*here, inputs)

    top = jnp.abs(end)
    floor = along(top)
    digit = float(jnp.finfo(end.dtype).eps) * jnp.abs(floor)
    above = target - floor
    at_floor = jnp.abs(above) <= SAME * digit
    near = (above >= -SAME * digit) & (above < NEAR_FLOOR * digit)
    above = jnp.where(near, jnp.maximum(above, 0) + ALLOWED * digit, above)
    distance = _search(along, floor, above, toward * start, top)
    sizes = zip((log_params, log_tokens), direction, strict=True)
    plausible = [is_plausible(x + d * toward * distance) for x, d in sizes if d]
    reached = (above > 0) & (~at_floor | reduce(operator.and_, plausible))
    everywhere = along(-top) - floor < above
    return toward * jnp.where(everywhere, -jnp.inf, jnp.where(reached, distance, jnp.inf))


class _Bracket(NamedTuple):
    """A point of the search, a bracket of the target, and the last step."""

    at: Array
    high: Array  # where the value is above the target
    low: Array
    step: Array


def _search(along, floor, above, start, top):
    """Where a value that falls along a line is `above` its floor.

    Its excess over the floor is close to a power of the distance, so Newton's method on the
    logarithm takes few steps from anywhere. Where it is not, as repeated data is worth
    exponentially less, a step that leaves the bracket bisects it instead.
    """

    def step(bracket):
        at, high, low, _ = bracket
        now, slope = jax.jvp(along, (at,), (jnp.ones_like(at),))
        is_low = now - floor <= above  # false where a law is NaN or overflows
        high, low = jnp.where(is_low, high, at), jnp.where(is_low, at, low)
        newton = at - jnp.log((now - floor) / above) * (now - floor) / slope
        beyond = jnp.where(is_low, at - 16.0, at + 48.0)
        halfway = jnp.where((high > -top) & (low < top), (high + low) / 2, beyond)
        # With the tolerance to spare: at the answer, rounding may point either way.
        inside = (newton > high - converged) & (newton < low + converged)
        new = jnp.where(inside, newton, halfway)
        new = jnp.clip(new, -top, top)
        return _Bracket(new, high, low, jnp.abs(new - at))

    converged = (CONVERGED * float(jnp.finfo(above.dtype).eps)) ** 0.5
    start = start + jnp.zeros_like(above)
    zero = jnp.zeros_like(start)
    begin = _Bracket(start, zero - top, zero + top, jnp.full_like(start, jnp.inf))
    wanted = above > 0

    # One program for both counts of steps, because most callers wait for its compilation. The count
    # is that of a whole batch, not of a lane: sums of powers never need more than the first.
    def goes_on(carry):
        count, bracket = carry
        lost = any_of((bracket.step >= converged) & wanted)
        return (count < STEPS) | ((count < STEPS + MORE_STEPS) & lost)

    def body(carry):
        count, bracket = carry
        return count + 1, step(bracket)

    return lax.while_loop(goes_on, body, (jnp.int32(0), begin))[1].at


@crossing.defjvp
def _crossing_jvp(value, direction, primals, tangents):
    log_params, log_tokens, _, inputs, _, _ = primals
    primal = crossing(value, direction, *primals)
    exists = is_finite(primal)
    distance = jnp.where(exists, primal, 0)

    def at(distance, log_params, log_tokens, inputs):
        here = log_params + direction[0] * distance, log_tokens + direction[1] * distance
        return value(*here, inputs)

    point = log_params, log_tokens, inputs
    change = jax.jvp(partial(at, distance), point, (*tangents[:2], tangents[3]))[1]
    slope = jax.jvp(lambda x: at(x, *point), (distance,), (jnp.ones_like(distance),))[1]
    safe = exists & (slope != 0)
    moved = (tangents[2] - change) / jnp.where(safe, slope, 1)
    return primal, jnp.where(safe, moved, 0)


def loss_value(log_params: Array, log_tokens: Array, inputs: tuple[Any, dict[str, Array]]) -> Array:
    """Loss of `inputs`, a law and its levers, as `crossing` takes it."""
    law, levers = inputs
    return protocol.loss_from_logs(law, log_params, log_tokens, **levers)


def beginning(
    law: Any, levers: dict[str, Array], direction: tuple[float, float], like: Array
) -> Array:
    """The start of a search along `direction`: the largest size with a loss above the floor.

    Depends on the law and its levers alone, so for one law it is one number.
    """
    top = jnp.asarray(far(like.dtype), like.dtype)
    floor = loss_value(top, top, (law, levers))
    sizes = jnp.asarray(BEGINNINGS[::-1], like.dtype)

    def larger(start, here):
        more, less = here + LOG_TOKENS_PER_PARAM, here - LOG_TOKENS_PER_PARAM
        point = (less, here) if direction == TOKENS else (here, more)
        loss = loss_value(*point, (law, levers))
        told = loss - floor > RESOLVED * jnp.finfo(like.dtype).eps * jnp.abs(loss)
        return jnp.where(told & is_finite(loss), here, start), None

    # A loop, because most callers would wait for a law's loss to be compiled eight times.
    return lax.scan(larger, sizes[0] + jnp.zeros_like(floor), sizes)[0]


def tokens_for(law: Any, loss: ArrayLike, params: ArrayLike, **levers: ArrayLike) -> Array:
    """Training tokens with which `params` parameters reach `loss`; NaN where none do.

    Of any law, by its own `tokens_for` where it has one. All arguments broadcast.

    Examples:
        >>> law = js.laws.published("kumar2024")
        >>> print(f"{js.laws.tokens_for(law, 3.2, 1e9, bits=8.0):.3g}")
        5.06e+09
    """
    if hasattr(law, "tokens_for"):
        return law.tokens_for(loss, params, **levers)
    return _other_size(TOKENS, *arrays.enter(law=law, loss=loss, known=params, levers=levers))


def params_for(law: Any, loss: ArrayLike, tokens: ArrayLike, **levers: ArrayLike) -> Array:
    """Parameters that reach `loss` on `tokens` training tokens; NaN where none do.

    Of any law, by its own `params_for` where it has one. All arguments broadcast.

    Examples:
        >>> law = js.laws.published("kumar2024")
        >>> print(f"{js.laws.params_for(law, 3.2, 1e11, bits=8.0):.3g}")
        1.83e+08
    """
    if hasattr(law, "params_for"):
        return law.params_for(loss, tokens, **levers)
    return _other_size(PARAMS, *arrays.enter(law=law, loss=loss, known=tokens, levers=levers))


def params_of_flops(law: Any, flops: ArrayLike, tokens: ArrayLike, **levers: ArrayLike) -> Array:
    """Parameters whose training on `tokens` tokens takes `flops` FLOPs; NaN where none do.

    `flops / (6 tokens)`, or the inverse of the law's own count. All arguments broadcast. Raises
    TypeError for levers that are not those of the law.

    Examples:
        >>> law = js.laws.published("kumar2024")  # which counts 6 N D bits / 16
        >>> print(f"{js.laws.params_of_flops(law, 1e21, 1e11, bits=8.0):.3g}")
        3.33e+09
    """
    return _size_of_flops(PARAMS, law, flops, tokens, levers)


def tokens_of_flops(law: Any, flops: ArrayLike, params: ArrayLike, **levers: ArrayLike) -> Array:
    """Training tokens with which `params` parameters take `flops` FLOPs; NaN where none do.

    `flops / (6 params)`, or the inverse of the law's own count. All arguments broadcast. Raises
    TypeError for levers that are not those of the law.

    Examples:
        >>> law = js.laws.published("sardana2024")
        >>> print(f"{js.laws.tokens_of_flops(law, 1e21, 1e9):.3g}")
        1.67e+11
    """
    return _size_of_flops(TOKENS, law, flops, params, levers)


def _size_of_flops(
    direction: tuple[float, float], law: Any, flops: ArrayLike, known: ArrayLike, levers: Any
) -> Array:
    protocol.check_law(law)
    protocol.check_lever_names(law, levers)
    inputs = arrays.enter(law=law, flops=flops, known=known, levers=levers)
    return _of_flops(direction, *inputs)


@partial(compiled, static=1)
def _of_flops(direction, law, flops, known, levers):
    law, flops, known, levers = arrays.align(law, flops, known, levers)
    answer = protocol.is_valid(law) & protocol.are_finite(levers)
    answer &= is_positive(flops) & is_positive(known)
    law, levers = protocol.made_safe(law, answer), protocol.made_safe(levers, answer)
    flops, known = where_safe(answer, flops), where_safe(answer, known)
    by_rule = flops / protocol.TRAIN_FLOPS / known
    if not protocol.has_own_flops(law):
        return jnp.where(answer & is_positive(by_rule), by_rule, jnp.nan)
    log_known = jnp.log(known)
    zero = jnp.zeros_like(flops + log_known)
    at = (zero, log_known + zero) if direction == PARAMS else (log_known + zero, zero)
    start = lax.stop_gradient(jnp.log(by_rule))  # not far from the answer
    end = zero - far(zero.dtype)
    inputs = law, levers
    log_size = crossing(_train_flops, direction, *at, flops + zero, inputs, start + zero, end)
    return exp_where(answer, log_size)


def _train_flops(log_params: Array, log_tokens: Array, inputs: tuple[Any, dict[str, Array]]):
    law, levers = inputs
    return protocol.flops_of(law, jnp.exp(log_params), jnp.exp(log_tokens), **levers).train


@partial(compiled, static=1)
def _other_size(direction, law, loss, known, levers):
    law, loss, known, levers = arrays.align(law, loss, known, levers)
    answer = protocol.is_valid(law) & protocol.are_finite(levers)
    answer &= is_positive(known) & is_finite(loss)
    law, levers = protocol.made_safe(law, answer), protocol.made_safe(levers, answer)
    loss, log_known = where_safe(answer, loss), jnp.log(where_safe(answer, known))
    zero = jnp.zeros_like(loss + log_known)
    at = (zero, log_known + zero) if direction == PARAMS else (log_known + zero, zero)
    start = lax.stop_gradient(beginning(law, levers, direction, zero)) + zero
    end = zero + far(zero.dtype)
    log_size = crossing(loss_value, direction, *at, loss + zero, (law, levers), start, end)
    answer &= _gives(direction, at, log_size, loss, (law, levers), end)
    distance = where_safe(answer, log_size)
    sizes = (z + d * distance for z, d in zip(at, direction, strict=True))
    answer &= protocol.holds(law, *sizes, **levers)
    return exp_where(answer, log_size)


def _gives(direction, at, distance, loss, inputs, end):
    """Whether the loss at a distance along a direction is the one asked for, to rounding."""

    def along(distance):
        log_params, log_tokens = (z + d * distance for z, d in zip(at, direction, strict=True))
        return lax.stop_gradient(loss_value(log_params, log_tokens, lax.stop_gradient(inputs)))

    distance = jnp.where(is_finite(distance), distance, 0)
    tolerance = loss_tolerance(loss, along(end), jnp.abs(distance))
    return jnp.abs(along(distance) - loss) <= tolerance


def loss_tolerance(loss: Array, floor: Array, log_size: Array) -> Array:
    """The error of a loss that rounding explains, of the loss itself and of sizes this large."""
    eps = float(jnp.finfo(loss.dtype).eps)
    sizes = jnp.maximum(TOLERANCE, 16 * eps * (1 + log_size))
    return 2 * SAME * eps * (1 + jnp.abs(loss)) + sizes * jnp.abs(loss - floor)
