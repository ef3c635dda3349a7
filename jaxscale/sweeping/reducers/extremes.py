"""Extreme values with the scenarios that attain them: the two ends, or the k best."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxscale.sweeping.reducers.protocol import (
    NOWHERE,
    Chunk,
    FieldReducer,
    Group,
    Locate,
    Total,
    added,
    check_whole,
    dtype_of,
    lanes,
    numbers,
    on_host,
)
from jaxscale.sweeping.reducers.results import OfField, Table, located, table_of


@dataclass(frozen=True, repr=False)
class ExtremesResult(OfField):
    """Extremes of a field and their coordinates; NaN and empty where no scenario counts."""

    min: float
    min_at: dict[str, Any]
    max: float
    max_at: dict[str, Any]

    def table(self) -> Table:
        return table_of(self.columns())

    def columns(self) -> dict[str, Any]:
        names = {"extreme": ["min", "max"]}
        return names | located((self.min, self.max), (self.min_at, self.max_at))


class Found(NamedTuple):
    """The extremes of one chunk, or of each chunk of a group, and their offsets in it."""

    count: Array
    skipped: Array
    min: Array
    min_at: Array
    max: Array
    max_at: Array


@dataclass(frozen=True)
class Extremes(FieldReducer):
    """Minimum and maximum of a field, and where they are; of equals, the first scenario.

    Examples:
        >>> extremes = js.Extremes("square")
        >>> space = js.Grid(x=js.linspace(0, 10, 11))
        >>> stats = js.sweep(lambda x: {"square": x * x}, space, reduce=[extremes])
        >>> stats[extremes].max, stats[extremes].max_at
        (100.0, {'x': 10.0})
    """

    def start(self, group: Group, dtypes: Mapping[str, np.dtype]) -> Found:
        whole = jnp.zeros(group.count, jnp.int32)
        real = jnp.zeros(group.count, dtype_of(self.field, dtypes))
        return Found(whole, whole, real, whole, real, whole)

    def update(self, state: Found, chunk: Chunk, group: Group) -> Found:
        del group
        found = lanes(chunk, self.field)
        values, good = found.values.reshape(-1), found.good.reshape(-1)
        low, low_at = _smallest(values, good)
        high, high_at = _smallest(-values, good)
        found = Found(found.count, found.skipped, low, low_at, -high, high_at)
        return jax.tree.map(lambda kept, new: kept.at[chunk.position].set(new), state, found)

    def total(self, state: Found, starts: np.ndarray, group: Group) -> Total:
        each = {name: np.asarray(leaf)[: len(starts)] for name, leaf in state._asdict().items()}
        low, low_at = _first(each["min"], each["min_at"], each["count"], starts, group)
        high, high_at = _first(-each["max"], each["max_at"], each["count"], starts, group)
        return {
            "count": np.asarray(each["count"].sum(dtype=np.int64)),
            "skipped": np.asarray(each["skipped"].sum(dtype=np.int64)),
            "min": np.asarray(low),
            "min_at": np.asarray(low_at),
            "max": np.asarray(-high),
            "max_at": np.asarray(high_at),
        }

    def merge(self, one: Total, other: Total) -> Total:
        lower = min(one, other, key=lambda each: (float(each["min"]), int(each["min_at"])))
        higher = min(one, other, key=lambda each: (-float(each["max"]), int(each["max_at"])))
        return {
            **added(one, other, "count", "skipped"),
            "min": lower["min"],
            "min_at": lower["min_at"],
            "max": higher["max"],
            "max_at": higher["max_at"],
        }

    def result(self, total: Total, locate: Locate) -> ExtremesResult:
        count, skipped = int(total["count"]), int(total["skipped"])
        if not count:
            return ExtremesResult(count, skipped, np.nan, {}, np.nan, {})
        return ExtremesResult(
            count,
            skipped,
            float(total["min"]),
            locate(int(total["min_at"])),
            float(total["max"]),
            locate(int(total["max_at"])),
        )


def _smallest(values: Array, good: Array) -> tuple[Array, Array]:
    """The smallest good value and its first offset: two minima, five times faster than argmin."""
    smallest = jnp.where(good, values, jnp.inf).min()
    attains = good & (values == smallest)
    offsets = lax.iota(jnp.int32, values.size)
    return smallest, jnp.where(attains, offsets, values.size - 1).min()


def _first(values, inner, count, starts, group: Group) -> tuple[np.float64, np.int64]:
    """The smallest value of all chunks and the lowest number of a scenario with it."""
    chunks = np.flatnonzero(count)
    if not chunks.size:
        return np.float64(np.inf), np.int64(NOWHERE)
    smallest = values[chunks].min()
    ties = chunks[values[chunks] == smallest]
    return np.float64(smallest), numbers(starts, ties, inner[ties], group).min()


@dataclass(frozen=True, repr=False)
class TopKResult(OfField):
    """The best values of a field, best first, and their coordinates: k, or all that count."""

    values: np.ndarray
    at: tuple[dict[str, Any], ...]

    def table(self) -> Table:
        return table_of(self.columns())

    def columns(self) -> dict[str, Any]:
        return {"rank": list(range(1, len(self.at) + 1))} | located(self.values.tolist(), self.at)


class Best(NamedTuple):
    """The best of a group so far, best first; -inf where there are fewer. Larger is better."""

    count: Array
    skipped: Array
    values: Array
    offset: Array
    position: Array


@dataclass(frozen=True)
class TopK(FieldReducer):
    """The k largest values of a field, or the k `lowest`, and where they are.

    Of equals the first scenarios are taken, and come first.

    Examples:
        >>> top = js.TopK("square", k=2)
        >>> space = js.Grid(x=js.linspace(0, 10, 11))
        >>> stats = js.sweep(lambda x: {"square": x * x}, space, reduce=[top])
        >>> stats[top].at
        ({'x': 10.0}, {'x': 9.0})
    """

    k: int = 10
    lowest: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("k", self.k, 1, 100_000)
        if not isinstance(self.lowest, bool):
            raise TypeError(f"lowest must be True or False; got {self.lowest!r}")

    @property
    def words(self) -> str:
        """The first words of a title."""
        return f"The {'lowest' if self.lowest else 'highest'}"

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
        return lax.cond(better, lambda: _with_chunk(state, values, chunk.position), lambda: state)

    def total(self, state: Best, starts: np.ndarray, group: Group) -> Total:
        found = np.flatnonzero(np.isfinite(state.values))
        positions, inner = np.asarray(state.position)[found], np.asarray(state.offset)[found]
        return on_host(count=state.count, skipped=state.skipped) | {
            "values": np.asarray(state.values)[found].astype(np.float64),
            "numbers": numbers(starts, positions, inner, group),
        }

    def merge(self, one: Total, other: Total) -> Total:
        values = np.concatenate([one["values"], other["values"]])
        at = np.concatenate([one["numbers"], other["numbers"]])
        order = np.lexsort((at, -values))[: self.k]
        return {
            **added(one, other, "count", "skipped"),
            "values": values[order],
            "numbers": at[order],
        }

    def result(self, total: Total, locate: Locate) -> TopKResult:
        values = -total["values"] if self.lowest else total["values"]
        at = tuple(locate(number) for number in total["numbers"].tolist())
        return TopKResult(int(total["count"]), int(total["skipped"]), values, at)


def _with_chunk(state: Best, values: Array, position: Array) -> Best:
    k = state.values.size
    found, offset = _best(values, min(k, values.size))
    # The state comes first: chunks come in order, and top_k keeps the first of equals.
    kept, order = lax.top_k(jnp.concatenate([state.values, found]), k)
    offset = jnp.concatenate([state.offset, offset])
    positions = jnp.concatenate([state.position, jnp.full(found.size, position, jnp.int32)])
    return state._replace(values=kept, offset=offset[order], position=positions[order])


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
