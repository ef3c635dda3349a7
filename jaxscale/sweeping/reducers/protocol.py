"""The interface of reducers: what each asks of a chunk, and what the host makes of the answers.

A reducer is a frozen dataclass. Of each chunk it asks for terms: one number or key for each
scenario, and how they combine (a sum, the least, counts by key, and so on). The engine gathers the
terms of all reducers at once, in the form that suits the device; see `gather.py` and `kernel.py`.
The host turns the gathered parts into a total, merges totals in any order, and reads the result
from the last one. Totals are dicts of NumPy arrays, so they can be sent and stored.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxscale.sweeping.chunks import Chunks

Total = Any  # a dict of NumPy arrays on the host
Mask: TypeAlias = Array | bool  # True where all scenarios of the chunk are in it


class Group(NamedTuple):
    """Chunks that are reduced in one launch."""

    chunks: Chunks  # shape and axes
    axes: tuple[str, ...]  # names, as the sizes of `chunks` are ordered
    count: int  # of chunks
    drawn: tuple[str, ...] = ()  # arguments of a sample, whose one axis numbers its scenarios


# --- Terms: what is gathered of the scenarios of a chunk -------------------------------------


def _static() -> Any:
    return field(metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Count:
    """Number of scenarios in a mask: int32, one for each chunk."""

    mask: Mask


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sum:
    """Sum of a number, in its dtype, one for each chunk."""

    values: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Least:
    """Least of a number, one for each chunk."""

    values: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Greatest:
    """Greatest of a number, one for each chunk."""

    values: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class First:
    """Least of a number, and the offset of the first scenario that has it: a pair a chunk."""

    values: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Tally:
    """Scenarios in a mask by key, int32 from 0 to below `size`: one array for each group."""

    mask: Mask
    keys: Array
    size: int = _static()


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Along:
    """Sums for each value of one argument of the scenarios: one array for each group.

    At the values of a grid's axis; of a sample, in bins of equal chance. A mask is counted in
    int32, numbers are summed as two floats whose sum has next to no rounding: (2, size).
    """

    values: Array | Mask
    argument: str = _static()


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Products:
    """Sums of the products of every two rows of numbers, (rows, rows), one for each chunk.

    For spaces whose chunks hold whole points. No kernel has them.
    """

    values: Array  # (rows, points)


Term = Count | Sum | Least | Greatest | First | Tally | Along | Products
Parts = Mapping[str, Any]  # NumPy arrays, by the name of their term
Known = Mapping[str, Any]  # numbers by name


class Lanes(NamedTuple):
    """Results of the scenario function for some scenarios, in arrays of one shape."""

    fields: Mapping[str, Array]
    inside: Mask  # whether a scenario lies in the space at all
    ok: Mask  # inside, and its status is ok (or, without one, all its fields are finite)
    is_whole: bool  # whether every scenario is ok, with a finite number in every field
    arguments: tuple[str, ...]  # of the scenario function, for `Along`

    def good(self, name: str) -> Mask:
        """Whether a scenario counts: it is ok and the field is finite."""
        return True if self.is_whole else jnp.isfinite(self.real(name)) & self.ok

    def skipped(self, name: str) -> Mask:
        """Whether a scenario of the space does not count."""
        return False if self.is_whole else ~jnp.asarray(self.good(name)) & self.inside

    def real(self, name: str) -> Array:
        """A field in the dtype that it is reduced in."""
        values = self.fields[name]
        dtype = float_dtype(values.dtype)
        return values if values.dtype == dtype else values.astype(dtype)


def where(mask: Mask, x: Array, other: float) -> Array:
    """`x` where the mask holds, `other` elsewhere; nothing to select where it holds everywhere."""
    return x if mask is True else jnp.where(mask, x, jnp.asarray(other, x.dtype))


class Locate(Protocol):
    """Coordinates of a scenario by its number: axis name to value or label."""

    def __call__(self, number: int, /) -> dict[str, Any]: ...


@runtime_checkable
class Reducer(Protocol):
    """A statistic of a sweep; see the module's docstring."""

    needs: ClassVar[str]  # the kind of space that it needs, such as "js.Saltelli"; empty for any

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields that it needs; a sweep refuses one that the scenario function does not give."""
        ...

    def known(self, total: Total | None, dtype: np.dtype) -> Known:
        """Numbers that `terms` is given in `dtype`, from the total of a few chunks.

        None stands for no chunk, and gives the same names. What `total` is given are these
        numbers as the dtype rounds them.
        """
        ...

    def terms(self, lanes: Lanes, known: Known) -> Mapping[str, Term]:
        """Terms to gather, by name. Traced: no Python branch may depend on a value."""
        ...

    def holds(self, parts: Parts, known: Known) -> bool:
        """Whether the parts of a group keep their digits.

        Otherwise the group is computed again with what is `known` from its own total.
        """
        ...

    def total(self, parts: Parts, known: Known, starts: np.ndarray, group: Group) -> Total:
        """Total of a group, on the host. `starts` is (chunks, axes); empty for no chunk.

        Parts have a leading axis of chunks, but for `Tally` and `Along`.
        """
        ...

    def merge(self, one: Total, other: Total) -> Total:
        """Total of both; in any order the same, to rounding of floats."""
        ...

    def result(self, total: Total, locate: Locate) -> Any:
        """The result for the user: a record of NumPy arrays and numbers."""
        ...


class Values(NamedTuple):
    """The scenarios of one chunk that count for a field, as the host looks at them once more."""

    values: np.ndarray  # float64
    numbers: np.ndarray  # of their scenarios, in rising order


@runtime_checkable
class Resolving(Protocol):
    """A reducer whose total only says in which chunks its result is to be found."""

    def resolve(self, total: Total, look: Callable[[int], Values]) -> Total:
        """The total with what is found in some chunks, looked up by their numbers."""
        ...


@dataclass(frozen=True)
class FieldReducer:
    """The common part of all reducers of one field."""

    field: str
    needs: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if not isinstance(self.field, str):
            raise TypeError(f"field must be the name of a field; got {self.field!r}")

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.field,)

    def known(self, total: Total | None, dtype: np.dtype) -> Known:
        del total, dtype
        return {}

    def holds(self, parts: Parts, known: Known) -> bool:
        del parts, known
        return True

    def counts(self, lanes: Lanes) -> dict[str, Term]:
        """Terms that every reducer of a field has: scenarios that count, and that are skipped."""
        return {
            "count": Count(lanes.good(self.field)),
            "skipped": Count(lanes.skipped(self.field)),
        }


NOWHERE = np.iinfo(np.int64).max  # a number above that of every scenario


def whole(numbers: Any) -> np.ndarray:
    """The sum of whole numbers of all chunks of a group."""
    return np.asarray(np.asarray(numbers).sum(dtype=np.int64))


def added(one: Total, other: Total, *names: str) -> dict[str, np.ndarray]:
    """Sums of both totals, for all names without any given."""
    return {name: np.asarray(one[name] + other[name]) for name in names or one}


def float_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype in which a field is reduced: its own, or one that holds it."""
    if not jnp.issubdtype(dtype, jnp.floating):
        return jax.dtypes.canonicalize_dtype(np.float64)
    return np.dtype(np.float32) if np.dtype(dtype).itemsize < 4 else np.dtype(dtype)


def numbers(
    starts: np.ndarray, positions: np.ndarray, inner: np.ndarray, group: Group
) -> np.ndarray:
    """Scenario numbers, int64, of scenarios given by their chunk's position and offset in it."""
    sizes, shape = group.chunks.sizes, group.chunks.shape
    indices = starts[positions] + np.stack(np.unravel_index(inner, shape), axis=-1)
    strides = np.cumprod(np.array((1, *sizes[:0:-1]), np.int64))[::-1]
    return (indices * strides).sum(axis=-1)


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
