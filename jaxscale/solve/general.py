# pyright: reportUnknownMemberType=false
"""Both problems for any law: Newton's method, and a check that its optimum is the only one."""

import operator
from collections.abc import Callable
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxscale._numerics import arrays
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.merged import merged
from jaxscale._numerics.typed import cond, epsilon, fori_loop, nth
from jaxscale._numerics.values import any_of, is_finite, is_positive
from jaxscale.costs import Costs, Demand
from jaxscale.laws.inverse import (
    ALLOWED,
    BOTH,
    NEAR_FLOOR,
    PARAMS,
    SAME,
    TOKENS,
    beginning,
    far,
    is_plausible,
)
from jaxscale.laws.protocol import TRAIN_FLOPS, has_ceiling, made_safe
from jaxscale.plan import Bounds, Plan, Sizes, priced, with_ceiling_told, with_finite_loss
from jaxscale.solve.bounds import Curve, optimum
from jaxscale.solve.marginal import with_marginal_cost
from jaxscale.solve.newton import (
    Inputs,
    Point,
    cost_over_budget,
    cost_value,
    distance,
    equations,
    floor_of,
    is_converged,
    params_of_equal_cost,
    stationary,
    with_derivatives,
)
from jaxscale.solve.start import start, usual_point
from jaxscale.solve.validate import (
    SAME_LOSS,
    costs_fit,
    is_valid,
    is_verified,
    meets_target,
    outcome,
)
from jaxscale.status import Status, first_status

# How far along a curve of equal cost losses are compared, on both sides: in ln D.
OFFSETS = (1.0, 3.0, 8.0)
FALLS, RISES, CLIMBS = 1, 2, 4  # with tokens, or away from the optimum
NEAR_TARGET = 1e-3  # of the reducible loss or the cost: far above rounding, far below a miss


@partial(compiled, static=1)
def minimize(
    at_loss: bool,
    target: Array,
    levers: dict[str, Array],
    law: Any,
    demand: Demand,
    costs: Costs,
    bounds: Bounds | None = None,
) -> Plan:
    """The cheapest plan of a loss (`at_loss`) or the best of a budget, at given levers."""
    return solve(at_loss, *aligned(target, levers, law, demand, costs, bounds))


def aligned(
    target: Array,
    levers: dict[str, Array],
    law: Any,
    demand: Demand,
    costs: Costs,
    bounds: Bounds | None,
) -> tuple[Inputs, Bounds | None]:
    """All numbers at one rank."""
    target, law, levers, demand, costs, bounds = arrays.align(
        target, law, levers, demand, costs, bounds
    )
    return Inputs(law, levers, target, demand, costs), bounds


def solve(at_loss: bool, inputs: Inputs, bounds: Bounds | None) -> Plan:
    """The plan of aligned inputs: the cheapest of a loss (`at_loss`), or the best of a budget."""
    inputs, sizes = best_sizes(at_loss, inputs, bounds)
    if not at_loss:
        sizes = with_finite_loss(inputs.law, sizes, inputs.levers)
    plan = priced(inputs.law, sizes, inputs.demand, inputs.costs, inputs.levers)
    plan = with_marginal_cost(at_loss, inputs, sizes, plan, bounded=bounds is not None)
    return with_ceiling_told(inputs.law, sizes, plan)


class Search(NamedTuple):
    """How to search for an optimum that is one of many."""

    near: tuple[Array, Array]  # log params and log tokens of a plan like it
    looks: Array  # whether it must be shown to be the only one


