"""Extreme values with the scenarios that attain them: the two ends, or the k best."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxscale.sweeping.reducers.protocol import (
    NOWHERE,
    FieldReducer,
    First,
    Greatest,
    Group,
    Known,
    Lanes,
    Locate,
    Parts,
    Term,
    Total,
    Values,
    added,
    check_whole,
    numbers,
    where,
    whole,
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

    def terms(self, lanes: Lanes, known: Known) -> Mapping[str, Term]:
        del known
        x, good = lanes.real(self.field), lanes.good(self.field)
        return self.counts(lanes) | {
            "min": First(where(good, x, jnp.inf)),
            "max": First(where(good, -x, jnp.inf)),
        }

    def total(self, parts: Parts, known: Known, starts: np.ndarray, group: Group) -> Total:
        del known
        low, low_at = _first(parts["min"], parts["count"], starts, group)
        high, high_at = _first(parts["max"], parts["count"], starts, group)
        return {
            "count": whole(parts["count"]),
            "skipped": whole(parts["skipped"]),
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


def _first(
    found: tuple[np.ndarray, np.ndarray], count: np.ndarray, starts: np.ndarray, group: Group
) -> tuple[np.float64, np.int64]:
    """The smallest value of all chunks and the lowest number of a scenario with it."""
    values, inner = found
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

    def terms(self, lanes: Lanes, known: Known) -> Mapping[str, Term]:
        del known
        x, good = lanes.real(self.field), lanes.good(self.field)
        best = where(good, -x if self.lowest else x, -jnp.inf)
        return self.counts(lanes) | {"best": Greatest(best)}

    def total(self, parts: Parts, known: Known, starts: np.ndarray, group: Group) -> Total:
        """The best value of each of the k chunks that have the best ones."""
        del known
        found = np.flatnonzero(parts["count"])
        values = parts["best"][found].astype(np.float64)
        chunks = group.chunks.numbers(starts[found])
        return {
            "count": whole(parts["count"]),
            "skipped": whole(parts["skipped"]),
            **self._best(values, chunks=chunks),
        }

    def merge(self, one: Total, other: Total) -> Total:
        values = np.concatenate([one["values"], other["values"]])
        chunks = np.concatenate([one["chunks"], other["chunks"]])
        return {
            **added(one, other, "count", "skipped"),
            **self._best(values, chunks=chunks),
        }

    def resolve(self, total: Total, look: Callable[[int], Values]) -> Total:
        """The best scenarios, which are all in the k chunks with the best values."""
        values, at = np.zeros(0), np.zeros(0, np.int64)
        for best, chunk in zip(total["values"], total["chunks"].tolist(), strict=True):
            # Of equals the first scenario is the better, and it may be in a chunk still to come.
            if len(values) == self.k and best < values[-1]:
                break
            found = look(chunk)
            signed = -found.values if self.lowest else found.values
            values, at = np.concatenate([values, signed]), np.concatenate([at, found.numbers])
            values, at = self._best(values, numbers=at).values()
        return {**total, "values": values, "numbers": at}

    def result(self, total: Total, locate: Locate) -> TopKResult:
        values = -total["values"] if self.lowest else total["values"]
        at = tuple(locate(number) for number in total["numbers"].tolist())
        return TopKResult(int(total["count"]), int(total["skipped"]), values, at)

    def _best(self, values: np.ndarray, **at: np.ndarray) -> dict[str, np.ndarray]:
        """The k best values and what they are at, best first; of equals those at the lowest."""
        ((name, positions),) = at.items()
        if values.size > 4 * self.k:  # before sorting
            least = np.partition(values, -self.k)[-self.k]
            kept = values >= least
            values, positions = values[kept], positions[kept]
        order = np.lexsort((positions, -values))[: self.k]
        return {"values": values[order], name: positions[order]}
