"""The interface of reducers, which gather statistics on the device and merge them on the host.

A reducer is a frozen dataclass that says what to gather of which field. The device calls `start`
once for a group of chunks and `update` for each chunk of it; the host turns the state of a group
into a total, merges totals in any order, and reads the result from the last one.
Totals are dicts of NumPy arrays, so they can be sent and stored.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
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
    """Results of the scenario function for one chunk. Arrays have the shape of a chunk."""

    fields: Mapping[str, Array]
    inside: Array  # bool: whether the scenario lies in the space at all
    ok: Array  # bool: inside, and its status is ok (or, without one, all its fields are finite)
    starts: Array  # int32, (axes,): index of the first scenario along each axis
    position: Array  # int32, (): which chunk of its group it is; chunks come in rising order


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
        """Total of a group, on the host. `starts` is (chunks, axes); empty for no chunk."""
        ...

    def merge(self, one: Total, other: Total) -> Total:
        """Total of both; in any order the same, to rounding of floats."""
        ...

    def result(self, total: Total, locate: Locate) -> Any:
        """The result for the user: a record of NumPy arrays and numbers."""
        ...


@dataclass(frozen=True)
class FieldReducer:
    """The common part of all reducers of one field."""

    field: str
    needs_grid: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.field, str):
            raise TypeError(f"field must be the name of a field; got {self.field!r}")

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.field,)


# --- Lanes: the scenarios of a chunk -------------------------------------------------------------

# A lane counts where its scenario is ok and the field is finite. Lanes beyond the space count
# nowhere, the others are skipped and counted as such.

NOWHERE = np.iinfo(np.int64).max  # a number above that of every scenario


class Lanes(NamedTuple):
    """A field of a chunk as real numbers: 0 where it does not count."""

    values: Array
    good: Array  # bool
    count: Array  # int32, ()
    skipped: Array  # int32, ()


def lanes(chunk: Chunk, field: str) -> Lanes:
    """The lanes of a field, in the shape of the chunk."""
    values = real(chunk.fields[field])
    good = chunk.ok & jnp.isfinite(values)
    count = how_many(good)
    return Lanes(jnp.where(good, values, 0), good, count, how_many(chunk.inside) - count)


def how_many(mask: Array) -> Array:
    # Without a dtype x64 would make it int64, which no accelerator adds at full speed.
    return mask.sum(dtype=jnp.int32)


def tallied(tallies: Array, kinds: Array, counts: Array) -> Array:
    """Tallies with one more of the kind of each lane that `counts`; kinds are int32, from 0."""
    # A lane that does not count adds 0: cheaper than keeping it out of the scatter.
    ones = counts.reshape(-1).astype(jnp.int32)
    return tallies.at[kinds.reshape(-1)].add(ones, mode="promise_in_bounds")


def on_host(**numbers: Any) -> dict[str, np.ndarray]:
    """Whole numbers of a state, as a total has them."""
    return {name: np.asarray(number).astype(np.int64) for name, number in numbers.items()}


def added(one: Total, other: Total, *names: str) -> dict[str, np.ndarray]:
    """Sums of both totals, for all names without any given."""
    return {name: np.asarray(one[name] + other[name]) for name in names or one}


def float_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype in which a field is reduced: its own, or one that holds it."""
    if not jnp.issubdtype(dtype, jnp.floating):
        return jax.dtypes.canonicalize_dtype(np.float64)
    return np.dtype(np.float32) if np.dtype(dtype).itemsize < 4 else np.dtype(dtype)


def dtype_of(field: str, dtypes: Mapping[str, np.dtype]) -> np.dtype:
    return float_dtype(dtypes[field])


def numbers(
    starts: np.ndarray, positions: np.ndarray, inner: np.ndarray, group: Group
) -> np.ndarray:
    """Scenario numbers, int64, of lanes given by their chunk's position and their offset in it."""
    sizes, shape = group.chunks.sizes, group.chunks.shape
    indices = starts[positions] + np.stack(np.unravel_index(inner, shape), axis=-1)
    strides = np.cumprod(np.array((1, *sizes[:0:-1]), np.int64))[::-1]
    return (indices * strides).sum(axis=-1)


def real(x: Array) -> Array:
    """Numbers in the dtype that they are reduced in."""
    return x.astype(float_dtype(x.dtype))


# --- Checks of arguments -------------------------------------------------------------------------

WHOLE = int | np.integer
REAL = WHOLE | float | np.floating


def check_whole(name: str, value: Any, lowest: int, highest: int) -> None:
    if not isinstance(value, WHOLE) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number; got {value!r}")
    if not lowest <= value <= highest:
        raise ValueError(f"{name} must be {lowest} to {highest:,}; got {value}")


def check_real(name: str, value: Any, lowest: float, highest: float) -> None:
    if not isinstance(value, REAL) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number; got {value!r}")
    if not lowest <= value <= highest:  # no for NaN
        raise ValueError(f"{name} must be {lowest} to {highest}; got {value!r}")


def as_floats(name: str, values: Any) -> tuple[float, ...]:
    """The finite numbers of a sequence or a 1-D array, hashable."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a sequence of numbers; got {values!r}")
    items = list(values)
    for item in items:
        if not isinstance(item, REAL) or isinstance(item, bool):
            raise TypeError(f"{name} must be numbers; got {item!r} among them")
        if not math.isfinite(item):
            raise ValueError(f"{name} must be finite; got {item!r} among them")
    return tuple(map(float, items))
