"""`python -m benchmarks sweep`: a grid of plans reduced and stored, beside what else would do it.

The aims: statistics at 0.8 of the speed of the bare solver and at ten times that of xarray over
dask, in memory that does not grow; stores at 0.7 of the speed of plain writes that are compressed
alike.
"""

import itertools
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks import fresh, harness, ours, peers, report
from benchmarks.harness import Aim, Row, Suite, need, progress, require_agreement
from benchmarks.problem import (
    CHECKED,
    COLUMNS,
    DEMANDS,
    LAW,
    LOSSES,
    SEED,
    TOLERANCE,
    grid_axes,
    true_plans,
)
from benchmarks.two_devices import TwoDevices

SCENARIOS = 2**26
STORED_SHARE = 4  # of these a quarter is written, which takes as long
LARGEST = 10**9
QUICK_SCENARIOS, QUICK_LARGEST, QUICK_ROUNDS = 2**17, 10**6, 2
SIZES = [10**6, 10**7, 10**8, 10**9, 10**10]
FIRST_ROUNDS = 3
FIELDS = 2  # N and D
ROWS_AT_ONCE = 1024  # of the grid, a million scenarios, where the solver alone gives the answers

REDUCE, REDUCE32 = "reduce float64", "reduce float32"
REDUCE_TWO, REDUCE32_TWO = "reduce float64, 2 devices", "reduce float32, 2 devices"
STORE, STORE32 = "store float64", "store float32"
STORE_TWO, STORE32_TWO = "store float64, 2 devices", "store float32, 2 devices"
KERNEL, KERNEL32 = "bare kernel float64", "bare kernel float32"
NUMPY, DASK = "NumPy, loop over chunks", "NumPy, xarray over dask"
PLAIN, PLAIN32 = "plain writes float64", "plain writes float32"
PACKED, PACKED32 = "plain writes float64, compressed", "plain writes float32, compressed"

AIMS = [
    Aim(REDUCE, 0.8, (KERNEL,)),
    Aim(REDUCE32, 0.8, (KERNEL32,)),
    Aim(REDUCE, 10, (DASK,)),
    Aim(STORE, 0.7, (PACKED,)),
    Aim(STORE32, 0.7, (PACKED32,)),
]
MEMORY_AIM = 10**9, 10**7, 1.1  # of the first size, in units of that of the second


# --- Rows ------------------------------------------------------------------------------------


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
    """The grids, and what rows run with."""

    rows: int  # of the grid whose sums are taken
    stored_rows: int  # of the grid that is written
    scratch: Scratch
    two_devices: TwoDevices


def sums(
    name: str, setting: Setting, *, call: Callable, note: str, dtype: str = "float64",
    against: str = "", packages: tuple[str, ...] = (), two: bool = False,
) -> Row:  # fmt: skip
    """A row that reduces the grid to the sums of N and of D, on two devices if asked."""
    need(*packages)
    arguments = (setting.rows,) if packages else (setting.rows, dtype)
    call = partial(setting.two_devices.run, call) if two else call
    check = partial(_check_sums, name, dtype, setting.rows)
    return _row(name, partial(call, *arguments), check, setting.rows, dtype, note, against)


def stored(
    name: str, setting: Setting, *, note: str = "until it is on the disk", dtype: str = "float64",
    against: str, two: bool = False,
) -> Row:  # fmt: skip
    """A row that sweeps into a store."""
    need("xarray", "zarr", "tensorstore")
    store = partial(setting.two_devices.run, _store) if two else _store
    write = partial(store, setting.stored_rows, dtype)
    check = partial(_check_store, name, dtype, setting)
    return _written(name, setting, write, check, dtype, note, against)


def _store(rows, dtype, path):
    # A data set that is opened lazily is not worth sending between processes.
    ours.swept_store(path, rows, dtype)


def plain(
    name: str, setting: Setting, *, note: str = "one file, one fsync", dtype: str = "float64",
    against: str = "", write: Callable = peers.write, packages: tuple[str, ...] = (),
) -> Row:  # fmt: skip
    """A row that writes the arrays themselves."""
    need(*packages)
    arrays = true_arrays(setting.stored_rows, dtype)

    def check(_: str) -> dict:
        return {"agreement": _agreement(dtype, setting.rows)}

    return _written(name, setting, partial(write, arrays), check, dtype, note, against)


def _written(name, setting, write, check, dtype, note, against):
    def call():
        path = setting.scratch.new()
        write(path)
        return path

    def check_and_weigh(path):
        return check(path) | {"bytes_on_disk": _bytes_at(Path(path))}

    return _row(name, call, check_and_weigh, setting.stored_rows, dtype, note, against)


