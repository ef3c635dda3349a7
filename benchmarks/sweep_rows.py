"""The rows of the sweep's table: what each is called, and what it runs."""

import importlib.util
import itertools
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import ours, sweep_peers, sweep_truth
from benchmarks.floor import Unavailable
from benchmarks.two_devices import TwoDevices

FIELDS = 2  # N and D


class Scratch:
    """A folder for what rows write, under a new name each time."""

    def __init__(self, folder: str | os.PathLike):
        self._folder = Path(folder)
        self._numbers = itertools.count()

    def new(self) -> str:
        return str(self._folder / str(next(self._numbers)))

    def empty(self) -> None:
        for path in self._folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


class Setting(NamedTuple):
    """What rows are built for and with."""

    rows: int  # of the grid whose sums are taken
    stored_rows: int  # of the grid that is written
    scratch: Scratch
    two_devices: TwoDevices


@dataclass(frozen=True)
class Row:
    """One way to sweep the grid; `call` gives sums of N and of D, or the path they are under."""

    name: str
    dtype: str
    call: Callable[[], Any]
    kind: str = "sums"  # or "store", or "bytes"
    note: str = ""


def reduce_row(name: str, dtype: str, setting: Setting) -> Row:
    call = partial(ours.swept_sums, setting.rows, dtype)
    return Row(name, dtype, call, note="js.Moments of both")


def reduce_row_on_two(name: str, dtype: str, setting: Setting) -> Row:
    call = partial(setting.two_devices.run, ours.swept_sums, setting.rows, dtype)
    return Row(name, dtype, call, note="on the same cores")


def store_row(name: str, dtype: str, setting: Setting) -> Row:
    _require("xarray", "zarr", "tensorstore")
    call = partial(_stored, setting, dtype)
    return Row(name, dtype, call, "store", "until it is on the disk")


def _stored(setting, dtype):
    path = setting.scratch.new()
    ours.swept_store(path, setting.stored_rows, dtype)
    return path


def store_row_on_two(name: str, dtype: str, setting: Setting) -> Row:
    _require("xarray", "zarr", "tensorstore")
    call = partial(_stored_on_two, setting, dtype)
    return Row(name, dtype, call, "store", "on the same cores")


def _stored_on_two(setting, dtype):
    path = setting.scratch.new()
    setting.two_devices.run(_without_answer, path, setting.stored_rows, dtype)
    return path


def _without_answer(*arguments):
    # A data set that is opened lazily is not worth sending between processes.
    ours.swept_store(*arguments)


def kernel_row(name: str, dtype: str, setting: Setting) -> Row:
    call = partial(ours.grid_sums, setting.rows, dtype)
    return Row(name, dtype, call, note=f"chunks of {ours.CHUNK:,}")


def numpy_row(name: str, dtype: str, setting: Setting) -> Row:
    call = partial(sweep_peers.numpy_sums, setting.rows)
    return Row(name, dtype, call, note=f"chunks of {sweep_peers.NUMPY_CHUNK:,}")


def dask_row(name: str, dtype: str, setting: Setting) -> Row:
    _require("dask", "xarray")
    call = partial(sweep_peers.dask_sums, setting.rows)
    return Row(name, dtype, call, note=f"chunks of {sweep_peers.DASK_CHUNK:,}")


def plain_row(name: str, dtype: str, setting: Setting) -> Row:
    call = partial(_written, setting.scratch, sweep_truth.stored(setting.stored_rows, dtype))
    return Row(name, dtype, call, "bytes", "tofile, fsync")


def _written(scratch, arrays):
    path = scratch.new()
    sweep_peers.write(path, *arrays)
    return path


def _require(*packages):
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise Unavailable(f"{package} is not installed")


REDUCE, REDUCE32 = "reduce float64", "reduce float32"
REDUCE_TWO, REDUCE32_TWO = "reduce float64, 2 devices", "reduce float32, 2 devices"
STORE, STORE32 = "store float64", "store float32"
STORE_TWO, STORE32_TWO = "store float64, 2 devices", "store float32, 2 devices"
KERNEL, KERNEL32 = "bare kernel float64", "bare kernel float32"
NUMPY, DASK = "NumPy, loop over chunks", "NumPy, xarray over dask"
PLAIN, PLAIN32 = "plain writes float64", "plain writes float32"

BUILDERS: dict[str, tuple[Callable[[str, str, Setting], Row], str]] = {
    REDUCE: (reduce_row, "float64"),
    REDUCE32: (reduce_row, "float32"),
    REDUCE_TWO: (reduce_row_on_two, "float64"),
    REDUCE32_TWO: (reduce_row_on_two, "float32"),
    KERNEL: (kernel_row, "float64"),
    KERNEL32: (kernel_row, "float32"),
    NUMPY: (numpy_row, "float64"),
    DASK: (dask_row, "float64"),
    STORE: (store_row, "float64"),
    STORE32: (store_row, "float32"),
    STORE_TWO: (store_row_on_two, "float64"),
    STORE32_TWO: (store_row_on_two, "float32"),
    PLAIN: (plain_row, "float64"),
    PLAIN32: (plain_row, "float32"),
}

# What a row's speed is measured against.
REFERENCES = {
    REDUCE: KERNEL, REDUCE32: KERNEL32, REDUCE_TWO: REDUCE, REDUCE32_TWO: REDUCE32,
    STORE: PLAIN, STORE32: PLAIN32, STORE_TWO: STORE, STORE32_TWO: STORE32,
    NUMPY: REDUCE, DASK: REDUCE,
}  # fmt: skip


def build(name: str, setting: Setting) -> Row:
    """The row of that name, inputs in place; may raise Unavailable."""
    builder, dtype = BUILDERS[name]
    return builder(name, dtype, setting)
