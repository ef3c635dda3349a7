"""Terms of a chunk gathered in XLA: in one reduction, or in as many as a processor vectorises.

An accelerator gains most from one pass: all terms, of all reducers, are operands of one variadic
reduction, which XLA fuses with the scenario itself. A CPU vectorises no such reduction. There, each
term is summed along the columns of a table, many columns at a time.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxscale.sweeping.reducers.protocol import (
    Along,
    Count,
    First,
    Greatest,
    Group,
    Least,
    Mask,
    Sum,
    Tally,
    Term,
)

Name = tuple[int, str]  # a reducer by its position, and a term of it
Terms = Mapping[Name, Term]
Parts = dict[Name, Any]
Gather = Callable[["Terms", tuple[int, ...]], Parts]  # what has one number a chunk

ROWS = 64  # added one after the other: an error grows with their number
FEW_KEYS = 16  # at most so many keys are counted in the one pass


class At(NamedTuple):
    """Positions of the scenarios of a chunk along the arguments."""

    axes: tuple[str, ...]  # of a grid, in the order of the chunk's shape; empty for a sample
    start: Array  # index of the first scenario along each axis
    keys: Mapping[str, Array]  # of a sample: the bin of each scenario, by argument


def parts_of(
    terms: Terms, held: Parts, shape: tuple[int, ...], at: At, gather: Gather
) -> tuple[Parts, Parts]:
    """Parts of one chunk, and `held`, what all chunks of a group share, with this chunk's."""
    apart = {name: term for name, term in terms.items() if not isinstance(term, Tally | Along)}
    parts = gather(apart, shape)
    held = dict(held)
    along: dict[int, list[Array]] = {}
    for name, term in terms.items():
        if isinstance(term, Tally):
            held[name] = _tallied(held[name], term, shape)
        elif isinstance(term, Along) and at.axes:
            if id(term.values) not in along:
                along[id(term.values)] = _along_axes(_numbers(term.values, shape))
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


def by_columns(terms: Terms, shape: tuple[int, ...]) -> Parts:
    """Each term by a reduction of its own."""
    return {name: _by_columns(term, math.prod(shape)) for name, term in terms.items()}


def _by_columns(term: Any, size: int) -> Any:
    match term:
        case Count(mask=bool()):
            return jnp.int32(size if term.mask else 0)
        case Count():
            return _folded(term.mask.astype(jnp.int32), jnp.sum)
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


def _folded(x: Array, reduce: Callable[..., Array]) -> Array:
    """All of an array reduced: columns of so many rows, then the columns in the same way."""
    x = x.reshape(-1)
    while x.size > ROWS:
        width = x.size // ROWS
        table = lax.slice_in_dim(x, 0, ROWS * width).reshape(ROWS, width)
        rest = lax.slice_in_dim(x, ROWS * width, x.size)
        x = _over_rows(reduce, table)
        x = jnp.concatenate([x, rest]) if rest.size else x
    return _over_rows(reduce, x)


def _over_rows(reduce: Callable[..., Array], x: Array) -> Array:
    # Without a dtype x64 would make a sum of int32 an int64.
    return reduce(x, axis=0, dtype=x.dtype) if reduce is jnp.sum else reduce(x, axis=0)


# --- One number a chunk, on an accelerator ---------------------------------------------------


def at_once(terms: Terms, shape: tuple[int, ...]) -> Parts:
    """All terms by one reduction of as many operands."""
    if not terms:
        return {}
    steps = {name: step_of(term, shape) for name, term in terms.items()}
    operands = [each for step in steps.values() for each in step.values]
    empty = [each for step in steps.values() for each in step.empty]

    def combined(one: Any, other: Any) -> tuple[Array, ...]:
        found, first = [], 0
        for step in steps.values():
            last = first + len(step.values)
            found += step.combine(tuple(one[first:last]), tuple(other[first:last]))
            first = last
        return tuple(found)

    found = list(lax.reduce(operands, empty, combined, tuple(range(len(shape)))))
    return {name: step.part([found.pop(0) for _ in step.values]) for name, step in steps.items()}


class Step(NamedTuple):
    """A term as values that are combined one with another, in any order."""

    values: list[Array]
    empty: list[Array]  # what leaves any value as it is
    combine: Callable[[tuple[Array, ...], tuple[Array, ...]], list[Array]]
    part: Callable[[list[Array]], Any]  # of the combined values


def step_of(term: Any, shape: tuple[int, ...]) -> Step:
    """The values of a term and how two of them combine."""
    match term:
        case Count():
            return _step(_numbers(term.mask, shape), 0, jnp.add)
        case Sum():
            return _step(term.values, 0, jnp.add)
        case Least():
            return _step(term.values, jnp.inf, jnp.minimum)
        case Greatest():
            return _step(term.values, -jnp.inf, jnp.maximum)
        case First():
            size = math.prod(shape)
            offsets = lax.iota(jnp.int32, size).reshape(shape)
            nothing = jnp.asarray(jnp.inf, term.values.dtype), jnp.int32(size - 1)
            return Step([term.values, offsets], list(nothing), _first, tuple)
    raise TypeError(f"a reducer's term must be one of {Term}; got {term!r}")


def _step(values: Array, empty: float, combine: Callable[..., Array]) -> Step:
    nothing = jnp.asarray(empty, values.dtype)
    return Step([values], [nothing], lambda a, b: [combine(a[0], b[0])], lambda found: found[0])


def _first(one: tuple[Array, ...], other: tuple[Array, ...]) -> list[Array]:
    """The lesser of two values, and of equals the one before, with its offset."""
    (value, offset), (value2, offset2) = one, other
    keeps = (value < value2) | ((value == value2) & (offset <= offset2))
    return [jnp.where(keeps, value, value2), jnp.where(keeps, offset, offset2)]


# --- What all chunks of a group share --------------------------------------------------------


def _tallied(tallies: Array, term: Tally, shape: tuple[int, ...]) -> Array:
    """Tallies with one more of the key of each scenario in the mask."""
    if term.size <= FEW_KEYS:
        return tallies + _few(term, shape)
    # A scenario that does not count adds 0: cheaper than keeping it out of the scatter.
    ones, keys = _numbers(term.mask, shape).reshape(-1), term.keys.reshape(-1)
    return tallies.at[keys].add(ones, mode="promise_in_bounds")


def _few(term: Tally, shape: tuple[int, ...]) -> Array:
    """Counts by key, each as a sum of its own: where there are few, faster than a scatter."""
    masks = {(0, str(key)): Count((term.keys == key) & term.mask) for key in range(term.size)}
    gather = by_columns if jax.default_backend() == "cpu" else at_once
    return jnp.stack(list(gather(masks, shape).values()))


def _added_by(held: Array, term: Along, keys: Array, shape: tuple[int, ...]) -> Array:
    """Sums by key with those of one chunk."""
    values, keys = _numbers(term.values, shape).reshape(-1), keys.reshape(-1)
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


def _along_axes(x: Array) -> list[Array]:
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


def _numbers(values: Mask, shape: tuple[int, ...]) -> Array:
    """Values, or a mask as whole numbers, in the shape of the chunk."""
    if isinstance(values, bool):
        return jnp.full(shape, int(values), jnp.int32)
    return values.astype(jnp.int32) if values.dtype == jnp.bool_ else values
