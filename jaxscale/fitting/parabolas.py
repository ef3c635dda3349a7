"""Parabolas of loss in log params at each budget, and their minima.

All resamples go through the same arithmetic at once, a row of weights each.
"""

from typing import NamedTuple, cast

import numpy as np

from jaxscale.fitting.runs import Runs

LEAST_SIZES = 3  # of a parabola
# Sizes closer than one percent are one size: a curve through such a pair would follow noise.
SAME_SIZE = 0.01
# Below this rise over half the range, relative to the loss, a curve is flat to rounding.
FLAT = 1e-12


class Valley(NamedTuple):
    """The minimum at one budget, an entry for each row of weights. Logarithms are natural."""

    log_params: np.ndarray
    log_tokens: np.ndarray
    loss: np.ndarray
    sizes: np.ndarray  # how many
    opens_upwards: np.ndarray
    low: np.ndarray  # of log params of the runs that have a weight
    high: np.ndarray

    @property
    def inside(self) -> np.ndarray:
        return (self.log_params >= self.low) & (self.log_params <= self.high)

    @property
    def usable(self) -> np.ndarray:
        return (self.sizes >= LEAST_SIZES) & self.opens_upwards & self.inside


def valleys_of(runs: Runs, flops: np.ndarray, reach: float, weights: np.ndarray) -> list[Valley]:
    """The minima at each budget; `weights` has a row of counts for each resample."""
    weights = runs.weights * weights
    return [_valley(runs, weights, flops == value, reach) for value in np.unique(flops)]


def _valley(runs: Runs, weights: np.ndarray, members: np.ndarray, reach: float) -> Valley:
    """Minima of the parabolas through the loss of a budget's members."""
    log_params, weights = np.log(runs.params[members]), weights[:, members]
    log_tokens, loss = np.log(runs.tokens[members]), runs.loss[members]
    lowest = log_params[np.where(weights > 0, loss, np.inf).argmin(axis=1)]
    weights = weights * (abs(log_params - lowest[:, None]) <= np.log(reach))
    present = weights > 0
    size = parts_of(log_params, SAME_SIZE)
    sizes = sum((present[:, size == each].any(axis=1) for each in np.unique(size)), 0)
    # Centred and of range two, so that the normal equations lose few digits.
    centre = (log_params.max() + log_params.min()) / 2
    half = max(np.ptp(log_params) / 2, SAME_SIZE)
    x = (log_params - centre) / half
    values = np.stack([loss, log_tokens], axis=1)
    c0, c1, c2 = _parabolas(x, values, weights, np.asarray(sizes) >= LEAST_SIZES)
    opens_upwards = c2[:, 0] > FLAT * loss.max()
    best = -c1[:, 0] / np.where(opens_upwards, 2 * c2[:, 0], np.nan)
    at_best = c0 + best[:, None] * (c1 + best[:, None] * c2)
    return Valley(
        log_params=centre + half * best,
        log_tokens=at_best[:, 1],
        loss=at_best[:, 0],
        sizes=np.asarray(sizes),
        opens_upwards=opens_upwards,
        low=np.where(present, log_params, np.inf).min(axis=1),
        high=np.where(present, log_params, -np.inf).max(axis=1),
    )


def _parabolas(
    x: np.ndarray, values: np.ndarray, weights: np.ndarray, solvable: np.ndarray
) -> np.ndarray:
    """Coefficients of 1, x and x^2 that fit each column of values, shape (3, rows, columns)."""
    powers = x ** np.arange(3)[:, None]
    normal = np.einsum("rn,in,jn->rij", weights, powers, powers)
    normal[~solvable] = np.eye(3)
    right = np.einsum("rn,in,nk->rik", weights, powers, values)
    return np.moveaxis(cast(np.ndarray, np.linalg.solve(normal, right)), 1, 0)


def parts_of(values: np.ndarray, gap: float) -> np.ndarray:
    """A number for each value, from 0: those after a gap in the sorted values have the next."""
    order = np.argsort(values)
    parts = np.empty(len(values), np.int64)
    parts[order] = np.cumsum(np.diff(values[order], prepend=values[order[0]]) > gap)
    return parts