def best_sizes(
    at_loss: bool, inputs: Inputs, bounds: Bounds | None, search: Search | None = None
) -> tuple[Inputs, Sizes]:
    """The sizes of that plan, not priced, with the inputs made safe that they are the best for."""
    at_floor = jnp.asarray(False)
    if at_loss:
        inputs, at_floor = _off_the_floor(inputs)
    # The search takes the inputs as they are: made safe, a number that all lanes share would be
    # carried through every step as an array.
    given, like = lax.stop_gradient(inputs), zeros_of_full_shape((inputs, bounds))
    status, ok = _judged(at_loss, given, bounds, like)
    inputs, bounds = made_safe((inputs, bounds), ok)
    free, seen = free_optimum(at_loss, given, like, search)
    free = free if bounds is None else _at_its_end(free, seen)
    absurd = at_floor & ~(is_plausible(free.log_params) & is_plausible(free.log_tokens))
    doubt = jnp.where(absurd, jnp.int8(Status.INFEASIBLE_LOSS), free.status)

    def curve(inputs: Inputs, log_params: Array, log_tokens: Array) -> Curve:
        return constraint_curve(at_loss, inputs, Free(log_params, log_tokens, doubt))

    known = inputs, free.log_params, free.log_tokens
    sizes = optimum(curve, known, bounds, status, ok)
    if bounds is not None and has_ceiling(inputs.law):
        from jaxscale.solve.ceiling import at_ceiling

        sizes = at_ceiling(at_loss, inputs, bounds, sizes, ok)
    if bounds is not None:  # without them the point itself was verified
        sizes = sizes.require(is_verified(at_loss, given, bounds, sizes), Status.NOT_CONVERGED)
    return inputs, sizes


def _off_the_floor(inputs: Inputs) -> tuple[Inputs, Array]:
    """The inputs with a loss that can be told from the floor, and whether it was at the floor.

    Where repeated data does no more good, models of plausible sizes have the least loss that the
    law gives, to the last digit. Near it, that digit is worth a good part of the cost: a few more
    are allowed, so that rounding never makes a plan dearer than a known one.
    """
    floor = floor_of(inputs, inputs.target)
    digit = epsilon(floor) * jnp.abs(floor)
    above = inputs.target - floor
    at_floor = jnp.abs(above) <= SAME * digit
    near = (above > -SAME * digit) & (above < NEAR_FLOOR * digit)
    shift = ALLOWED * digit - jnp.minimum(lax.stop_gradient(above), 0)
    return inputs._replace(target=inputs.target + jnp.where(near, shift, 0)), at_floor


def _judged(
    at_loss: bool, inputs: Inputs, bounds: Bounds | None, like: Array
) -> tuple[Array, Array]:
    """Status before solving, and whether it is ok. Not for differentiation."""
    target = inputs.target
    # The largest model has the least loss that there is, and the smallest the least cost.
    if at_loss:
        valid, infeasible = is_finite(target), Status.INFEASIBLE_LOSS
        reachable = target > floor_of(inputs, like)
    else:
        valid, infeasible = is_positive(target), Status.INFEASIBLE_BUDGET
        nothing = jnp.full_like(like, -far(like.dtype))
        reachable = cost_value(nothing, nothing, inputs) < target
    return outcome(
        (~(is_valid(inputs, bounds) & valid), Status.INVALID_INPUT),
        (~costs_fit(inputs.demand, inputs.costs), Status.OUT_OF_RANGE),
        (~reachable, infeasible),
    )


def zeros_of_full_shape(tree: Any) -> Array:
    """Zeros of the shape that all numbers together have; those are of one rank."""
    # Made of all of them: under `shard_map` a loop must begin with what varies as its results do.
    return reduce(operator.add, [jnp.zeros_like(x) for x in jax.tree.leaves(tree)])


# --- The curve of the target -----------------------------------------------------------------


class Free(NamedTuple):
    """The optimum without bounds; where there is none, the end that the search ran towards."""

    log_params: Array
    log_tokens: Array
    status: Array


