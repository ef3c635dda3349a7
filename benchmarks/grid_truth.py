"""True statistics of a grid of any size, for what a sweep of it gives, without solving the grid.

N and D are smooth in the loss and in the logarithm of the demand, so their means over evenly
spaced points are those of their interpolants at a few nodes. Both fall as the loss rises; with
the demand N falls and D rises. So extremes are at corners, and ranks are found by bisection.
"""

from functools import lru_cache

import numpy as np
from numpy.polynomial import legendre

from benchmarks.peers import numpy_whole
from benchmarks.problem import DEMANDS, LOSSES, true_plans

# Of an interpolant: the nearest singularity, of the demand, leaves 1.7^-NODES.
NODES = 64
POINTS_AT_ONCE = 2**14
FIELDS = "params", "tokens"


@lru_cache
def means(rows: int, columns: int, dtype: str) -> dict[str, float]:
    """Mean of each field over the grid."""
    (losses, of_loss), (demands, of_demand) = _losses(rows), _demands(columns)
    plans = _plans(losses[:, None], demands, dtype)
    return {name: float(of_loss @ x @ of_demand) for name, x in plans.items()}


def means_along_loss(indices: np.ndarray, rows: int, columns: int, dtype: str) -> dict:
    """Mean of each field over all demands, at the losses of these indices."""
    demands, weights = _demands(columns)
    plans = _plans(_loss_at(indices, rows)[:, None], demands, dtype)
    return {name: (x @ weights).astype(float) for name, x in plans.items()}


def means_along_demand(indices: np.ndarray, rows: int, columns: int, dtype: str) -> dict:
    """Mean of each field over all losses, at the demands of these indices."""
    losses, weights = _losses(rows)
    plans = _plans(losses[:, None], _demand_at(indices, columns), dtype)
    return {name: (weights @ x).astype(float) for name, x in plans.items()}


@lru_cache
def largest(count: int, rows: int, columns: int, dtype: str) -> dict[str, np.ndarray]:
    """The so many largest values of each field, in falling order."""
    # None is farther from its corner, along either axis, than there are larger values.
    near = [min(count, size) for size in (rows, columns)]
    ends = {"params": np.arange(near[1]), "tokens": np.arange(columns - near[1], columns)}
    losses = _loss_at(np.arange(near[0]), rows)[:, None]
    found = {}
    for name, at in ends.items():
        values = _plans(losses, _demand_at(at, columns), dtype)[name]
        found[name] = np.sort(values.ravel())[::-1][:count].astype(float)
    return found


@lru_cache
def least(dtype: str) -> dict[str, float]:
    """The least value of each field."""
    plans = _plans(np.array(LOSSES[1]), np.array(DEMANDS), dtype)
    return {"params": float(plans["params"][1]), "tokens": float(plans["tokens"][0])}


@lru_cache
def shares_at_most(name: str, thresholds: tuple[float, ...], rows: int, columns: int) -> np.ndarray:
    """Shares of the scenarios whose field is at most each of some thresholds, in float64."""
    most, demands = np.asarray(thresholds)[:, None], _demand_at(np.arange(columns), columns)
    low, high = (np.full((len(most), columns), each) for each in (0, rows))
    for _ in range(rows.bit_length()):  # the first row where the field is at most that
        middle = (low + high) // 2
        losses = _loss_at(np.minimum(middle, rows - 1), rows)
        values = numpy_whole(losses, np.broadcast_to(demands, losses.shape))[FIELDS.index(name)]
        here = (values <= most) & (middle < rows)
        low, high = np.where(here, low, np.minimum(middle + 1, high)), np.where(here, middle, high)
    return (rows - low).mean(axis=1) / rows


# --- Axes, and averages along them -----------------------------------------------------------


@lru_cache
def _rule(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in [0, 1], and weights that give the mean over `count` evenly spaced points."""
    nodes, weights = legendre.leggauss(NODES)
    degrees = np.arange(NODES)
    sums = np.zeros(NODES)
    for start in range(0, count, POINTS_AT_ONCE):
        index = np.arange(start, min(start + POINTS_AT_ONCE, count))
        sums += legendre.legvander(2 * index / max(1, count - 1) - 1, NODES - 1).sum(axis=0)
    coefficients = legendre.legvander(nodes, NODES - 1) * (degrees + 0.5) * weights[:, None]
    return (nodes + 1) / 2, coefficients @ (sums / count)


def _losses(rows: int) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = _rule(rows)
    return LOSSES[0] + (LOSSES[1] - LOSSES[0]) * nodes, weights


def _demands(columns: int) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = _rule(columns)
    return _demand(nodes), weights


def _loss_at(index: np.ndarray, rows: int) -> np.ndarray:
    return LOSSES[0] + (LOSSES[1] - LOSSES[0]) * (index / max(1, rows - 1))


def _demand_at(index: np.ndarray, columns: int) -> np.ndarray:
    return _demand(index / max(1, columns - 1))


def _demand(share: np.ndarray) -> np.ndarray:
    low, high = np.log(DEMANDS)
    return np.exp(low + (high - low) * share)


def _plans(loss: np.ndarray, demand: np.ndarray, dtype: str) -> dict[str, np.ndarray]:
    loss, demand = np.broadcast_arrays(loss, demand)
    return dict(zip(FIELDS, true_plans(loss, demand, dtype), strict=True))
