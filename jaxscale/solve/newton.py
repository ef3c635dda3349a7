# pyright: reportUnknownMemberType=false
"""Newton's method for any law: the pair of equations behind both problems.

The cheapest plan of a loss, and the best plan of a budget, are where a surface of equal loss
touches one of equal cost. With x = ln N, y = ln D and subscripts for derivatives that is

    psi(x, y) = ln (L_x / L_y) + ln (C_y / C_x) = 0,

beside the constraint, a given loss or cost. In logarithms both are close to straight lines for
everything that is made of powers, so Newton's method takes few steps, in a fixed number, from
any start. Where it fails, for other laws, psi is bracketed first: it changes its sign once along
the constraint. A law needs no more than a loss; the rest is automatic differentiation.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxscale._numerics.logarithm import log
from jaxscale._numerics.merged import merged
from jaxscale._numerics.typed import cond, custom_jvp, epsilon, fori_loop
from jaxscale._numerics.values import any_of, is_finite, quotient
from jaxscale.costs import Costs, Demand
from jaxscale.laws.inverse import BOTH, NEAR_FLOOR, beginning, crossing, far, loss_value
from jaxscale.laws.protocol import (
    INFERENCE_FLOPS,
    TRAIN_FLOPS,
    flops_of,
    has_ceiling,
    has_own_flops,
    least_loss_from_logs,
    log_tokens_ceiling,
    loss_from_logs,
)

STEPS, NEAR_CEILING = 7, 5  # and more, near the ceiling of a law
# Where these do not converge: bisection of ln(D / N) from this far on either side, to a fifth of
# an e-fold, and Newton's method from there.
FARTHEST, HALVINGS = 48.0, 9
FALLING_STEP = 4.0  # in ln(D / N), where psi falls and Newton would go the wrong way
# A step this small, in roots of an epsilon, leaves an error of its square.
CONVERGED = 1e3
# In epsilons of a loss: by how much rounding may move a step, up to a limit; and, near the floor of
# a loss, by how much a constraint may be missed and count as met.
ROUNDING, MOST_ROUNDING = 8.0, 1e-4
MET = 4.0
# Below the ceiling of a law: where a search starts, in e-folds; what is left of the way there
# after a step; and the least that is left, in epsilons, so that rounding does not hide what tokens
# gain.
WELL_BELOW, BELOW, NEARER, NEAREST = 1.0, 0.1, 1 / 16, 64.0
EXACT = 1.0  # epsilons, in whose root a search ends
COST_STEPS = 3  # of Newton's method, from one size to another of the same cost
SERVED = INFERENCE_FLOPS / TRAIN_FLOPS  # training tokens that cost as much as one of the demand

Result = TypeVar("Result")
Surface = Callable[[Array, Array], Array]  # of log params and log tokens


class Inputs(NamedTuple):
    """The inputs of a stationary point, aligned."""

    law: Any
    levers: dict[str, Array]
    target: Array  # a loss, or a budget
    demand: Demand
    costs: Costs

    def loss(self, x: Array, y: Array) -> Array:
        """Loss at log params and log tokens; training stops at the law's ceiling, if it has one."""
        return least_loss_from_logs(self.law, x, y, **self.levers)

    def loss_of_all_tokens(self, x: Array, y: Array) -> Array:
        """The same past the ceiling too, where more tokens raise it."""
        return loss_from_logs(self.law, x, y, **self.levers)


class Point(NamedTuple):
    """End of Newton's method, and how far its last step went beyond rounding."""

    log_params: Array
    log_tokens: Array
    last_step: Array


class Partials(NamedTuple):
    """A function of log params x and log tokens y, with its derivatives."""

    value: Array
    x: Array
    y: Array
    xx: Array
    xy: Array
    yy: Array


class Ratio(NamedTuple):
    """Share of the cost that grows with tokens, over that which grows with params."""

    inverse: Array  # C_x / C_y
    log_x: Array  # derivatives of ln(C_y / C_x)
    log_y: Array


def _along(function: Callable[[Array], Result], x: Array) -> tuple[Result, Result]:
    """A function of one variable and its derivative."""
    return jax.jvp(function, (x,), (jnp.ones_like(x),))


def partials(surface: Surface, x: Array, y: Array) -> Partials:
    """A surface and its first and second derivatives, by forward differentiation."""

    # Of one variable each: a derivative along both would carry zeros through all of the law.
    def along_x(x: Array, y: Array) -> tuple[Array, Array]:
        return _along(lambda x: surface(x, y), x)

    def along_y(x: Array, y: Array) -> tuple[Array, Array]:
        return _along(lambda y: surface(x, y), y)

    (value, f_x), (_, f_xx) = _along(lambda x: along_x(x, y), x)
    (_, f_y), (_, f_yy) = _along(lambda y: along_y(x, y), y)
    _, (_, f_xy) = _along(lambda x: along_y(x, y), x)
    return Partials(value, f_x, f_y, f_xx, f_xy, f_yy)


