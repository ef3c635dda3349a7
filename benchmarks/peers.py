"""Peers of `solve` and `sweep`: what a user would otherwise write.

Sardana et al. 2024, eq. 12, in each tool's own terms. All solve for log D, where the equation is
nearly a straight line: in D itself each takes two to ten times as long. All start where there is
no demand, or closer, with constants taken out of the loop, and stop at a step of 1e-8 or less,
the error of which is its square.
"""

import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.problem import COLUMNS, LAW, grid_axes

E, A, B, ALPHA, BETA = LAW
TRAINING = B * (1 + BETA / ALPHA)
SERVING = BETA * B / (3 * ALPHA)
# Demands and what is derived from them stay in the second-level cache: twice as fast as whole
# arrays. Sizes from 2048 to 32768 were tried.
NUMPY_BLOCK = 4096
NUMPY_STEPS = 4  # leave 4e-12
STEP_TOLERANCE = 1e-8


def scipy_loop(loss: np.ndarray, demand: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A Python loop over `scipy.optimize.newton`."""
    from scipy.optimize import newton

    pairs = zip(loss.tolist(), demand.tolist(), strict=True)
    params, tokens = zip(*(_scalar_plan(newton, *pair) for pair in pairs), strict=True)
    return np.array(params), np.array(tokens)


def _scalar_plan(newton, loss, demand):
    reducible, serving = loss - E, SERVING * demand
    log_reducible = math.log(reducible)

    def f(x):
        return math.log(TRAINING + serving * math.exp(-x)) - BETA * x - log_reducible

    def slope(x):
        share = serving * math.exp(-x)
        return -share / (TRAINING + share) - BETA

    start = (math.log(TRAINING) - log_reducible) / BETA
    x = newton(f, start, fprime=slope, tol=STEP_TOLERANCE)
    return (A / (reducible - B * math.exp(-BETA * x))) ** (1 / ALPHA), math.exp(x)


def scipy_array(loss: np.ndarray, demand: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`scipy.optimize.newton` on the whole array."""
    from scipy.optimize import newton

    log_reducible, start, serving = _array_start(loss, demand)
    x = newton(
        _array_equation, start, fprime=_array_slope, args=(serving, log_reducible),
        tol=STEP_TOLERANCE,
    )  # fmt: skip
    return _array_plan(loss, x)


def scipy_find_root(loss: np.ndarray, demand: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`scipy.optimize.elementwise.find_root` on the whole array."""
    from scipy.optimize.elementwise import find_root

    log_reducible, start, serving = _array_start(loss, demand)
    end = start + np.log1p(serving / TRAINING * np.exp(-start)) / BETA
    found = find_root(
        _array_equation, (start, end), args=(serving, log_reducible),
        tolerances={"xatol": 1e-11},
    )  # fmt: skip
    return _array_plan(loss, found.x)


def _array_start(loss, demand):
    log_reducible = np.log(loss - E)
    return log_reducible, (math.log(TRAINING) - log_reducible) / BETA, SERVING * demand


def _array_equation(x, serving, log_reducible):
    return np.log(TRAINING + serving * np.exp(-x)) - BETA * x - log_reducible


def _array_slope(x, serving, log_reducible):
    del log_reducible
    share = serving * np.exp(-x)
    return -share / (TRAINING + share) - BETA


def _array_plan(loss, log_tokens):
    rest = loss - E - B * np.exp(-BETA * log_tokens)
    return np.exp(np.log(A / rest) / ALPHA), np.exp(log_tokens)


def numpy_blocks(loss: np.ndarray, demand: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Newton by hand with a fixed number of steps, in blocks that stay in the cache."""
    params, tokens = np.empty_like(loss), np.empty_like(loss)
    for at in range(0, len(loss), NUMPY_BLOCK):
        here = slice(at, at + NUMPY_BLOCK)
        params[here], tokens[here] = numpy_whole(loss[here], demand[here])
    return params, tokens


def numpy_whole(loss: np.ndarray, demand: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Newton by hand with a fixed number of steps, on the arrays as they are."""
    log_start = np.log(TRAINING / (loss - E)) / BETA
    # With x = log_start + t the equation is BETA t = log(1 + exp(k - t)).
    k = np.log(demand) + math.log(SERVING / TRAINING) - log_start
    t = np.maximum(k, 0) / (1 + BETA)
    for _ in range(NUMPY_STEPS):
        odds = np.exp(k - t)
        t += (np.log1p(odds) - BETA * t) / (BETA + odds / (1 + odds))
    return _array_plan(loss, log_start + t)


def optimistix_solver():
    """A jitted, vmapped `optimistix.root_find`, for arrays on any device."""
    import jax
    import jax.numpy as jnp
    import optimistix

    method = optimistix.Newton(rtol=STEP_TOLERANCE, atol=STEP_TOLERANCE)

    def equation(x, args):
        serving, log_reducible = args
        return jnp.log(TRAINING + serving * jnp.exp(-x)) - BETA * x - log_reducible

    def plan(loss, demand):
        log_reducible = jnp.log(loss - E)
        start = (math.log(TRAINING) - log_reducible) / BETA
        args = SERVING * demand, log_reducible
        x = optimistix.root_find(equation, method, start, args, max_steps=50, throw=False).value
        return (A / (loss - E - B * jnp.exp(-BETA * x))) ** (1 / ALPHA), jnp.exp(x)

    return jax.jit(jax.vmap(plan))


# --- Sweeps ----------------------------------------------------------------------------------

# In scenarios. Of 2^12 to 2^21 these were the fastest on two cores: NumPy is best while a chunk's
# temporaries stay in the second-level cache, dask needs chunks that pay for its scheduler. (A
# loop over such small chunks inside each of dask's would be up to a fifth faster.)
NUMPY_CHUNK = 2**13
DASK_CHUNK = 2**18
WRITE_CHUNK = 2**18


def numpy_sums(rows: int) -> tuple[float, float]:
    """Sums of N and of D by a loop over chunks, in one thread."""
    loss, demand = grid_axes(rows)
    params_sum = tokens_sum = 0.0
    for here in _slices(rows, NUMPY_CHUNK // COLUMNS):
        params, tokens = numpy_whole(loss[here, None], demand)
        params_sum += params.sum()
        tokens_sum += tokens.sum()
    return params_sum, tokens_sum


def dask_sums(rows: int) -> tuple[float, float]:
    """Sums of N and of D by `xarray.apply_ufunc` over dask arrays, in dask's threads."""
    import xarray
    from dask.base import compute

    loss, demand = grid_axes(rows)
    params, tokens = xarray.apply_ufunc(
        numpy_whole,
        xarray.DataArray(loss, dims="loss").chunk(loss=DASK_CHUNK // COLUMNS),
        xarray.DataArray(demand, dims="demand").chunk(),
        dask="parallelized",
        output_core_dims=[[], []],
        output_dtypes=[loss.dtype, loss.dtype],
    )
    # Together, so that each chunk is solved once.
    return tuple(x.item() for x in compute(params.sum(), tokens.sum(), scheduler="threads"))


def write(
    arrays: tuple[np.ndarray, ...],
    path: str | os.PathLike,
    encode: Callable[[np.ndarray], Any] = memoryview,
) -> None:
    """All bytes of the arrays in one file, one after another, and on the disk at the end."""
    with open(path, "wb") as file:
        for array in arrays:
            for here in _slices(array.size, WRITE_CHUNK):
                file.write(encode(array[here]))
        file.flush()
        os.fsync(file.fileno())


def write_compressed(arrays: tuple[np.ndarray, ...], path: str | os.PathLike) -> None:
    """The same, compressed in all threads as a store of jaxscale is."""
    from numcodecs import Blosc

    write(arrays, path, Blosc("lz4", clevel=5, shuffle=Blosc.SHUFFLE).encode)


def _slices(length: int, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, length, step))
