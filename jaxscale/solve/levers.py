"""An outer minimization over the levers of a law, by interpolation of the objective's slopes.

For given levers the plan is solved as ever, so bounds and statuses hold. Its cost or loss is a
function of the levers alone, and by the envelope theorem the slopes of that function need the
first derivatives of loss and cost at the plan, but not those of the plan. At Chebyshev points
over the ranges of the levers, polynomials interpolate the slopes, and Newton's method finds
their common zero nearest to the best point; a smaller box around that zero is next, until what
the polynomials leave out is rounding.
"""

# JAX leaves what `jvp`, `lax.map` and `tree.map` return without a type.
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

import itertools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.typed import custom_jvp, epsilon, fori_loop
from jaxscale._numerics.values import any_of, where_safe
from jaxscale.costs import Costs, Demand
from jaxscale.laws.protocol import levers_of, loss_from_logs
from jaxscale.plan import Bounds, Plan
from jaxscale.solve.general import Search, aligned, best_sizes, solve, zeros_of_full_shape
from jaxscale.solve.marginal import by_levers
from jaxscale.solve.newton import Inputs, cost_value, floor_of, log_cost
from jaxscale.solve.start import usual_point
from jaxscale.status import Status, is_ok

SIZES = ("params", "tokens")
# Points along each lever in a box, by how many levers there are.
POINTS = {1: 7, 2: 5, 3: 4}
BOXES = 12  # at the most; smooth objectives need two or three
# Width of a box over that of the last; and where a scenario has no plan at some points, so that
# nothing can be interpolated.
SMALLER, NEARER = 0.125, 0.4
POLISHES = 8  # points at most, beyond those of a box, on the way to the optimum
NEWTON_STEPS = 6  # on the interpolating polynomials, which cost next to nothing
# A range whose ends are further apart than this factor is searched in logarithms.
WIDE = 30.0
# Two values of the objective are one when they are so many epsilons apart.
SAME = 64.0
MAGNIFIED = 8.0
CONVERGED = 100.0  # epsilons, whose root is an error of a lever that costs its square

Position = tuple[Array, ...]  # of each chosen lever, from 0 to 1 along its range


class _Problem(NamedTuple):
    """The static part of a joint problem."""

    at_loss: bool
    ranges: tuple[tuple[str, float, float], ...]


def joint(
    at_loss: bool,
    chosen: tuple[str, ...],
    target: Array,
    levers: Mapping[str, Array],
    law: Any,
    demand: Any,
    costs: Any,
    bounds: Bounds | None = None,
) -> Plan:
    """The cheapest plan of a loss (`at_loss`), or the best of a budget, over `chosen` too."""
    known = levers_of(law)
    ranges = tuple((name, float(known[name][0]), float(known[name][1])) for name in chosen)
    return _joint(_Problem(at_loss, ranges), target, levers, law, demand, costs, bounds)


def _solved_jointly(
    problem: _Problem,
    target: Array,
    levers: dict[str, Array],
    law: Any,
    demand: Demand,
    costs: Costs,
    bounds: Bounds | None,
) -> Plan:
    inputs, bounds = aligned(target, levers, law, demand, costs, bounds)
    like = zeros_of_full_shape((inputs, bounds))
    fixed = lax.stop_gradient((inputs, bounds))
    box = _searched(problem, *fixed, like)
    moved = _with_derivatives(problem, inputs, bounds, box.center)
    plan = _best_plan(problem, inputs, bounds, moved)
    if bounds is not None:
        plan = replace(plan, marginal_cost=_marginal_cost(problem, inputs, bounds, moved, plan))
    at_end = _any([(z <= 0) | (z >= 1) for z in box.center])
    status = plan.status
    status = jnp.where(at_end & (status == int(Status.OK)), int(Status.AT_LEVER_END), status)
    status = jnp.where(is_ok(status) & ~box.is_done, int(Status.NOT_CONVERGED), status)
    status = jnp.where(is_ok(status) & box.several, int(Status.SEVERAL_OPTIMA), status)
    return masked(plan, status.astype(jnp.int8))


_joint = compiled(_solved_jointly, static=1)


