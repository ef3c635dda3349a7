"""Runs a reducer over arrays cut into chunks, as the engine does: groups, padding, merges."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxscale.status import Status, is_ok
from jaxscale.sweeping.chunks import cut
from jaxscale.sweeping.reducers.protocol import Chunk, Group

SIZES = (6, 7, 11)  # chunks of 50: one value of the first axis, then 4 and 3 of the second


def lognormal(rng, dtype, sizes=SIZES):
    return rng.lognormal(3, 4, sizes).astype(dtype)


def with_bad_lanes(rng, values):
    """Fields of which a tenth is NaN and a tenth has a failed status; and what is left of them."""
    status = rng.choice([0, 6, 7, 13], values.shape, p=[0.6, 0.3, 0.05, 0.05]).astype(np.int8)
    values = np.where(rng.random(values.shape) < 0.1, values.dtype.type(np.nan), values)
    good = (status <= Status.AT_CORNER) & np.isfinite(values)
    return {"x": values, "status": status}, values[good].astype(np.float64)


def locate(number):
    return {"scenario": number}


def totals_of(reducer, fields, *, chunk=50, count=3):
    """Totals of each group of `count` chunks; also the group, for one that shape matters to."""
    fields = {name: np.asarray(array) for name, array in fields.items()}
    sizes = next(iter(fields.values())).shape
    chunks = cut(sizes, chunk)
    group = Group(chunks, tuple("abcd"[: len(sizes)]), count)
    padded = {name: _padded(array, chunks) for name, array in fields.items()}
    totals = []
    for first in range(0, chunks.count, count):
        starts = chunks.starts(np.arange(first, min(first + count, chunks.count)))
        missing = ((0, count - len(starts)), (0, 0))
        extents = np.clip(np.array(sizes) - starts, 0, chunks.shape).astype(np.int32)
        given = np.pad(starts, missing, mode="edge").astype(np.int32), np.pad(extents, missing)
        totals.append(
            reducer.total(jax.device_get(_run(reducer, group, padded, *given)), starts, group)
        )
    return totals


def merged(reducer, totals, rng=None):
    """One total of many: merged from the left or, with `rng`, any two at a time."""
    totals = list(totals)
    while len(totals) > 1:
        if rng is not None:
            rng.shuffle(totals)
        totals = [reducer.merge(totals[0], totals[1]), *totals[2:]]
    return totals[0]


def reduced(reducer, fields, **how):
    return reducer.result(merged(reducer, totals_of(reducer, fields, **how)), locate)


# Optimising takes longer than all that these small arrays take to reduce.
@functools.partial(
    jax.jit,
    static_argnames=("reducer", "group"),
    compiler_options={"xla_backend_optimization_level": 0},
)
def _run(reducer, group, padded, starts, extents):
    def body(state, at):
        position, start, extent = at
        chunk = _chunk(padded, group.chunks.shape, start, extent, position)
        return reducer.update(state, chunk, group), None

    dtypes = {name: array.dtype for name, array in padded.items()}
    places = lax.iota(jnp.int32, group.count)
    return lax.scan(body, reducer.start(group, dtypes), (places, starts, extents))[0]


def _chunk(padded, shape, start, extent, position):
    fields = {name: lax.dynamic_slice(array, start, shape) for name, array in padded.items()}
    inside = jnp.ones(shape, bool)
    for axis in range(len(shape)):
        inside &= lax.broadcasted_iota(jnp.int32, shape, axis) < extent[axis]
    if "status" in fields:
        ok = is_ok(fields["status"])
    else:
        ok = jnp.stack([jnp.isfinite(field) for field in fields.values()]).all(axis=0)
    return Chunk(fields, inside, inside & ok, start, position)


def _padded(array, chunks):
    """Beyond the space lie values that would be seen in any statistic."""
    reach = np.array(chunks.grid) * np.array(chunks.shape)
    extra = [(0, int(more)) for more in reach - array.shape]
    beyond = 0 if array.dtype.kind in "iu" else 3e30
    return np.pad(array, extra, constant_values=beyond)
