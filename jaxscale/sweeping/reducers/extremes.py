"""The smallest and the largest value, with the scenarios that attain them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxscale.sweeping.reducers.arguments import check_field
from jaxscale.sweeping.reducers.lanes import NOWHERE, dtype_of, lanes, numbers
from jaxscale.sweeping.reducers.protocol import Chunk, Group, Locate, Total


class ExtremesResult(NamedTuple):
    """Extremes of a field and their coordinates; NaN and empty where no scenario counts."""

    count: int
    skipped: int  # scenarios that are not ok, or where the field is not finite
    min: float
    min_at: dict[str, Any]
    max: float
    max_at: dict[str, Any]


class Found(NamedTuple):
    """The extremes of one chunk, or of each chunk of a group, and their offsets in it."""

    count: Array
    skipped: Array
    min: Array
    min_at: Array
    max: Array
    max_at: Array


@dataclass(frozen=True)
class Extremes:
    """Minimum and maximum of a field, and where they are; of equals, the first scenario.

    Examples:
        >>> extremes = js.Extremes("square")
        >>> space = js.Grid(x=js.linspace(0, 10, 11))
        >>> stats = js.sweep(lambda x: {"square": x * x}, space, reduce=[extremes])
        >>> stats[extremes].max, stats[extremes].max_at
        (100.0, {'x': 10.0})
    """

    field: str
    needs_grid: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_field(self.field)

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.field,)

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
        return jax.tree.map(lambda kept, new: kept.at[chunk.place].set(new), state, found)

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
            "count": np.asarray(one["count"] + other["count"]),
            "skipped": np.asarray(one["skipped"] + other["skipped"]),
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
