# pyright: reportUnknownMemberType=false
"""Large batches in chunks whose intermediate arrays stay in a CPU's cache.

XLA runs a solve on a CPU as a dozen loops with an array between each two. Those of a million
scenarios go through memory, which every call asks the system for anew: half of a solve's time.
"""

import math
import os
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxscale._numerics.typed import custom_jvp, flattened, fori_loop, jit, map_leaves
from jaxscale._numerics.whole import jvp_of

Answer = TypeVar("Answer")

# Of each core, for intermediate arrays: a second-level cache and a share of the third. A smaller
# chunk costs more than it saves, because each loop is handed to threads and waited for.
CACHE_BYTES = 2 * 2**20
ARRAYS = 8


def in_chunks(solve: Callable[..., Answer], *arguments: Any, arrays: int = ARRAYS) -> Answer:
    """`solve(*arguments)`, by a loop over chunks where a CPU is faster so.

    Arguments are aligned; every array that `solve` returns has the shape of all of them
    together, and it works on as many `arrays` of that shape at a time. Derivatives are those of
    the whole: the reverse of a loop is slower.
    """
    leaves, _ = flattened(arguments)
    shape = _shape(leaves)
    scenarios = math.prod(shape)
    is_large = 2 * _chunk_size(leaves[0], arrays) < scenarios < 2**31
    if is_large and _has_cpu(leaves):
        return _loop(solve, arrays, *arguments)
    return solve(*arguments)


def _shape(leaves: list[Array]) -> tuple[int, ...]:
    return np.broadcast_shapes(*(x.shape for x in leaves))


def _chunk_size(x: Array, arrays: int) -> int:
    """Scenarios at a time."""
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return cores * CACHE_BYTES // (arrays * x.dtype.itemsize)


def _has_cpu(leaves: list[Array]) -> bool:
    """Whether all cores are one device, so that no array is cut along the axis of the loop."""
    is_alone = jax.default_backend() == "cpu" and jax.local_device_count() == 1
    return is_alone and all(jax.typeof(x).sharding.mesh.empty for x in leaves)


@custom_jvp(0, 1)
def _loop(solve: Callable[..., Answer], arrays: int, *arguments: Any) -> Answer:
    leaves, _ = flattened(arguments)
    shape = _shape(leaves)
    axis = next(i for i, size in enumerate(shape) if size > 1)
    most_rows = max(1, _chunk_size(leaves[0], arrays) // math.prod(shape[axis + 1 :]))
    chunks = -(-shape[axis] // most_rows)
    rows = -(-shape[axis] // chunks)

    solve_part = jit(
        partial(in_chunks, solve, arrays=arrays)
    )  # traced once, though it is asked for twice

    def cut(row: Array | int) -> list[Any]:
        def rows_of(x: Array) -> Array:
            whole = x.ndim == 0 or x.shape[axis] == 1
            return x if whole else lax.dynamic_slice_in_dim(x, row, rows, axis)

        return [map_leaves(rows_of, argument) for argument in arguments]

    def zeros(x: Array) -> Array:
        return jnp.zeros(shape, x.dtype)

    def step(i: Array, answer: Answer) -> Answer:
        # The last chunk begins early enough to be whole, and repeats some of the one before.
        row = jnp.minimum(i * rows, shape[axis] - rows)

        def write(x: Array, part: Array) -> Array:
            return lax.dynamic_update_slice_in_dim(x, part, row, axis)

        return map_leaves(write, answer, solve_part(*cut(row)))

    return fori_loop(chunks, step, map_leaves(zeros, jax.eval_shape(solve_part, *cut(0))))


def _loop_jvp(
    solve: Callable[..., Any], arrays: int, primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Any, Any]:
    del arrays
    return jvp_of(solve, primals, tangents)


_loop.defjvp(_loop_jvp, symbolic_zeros=True)
