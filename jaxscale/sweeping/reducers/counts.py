"""Counts: of scenarios between given edges, and of scenarios by status."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxscale._labelled import STATUS
from jaxscale._numerics.quantities import counted, percent
from jaxscale.status import Status
from jaxscale.sweeping.reducers.protocol import (
    Count,
    FieldReducer,
    Group,
    Known,
    Lanes,
    Locate,
    Parts,
    Tally,
    Term,
    Total,
    added,
    as_floats,
    whole,
)
from jaxscale.sweeping.reducers.results import OfField, Shown, Table, written

FEW_EDGES = 32  # with more, a search by halves is faster than as many comparisons
# Of each code, which are 0, 1, 2 and so on; the last one of those that are no Status.
NAMES = (*(member.name for member in Status), "other")


@dataclass(frozen=True, repr=False)
class StatusCountsResult(Shown):
    """Scenarios by outcome."""

    total: int
    ok: int
    not_ok: int
    counts: dict[str, int]  # by name of Status, or "other"; none that is 0

    @property
    def title(self) -> str:
        ok = "all" if self.ok == self.total else f"{self.ok:,}" if self.ok else "none"
        return f"{counted(self.total, 'scenario')}, {ok} of them ok"

    def table(self) -> Table:
        rows = [(name, f"{number:,}") for name, number in self.counts.items()]
        return ("", ""), [] if self.ok == self.total else rows

    def columns(self) -> dict[str, Any]:
        return {"status": list(self.counts), "count": list(self.counts.values())}


@dataclass(frozen=True)
class StatusCounts:
    """Numbers of scenarios that are ok, and of those with each status.

    Without a field called "status" a scenario is ok when its fields are finite, and none is
    counted by name.

    Examples:
        >>> moments = js.Moments("root")
        >>> space = js.Grid(x=[-1.0, 0.0, 1.0])
        >>> stats = js.sweep(lambda x: {"root": x**0.5}, space, reduce=[moments])
        >>> stats[js.StatusCounts()]
        3 scenarios, 2 of them ok
    """

    needs: ClassVar[str] = ""

    @property
    def fields(self) -> tuple[str, ...]:
        return ()

    def known(self, total: Total | None, dtype: np.dtype) -> Known:
        del total, dtype
        return {}

    def terms(self, lanes: Lanes, known: Known) -> Mapping[str, Term]:
        del known
        counts: dict[str, Term] = {"total": Count(lanes.inside), "ok": Count(lanes.ok)}
        if STATUS not in lanes.fields:
            return counts
        status, other = lanes.fields[STATUS].astype(jnp.int32), len(Status)
        kinds = jnp.where((status >= 0) & (status < other), status, other)
        return counts | {"counts": Tally(lanes.inside, kinds, len(NAMES))}

    def holds(self, parts: Parts, known: Known) -> bool:
        del parts, known
        return True

    def total(self, parts: Parts, known: Known, starts: np.ndarray, group: Group) -> Total:
        del known, starts, group
        counts = np.asarray(parts.get("counts", ())).astype(np.int64)
        return {"total": whole(parts["total"]), "ok": whole(parts["ok"]), "counts": counts}

    def merge(self, one: Total, other: Total) -> Total:
        return added(one, other)

    def result(self, total: Total, locate: Locate) -> StatusCountsResult:
        del locate
        every, ok = int(total["total"]), int(total["ok"])
        # There are no counts without a status.
        by_name = zip(NAMES, total["counts"].tolist(), strict=False)
        return StatusCountsResult(
            every, ok, every - ok, {name: number for name, number in by_name if number}
        )


@dataclass(frozen=True, repr=False)
class HistogramResult(OfField):
    """Scenarios between edges; each bin holds its lower edge, the last one both."""

    below: int
    above: int
    edges: np.ndarray
    counts: np.ndarray  # one fewer than edges

    def table(self) -> Table:
        names = [f"{written(low)} to {written(high)}" for low, high in pairwise(self.edges)]
        bins = zip(("below", *names, "above"), self._counts(), strict=True)
        rows = [(name, f"{n:,}", percent(n / max(1, self.count))) for name, n in bins if n]
        return ("between", "scenarios", "share"), rows

    def columns(self) -> dict[str, Any]:
        ends = [-np.inf, *self.edges.tolist(), np.inf]
        return {"low": ends[:-1], "high": ends[1:], "count": self._counts()}

    def _counts(self) -> list[int]:
        return [self.below, *self.counts.tolist(), self.above]


@dataclass(frozen=True)
class Histogram(FieldReducer):
    """Scenarios between each two of the increasing `edges` of a field.

    Examples:
        >>> counts = js.Histogram("square", edges=(0.0, 10.0, 50.0, 101.0))
        >>> space = js.Grid(x=js.linspace(0, 10, 11))
        >>> stats = js.sweep(lambda x: {"square": x * x}, space, reduce=[counts])
        >>> stats[counts].counts
        array([4, 4, 3])
    """

    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        edges = as_floats("edges", self.edges)
        if len(edges) < 2:
            raise ValueError(f"edges must be at least 2 numbers; got {len(edges)}")
        for low, high in pairwise(edges):
            if low >= high:
                raise ValueError(f"edges must increase; got {high!r} after {low!r}")
        object.__setattr__(self, "edges", edges)

    def terms(self, lanes: Lanes, known: Known) -> Mapping[str, Term]:
        del known
        x, good = lanes.real(self.field), lanes.good(self.field)
        starts, last = _splits(self.edges, x.dtype)
        bins = _passed(starts, x) + (x > last).astype(jnp.int32)
        return {
            "counts": Tally(good, bins, len(self.edges) + 1),
            "skipped": Count(lanes.skipped(self.field)),
        }

    def total(self, parts: Parts, known: Known, starts: np.ndarray, group: Group) -> Total:
        del known, starts, group
        counts = parts["counts"].astype(np.int64)
        return {"counts": counts, "skipped": whole(parts["skipped"])}

    def merge(self, one: Total, other: Total) -> Total:
        return added(one, other)

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


def _passed(starts: np.ndarray, x: Array) -> Array:
    """How many of the rising numbers are at most x."""
    if len(starts) > FEW_EDGES:
        found = jnp.searchsorted(jnp.asarray(starts), x, side="right", method="scan_unrolled")
        return found.astype(jnp.int32)
    return reduce(operator.add, ((x >= start).astype(jnp.int32) for start in starts))


def _splits(edges: tuple[float, ...], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """The smallest number of a dtype in each bin, and the largest in the last one."""
    exact = np.array(edges)
    with np.errstate(over="ignore", under="ignore"):
        near = exact.astype(dtype)
        up = np.where(near < exact, np.nextafter(near, np.inf, dtype=dtype), near)
        last = near[-1] if near[-1] <= exact[-1] else np.nextafter(near[-1], -np.inf, dtype=dtype)
    # The device takes a subnormal number for 0, on either side of a comparison.
    tiny = np.finfo(dtype).tiny
    up = np.where((up > 0) & (up < tiny), tiny, up)
    return up[:-1].astype(dtype), last.astype(dtype)
