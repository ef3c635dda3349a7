"""Directions in which the runs say nothing of a law, and a search that leaves them alone.

A residual's derivatives, a row for each run, are scaled to columns of one length, so that units do
not count. What their singular values call null, no data of these sizes can tell: coefficients
that move along such a direction have no error, only a value that explains the runs as any other
does. A search holds one coordinate for each such direction, so that what is left has one minimum.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxscale.fitting.certificate import MOST_CONDITION, SAME_OBJECTIVE, basis_of
from jaxscale.fitting.constraints import LEAST_E_SHARE, Constraints
from jaxscale.fitting.descent import Found
from jaxscale.fitting.problem import Problem, converged, ranked

# The Hessian is the square of what is decomposed here. Derivatives are right to 1e-14, so that
# null values come out as 1e-14 and are 8 digits below this.
RANK = MOST_CONDITION**-0.5
# Of a null direction of length one. Rounding leaves 1e-14 over the least value that is not null.
PART = 1e-6
# Of eigenvectors of the Hessian itself, whose least values keep four digits.
PART_OF_HESSIAN = 1e-3
PLACES = 8  # starts, and ends of the approach, at which a direction has to be null

Slopes = Callable[[Problem, np.ndarray], np.ndarray]  # of residuals by coefficients, at a place


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
    """The directions along the columns of `basis` that no run and no prior feels."""
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
        _, values, rights = np.linalg.svd(rows[:, present] / norms[present])
        values = np.append(values, np.zeros(len(rights) - len(values)))
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


def null_at(problem: Problem, place: np.ndarray, slopes_at: Slopes) -> tuple[Null, np.ndarray]:
    """The null directions at a place among those that are free there, and the basis of these."""
    basis = basis_of(problem.constraints, place)
    weights = problem.weights[: problem.run_count]
    precision = problem.constraints.prior.precision
    return null_of(slopes_at(problem, place), weights, precision, basis), basis


def held_along(
    constraints: Constraints, null: Null, basis: np.ndarray, place: np.ndarray
) -> Constraints:
    """The constraints with a coordinate less for each null direction."""
    projection, rest = np.array(constraints.projection), null.scaled
    for _ in range(null.size):
        pivot = int(np.argmax(np.linalg.norm(rest, axis=1)))
        along = rest[pivot] / np.linalg.norm(rest[pivot])
        rest = rest - np.outer(rest @ along, along)
        projection -= np.outer(basis[:, pivot], basis[:, pivot])
    return constraints._replace(projection=projection, offset=np.array(place))


class Left(NamedTuple):
    """A problem without what is null wherever one looks, and which coefficients that moves."""

    problem: Problem
    open: np.ndarray


def left_of(problem: Problem, starts: np.ndarray, near: np.ndarray, slopes_at: Slopes) -> Left:
    """What is left to search of a problem.

    `starts` are where a search began and `near` where it has come to, the best first. A term
    that has vanished at one place may be wanted at another, and is left alone.
    """
    some = np.linspace(0, starts.shape[1] - 1, min(PLACES, starts.shape[1]), dtype=np.int64)
    seen: list[tuple[Null, np.ndarray, np.ndarray]] = []
    for place in [*near.T[:PLACES], *starts[:, some].T]:
        null, basis = null_at(problem, place, slopes_at)
        if not null.size:  # as of most runs at the first place: no need to see the others
            return Left(problem, moves(null, basis))
        seen.append((null, basis, place))
    null, basis, place = min(seen, key=lambda entry: entry[0].size)
    held = held_along(problem.constraints, null, basis, place)
    return Left(problem._replace(constraints=held), moves(null, basis))


def converged_by(
    problem: Problem, left: Problem, near: np.ndarray, slopes_at: Slopes
) -> tuple[Problem, Found]:
    """From coefficients in the valley to its floor, and what of the problem has one.

    What is null everywhere is free at first as well as held: held, a coefficient may stand where
    the others cannot reach the minimum, and free, it may wander.
    """
    found = converged(problem, near)
    if left is not problem:
        other = converged(left, near)
        pairs = zip(found, other, strict=True)
        found = Found(*(np.concatenate(pair, axis=-1) for pair in pairs))
    order = ranked(found)[: near.shape[1]]
    found = Found(*(each[..., order] for each in found))
    return _converged_anew(problem, found, slopes_at)


def _converged_anew(problem: Problem, found: Found, slopes_at: Slopes) -> tuple[Problem, Found]:
    """From where a search ended, once more without what turns out to be null there."""
    order = ranked(found)
    place = found.coordinates[:, order[0]]
    null, basis = null_at(problem, place, slopes_at)
    if not null.size:
        return problem, found
    further = problem._replace(constraints=held_along(problem.constraints, null, basis, place))
    again = converged(further, found.coordinates[:, order])
    ends = [float(each.value[ranked(each)[0]]) for each in (found, again)]
    lower = ends[1] <= ends[0] + SAME_OBJECTIVE * abs(ends[0])
    return further, again if lower else found


def equal_minima(coefficients: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Which coefficients differ among places of one objective, the first of them reported.

    At one ratio of tokens to params, for one, the terms of size and data may change places.
    """
    apart = np.abs(coefficients - coefficients[:, :1]).max(axis=1)
    # Where a minimum ends is known to far less than its error, and exact runs have none.
    return apart > np.maximum(0.1 * np.nan_to_num(errors), 1e-3)
