"""The bare kernel of a GPU: it makes, solves and sums the scenarios of a grid, and nothing else.

What a sweep could do if its statistics, statuses and host cost nothing. In Pallas, for Triton;
elsewhere Pallas interprets it, for tests.
"""

import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.harness import Unavailable
from benchmarks.ours import scenario
from benchmarks.problem import COLUMNS, Grid
from jaxscale.sweeping.inlined import inlined

ROWS = 128  # of the grid, at most, in one program of the kernel
WARPS = 8  # four took 1.2 times as long


def grid_sums(rows: int, dtype: str) -> tuple[float, float]:
    """Sums of N and of D over a grid of which nothing is stored; Unavailable where it fails."""
    try:
        with warnings.catch_warnings():
            # From JAX 0.12 on Triton is to be removed; this row will then say so.
            warnings.simplefilter("ignore", DeprecationWarning)
            return tuple(float(each) for each in _sums(rows, dtype))
    except Exception as error:  # of any kind: lowering and compiling raise what they like
        raise Unavailable(f"no kernel: {' '.join(str(error).split())[:200]}") from error


@partial(jax.jit, static_argnames=("rows", "dtype"))
def _sums(rows, dtype):
    from jax.experimental import pallas as pl

    here = max(size for size in range(1, min(rows, ROWS) + 1) if rows % size == 0)
    on_gpu, options = jax.default_backend() == "gpu", {}
    if on_gpu:
        from jax.experimental.pallas import triton

        options["compiler_params"] = triton.CompilerParams(num_warps=WARPS, num_stages=1)
    call = pl.pallas_call(
        partial(_kernel, here, Grid(rows), dtype),
        out_shape=[jax.ShapeDtypeStruct((rows // here,), dtype)] * 2,
        grid=(rows // here,),
        interpret=not on_gpu,
        **options,
    )
    return [jnp.sum(each.astype(jnp.float64)) for each in call()]


def _kernel(rows, grid, dtype, *outputs):
    from jax.experimental import pallas as pl

    number = np.dtype(dtype).type
    (loss, loss_step), (log_demand, log_step) = grid.loss_axis, grid.log_demand_axis
    column = lax.iota(jnp.int32, COLUMNS).astype(dtype)
    demand = jnp.exp(number(log_demand) + number(log_step) * column)
    solve = inlined(jax.make_jaxpr(lambda *lanes: list(scenario(*lanes).values()))(demand, demand))
    program = pl.program_id(0)

    def add(at, sums):
        row = (program * rows + at).astype(dtype)
        losses = jnp.full(COLUMNS, number(loss) + number(loss_step) * row)
        return tuple(total + x for total, x in zip(sums, solve(losses, demand), strict=True))

    zero = jnp.zeros(COLUMNS, dtype)
    for output, total in zip(outputs, lax.fori_loop(0, rows, add, (zero, zero)), strict=True):
        output[program] = total.sum()
