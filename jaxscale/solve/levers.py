"""More levers than params and tokens: the best plan at each choice, and the best choice.

The plan of given levers is solved as ever, so bounds and statuses hold; what is added is one
function of the levers alone, the cost or the loss of that plan. It is looked at on a grid over
the ranges; from its lowest place ever smaller moves go downhill, which asks nothing of its
shape; and the last digits are Newton's, with the first two derivatives of the plan itself.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.values import where_safe
from jaxscale.laws.protocol import levers_of
from jaxscale.plan import Bounds, Plan
from jaxscale.solve.general import aligned, solve, zeros_of_full_shape
from jaxscale.solve.newton import Inputs, floor_of
from jaxscale.status import Status, is_ok

SIZES = ("params", "tokens")
# Places along each lever, by how many levers there are.
PLACES = {1: 9, 2: 5, 3: 4}
HALVINGS = 5  # of the cells of the grid, before Newton's method
STEPS = 6
# A range whose ends are further apart than this is looked at in logarithms.
WIDE = 30.0
# Two values of the objective are one when they are so many epsilons apart.
SAME = 64.0
MAGNIFIED = 8.0
CONVERGED = 100.0  # epsilons, whose root is a step that leaves an error of its square

Place = tuple[Array, ...]  # of each chosen lever, from 0 to 1 along its range


class _Problem(NamedTuple):
    """What is static of a joint problem."""

    at_loss: bool
    ranges: tuple[tuple[str, float, float], ...]


def chosen_levers(over: Sequence[str]) -> tuple[str, ...]:
    """The names in `over` besides params and tokens, which it must hold.

    Raises ValueError where it does not, or holds more names than can be chosen together.
    """
    names = tuple(over)
    if isinstance(over, str) or not set(SIZES) <= set(names):
        raise ValueError(f"over must hold 'params' and 'tokens', and names of levers; got {over!r}")
    levers = tuple(dict.fromkeys(name for name in names if name not in SIZES))
    if len(levers) > max(PLACES):
        raise ValueError(
            f"over may hold {max(PLACES)} levers besides params and tokens; got {over!r}"
        )
    return levers


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


@partial(compiled, static=1)
def _joint(problem, target, levers, law, demand, costs, bounds):
    inputs, bounds = aligned(target, levers, law, demand, costs, bounds)
    like = zeros_of_full_shape((inputs, bounds))
    fixed = lax.stop_gradient((inputs, bounds))
    seen = _lowest_place(problem, *fixed, like)
    place, converged = _refined(problem, *fixed, seen)
    moved = _with_derivatives(problem, inputs, bounds, place)
    plan = solve(problem.at_loss, _with_levers(problem, inputs, moved), bounds)
    at_end = _any([(z <= 0) | (z >= 1) for z in place])
    status = plan.status
    status = jnp.where(at_end & (status == int(Status.OK)), int(Status.AT_LEVER_END), status)
    status = jnp.where(is_ok(status) & ~converged, int(Status.NOT_CONVERGED), status)
    status = jnp.where(is_ok(status) & seen.several, int(Status.SEVERAL_OPTIMA), status)
    return _masked(plan, status.astype(jnp.int8))


def _masked(plan, status):
    ok = is_ok(status)
    numbers = {name: value for name, value in vars(plan).items() if name != "status"}
    return Plan(**jax.tree.map(lambda x: jnp.where(ok, x, jnp.nan), numbers), status=status)


def _with_levers(problem: _Problem, inputs: Inputs, place: Place) -> Inputs:
    """The inputs with the levers that a place along the ranges stands for."""
    values = dict(inputs.levers)
    for (name, low, high), z in zip(problem.ranges, place, strict=True):
        if low > 0 and high > WIDE * low:
            value = low * jnp.exp(z * math.log(high / low))
        else:
            value = low + z * (high - low)
        values[name] = jnp.where(z <= 0, low, jnp.where(z >= 1, high, value))
    return inputs._replace(levers=values)


def _objective(problem: _Problem, inputs: Inputs, bounds: Bounds | None, place: Place) -> Array:
    """What the plan of a place costs, as a logarithm, or its loss; NaN where there is none."""
    plan = solve(problem.at_loss, _with_levers(problem, inputs, place), bounds)
    if not problem.at_loss:
        return plan.loss
    ok = plan.ok
    cost = where_safe(ok, plan.total_cost)
    # In units of itself: the second derivative of a logarithm squares a cost, beyond float32.
    unit = lax.stop_gradient(1 / cost)
    return jnp.where(ok, jnp.log(cost * unit) - jnp.log(unit), jnp.nan)


class _Looked(NamedTuple):
    """The lowest place so far, and what the way there looked like."""

    least: Array
    place: Place
    before: Array
    rising: Array
    several: Array  # whether there was another valley


def _tries(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Places to look at, one after the other, and whether each is one or a move from the lowest."""
    along = np.linspace(0, 1, PLACES[count])
    grid = np.array(list(itertools.product(along, repeat=count)))
    moves = np.array([each for each in itertools.product((-1, 0, 1), repeat=count) if any(each)])
    cells = 0.5 ** np.arange(1, HALVINGS + 1) / (PLACES[count] - 1)
    smaller = (cells[:, None, None] * moves).reshape(-1, count)
    return np.concatenate([grid, smaller]), np.arange(len(grid) + len(smaller)) < len(grid)


