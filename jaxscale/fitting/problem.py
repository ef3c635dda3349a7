"""A fit as the device runs it: padded rows, and lanes in chunks.

Rows are padded with weightless ones to one of a few lengths, and lanes to one number, so that
one compiled program serves fits, bootstraps and subsets of nearly one size.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.interpreted import interpreted
from jaxscale.fitting import descent
from jaxscale.fitting.constraints import Asked, Constraints
from jaxscale.fitting.descent import Arrival, Schedule, descend
from jaxscale.fitting.kernel import Columns, Kernel, values_of
from jaxscale.fitting.objectives import HuberLikelihood, Objective, final_delta
from jaxscale.fitting.runs import Runs
from jaxscale.fitting.turns import Turn
from jaxscale.laws.fitted import coefficients_of

# Residuals in flight: what a core's cache holds, and what keeps an accelerator busy.
CPU_RESIDUALS, ACCELERATOR_RESIDUALS = 2**13, 2**22
MOST_LANES = 2**12
LEAST_LENGTH = 64
MANY_STARTS = 2**10
ENOUGH_RUNS, KEPT_OF_MANY_RUNS = 2**12, 4


class Data(NamedTuple):
    """Runs as a kernel reads them."""

    rows: Any  # padded
    weights: np.ndarray  # padded, with 0
    run_count: int  # without the padding


class Problem(NamedTuple):
    """Everything that a descent needs.

    It has coordinates of its own, which `turn` maps to those of the law; None where they are the
    same.
    """

    kernel: Kernel
    data: Data
    few: Data  # a few thousand of very many runs; of others, all
    turn: Turn | None
    constraints: Constraints
    asked: Asked
    delta: float
    likelihood: bool

    @property
    def rows(self) -> Any:
        return self.data.rows

    @property
    def weights(self) -> np.ndarray:
        return self.data.weights

    @property
    def run_count(self) -> int:
        return self.data.run_count

    @property
    def thin(self) -> "Problem":
        """The problem of a few thousand of the runs; itself where there are no more."""
        return self if self.few is self.data else self._replace(data=self.few)

    @property
    def lanes(self) -> int:
        """Number of lanes that are run at once."""
        cpu = jax.default_backend() == "cpu"
        residuals = CPU_RESIDUALS if cpu else ACCELERATOR_RESIDUALS
        return max(1, min(MOST_LANES, residuals // self.weights.size))

    def centred(self, coordinates: np.ndarray) -> np.ndarray:
        """The law's coordinates in those of the problem."""
        return coordinates if self.turn is None else self.turn.to_search(coordinates)

    def uncentred(self, coordinates: np.ndarray) -> np.ndarray:
        """The law's coordinates of those of the problem."""
        return coordinates if self.turn is None else self.turn.to_law(coordinates)

    def turned(self, point: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """How the law's coordinates change with those of the problem, at a point of the problem."""
        return directions if self.turn is None else self.turn.slopes(point) @ directions

    def law(self, coordinates: Any, numpy: Any = jnp) -> Any:
        """The law at its own coordinates, along the first axis. Traceable."""
        values = values_of(self.kernel, coordinates, numpy)
        for first, *others in self.asked.tie:  # exactly, which rounding would not leave them
            values |= dict.fromkeys(others, values[first])
        one = numpy.ones_like(next(iter(values.values())))
        values |= {name: value * one for name, value in self.asked.fixed.items()}
        names = coefficients_of(self.kernel.law)
        return self.kernel.law(**{name: values[name] for name in names})

    def laws(self, coordinates: np.ndarray) -> Any:
        """The same as read-only float64 arrays."""
        with np.errstate(over="ignore"):  # where the held coefficients leave no minimum
            law = self.law(np.asarray(coordinates, np.float64), np)
        return jax.tree.map(_frozen, law)


def _frozen(numbers: Any) -> np.ndarray:
    array = np.array(numbers, np.float64)
    array.flags.writeable = False
    return array


def problem_of(
    kernel: Kernel, runs: Runs, objective: Objective, constraints: Constraints, asked: Asked
) -> Problem:
    """The problem of runs that have been checked."""
    target = np.log(runs.loss) if kernel.logarithm else runs.loss
    columns = Columns(np.log(runs.params), np.log(runs.tokens), target, dict(runs.levers or {}))
    kernel, columns, turn = kernel.centred(columns, constraints)
    more = padded_length(len(runs)) - len(runs)
    # More of the last run, without weight: zeros might have no loss, and 0 times NaN is NaN.

    def pad(column: np.ndarray) -> np.ndarray:
        return np.concatenate([column, np.repeat(column[-1:], more, axis=0)])

    padded = jax.tree.map(pad, columns)
    weights = np.concatenate([runs.weights, np.zeros(more)])
    held = {**asked.fixed, **(turn.held if turn else {})}
    data = Data(kernel.rows(padded, held), weights, len(runs))
    likelihood = isinstance(objective, HuberLikelihood)
    delta = float(final_delta(objective))
    return Problem(kernel, data, _thinned(data), turn, constraints, asked, delta, likelihood)


def _thinned(data: Data) -> Data:
    if data.run_count <= ENOUGH_RUNS:
        return data
    # At random, since a table may be sorted; the same ones each time.
    some = np.random.default_rng(0).choice(data.run_count, ENOUGH_RUNS, replace=False)

    def take(column: np.ndarray) -> np.ndarray:
        return column[some]

    return Data(jax.tree.map(take, data.rows), data.weights[some], ENOUGH_RUNS)


class Outcome(NamedTuple):
    """Residuals and objective of the law at some coordinates, without the padding."""

    slopes: np.ndarray  # of residuals: runs, coordinates
    residuals: np.ndarray
    objective: float


def outcome(problem: Problem, objective: Objective, coordinates: np.ndarray) -> Outcome:
    """The outcome in one lane."""
    # Of one lane, and once or twice a fit: to compile it takes longer.
    arguments = objective, coordinates, problem.rows, problem.weights
    slopes, residuals, value = interpreted(_outcome, problem.kernel, *arguments)
    slopes, residuals = (np.asarray(x)[: problem.run_count] for x in (slopes, residuals))
    return Outcome(slopes, residuals, float(value))


@partial(compiled, static=1)
def _outcome(
    kernel: Kernel, objective: Objective, coordinates: Array, rows: Any, weights: Array
) -> Any:
    slopes, residuals = kernel.slopes(coordinates, rows)
    return slopes, residuals, objective.value(residuals, weights)


def objectives(problem: Problem, objective: Objective, coordinates: np.ndarray) -> np.ndarray:
    """The objective in every lane, the last axis of the coordinates."""
    return np.asarray(
        _objectives(problem.kernel, objective, coordinates, problem.rows, problem.weights)
    )


@partial(compiled, static=1)
def _objectives(
    kernel: Kernel, objective: Objective, coordinates: Array, rows: Any, weights: Array
) -> Array:
    residuals = jax.vmap(kernel.residuals, in_axes=(1, None))(coordinates, rows)
    return objective.value(residuals, weights[None])


def padded_length(count: int) -> int:
    """The next power of two, or the middle between two of them: each length compiles anew."""
    unit = max(LEAST_LENGTH, 2 ** ((count - 1).bit_length() - 2))
    return -(-count // unit) * unit


def chunks(total: int, lanes: int) -> Iterator[slice]:
    """Ranges of at most `lanes` that cover `total`."""
    for first in range(0, total, lanes):
        yield slice(first, min(first + lanes, total))


def converged(problem: Problem, near: np.ndarray) -> Arrival:
    """From coordinates in the valley to its floor.

    Of very many runs a few thousand first, then all of them for the best few lanes.
    """
    thin = problem.thin
    arrival = _converged(thin, near)
    if thin is problem:
        return arrival
    return _converged(problem, arrival.coordinates[:, ranked(arrival)[:KEPT_OF_MANY_RUNS]])


def approach(problem: Problem, starts: np.ndarray) -> Arrival:
    """From each of centred `starts` to the valley, on a few thousand of very many runs.

    Of very many starts only the better ones are followed after the steps of plain squares.
    """
    thin, schedule = problem.thin, reweighted(problem)
    if starts.shape[1] > MANY_STARTS:
        first, schedule = schedule.parted(descent.SQUARES)
        near = run(thin, starts, _repeated(thin, starts), first)
        starts = near.coordinates[:, ranked(near)[: max(MANY_STARTS, starts.shape[1] // 4)]]
    return run(thin, starts, _repeated(thin, starts), schedule)


def _converged(problem: Problem, starts: np.ndarray) -> Arrival:
    return run(problem, starts, _repeated(problem, starts), newton(problem))


def _repeated(problem: Problem, starts: np.ndarray) -> np.ndarray:
    return np.broadcast_to(problem.weights, (starts.shape[1], problem.weights.size))


def ranked(arrival: Arrival) -> np.ndarray:
    """Lanes from the lowest value to the highest; those without one last."""
    return np.argsort(np.where(np.isfinite(arrival.value), arrival.value, np.inf))


def reweighted(problem: Problem) -> Schedule:
    return descent.reweighted(problem.delta, problem.likelihood)


def newton(problem: Problem, steps: int | None = None) -> Schedule:
    if steps is None:
        cheap = problem.kernel.has_cheap_value
        steps = descent.TRIED_STEPS if cheap else descent.NEWTON_STEPS
    return descent.newton(problem.delta, problem.likelihood, steps)


def run(
    problem: Problem,
    starts: np.ndarray,
    weights: np.ndarray,
    schedule: Schedule,
    targets: np.ndarray | None = None,
) -> Arrival:
    """Follow a schedule from centred starts, lanes last, with a row of weights for each.

    `targets` has a padded row for each lane, where their losses are not those of the problem.
    """
    # Schedules are padded to one length, and the number of steps is data: one program serves all.
    steps = np.int32(len(schedule.delta))
    padded = Schedule(*(np.resize(x, _schedule_length(len(x))) for x in schedule))

    def follow(chunk: slice) -> Arrival:
        lanes = np.arange(int(chunk.start), int(chunk.stop))
        here: np.ndarray = np.resize(lanes, problem.lanes)
        with jax.enable_x64(True):  # the switch is per thread
            arguments = problem.constraints, problem.likelihood, problem.kernel
            rows = problem.rows
            if targets is not None:
                rows = rows._replace(target=targets[here])
            arrival = cast(Callable[..., Arrival], descend)(
                starts[:, here], rows, weights[here], padded, steps, *arguments
            )
            count = chunk.stop - chunk.start
            return Arrival(*(np.asarray(x)[..., :count] for x in arrival))

    first, *others = chunks(starts.shape[1], problem.lanes)
    parts = [follow(first)]  # alone, so that only one thread compiles
    with ThreadPoolExecutor(_threads()) as pool:
        parts += pool.map(follow, others)
    return Arrival(*(np.concatenate(each, axis=-1) for each in zip(*parts, strict=True)))


def _threads() -> int:
    """Number of chunks to run at once: XLA uses one core for arrays of this size."""
    if jax.default_backend() != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _schedule_length(length: int) -> int:
    return -(-length // 1024) * 1024
