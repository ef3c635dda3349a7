"""Which scenarios of a chunk count, and where in the space a lane of it lies.

A lane counts where its scenario is ok and the field is finite. Lanes beyond the space count
nowhere, the others are skipped and counted as such.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxscale.sweeping.reducers.protocol import Chunk, Group

NOWHERE = np.iinfo(np.int64).max  # the number of no scenario: after that of every one


class Lanes(NamedTuple):
    """A field of a chunk as real numbers: 0 where it does not count."""

    values: Array
    good: Array  # bool
    count: Array  # int32, ()
    skipped: Array  # int32, ()


def lanes(chunk: Chunk, field: str) -> Lanes:
    """What counts of a field, in the shape of the chunk."""
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


def float_dtype(dtype: np.dtype) -> np.dtype:
    """What a field of this dtype is reduced in: its own, or one that holds it."""
    if not jnp.issubdtype(dtype, jnp.floating):
        return jax.dtypes.canonicalize_dtype(np.float64)
    return np.dtype(np.float32) if np.dtype(dtype).itemsize < 4 else np.dtype(dtype)


def dtype_of(field: str, dtypes: Mapping[str, np.dtype]) -> np.dtype:
    return float_dtype(dtypes[field])


def numbers(starts: np.ndarray, places: np.ndarray, inner: np.ndarray, group: Group) -> np.ndarray:
    """Scenario numbers, int64, of lanes given by their chunk's place and their offset in it."""
    sizes, shape = group.chunks.sizes, group.chunks.shape
    indices = starts[places] + np.stack(np.unravel_index(inner, shape), axis=-1)
    strides = np.cumprod(np.array((1, *sizes[:0:-1]), np.int64))[::-1]
    return (indices * strides).sum(axis=-1)


def real(x: Array) -> Array:
    """Numbers in the dtype that they are reduced in."""
    return x.astype(float_dtype(x.dtype))
