"""Status and certificate of a fit, and the summary of its multi-start search.

Nothing here proves a global minimum, so a fit also reports how many starts led to it.
"""

import enum
import math
from typing import NamedTuple

import numpy as np

from jaxscale.fitting.constraints import Constraints, at_ends, exponents_of, least_of_e
from jaxscale.fitting.descent import Arrival
from jaxscale.fitting.objectives import LEAST_SCALE, Objective, final_delta
from jaxscale.fitting.problem import Problem

# Rounding leaves a steepness of 1e-14, and 1e-11 where the bound is almost 0.
STEEPNESS = 1e-8
DECREMENT = 1e-12  # of the objective
# Beyond this, rounding spoils the flattest direction of the Hessian.
MOST_CONDITION = 1e12
WEAK_CONDITION = 1e5  # 1e3 is well identified, 1e6 weak
ROUNDING = 1e-14  # of a residual
# Steps whose gain is below the objective's rounding are refused, so that gradients may stay at a
# hundred times their own rounding.
REFUSED = 100
# An objective that is right to 10 digits: the gain left moves no coefficient by a thousandth of its
# standard error, and other optimisers stop there.
LEVEL_DECREMENT, LEVEL_STEEPNESS = 1e-10, 1e-4


class FitStatus(enum.IntEnum):
    """Outcome of a fit: a code with a message. Numbers are given in any case."""

    sentence: str

    def __new__(cls, value: int, sentence: str) -> "FitStatus":
        member = int.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member

    OK = 0, "A stationary point with a positive definite Hessian: the best of all starts."
    TOO_FEW_RUNS = 1, "Fewer different runs than coefficients and one: fix some or add runs."
    E_AT_ZERO = 2, "The fit drives E to 0: add runs of low loss, or bound E."
    EXPONENT_AT_BOUND = 3, "An exponent is at a bound: its term is not identified by these runs."
    AT_BOUND = 4, "A coefficient is at a bound that was asked for; widen it to see beyond."
    FLAT_VALLEY = (
        5,
        "The runs leave coefficients open: fix or tie some, or add runs of other sizes.",
    )
    NOT_STATIONARY = 6, "The gradient is above rounding level; try other starts or units."


class Certificate(NamedTuple):
    """Evidence that a fit ended at a minimum."""

    gradient: float  # the largest component along free directions
    steepness: float  # the largest cosine between residuals and a coefficient's derivatives
    decrement: float  # twice what a Newton step would still gain, over the objective
    condition: float  # of the Hessian scaled to a diagonal of ones, along free directions
    quadratic_runs: int  # those whose residual is within Huber's bound
    is_positive_definite: bool

    @property
    def is_weak(self) -> bool:
        """Whether resamples may prefer another valley, so that they get starts of their own."""
        return not self.condition <= WEAK_CONDITION


def certificate_of(
    arrival: Arrival,
    lane: int,
    condition: float,
    residuals: np.ndarray,
    weights: np.ndarray,
    objective: Objective,
) -> Certificate:
    """The certificate of the point where one lane arrived."""
    value, decrement = arrival.value[lane], arrival.decrement[lane]
    share = float(decrement / max(abs(value), 1e-300)) if np.isfinite(value) else np.inf
    return Certificate(
        gradient=float(np.abs(arrival.gradient[:, lane]).max()),
        steepness=float(arrival.steepness[lane]),
        decrement=share,
        condition=condition,
        quadratic_runs=_quadratic_runs(residuals, weights, objective),
        is_positive_definite=bool(np.isfinite(decrement)),
    )


def _quadratic_runs(residuals: np.ndarray, weights: np.ndarray, objective: Objective) -> int:
    """Number of runs with a residual within Huber's bound."""
    delta = float(final_delta(objective))
    scale = getattr(objective, "scale", None)
    size = float(scale(residuals, weights)) if scale else 1.0
    return int(((np.abs(residuals) <= delta * size) & (weights > 0)).sum())


def basis_of(constraints: Constraints, coordinates: np.ndarray) -> np.ndarray:
    """Orthonormal directions, in columns, that are neither held nor at a bound."""
    inside = (coordinates > constraints.low) & (coordinates < constraints.high)
    values, vectors = np.linalg.eigh(constraints.projection * inside[:, None] * inside)
    return vectors[:, values > 0.5]


def scaled_condition(hessian: np.ndarray, basis: np.ndarray) -> float:
    """Condition number along the columns of `basis`, each in units of its own curvature."""
    reduced = basis.T @ hessian @ basis
    diagonal = np.diag(reduced)
    if not diagonal.size:
        return 1.0
    if not (np.isfinite(reduced).all() and (diagonal > 0).all()):
        return np.inf
    scale = np.sqrt(diagonal)
    values = np.linalg.eigvalsh(reduced / np.outer(scale, scale))
    return float(values[-1] / values[0]) if values[0] > 0 else np.inf


def is_stationary(problem: Problem, arrival: Arrival) -> np.ndarray:
    """Whether each lane is at a minimum as far as rounding can tell."""
    steepness, decrement = _rounding(problem, arrival.value)
    flat = arrival.steepness <= STEEPNESS + steepness
    return flat & (arrival.decrement <= np.maximum(DECREMENT * np.abs(arrival.value), decrement))