def _lowest_place(problem, inputs, bounds, like) -> _Looked:
    """The lowest place of a grid, and of ever smaller moves from there."""
    count = len(problem.ranges)
    tries, absolute = _tries(count)
    noise = SAME * float(jnp.finfo(like.dtype).eps) * _rounding(problem, inputs, like)

    def look(seen, way):
        move, is_place = way
        here = tuple(
            jnp.clip(jnp.where(is_place, z, old + z), 0, 1)
            for z, old in zip(move, seen.place, strict=True)
        )
        value = _objective(problem, inputs, bounds, here)
        value = jnp.where(jnp.isnan(value), jnp.inf, value)
        better = value < seen.least
        place = tuple(jnp.where(better, z, old) for z, old in zip(here, seen.place, strict=True))
        falls, rises = value < seen.before - noise, value > seen.before + noise
        # Over two levers or more the order of the grid is no path, and says nothing of valleys.
        counts = is_place & (count == 1)
        several = seen.several | (counts & seen.rising & falls)
        rising = (seen.rising | rises) & ~falls
        return _Looked(jnp.where(better, value, seen.least), place, value, rising, several), None

    nothing, no = jnp.full_like(like, jnp.inf), jnp.zeros_like(like, bool)
    middle = tuple(jnp.full_like(like, 0.5) for _ in range(count))
    ways = jnp.asarray(tries, like.dtype), jnp.asarray(absolute)
    return lax.scan(look, _Looked(nothing, middle, nothing, no, no), ways)[0]


def _rounding(problem, inputs, like):
    """What rounding of the loss makes of a cost, over the rounding of the cost itself."""
    if not problem.at_loss:
        return 1.0 + jnp.zeros_like(like)
    return MAGNIFIED * (
        1 + jnp.abs(inputs.target / (inputs.target - _least_loss(problem, inputs, like)))
    )


def _least_loss(problem, inputs, like):
    return floor_of(_with_levers(problem, inputs, tuple(0.5 + like for _ in problem.ranges)), like)


