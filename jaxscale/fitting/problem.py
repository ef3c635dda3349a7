"""A fit made ready for the device: centred, padded rows, and lanes that go through in chunks.

Rows are padded with weightless ones to one of a few lengths, and lanes to one number, so that
one compiled program serves fits, bootstraps and subsets of nearly one size.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from jaxscale._numerics.compiled import compiled
from jaxscale.fitting import descent
from jaxscale.fitting.chinchilla_kernel import (
    ALPHA,
    BETA,
    LN_A,
    LN_B,
    Evaluate,
    Numbers,
    Rows,
    evaluate,
    rows_of,
    shares,
)
from jaxscale.fitting.constraints import Constraints
from jaxscale.fitting.descent import Found, Schedule, descend
from jaxscale.fitting.objectives import HuberLikelihood, Objective, final_delta
from jaxscale.fitting.runs import Runs

# Residuals in flight: what a core's cache holds, and what keeps an accelerator busy.
CPU_RESIDUALS, ACCELERATOR_RESIDUALS = 2**13, 2**22
MOST_LANES = 2**12
LEAST_LENGTH = 64
MANY_STARTS = 2**10
ENOUGH_RUNS, KEPT_OF_MANY_RUNS = 2**12, 4


class Problem(NamedTuple):
    """Everything that a descent needs. Sizes are logarithms less their `centre`."""

    rows: Any  # padded; those of `surface`, or what another `evaluate` reads
    weights: np.ndarray  # padded, with 0
    count: int  # of true rows
    centre: tuple[float, float]  # of log params and log tokens
    constraints: Constraints
    delta: float
    likelihood: bool
    evaluate: Evaluate = evaluate

    @property
    def lanes(self) -> int:
        """How many lanes go through at once."""
        cpu = jax.default_backend() == "cpu"
        residuals = CPU_RESIDUALS if cpu else ACCELERATOR_RESIDUALS
        return max(1, min(MOST_LANES, residuals // self.weights.size))

    def centred(self, coefficients: np.ndarray) -> np.ndarray:
        """(ln A, ln B, ...) of sizes as they are, for sizes that are centred."""
        return self._shifted(coefficients, -1)

    def uncentred(self, coefficients: np.ndarray) -> np.ndarray:
        """The coefficients of sizes as they are."""
        return self._shifted(coefficients, 1)

    def _shifted(self, coefficients, sign):
        moved = np.array(coefficients)
        moved[LN_A] += sign * self.centre[0] * moved[ALPHA]
        moved[LN_B] += sign * self.centre[1] * moved[BETA]
        return moved


def problem_of(runs: Runs, objective: Objective, constraints: Constraints) -> Problem:
    """The problem of runs that have been checked."""
    params, tokens, loss = (np.log(x) for x in (runs.params, runs.tokens, runs.loss))
    likelihood = isinstance(objective, HuberLikelihood)
    delta = float(final_delta(objective))
    centre = (0.0, 0.0) if constraints.couples_sizes else (params.mean(), tokens.mean())
    columns = (params - centre[0], tokens - centre[1], loss, runs.weights)
    x, y, log_loss, weights = (_padded(each, padded_length(len(runs))) for each in columns)
    rows = rows_of(x, y, log_loss)
    return Problem(rows, weights, len(runs), centre, constraints, delta, likelihood)


class Outcome(NamedTuple):
    """What the law of each lane makes of the runs."""

    size: Numbers  # lanes, padded runs: share of the loss that falls with params
    data: Numbers
    rest: Numbers
    residuals: Numbers
    value: Numbers  # lanes: the objective


@compiled
def outcome(objective: Objective, coefficients: Array, rows: Rows, weights: Array) -> Outcome:
    """The outcome at `coefficients` of shape (5, lanes), with a row of weights for each."""
    size, data, rest, residuals = shares(coefficients, rows)
    return Outcome(size, data, rest, residuals, objective.value(residuals, weights))


def slopes_of(problem: Problem, seen: Outcome) -> np.ndarray:
    """Derivatives of the first lane's residuals by its coefficients: runs, coefficients."""
    size, data, rest = (np.asarray(each)[0, : problem.count] for each in seen[:3])
    x, y = (each[: problem.count] for each in problem.rows[:2])
    return np.stack([size, data, rest, -x * size, -y * data], axis=1)