def _served(inputs: Inputs) -> Array:
    """Training tokens that cost as much as the demand, where the law counts 6 N D."""
    return inputs.costs.effective_demand(inputs.demand) * SERVED


def cost_value(x: Array, y: Array, inputs: Inputs) -> Array:
    """The lifetime cost."""
    law, levers, _, demand, costs = inputs
    if not has_own_flops(law):
        return jnp.exp(x + jnp.log(TRAIN_FLOPS * costs.train)) * (jnp.exp(y) + _served(inputs))
    flops = flops_of(law, jnp.exp(x), jnp.exp(y), **levers)
    served = demand.input_tokens * costs.prefill * flops.prefill
    served += demand.output_tokens * costs.decode * flops.decode
    return costs.train * flops.train + served


def log_cost(x: Array, y: Array, inputs: Inputs) -> Array:
    """Natural logarithm of the lifetime cost."""
    if has_own_flops(inputs.law):
        # In units of itself: derivatives divide by its powers, which float32 does not hold. Times
        # a reciprocal, because XLA turns a quotient of quotients into one of products.
        unit = lax.stop_gradient(1 / cost_value(x, y, inputs))
        return jnp.log(cost_value(x, y, inputs) * unit) - jnp.log(unit)
    training = jnp.log(TRAIN_FLOPS * inputs.costs.train)
    return x + log(jnp.exp(y) + _served(inputs)) + training


def cost_over_budget(x: Array, y: Array, inputs: Inputs) -> Array:
    """The lifetime cost as a share of the target, also where it under- or overflows."""
    if has_own_flops(inputs.law):
        return quotient(cost_value(x, y, inputs), inputs.target)
    return jnp.exp(log_cost(x, y, inputs) - log(inputs.target))


def params_of_equal_cost(x: Array, y: Array, here: Array, inputs: Inputs) -> Array:
    """Log params at log tokens `here` that cost as much as x at y."""
    if not has_own_flops(inputs.law):
        served = _served(inputs)
        then, now = (log(jnp.exp(z) + served) for z in (y, here))
        return x + (then - now)
    # Above the cost of the smallest model, a cost is close to a power of the size.
    floor = cost_value(jnp.full_like(x, -far(x.dtype)), here, inputs)
    cost = cost_value(x, y, inputs) - floor

    def cost_at(x: Array) -> Array:
        return cost_value(x, here, inputs)

    def step(_: Array, x: Array) -> Array:
        value, slope = jax.jvp(cost_at, (x,), (jnp.ones_like(x),))
        return x - log((value - floor) / cost) * (value - floor) / slope

    size = fori_loop(COST_STEPS, step, x + y - here)
    return jnp.where(cost > 0, size, jnp.nan)


def _ratio(x: Array, y: Array, inputs: Inputs) -> Ratio:
    if has_own_flops(inputs.law):
        unit = lax.stop_gradient(1 / cost_value(x, y, inputs))

        def share(x: Array, y: Array) -> Array:
            return cost_value(x, y, inputs) * unit

        cost = partials(share, x, y)
        return Ratio(
            cost.x / cost.y,
            cost.xy / cost.y - cost.xx / cost.x,
            cost.yy / cost.y - cost.xy / cost.x,
        )
    excess = _served(inputs) * jnp.exp(-y)
    return Ratio(1 + excess, jnp.zeros_like(y), excess / (1 + excess))


def cost_ratio(x: Array, y: Array, inputs: Inputs) -> Array:
    """What the cost grows by with params, over what it grows by with tokens: 1 without demand."""
    return _ratio(x, y, inputs).inverse


def floor_of(inputs: Inputs, like: Array) -> Array:
    """Loss of the largest size in range: no plan has less."""
    top = jnp.asarray(far(like.dtype), like.dtype)
    return lax.stop_gradient(inputs.loss(top, top))


def cost_floor_of(inputs: Inputs, like: Array) -> Array:
    """Cost of the smallest size, which is that of parameters outside the choice."""
    if not has_own_flops(inputs.law):
        return jnp.zeros((), like.dtype)
    bottom = jnp.asarray(-far(like.dtype), like.dtype)
    return lax.stop_gradient(cost_value(bottom, bottom, inputs))


