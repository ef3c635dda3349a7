"""Summary of a multi-start search."""

from typing import NamedTuple

import numpy as np

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
