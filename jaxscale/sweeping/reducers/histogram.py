"""Counts between given edges, by the convention of `numpy.histogram`.

Edges are float64. A field of float32 is compared with the float32 numbers that split it just
as the edges themselves would, so the counts are exact.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxscale.sweeping.reducers.arguments import as_floats, check_field
from jaxscale.sweeping.reducers.lanes import lanes, tallied
from jaxscale.sweeping.reducers.protocol import Chunk, Group, Locate, Total


class HistogramResult(NamedTuple):
    """Scenarios between edges; each bin holds its lower edge, the last one both."""

    count: int  # `below` and `above` included
    skipped: int  # scenarios that are not ok, or where the field is not finite
    below: int
    above: int
    edges: np.ndarray
    counts: np.ndarray  # one less than edges


class Counts(NamedTuple):
    """Counts of one group of chunks: below, in each bin, above."""

    counts: Array
    skipped: Array


@dataclass(frozen=True)
class Histogram:
    """Scenarios between each two of the increasing `edges` of a field.

    Examples:
        >>> counts = js.Histogram("square", edges=(0.0, 10.0, 50.0, 101.0))
        >>> space = js.Grid(x=js.linspace(0, 10, 11))
        >>> stats = js.sweep(lambda x: {"square": x * x}, space, reduce=[counts])
        >>> stats[counts].counts
        array([4, 4, 3])
    """

    field: str
    edges: tuple[float, ...]
    needs_grid: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_field(self.field)
        edges = as_floats("edges", self.edges)
        if len(edges) < 2:
            raise ValueError(f"edges must be at least 2 numbers; got {len(edges)}")
        for low, high in pairwise(edges):
            if low >= high:
                raise ValueError(f"edges must increase; got {high!r} after {low!r}")
        object.__setattr__(self, "edges", edges)

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.field,)

    def start(self, group: Group, dtypes: Mapping[str, np.dtype]) -> Counts:
        del group, dtypes
        return Counts(jnp.zeros(len(self.edges) + 1, jnp.int32), jnp.int32(0))

    def update(self, state: Counts, chunk: Chunk, group: Group) -> Counts:
        del group
        found = lanes(chunk, self.field)
        starts, last = _splits(self.edges, found.values.dtype)
        passed = jnp.searchsorted(starts, found.values, side="right", method="scan_unrolled")
        bins = passed.astype(jnp.int32) + (found.values > last).astype(jnp.int32)
        counts = tallied(state.counts, bins, found.good)
        return Counts(counts, state.skipped + found.skipped)

    def total(self, state: Counts, starts: np.ndarray, group: Group) -> Total:
        del starts, group
        return {
            "counts": np.asarray(state.counts).astype(np.int64),
            "skipped": np.asarray(state.skipped).astype(np.int64),
        }

    def merge(self, one: Total, other: Total) -> Total:
        return {name: np.asarray(one[name] + other[name]) for name in one}

    def result(self, total: Total, locate: Locate) -> HistogramResult:
        del locate
        below, *counts, above = total["counts"].tolist()
        return HistogramResult(
            int(total["counts"].sum()),
            int(total["skipped"]),
            below,
            above,
            np.array(self.edges),
            np.array(counts, np.int64),
        )


def _splits(edges: tuple[float, ...], dtype: np.dtype) -> tuple[Array, Array]:
    """The smallest number of a dtype in each bin, and the largest in the last one."""
    exact = np.array(edges)
    with np.errstate(over="ignore", under="ignore"):
        near = exact.astype(dtype)
        up = np.where(near < exact, np.nextafter(near, np.inf, dtype=dtype), near)
        last = near[-1] if near[-1] <= exact[-1] else np.nextafter(near[-1], -np.inf, dtype=dtype)
    # The device takes a subnormal number for 0, on either side of a comparison.
    tiny = np.finfo(dtype).tiny
    up = np.where((up > 0) & (up < tiny), tiny, up)
    return jnp.asarray(up[:-1], dtype), jnp.asarray(last, dtype)
