"""What a user would write today instead of a sweep: the NumPy solver over chunks of a grid."""

import os
from collections.abc import Iterator

import numpy as np

from benchmarks import peers
from benchmarks.problem import COLUMNS, grid_axes

# Scenarios. Of 2^12 to 2^21 these were the fastest on two cores: NumPy is best while a chunk's
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
        params, tokens = peers.numpy_whole(loss[here, None], demand)
        params_sum += params.sum()
        tokens_sum += tokens.sum()
    return params_sum, tokens_sum


def dask_sums(rows: int) -> tuple[float, float]:
    """Sums of N and of D by `xarray.apply_ufunc` over dask arrays, in dask's threads."""
    import xarray
    from dask.base import compute

    loss, demand = grid_axes(rows)
    params, tokens = xarray.apply_ufunc(
        peers.numpy_whole,
        xarray.DataArray(loss, dims="loss").chunk(loss=DASK_CHUNK // COLUMNS),
        xarray.DataArray(demand, dims="demand").chunk(),
        dask="parallelized",
        output_core_dims=[[], []],
        output_dtypes=[loss.dtype, loss.dtype],
    )
    # Together, so that each chunk is solved once.
    return tuple(x.item() for x in compute(params.sum(), tokens.sum(), scheduler="threads"))


def write(path: str | os.PathLike, *arrays: np.ndarray) -> None:
    """All bytes of the arrays in one file, one after another, and on the disk at the end."""
    with open(path, "wb") as file:
        for array in arrays:
            for here in _slices(array.size, WRITE_CHUNK):
                array[here].tofile(file)
        file.flush()
        os.fsync(file.fileno())


def _slices(length: int, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, length, step))
