"""Main effects: the mean of a field along each argument, and the argument's share of variance.

Sums along each axis of a grid, or in bins of each argument of a sample, are gathered as two floats,
so that nothing is lost (Dekker 1971). Memory grows with the sum of the sizes of the axes, never
with their product.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from jaxscale.sweeping.reducers.moments import Moments
from jaxscale.sweeping.reducers.protocol import (
    Along,
    FieldReducer,
    Group,
    Known,
    Lanes,
    Locate,
    Parts,
    Term,
    Total,
    where,
)
from jaxscale.sweeping.reducers.results import OfField, Table, written

# Magnitudes above this are scaled down, so that no sum of 2^40 of them overflows.
ROOM = 40  # bits below the largest exponent


@dataclass(frozen=True, repr=False)
class MainEffectsResult(OfField):
    """The effect of each axis; NaN where no scenario counts."""

    mean: float
    variance: float
    effects: dict[str, np.ndarray]  # mean of the field at each value of an axis, or in each bin
    counts: dict[str, np.ndarray]  # scenarios in that mean
    indices: dict[str, float]  # first-order Sobol' index: variance of these means over variance

    def table(self) -> Table:
        rows = [
            (name, f"{self.indices[name]:.3f}", written(means[0]), written(means[-1]))
            for name, means in self.effects.items()
        ]
        return ("axis", "share of variance", "mean at its start", "at its end"), rows

    def columns(self) -> dict[str, Any]:
        axes = [
            (name, index) for name, means in self.effects.items() for index in range(len(means))
        ]
        return {
            "axis": [name for name, _ in axes],
            "index": [index for _, index in axes],
            "mean": [self.effects[name][index] for name, index in axes],
            "count": [self.counts[name][index] for name, index in axes],
        }


@dataclass(frozen=True)
class MainEffects(FieldReducer):
    """Mean of a field along each argument, the rest averaged out, and first-order Sobol' indices.

    An index is the variance of these means, weighted by their counts, over the variance of
    the field (Sobol' 1993): the share of it that the argument explains alone. On a grid means are
    at each value of an axis. In a sample they are in 64 bins of equal chance of each
    argument, or at each of its choices where there are fewer, and what chance alone would put
    between the bins is taken off (Kelley 1935).

    Examples:
        >>> effects = js.MainEffects("sum")
        >>> space = js.Grid(x=[0, 1, 2], y=[0, 2, 4])
        >>> stats = js.sweep(lambda x, y: {"sum": x + y}, space, reduce=[effects])
        >>> print({name: round(index, 3) for name, index in stats[effects].indices.items()})
        {'x': 0.2, 'y': 0.8}
    """

    words: ClassVar[str] = "Main effects on"

    def known(self, total: Total | None, dtype: np.dtype) -> Known:
        moments = None if total is None else _without_axes(total)
        known = self._moments.known(moments, dtype)
        largest = max(abs(float(total[name])) for name in ("min", "max")) if total else 0.0
        room = int(np.finfo(dtype).maxexp) - ROOM
        excess = math.frexp(largest)[1] - room if math.isfinite(largest) else 0
        return {**known, "unit": 2.0 ** -max(0, excess)}

    def terms(self, lanes: Lanes, known: Known) -> Mapping[str, Term]:
        good = lanes.good(self.field)
        x = where(good, lanes.real(self.field) * known["unit"], 0)
        terms = dict(self._moments.terms(lanes, known))
        for name in lanes.arguments:
            terms[_mean_of(name)] = Along(x, name)
            terms[_count_of(name)] = Along(good, name)
        return terms

    def holds(self, parts: Parts, known: Known) -> bool:
        sums = (parts[_mean_of(name)] for name in _axes_of(parts))
        return self._moments.holds(parts, known) and all(np.isfinite(each).all() for each in sums)

    def total(self, parts: Parts, known: Known, starts: np.ndarray, group: Group) -> Total:
        total = self._moments.total(_without_axes(parts), known, starts, group)
        for name in group.drawn or group.axes:
            high, low = parts[_mean_of(name)].astype(np.float64)
            count = parts[_count_of(name)].astype(np.int64)
            total[_mean_of(name)] = (high + low) / np.maximum(count, 1) / np.float64(known["unit"])
            total[_count_of(name)] = count
        total["drawn"] = np.asarray(int(bool(group.drawn)))
        return total

    def merge(self, one: Total, other: Total) -> Total:
        names = _axes_of(one)
        total = self._moments.merge(_without_axes(one), _without_axes(other))
        for name in names:
            count = one[_count_of(name)] + other[_count_of(name)]
            total[_count_of(name)] = count
            # Shares rather than sums, which could overflow.
            total[_mean_of(name)] = sum(
                each[_mean_of(name)] * (each[_count_of(name)] / np.maximum(count, 1))
                for each in (one, other)
            )
        total["drawn"] = one["drawn"]
        return total

    def result(self, total: Total, locate: Locate) -> MainEffectsResult:
        found = self._moments.result(_without_axes(total), locate)
        effects, counts, indices = {}, {}, {}
        for name in _axes_of(total):
            counts[name] = total[_count_of(name)]
            effects[name] = np.where(counts[name] > 0, total[_mean_of(name)], np.nan)
            index = _index(effects[name], counts[name], found.mean, found.std)
            indices[name] = _without_chance(index, counts[name]) if total["drawn"] else index
        variance = found.std * found.std
        given = found.count, found.skipped, found.mean, variance
        return MainEffectsResult(*given, effects, counts, indices)

    @property
    def _moments(self) -> Moments:
        return Moments(self.field)


def _index(effects: np.ndarray, counts: np.ndarray, mean: float, std: float) -> float:
    if not std > 0:  # nothing varies, or nothing counts
        return math.nan
    known = counts > 0
    shares = counts[known] / counts.sum()
    return float((shares * ((effects[known] - mean) / std) ** 2).sum())


def _without_chance(index: float, counts: np.ndarray) -> float:
    """The share of variance between bins, less what means of so few draws differ by chance."""
    groups, count = int((counts > 0).sum()), int(counts.sum())
    return index - (1 - index) * (groups - 1) / max(count - groups, 1)


def _mean_of(axis: str) -> str:
    return f"mean along {axis}"


def _count_of(axis: str) -> str:
    return f"count along {axis}"


def _axes_of(total: Total) -> list[str]:
    prefix = _mean_of("")
    return [name.removeprefix(prefix) for name in total if name.startswith(prefix)]


def _without_axes(total: Total) -> Total:
    return {
        name: array for name, array in total.items() if " along " not in name and name != "drawn"
    }
