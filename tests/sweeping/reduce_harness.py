"""Runs a reducer over arrays cut into chunks, as the engine does: groups, padding, merges."""

import functools

import jax
import numpy as np
from jax import lax

from jaxscale.status import is_ok
from jaxscale.sweeping.chunks import cut
from jaxscale.sweeping.engine import TRIES
from jaxscale.sweeping.program import Form, Source, of_group
from jaxscale.sweeping.reducers.protocol import Group, Resolving, Values, float_dtype

SIZES = (6, 7, 11)  # chunks of 50: one value of the first axis, then 4 and 3 of the second


def lognormal(rng, dtype, sizes=SIZES):
    return rng.lognormal(3, 4, sizes).astype(dtype)


def with_bad_lanes(rng, values):
    """Fields of which a tenth is NaN and a tenth has a failed status; and what is left of them."""
    status = rng.choice([0, 15, 7, 13], values.shape, p=[0.6, 0.3, 0.05, 0.05]).astype(np.int8)
    values = np.where(rng.random(values.shape) < 0.1, values.dtype.type(np.nan), values)
    good = np.asarray(is_ok(status)) & np.isfinite(values)
    return {"x": values, "status": status}, values[good].astype(np.float64)


def locate(number):
    return {"scenario": number}


def totals_of(reducer, fields, *, chunk=50, count=3):
    """Totals of each group of `count` chunks, each knowing those before it."""
    fields = {name: np.asarray(array) for name, array in fields.items()}
    sizes = next(iter(fields.values())).shape
    chunks = cut(sizes, chunk)
    group = Group(chunks, tuple("abcd"[: len(sizes)]), count)
    padded = {name: _padded(array, chunks) for name, array in fields.items()}
    dtype = float_dtype(padded["x"].dtype) if "x" in padded else np.dtype(np.float32)

    def total(numbers, known):
        """The total of a group, and whether it holds."""
        known = {name: np.asarray(number, dtype) for name, number in known.items()}
        starts = chunks.starts(numbers)
        extents = chunks.extents(numbers).astype(np.int32)
        missing = ((0, count - len(numbers)), (0, 0))
        given = np.pad(starts, missing, mode="edge").astype(np.int32), np.pad(extents, missing)
        _, parts, held = jax.device_get(_run(reducer, group, padded, [known], *given))
        own = {
            name: jax.tree.map(lambda leaf: leaf[: len(numbers)], part)
            for (_, name), part in parts.items()
        }
        own |= {name: part for (_, name), part in held.items()}
        return reducer.total(own, known, starts, group), reducer.holds(own, known)

    known = reducer.known(total(np.array([0]), reducer.known(None, dtype))[0], dtype)
    totals = []
    for first in range(0, chunks.count, count):
        numbers = np.arange(first, min(first + count, chunks.count))
        found, holds = total(numbers, known)
        for _ in range(TRIES):
            if not holds:
                found, holds = total(numbers, reducer.known(found, dtype))
        assert holds
        totals.append(found)
        known = reducer.known(merged(reducer, totals), dtype)
    return totals


def merged(reducer, totals, rng=None):
    """One total of many: merged from the left or, with `rng`, any two at a time."""
    totals = list(totals)
    while len(totals) > 1:
        if rng is not None:
            rng.shuffle(totals)
        totals = [reducer.merge(totals[0], totals[1]), *totals[2:]]
    return totals[0]


def reduced(reducer, fields, *, chunk=50, count=3):
    total = merged(reducer, totals_of(reducer, fields, chunk=chunk, count=count))
    return result_of(reducer, total, fields, chunk=chunk)


def result_of(reducer, total, fields, *, chunk=50):
    """The result of a total of all chunks."""
    if isinstance(reducer, Resolving):
        total = reducer.resolve(total, lambda number: _looked_at(reducer, fields, chunk, number))
    return reducer.result(total, locate)


def _looked_at(reducer, fields, chunk, number):
    arrays = {name: np.asarray(array) for name, array in fields.items()}
    x = arrays[reducer.field]
    good = np.isfinite(x)
    if "status" in arrays:
        good &= np.asarray(is_ok(arrays["status"]))
    part = cut(x.shape, chunk).slices(number)
    numbers = np.arange(x.size).reshape(x.shape)[part][good[part]]
    return Values(x[part][good[part]].astype(np.float64), numbers)


# Optimising takes longer than all that these small arrays take to reduce.
@functools.partial(
    jax.jit,
    static_argnames=("reducer", "group"),
    compiler_options={"xla_backend_optimization_level": 0},
)
def _run(reducer, group, padded, known, starts, extents):
    def evaluate(start):
        shape = group.chunks.shape
        return {name: lax.dynamic_slice(array, start, shape) for name, array in padded.items()}, {}

    source = Source(evaluate, group.axes, {})
    return of_group((reducer,), group, source, (), Form.COLUMNS, known, starts, extents)


def _padded(array, chunks):
    """Beyond the space lie values that would be seen in any statistic."""
    reach = np.array(chunks.grid) * np.array(chunks.shape)
    extra = [(0, int(more)) for more in reach - array.shape]
    beyond = 0 if array.dtype.kind in "iu" else 3e30
    return np.pad(array, extra, constant_values=beyond)
