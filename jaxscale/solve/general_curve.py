"""Both problems for any law: its constraint curve, and whether its optimum is the only one."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from jaxscale._numerics.values import is_finite
from jaxscale.laws.inverse import (
    BOTH,
    LOG_TOKENS_PER_PARAM,
    PARAMS,
    TOKENS,
    beginning,
    crossing,
    far,
    loss_value,
)
from jaxscale.laws.protocol import TRAIN_FLOPS
from jaxscale.solve.bounds import Curve
from jaxscale.solve.checks import SAME_LOSS
from jaxscale.solve.newton import (
    Inputs,
    cost_over_budget,
    floor_of,
    is_converged,
    log_cost,
    params_of_equal_cost,
    stationary,
    with_derivatives,
)
from jaxscale.status import Status, first_status

# Where a curve of equal cost is looked at for a lower loss, on both sides: in ln D.
OFFSETS = (1.0, 3.0, 8.0)
NEAR_TARGET = 1e-3  # of the reducible loss or the cost: far above rounding, far below a miss


def iso_loss_curve(inputs: Inputs, free: "Free") -> Curve:
    """All plans whose loss is `inputs.target`, and the cheapest of them, which is `free`."""
    like = free.log_params
    floor = floor_of(inputs, like)
    law = inputs.law, inputs.levers
    top = jnp.asarray(far(like.dtype), like.dtype)
    zero = jnp.zeros_like(like)

    def use(log_params, log_tokens):
        x, y = (jnp.clip(z, -top, top) + zero for z in (log_params, log_tokens))
        above = loss_value(x, y, law) - floor
        return jnp.where(jnp.isnan(above), jnp.inf, above / (inputs.target - floor))

    def cross(direction, x, y):
        x, y = jnp.clip(x, -top, top) + zero, jnp.clip(y, -top, top) + zero
        start = lax.stop_gradient(beginning(*law, direction, like)) + zero
        return crossing(loss_value, direction, x, y, inputs.target + zero, law, start, top + zero)

    rounding = jnp.abs(inputs.target / (inputs.target - floor))
    return _curve(True, inputs, use, cross, rounding, Status.INFEASIBLE_BOUNDS, free)


def budget_curve(inputs: Inputs, free: "Free") -> Curve:
    """All plans whose lifetime cost is `inputs.target`, and the best of them, which is `free`."""
    like = free.log_params
    top = jnp.asarray(far(like.dtype), like.dtype)
    zero = jnp.zeros_like(like)
    budget = inputs.target + zero
    training = jnp.log(budget) - jnp.log(TRAIN_FLOPS * inputs.costs.train)

    def use(log_params, log_tokens):
        x, y = (jnp.clip(z, -top, top) + zero for z in (log_params, log_tokens))
        return cost_over_budget(x, y, inputs)

    def cross(direction, x, y):
        x, y = jnp.clip(x, -top, top) + zero, jnp.clip(y, -top, top) + zero
        start = (training - x - y) / (direction[0] + direction[1])
        start = lax.stop_gradient(jnp.clip(start, -top, top))
        one = jnp.ones_like(budget)
        return crossing(cost_over_budget, direction, x, y, one, inputs, start, -top + zero)

    rounding = jnp.abs(training)
    return _curve(False, inputs, use, cross, rounding, Status.INFEASIBLE_BUDGET, free)


def _curve(at_loss, inputs, use, cross, rounding, infeasible, free):
    like = free.log_params

    def tokens_at(log_params):
        return cross(TOKENS, log_params, jnp.zeros_like(like))

    def params_at(log_tokens):
        return cross(PARAMS, jnp.zeros_like(like), log_tokens)

    def at_ratio(log_ratio):
        log_params = cross(BOTH, jnp.zeros_like(like), log_ratio)
        return log_params, log_params + log_ratio

    return Curve(
        free=lambda: with_derivatives(at_loss, inputs, free.log_params, free.log_tokens),
        tokens_at=tokens_at,
        params_at=params_at,
        at_ratio=at_ratio,
        use=use,
        rounding=rounding,
        slack_is_low=at_loss,
        infeasible=infeasible,
        doubt=free.status,
        of_both=_by_one_program,
    )


def _by_one_program(at, low, high):
    shape = jnp.broadcast_shapes(jnp.shape(low), jnp.shape(high))
    low, high = lax.map(at, jnp.stack([jnp.broadcast_to(x, shape) for x in (low, high)]))
    return low, high


class Free(NamedTuple):
    """The optimum without bounds; where there is none, the end that the search ran towards."""

    log_params: Array
    log_tokens: Array
    status: Array


def free_optimum(at_loss: bool, inputs: Inputs, like: Array) -> Free:
    """The stationary point, with a status that says whether it is the optimum, and the only one.

    `like` has the full shape. Not for differentiation.
    """
    if at_loss:
        start = beginning(inputs.law, inputs.levers, BOTH, like)
        x, y = start, start + LOG_TOKENS_PER_PARAM
    else:
        product = jnp.log(inputs.target) - jnp.log(TRAIN_FLOPS * inputs.costs.train)
        x, y = (product - LOG_TOKENS_PER_PARAM) / 2, (product + LOG_TOKENS_PER_PARAM) / 2
    zero = jnp.zeros_like(like)
    point = stationary(at_loss, inputs, x + zero, y + zero)
    seen = _look_around(at_loss, inputs, point)
    top = far(like.dtype)
    converged = is_converged(point) & seen.meets_target & (jnp.abs(point.log_params) < top)
    converged &= jnp.abs(point.log_tokens) < top
    status = first_status(
        (~converged & seen.is_monotone, Status.NO_INTERIOR_OPTIMUM),
        (~converged, Status.NOT_CONVERGED),
        (~seen.is_valley, Status.SEVERAL_OPTIMA),
    )
    runs_off = (status == int(Status.NO_INTERIOR_OPTIMUM)) & ~seen.is_flat
    towards = jnp.where(seen.falls_with_tokens, top, -top).astype(like.dtype)
    return Free(
        jnp.where(runs_off, -towards, point.log_params),
        jnp.where(runs_off, towards, point.log_tokens),
        status,
    )


class _Around(NamedTuple):
    """What the losses along a curve of equal cost look like."""

    meets_target: Array  # at the point, as far as rounding lets one tell
    is_valley: Array  # lowest at the point, and rising away from it
    is_monotone: Array  # in one direction all along, and not because all good has been done
    is_flat: Array  # the same everywhere: only the cost matters
    falls_with_tokens: Array


def _look_around(at_loss, inputs, point):
    """How loss changes along the plans that cost as much as the point.

    A plan is the cheapest of its loss, or the best of its cost, exactly when none of the same
    cost is better; such plans are at hand without solving anything.
    """
    x, y = (jnp.where(is_finite(z), z, 0) for z in (point.log_params, point.log_tokens))
    law = inputs.law, inputs.levers
    middle = loss_value(x, y, law)
    noise = SAME_LOSS * float(jnp.finfo(x.dtype).eps) * jnp.abs(middle)

    def look(carry, offset):
        before, falls, rises, climbs = carry
        here = y + offset
        value = loss_value(params_of_equal_cost(x, y, here, inputs), here, law)
        # A comparison with NaN, where a law says nothing so far out, is no evidence of anything.
        fall, rise = value < before - noise, value > before + noise
        climbs |= jnp.where(offset > 0, fall, rise)
        return (value, falls | fall, rises | rise, climbs), None

    offsets = jnp.asarray([-each for each in reversed(OFFSETS)] + [0.0, *OFFSETS], x.dtype)
    no = jnp.zeros_like(x, bool)
    begin = (jnp.full_like(x, jnp.nan), no, no, no)
    _, falls, rises, climbs = lax.scan(look, begin, offsets)[0]
    is_spent = middle - floor_of(inputs, x) <= noise
    if at_loss:
        near = NEAR_TARGET * jnp.abs(inputs.target - floor_of(inputs, x)) + noise
        meets = jnp.abs(middle - inputs.target) <= near
    else:
        meets = jnp.abs(log_cost(x, y, inputs) - jnp.log(inputs.target)) <= NEAR_TARGET
    return _Around(meets, ~climbs, ~(falls & rises | is_spent), ~(falls | rises), falls)