def constraint_curve(at_loss: bool, inputs: Inputs, free: Free) -> Curve:
    """All plans that just meet the target, and the best of them, which is `free`."""
    like = free.log_params
    top = jnp.asarray(far(like.dtype), like.dtype)
    zero = jnp.zeros_like(like)
    floor = floor_of(inputs, like)
    training = jnp.log(inputs.target + zero) - jnp.log(TRAIN_FLOPS * inputs.costs.train)

    def in_range(log_size: Array) -> Array:
        return jnp.clip(log_size, -top, top) + zero

    def use(log_params: Array, log_tokens: Array) -> Array:
        x, y = in_range(log_params), in_range(log_tokens)
        if not at_loss:
            return cost_over_budget(x, y, inputs)
        above = inputs.loss(x, y) - floor
        return jnp.where(jnp.isnan(above), jnp.inf, above / (inputs.target - floor))

    def meet(direction: tuple[float, float], x: Array, y: Array) -> Array:
        x, y = in_range(x), in_range(y)
        if at_loss:
            near = beginning(inputs.law, inputs.levers, direction, like) + zero
        else:
            near = jnp.clip((training - x - y) / (direction[0] + direction[1]), -top, top)
        return distance(at_loss, inputs, direction, x, y, lax.stop_gradient(near))

    def at_ratio(log_ratio: Array) -> tuple[Array, Array]:
        log_params = meet(BOTH, zero, log_ratio)
        return log_params, log_params + log_ratio

    return Curve(
        free=partial(with_derivatives, at_loss, inputs, free.log_params, free.log_tokens),
        tokens_at=partial(meet, TOKENS, y=zero),
        params_at=partial(meet, PARAMS, zero),
        at_ratio=at_ratio,
        use=use,
        rounding=jnp.abs(inputs.target / (inputs.target - floor) if at_loss else training),
        slack_is_low=at_loss,
        infeasible=Status.INFEASIBLE_BOUNDS if at_loss else Status.INFEASIBLE_BUDGET,
        doubt=free.status,
        of_both=partial(_by_one_program, zero),
    )


def _by_one_program(
    zero: Array, at: Callable[[Array], Array], low: Array, high: Array
) -> tuple[Array, Array]:
    """`at` of both ends, which compiles it once; `zero` has the full shape, on every device."""
    low, high = low + zero, high + zero

    def step(count: Array, found: tuple[Array, Array]) -> tuple[Array, Array]:
        is_first = count == 0
        end = at(jnp.where(is_first, low, high))
        return jnp.where(is_first, end, found[0]), jnp.where(is_first, found[1], end)

    return fori_loop(2, step, (low, high))


# --- The optimum without bounds --------------------------------------------------------------


def free_optimum(
    at_loss: bool, inputs: Inputs, like: Array, search: Search | None = None
) -> tuple[Free, "_Around"]:
    """The stationary point, with a status that says whether it is the optimum, and the only one.

    With it what is around it. `like` has the full shape. Not for differentiation.
    """
    near = usual_point(inputs, like) if search is None else search.near
    point = _finite(stationary(at_loss, inputs, *start(at_loss, inputs, like, near)))
    seen = _look_around(at_loss, inputs, point, None if search is None else search.looks)
    top = far(like.dtype)
    converged = is_converged(point) & seen.meets_target & (jnp.abs(point.log_params) < top)
    converged &= jnp.abs(point.log_tokens) < top
    verified = meets_target(at_loss, inputs, point.log_params, point.log_tokens)

    def status(alike: Array) -> Array:
        return first_status(
            ((~converged | alike) & seen.is_monotone, Status.NO_INTERIOR_OPTIMUM),
            (~converged, Status.NOT_CONVERGED),
            (~seen.is_valley, Status.SEVERAL_OPTIMA),
            (~verified, Status.NOT_CONVERGED),
        )

    # Where all plans of one cost are alike, what a search converged to is rounding.
    judged = cond(
        any_of(seen.is_flat),
        lambda: status(seen.is_flat & _are_slopes_alike(at_loss, inputs, point)),
        lambda: status(jnp.zeros_like(converged)),
    )
    return Free(point.log_params, point.log_tokens, judged), seen


