"""`python -m benchmarks sweep`: a grid of plans reduced and stored, beside what else would do it.

The aims: moments at 0.9 of the speed of the bare solver, every other statistic at half of it, and
ten times that of xarray over dask, in memory that does not grow; stores at 0.7 of the speed of
plain writes that are compressed alike; 1e12 scenarios on one GPU in 12 s, or 50 s in float64.
"""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks import (
    fresh,
    grid_truth,
    harness,
    one_kernel,
    ours,
    peers,
    report,
    solve,
    sweep_checks,
    sweep_sizes,
)
from benchmarks.harness import Aim, Options, Row, Suite, Unavailable, need, require_agreement
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
from jaxscale.sweeping import job

SCENARIOS = 2**26 if ours.ON_CPU else 2**32
STORED_SHARE, MOST_STORED = 4, 2**24  # of these a quarter is written, which takes as long
LARGEST = 10**9 if ours.ON_CPU else sweep_sizes.SIZES[-1]
QUICK_SCENARIOS, QUICK_LARGEST, QUICK_ROUNDS = 2**17, 10**6, 2
FIRST_ROUNDS = 3
COMPILING_SECONDS = 3  # of a sweep on a GPU
SIZES_SECONDS = 35.0  # of a run of the device, kept for the cost against size

DTYPES = "float64", "float32"
MOMENTS, STORE, PLAIN, PACKED = "Moments", "store", "plain writes", "compressed writes"
KERNEL, PALLAS = "bare kernel", "bare Pallas kernel"
NUMPY, DASK = "NumPy, loop over chunks", "NumPy, xarray over dask"


def of(kind: str, dtype: str) -> str:
    """Name of the row of a kind in a dtype."""
    return f"{kind} {dtype}"


def reducer_aim(kind: str, dtype: str) -> Aim:
    """The aim of a reducer, against the fastest kernel that only sums."""
    share = 0.9 if kind == MOMENTS else 0.5
    return Aim(of(kind, dtype), share, (of(KERNEL, dtype), of(PALLAS, dtype)))


AIMS = [
    *(reducer_aim(kind, dtype) for kind in sweep_checks.REDUCERS for dtype in DTYPES),
    Aim(of(MOMENTS, "float64"), 10, (DASK,)),
    *(Aim(of(STORE, dtype), 0.7, (of(PACKED, dtype),)) for dtype in DTYPES),
]


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

    rows: int  # of the grid whose statistics are taken
    stored_rows: int  # of the grid that is written
    scratch: Scratch


def statistic(kind: str, dtype: str, name: str, setting: Setting) -> Row:
    """A sweep that gathers a statistic of N and one of D."""
    shape = ours.grid_shape(setting.rows)
    reducers = [sweep_checks.REDUCERS[kind](field) for field in ours.FIELDS]

    def check(answer: Any) -> dict:
        off = sweep_checks.off(name, kind, dtype, shape, answer)
        return {"agreement": {"tolerance": TOLERANCE[dtype], "truth": off}, "ran": answer.ran}

    return _row(name, partial(ours.swept, reducers, *shape, dtype), check, setting.rows, dtype, "")


def sums(
    call: Callable, note: str, packages: tuple[str, ...], dtype: str, name: str, setting: Setting
) -> Row:
    """A row that gives the sums of N and of D over the grid, in float64 where it has packages."""
    need(*packages)
    arguments = (setting.rows,) if packages else (setting.rows, dtype)

    def check(answer: tuple[float, float]) -> dict:
        means = grid_truth.means(setting.rows, COLUMNS, dtype).values()
        true = tuple(setting.rows * COLUMNS * mean for mean in means)
        off = require_agreement(name, answer, true, TOLERANCE[dtype])
        return {"agreement": {"tolerance": TOLERANCE[dtype], "truth": off}}

    return _row(name, partial(call, *arguments), check, setting.rows, dtype, note)


def pallas(dtype: str, name: str, setting: Setting) -> Row:
    """The fastest kernel there is on a GPU."""
    if ours.ON_CPU:
        raise Unavailable("a kernel of GPUs")
    note = f"{one_kernel.ROWS * COLUMNS:,} scenarios a program"
    return sums(one_kernel.grid_sums, note, (), dtype, name, setting)


