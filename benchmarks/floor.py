"""Builds and loads floor.c and floor.cu: jaxscale's algorithm, as bare as a processor runs it."""

import contextlib
import ctypes
import functools
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from benchmarks.harness import Unavailable
from benchmarks.machine import cores
from benchmarks.problem import COLUMNS, LAW, Grid

SOURCE = Path(__file__).with_name("floor.c")
C_TYPES = {"float64": ("double", ctypes.c_double), "float32": ("float", ctypes.c_float)}
FLAGS = ["-std=gnu11", "-O3", "-march=native", "-ffast-math", "-fopenmp", "-fPIC"]
# By default gcc uses half of an AVX-512 register.
X86_FLAGS = ["-mprefer-vector-width=512"]
CUDA_SOURCE = Path(__file__).with_name("floor.cu")
CUDA_FLAGS = ["-O3", "-arch=native", "-shared", "-Xcompiler", "-fPIC"]
VECTOR_CALL = re.compile(r"\b_ZGV\w+_(?:exp|expm1|log)f?\b")


class Floor(NamedTuple):
    """A compiled floor.c of one precision."""

    library: ctypes.CDLL
    dtype: str
    threads: int
    flags: list[str]
    vector_calls: list[str]  # the symbols that show that it is vectorised

    def materialised(self, loss: np.ndarray, demand: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """N and D in fresh arrays."""
        loss, demand = (np.ascontiguousarray(x, self.dtype) for x in (loss, demand))
        params, tokens = np.empty_like(loss), np.empty_like(loss)
        self.library.materialised(
            self._numbers(*LAW), self.threads, ctypes.c_int64(loss.size),
            *(ctypes.c_void_p(x.ctypes.data) for x in (loss, demand, params, tokens)),
        )  # fmt: skip
        return params, tokens

    def reduced(self, rows: int) -> tuple[float, float]:
        """Sums of N and of D over a grid of which no more than a block is stored."""
        grid, sums = Grid(rows), (ctypes.c_double * 2)()
        self.library.reduced(
            self._numbers(*LAW), self.threads, ctypes.c_int64(rows * COLUMNS),
            ctypes.c_int64(COLUMNS), self._numbers(*grid.loss_axis),
            self._numbers(*grid.log_demand_axis), sums,
        )  # fmt: skip
        return sums[0], sums[1]

    def _numbers(self, *values):
        return _numbers(self.dtype, *values)


class CudaFloor(NamedTuple):
    """A compiled floor.cu of one precision."""

    library: ctypes.CDLL
    dtype: str
    flags: list[str]

    def materialised(
        self, loss: jax.Array, demand: jax.Array
    ) -> tuple["DeviceArray", "DeviceArray"]:
        """N and D on the GPU, in arrays that the next call writes to."""
        jax.block_until_ready((loss, demand))  # CUDA does not wait for JAX's own streams
        inputs = [ctypes.c_void_p(x.unsafe_buffer_pointer()) for x in (loss, demand)]
        sizes = [DeviceArray(self, _memory(self, name, loss.nbytes), loss.size) for name in "ND"]
        law, count = self._numbers(*LAW), ctypes.c_int64(loss.size)
        self._run("materialised", law, count, *inputs, *(x.pointer for x in sizes))
        return sizes[0], sizes[1]

    def reduced(self, rows: int) -> tuple[float, float]:
        """Sums of N and of D over a grid that is stored nowhere."""
        grid, sums = Grid(rows), (ctypes.c_double * 2)()
        counts = ctypes.c_int64(rows * COLUMNS), ctypes.c_int64(COLUMNS)
        axes = self._numbers(*grid.loss_axis), self._numbers(*grid.log_demand_axis)
        device_sums = _memory(self, "sums", ctypes.sizeof(sums))
        self._run("reduced", self._numbers(*LAW), *counts, *axes, device_sums, sums)
        return sums[0], sums[1]

    def _numbers(self, *values):
        return _numbers(self.dtype, *values)

    def _run(self, name: str, *arguments):
        error = getattr(self.library, name)(*arguments)
        if error:
            self.library.error_text.restype = ctypes.c_char_p
            raise RuntimeError(f"{name}: {self.library.error_text(error).decode()}")


class DeviceArray(NamedTuple):
    """Numbers on the GPU, which NumPy copies to the host when it is asked to."""

    floor: CudaFloor
    pointer: ctypes.c_void_p
    size: int

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        del copy
        host = np.empty(self.size, self.floor.dtype)
        pointer = ctypes.c_void_p(host.ctypes.data)
        self.floor._run("fetch", pointer, self.pointer, ctypes.c_int64(host.nbytes))
        return host if dtype is None else host.astype(dtype)


def _numbers(dtype, *values):
    return (C_TYPES[dtype][1] * len(values))(*values)


_MEMORY: dict[tuple, ctypes.c_void_p] = {}


def _memory(floor: CudaFloor, name: str, size: int) -> ctypes.c_void_p:
    """Memory of that name and size on the GPU, kept for the next call."""
    key = floor.dtype, name, size
    if key not in _MEMORY:
        pointer = ctypes.c_void_p()
        floor._run("allocate", ctypes.byref(pointer), ctypes.c_int64(size))
        _MEMORY[key] = pointer
    return _MEMORY[key]


@functools.cache
def load_cuda(dtype: str) -> CudaFloor:
    """The floor on this GPU in `dtype`; Unavailable without a GPU or without nvcc."""
    if jax.default_backend() != "gpu":
        raise Unavailable("no GPU")
    compiler = shutil.which("nvcc")
    if compiler is None:
        raise Unavailable("nvcc is not installed")
    with tempfile.TemporaryDirectory(prefix="jaxscale-floor-") as folder:
        return CudaFloor(
            _cuda_library(compiler, CUDA_FLAGS, dtype, Path(folder)), dtype, CUDA_FLAGS
        )


def _cuda_library(compiler: str, flags: list[str], dtype: str, folder: Path) -> ctypes.CDLL:
    path = folder / "floor.so"
    _output(compiler, *flags, f"-DREAL={C_TYPES[dtype][0]}", str(CUDA_SOURCE), "-o", str(path))
    return ctypes.CDLL(str(path))


@functools.cache
def load(dtype: str) -> Floor:
    """The floor in `dtype`; Unavailable without gcc, or where its loop was not vectorised."""
    compiler = shutil.which("gcc")
    if compiler is None:
        raise Unavailable("gcc is not installed")
    flags = FLAGS + X86_FLAGS * (platform.machine() in ("x86_64", "AMD64"))
    # Threads that spin after their work would slow the row that runs next.
    os.environ["OMP_WAIT_POLICY"] = "passive"
    with _library_file(compiler, flags, C_TYPES[dtype][0]) as path:
        calls = _vector_calls(path)
        library = ctypes.CDLL(str(path))
    return Floor(library, dtype, cores(), flags, calls)


@contextlib.contextmanager
def _library_file(compiler: str, flags: list[str], c_type: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="jaxscale-floor-") as folder:
        built, library = Path(folder) / "floor.o", Path(folder) / "floor.so"
        _output(compiler, *flags, f"-DREAL={c_type}", "-c", str(SOURCE), "-o", str(built))
        # Linked without -ffast-math, which would make the whole process flush denormals.
        _output(compiler, "-shared", "-fopenmp", str(built), "-o", str(library), "-lmvec", "-lm")
        yield library


def _vector_calls(path: Path) -> list[str]:
    symbols = _output("nm", "--dynamic", "--undefined-only", str(path))
    calls = sorted(set(VECTOR_CALL.findall(symbols)))
    called = {re.sub(r"f?$", "", call.rpartition("_")[2]) for call in calls}
    if called != {"exp", "expm1", "log"}:
        raise Unavailable(f"gcc vectorised only {calls}, so this would be no floor")
    return calls


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        raise Unavailable(f"{command[0]} failed: {str(reason).strip()[:200]}") from None
