"""What became of the scenarios: how many of each status."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxscale.status import Status
from jaxscale.sweeping.reducers.lanes import how_many, tallied
from jaxscale.sweeping.reducers.protocol import Chunk, Group, Locate, Total

STATUS = "status"
# Of each code, which are 0, 1, 2 and so on; the last one of those that are no Status.
NAMES = (*(member.name for member in Status), "other")


class StatusCountsResult(NamedTuple):
    """Scenarios by what became of them."""

    total: int
    ok: int
    not_ok: int
    counts: dict[str, int]  # by name of Status, or "other"; none that is 0


class Counts(NamedTuple):
    """Counts of one group of chunks."""

    total: Array
    ok: Array
    counts: Array  # of each member of Status, and of other codes


@dataclass(frozen=True)
class StatusCounts:
    """How many scenarios are ok, and how many have each status.

    Without a field called "status" a scenario is ok when its fields are finite, and none is
    counted by name.

    Examples:
        >>> moments = js.Moments("root")
        >>> space = js.Grid(x=[-1.0, 0.0, 1.0])
        >>> stats = js.sweep(lambda x: {"root": x**0.5}, space, reduce=[moments])
        >>> stats[js.StatusCounts()]
        StatusCountsResult(total=3, ok=2, not_ok=1, counts={})
    """

    needs_grid: ClassVar[bool] = False

    @property
    def fields(self) -> tuple[str, ...]:
        return ()

    def start(self, group: Group, dtypes: Mapping[str, np.dtype]) -> Counts:
        del group
        kinds = len(NAMES) if STATUS in dtypes else 0
        return Counts(jnp.int32(0), jnp.int32(0), jnp.zeros(kinds, jnp.int32))

    def update(self, state: Counts, chunk: Chunk, group: Group) -> Counts:
        del group
        total, ok = state.total + how_many(chunk.inside), state.ok + how_many(chunk.ok)
        if STATUS not in chunk.fields:
            return state._replace(total=total, ok=ok)
        status, other = chunk.fields[STATUS].astype(jnp.int32), len(Status)
        kinds = jnp.where((status >= 0) & (status < other), status, other)
        return Counts(total, ok, tallied(state.counts, kinds, chunk.inside))

    def total(self, state: Counts, starts: np.ndarray, group: Group) -> Total:
        del starts, group
        return {name: np.asarray(leaf).astype(np.int64) for name, leaf in state._asdict().items()}

    def merge(self, one: Total, other: Total) -> Total:
        return {name: np.asarray(one[name] + other[name]) for name in one}

    def result(self, total: Total, locate: Locate) -> StatusCountsResult:
        del locate
        every, ok = int(total["total"]), int(total["ok"])
        # There are no counts without a status.
        by_name = zip(NAMES, total["counts"].tolist(), strict=False)
        return StatusCountsResult(
            every, ok, every - ok, {name: number for name, number in by_name if number}
        )
