"""What a statistic of a sweep is: gathered on the device, merged and read on the host.

A reducer is a frozen dataclass: what to gather, of which field. The device calls `start`
once for a group of blocks and `update` for each block of it; the host turns what a group
left into a total, merges totals in any order, and reads the result from the last one.
Totals are dicts of NumPy arrays, so they can be sent and stored.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jax import Array

from jaxscale.sweeping.chunks import Blocks

State = Any  # a pytree of arrays on the device
Total = Any  # a dict of NumPy arrays on the host


class Group(NamedTuple):
    """Blocks that are reduced in one go on the device: no more than 2^30 scenarios."""

    blocks: Blocks  # shape and axes
    axes: tuple[str, ...]  # names, as the sizes of `blocks` are ordered
    count: int  # of blocks


class Block(NamedTuple):
    """What a scenario function gave for one block. Arrays have the shape of a block."""

    fields: Mapping[str, Array]
    inside: Array  # bool: whether the scenario lies in the space at all
    ok: Array  # bool: inside, and its status is ok (or, without one, all its fields are finite)
    starts: Array  # int32, (axes,): index of the first scenario along each axis
    place: Array  # int32, (): which block of its group it is; blocks come in rising order


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

    def update(self, state: State, block: Block, group: Group) -> State:
        """State with one more block. Traced: no Python branch may depend on a value."""
        ...

    def total(self, state: State, starts: np.ndarray, group: Group) -> Total:
        """What a group left, on the host. `starts` is (blocks, axes); empty for no block."""
        ...

    def merge(self, one: Total, other: Total) -> Total:
        """Total of both; in any order the same, to rounding of floats."""
        ...

    def result(self, total: Total, locate: Locate) -> Any:
        """What a person reads: a named tuple of NumPy arrays and numbers."""
        ...
