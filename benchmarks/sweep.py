"""`python -m benchmarks sweep`: a grid of plans reduced and stored, beside what else would do it.

The aims: moments at 0.9 of the speed of the bare solver, every other statistic at half of it, and
ten times that of xarray over dask, in memory that does not grow; stores at 0.7 of the speed of
plain writes that are compressed alike; 1e12 scenarios on one GPU in 12 s, or 50 s in float64.
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

import jaxscale as js
from benchmarks import (
    fresh,
    grid_truth,
    harness,
    machine,
    one_kernel,
    ours,
    peers,
    report,
    solve,
    sweep_checks,
)
from benchmarks.harness import (
    WRONG,
    Aim,
    Disagreement,
    Options,
    Row,
    Suite,
    Unavailable,
    need,
    progress,
    require_agreement,
)
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
LARGEST = 10**9
QUICK_SCENARIOS, QUICK_LARGEST, QUICK_ROUNDS = 2**17, 10**6, 2
SIZES = [10**6, 10**7, 10**8, 10**9, 10**10]
TRILLION = 10**12
DEVICE_SIZES = [10**power for power in range(3, 12)]
SIZE_SECONDS = 15.0  # a size that would take longer is left out
FIRST_ROUNDS = 3
ROWS_AT_ONCE = 1024  # of the grid, a million scenarios, where the solver alone gives the answers

FLOAT64, FLOAT32 = "float64", "float32"


def reduce(reducer: str, dtype: str) -> str:
    """Name of the row that gathers a statistic."""
    return f"{reducer} {dtype}"


def kernel(dtype: str) -> str:
    """Name of the row of the bare solver on this device."""
    return f"{'bare kernel' if ours.ON_CPU else 'bare Pallas kernel'} {dtype}"


MOMENTS = "Moments"
KERNEL, KERNEL32 = "bare kernel float64", "bare kernel float32"
PALLAS, PALLAS32 = "bare Pallas kernel float64", "bare Pallas kernel float32"
FLOOR, FLOOR32 = (solve.floor_of(dtype, summed=True) for dtype in (FLOAT64, FLOAT32))
STORE, STORE32 = "store float64", "store float32"
NUMPY, DASK = "NumPy, loop over chunks", "NumPy, xarray over dask"
PLAIN, PLAIN32 = "plain writes float64", "plain writes float32"
PACKED, PACKED32 = "plain writes float64, compressed", "plain writes float32, compressed"
KERNELS = {FLOAT64: (KERNEL, PALLAS), FLOAT32: (KERNEL32, PALLAS32)}

AIMS = [
    *(
        Aim(reduce(each, dtype), 0.9 if each == MOMENTS else 0.5, KERNELS[dtype])
        for each in sweep_checks.REDUCERS
        for dtype in KERNELS
    ),
    Aim(reduce(MOMENTS, FLOAT64), 10, (DASK,)),
    Aim(STORE, 0.7, (PACKED,)),
    Aim(STORE32, 0.7, (PACKED32,)),
]
MEMORY_AIM = 10**9, 10**7, 1.1  # of the first size, in units of that of the second
TRILLION_SECONDS = {FLOAT32: 12, FLOAT64: 50}
COMPILING_SECONDS = 3  # of a sweep on a GPU


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


def statistic(reducer: str, dtype: str, name: str, setting: Setting) -> Row:
    """A sweep that gathers a statistic of N and one of D."""
    shape = ours.grid_shape(setting.rows)
    reducers = [sweep_checks.REDUCERS[reducer](field) for field in ours.FIELDS]

    def check(answer: Any) -> dict:
        off = sweep_checks.off(name, reducer, dtype, shape, answer)
        return {"agreement": {"tolerance": TOLERANCE[dtype], "truth": off}, "ran": answer.ran}

    call = partial(ours.swept, reducers, *shape, dtype)
    return _row(name, call, check, setting.rows, dtype, "", kernel(dtype))


def sums(
    name: str, setting: Setting, *, call: Callable, note: str, dtype: str | None = None,
    packages: tuple[str, ...] = (),
) -> Row:  # fmt: skip
    """A row that gives the sums of N and of D over the grid."""
    need(*packages)
    arguments = (setting.rows, dtype) if dtype else (setting.rows,)
    dtype = dtype or FLOAT64

    def check(answer: tuple[float, float]) -> dict:
        means = grid_truth.means(setting.rows, COLUMNS, dtype).values()
        true = tuple(setting.rows * COLUMNS * mean for mean in means)
        off = require_agreement(name, answer, true, TOLERANCE[dtype])
        return {"agreement": {"tolerance": TOLERANCE[dtype], "truth": off}}

    return _row(name, partial(call, *arguments), check, setting.rows, dtype, note, kernel(dtype))


def floor(name: str, setting: Setting) -> Row:
    """The floor of `solve`, on this grid."""
    if name not in solve.BUILDERS:
        raise Unavailable("no floor of this device")
    return solve.BUILDERS[name](name, setting.rows * COLUMNS)


def bare_pallas(name: str, setting: Setting, *, dtype: str) -> Row:
    """The fastest kernel there is on a GPU."""
    if ours.ON_CPU:
        raise Unavailable("a kernel of GPUs")
    note = f"{one_kernel.ROWS * COLUMNS:,} scenarios a program"
    return sums(name, setting, call=one_kernel.grid_sums, note=note, dtype=dtype)


def stored(
    name: str, setting: Setting, *, note: str = "until it is on the disk", dtype: str = FLOAT64,
    against: str,
) -> Row:  # fmt: skip
    """A row that sweeps into a store."""
    need("xarray", "zarr", "tensorstore")

    def write(path: str) -> None:
        ours.swept_store(path, setting.stored_rows, dtype)

    check = partial(_check_store, name, dtype, setting)
    return _written(name, setting, write, check, dtype, note, against)


def plain(
    name: str, setting: Setting, *, note: str = "one file, one fsync", dtype: str = FLOAT64,
    against: str = "", write: Callable = peers.write, packages: tuple[str, ...] = (),
) -> Row:  # fmt: skip
    """A row that writes the arrays themselves."""
    need(*packages)
    arrays = true_arrays(setting.stored_rows, dtype)

    def check(_: str) -> dict:
        return {"agreement": _agreement(dtype, setting.stored_rows)}

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
    least = solve.floor_of(dtype, summed=True)
    return Row(name, call, check, rows * COLUMNS, facts, against, least)


bare = partial(sums, call=ours.grid_sums, note=f"chunks of {ours.CHUNK:,}")
packed = partial(
    plain, write=peers.write_compressed, packages=("numcodecs",), note="compressed as the store is"
)
# In the order of what to know first, if time should run out.
BUILDERS: dict[str, Callable[[str, Setting], Row]] = {
    FLOOR: floor,
    FLOOR32: floor,
    KERNEL: partial(bare, dtype=FLOAT64),
    KERNEL32: partial(bare, dtype=FLOAT32),
    PALLAS: partial(bare_pallas, dtype=FLOAT64),
    PALLAS32: partial(bare_pallas, dtype=FLOAT32),
    **{
        reduce(reducer, dtype): partial(statistic, reducer, dtype)
        for reducer in sweep_checks.REDUCERS
        for dtype in (FLOAT64, FLOAT32)
    },
    NUMPY: partial(
        sums, call=peers.numpy_sums, packages=("numpy",), note=f"chunks of {peers.NUMPY_CHUNK:,}"
    ),
    DASK: partial(
        sums, call=peers.dask_sums, packages=("dask", "xarray"),
        note=f"chunks of {peers.DASK_CHUNK:,}",
    ),
    STORE: partial(stored, against=PACKED),
    STORE32: partial(stored, dtype=FLOAT32, against=PACKED32),
    PLAIN: plain,
    PLAIN32: partial(plain, dtype=FLOAT32),
    PACKED: partial(packed, against=PLAIN),
    PACKED32: partial(packed, dtype=FLOAT32, against=PLAIN32),
}  # fmt: skip


# --- Agreement of what is written ------------------------------------------------------------


def _check_store(name: str, dtype: str, setting: Setting, path: str) -> dict:
    import xarray

    with xarray.open_zarr(path, consolidated=False, chunks=None) as data:
        arrays = tuple(data[field].values.ravel() for field in ours.FIELDS)
    expected = true_arrays(setting.stored_rows, dtype)
    off = require_agreement(name, arrays, expected, TOLERANCE[dtype])
    return {"agreement": _agreement(dtype, setting.stored_rows) | {"jaxscale": off}}


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


def _parts(rows: int, dtype: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    loss, demand = _axes(rows, dtype)
    for start in range(0, rows, ROWS_AT_ONCE):
        here = loss[start : start + ROWS_AT_ONCE, None]
        yield tuple(x.ravel() for x in jax.device_get(ours.params_and_tokens(here, demand)))


def _axes(rows, dtype):
    """The axes as a sweep in `dtype` has them."""
    return tuple(axis.astype(dtype) for axis in grid_axes(rows))


# --- Sizes -----------------------------------------------------------------------------------


def _sizes(options: Options, largest: int, omitted: dict[str, str]) -> list[dict]:
    """Moments and statuses of square grids by dtype and size, as far as patience goes."""
    entries = []
    for dtype in (FLOAT32, FLOAT64):
        try:
            speed = math.inf
            for size in DEVICE_SIZES:
                if size > largest or size / speed > SIZE_SECONDS or options.is_over:
                    break
                entries.append(_size(size, dtype))
                speed = entries[-1]["scenarios"] / entries[-1]["seconds"]
            if options.trillion:
                size = largest if options.quick else TRILLION
                entries.append(_size(size, dtype) | {"asked": True})
        except Disagreement as wrong:
            omitted[f"sizes, {dtype}"] = f"{WRONG}{wrong}"
    return entries


def _size(size: int, dtype: str) -> dict:
    """The first call, and the next with its energy."""
    progress(f"size: {size:,} scenarios, {dtype}")
    side = round(math.sqrt(size))
    call = partial(ours.swept, ours.MOMENTS, side, side, dtype, ours.scenario_with_status)
    answer, first = harness.first_call(call)
    before = machine.joules()
    seconds, after = harness.seconds(call), machine.joules()
    off = sweep_checks.off(f"{size:,} scenarios, {dtype}", MOMENTS, dtype, (side, side), answer)
    counts = answer[js.StatusCounts()]
    if counts.ok != side * side:
        raise Disagreement(f"{size:,} scenarios, {dtype}: {counts.ok:,} are ok")
    return {
        "dtype": dtype,
        "scenarios": side * side,
        "seconds": seconds,
        **first,
        "joules": None if before is None or after is None else after - before,
        "peak_mib": machine.peak_mib(),
        "agreement": {"truth": off},
        "ran": answer.ran,
    }


def _trillion_aims(sizes):
    seconds = {entry["dtype"]: entry["seconds"] for entry in sizes if "asked" in entry}
    return [
        harness.at_most(f"1e12 scenarios on one GPU, {dtype}", "1 s", most, seconds[dtype])
        for dtype, most in TRILLION_SECONDS.items()
        if dtype in seconds
    ]


# --- The result ------------------------------------------------------------------------------


def run(options: Options) -> dict:
    """Everything measured, as one JSON object."""
    scenarios, largest = options.scenarios or SCENARIOS, options.largest or LARGEST
    if options.device and not options.largest:
        largest = DEVICE_SIZES[-1]
    if options.quick:
        scenarios, largest = min(scenarios, QUICK_SCENARIOS), min(largest, QUICK_LARGEST)
    written = min(scenarios // STORED_SHARE, MOST_STORED)
    rows, stored_rows = ours.whole_rows(scenarios), max(1, written // COLUMNS)
    # Rows take turns, and each keeps its program, as it does where it runs alone.
    job.PROGRAMS_KEPT = len(BUILDERS) + len(DEVICE_SIZES)
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(rows, stored_rows, Scratch(folder))
        builders = {name: partial(build, setting=setting) for name, build in BUILDERS.items()}
        left_out = options.left_out(BUILDERS)
        rounds = options.rounds(QUICK_ROUNDS)
        between = setting.scratch.empty
        suite = Suite(
            builders, AIMS, rounds, left_out=left_out, until=options.until, between=between
        )
        found = harness.measured(suite)
    for record in found["rows"]:
        if record["name"].startswith(("store", "plain")):
            size = len(ours.FIELDS) * np.dtype(record["dtype"]).itemsize
            record["bytes_per_second"] = record["scenarios_per_second"] * size
    sizes = _sizes(options, largest, found["omitted"])
    found["aims"] += _trillion_aims(sizes)
    memory, first = [], {}
    if not options.device:  # on one device a second process would find no memory left
        memory = [_memory(size) for size in SIZES if size <= largest]
        first = {f"first_{kind}": _first(kind, options.quick) for kind in fresh.FIRST_ROWS}
        found["aims"].append(_memory_aim(memory))
    if not ours.ON_CPU:
        found["aims"] += _compiling_aims(found["rows"])
    facts = {
        "scenarios": rows * COLUMNS,
        "problem": {"law": LAW._asdict(), "loss": LOSSES, "input_tokens": DEMANDS},
        "tolerance": TOLERANCE,
    }
    rest = {"sizes": sizes, "memory": memory, "first_chunk": first}
    return harness.header("sweep", options, **facts) | found | rest


def _first(kind, quick):
    measure = partial(fresh.measured, "first chunk", kind, FLOAT64)
    return harness.medians(f"first chunk, {kind}", 1 if quick else FIRST_ROUNDS, measure)


def _compiling_aims(records):
    for record in records:
        if record["name"] in (reduce(MOMENTS, FLOAT64), reduce(MOMENTS, FLOAT32)):
            parts = record["compile_seconds"] or {"lower": 0.0, "compile": 0.0}
            seconds = parts["lower"] + parts["compile"]
            row = f"compiling {record['name']}"
            yield harness.at_most(row, "1 s", COMPILING_SECONDS, seconds)


def _memory(size):
    progress(f"memory: {size:,} scenarios")
    # Square, so that no axis is long: a million values of one would count as well.
    side = round(math.sqrt(size))
    peaks = fresh.measured("sweep", side, FLOAT64)
    return {"scenarios": side * side, "size": size} | peaks


def _memory_aim(memory):
    large, small, most = MEMORY_AIM
    peaks = {entry["size"]: entry["peak"] for entry in memory}
    value = peaks[large] / peaks[small] if {large, small} <= peaks.keys() else None
    row, against = f"peak memory of {large:,} scenarios", f"that of {small:,}"
    return harness.at_most(row, against, most, value)


def _speed(entry):
    return f"{entry['scenarios'] / entry['seconds'] / report.MILLION:.4g}"


def _energy(entry):
    return f"{entry['joules'] / entry['scenarios'] / 1e-9:.3g}" if entry["joules"] else ""


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
SIZE_CELLS: dict[str, report.Cell] = {
    "scenarios": lambda entry: f"{entry['scenarios']:,}",
    "": report.text("dtype"),
    "M/s": _speed,
    "time": report.time("seconds"),
    "first call": report.time("first_call"),
    "lower": report.time("lower"),
    "compile": report.time("compile"),
    "peak so far, MiB": report.number("peak_mib", ".0f"),
    "nJ each": _energy,
    "off truth": report.off("truth"),
    "by": report.text("ran"),
}
MEMORY_CELLS: dict[str, report.Cell] = {
    "scenarios": lambda entry: f"{entry['scenarios']:,}",
    "M/s": _speed,
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
    caption = f"{result['scenarios']:,} scenarios, fewer where they are written\n"
    first = [
        {"kind": kind.removeprefix("first_")} | times
        for kind, times in result["first_chunk"].items()
    ]
    tables = [
        report.of_records("N and D over a grid of losses and demands", CELLS, result["rows"]),
        report.compiling(result),
        report.of_records("Moments and statuses by size", SIZE_CELLS, result.get("sizes", [])),
        report.of_records("In a process of its own, float64", MEMORY_CELLS, result["memory"]),
        report.of_records("From the start of a process, float64", FIRST_CELLS, first),
    ]
    report.show(result, caption + "medians of interleaved rounds", [t for t in tables if t.lines])
