"""The k largest or lowest values, with the scenarios that attain them.

A chunk is first cut into rows: only the k rows with the best values can hold any of the best
k, so all but a few lanes are looked at once. Sorting a whole chunk costs thirty times more.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxscale.sweeping.reducers.arguments import check_field, check_whole
from jaxscale.sweeping.reducers.lanes import dtype_of, lanes, numbers
from jaxscale.sweeping.reducers.protocol import Chunk, Group, Locate, Total


class TopKResult(NamedTuple):
    """The best values of a field, best first, and their coordinates: k, or all that count."""

    count: int
    skipped: int  # scenarios that are not ok, or where the field is not finite
    values: np.ndarray
    at: tuple[dict[str, Any], ...]


class Best(NamedTuple):
    """The best of a group so far, best first; -inf where there are fewer. Larger is better."""

    count: Array
    skipped: Array
    values: Array
    offset: Array
    place: Array


@dataclass(frozen=True)
class TopK:
    """The k largest values of a field, or the k `lowest`, and where they are.

    Of equals the first scenarios are taken, and come first.

    Examples:
        >>> top = js.TopK("square", k=2)
        >>> space = js.Grid(x=js.linspace(0, 10, 11))
        >>> stats = js.sweep(lambda x: {"square": x * x}, space, reduce=[top])
        >>> stats[top].at
        ({'x': 10.0}, {'x': 9.0})
    """

    field: str
    k: int = 10
    lowest: bool = False
    needs_grid: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_field(self.field)
        check_whole("k", self.k, 1, 100_000)
        if not isinstance(self.lowest, bool):
            raise TypeError(f"lowest must be True or False; got {self.lowest!r}")

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.field,)

    def start(self, group: Group, dtypes: Mapping[str, np.dtype]) -> Best:
        del group
        zero, zeros = jnp.int32(0), jnp.zeros(self.k, jnp.int32)
        nothing = jnp.full(self.k, -jnp.inf, dtype_of(self.field, dtypes))
        return Best(zero, zero, nothing, zeros, zeros)

    def update(self, state: Best, chunk: Chunk, group: Group) -> Best:
        del group
        values, good, count, skipped = lanes(chunk, self.field)
        values = jnp.where(good, -values if self.lowest else values, -jnp.inf).reshape(-1)
        state = state._replace(count=state.count + count, skipped=state.skipped + skipped)
        # An equal value of a later scenario is no better, and most chunks hold nothing better.
        better = (values > state.values[-1]).any()
        return lax.cond(better, lambda: _with_chunk(state, values, chunk.place), lambda: state)

    def total(self, state: Best, starts: np.ndarray, group: Group) -> Total:
        found = np.flatnonzero(np.isfinite(state.values))
        places, inner = np.asarray(state.place)[found], np.asarray(state.offset)[found]
        return {
            "count": np.asarray(state.count).astype(np.int64),
            "skipped": np.asarray(state.skipped).astype(np.int64),
            "values": np.asarray(state.values)[found].astype(np.float64),
            "numbers": numbers(starts, places, inner, group),
        }

    def merge(self, one: Total, other: Total) -> Total:
        values = np.concatenate([one["values"], other["values"]])
        at = np.concatenate([one["numbers"], other["numbers"]])
        order = np.lexsort((at, -values))[: self.k]
        return {
            "count": np.asarray(one["count"] + other["count"]),
            "skipped": np.asarray(one["skipped"] + other["skipped"]),
            "values": values[order],
            "numbers": at[order],
        }

    def result(self, total: Total, locate: Locate) -> TopKResult:
        values = -total["values"] if self.lowest else total["values"]
        at = tuple(locate(number) for number in total["numbers"].tolist())
        return TopKResult(int(total["count"]), int(total["skipped"]), values, at)


def _with_chunk(state: Best, values: Array, place: Array) -> Best:
    k = state.values.size
    found, offset = _best(values, min(k, values.size))
    # What is in the state comes first: chunks come in order, and top_k keeps the first of equals.
    kept, order = lax.top_k(jnp.concatenate([state.values, found]), k)
    offset = jnp.concatenate([state.offset, offset])
    places = jnp.concatenate([state.place, jnp.full(found.size, place, jnp.int32)])
    return state._replace(values=kept, offset=offset[order], place=places[order])


def _best(values: Array, k: int) -> tuple[Array, Array]:
    """The k largest values and their offsets; the first of equals."""
    width = 1 << max(0, round(math.log2(values.size / k) / 2))
    rows = -(-values.size // width)
    if rows <= k or width == 1:
        return lax.top_k(values, k)
    missing = rows * width - values.size
    table = jnp.pad(values, (0, missing), constant_values=-jnp.inf).reshape(rows, width)
    # In order of their numbers, so that the first of equals stays the first.
    chosen = jnp.sort(lax.top_k(_row_maxima(table), k)[1])
    found, inner = lax.top_k(table[chosen].reshape(-1), k)
    return found, chosen[inner // width] * width + inner % width


def _row_maxima(table: Array) -> Array:
    # Halves against halves is vectorised; a reduction along the last axis is not.
    while (width := table.shape[1]) > 8:
        table = jnp.maximum(table[:, : width // 2], table[:, width // 2 :])
    return table.max(axis=1)
