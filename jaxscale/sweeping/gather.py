"""Terms of a chunk gathered in XLA: in one reduction, or in as many as a processor vectorises.

An accelerator gains most from one pass: all terms, of all reducers, are operands of one variadic
reduction, which XLA fuses with the scenario itself. A CPU vectorises no such reduction. There, each
term is summed along the columns of a table, many columns at a time.
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxscale._labelled import STATUS
from jaxscale.status import is_ok
from jaxscale.sweeping.reducers.protocol import (
    Along,
    Count,
    First,
    Greatest,
    Group,
    Known,
    Lanes,
    Least,
    Mask,
    Products,
    Reducer,
    Sum,
    Tally,
    Term,
)

Name = tuple[int, str]  # a reducer by its position, and a term of it
Terms = Mapping[Name, Term]
Parts = dict[Name, Any]
Gather = Callable[["Terms", tuple[int, ...]], Parts]  # what has one number a chunk

ROWS = 64  # added one after the other: an error grows with their number
SPAN = 2048  # points of one matrix product
FEW_KEYS = 20  # at most so many keys, those of a status, are counted in the one pass


class At(NamedTuple):
    """Positions of the scenarios of a chunk along the arguments."""

    axes: tuple[str, ...]  # of a grid, in the order of the chunk's shape; empty for a sample
    start: Array  # index of the first scenario along each axis
    keys: Mapping[str, Array]  # of a sample: the bin of each scenario, by argument


def terms_of(reducers: Sequence[Reducer], lanes: Lanes, known: Sequence[Known]) -> Terms:
    """The terms of all reducers."""
    return {
        (at, name): term
        for at, (reducer, own) in enumerate(zip(reducers, known, strict=True))
        for name, term in reducer.terms(lanes, own).items()
    }


def ok_of(fields: Mapping[str, Array]) -> Array:
    """Mask of scenarios with numbers: by their status or, without one, by being finite."""
    return is_ok(fields[STATUS]) if STATUS in fields else all_finite(fields)


def all_finite(fields: Mapping[str, Array]) -> Array:
    """Mask of scenarios whose real fields are all finite."""
    finite = [jnp.isfinite(x) for x in fields.values() if jnp.issubdtype(x.dtype, jnp.floating)]
    return reduce(operator.and_, finite) if finite else jnp.bool_(True)


def parts_of(
    terms: Terms, held: Parts, shape: tuple[int, ...], at: At, gather: Gather
) -> tuple[Parts, Parts]:
    """Parts of one chunk, and `held`, what all chunks of a group share, with this chunk's."""
    other = Tally | Along | Products
    apart = {name: term for name, term in terms.items() if not isinstance(term, other)}
    parts = gather(apart, shape)
    parts |= {name: _products(each) for name, each in terms.items() if isinstance(each, Products)}
    held = dict(held)
    along: dict[int, list[Array]] = {}
    for name, term in terms.items():
        if isinstance(term, Tally):
            held[name] = _tallied(held[name], term, shape, gather)
        elif isinstance(term, Along) and at.axes:
            if id(term.values) not in along:
                sums = _sums if gather is at_once else _pairwise_sums
                along[id(term.values)] = sums(as_numbers(term.values, shape))
            axis = at.axes.index(term.argument)
            held[name] = _added_at(held[name], along[id(term.values)][axis], at.start[axis])
        elif isinstance(term, Along):
            held[name] = _added_by(held[name], term, at.keys[term.argument], shape)
    return parts, held


def nothing_held(terms: Terms, group: Group, bins: Mapping[str, int]) -> Parts:
    """What all chunks of a group share, before the first; `terms` may be shapes alone.

    `bins` are the numbers of bins of the arguments of a sample.
    """
    room = dict(bins)
    if not bins:
        # A last chunk may reach beyond its axis: with room for it, no update is shifted back.
        reach = zip(group.axes, group.chunks.grid, group.chunks.shape, strict=True)
        room = {name: many * length for name, many, length in reach}
    held: Parts = {}
    for name, term in terms.items():
        if isinstance(term, Tally):
            held[name] = jnp.zeros(term.size, jnp.int32)
        elif isinstance(term, Along):
            size, dtype = room[term.argument], getattr(term.values, "dtype", jnp.bool_)
            real = jnp.issubdtype(dtype, jnp.floating)
            held[name] = jnp.zeros((2, size), dtype) if real else jnp.zeros(size, jnp.int32)
    return held


def inside_axes(held: Parts, terms: Terms, group: Group) -> Parts:
    """`held` without the room beyond the axes."""
    sizes = dict(zip(group.axes, group.chunks.sizes, strict=True))
    inside = {
        name: held[name][..., : sizes[term.argument]]
        for name, term in terms.items()
        if isinstance(term, Along) and term.argument in sizes
    }
    return {**held, **inside}


# --- One number a chunk, on a CPU ------------------------------------------------------------


