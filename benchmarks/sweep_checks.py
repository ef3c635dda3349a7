"""The reducers that `sweep` times, and what each has to give over the grid."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import jaxscale as js
from benchmarks import grid_truth
from benchmarks.harness import require_agreement
from benchmarks.ours import FIELDS
from benchmarks.problem import TOLERANCE

EDGES = {
    "params": tuple(np.geomspace(1e8, 1e12, 33)),
    "tokens": tuple(np.geomspace(1e10, 1e14, 33)),
}
CHECKED_MEANS, EVERY_EDGE = 64, 4  # along each axis; and of a histogram
# Of all scenarios, on the other side of an edge or a quantile because of rounding.
SHARE_TOLERANCE = {"float64": 1e-9, "float32": 1e-4}

Shape = tuple[int, int]  # rows and columns of the grid
Pairs = list[tuple[Any, Any]]  # what was found, and what is true


def off(name: str, reducer: str, dtype: str, shape: Shape, answer: Mapping) -> float:
    """Largest error of the statistics of both fields; Disagreement where one is too large.

    Errors are relative, and those of counts relative to all scenarios.
    """
    size, errors = shape[0] * shape[1], []
    for field in FIELDS:
        result = answer[REDUCERS[reducer](field)]
        require_agreement(f"{name}: scenarios", (result.count,), (size,), 0)
        pairs = CHECKS[reducer](result, field, shape, dtype)
        tolerance = TOLERANCE if reducer in OF_VALUES else SHARE_TOLERANCE
        found, true = zip(*pairs, strict=True)
        errors.append(require_agreement(f"{name}: {field}", found, true, tolerance[dtype]))
    return max(errors)


def _moments(result: Any, field: str, shape: Shape, dtype: str) -> Pairs:
    mean = grid_truth.means(*shape, dtype)[field]
    return [(result.mean, mean), *_extremes(result, field, shape, dtype)]


def _extremes(result: Any, field: str, shape: Shape, dtype: str) -> Pairs:
    most = grid_truth.largest(1, *shape, dtype)[field][0]
    return [(result.min, grid_truth.least(dtype)[field]), (result.max, most)]


def _top(result: Any, field: str, shape: Shape, dtype: str) -> Pairs:
    return [(result.values, grid_truth.largest(len(result.values), *shape, dtype)[field])]


def _effects(result: Any, field: str, shape: Shape, dtype: str) -> Pairs:
    along = grid_truth.means_along_loss, grid_truth.means_along_demand
    pairs = []
    for axis, mean, size in zip(("loss", "demand"), along, shape, strict=True):
        at = np.unique(np.linspace(0, size - 1, CHECKED_MEANS).astype(int))
        pairs.append((result.effects[axis][at], mean(at, *shape, dtype)[field]))
    return pairs


def _histogram(result: Any, field: str, shape: Shape, dtype: str) -> Pairs:
    del dtype
    # The last bin holds its upper edge, and no scenario lies on an edge.
    counts = np.cumsum([result.below, *result.counts])[::EVERY_EDGE]
    shares = grid_truth.shares_at_most(field, EDGES[field][::EVERY_EDGE], *shape)
    return [(1 + counts / result.count, 1 + shares)]


def _quantiles(result: Any, field: str, shape: Shape, dtype: str) -> Pairs:
    del dtype
    error = REDUCERS["Quantiles"](field).relative_error
    low, high = (
        grid_truth.shares_at_most(field, tuple(result.values * factor), *shape)
        for factor in (1 - error, 1 + error)
    )
    return [(1 + np.clip(result.levels, low, high), 1 + result.levels)]


REDUCERS: dict[str, Callable[[str], Any]] = {
    "Moments": js.Moments,
    "Extremes": js.Extremes,
    "TopK": js.TopK,
    "MainEffects": js.MainEffects,
    "Histogram": lambda field: js.Histogram(field, EDGES[field]),
    "Quantiles": js.Quantiles,
}
CHECKS = {
    "Moments": _moments,
    "Extremes": _extremes,
    "TopK": _top,
    "MainEffects": _effects,
    "Histogram": _histogram,
    "Quantiles": _quantiles,
}
OF_VALUES = {"Moments", "Extremes", "TopK", "MainEffects"}
