"""Main effects: the mean of a field along each axis of a grid, and the axis's share of variance.

The sums of a chunk along each of its axes are added into one accumulator for each value of
the axis: two floats, so that nothing is lost (Dekker 1971), and an exponent, so that nothing
overflows. Memory grows with the sum of the sizes of the axes, never with their product.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxscale.sweeping.reducers.moments import (
    LEAST,
    Moments,
    Summary,
    pairwise_sum,
    power_of_two,
    scaled,
    two_sum,
)
from jaxscale.sweeping.reducers.protocol import (
    Chunk,
    FieldReducer,
    Group,
    Locate,
    Total,
    dtype_of,
    lanes,
)
from jaxscale.sweeping.reducers.results import OfField, Table, written


@dataclass(frozen=True, repr=False)
class MainEffectsResult(OfField):
    """The effect of each axis; NaN where no scenario counts."""

    mean: float
    variance: float
    effects: dict[str, np.ndarray]  # mean of the field at each value of an axis
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


class Along(NamedTuple):
    """A sum for each value of an axis: `(high + low) * 2 ** exponent`, of `count` terms.

    The first three are rows of one array, the exponent a whole float: a chunk then updates
    an array by what it held alone, and XLA needs no copy of a long one.
    """

    sums: Array  # (3, size)
    count: Array


class State(NamedTuple):
    """Accumulators of one group of chunks."""

    moments: Summary
    axes: tuple[Along, ...]


@dataclass(frozen=True)
class MainEffects(FieldReducer):
    """Mean of a field along each axis, the rest averaged out, and first-order Sobol' indices.

    An index is the variance of these means, weighted by their counts, over the variance of
    the field (Sobol' 1993): the share of it that the axis explains alone. On grids only.

    Examples:
        >>> effects = js.MainEffects("sum")
        >>> space = js.Grid(x=[0, 1, 2], y=[0, 2, 4])
        >>> stats = js.sweep(lambda x, y: {"sum": x + y}, space, reduce=[effects])
        >>> print({name: round(index, 3) for name, index in stats[effects].indices.items()})
        {'x': 0.2, 'y': 0.8}
    """

    needs_grid: ClassVar[bool] = True
    words: ClassVar[str] = "Main effects on"

    def start(self, group: Group, dtypes: Mapping[str, np.dtype]) -> State:
        chunks, dtype = group.chunks, dtype_of(self.field, dtypes)
        # A last chunk may reach beyond its axis: with room for it, no update is shifted back.
        room = [many * length for many, length in zip(chunks.grid, chunks.shape, strict=True)]
        empty = [_empty(length, dtype) for length in room]
        return State(self._moments.start(group, dtypes), tuple(empty))

    def update(self, state: State, chunk: Chunk, group: Group) -> State:
        found = lanes(chunk, self.field)
        values, exponent = scaled(found.values, jnp.abs(found.values).max())
        sums = _along_axes(values)
        counts = _along_axes(found.good.astype(jnp.int32))
        axes = [
            _added(along, start, terms, count, exponent)
            for along, start, terms, count in zip(
                state.axes, chunk.starts, sums, counts, strict=True
            )
        ]
        return State(self._moments.update(state.moments, chunk, group), tuple(axes))

    def total(self, state: State, starts: np.ndarray, group: Group) -> Total:
        total = self._moments.total(state.moments, starts, group)
        for name, size, along in zip(group.axes, group.chunks.sizes, state.axes, strict=True):
            high, low, exponent = np.asarray(along.sums)[:, :size].astype(np.float64)
            count = np.asarray(along.count)[:size]
            means = (high + low) / np.maximum(count, 1)
            total[_mean_of(name)] = np.ldexp(means, exponent.astype(np.int32))
            total[_count_of(name)] = count.astype(np.int64)
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
        return total

    def result(self, total: Total, locate: Locate) -> MainEffectsResult:
        found = self._moments.result(_without_axes(total), locate)
        effects, counts, indices = {}, {}, {}
        for name in _axes_of(total):
            counts[name] = total[_count_of(name)]
            effects[name] = np.where(counts[name] > 0, total[_mean_of(name)], np.nan)
            indices[name] = _index(effects[name], counts[name], found.mean, found.std)
        variance = found.std * found.std
        given = found.count, found.skipped, found.mean, variance
        return MainEffectsResult(*given, effects, counts, indices)

    @property
    def _moments(self) -> Moments:
        return Moments(self.field)


def _empty(size: int, dtype: np.dtype) -> Along:
    zeros = jnp.zeros(size, dtype)
    sums = jnp.stack([zeros, zeros, jnp.full(size, LEAST, dtype)])
    return Along(sums, jnp.zeros(size, jnp.int32))


def _along_axes(x: Array) -> list[Array]:
    """Sums over all axes but one, for each axis.

    The last axis goes first: then only it costs passes over the whole chunk.
    """
    sums = []
    while x.ndim:
        sums.append(pairwise_sum(x.reshape(-1, x.shape[-1]), 0))
        x = pairwise_sum(x, x.ndim - 1)
    return sums[::-1]


def _added(along: Along, start: Array, terms: Array, count: Array, exponent: Array) -> Along:
    """Accumulators with the sums of one chunk, whose values are divided by `2 ** exponent`."""
    old = Along(*(lax.dynamic_slice_in_dim(leaf, start, terms.size, -1) for leaf in along))
    high, low, former = old.sums
    former = former.astype(jnp.int32)
    shared = jnp.maximum(former, jnp.where(count > 0, exponent, LEAST))
    rescale = power_of_two(former - shared, terms.dtype)
    # The exponent exceeds the shared one only where there are no terms.
    terms = terms * power_of_two(jnp.minimum(exponent - shared, 0), terms.dtype)
    high, lost = two_sum(high * rescale, terms)
    sums = jnp.stack([high, low * rescale + lost, shared.astype(terms.dtype)])
    new = Along(sums, old.count + count)
    return jax.tree.map(lambda leaf, part: _put(leaf, part, start), along, new)


def _put(leaf: Array, part: Array, start: Array) -> Array:
    return lax.dynamic_update_slice_in_dim(leaf, part, start, -1)


def _index(effects: np.ndarray, counts: np.ndarray, mean: float, std: float) -> float:
    if not std > 0:  # nothing varies, or nothing counts
        return math.nan
    known = counts > 0
    shares = counts[known] / counts.sum()
    return float((shares * ((effects[known] - mean) / std) ** 2).sum())


def _mean_of(axis: str) -> str:
    return f"mean along {axis}"


def _count_of(axis: str) -> str:
    return f"count along {axis}"


def _axes_of(total: Total) -> list[str]:
    prefix = _mean_of("")
    return [name.removeprefix(prefix) for name in total if name.startswith(prefix)]


def _without_axes(total: Total) -> Total:
    return {name: array for name, array in total.items() if " along " not in name}