def ends_of(fields: Mapping[str, Array]) -> dict[str, tuple[Array, Array]]:
    """Least and greatest of each real field: not finite where any of its numbers is not."""
    return {
        name: (_folded(x, jnp.min), _folded(x, jnp.max))
        for name, x in fields.items()
        if jnp.issubdtype(x.dtype, jnp.floating)
    }


def by_columns(
    terms: Terms, shape: tuple[int, ...], ends: Mapping[int, tuple[Array, Array]] | None = None
) -> Parts:
    """Each term by a reduction of its own; `ends` of fields that have been found, by their id."""
    size, found = math.prod(shape), ends or {}
    return {
        name: found[id(term.values)][isinstance(term, Greatest)]
        if isinstance(term, Least | Greatest) and id(term.values) in found
        else _by_columns(term, size)
        for name, term in terms.items()
    }


def _by_columns(term: Any, size: int) -> Any:
    match term:
        case Count(mask=bool()):
            return jnp.int32(size if term.mask else 0)
        case Count():
            return _folded(jnp.asarray(term.mask, jnp.int32), jnp.sum)
        case Sum():
            return _folded(term.values, jnp.sum)
        case Least():
            return _folded(term.values, jnp.min)
        case Greatest():
            return _folded(term.values, jnp.max)
        case First():
            least = _folded(term.values, jnp.min)
            offsets = lax.iota(jnp.int32, size).reshape(term.values.shape)
            attained = jnp.where(term.values == least, offsets, size - 1)
            return least, _folded(attained, jnp.min)
    raise TypeError(f"a reducer's term must be one of {Term}; got {term!r}")


def _folded(x: Array, reduced: Callable[..., Array]) -> Array:
    """All of an array reduced: columns of so many rows, then the columns in the same way."""
    x = x.reshape(-1)
    while x.size > ROWS:
        width = x.size // ROWS
        table = lax.slice_in_dim(x, 0, ROWS * width).reshape(ROWS, width)
        rest = lax.slice_in_dim(x, ROWS * width, x.size)
        x = _over_rows(reduced, table)
        x = jnp.concatenate([x, rest]) if rest.size else x
    return _over_rows(reduced, x)


def _over_rows(reduced: Callable[..., Array], x: Array) -> Array:
    # Without a dtype x64 would make a sum of int32 an int64.
    return reduced(x, axis=0, dtype=x.dtype) if reduced is jnp.sum else reduced(x, axis=0)


# --- One number a chunk, on an accelerator ---------------------------------------------------


def at_once(terms: Terms, shape: tuple[int, ...]) -> Parts:
    """All terms by one reduction of as many operands."""
    if not terms:
        return {}
    size = math.prod(shape)
    offsets = lax.iota(jnp.int32, size).reshape(shape)
    steps = {name: step_of(term, shape, offsets, size) for name, term in terms.items()}
    operands = [each for step in steps.values() for each in step.values]
    empty = [each for step in steps.values() for each in step.empty]

    def combined(one: Any, other: Any) -> tuple[Array, ...]:
        found, first = [], 0
        for step in steps.values():
            last = first + len(step.values)
            found += step.combine(tuple(one[first:last]), tuple(other[first:last]))
            first = last
        return tuple(found)

    found = list(
        lax.reduce(
            operands, [jnp.asarray(each) for each in empty], combined, tuple(range(len(shape)))
        )
    )
    return {name: step.part([found.pop(0) for _ in step.values]) for name, step in steps.items()}


class Step(NamedTuple):
    """A term as values that are combined one with another, in any order."""

    values: list[Array]
    empty: list[np.ndarray]  # what leaves any value as it is
    combine: Callable[[Sequence[Array], Sequence[Array]], list[Array]]
    finish: Callable[[Sequence[Array]], list[Array]]  # all values of an array in one
    part: Callable[[list[Array]], Any]  # of the combined values


def step_of(term: Any, shape: tuple[int, ...], offsets: Array, size: int) -> Step:
    """The values of a term and how two of them combine.

    `offsets` are those of the scenarios in their chunk of `size`.
    """
    match term:
        case Count():
            return _step(as_numbers(term.mask, shape), 0, jnp.add, _sum)
        case Sum():
            return _step(term.values, 0, jnp.add, _sum)
        case Least():
            return _step(term.values, jnp.inf, jnp.minimum, jnp.min)
        case Greatest():
            return _step(term.values, -jnp.inf, jnp.maximum, jnp.max)
        case First():
            nothing = np.array(np.inf, term.values.dtype), np.array(size - 1, np.int32)
            return Step([term.values, offsets], list(nothing), _earlier, _earliest, tuple)
    raise TypeError(f"a reducer's term must be one of {Term}; got {term!r}")


def _step(
    values: Array, empty: float, combine: Callable[..., Array], reduce: Callable[..., Array]
) -> Step:
    return Step(
        [values],
        [np.array(empty, values.dtype)],
        lambda one, other: [combine(one[0], other[0])],
        lambda found: [reduce(found[0])],
        lambda found: found[0],
    )


def _sum(x: Array) -> Array:
    return x.sum(dtype=x.dtype)  # x64 would make a sum of int32 an int64