def _bytes_at(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(each.stat().st_size for each in files if each.is_file())


def _row(name, call, check, rows, dtype, note, against):
    facts = {"dtype": dtype, "scenarios": rows * COLUMNS, "note": note}
    return Row(name, call, check, rows * COLUMNS, facts, against)


reduce = partial(sums, call=ours.swept_sums, note="js.Moments of both")
kernel = partial(sums, call=ours.grid_sums, note=f"chunks of {ours.CHUNK:,}")
packed = partial(
    plain, write=peers.write_compressed, packages=("numcodecs",), note="compressed as the store is"
)
FLOAT32, SHARED = "float32", {"two": True, "note": "on the same cores"}
BUILDERS: dict[str, Callable[[str, Setting], Row]] = {
    REDUCE: partial(reduce, against=KERNEL),
    REDUCE32: partial(reduce, dtype=FLOAT32, against=KERNEL32),
    REDUCE_TWO: partial(reduce, against=REDUCE, **SHARED),
    REDUCE32_TWO: partial(reduce, dtype=FLOAT32, against=REDUCE32, **SHARED),
    KERNEL: kernel,
    KERNEL32: partial(kernel, dtype=FLOAT32),
    NUMPY: partial(
        sums, call=peers.numpy_sums, packages=("numpy",), against=REDUCE,
        note=f"chunks of {peers.NUMPY_CHUNK:,}",
    ),
    DASK: partial(
        sums, call=peers.dask_sums, packages=("dask", "xarray"), against=REDUCE,
        note=f"chunks of {peers.DASK_CHUNK:,}",
    ),
    STORE: partial(stored, against=PACKED),
    STORE32: partial(stored, dtype=FLOAT32, against=PACKED32),
    STORE_TWO: partial(stored, against=STORE, **SHARED),
    STORE32_TWO: partial(stored, dtype=FLOAT32, against=STORE32, **SHARED),
    PLAIN: plain,
    PLAIN32: partial(plain, dtype=FLOAT32),
    PACKED: partial(packed, against=PLAIN),
    PACKED32: partial(packed, dtype=FLOAT32, against=PLAIN32),
}  # fmt: skip


# --- Agreement -------------------------------------------------------------------------------


def _check_sums(name: str, dtype: str, rows: int, answer: Any) -> dict:
    off = require_agreement(name, answer, true_sums(rows, dtype), TOLERANCE[dtype])
    return {"agreement": _agreement(dtype, rows) | {"jaxscale": off}}


def _check_store(name: str, dtype: str, setting: Setting, path: str) -> dict:
    import xarray

    with xarray.open_zarr(path, consolidated=False, chunks=None) as data:
        arrays = tuple(data[field].values.ravel() for field in ("params", "tokens"))
    expected = true_arrays(setting.stored_rows, dtype)
    off = require_agreement(name, arrays, expected, TOLERANCE[dtype])
    return {"agreement": _agreement(dtype, setting.rows) | {"jaxscale": off}}


@lru_cache
def _agreement(dtype: str, rows: int) -> dict[str, float]:
    """Error of the solver against the truth, in a sample of the grid."""
    loss, demand = _axes(rows, dtype)
    draw = np.random.default_rng(SEED)
    inputs = tuple(axis[draw.integers(0, axis.size, CHECKED)] for axis in (loss, demand))
    pair, tolerance = jax.device_get(ours.params_and_tokens(*inputs)), TOLERANCE[dtype]
    off = require_agreement(f"solver, {dtype}", pair, true_plans(*inputs), tolerance)
    return {"tolerance": tolerance, "truth": off}


@lru_cache(maxsize=2)
def true_arrays(rows: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """N and D of every scenario of a grid, in order, by the solver alone."""
    params, tokens = zip(*_parts(rows, dtype), strict=True)
    return np.concatenate(params), np.concatenate(tokens)


@lru_cache
def true_sums(rows: int, dtype: str) -> tuple[float, float]:
    """Sums of N and of D, by the solver alone."""
    parts = [[x.sum(dtype=np.float64) for x in part] for part in _parts(rows, dtype)]
    params, tokens = np.sum(parts, axis=0)
    return params, tokens


def _parts(rows: int, dtype: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    loss, demand = _axes(rows, dtype)
    for start in range(0, rows, ROWS_AT_ONCE):
        here = loss[start : start + ROWS_AT_ONCE, None]
        yield tuple(x.ravel() for x in jax.device_get(ours.params_and_tokens(here, demand)))


def _axes(rows, dtype):
    """The axes as a sweep in `dtype` has them."""
    return tuple(axis.astype(dtype) for axis in grid_axes(rows))


# --- The result ------------------------------------------------------------------------------


def run(scenarios: int, largest: int, quick: bool) -> dict:
    """Everything measured, as one JSON object; Disagreement where an answer is wrong."""
    if quick:
        scenarios, largest = min(scenarios, QUICK_SCENARIOS), min(largest, QUICK_LARGEST)
    rows, stored_rows = (ours.whole_rows(n) for n in (scenarios, scenarios // STORED_SHARE))
    with tempfile.TemporaryDirectory() as folder, TwoDevices() as two_devices:
        setting = Setting(rows, stored_rows, Scratch(folder), two_devices)
        builders = {name: partial(build, setting=setting) for name, build in BUILDERS.items()}
        rounds = QUICK_ROUNDS if quick else harness.ROUNDS
        found = harness.measured(Suite(builders, AIMS, rounds, between=setting.scratch.empty))
    for record in found["rows"]:
        if record["name"].startswith(("store", "plain")):
            size = FIELDS * np.dtype(record["dtype"]).itemsize
            record["bytes_per_second"] = record["scenarios_per_second"] * size
    memory = [_memory(size) for size in SIZES if size <= largest]
    found["aims"].append(_memory_aim(memory))
    first = {
        f"first_{kind}": harness.medians(
            f"first chunk, {kind}",
            1 if quick else FIRST_ROUNDS,
            partial(fresh.measured, "first chunk", kind, "float64"),
        )
        for kind in fresh.FIRST_ROWS
    }
    facts = {
        "scenarios": rows * COLUMNS,
        "problem": {"law": LAW._asdict(), "loss": LOSSES, "input_tokens": DEMANDS},
        "tolerance": TOLERANCE,
    }
    rest = {"memory": memory, "first_chunk": first}
    return harness.header("sweep", quick, **facts) | found | rest


def _memory(size):
    progress(f"memory: {size:,} scenarios")
    # Square, so that no axis is long: a million values of one would count as well.
    side = round(math.sqrt(size))
    peaks = fresh.measured("sweep", side, "float64")
    return {"scenarios": side * side, "size": size} | peaks


def _memory_aim(memory):
    large, small, most = MEMORY_AIM
    peaks = {entry["size"]: entry["peak"] for entry in memory}
    value = peaks[large] / peaks[small] if {large, small} <= peaks.keys() else None
    row, against = f"peak memory of {large:,} scenarios", f"that of {small:,}"
    return harness.at_most(row, against, most, value)


CELLS: dict[str, report.Cell] = {
    "row": report.text("name"),
    "M/s": report.number("scenarios_per_second", ".4g", report.MILLION),
    "at best": lambda row: f"{row['scenarios'] / row['seconds']['min'] / report.MILLION:.4g}",
    "MB/s": report.number("bytes_per_second", ".4g", report.MILLION),
    "MB on disk": report.number("bytes_on_disk", ".4g", report.MILLION),
    "time": report.median,
    "ratio": report.number("ratio"),
    "to": report.text("against"),
    "off truth": report.off("truth"),
    "off ours": report.off("jaxscale"),
    "note": report.text("note"),
}
MEMORY_CELLS: dict[str, report.Cell] = {
    "scenarios": lambda entry: f"{entry['scenarios']:,}",
    "M/s": lambda entry: f"{entry['scenarios'] / entry['seconds'] / report.MILLION:.4g}",
    "time": report.time("seconds"),
    "before, MiB": report.number("ready", ".0f"),
    "peak, MiB": report.number("peak", ".0f"),
}
FIRST_CELLS: dict[str, report.Cell] = {
    "first chunk": report.text("kind"),
    "total": report.time("total"),
    "import": report.time("import"),
    "first call": report.time("first_call"),
    "of it XLA": report.time("compile"),
    "call again": report.time("call_again"),
}


def show(result: dict) -> None:
    """Print everything that a person wants to see of `result`."""
    caption = f"{result['scenarios']:,} scenarios, a quarter of them where they are written\n"
    first = [
        {"kind": kind.removeprefix("first_")} | times
        for kind, times in result["first_chunk"].items()
    ]
    tables = [
        report.of_records("N and D over a grid of losses and demands", CELLS, result["rows"]),
        report.of_records("A sweep that is reduced, float64", MEMORY_CELLS, result["memory"]),
        report.of_records("From the start of a process, float64", FIRST_CELLS, first),
    ]
    report.show(result, caption + "medians of interleaved rounds", tables)