def _marginal_cost(
    problem: _Problem, inputs: Inputs, bounds: Bounds, position: Position, plan: Plan
) -> Array:
    ok = plan.params == plan.params
    inputs = jax.tree.map(partial(where_safe, ok), inputs)
    x, y = (jnp.log(where_safe(ok, size)) for size in (plan.params, plan.tokens))

    def surfaces(*position: Array) -> tuple[Array, Array]:
        asked = _with_levers(problem, inputs, position)
        return cost_value(x, y, asked), asked.loss_of_all_tokens(x, y)

    return by_levers(surfaces, position, bounds, plan)


def masked(plan: Plan, status: Array) -> Plan:
    """The plan with this status, and NaN for its numbers where that is not ok."""
    ok = is_ok(status)

    def or_nan(x: Array) -> Array:
        return jnp.where(ok, x, jnp.nan) if jnp.issubdtype(x.dtype, jnp.floating) else x

    numbers = {name: value for name, value in vars(plan).items() if name != "status"}
    return Plan(**jax.tree.map(or_nan, numbers), status=status)


def _with_levers(problem: _Problem, inputs: Inputs, position: Position) -> Inputs:
    """The inputs with the levers that a position along the ranges stands for."""
    values = dict(inputs.levers)
    for (name, low, high), z in zip(problem.ranges, position, strict=True):
        if low > 0 and high > WIDE * low:
            value = low * jnp.exp(z * math.log(high / low))
        else:
            value = low + z * (high - low)
        values[name] = jnp.where(z <= 0, low, jnp.where(z >= 1, high, value))
    return inputs._replace(levers=values)


# --- The objective and its slopes -----------------------------------------------------------


def _objective(problem: _Problem, plan: Plan) -> Array:
    """Logarithm of a plan's cost, or its loss; NaN where there is no plan."""
    if not problem.at_loss:
        return plan.loss
    cost = where_safe(plan.ok, plan.total_cost)
    # In units of itself: the second derivative of a logarithm squares a cost, beyond float32.
    unit = lax.stop_gradient(1 / cost)
    return jnp.where(plan.ok, jnp.log(cost * unit) - jnp.log(unit), jnp.nan)


def _best_plan(
    problem: _Problem, inputs: Inputs, bounds: Bounds | None, position: Position
) -> Plan:
    return solve(problem.at_loss, _with_levers(problem, inputs, position), bounds)


class _Envelope(NamedTuple):
    """The Lagrangian at the best plan of a position, and the ways on which the target is kept.

    By the envelope theorem slopes of the objective along the levers are those of the Lagrangian,
    and its second derivatives along those ways are all that bends take.
    """

    plan: tuple[Array, Array]  # log params and log tokens; where there is none, of an older one
    value: Array  # of the objective; infinite where there is no plan
    slopes: list[Array]
    ways: list[tuple[Array, ...]]  # of log params, log tokens and levers: one for each lever
    trade: tuple[Array, ...]  # params for tokens, where no bound is in force
    along: Callable[[tuple[Array, ...], tuple[Array, ...]], Array]  # second derivative, two ways


