# pyright: reportUnknownMemberType=false
"""Fits of one family to many tables of losses at the same sizes, all at once.

Each table is a lane with losses of its own. A fit to exact losses is near the minimum of all of
them; what does not converge from there is fitted as `fit` does, from a grid of starts.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from jaxscale._numerics.compiled import compiled
from jaxscale.fitting._fit import Fit, fit
from jaxscale.fitting.certificate import basis_of, is_level, is_stationary
from jaxscale.fitting.covariance import covariance_of
from jaxscale.fitting.kernel import Kernel
from jaxscale.fitting.problem import chunks, newton, reweighted, run
from jaxscale.fitting.runs import Runs

STEPS = 100  # of Newton: of well identified laws ten are enough
PART_CHUNKS = 4  # of lanes, between two calls of `advance`


class Tables(NamedTuple):
    """Fits to many tables; tables are the first axis."""

    coordinates: np.ndarray  # of the law
    covariance: np.ndarray  # of the coordinates; NaN where it is not known
    ok: np.ndarray  # whether each fit is at a minimum


def fit_tables(
    exact: Fit, losses: np.ndarray, options: dict[str, Any], advance: Callable[[int], None] | None
) -> Tables:
    """Fits of the family of `exact` to rows of losses at its runs, with the options of `fit`."""
    if exact.certificate.is_weak:  # tables may prefer another valley, each its own
        return _one_by_one(exact, losses, options, advance)
    made: list[Tables] = []
    for part in chunks(len(losses), PART_CHUNKS * exact.problem.lanes):
        made.append(_near(exact, losses[part]))
        if advance is not None:
            advance(len(losses[part]))
    near = Tables(*map(np.concatenate, zip(*made, strict=True)))
    lost = np.flatnonzero(~near.ok)
    if lost.size:
        again = _one_by_one(exact, losses[lost], options, None)
        for old, new in zip(near, again, strict=True):
            old[lost] = new
    return near


def _near(exact: Fit, losses: np.ndarray) -> Tables:
    """Fits that start from the exact one."""
    problem, count = exact.problem, len(losses)
    target = np.log(losses) if problem.kernel.logarithm else losses
    padding = problem.weights.size - problem.run_count
    target = np.pad(target, ((0, 0), (0, padding)), mode="edge")
    weights = np.broadcast_to(problem.weights, (count, problem.weights.size))
    start = problem.centred(exact.coordinates)
    start = np.broadcast_to(start[:, None], (start.size, count))
    valley = run(problem, start, weights, reweighted(problem), target).coordinates
    arrival = run(problem, valley, weights, newton(problem, STEPS), target)
    here = arrival.coordinates
    converged = is_stationary(problem, arrival) | is_level(arrival)
    covariances = np.full((count, start.shape[0], start.shape[0]), np.nan)
    for part in chunks(count, problem.lanes):
        lanes = np.arange(part.start, part.stop)
        filled = np.resize(lanes, problem.lanes)  # of one shape
        rows = problem.rows._replace(target=target[filled])
        with jax.enable_x64(True):
            slopes, residuals = map(np.asarray, _slopes(problem.kernel, here[:, filled], rows))
        for index, lane in enumerate(lanes):
            if converged[lane]:
                of_lane = here[:, lane], slopes[index], residuals[index]
                covariances[lane] = _covariance(exact, *of_lane)
    return Tables(problem.uncentred(here).T, covariances, converged)


@partial(compiled, static=1)
def _slopes(kernel: Kernel, coordinates: Array, rows: Any) -> tuple[Array, Array]:
    axes = type(rows)(*(0 if name == "target" else None for name in rows._fields))
    return jax.vmap(kernel.slopes, in_axes=(1, axes))(coordinates, rows)


def _covariance(
    exact: Fit, coordinates: np.ndarray, slopes: np.ndarray, residuals: np.ndarray
) -> np.ndarray:
    """The sandwich that `fit` reports, of the law's coordinates."""
    problem = exact.problem
    known = slice(problem.run_count)
    matrix = covariance_of(
        slopes[known],
        residuals[known],
        problem.weights[known],
        None,
        basis_of(problem.constraints, coordinates),
        exact.loss_function,
        problem.constraints.prior.precision,
    ).matrix
    return problem.turned(coordinates, problem.turned(coordinates, matrix).T).T


def _one_by_one(
    exact: Fit, losses: np.ndarray, options: dict[str, Any], advance: Callable[[int], None] | None
) -> Tables:
    """The fits that a caller of `fit` would get."""
    runs, names = exact.runs, exact.problem.kernel.names
    made: list[tuple[np.ndarray, np.ndarray, bool]] = []
    for row in losses:
        table = Runs(runs.params, runs.tokens, row, levers=runs.levers)
        fitted = fit(exact.problem.kernel.law, table, **options)
        index = [fitted.names.index(name) for name in names]
        covariance = fitted.covariance[np.ix_(index, index)]
        made.append((fitted.coordinates, covariance, fitted.ok))
        if advance is not None:
            advance(1)
    return Tables(*(np.array(x) for x in zip(*made, strict=True)))