def floor(name: str, setting: Setting) -> Row:
    """The floor of `solve`, on this grid."""
    if name not in solve.BUILDERS:
        raise Unavailable("no floor of this device")
    return solve.BUILDERS[name](name, setting.rows * COLUMNS)


def stored(dtype: str, name: str, setting: Setting) -> Row:
    """A row that sweeps into a store."""
    need("xarray", "zarr", "tensorstore")

    def write(path: str) -> None:
        ours.swept_store(path, setting.stored_rows, dtype)

    def check(path: str) -> dict:
        import xarray

        with xarray.open_zarr(path, consolidated=False, chunks=None) as data:
            arrays = tuple(data[field].values.ravel() for field in ours.FIELDS)
        expected = true_arrays(setting.stored_rows, dtype)
        off = require_agreement(name, arrays, expected, TOLERANCE[dtype])
        return {"agreement": _agreement(dtype, setting.stored_rows) | {"jaxscale": off}}

    note = "until it is on the disk"
    return _written(name, setting, write, check, dtype, note, of(PACKED, dtype))


def plain(
    write: Callable, note: str, packages: tuple[str, ...], against: str, dtype: str, name: str,
    setting: Setting,
) -> Row:  # fmt: skip
    """A row that writes the arrays themselves."""
    need(*packages)
    write = partial(write, true_arrays(setting.stored_rows, dtype))

    def check(_: str) -> dict:
        return {"agreement": _agreement(dtype, setting.stored_rows)}

    return _written(name, setting, write, check, dtype, note, against and of(against, dtype))


def _written(name, setting, write, check, dtype, note, against):
    def call():
        path = setting.scratch.new()
        write(path)
        return path

    def check_and_weigh(path):
        return check(path) | {"bytes_on_disk": _bytes_at(Path(path))}

    row = _row(name, call, check_and_weigh, setting.stored_rows, dtype, note, against)
    return replace(row, floor="")