def _envelope(
    problem: _Problem,
    inputs: Inputs,
    bounds: Bounds | None,
    position: Position,
    search: Search,
    one: Array,
) -> _Envelope:
    """What a lever changes by itself, and what it costs to move the plan back onto its constraint.

    The plan is moved in the direction that the bounds in force leave open.
    """
    asked = _with_levers(problem, inputs, position)
    _, sizes = best_sizes(problem.at_loss, asked, bounds, search)
    # All below needs the status: as a quotient it is computed once.
    status = jnp.where(sizes.ok, sizes.status, -1).astype(one.dtype) / one
    ok = status >= 0
    here = sizes.log_params, sizes.log_tokens
    plan = jnp.where(ok, here[0], search.near[0]), jnp.where(ok, here[1], search.near[1])
    point = (*plan, *position)

    def surfaces(x: Array, y: Array, *position: Array) -> tuple[Array, Array]:
        asked = _with_levers(problem, inputs, position)
        loss, cost = loss_from_logs(asked.law, x, y, **asked.levers), log_cost(x, y, asked)
        return (cost, loss) if problem.at_loss else (loss, cost)

    def along(*way: Array) -> tuple[Array, Array]:
        return jax.jvp(surfaces, point, way)[1]

    def is_at(*statuses: Status) -> Array:
        return _any([status == int(each) for each in statuses])

    value, _ = surfaces(*point)
    value = jnp.where(ok & ~jnp.isnan(value), value, jnp.inf)
    ones, zero = jnp.ones_like(point[0]), jnp.zeros_like(point[0])
    still = tuple(zero for _ in position)
    by_params, by_tokens = along(ones, zero, *still), along(zero, ones, *still)
    at_corner = is_at(Status.AT_CORNER)
    back = (
        jnp.where(is_at(Status.AT_MIN_PARAMS, Status.AT_MAX_PARAMS), 0, ones),
        jnp.where(is_at(Status.AT_MIN_TOKENS, Status.AT_MAX_TOKENS), 0, ones),
    )
    moved, missed = (a * back[0] + b * back[1] for a, b in zip(by_params, by_tokens, strict=True))
    price, inverse = jnp.where(at_corner, 0, moved) / missed, jnp.where(at_corner, 0, 1) / missed
    slopes, ways = [], []
    for i in range(len(position)):
        unit = tuple(ones if i == j else zero for j in range(len(position)))
        gained, off = along(zero, zero, *unit)
        slopes.append(jnp.where(ok, gained - price * off, jnp.nan))
        ways.append((-off * inverse * back[0], -off * inverse * back[1], *unit))
    is_free = is_at(Status.OK)
    trade = tuple(jnp.where(is_free, by, 0) for by in (by_tokens[1], -by_params[1]))

    def lagrangian(*point: Array) -> Array:
        value, target = surfaces(*point)
        return value - price * target

    def second(way: tuple[Array, ...], other: tuple[Array, ...]) -> Array:
        return jax.jvp(lambda *point: jax.jvp(lagrangian, point, way)[1], point, other)[1]

    return _Envelope(plan, value, slopes, ways, (*trade, *still), second)


def _one(number: Array, dtype: Any) -> Array:
    """1, of which XLA does not know that it is."""
    return 1 + 0 * number.astype(dtype)


def _bends(envelope: _Envelope) -> list[list[Array]]:
    """Second derivatives of the objective by the levers, the plan following them."""
    *_, ways, trade, along = envelope
    follows = [along(way, trade) for way in ways]
    stiffness = along(trade, trade)
    inverse = jnp.where(stiffness > 0, 1 / jnp.where(stiffness > 0, stiffness, 1), 0)
    count = range(len(ways))
    upper = {
        (i, j): along(ways[i], ways[j]) - follows[i] * follows[j] * inverse
        for i in count
        for j in count
        if i <= j
    }
    return [[upper[min(i, j), max(i, j)] for j in count] for i in count]


# --- The search -----------------------------------------------------------------------------


class _Box(NamedTuple):
    """The box that is searched for the optimum, with the best point so far."""

    center: Position
    half: Array  # of its width, along every lever
    is_done: Array  # whether the center is the optimum
    several: Array  # whether the first box has more than one valley


def _searched(problem: _Problem, inputs: Inputs, bounds: Bounds | None, like: Array) -> _Box:
    """The box whose center is the optimum to the last digits; the first one is the whole range."""
    noise = SAME * epsilon(like) * _rounding(problem, inputs, like)

    def goes_on(carry: tuple[Array, _Box]) -> Array:
        number, box = carry
        return (number < BOXES) & any_of(~box.is_done)

    def search(carry: tuple[Array, _Box]) -> tuple[Array, _Box]:
        number, box = carry
        smaller = _smaller_box(problem, inputs, bounds, box, noise)
        smaller = smaller._replace(several=jnp.where(number == 0, smaller.several, box.several))
        # A scenario that is done stays as it is, whatever others it is computed with.
        return number + 1, jax.tree.map(partial(jnp.where, box.is_done), box, smaller)

    middle, no = 0.5 + like, jnp.zeros_like(like, bool)
    first = _Box(tuple(middle for _ in problem.ranges), middle, no, no)
    return lax.while_loop(goes_on, search, (jnp.int32(0), first))[1]