def _earlier(one: Sequence[Array], other: Sequence[Array]) -> list[Array]:
    """The lesser of two values, and of equals the one before, with its offset."""
    (value, offset), (value2, offset2) = one, other
    keeps = (value < value2) | ((value == value2) & (offset <= offset2))
    return [jnp.where(keeps, value, value2), jnp.where(keeps, offset, offset2)]


def _earliest(found: Sequence[Array]) -> list[Array]:
    values, offsets = found
    least = jnp.min(values)
    return [least, jnp.min(jnp.where(values == least, offsets, np.iinfo(np.int32).max))]


def _products(term: Products) -> Array:
    """Sums of products over spans of points, then of the spans: an error grows with the longest."""
    rows, points = term.values.shape
    span = math.gcd(points, SPAN)
    x = term.values.reshape(rows, points // span, span)
    # Accelerators round the factors to fewer bits unless they are told not to.
    precision = lax.Precision.HIGHEST
    return pairwise_sum(
        lax.dot_general(x, x, (((2,), (2,)), ((1,), (1,))), precision=precision), axis=0
    )


# --- What all chunks of a group share --------------------------------------------------------


def _tallied(tallies: Array, term: Tally, shape: tuple[int, ...], gather: Gather) -> Array:
    """Tallies with one more of the key of each scenario in the mask."""
    if gather is at_once and term.size <= FEW_KEYS:
        masks = {(0, f"{at:2}"): Count((term.keys == at) & term.mask) for at in range(term.size)}
        return tallies + jnp.stack(list(at_once(masks, shape).values()))
    ones, keys = as_numbers(term.mask, shape).reshape(-1), term.keys.reshape(-1)
    if term.size > FEW_KEYS:
        return _scattered(tallies, keys, ones)
    # Of few keys, such as statuses, one is often the only one: a scatter takes them one by one.
    is_one = _folded(keys, jnp.min) == _folded(keys, jnp.max)
    return lax.cond(
        is_one,
        lambda: tallies.at[keys[0]].add(_folded(ones, jnp.sum), mode="promise_in_bounds"),
        lambda: _scattered(tallies, keys, ones),
    )


def _scattered(tallies: Array, keys: Array, ones: Array) -> Array:
    # A scenario that does not count adds 0: cheaper than keeping it out of the scatter.
    return tallies.at[keys].add(ones, mode="promise_in_bounds")


def _added_by(held: Array, term: Along, keys: Array, shape: tuple[int, ...]) -> Array:
    """Sums by key with those of one chunk."""
    values, keys = as_numbers(term.values, shape).reshape(-1), keys.reshape(-1)
    size = held.shape[-1]
    sums = jnp.zeros(size, values.dtype).at[keys].add(values, mode="promise_in_bounds")
    return _added(held, sums)


def _added_at(held: Array, sums: Array, start: Array) -> Array:
    """Sums along an axis with those of one chunk, which begins at `start`."""
    old = lax.dynamic_slice_in_dim(held, start, sums.size, -1)
    return lax.dynamic_update_slice_in_dim(held, _added(old, sums), start, -1)


def _added(held: Array, sums: Array) -> Array:
    if held.ndim == 1:
        return held + sums
    high, lost = two_sum(held[0], sums)
    return jnp.stack([high, held[1] + lost])


def _sums(x: Array) -> list[Array]:
    """Sums over all axes but one, for each axis, on an accelerator, which adds in pairs itself."""
    axes = range(x.ndim)
    return [x.sum([other for other in axes if other != axis], dtype=x.dtype) for axis in axes]


def _pairwise_sums(x: Array) -> list[Array]:
    """Sums over all axes but one, for each axis.

    The last axis goes first: then only it costs passes over the whole chunk.
    """
    sums = []
    while x.ndim:
        sums.append(pairwise_sum(x.reshape(-1, x.shape[-1]), 0))
        x = pairwise_sum(x, x.ndim - 1)
    return sums[::-1]


def pairwise_sum(x: Array, axis: int) -> Array:
    """Sum along an axis, halves upon halves: an error grows with the logarithm of its length.

    Source: Higham 1993, "The accuracy of floating point summation".
    """
    while (length := x.shape[axis]) > 1:
        half = length // 2
        low = lax.slice_in_dim(x, 0, half, axis=axis)
        high = lax.slice_in_dim(x, half, 2 * half, axis=axis)
        odd = lax.slice_in_dim(x, 2 * half, length, axis=axis)
        x = low + high
        x = x if length % 2 == 0 else jnp.concatenate([x, odd], axis)
    return x.squeeze(axis)


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """The rounded sum and its exact rounding error (Knuth 1969, section 4.2.2)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def as_numbers(values: Mask, shape: tuple[int, ...]) -> Array:
    """Values, or a mask as whole numbers, in the shape of the chunk."""
    if isinstance(values, bool):
        return jnp.full(shape, int(values), jnp.int32)
    return values.astype(jnp.int32) if values.dtype == jnp.bool_ else values
