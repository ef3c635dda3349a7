"""Null directions, along which no run changes its residual, and a search that leaves them out.

They come from the singular values of the derivatives of residuals, a row for each run, with columns
scaled to one length so that units do not count. Coefficients that move along a null direction
have no error, only a value that explains the runs as well as others do. The search holds one
coordinate for each null direction, so that what is left has one minimum.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxscale.fitting.certificate import MOST_CONDITION, SAME_OBJECTIVE, basis_of
from jaxscale.fitting.constraints import LEAST_E_SHARE, Constraints
from jaxscale.fitting.descent import Arrival
from jaxscale.fitting.problem import Problem, converged, ranked

# The Hessian is the square of what is decomposed here. Derivatives are right to 1e-14, so that
# null values come out as 1e-14 and are 8 digits below this.
RANK = MOST_CONDITION**-0.5
# Of a null direction of length one. Rounding leaves 1e-14 over the least value that is not null.
PART = 1e-6
# Of eigenvectors of the Hessian itself, whose least values keep four digits.
PART_OF_HESSIAN = 1e-3
POINTS = 8  # starts, and ends of the approach, at which a direction must be null

Slopes = Callable[[Problem, np.ndarray], np.ndarray]  # of residuals by coefficients, at a point


class Null(NamedTuple):
    """Directions in columns, by the columns of a basis: scaled, and as coefficients move."""

    scaled: np.ndarray
    directions: np.ndarray  # coefficients, directions; the largest component is 1

    @property
    def size(self) -> int:
        return self.scaled.shape[1]


def null_of(
    slopes: np.ndarray, weights: np.ndarray, precision: np.ndarray, basis: np.ndarray
) -> Null:
    """The directions along the columns of `basis` that change no residual and no prior."""
    root = np.sqrt(weights)[:, None]
    rows = np.concatenate([root * slopes, np.diag(np.sqrt(precision))]) @ basis
    size = basis.shape[1]
    if not np.isfinite(rows).all():
        return Null(np.eye(size), basis)
    norms = np.linalg.norm(rows, axis=0)
    # A term that is a ten-millionth of every loss is 0 as far as data can tell.
    present = norms > LEAST_E_SHARE * math.sqrt(weights.sum())
    scaled = np.eye(size)[:, ~present]
    if present.any():
        _, values, rights = np.linalg.svd(rows[:, present] / norms[present], full_matrices=False)
        inside = np.zeros((size, int((values <= RANK * values[0]).sum())))
        inside[present] = rights[values <= RANK * values[0]].T
        scaled = np.concatenate([scaled, inside], axis=1)
    moved = basis @ (scaled / np.where(present, norms, 1)[:, None])
    return Null(scaled, moved / np.abs(moved).max(axis=0, initial=1e-300))


def moves(null: Null, basis: np.ndarray) -> np.ndarray:
    """Which coefficients move along any of the directions."""
    return np.any(np.abs(basis @ null.scaled) > PART, axis=1)


def flat_in(hessian: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Which coefficients move where the scaled Hessian has no curvature, or falls."""
    size = len(basis)
    reduced = basis.T @ hessian @ basis
    if not np.isfinite(reduced).all():
        return np.abs(basis).max(axis=1, initial=0) > 0
    scale = np.sqrt(np.abs(np.diag(reduced)))
    if not (scale > 0).all():
        return np.abs(basis[:, scale == 0]).max(axis=1, initial=0) > 0
    values, vectors = np.linalg.eigh(reduced / np.outer(scale, scale))
    flat = vectors[:, values <= values[-1] / MOST_CONDITION] if size else vectors
    return np.any(np.abs(basis @ flat) > PART_OF_HESSIAN, axis=1)


def null_at(problem: Problem, point: np.ndarray, slopes_at: Slopes) -> tuple[Null, np.ndarray]:
    """The null directions at a point among those that are free there, and the basis of these."""
    basis = basis_of(problem.constraints, point)
    weights = problem.weights[: problem.run_count]
    precision = problem.constraints.prior.precision
    return null_of(slopes_at(problem, point), weights, precision, basis), basis


def held_along(
    constraints: Constraints, null: Null, basis: np.ndarray, point: np.ndarray
) -> Constraints:
    """The constraints with one coordinate held for each null direction."""
    projection, rest = np.array(constraints.projection), null.scaled
    for _ in range(null.size):
        pivot = int(np.argmax(np.linalg.norm(rest, axis=1)))
        along = rest[pivot] / np.linalg.norm(rest[pivot])
        rest = rest - np.outer(rest @ along, along)
        projection -= np.outer(basis[:, pivot], basis[:, pivot])
    return constraints._replace(projection=projection, offset=np.array(point))


class Left(NamedTuple):
    """A problem without its null directions, and which coefficients these move."""

    problem: Problem
    open: np.ndarray


def left_of(problem: Problem, starts: np.ndarray, near: np.ndarray, slopes_at: Slopes) -> Left:
    """The problem that is left to search.

    `starts` are where the search began and `near` where it is now, the best first. A direction that
    is null at one point need not be null at another: only what is null at all of them is held.
    """
    some = np.linspace(0, starts.shape[1] - 1, min(POINTS, starts.shape[1]), dtype=np.int64)
    seen: list[tuple[Null, np.ndarray, np.ndarray]] = []
    for point in [*near.T[:POINTS], *starts[:, some].T]:
        null, basis = null_at(problem, point, slopes_at)
        if not null.size:  # as of most runs at the first point: no need to see the others
            return Left(problem, moves(null, basis))
        seen.append((null, basis, point))
    null, basis, point = min(seen, key=lambda entry: entry[0].size)
    held = held_along(problem.constraints, null, basis, point)
    return Left(problem._replace(constraints=held), moves(null, basis))


def converged_by(
    problem: Problem, left: Problem, near: np.ndarray, slopes_at: Slopes
) -> tuple[Problem, Arrival]:
    """From coefficients in the valley to its floor, and what of the problem has one.

    What is null everywhere is tried both held and free: a held coefficient may keep the others from
    the minimum, and a free one may wander.
    """
    arrival = converged(problem, near)
    if left is not problem:
        other = converged(left, near)
        pairs = zip(arrival, other, strict=True)
        arrival = Arrival(*(np.concatenate(pair, axis=-1) for pair in pairs))
    order = ranked(arrival)[: near.shape[1]]
    arrival = Arrival(*(each[..., order] for each in arrival))
    return _converged_anew(problem, arrival, slopes_at)


def _converged_anew(
    problem: Problem, arrival: Arrival, slopes_at: Slopes
) -> tuple[Problem, Arrival]:
    """The search once more from its end, without what turns out to be null there."""
    order = ranked(arrival)
    point = arrival.coordinates[:, order[0]]
    null, basis = null_at(problem, point, slopes_at)
    if not null.size:
        return problem, arrival
    further = problem._replace(constraints=held_along(problem.constraints, null, basis, point))
    again = converged(further, arrival.coordinates[:, order])
    ends = [float(each.value[ranked(each)[0]]) for each in (arrival, again)]
    lower = ends[1] <= ends[0] + SAME_OBJECTIVE * abs(ends[0])
    return further, again if lower else arrival


def equal_minima(coefficients: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Which coefficients differ among points of equal objective, of which the first is reported.

    At one ratio of tokens to params, for example, the terms of size and data may swap.
    """
    apart = np.abs(coefficients - coefficients[:, :1]).max(axis=1)
    # A minimum is located to far less than its standard error, which exact runs do not have.
    return apart > np.maximum(0.1 * np.nan_to_num(errors), 1e-3)