def _finite(point: Point) -> Point:
    """The point, or where it has no numbers one that is none."""
    known = is_finite(point.log_params) & is_finite(point.log_tokens)
    return Point(
        jnp.where(known, point.log_params, 0),
        jnp.where(known, point.log_tokens, 0),
        jnp.where(known, point.last_step, jnp.inf),
    )


def _at_its_end(free: Free, seen: "_Around") -> Free:
    """The end that a search ran towards, where there is no optimum: bounds decide on that side."""
    top = far(free.log_params.dtype)
    runs_off = (free.status == int(Status.NO_INTERIOR_OPTIMUM)) & ~seen.is_flat
    towards = jnp.where(seen.falls_with_tokens, top, -top).astype(free.log_params.dtype)
    return Free(
        jnp.where(runs_off, -towards, free.log_params),
        jnp.where(runs_off, towards, free.log_tokens),
        free.status,
    )


def _are_slopes_alike(at_loss: bool, inputs: Inputs, point: Point) -> Array:
    """Whether another plan of the same cost balances params and tokens as the point does.

    Losses that differ by less than rounding do not say it: their derivatives still do.
    """
    x, y, _ = point
    other = y + OFFSETS[0]
    _, psi = equations(at_loss, params_of_equal_cost(x, y, other, inputs), other, inputs)
    return ~(jnp.abs(psi) > jnp.sqrt(epsilon(x)))


class _Around(NamedTuple):
    """The shape of the losses along a curve of equal cost."""

    meets_target: Array  # at the point, as far as rounding lets one tell
    is_valley: Array  # lowest at the point, and rising away from it
    is_monotone: Array  # one way throughout, and above the floor
    is_flat: Array  # the same everywhere: only the cost matters
    falls_with_tokens: Array


def _look_around(at_loss: bool, inputs: Inputs, point: Point, looks: Array | None) -> _Around:
    """Losses along the plans that cost as much as the point.

    A plan is the cheapest of its loss, or the best of its cost, exactly when none of the same
    cost is better; such plans are at hand without solving anything. Where it does not look, all is
    well.
    """
    x, y, _ = point
    middle = inputs.loss(x, y)
    noise = SAME_LOSS * epsilon(x) * jnp.abs(middle)

    # From the point to either side. What was seen is kept as bits of one number, because XLA makes
    # a loop for each array.
    offsets = [*OFFSETS, *(-each for each in OFFSETS)]

    def look(number: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        (before, seen), offset = carry, nth(offsets, number, x.dtype)
        before = jnp.where(jnp.abs(offset) == OFFSETS[0], middle, before)
        here, is_up = y + offset, offset > 0
        value = inputs.loss(params_of_equal_cost(x, y, here, inputs), here)
        # A comparison with NaN, where a law says nothing so far out, is no evidence of anything.
        lower, higher = value < before - noise, value > before + noise
        seen |= jnp.where(lower, CLIMBS | jnp.where(is_up, FALLS, RISES), 0)
        return value, seen | jnp.where(higher, jnp.where(is_up, RISES, FALLS), 0)

    nothing = jnp.zeros_like(x, jnp.int32)
    if looks is None:
        _, seen = fori_loop(len(offsets), merged(look), (middle, nothing))
    else:
        begin = middle, nothing | jnp.where(looks, 0, FALLS | RISES)
        count: Array = jnp.where(looks, len(offsets), 0)
        _, seen = fori_loop(count, merged(look), begin)
    falls, rises, climbs = (seen & bit > 0 for bit in (FALLS, RISES, CLIMBS))
    is_spent = middle - floor_of(inputs, x) <= noise
    if at_loss:
        near = NEAR_TARGET * jnp.abs(inputs.target - floor_of(inputs, x)) + noise
        meets = jnp.abs(middle - inputs.target) <= near
    else:
        meets = jnp.abs(cost_over_budget(x, y, inputs) - 1) <= NEAR_TARGET
    return _Around(meets, ~climbs, ~(falls & rises | is_spent), ~(falls | rises), falls)
