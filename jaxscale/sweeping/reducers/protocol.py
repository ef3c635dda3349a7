"""What a statistic of a sweep is: gathered on the device, merged and read on the host.

A reducer is a frozen dataclass: what to gather, of which field. The device calls `start`
once for a group of chunks and `update` for each chunk of it; the host turns what a group
left into a total, merges totals in any order, and reads the result from the last one.
Totals are dicts of NumPy arrays, so they can be sent and stored.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jax import Array

from jaxscale.sweeping.chunks import Chunks

State = Any  # a pytree of arrays on the device
Total = Any  # a dict of NumPy arrays on the host


class Group(NamedTuple):
    """Chunks that are reduced in one go on the device: no more than 2^30 scenarios."""

    chunks: Chunks  # shape and axes
    axes: tuple[str, ...]  # names, as the sizes of `chunks` are ordered
    count: int  # of chunks


class Chunk(NamedTuple):
    """What a scenario function gave for one chunk. Arrays have the shape of a chunk."""

    fields: Mapping[str, Array]
    inside: Array  # bool: whether the scenario lies in the space at all
    ok: Array  # bool: inside, and its status is ok (or, without one, all its fields are finite)
    starts: Array  # int32, (axes,): index of the first scenario along each axis
    place: Array  # int32, (): which chunk of its group it is; chunks come in rising order


class Locate(Protocol):
    """Coordinates of a scenario by its number: axis name to value or label."""

    def __call__(self, number: int, /) -> dict[str, Any]: ...


@runtime_checkable
class Reducer(Protocol):
    """A statistic of a sweep; see the module's docstring."""

    needs_grid: ClassVar[bool]  # whether it asks for the axes of a grid

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields that it needs; a sweep refuses one that the scenario function does not give."""
        ...

    def start(self, group: Group, dtypes: Mapping[str, np.dtype]) -> State:
        """State of an empty group, on the device."""
        ...

    def update(self, state: State, chunk: Chunk, group: Group) -> State:
        """State with one more chunk. Traced: no Python branch may depend on a value."""
        ...

    def total(self, state: State, starts: np.ndarray, group: Group) -> Total:
        """What a group left, on the host. `starts` is (chunks, axes); empty for no chunk."""
        ...

    def merge(self, one: Total, other: Total) -> Total:
        """Total of both; in any order the same, to rounding of floats."""
        ...

    def result(self, total: Total, locate: Locate) -> Any:
        """What a person reads: a named tuple of NumPy arrays and numbers."""
        ...