def stationary(at_loss: bool, inputs: Inputs, x: Array, y: Array) -> Point:
    """The stationary point of equal loss (`at_loss`) or of equal cost, from a start (x, y).

    Not for differentiation; see `with_derivatives`. Where there is no such point, the last step is
    large.
    """
    scale = _scale(at_loss, inputs, x)
    begin = Point(x, _below_ceiling(inputs, x, y, WELL_BELOW), jnp.full_like(x, jnp.inf))

    # A batch without stragglers waits for no second round. One program for both, because its
    # compilation is what most callers wait for.
    def goes_on(carry: tuple[Array, Point, Array]) -> Array:
        count, _, lost = carry
        return (count == 0) | ((count == 1) & any_of(lost))

    def search(carry: tuple[Array, Point, Array]) -> tuple[Array, Point, Array]:
        count, last, lost = carry
        is_first = count == 0
        start = cond(is_first, lambda: last, lambda: _bracketed(at_loss, inputs, lost, last))
        point = _where(lost, _round(at_loss, inputs, scale, is_first, lost, start), last)
        return count + 1, point, lost & ~is_converged(point)

    # A target below the floor has no point.
    lost = (scale.inverse > 0) & jnp.ones_like(x, bool)
    return lax.while_loop(goes_on, search, (jnp.int32(0), begin, lost))[1]


def _round(
    at_loss: bool, inputs: Inputs, scale: "_Scale", is_first: Array, lost: Array, start: Point
) -> Point:
    """The points after STEPS steps or a few more of those that are lost, each until it is exact."""
    # On the way to a ceiling, steps are shorter.
    most = STEPS + (NEAR_CEILING if has_ceiling(inputs.law) else 0)

    def moves(point: Point) -> Array:
        return lost & ~(point.last_step < exact_step(point.last_step))

    def goes_on(carry: tuple[Array, Point]) -> Array:
        count, point = carry
        return (count < most) & any_of(moves(point))

    def step(carry: tuple[Array, Point]) -> tuple[Array, Point]:
        count, last = carry
        point = merged(partial(_guarded_step, at_loss))(inputs, scale, is_first, last)
        # An exact point stays as it is, whatever others it is computed with.
        return count + 1, _where(moves(last), point, last)

    start = start._replace(last_step=jnp.full_like(start.last_step, jnp.inf))
    return lax.while_loop(goes_on, step, (jnp.int32(0), start))[1]


def _where(condition: Array, point: Point, other: Point) -> Point:
    return Point(*(jnp.where(condition, a, b) for a, b in zip(point, other, strict=True)))


def _guarded_step(
    at_loss: bool, inputs: Inputs, scale: "_Scale", is_first: Array, point: Point
) -> Point:
    """A step of the first round, or of the second, which begins near the point."""
    dtype = point.last_step.dtype
    reach = jnp.where(is_first, jnp.inf, (2 * FARTHEST) * 0.5**HALVINGS).astype(dtype)
    moved, good, is_above_floor = _step(at_loss, inputs, scale, point, reach)
    if has_ceiling(inputs.law):
        moved = _kept_below_ceiling(inputs, point, moved)
    # Above all range the loss falls below what can be told from its floor; below, it overflows.
    back = jnp.where(is_first, jnp.where(is_above_floor, 48.0, -16.0).astype(dtype), 0)
    return Point(
        jnp.where(good, moved.log_params, point.log_params + back),
        jnp.where(good, moved.log_tokens, point.log_tokens + back),
        jnp.where(good | is_first, moved.last_step, point.last_step),
    )


def _bracketed(at_loss: bool, inputs: Inputs, lost: Array, last: Point) -> Point:
    """A start within a fifth of an e-fold of the root in ln(D / N), by halving, where lost.

    Along a curve of equal loss or cost psi has one sign before an optimum and the other behind
    it, also where a law is flat to the last digit: psi is made of its derivatives' logarithms.
    """

    def halve(_: Array, carry: tuple[Array, Array, Point]) -> tuple[Array, Array, Point]:
        low, high, point = carry
        middle = (low + high) / 2
        start = point.log_params
        size = distance(at_loss, inputs, BOTH, jnp.zeros_like(start), middle, start)
        size = jnp.where(is_finite(size), size, start)
        point = point._replace(log_params=size, log_tokens=size + middle)
        psi = equations(at_loss, size, size + middle, inputs)[1]
        return jnp.where(psi < 0, middle, low), jnp.where(psi < 0, high, middle), point

    # Where nothing was lost the range is a point, so that no time is spent on the way to it.
    ratio = last.log_tokens - last.log_params
    low, high = (jnp.where(lost, limit, ratio) for limit in (-FARTHEST, FARTHEST))
    begin = jnp.where(lost, beginning(inputs.law, inputs.levers, BOTH, ratio), last.log_params)
    begin = Point(begin, begin, jnp.full_like(begin, jnp.inf))
    point = fori_loop(HALVINGS, halve, (low, high, begin))[2]
    below = _below_ceiling(inputs, point.log_params, point.log_tokens, BELOW)
    return point._replace(log_tokens=below)