def _rounding(problem: _Problem, inputs: Inputs, like: Array) -> Array:
    """Error of a cost by rounding of the loss, over the rounding of the cost itself."""
    if not problem.at_loss:
        return 1.0 + jnp.zeros_like(like)
    floor = floor_of(_with_levers(problem, inputs, tuple(0.5 + like for _ in problem.ranges)), like)
    return MAGNIFIED * (1 + jnp.abs(inputs.target / (inputs.target - floor)))


class _Polish(NamedTuple):
    """Newton's method on the slopes themselves, from the zero of the polynomials."""

    position: Position  # in the box, from -1 to 1
    node: Position  # the best point of the box, which has a plan
    goes_on: Array
    is_done: Array


def _smaller_box(
    problem: _Problem, inputs: Inputs, bounds: Bounds | None, box: _Box, noise: Array
) -> _Box:
    """The box around the zero of the slopes, as interpolated on a box, or the optimum itself.

    All its points are looked at, and then those on the way to the optimum: in one loop, because
    the solver inside takes most of the time to compile.
    """
    count, dtype = len(box.center), box.half.dtype
    n = POINTS[count]
    many = n**count
    low = [jnp.maximum(z - box.half, 0) for z in box.center]
    high = [jnp.minimum(z + box.half, 1) for z in box.center]
    along = -np.cos(np.pi * np.arange(n) / (n - 1))
    grid = jnp.asarray(np.array(list(itertools.product(along, repeat=count)), dtype).T)
    halves = [(b - a) / 2 for a, b in zip(low, high, strict=True)]

    def interpolated(values: Array, slopes: list[Array]) -> tuple[_Box, _Polish]:
        return _interpolated(
            box, noise, grid, (low, high), values[:many], [x[:many] for x in slopes]
        )

    def look(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        number, values, slopes, smaller, polish, near = carry
        node = [jnp.take(row, jnp.minimum(number, many - 1)) for row in grid]
        at = [jnp.where(number < many, t, p) for t, p in zip(node, polish.position, strict=True)]
        position = tuple(_between(a, b, t) for a, b, t in zip(low, high, at, strict=True))
        search = Search(near, number < many)
        envelope = _envelope(problem, inputs, bounds, position, search, _one(number, dtype))
        slope = [x * half for x, half in zip(envelope.slopes, halves, strict=True)]
        # Beyond the points of the box, all in the last row.
        row = jnp.minimum(number, many)
        values = lax.dynamic_update_index_in_dim(values, envelope.value, row, 0)
        slopes = [
            lax.dynamic_update_index_in_dim(x, y, row, 0)
            for x, y in zip(slopes, slope, strict=True)
        ]
        least = jnp.min(values[:many], axis=0) + noise
        smaller, polish = lax.switch(
            jnp.clip(number - many + 2, 0, 2),
            (
                lambda: (smaller, polish),
                lambda: interpolated(values, slopes),
                lambda: (
                    smaller,
                    _polished(polish, slope, (low, high), envelope, envelope.value <= least),
                ),
            ),
        )
        return number + 1, values, slopes, smaller, polish, envelope.plan

    def goes_on(carry: tuple[Any, ...]) -> Array:
        number, *_, polish, _ = carry
        return (number < many) | ((number < many + POLISHES) & any_of(polish.goes_on))

    empty = jnp.zeros((many + 1, *box.half.shape), dtype)
    zero, no = jnp.zeros_like(box.half), jnp.zeros_like(box.is_done)
    begin = _Polish((zero,) * count, (zero,) * count, no, no)
    near = tuple(z + zero for z in usual_point(_with_levers(problem, inputs, box.center), zero))
    start = (jnp.int32(0), empty, [empty] * count, box, begin, near)
    *_, smaller, polish, _ = lax.while_loop(goes_on, look, start)
    center = tuple(
        jnp.where(polish.is_done, _between(a, b, t), z)
        for a, b, t, z in zip(low, high, polish.position, smaller.center, strict=True)
    )
    return smaller._replace(center=center, is_done=smaller.is_done | polish.is_done)


def _polished(
    polish: _Polish,
    slopes: list[Array],
    ends: tuple[list[Array], list[Array]],
    envelope: _Envelope,
    is_least: Array,
) -> _Polish:
    """After a step by the slopes and bends at a position, in a box with these ends."""
    low, high = ends
    halves = [(b - a) / 2 for a, b in zip(low, high, strict=True)]
    held = [
        ((t <= -1) & (slope > 0)) | ((t >= 1) & (slope < 0))
        for t, slope in zip(polish.position, slopes, strict=True)
    ]
    bends = [
        [bend * a * b for bend, b in zip(row, halves, strict=True)]
        for row, a in zip(_bends(envelope), halves, strict=True)
    ]
    gap = _gap(POINTS[len(slopes)])
    moves = [jnp.clip(move, -gap, gap) for move in _newton(slopes, bends, held, gap / 2)]
    position = tuple(jnp.clip(t + m, -1, 1) for t, m in zip(polish.position, moves, strict=True))
    tolerance = (CONVERGED * epsilon(slopes[0])) ** 0.5
    far = _any([~(jnp.abs(m) * half < tolerance) for m, half in zip(moves, halves, strict=True)])
    # What holds a lever must be an end of its range: beyond the edge of a box it may do better.
    stuck = _any(
        [
            each & ~(((t <= -1) & (a <= 0)) | ((t >= 1) & (b >= 1)))
            for each, t, a, b in zip(held, polish.position, low, high, strict=True)
        ]
    )
    # Where there is no plan, halfway back to one.
    lost = _any([jnp.isnan(t) for t in position])
    position = tuple(
        jnp.where(polish.goes_on, jnp.where(lost, (z + node) / 2, t), z)
        for t, z, node in zip(position, polish.position, polish.node, strict=True)
    )
    goes_on = polish.goes_on & ~stuck
    done = polish.is_done | (goes_on & ~far & is_least)
    return _Polish(position, polish.node, goes_on & far, done)


def _gap(n: int) -> float:
    """The widest gap between points of a box."""
    return 2 * math.sin(math.pi / (2 * (n - 1)))


def _interpolated(
    box: _Box,
    noise: Array,
    grid: Array,
    ends: tuple[list[Array], list[Array]],
    values: Array,
    slopes: list[Array],
) -> tuple[_Box, _Polish]:
    """The next box by what polynomials say of the slopes at all points, and the start of a polish.

    Slopes are those along the box, from -1 to 1.
    """
    count, dtype = len(box.center), box.half.dtype
    n = POINTS[count]
    low, high = ends
    nodes = [row.reshape(-1, *(1,) * box.half.ndim) for row in grid]
    has_plan = jnp.any(values < jnp.inf, axis=0)
    best = jnp.argmin(values, axis=0)
    best_node = _taken(tuple(t + jnp.zeros_like(values) for t in nodes), best)
    polynomials = [_coefficients(slope, n, count) for slope in slopes]
    zero = _zero(polynomials, best_node, _gap(n))
    interpolated = (_between(a, b, t) for a, b, t in zip(low, high, zero.position, strict=True))
    points = (_between(a, b, t) for a, b, t in zip(low, high, best_node, strict=True))
    center = tuple(
        jnp.where(has_plan, jnp.where(zero.is_known, z, node), old)
        for z, node, old in zip(interpolated, points, box.center, strict=True)
    )
    tolerance = (CONVERGED * epsilon(box.half)) ** 0.5
    # An edge is where a lever is best only if it is an end of its range.
    errors = [
        jnp.where(held & ~(((t <= -1) & (a <= 0)) | ((t >= 1) & (b >= 1))), jnp.inf, error)
        for held, error, t, a, b in zip(zero.held, zero.errors, best_node, low, high, strict=True)
    ]
    error = reduce(jnp.maximum, errors)
    inside = zero.is_known & (error < jnp.inf)
    is_done = ~has_plan | (inside & (error * box.half < tolerance))
    # Beyond the box the optimum is followed; else the next box is as wide as the error demands.
    beyond = zero.is_known & ~inside & _any([jnp.abs(t) >= 1 for t in zero.position])
    smaller = jnp.where(inside, jnp.clip(4 * error, SMALLER, NEARER), NEARER)
    half = box.half * jnp.where(beyond, 1, smaller).astype(dtype)
    several = jnp.zeros_like(is_done)
    if count == 1:  # over two levers or more, the points are not in the order of a path
        falls = values[1:] < values[:-1] - noise[None]
        rises = values[1:] > values[:-1] + noise[None]
        several |= jnp.any((lax.cummax(rises.astype(jnp.int8))[:-1] > 0) & falls[1:], axis=0)
    # Where some points have no plan, there are no polynomials: from the best of the others.
    first = tuple(
        jnp.where(zero.is_known, t, node) for t, node in zip(zero.position, best_node, strict=True)
    )
    goes_on = has_plan & ~is_done & ~box.is_done
    polish = _Polish(first, best_node, goes_on, jnp.zeros_like(is_done))
    return _Box(center, half, is_done, several), polish


def _taken(points: Position, index: Array) -> Position:
    return tuple(jnp.take_along_axis(z, index[None], axis=0)[0] for z in points)


def _between(low: Array, high: Array, t: Array) -> Array:
    """The position at t from -1 to 1; the ends exactly."""
    inside = low + (high - low) * ((1 + t) / 2)
    return jnp.where(t <= -1, low, jnp.where(t >= 1, high, inside))


# --- Interpolation --------------------------------------------------------------------------


class _Zero(NamedTuple):
    """A common zero of polynomials, or what is nearest to it in the part that is looked at."""

    position: Position
    held: list[Array]  # whether the zero lies beyond an edge of that part, along each lever
    errors: list[Array]  # from what the polynomials leave out
    is_known: Array


def _coefficients(values: Array, n: int, count: int) -> Array:
    """Chebyshev coefficients, along the first axes, of values at the points of a box."""
    j = np.arange(n)
    ends = np.where((j == 0) | (j == n - 1), 0.5, 1.0)
    matrix = np.cos(np.pi * np.outer(j, n - 1 - j) / (n - 1)) * ends * ends[:, None] * 2 / (n - 1)
    matrix = jnp.asarray(matrix, values.dtype)
    values = values.reshape(*(n,) * count, *values.shape[1:])
    for axis in range(count):
        values = jnp.moveaxis(jnp.tensordot(matrix, values, axes=(1, axis)), 0, axis)
    return values


def _polynomial(coefficients: Array, position: Position) -> Array:
    for t in position:
        n = coefficients.shape[0]
        basis = [jnp.ones_like(t), t]
        for _ in range(n - 2):
            basis.append(2 * t * basis[-1] - basis[-2])
        lead = (1,) * (coefficients.ndim - 1 - t.ndim)
        terms = [c * b.reshape(lead + t.shape) for c, b in zip(coefficients, basis, strict=True)]
        coefficients = reduce(operator.add, terms)
    return coefficients


def _zero(polynomials: list[Array], start: Position, gap: float) -> _Zero:
    """The common zero of polynomials within `gap` of `start`, and in [-1, 1]."""
    count = len(start)
    one, zero = jnp.ones_like(start[0]), jnp.zeros_like(start[0])
    units = [tuple(one if i == j else zero for j in range(count)) for i in range(count)]
    edges = [(jnp.maximum(t - gap, -1), jnp.minimum(t + gap, 1)) for t in start]

    def slopes_of(*position: Array) -> list[Array]:
        return [_polynomial(each, position) for each in polynomials]

    def look(position: Position) -> tuple[list[Array], list[list[Array]], list[Array]]:
        ways = [jax.jvp(slopes_of, position, unit) for unit in units]
        slopes, columns = ways[0][0], [column for _, column in ways]
        held = [
            ((t <= low) & (slope > 0)) | ((t >= high) & (slope < 0))
            for t, slope, (low, high) in zip(position, slopes, edges, strict=True)
        ]
        bends = [[columns[j][i] for j in range(count)] for i in range(count)]
        return slopes, bends, held

    def step(_: Array, position: Position) -> Position:
        moves = _newton(*look(position), gap / 2)
        return tuple(
            jnp.clip(t + move, *edge) for t, move, edge in zip(position, moves, edges, strict=True)
        )

    position = fori_loop(NEWTON_STEPS, step, start)
    _, bends, held = look(position)
    errors = []
    for i, each in enumerate(polynomials):
        # The last coefficients along every lever: those that are left out are smaller.
        tails = [jnp.abs(jnp.take(each, -1, axis)) for axis in range(count)]
        tail = sum(tail.sum(tuple(range(count - 1))) for tail in tails)
        error = tail / jnp.abs(bends[i][i])
        errors.append(jnp.where(held[i], 0, jnp.where(jnp.isnan(error), jnp.inf, error)))
    known = ~_any([jnp.isnan(t) for t in position])
    return _Zero(position, held, errors, known)


def _newton(
    slopes: list[Array], bends: list[list[Array]], held: list[Array], short: float
) -> list[Array]:
    """Newton's step of the free levers; downhill where the objective bends the wrong way."""
    free = [jnp.where(each, 0.0, 1.0).astype(slopes[0].dtype) for each in held]
    vector = [-slope * f for slope, f in zip(slopes, free, strict=True)]
    solution, convex = solved(_freed(bends, free), vector)
    downhill = [short * jnp.sign(v) for v in vector]
    return [jnp.where(convex, s, d) for s, d in zip(solution, downhill, strict=True)]


def _freed(bends: list[list[Array]], free: list[Array]) -> list[list[Array]]:
    """A matrix of second derivatives with those of held levers replaced by the identity's."""
    count = len(free)
    return [
        [bends[i][j] * free[i] * free[j] + (1 - free[i] if i == j else 0) for j in range(count)]
        for i in range(count)
    ]


def solved(matrix: list[list[Array]], vector: list[Array]) -> tuple[list[Array], Array]:
    """Solution of a small system in each lane, and whether its pivots are positive."""
    count = len(vector)
    rows = [[*matrix[i], vector[i]] for i in range(count)]
    definite = jnp.ones_like(vector[0], bool)
    for i in range(count):
        definite &= rows[i][i] > 0
        pivot = jnp.where(rows[i][i] == 0, 1, rows[i][i])
        rows[i] = [x / pivot for x in rows[i]]
        for j in range(count):
            if j != i:
                factor = rows[j][i]
                rows[j] = [x - factor * y for x, y in zip(rows[j], rows[i], strict=True)]
    return [row[-1] for row in rows], definite


# --- Derivatives ----------------------------------------------------------------------------


@custom_jvp(0)
def _with_derivatives(
    problem: _Problem, inputs: Inputs, bounds: Bounds | None, position: Position
) -> Position:
    """An optimal position as it is, with its implicit derivatives by `inputs` and `bounds`."""
    return position


@_with_derivatives.defjvp
def _with_derivatives_jvp(
    problem: _Problem, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Position, Position]:
    inputs, bounds, position = primals
    position = _with_derivatives(problem, inputs, bounds, position)
    count = len(position)
    one, zero = jnp.ones_like(position[0]), jnp.zeros_like(position[0])
    units = [tuple(one if i == j else zero for j in range(count)) for i in range(count)]

    def slope(i: int, inputs: Inputs, bounds: Bounds | None, position: Position) -> Array:
        def objective(*position: Array) -> Array:
            return _objective(problem, _best_plan(problem, inputs, bounds, position))

        return jax.jvp(objective, position, units[i])[1]

    bends: list[list[Array]] = []
    changes: list[Array] = []
    for i in range(count):
        at_position = partial(slope, i, inputs, bounds)
        bends.append([jax.jvp(at_position, (position,), (unit,))[1] for unit in units])
        by_inputs = partial(slope, i, position=position)
        changes.append(jax.jvp(by_inputs, (inputs, bounds), tangents[:2])[1])
    inside = [(z > 0) & (z < 1) for z in position]
    free = [jnp.where(each, 1.0, 0.0).astype(position[0].dtype) for each in inside]
    vector = [-c * f for c, f in zip(changes, free, strict=True)]
    moved, definite = solved(_freed(bends, free), vector)
    return position, tuple(jnp.where(definite, m, 0) for m in moved)


def _any(conditions: Sequence[Array]) -> Array:
    return reduce(operator.or_, conditions)


# pyright: standard