def padded_length(count: int) -> int:
    """The next power of two, or the middle between two of them: each length compiles anew."""
    unit = max(LEAST_LENGTH, 2 ** ((count - 1).bit_length() - 2))
    return -(-count // unit) * unit


def _padded(column: np.ndarray, length: int) -> np.ndarray:
    return np.concatenate([column, np.zeros(length - len(column))])


def chunks(total: int, lanes: int) -> Iterator[slice]:
    """Ranges of at most `lanes` that cover `total`."""
    for first in range(0, total, lanes):
        yield slice(first, min(first + lanes, total))


def search(problem: Problem, starts: np.ndarray, keep: int) -> Found:
    """From each of centred `starts` to the valley, and from the best `keep` to its floor."""
    near = approach(problem, starts)
    return converged(problem, near.coefficients[:, ranked(near)[:keep]])


def converged(problem: Problem, near: np.ndarray) -> Found:
    """From coefficients in the valley to its floor; of many runs, all count for the best few."""
    thin = thinned(problem)
    found = _converged(thin, near)
    if thin is problem:
        return found
    return _converged(problem, found.coefficients[:, ranked(found)[:KEPT_OF_MANY_RUNS]])


def approach(problem: Problem, starts: np.ndarray) -> Found:
    """From each of centred `starts` to the valley; of many runs, some thousands show the way.

    Of very many starts only the better ones are followed once all runs count as squares.
    """
    thin, schedule = thinned(problem), reweighted(problem)
    if starts.shape[1] > MANY_STARTS:
        first, schedule = schedule.parted(descent.SQUARES)
        near = run(thin, starts, _repeated(thin, starts), first)
        starts = near.coefficients[:, ranked(near)[: max(MANY_STARTS, starts.shape[1] // 4)]]
    return run(thin, starts, _repeated(thin, starts), schedule)


def _converged(problem: Problem, starts: np.ndarray) -> Found:
    return run(problem, starts, _repeated(problem, starts), newton(problem))


def _repeated(problem: Problem, starts: np.ndarray) -> np.ndarray:
    return np.broadcast_to(problem.weights, (starts.shape[1], problem.weights.size))


def ranked(found: Found) -> np.ndarray:
    """Lanes from the lowest value to the highest; those without one last."""
    return np.argsort(np.where(np.isfinite(found.value), found.value, np.inf))


def thinned(problem: Problem) -> Problem:
    """The problem itself, or where it has very many runs a few thousand of them."""
    if problem.count <= ENOUGH_RUNS:
        return problem
    # At random, since a table may be sorted in any way; but the same ones each time.
    some = np.random.default_rng(0).choice(problem.count, ENOUGH_RUNS, replace=False)
    rows = jax.tree.map(lambda each: each[some], problem.rows)
    return problem._replace(rows=rows, weights=problem.weights[some], count=ENOUGH_RUNS)


def reweighted(problem: Problem) -> Schedule:
    return descent.reweighted(problem.delta, problem.likelihood)


def newton(problem: Problem, steps: int | None = None) -> Schedule:
    if steps is None:
        tries = hasattr(problem.evaluate, "value")
        steps = descent.TRIED_STEPS if tries else descent.NEWTON_STEPS
    return descent.newton(problem.delta, problem.likelihood, steps)


def run(problem: Problem, starts: np.ndarray, weights: np.ndarray, schedule: Schedule) -> Found:
    """Follow a schedule from centred starts, lanes last, with a row of weights for each."""
    # All schedules have one length on the device: how much of it counts is a number.
    steps = np.int32(len(schedule.delta))
    padded = Schedule(*(np.resize(x, _schedule_length(len(x))) for x in schedule))

    def follow(chunk: slice) -> Found:
        here = np.resize(np.arange(chunk.start, chunk.stop), problem.lanes)
        with jax.enable_x64(True):  # a switch of each thread's own
            found = descend(
                starts[:, here],
                problem.rows,
                weights[here],
                padded,
                steps,
                problem.constraints,
                problem.likelihood,
                problem.evaluate,
            )
            count = chunk.stop - chunk.start
            return jax.tree.map(lambda x: np.asarray(x)[..., :count], found)

    first, *others = chunks(starts.shape[1], problem.lanes)
    parts = [follow(first)]  # alone, so that it compiles once
    with ThreadPoolExecutor(_threads()) as pool:
        parts += pool.map(follow, others)
    return Found(*(np.concatenate(each, axis=-1) for each in zip(*parts, strict=True)))


def _threads() -> int:
    """How many chunks to have in flight: XLA leaves arrays of this size to one core each."""
    if jax.default_backend() != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _schedule_length(length: int) -> int:
    return -(-length // 1024) * 1024
