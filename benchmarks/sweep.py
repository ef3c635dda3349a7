"""`python -m benchmarks sweep`: a grid of plans reduced and stored, beside what else would do it.

The aims are in `aims.py`: statistics at 0.8 of the speed of the bare solver and at ten times
that of xarray over dask, in memory that does not grow. What was measured is printed last.
"""

import math
import statistics
import tempfile

import numpy as np

from benchmarks import aims, fresh, machine, ours, sweep_rows, sweep_truth, timing
from benchmarks.floor import Unavailable
from benchmarks.problem import (
    COLUMNS,
    DEMANDS,
    LAW,
    LOSSES,
    TOLERANCE,
    require_agreement,
)
from benchmarks.sweep_rows import FIELDS, Row, Scratch, Setting
from benchmarks.timing import progress
from benchmarks.two_devices import TwoDevices

SCENARIOS = 2**26
STORED_SHARE = 4  # of these a quarter is written, which takes as long
LARGEST = 10**9
QUICK_SCENARIOS, QUICK_LARGEST, QUICK_ROUNDS = 2**17, 10**6, 2
SIZES = [10**6, 10**7, 10**8, 10**9, 10**10]
FIRST_ROUNDS = 3
MEMORY_AIM = 10**9, 10**7, 1.1  # of the first size, in units of that of the second


def run(scenarios: int, largest: int, quick: bool) -> dict:
    """Everything measured, as one JSON object; Disagreement where an answer is wrong."""
    if quick:
        scenarios, largest = min(scenarios, QUICK_SCENARIOS), min(largest, QUICK_LARGEST)
    rows = ours.whole_rows(scenarios)
    with tempfile.TemporaryDirectory() as folder, TwoDevices() as two_devices:
        setting = Setting(
            rows, ours.whole_rows(scenarios // STORED_SHARE), Scratch(folder), two_devices
        )
        records, omitted = _records(setting, QUICK_ROUNDS if quick else timing.ROUNDS)
    memory = _memory([size for size in SIZES if size <= largest])
    first = _first_chunks(1 if quick else FIRST_ROUNDS)
    return {
        "benchmark": "sweep",
        "quick": quick,
        "scenarios": rows * COLUMNS,
        "problem": {"law": LAW._asdict(), "loss": LOSSES, "input_tokens": DEMANDS},
        "tolerance": TOLERANCE,
        "versions": machine.versions(),
        "machine": machine.machine(),
        "commit": machine.commit(),
        "rows": list(records.values()),
        "omitted": omitted,
        "memory": memory,
        "first_chunk": first,
        "aims": [*aims.measured(aims.SWEEP, records), _memory_aim(memory)],
    }


def _records(setting, rounds):
    built, omitted = _build(setting)
    agreement = _check(built, setting)
    calls = {row.name: row.call for row in built}
    times = timing.interleaved(calls, rounds, between=setting.scratch.empty)
    records = {row.name: _record(row, setting, times[row.name], agreement) for row in built}
    for name, record in records.items():
        reference = records.get(sweep_rows.REFERENCES.get(name))
        if reference:
            ratio = record["scenarios_per_second"] / reference["scenarios_per_second"]
            record |= {"against": reference["name"], "ratio": ratio}
    return records, omitted


def _build(setting):
    built, omitted = [], {}
    for name in sweep_rows.BUILDERS:
        try:
            built.append(sweep_rows.build(name, setting))
        except Unavailable as reason:
            omitted[name] = str(reason)
    return built, omitted


def _check(built: list[Row], setting: Setting) -> dict[str, dict]:
    """How far each row is off; all rows are thereby run once before any is timed."""
    truth = {dtype: sweep_truth.truth(setting.rows, dtype) for dtype in TOLERANCE}
    sums = {dtype: sweep_truth.sums(setting.rows, dtype) for dtype in TOLERANCE}
    agreement = {}
    for row in built:
        progress(f"checking: {row.name}")
        found, tolerance = row.call(), TOLERANCE[row.dtype]
        agreement[row.name] = {"tolerance": tolerance, "truth": truth[row.dtype]}
        if row.kind != "bytes":
            expected = sums[row.dtype]
            if row.kind == "store":
                found = _arrays_at(found)
                expected = sweep_truth.stored(setting.stored_rows, row.dtype)
            off = require_agreement(row.name, found, expected, tolerance)
            agreement[row.name]["jaxscale"] = off
        setting.scratch.empty()
    return agreement


def _arrays_at(path):
    import xarray

    with xarray.open_zarr(path, consolidated=False, chunks=None) as found:
        return tuple(found[name].values.ravel() for name in ("params", "tokens"))


def _record(row, setting, times, agreement):
    seconds = timing.summary(times)
    count = (setting.rows if row.kind == "sums" else setting.stored_rows) * COLUMNS
    record = {
        "name": row.name,
        "dtype": row.dtype,
        "scenarios": count,
        "note": row.note,
        "seconds": seconds,
        "scenarios_per_second": count / seconds["median"],
        "agreement": agreement[row.name],
    }
    if row.kind != "sums":
        size = count * FIELDS * np.dtype(row.dtype).itemsize
        record["bytes_per_second"] = size / seconds["median"]
    return record


def _memory(sizes):
    measured = []
    for size in sizes:
        progress(f"memory: {size:,} scenarios")
        # Square, so that no axis is long: a million values of one would count as well.
        side = round(math.sqrt(size))
        measured.append({"scenarios": side * side, "size": size} | fresh.memory(side, "float64"))
    return measured


def _memory_aim(memory):
    large, small, most = MEMORY_AIM
    peaks = {entry["size"]: entry["peak"] for entry in memory}
    value = peaks[large] / peaks[small] if {large, small} <= peaks.keys() else None
    return {
        "row": f"peak memory of {large:,} scenarios",
        "against": f"that of {small:,}",
        "at_most": most,
        "stretch": False,
        "value": value,
        "met": None if value is None else value <= most,
    }


def _first_chunks(rounds):
    """Medians over new processes, the kinds in turn."""
    found = {kind: [] for kind in fresh.FIRST_ROWS}
    for done in range(rounds):
        progress(f"first chunk: round {done + 1} of {rounds}")
        for kind, times in found.items():
            times.append(fresh.first(kind, "float64"))
    return {
        kind: {part: statistics.median(each[part] for each in times) for part in times[0]}
        | {"rounds": times}
        for kind, times in found.items()
    }
