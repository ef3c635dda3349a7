# pyright: reportUnknownMemberType=false
"""What a nat costs at an optimum: the slope of the lifetime cost along best plans.

By the envelope theorem it is what any small change of the plan costs, over the loss that it
gains, along a direction that the bounds leave open: tokens, where none of them decides.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from jaxscale._numerics.arrays import Real
from jaxscale._numerics.typed import epsilon
from jaxscale._numerics.values import is_finite, quotient, where_safe
from jaxscale.laws.protocol import has_ceiling, has_own_flops, made_safe
from jaxscale.plan import Bounds, Plan, Sizes
from jaxscale.solve.newton import Inputs, cost_value
from jaxscale.status import Status

Way = tuple[Array, Array]  # along log params and log tokens


def with_marginal_cost(
    at_loss: bool, inputs: Inputs, sizes: Sizes, plan: Plan, *, bounded: bool
) -> Plan:
    """The plan of `sizes`, which are optimal, with what a nat costs.

    `inputs` are aligned and safe, and the plan is priced.
    """
    return replace(plan, marginal_cost=_marginal_cost(at_loss, inputs, sizes, plan, bounded))


def _marginal_cost(at_loss: bool, inputs: Inputs, sizes: Sizes, plan: Plan, bounded: bool) -> Array:
    # As in `priced`: XLA would evaluate all that the status rests on again.
    ok = plan.params == plan.params
    x, y = where_safe(ok, sizes.log_params), where_safe(ok, sizes.log_tokens)
    inputs = made_safe(inputs, ok)
    if not bounded and not has_ceiling(inputs.law):
        slope = jax.jvp(partial(inputs.loss_of_all_tokens, x), (y,), (jnp.ones_like(y),))[1]
        return cost_of_a_nat(ok, _rise_with_tokens(ok, inputs, x, y, plan), -slope)
    way = open_way(plan.status, x)
    if has_ceiling(inputs.law):  # near which more tokens gain no more than rounding
        is_free = plan.status == int(Status.OK)
        way = jnp.where(is_free, 1, way[0]), jnp.where(is_free, 0, way[1])
    slope = jax.jvp(inputs.loss_of_all_tokens, (x, y), way)[1]
    value = cost_of_a_nat(ok, _rise(ok, inputs, (x, y), way, plan), -slope)
    return at_corner(at_loss, plan.status, value)


def open_way(status: Array, like: Array) -> Way:
    """The direction in which a plan of this status may still move."""
    one, zero = jnp.ones_like(like), jnp.zeros_like(like)
    at_tokens = (status == int(Status.AT_MIN_TOKENS)) | (status == int(Status.AT_MAX_TOKENS))
    at_ratio = status == int(Status.AT_MAX_RATIO)
    return jnp.where(at_tokens | at_ratio, one, zero), jnp.where(at_tokens, zero, one)


def cost_of_a_nat(ok: Array, rise: Array, gain: Array) -> Array:
    """The quotient of two derivatives; NaN with zero derivatives where it is no positive number."""
    rise, gain = where_safe(ok, rise), where_safe(ok, gain)
    value = rise / gain
    good = ok & (value > 0) & is_finite(value)
    return jnp.where(good, quotient(where_safe(good, rise), where_safe(good, gain)), jnp.nan)


def at_corner(at_loss: bool, status: Array, value: Array) -> Array:
    """The value but at a corner: there a loss is beaten for free, or no budget lowers it."""
    return jnp.where(status == int(Status.AT_CORNER), 0 if at_loss else jnp.nan, value)


def by_levers(
    surfaces: Callable[..., tuple[Array, Array]],
    position: tuple[Array, ...],
    bounds: Bounds,
    plan: Plan,
) -> Array:
    """The marginal cost of a plan whose levers are chosen; `surfaces` are cost and loss by levers.

    Where bounds fix both sizes, the levers decide alone: each that is not at an end of its range,
    from 0 to 1, says what a nat costs. The one that moves the loss most says it best.
    """
    ok = plan.params == plan.params
    rise, gain = jnp.zeros_like(plan.params), jnp.zeros_like(plan.params)
    for at in range(len(position)):
        way = tuple(jnp.full_like(z, float(i == at)) for i, z in enumerate(position))
        _, (by_cost, by_loss) = jax.jvp(surfaces, position, way)
        inside = (position[at] > 0) & (position[at] < 1)
        better = inside & (jnp.abs(by_loss) > jnp.abs(gain))
        rise, gain = jnp.where(better, by_cost, rise), jnp.where(better, -by_loss, gain)
    decide = ok & _are_fixed(bounds, plan) & (gain != 0)
    return jnp.where(decide, cost_of_a_nat(decide, rise, gain), plan.marginal_cost)


def _are_fixed(bounds: Bounds, plan: Plan) -> Array:
    """Whether both sizes are on bounds, as near as a search over levers comes to a kink.

    It need not be sure: the slopes along a lever hold at any plan that is best.
    """
    within = epsilon(plan.params) ** 0.25

    def near(size: Array, limit: Real) -> Array:
        return jnp.abs(size - limit) <= within * size

    params = near(plan.params, bounds.min_params) | near(plan.params, bounds.max_params)
    tokens = near(plan.tokens, bounds.min_tokens) | near(plan.tokens, bounds.max_tokens)
    ratio = near(plan.tokens_per_param, bounds.max_tokens_per_param)
    return (params & tokens) | (ratio & (params | tokens))


def _rise_with_tokens(ok: Array, inputs: Inputs, x: Array, y: Array, plan: Plan) -> Array:
    if not has_own_flops(inputs.law):
        return where_safe(ok, plan.train_cost)

    def cost(y: Array) -> Array:
        return cost_value(x, y, inputs)

    return jax.jvp(cost, (y,), (jnp.ones_like(y),))[1]


def _rise(ok: Array, inputs: Inputs, at: Way, way: Way, plan: Plan) -> Array:
    def cost(x: Array, y: Array) -> Array:
        return cost_value(x, y, inputs)

    if has_own_flops(inputs.law):
        return jax.jvp(cost, at, way)[1]
    # Training grows with both sizes alike, and serving with params alone.
    train, serving = where_safe(ok, plan.train_cost), where_safe(ok, plan.inference_cost)
    return (way[0] + way[1]) * train + way[0] * serving
