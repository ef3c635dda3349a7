"""Axes of a grid, checked when built.

An axis is held in full, so that a scenario's arguments and the labels of its results are the
same numbers. Only the product of the axes is never held.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxscale._numerics.quantities import number

MAX_SIZE = 2**24  # 128 MiB of float64, and every index exact in float32


@dataclass(frozen=True, eq=False, repr=False)
class Axis:
    """Values along one axis, as a pytree of arrays with one leading axis, and their labels."""

    values: Any  # a 1-D array of numbers, or a pytree whose leaves share a leading axis
    labels: tuple[str, ...] | None  # of a catalogue; None where the values are numbers
    attributes: Mapping[str, str]  # units and long_name, where given

    @property
    def size(self) -> int:
        return len(jax.tree.leaves(self.values)[0])

    @property
    def coordinate(self) -> np.ndarray:
        """Labels of the results along this axis: its numbers, or the names of its entries."""
        return self.values if self.labels is None else np.array(self.labels)

    @property
    def summary(self) -> tuple[str, str, str, str]:
        """Size, first value, last value and units, as text."""
        ends = [
            each if isinstance(each, str) else number(each) for each in self.coordinate[[0, -1]]
        ]
        return f"{self.size:,}", ends[0], ends[1], self.attributes.get("units", "")

    def __repr__(self) -> str:
        size, first, last, units = self.summary
        return f"Axis({size} values, {first} to {last}{units and f', in {units}'})"

    def check(self, name: str, dtype: str) -> None:
        """Raise ValueError for values that `dtype` does not hold or does not tell apart."""
        for leaf in jax.tree.leaves(self.values):
            with np.errstate(over="ignore", under="ignore"):
                rounded = leaf.astype(dtype)
            lost = ~np.isfinite(rounded) | ((rounded == 0) & (leaf != 0))
            if lost.any():
                raise ValueError(f"axis {name!r}: {dtype} does not hold {leaf[lost][0]}")
            if self.labels is None and np.unique(rounded).size < self.size:
                raise ValueError(f"axis {name!r}: {dtype} does not tell all of its values apart")

    def describe(self) -> dict[str, Any]:
        """Everything that decides the results, in a form that JSON holds exactly."""
        return {
            "size": self.size,
            "values": digest(self.values),
            "labels": list(self.labels or ()),
            **self.attributes,
        }


class Coordinate(NamedTuple):
    """Values that label an axis of the results."""

    name: str
    values: np.ndarray  # numbers, or strings for a catalogue
    attributes: Mapping[str, Any]


def linspace(
    start: float, stop: float, num: int, *, units: str | None = None, long_name: str | None = None
) -> Axis:
    """`num` evenly spaced values from `start` to `stop`, both among them.

    `units` and `long_name` label the axis in results. Raises TypeError or ValueError for
    numbers that are not finite, or equal though several values are asked for.

    Examples:
        >>> js.Grid(loss=js.linspace(1.8, 2.6, 100)).size
        100
    """
    _check_ends(start, stop, num)
    return _numbers(np.linspace(start, stop, num), units, long_name)


def geomspace(
    start: float, stop: float, num: int, *, units: str | None = None, long_name: str | None = None
) -> Axis:
    """`num` values from `start` to `stop`, each the same multiple of the one before.

    Otherwise as `linspace`; both ends must be above zero.

    Examples:
        >>> js.Grid(requests=js.geomspace(1e6, 1e12, 7)).size
        7
    """
    _check_ends(start, stop, num)
    for name, end in (("start", start), ("stop", stop)):
        if end <= 0:
            raise ValueError(f"{name} must be above 0 on a geometric axis; got {end!r}")
    return _numbers(np.geomspace(start, stop, num), units, long_name)


def as_axis(name: str, given: Any) -> Axis:
    """The axis called `name` of a user's values: numbers, or a dict of labelled entries.

    Raises TypeError or ValueError naming the axis for anything but distinct finite numbers
    in one dimension, or entries of one structure.
    """
    if isinstance(given, Axis):
        return given
    if isinstance(given, Mapping):
        return _catalogue(name, given)
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(
            f"axis {name!r} must be js.linspace, js.geomspace, a sequence of numbers or a dict of "
            f"labels to entries; got {given!r}"
        )
    try:
        is_array = hasattr(given, "__array__") or isinstance(given, Sequence)
        values = np.array(given if is_array else list(given))
    except ValueError:  # lists of unequal lengths
        raise ValueError(f"axis {name!r} must have one dimension; got {given!r}") from None
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise ValueError(
            f"axis {name!r} must be numbers in one dimension; got dtype {values.dtype} and shape "
            f"{values.shape} (entries with labels go in a dict)"
        )
    _check_values(name, values)
    return Axis(values, None, {})


def finite_number(name: str, given: Any) -> float:
    """A finite number as a float; TypeError or ValueError that names it otherwise."""
    if not isinstance(given, Real) or isinstance(given, bool):
        raise TypeError(f"{name} must be a number; got {given!r}")
    if not math.isfinite(given):
        raise ValueError(f"{name} must be finite; got {given!r}")
    return float(given) + 0.0  # -0.0 becomes 0.0, so that both have one description


def digest(tree: Any) -> str:
    """SHA-256 of the arrays of a pytree, their dtypes and shapes, and its structure."""
    leaves, treedef = jax.tree.flatten(tree)
    found = hashlib.sha256(str(treedef).encode())
    for leaf in map(np.asarray, leaves):
        found.update(f"{leaf.dtype.str}{leaf.shape}".encode() + leaf.tobytes())
    return found.hexdigest()


def _check_ends(start: float, stop: float, num: int) -> None:
    for name, end in (("start", start), ("stop", stop)):
        finite_number(name, end)
    if not isinstance(num, Integral) or isinstance(num, bool):
        raise TypeError(f"num must be a whole number; got {num!r}")
    if not 1 <= num <= MAX_SIZE:
        raise ValueError(f"num must be 1 to {MAX_SIZE:,}; got {num}")
    if num > 1 and start == stop:
        raise ValueError(f"start and stop must differ for {num} values; both are {start!r}")


def _numbers(values: np.ndarray, units: str | None, long_name: str | None) -> Axis:
    given = {"units": units, "long_name": long_name}
    for name, text in given.items():
        if not isinstance(text, str | None):
            raise TypeError(f"{name} must be a string; got {text!r}")
    _check_values("of these ends", values)
    return Axis(values, None, {name: text for name, text in given.items() if text is not None})


def _check_values(name: str, values: np.ndarray) -> None:
    if not 1 <= values.size <= MAX_SIZE:
        raise ValueError(f"axis {name!r} must have 1 to {MAX_SIZE:,} values; got {values.size:,}")
    if not np.isfinite(values).all():
        at = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(f"axis {name!r} must be finite; value {at} is {values[at]}")
    if np.unique(values).size < values.size:
        raise ValueError(f"axis {name!r} must have distinct values; one of them repeats")
    values.flags.writeable = False


def _catalogue(name: str, entries: Mapping[Any, Any]) -> Axis:
    """Entries of one structure, stacked leaf by leaf."""
    if not entries:
        raise ValueError(f"axis {name!r} must have at least one entry; the dict is empty")
    for label in entries:
        if not isinstance(label, str):
            raise TypeError(f"axis {name!r}: labels must be strings; got {label!r}")
    (first, structure), *others = (
        (label, jax.tree.structure(entry)) for label, entry in entries.items()
    )
    for label, other in others:
        # JAX 0.10 treats dataclasses with the same number of leaves as equal; their hashes differ.
        if other != structure or hash(other) != hash(structure):
            raise ValueError(
                f"axis {name!r}: entry {label!r} must have the structure of {first!r}; "
                f"got {other} against {structure}"
            )
    if not structure.num_leaves:
        raise ValueError(f"axis {name!r}: entries must hold numbers; {first!r} holds none")
    leaves = [[np.asarray(leaf) for leaf in jax.tree.leaves(each)] for each in entries.values()]
    for label, row in zip(entries, leaves, strict=True):
        wrong = [leaf for leaf in row if leaf.ndim or leaf.dtype.kind not in "iuf"]
        if wrong:
            raise ValueError(f"axis {name!r}: entry {label!r} must hold numbers; got {wrong[0]!r}")
    stacked = [np.stack(column) for column in zip(*leaves, strict=True)]
    return Axis(jax.tree.unflatten(structure, stacked), tuple(entries), {})