def _bytes_at(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(each.stat().st_size for each in files if each.is_file())


def _row(name, call, check, rows, dtype, note, against=None):
    against = of(KERNEL if ours.ON_CPU else PALLAS, dtype) if against is None else against
    facts = {"dtype": dtype, "scenarios": rows * COLUMNS, "note": note}
    least = solve.floor_of(dtype, summed=True)
    return Row(name, call, check, rows * COLUMNS, facts, against * (against != name), least)


Builder = Callable[[str, Setting], Row]
# In the order of what to know first, if time should run out.
KINDS: dict[str, Callable[..., Row]] = {
    KERNEL: partial(sums, ours.grid_sums, f"chunks of {ours.CHUNK:,}", ()),
    PALLAS: pallas,
    **{kind: partial(statistic, kind) for kind in sweep_checks.REDUCERS},
    STORE: stored,
    PLAIN: partial(plain, peers.write, "one file, one fsync", (), ""),
    PACKED: partial(
        plain, peers.write_compressed, "compressed as the store is", ("numcodecs",), PLAIN
    ),
}
BUILDERS: dict[str, Builder] = {
    **{solve.floor_of(dtype, summed=True): floor for dtype in DTYPES},
    **{of(kind, dtype): partial(KINDS[kind], dtype) for kind in KINDS for dtype in DTYPES},
    NUMPY: partial(
        sums, peers.numpy_sums, f"chunks of {peers.NUMPY_CHUNK:,}", ("numpy",), "float64"
    ),
    DASK: partial(
        sums, peers.dask_sums, f"chunks of {peers.DASK_CHUNK:,}", ("dask", "xarray"), "float64"
    ),
}


# --- Agreement of what is written ------------------------------------------------------------


@lru_cache
def _agreement(dtype: str, rows: int) -> dict[str, float]:
    """Error of the solver against the truth, in a sample of the grid."""
    draw = np.random.default_rng(SEED)
    axes = (axis.astype(dtype) for axis in grid_axes(rows))
    inputs = tuple(axis[draw.integers(0, axis.size, CHECKED)] for axis in axes)
    pair, tolerance = jax.device_get(ours.params_and_tokens(*inputs)), TOLERANCE[dtype]
    off = require_agreement(f"solver, {dtype}", pair, true_plans(*inputs), tolerance)
    return {"tolerance": tolerance, "truth": off}


@lru_cache(maxsize=2)
def true_arrays(rows: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """N and D of every scenario of a grid, in order, by the solver alone."""
    loss, demand = (axis.astype(dtype) for axis in grid_axes(rows))
    answer = jax.device_get(ours.params_and_tokens(loss[:, None], demand))
    return tuple(x.ravel() for x in answer)


# --- The result ------------------------------------------------------------------------------


def run(options: Options) -> dict:
    """Everything measured, as one JSON object."""
    scenarios, largest = options.scenarios or SCENARIOS, options.largest or LARGEST
    if options.quick:
        scenarios, largest = min(scenarios, QUICK_SCENARIOS), min(largest, QUICK_LARGEST)
    written = min(scenarios // STORED_SHARE, MOST_STORED)
    rows, stored_rows = ours.whole_rows(scenarios), max(1, written // COLUMNS)
    # Rows take turns, and each keeps its program, as it does where it runs alone.
    job.PROGRAMS_KEPT = len(BUILDERS) + len(sweep_sizes.SIZES)
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(rows, stored_rows, Scratch(folder))
        suite = Suite(
            {name: partial(build, setting=setting) for name, build in BUILDERS.items()},
            AIMS,
            options.rounds(QUICK_ROUNDS),
            left_out=options.left_out(BUILDERS),
            until=options.until - SIZES_SECONDS,
            between=setting.scratch.empty,
        )
        found = harness.measured(suite)
    for record in found["rows"]:
        if "bytes_on_disk" in record:
            size = len(ours.FIELDS) * np.dtype(record["dtype"]).itemsize
            record["bytes_per_second"] = record["scenarios_per_second"] * size
    sizes = sweep_sizes.measured(options, largest, found["omitted"])
    found["aims"] += sweep_sizes.trillion_aims(sizes)
    memory, first = {}, {}
    if not options.device:
        memory = sweep_sizes.memory(largest)
        first = {f"first_{kind}": _first(kind, options) for kind in fresh.FIRST_ROWS}
        found["aims"].append(sweep_sizes.memory_aim(memory))
    if not ours.ON_CPU:
        found["aims"] += _compiling_aims(found["rows"])
    facts = {
        "scenarios": rows * COLUMNS,
        "problem": {"law": LAW._asdict(), "loss": LOSSES, "input_tokens": DEMANDS},
        "tolerance": TOLERANCE,
    }
    rest = {"sizes": sizes, "memory": memory, "first_chunk": first}
    return harness.header("sweep", options, **facts) | found | rest


def _first(kind, options):
    measure = partial(fresh.measured, "first chunk", kind, "float64")
    return harness.medians(f"first chunk, {kind}", 1 if options.quick else FIRST_ROUNDS, measure)


def _compiling_aims(records):
    for record in records:
        if record["name"].startswith(MOMENTS) and record["compile_seconds"]:
            seconds = sum(record["compile_seconds"][part] for part in ("lower", "compile"))
            row = f"compiling {record['name']}"
            yield harness.at_most(row, "1 s", COMPILING_SECONDS, seconds)


CELLS: dict[str, report.Cell] = {
    "row": report.text("name"),
    "M/s": report.number("scenarios_per_second", ".4g", report.MILLION),
    "at best": lambda row: f"{row['scenarios'] / row['seconds']['min'] / report.MILLION:.4g}",
    "MB/s": report.number("bytes_per_second", ".4g", report.MILLION),
    "MB on disk": report.number("bytes_on_disk", ".4g", report.MILLION),
    "time": report.median,
    "ratio": report.number("ratio"),
    "to": report.text("against"),
    "to floor": report.number("of_floor", ".2f"),
    "off truth": report.off("truth"),
    "note": lambda row: row.get("ran") or row["note"],
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
    caption = f"{result['scenarios']:,} scenarios, fewer where they are written\n"
    first = [
        {"kind": kind.removeprefix("first_")} | times
        for kind, times in result["first_chunk"].items()
    ]
    tables = [
        report.of_records("N and D over a grid of losses and demands", CELLS, result["rows"]),
        report.compiling(result),
        report.of_records("Moments and statuses by size", sweep_sizes.CELLS, result["sizes"]),
        report.of_records("From the start of a process, float64", FIRST_CELLS, first),
    ]
    report.show(result, caption + "medians of interleaved rounds", [t for t in tables if t.lines])