def distance(
    at_loss: bool,
    inputs: Inputs,
    direction: tuple[float, float],
    x: Array,
    y: Array,
    start: Array,
) -> Array:
    """Distance along `direction` from (x, y) to the target; infinite where it is never met."""
    top = jnp.asarray(far(start.dtype), start.dtype) + jnp.zeros_like(start)
    if at_loss:
        law, target = (inputs.law, inputs.levers), inputs.target + jnp.zeros_like(start)
        return crossing(loss_value, direction, x, y, target, law, start, top)
    one = jnp.ones_like(start)
    return crossing(cost_over_budget, direction, x, y, one, inputs, start, -top)


class _Scale(NamedTuple):
    """The floor of a loss or cost, and the distance of the target from it."""

    floor: Array
    inverse: Array  # of the distance
    # By how much the constraint may be missed. Near the floor of a loss, rounding alone may be many
    # steps long; the trade-off is known there as well as anywhere.
    rounding: Array


def _scale(at_loss: bool, inputs: Inputs, like: Array) -> _Scale:
    floor = floor_of(inputs, like) if at_loss else cost_floor_of(inputs, like)
    inverse = 1 / (inputs.target - floor)
    digit = epsilon(like) * jnp.abs(floor)
    is_near = digit * inverse > 1 / NEAR_FLOOR
    return _Scale(floor, inverse, jnp.where(is_near, MET * digit, 0))


def _step(
    at_loss: bool, inputs: Inputs, scale: _Scale, point: Point, reach: Array
) -> tuple[Point, Array, Array]:
    """One step of Newton's method, no farther than `reach` along the constraint.

    With it, whether it has numbers, and whether it was tried above the floor of the target.
    """
    x, y, _ = point
    loss = partials(inputs.loss_of_all_tokens, x, y)
    ratio = _ratio(x, y, inputs)
    above, along_x, along_y = _above(at_loss, x, y, inputs, loss, scale)
    off = log(above * scale.inverse) * above
    if at_loss:
        off = jnp.where(jnp.abs(loss.value - inputs.target) <= scale.rounding, 0, off)
    # The logarithm of nothing is not a number to go by, though it need not be infinite.
    off = jnp.where(above > 0, off, jnp.where(above <= 0, jnp.inf, jnp.nan))
    # XLA computes a quotient once and all else, but exponentials, again in each loop that needs it:
    # so what the step's three results have in common are quotients.
    total = along_x + along_y
    miss, share, size = off / total, along_y / total, loss.value / total
    reciprocal = 1 / (loss.x * loss.y * ratio.inverse)
    over_x = loss.y * ratio.inverse * reciprocal
    over_y = loss.x * ratio.inverse * reciprocal
    psi = log(loss.x * loss.x * reciprocal)
    psi_x = loss.xx * over_x - loss.xy * over_y + ratio.log_x
    psi_y = loss.xy * over_x - loss.yy * over_y + ratio.log_y
    # In u = ln(D / N), along the constraint.
    slope = psi_y * (1 - share) - psi_x * share
    rises = slope > 0

    def steps(psi: Array) -> tuple[Array, Array]:
        height = psi - (psi_x + psi_y) * miss
        nowhere = jnp.where(height < 0, -FALLING_STEP, jnp.nan)
        falling = jnp.where(height >= 0, FALLING_STEP, nowhere)
        u_step = jnp.where(rises, height, falling) / jnp.where(rises, -slope, -1)
        u_step = jnp.clip(u_step, -reach, reach)
        return -miss - share * u_step, u_step

    x_step, u_step = steps(psi)
    if has_ceiling(inputs.law):
        # Where tokens gain nothing psi is infinite, but the ratio that it is the logarithm of is 0.
        past = y + (x_step + u_step) > log_tokens_ceiling(inputs.law, x + x_step, **inputs.levers)
        short_x, short_u = steps(jnp.where(psi < 0, jnp.expm1(psi), psi))
        x_step, u_step = jnp.where(past, short_x, x_step), jnp.where(past, short_u, u_step)
    good = is_finite(x_step) & is_finite(u_step)
    last_step = jnp.maximum(jnp.abs(x_step), jnp.abs(u_step))
    if at_loss:
        # Rounding may excuse a long step, but does not end the search.
        rounding = jnp.minimum(ROUNDING * epsilon(x) * jnp.abs(size), MOST_ROUNDING)
        last_step = jnp.maximum(last_step - rounding, jnp.minimum(last_step, exact_step(x)))
    moved = Point(x + x_step, y + (x_step + u_step), jnp.where(good, last_step, jnp.inf))
    return moved, good, jnp.abs(miss) != jnp.inf


