# pyright: reportUnknownMemberType=false
"""Damped Newton steps from many starts at once, with one evaluation a step.

Iteratively reweighted least squares come first, while Huber's bound falls to the one asked for:
they reach the valley from afar. Exact Newton steps then converge on its floor. Newton steps alone
strand far from it, and least squares alone never arrive.

Where the final bound is almost 0 the objective has kinks, and Newton steps strand among them from
afar: lanes converge at a rougher bound first, and follow the minimum down as that falls.

All lanes take the same steps, and go on to the next bound together once each has converged.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxscale._numerics.typed import cond
from jaxscale.fitting.constraints import Constraints
from jaxscale.fitting.kernel import Kernel, Numbers, Point

# Bounds of the least squares, in multiples of the final one: two rounds with all runs counted
# as squares, and then ever fewer of them.
REWEIGHTED = (1e6, 1e6, 100, 30, 10, 3)
REWEIGHTED_STEPS = 4  # at each, the first of which only evaluates
SQUARES = 2 * REWEIGHTED_STEPS  # steps after which bounds begin to fall
NEWTON_STEPS = 400  # weak data need them all: with 200, only 28 % of the starts arrive
# Bounds on the way to a final one that is almost 0, where the objective has kinks.
LEAST_ROUGH = 1e-3
APPROACH_STEPS = 40
# Of an objective whose value alone is cheap, the dampings that a Newton step is tried with, in
# multiples of the last: each step then gets anywhere, and half as many do.
TRIALS = (0.0, 1e-2, 0.3, 3.0, 30.0, 1e3)
TRIED_STEPS = 200
SOLVED_BY_HAND = 5  # coordinates, as of Chinchilla
LEAST_DAMPING, MOST_DAMPING, FIRST_DAMPING = 1e-14, 1e10, 1e-2
# A lane has converged when the next step promises less than rounding of the objective.
CONVERGED_SHARE, CONVERGED = 1e-20, 1e-30
ROUNDING = 1e-13  # of the objective


class Schedule(NamedTuple):
    """The settings of each step; arrays of one length."""

    delta: Numbers  # Huber's bound
    newton: Numbers  # whether the Hessian is exact
    fresh: Numbers  # whether the objective has changed, so that it has to be evaluated first
    scaled: Numbers  # whether the objective is a likelihood, and delta in units of its scale
    left: Numbers  # steps to the next bound, which are skipped once all lanes have converged

    def parted(self, step: int) -> tuple["Schedule", "Schedule"]:
        """The steps before one, and those from it on."""
        return Schedule(*(x[:step] for x in self)), Schedule(*(x[step:] for x in self))


class State(NamedTuple):
    """Position of each lane."""

    coordinates: Numbers  # coordinates, lanes
    point: Point
    damping: Numbers  # lanes
    converged: Numbers


def reweighted(delta: float, scaled: bool = False) -> Schedule:
    """Least squares on the way to a final bound, or to LEAST_ROUGH where that is almost 0."""
    delta = LEAST_ROUGH if scaled else max(delta, LEAST_ROUGH)
    return _join(*(_phase(factor * delta, REWEIGHTED_STEPS) for factor in REWEIGHTED))


def newton(delta: float, scaled: bool = False, steps: int = NEWTON_STEPS) -> Schedule:
    """Newton steps at the final bound, or at LEAST_ROUGH and down to it in powers of ten."""
    # In a likelihood the bound is delta times a scale that is itself delta times a residual.
    end = delta**2 * LEAST_ROUGH if scaled else delta
    way = LEAST_ROUGH * 10.0 ** -np.arange(0, max(0, np.log10(LEAST_ROUGH / end)))
    way = way[way > end * (1 + 1e-9)]
    counts = (max(steps, APPROACH_STEPS), *[APPROACH_STEPS] * way.size)[: way.size]
    approach = [_phase(*part, newton=True) for part in zip(way, counts, strict=True)]
    return _join(*approach, _phase(delta, steps, newton=True, scaled=scaled))


def _phase(delta: float, steps: int, newton: bool = False, scaled: bool = False) -> Schedule:
    """Steps with one bound."""
    step = np.arange(steps)
    bound, exact, free_scale = (np.full(steps, x) for x in (delta, newton, scaled))
    return Schedule(bound, exact, step == 0, free_scale, (steps - step).astype(np.int32))


def _join(*phases: Schedule) -> Schedule:
    return Schedule(*(np.concatenate(parts) for parts in zip(*phases, strict=True)))


class Arrival(NamedTuple):
    """End points of lanes; lanes are the last axis."""

    coordinates: Numbers
    value: Numbers
    gradient: Numbers  # along the directions that are free
    hessian: Numbers
    steepness: Numbers  # the largest cosine between residuals and a coefficient's derivatives
    decrement: Numbers  # twice what a Newton step would still gain; infinite if not definite


# XLA's older emitters for CPUs compile this in half the time, and it runs as fast; later releases
# have none.
OLDER_EMITTERS = {"xla_cpu_use_fusion_emitters": False} if jax.__version_info__ < (0, 11) else None


@partial(jax.jit, static_argnames=("likelihood", "kernel"), compiler_options=OLDER_EMITTERS)
def descend(
    coordinates: Array,
    rows: Any,
    weights: Array,
    schedule: Schedule,
    steps: Array,
    constraints: Constraints,
    likelihood: bool,
    kernel: Kernel,
) -> Arrival:
    """Follow the first `steps` of a schedule from each of `coordinates`; lanes are the last axis.

    `weights` has one row for each lane. Where the objective alone is cheap, Newton steps are tried
    with several dampings. Lanes are independent; float64 throughout.
    """
    size, lanes = coordinates.shape

    def more(carry: tuple[Array, State]) -> Array:
        return carry[0] < steps

    def advance(carry: tuple[Array, State]) -> tuple[Array, State]:
        step, state = carry
        now = Schedule(*(x[step] for x in schedule))
        state = _step(state, now, rows, weights, constraints, likelihood, kernel)
        return step + jnp.where(jnp.all(state.converged), now.left, 1), state

    square = jnp.zeros((size, size, lanes)) + jnp.eye(size)[:, :, None]
    everywhere = jnp.full(lanes, jnp.inf)
    flat, ones = jnp.zeros((size, lanes)), jnp.ones((size, lanes))
    start = Point(everywhere, flat, square, ones, everywhere)
    state = State(coordinates, start, jnp.full(lanes, FIRST_DAMPING), jnp.zeros(lanes, bool))
    state = lax.while_loop(more, advance, (jnp.int32(0), state))[1]
    return _certified(state, constraints)


def _certified(state: State, constraints: Constraints) -> Arrival:
    """End point of each lane, and by how much it may have missed a minimum."""
    coordinates, point = state.coordinates, state.point
    free = constraints.free(coordinates, point.gradient)
    gradient = jnp.einsum("ijs,js->is", free, point.gradient)
    # |sum of w psi J| is at most the root of sum w psi r times sum w (psi / r) J^2.
    largest = jnp.sqrt(point.energy[None] * point.diagonal)
    steepness = jnp.max(jnp.abs(gradient) / jnp.where(largest > 0, largest, 1), axis=0)
    matrix = constraints.reduced(point.hessian, free, jnp.zeros_like(point.diagonal))
    definite, step = cholesky_solve(matrix, gradient)
    decrement = jnp.where(definite, jnp.sum(gradient * step, axis=0), jnp.inf)
    return Arrival(coordinates, point.value, gradient, point.hessian, steepness, decrement)


class _Trial(NamedTuple):
    """A step from each lane with some damping."""

    coordinates: Numbers  # coordinates, lanes
    damping: Numbers  # lanes
    moves: Numbers  # whether the damped Hessian is positive definite, so that there is a step
    converged: Numbers


def _step(
    state: State,
    now: Schedule,
    rows: Any,
    weights: Array,
    constraints: Constraints,
    likelihood: bool,
    kernel: Kernel,
) -> State:
    """The state after one step of the schedule."""
    coordinates, point = state.coordinates, state.point
    free = constraints.free(coordinates, point.gradient)
    scaled = now.scaled if likelihood else None
    towards = partial(_towards, state, free, now.fresh, constraints)
    trial = towards(state.damping)
    if kernel.has_cheap_value:

        def value(coordinates: Array) -> Array:
            return kernel.value(coordinates, rows, weights, now.delta, constraints.prior, scaled)

        tried, untried = partial(_tried, towards, value, state.damping), trial
        trial = cond(now.newton & ~now.fresh, tried, lambda: untried)
    ahead, damping, moves, converged = trial
    new = kernel(ahead, rows, weights, now.delta, now.newton, constraints.prior, scaled)

    # At rounding level the value no longer tells, but the gradient does.
    level = new.value <= point.value + ROUNDING * jnp.abs(point.value)
    flatter = _steepest(new.gradient, free) <= _steepest(point.gradient, free)
    better = (new.value < point.value) | (level & flatter)
    taken = now.fresh | (moves & better)
    changed = jnp.where(taken, jnp.maximum(damping * 0.3, LEAST_DAMPING), damping * 3)
    damping = jnp.where(now.fresh, damping, jnp.minimum(changed, MOST_DAMPING))

    def chosen(new: Array, old: Array) -> Array:
        return jnp.where(taken, new, old)

    point = jax.tree.map(chosen, new, point)
    return State(chosen(ahead, coordinates), point, damping, converged)


def _towards(
    state: State, free: Array, fresh: Array, constraints: Constraints, damping: Array
) -> _Trial:
    """The step from each lane with a damping."""
    coordinates, point = state.coordinates, state.point
    gradient = jnp.einsum("ijs,js->is", free, point.gradient)
    damped = constraints.reduced(point.hessian, free, damping[None] * point.diagonal)
    definite, step = cholesky_solve(damped, gradient)
    promised = jnp.sum(gradient * step, axis=0)
    moves = definite & ~fresh
    ahead = constraints.clip(coordinates - jnp.where(moves, step, 0))
    small = CONVERGED_SHARE * jnp.abs(point.value) + CONVERGED
    return _Trial(ahead, damping, moves, moves & (promised <= small))


def _tried(
    towards: Callable[[Array], _Trial], value: Callable[[Array], Array], damping: Array
) -> _Trial:
    """The trial of the least value in each lane; of equals, to rounding, the least damped."""
    dampings = jnp.clip(jnp.outer(np.array(TRIALS), damping), LEAST_DAMPING, MOST_DAMPING)
    trials = jax.vmap(towards)(dampings)
    values = jax.vmap(value)(trials.coordinates)
    values = jnp.where(trials.moves & ~jnp.isnan(values), values, jnp.inf)
    least = jnp.min(values, axis=0, keepdims=True)
    best = jnp.argmax(values <= least + ROUNDING * jnp.abs(least), axis=0)
    best = jnp.where(jnp.isfinite(least[0]), best, len(TRIALS) - 1)
    lanes = jnp.arange(best.size)
    trial = _Trial(*(x[best, ..., lanes].T for x in trials))
    # A great damping promises little wherever it is.
    return trial._replace(converged=trials.converged[0])


def _steepest(gradient: Array, free: Array) -> Array:
    return jnp.max(jnp.abs(jnp.einsum("ijs,js->is", free, gradient)), axis=0)


def _library_solve(matrix: Array, vector: Array) -> tuple[Array, Array]:
    matrix = jnp.moveaxis(matrix, -1, 0)
    lower = cast(Array, jnp.linalg.cholesky(matrix, symmetrize_input=False))
    definite = jnp.all(jnp.isfinite(lower), axis=(1, 2))
    lower = jnp.where(definite[:, None, None], lower, jnp.eye(len(vector))[None])
    solution = jax.scipy.linalg.cho_solve((lower, True), vector.T[..., None])
    return definite, solution[..., 0].T


def cholesky_solve(matrix: Array, vector: Array) -> tuple[Array, Array]:
    """Whether each matrix is positive definite, and the solution where it is.

    Shapes (k, k, lanes) and (k, lanes). By hand for the five of Chinchilla, because the pivots
    are the test, and because a library's loop over lanes costs more than all the rest. Of other
    laws a loss costs more, and by hand a solve of ten would take seconds to compile.
    """
    size = range(len(vector))
    if len(size) != SOLVED_BY_HAND:
        return _library_solve(matrix, vector)
    lower: dict[tuple[int, int], Array] = {}
    definite = jnp.ones_like(vector[0], bool)
    for j in size:
        pivot = matrix[j, j] - sum((lower[j, k] ** 2 for k in range(j)), jnp.zeros_like(vector[0]))
        definite &= pivot > 0
        lower[j, j] = jnp.sqrt(jnp.where(pivot > 0, pivot, 1))
        for i in range(j + 1, len(size)):
            rest = matrix[i, j]
            for k in range(j):
                rest = rest - lower[i, k] * lower[j, k]
            lower[i, j] = rest / lower[j, j]
    halfway: dict[int, Array] = {}
    solution: dict[int, Array] = {}
    for i in size:
        rest = vector[i]
        for k in range(i):
            rest = rest - lower[i, k] * halfway[k]
        halfway[i] = rest / lower[i, i]
    for i in reversed(size):
        rest = halfway[i]
        for k in range(i + 1, len(size)):
            rest = rest - lower[k, i] * solution[k]
        solution[i] = rest / lower[i, i]
    return definite, jnp.stack([solution[i] for i in size])