def is_steep(problem: Problem, arrival: Arrival) -> np.ndarray:
    """Whether each lane has a slope to go down yet, whatever the Hessian says."""
    steepness, _ = _rounding(problem, arrival.value)
    return ~(arrival.steepness <= np.maximum(LEVEL_STEEPNESS, STEEPNESS + steepness))


def is_level(arrival: Arrival) -> np.ndarray:
    """Whether what a Newton step would still gain is below the objective's tenth digit."""
    gain = arrival.decrement <= LEVEL_DECREMENT * np.abs(arrival.value)
    return gain & (arrival.steepness <= LEVEL_STEEPNESS)


def _rounding(problem: Problem, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Steepness and decrement that rounding of the residuals may leave at a minimum."""
    total = float(problem.weights.sum())
    if problem.likelihood:
        # At its best scale a likelihood is the sum of weights times ln scale, and about a half.
        scale = np.exp(np.minimum(value / total - 0.75, 0))
        typical = scale / min(problem.delta, 1.0)
        # The scale of exact runs stops at its least value, far above their residuals.
        typical = np.where(scale <= LEAST_SCALE, ROUNDING, typical)
        return REFUSED * ROUNDING / typical, total * ROUNDING / typical
    # A sum of w psi is at most the root of 2 sum w times the objective.
    size = np.sqrt(total * np.abs(value)) + ROUNDING * total
    return REFUSED * ROUNDING * total / size, 2 * ROUNDING * size


def at_bounds(constraints: Constraints, coordinates: np.ndarray) -> np.ndarray:
    """Which coordinates are free and end at a bound: coordinates, and lanes where there are."""
    low, high, free = (
        x.reshape((-1,) + (1,) * (coordinates.ndim - 1))
        for x in (constraints.low, constraints.high, np.diag(constraints.projection))
    )
    return ((coordinates <= low) | (coordinates >= high)) & (free > 0)


def bound_status(problem: Problem, loss: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """The bound that decides in each lane, as a status; OK for none. `loss` is that of the runs."""
    kernel = problem.kernel
    bound = at_bounds(problem.constraints, coordinates) & ~at_ends(kernel, coordinates)
    status = np.full(coordinates.shape[1], FitStatus.OK, np.int8)
    status[bound.any(axis=0)] = FitStatus.AT_BOUND
    status[bound[exponents_of(kernel)].any(axis=0)] = FitStatus.EXPONENT_AT_BOUND
    least = least_of_e(kernel, loss)
    if least is not None:
        of_e = kernel.names.index("E")
        gone = bound[of_e] & (coordinates[of_e] < least + math.log(2))
        status[gone] = FitStatus.E_AT_ZERO
    return status


def judge(
    bound: FitStatus, runs: int, free: int, *, steep: bool, converged: bool, unidentified: bool
) -> FitStatus:
    """The status of a fit of `free` coefficients; `runs` are those of different sizes.

    `steep` says whether there is a slope left, `converged` whether the point is also a minimum, and
    `unidentified` whether the runs leave any coefficient open. On the floor of a flat valley there
    is no slope, but the Hessian need not be definite, so such a fit need not be converged.
    """
    cases = (
        (runs <= free, FitStatus.TOO_FEW_RUNS),
        (bound is not FitStatus.OK, bound),
        (steep, FitStatus.NOT_STATIONARY),
        (unidentified, FitStatus.FLAT_VALLEY),
        (not converged, FitStatus.NOT_STATIONARY),
    )
    return next((status for holds, status in cases if holds), FitStatus.OK)


# --- The search -----------------------------------------------------------------------------

SAME_OBJECTIVE = 1e-9  # relative: the same minimum
SAME_ROUNDING = 1e-24  # absolute: runs that the law explains exactly
MINIMA_SHOWN = 3


class Search(NamedTuple):
    """Summary of a multi-start search."""

    starts: int
    kept: int  # that were followed to the end
    reached: int  # of those, how many ended at the reported minimum
    next_best: tuple[float, ...]  # objectives of the next local minima, the best first
    starts_name: str


def equal_lanes(values: np.ndarray) -> np.ndarray:
    """The lanes that ended at the least of the values, that one first."""
    order = np.argsort(values)
    best = values[order[0]]
    return order[values[order] <= best + max(SAME_OBJECTIVE * abs(best), SAME_ROUNDING)]


def search_of(starts: int, values: np.ndarray, converged: np.ndarray, name: str) -> Search:
    """The search whose kept lanes ended at `values`; only a converged one is a minimum."""
    best = values.min()
    near = max(SAME_OBJECTIVE * abs(best), SAME_ROUNDING)
    others = np.sort(values[converged & (values > best + near)])
    distinct = others[np.diff(others, prepend=-np.inf) > near]
    reached = int((values <= best + near).sum())
    return Search(starts, values.size, reached, tuple(distinct[:MINIMA_SHOWN].tolist()), name)


def best_lane(values: np.ndarray, converged: np.ndarray) -> int:
    """The lane of the least value; of those at the same minimum, one that has converged there."""
    lanes = equal_lanes(values)
    return int(next((lane for lane in lanes if converged[lane]), lanes[0]))