def _below_ceiling(inputs: Inputs, x: Array, y: Array, room: float) -> Array:
    """Log tokens y, or where they are more, those that are so far below the law's ceiling."""
    if not has_ceiling(inputs.law):
        return y
    return jnp.minimum(y, log_tokens_ceiling(inputs.law, x, **inputs.levers) - room)


def _kept_below_ceiling(inputs: Inputs, point: Point, moved: Point) -> Point:
    """The moved point, no nearer to the ceiling than a part of the way there."""
    x, y, last_step = moved

    def ceiling(x: Array) -> Array:
        return log_tokens_ceiling(inputs.law, x, **inputs.levers)

    room = (ceiling(point.log_params) - point.log_tokens) * NEARER
    least = NEAREST * epsilon(y) * (1 + jnp.abs(y))
    is_past = y > ceiling(x) - least
    nearer = ceiling(x) - jnp.maximum(room, least)
    far = jnp.maximum(jnp.abs(x - point.log_params), jnp.abs(nearer - point.log_tokens))
    return Point(x, jnp.where(is_past, nearer, y), jnp.where(is_past, far, last_step))


def _above(
    at_loss: bool, x: Array, y: Array, inputs: Inputs, loss: Partials, scale: _Scale
) -> tuple[Array, Array, Array]:
    """The loss or cost that is constrained, less its floor, and its derivatives."""
    if at_loss:
        return loss.value - scale.floor, loss.x, loss.y
    value, along_x = _along(lambda x: cost_value(x, y, inputs), x)
    _, along_y = _along(lambda y: cost_value(x, y, inputs), y)
    return value - scale.floor, along_x, along_y


def exact_step(like: Array) -> float:
    """A step whose square is rounding: a further one would be."""
    return (EXACT * epsilon(like)) ** 0.5


def is_converged(point: Point) -> Array:
    """Whether the last step was so small that a further one would be rounding."""
    limit = (CONVERGED * epsilon(point.last_step)) ** 0.5
    return point.last_step < limit


def equations(at_loss: bool, x: Array, y: Array, inputs: Inputs) -> tuple[Array, Array]:
    """The constraint and psi: both are 0 at the point."""
    one, zero = jnp.ones_like(x), jnp.zeros_like(x)

    loss, loss_x = jax.jvp(inputs.loss, (x, y), (one, zero))
    _, loss_y = jax.jvp(inputs.loss, (x, y), (zero, one))
    psi = jnp.log(loss_x / loss_y) - jnp.log(_ratio(x, y, inputs).inverse)
    if at_loss:
        return loss - inputs.target, psi
    return log_cost(x, y, inputs) - jnp.log(inputs.target), psi


@custom_jvp(0)
def with_derivatives(at_loss: bool, inputs: Inputs, x: Array, y: Array) -> tuple[Array, Array]:
    """A stationary point (x, y), unchanged, with implicit derivatives of any order by `inputs`."""
    return x, y


@with_derivatives.defjvp
def _with_derivatives_jvp(
    at_loss: bool, primals: tuple[Inputs, Array, Array], tangents: tuple[Inputs, Array, Array]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    inputs, inputs_dot = primals[0], tangents[0]
    x, y = with_derivatives(at_loss, *primals)
    one, zero = jnp.ones_like(x), jnp.zeros_like(x)

    def at_point(x: Array, y: Array) -> tuple[Array, Array]:
        return equations(at_loss, x, y, inputs)

    def at_inputs(inputs: Inputs) -> tuple[Array, Array]:
        return equations(at_loss, x, y, inputs)

    (_, _), (g_x, psi_x) = jax.jvp(at_point, (x, y), (one, zero))
    (_, _), (g_y, psi_y) = jax.jvp(at_point, (x, y), (zero, one))
    (_, _), (g, psi) = jax.jvp(at_inputs, (inputs,), (inputs_dot,))
    inverse = 1 / (g_x * psi_y - g_y * psi_x)
    return (x, y), ((g_y * psi - psi_y * g) * inverse, (psi_x * g - g_x * psi) * inverse)
