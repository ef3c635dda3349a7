"""A fit made again with other weights of its runs: many at once, each with its certificate.

A run of weight 0 is left out, so that one compiled program serves every part of the runs.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from jaxscale.fitting._fit import Fit, checked_for, fit, fit_at
from jaxscale.fitting.certificate import SAME_OBJECTIVE, is_stationary, search_of
from jaxscale.fitting.descent import Arrival
from jaxscale.fitting.identified import Left
from jaxscale.fitting.problem import Problem, newton, reweighted, run
from jaxscale.fitting.starts import grid

FIRST_STEPS = 20  # of each start
KEPT = 4  # of the starts, that go on to a minimum; and the fit itself


def refits(whole: Fit, weights: np.ndarray) -> Iterator[Fit]:
    """The fit to its runs with each row of weights, from few starts and from the fit itself.

    From all starts where that does not end at a certified minimum. `whole` is at one.
    """
    with jax.enable_x64(True):
        problem = whole.problem
        some = problem.constraints.start(grid(problem, few=True))
        own = problem.centred(whole.coordinates)[:, None]
        starts, parts = np.concatenate([some, own], axis=1), len(weights)
        padded = np.zeros((parts, problem.weights.size))
        padded[:, : problem.run_count] = weights
        arrival = _converged(problem, starts, padded)
        made = [
            _certified(whole, problem, row, Arrival(*(x[..., nth::parts] for x in arrival)))
            for nth, row in enumerate(padded)
        ]
    for each, row in zip(made, weights, strict=True):
        yield each if each.ok else _lower(each, _from_all_starts(whole, row))


def _converged(problem: Problem, starts: np.ndarray, weights: np.ndarray) -> Arrival:
    """Ends of the best few starts of each row of weights: all rows of one rank are neighbours.

    Where a family fits badly, the valley of the least minimum is not the lowest at its edge: a few
    steps of all starts tell.
    """
    count, parts = starts.shape[1], len(weights)
    every = np.repeat(weights, count, axis=0)
    near = run(problem, np.tile(starts, parts), every, reweighted(problem))
    near = run(problem, near.coordinates, every, newton(problem, FIRST_STEPS))
    value = np.where(np.isfinite(near.value), near.value, np.inf).reshape(parts, count)
    value[:, -1] = -np.inf  # the fit itself always goes on
    kept = np.argsort(value, axis=1)[:, : KEPT + 1] + count * np.arange(parts)[:, None]
    ends = near.coordinates[:, kept.T.ravel()]
    return run(problem, ends, np.tile(weights, (KEPT + 1, 1)), newton(problem))


def _certified(whole: Fit, problem: Problem, weights: np.ndarray, arrival: Arrival) -> Fit:
    """The fit at the end of the best lane."""
    data = problem.data._replace(weights=weights)
    own = problem._replace(data=data, few=data)
    value = np.where(np.isfinite(arrival.value), arrival.value, np.inf)
    arrival = arrival._replace(value=value)
    search = search_of(value.size, value, is_stationary(own, arrival), "few starts and a fit")
    runs = replace(whole.runs, weights=weights[: problem.run_count])
    known = Left(own, np.zeros(len(problem.kernel.names), bool))
    return fit_at(problem.constraints, known, runs, whole.loss_function, arrival, search)


def _lower(first: Fit, other: Fit) -> Fit:
    """The fit of the lower objective; of equal ones the other."""
    return first if first.objective < other.objective * (1 - SAME_OBJECTIVE) else other


def _from_all_starts(whole: Fit, weights: np.ndarray) -> Fit:
    asked = whole.problem.asked
    law: Any = whole.problem.kernel.law
    return fit(
        law,
        checked_for(law, replace(whole.runs, weights=weights)),
        objective=whole.loss_function,
        fixed=asked.fixed,
        tie=asked.tie,
        bounds=asked.bounds,
        prior=asked.prior,
    )