def _refined(problem, inputs, bounds, seen) -> tuple[Place, Array]:
    """The lowest place to the last digit, and whether steps have converged."""
    cell = 1 / (PLACES[len(seen.place)] - 1)
    dtype = seen.place[0].dtype
    low = tuple(jnp.maximum(z - cell, 0) for z in seen.place)
    high = tuple(jnp.minimum(z + cell, 1) for z in seen.place)

    def step(_, carry):
        place, _ = carry
        slopes, bends = _slopes(problem, inputs, bounds, place)
        held = [
            ((z <= a) & (slope > 0)) | ((z >= b) & (slope < 0))
            for z, a, b, slope in zip(place, low, high, slopes, strict=True)
        ]
        move = _newton(slopes, bends, held, cell * 0.5**HALVINGS)
        new = tuple(
            jnp.where(jnp.isnan(dz), z, jnp.clip(z + dz, a, b))
            for z, dz, a, b in zip(place, move, low, high, strict=True)
        )
        last = jnp.max(jnp.stack([jnp.abs(a - b) for a, b in zip(new, place, strict=True)]), axis=0)
        return new, last

    last = jnp.full_like(seen.least, jnp.inf)
    place, last = lax.fori_loop(0, STEPS, step, (seen.place, last))
    return place, last < (CONVERGED * float(jnp.finfo(dtype).eps)) ** 0.5


def _slopes(problem, inputs, bounds, place):
    """First and second derivatives of the objective along the levers."""
    count = len(place)
    one, zero = jnp.ones_like(place[0]), jnp.zeros_like(place[0])
    units = [tuple(one if i == j else zero for j in range(count)) for i in range(count)]

    def slope(i, *place):
        return jax.jvp(lambda *z: _objective(problem, inputs, bounds, z), place, units[i])[1]

    slopes, bends = [], []
    for i in range(count):
        row = [jax.jvp(partial(slope, i), place, units[j]) for j in range(count)]
        slopes.append(row[0][0])
        bends.append([bend for _, bend in row])
    return slopes, bends


def _newton(slopes, bends, held, short):
    """Newton's step of the free levers; downhill where the objective bends the wrong way."""
    count = len(slopes)
    free = [jnp.where(each, 0.0, 1.0).astype(slopes[0].dtype) for each in held]
    matrix = [
        [bends[i][j] * free[i] * free[j] + (1 - free[i] if i == j else 0) for j in range(count)]
        for i in range(count)
    ]
    vector = [-slope * f for slope, f in zip(slopes, free, strict=True)]
    solution, convex = solved(matrix, vector)
    downhill = [short * jnp.sign(v) for v in vector]
    return [jnp.where(convex, s, d) for s, d in zip(solution, downhill, strict=True)]


def solved(matrix: list[list[Array]], vector: list[Array]) -> tuple[list[Array], Array]:
    """Solution of a small symmetric system in each lane, and whether it is positive definite."""
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


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _with_derivatives(problem: _Problem, inputs, bounds, place: Place) -> Place:
    """A lowest place as it is, with its implicit derivatives by `inputs` and `bounds`."""
    return place


@_with_derivatives.defjvp
def _with_derivatives_jvp(problem, primals, tangents):
    inputs, bounds, _ = primals
    place = _with_derivatives(problem, *primals)
    slopes, bends = _slopes(problem, inputs, bounds, place)
    count = len(place)
    one, zero = jnp.ones_like(place[0]), jnp.zeros_like(place[0])

    def slope(i, inputs, bounds):
        unit = tuple(one if i == j else zero for j in range(count))
        return jax.jvp(lambda *z: _objective(problem, inputs, bounds, z), place, unit)[1]

    changes = [jax.jvp(partial(slope, i), (inputs, bounds), tangents[:2])[1] for i in range(count)]
    inside = [(z > 0) & (z < 1) for z in place]
    free = [jnp.where(each, 1.0, 0.0).astype(place[0].dtype) for each in inside]
    matrix = [
        [bends[i][j] * free[i] * free[j] + (1 - free[i] if i == j else 0) for j in range(count)]
        for i in range(count)
    ]
    del slopes
    moved, definite = solved(matrix, [-c * f for c, f in zip(changes, free, strict=True)])
    return place, tuple(jnp.where(definite, m, 0) for m in moved)


def _any(conditions):
    return jnp.any(jnp.stack(conditions), axis=0)


# pyright: standard
