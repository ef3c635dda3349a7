"""`python -m benchmarks solve`: the cheapest plan for a loss, by jaxscale and by its peers.

The aims are in `aims.py`: half the speed of the same algorithm in vectorised C, checks and
statuses and all, and several times what a user would write in Python. They are no results:
what was measured, and whether each aim is met, is the last thing printed.
"""

import jax
import numpy as np

from benchmarks import aims, floor, machine, memory, ours, rows, timing
from benchmarks.problem import (
    CHECKED,
    COLUMNS,
    DEMANDS,
    LAW,
    LOSSES,
    TOLERANCE,
    Grid,
    random_scenarios,
    require_agreement,
    true_plans,
)
from benchmarks.timing import progress

SCENARIOS = 2**22
QUICK_SCENARIOS, QUICK_ROUNDS = 2**14, 2
BATCHED = rows.OURS, rows.FLOOR, rows.OURS_REDUCED, rows.FLOOR_REDUCED
BATCHES = [2**10, 2**13, 2**16, 2**19, 2**22, 2**25, 2**27]
MOST_ARRAY_SCENARIOS = 2**25
# Of whole arrays: two in, two out, and what XLA keeps between its loops.
BYTES_PER_SCENARIO = 20 * 8
QUICK_MEMORY = (rows.OURS,)  # a process of its own takes seconds


def run(scenarios: int, quick: bool) -> dict:
    """Everything measured, as one JSON object; Disagreement where an answer is wrong."""
    scenarios = min(scenarios, QUICK_SCENARIOS) if quick else scenarios
    count = ours.whole_rows(scenarios) * COLUMNS
    built, omitted = _build(count)
    compiled = {row.name: timing.compile_seconds(*row.compiled) for row in built if row.compiled}
    agreement = _check(built)
    times = timing.interleaved(
        {row.name: row.call for row in built}, QUICK_ROUNDS if quick else timing.ROUNDS
    )
    records = {row.name: _record(row, times[row.name], agreement, compiled) for row in built}
    _add_ratios(records)
    del built
    sizes = [size for size in BATCHES if size <= count] if quick else BATCHES
    batches = {name: _batches(name, sizes) for name in BATCHED if name in records}
    for name in QUICK_MEMORY if quick else records:
        progress(f"memory: {name}")
        records[name]["memory_mib"] = memory.peak(name, count)
    return _header(count, quick) | {
        "rows": list(records.values()),
        "omitted": omitted,
        "batches": batches,
        "aims": aims.measured(aims.SOLVE, records),
    }


def _header(count, quick):
    return {
        "benchmark": "solve",
        "quick": quick,
        "scenarios": count,
        "problem": {"law": LAW._asdict(), "loss": LOSSES, "input_tokens": DEMANDS},
        "tolerance": TOLERANCE,
        "chunk": ours.CHUNK,
        "versions": machine.versions(),
        "machine": machine.machine(),
        "commit": machine.commit(),
    }


def _build(count):
    built, omitted = [], {}
    for name in rows.BUILDERS:
        try:
            built.append(rows.build(name, count))
        except floor.Unavailable as reason:
            omitted[name] = str(reason)
    return built, omitted


def _check(built):
    """How far each row is off; all rows are thereby run once before any is timed."""
    known = {}  # answers of jaxscale to the scenarios that the others of one dtype solve
    agreement = {}
    for row in built:
        progress(f"checking: {row.name}")
        answer = tuple(np.asarray(x) for x in row.call())
        check = _check_sums if row.reduced else _check_arrays
        agreement[row.name] = check(row, answer, known)
    return agreement


def _check_arrays(row, answer, known):
    tolerance = TOLERANCE[row.dtype]
    checked = min(CHECKED, row.scenarios)
    inputs = (x[:checked] for x in _scenarios(row, known))
    first = tuple(x[:checked] for x in answer)
    truth = require_agreement(row.name, first, true_plans(*inputs), tolerance)
    ours_here = tuple(x[: row.scenarios] for x in known.setdefault(row.dtype, answer))
    solved = float(np.mean(np.isfinite(answer[0]) & np.isfinite(answer[1])))
    return {
        "tolerance": tolerance,
        "truth": truth,
        "jaxscale": require_agreement(row.name, answer, ours_here, tolerance),
        "solved": solved,
    }


def _scenarios(row, known):
    # The loop has only the first of them, but they were drawn for the full count.
    count = len(known[row.dtype][0]) if row.dtype in known else row.scenarios
    return random_scenarios(count, row.dtype)


def _check_sums(row, sums, known):
    del known
    loss, demand = Grid(row.scenarios // COLUMNS).arrays(row.dtype)
    arrays = ours.params_and_tokens(loss, demand)
    expected = tuple(np.sum(np.asarray(x), dtype=np.float64) for x in arrays)
    tolerance = TOLERANCE[row.dtype]
    return {
        "tolerance": tolerance,
        "jaxscale": require_agreement(row.name, sums, expected, tolerance),
    }


def _record(row, times, agreement, compiled):
    seconds = timing.summary(times)
    return {
        "name": row.name,
        "dtype": row.dtype,
        "reduced": row.reduced,
        "scenarios": row.scenarios,
        "note": row.note,
        "seconds": seconds,
        "scenarios_per_second": row.scenarios / seconds["median"],
        "agreement": agreement[row.name],
        "compile_seconds": compiled.get(row.name),
        **row.details,
    }


def _add_ratios(records):
    """How many times as fast as jaxscale in float64, whole arrays or reduced, each row is."""
    for record in records.values():
        ours_here = records[rows.OURS_REDUCED if record["reduced"] else rows.OURS]
        record["ratio"] = record["scenarios_per_second"] / ours_here["scenarios_per_second"]


def _batches(name, sizes):
    progress(f"batch sizes: {name}")
    return [
        {"scenarios": size} | timing.summary(timing.repeated(rows.build(name, size).call))
        for size in sizes
        if "reduced" in name or size <= _most_array_scenarios()
    ]


def _most_array_scenarios():
    device_stats = jax.devices()[0].memory_stats() or {}
    free = device_stats.get("bytes_limit", machine.memory_bytes("MemAvailable"))
    return min(MOST_ARRAY_SCENARIOS, free // 2 // BYTES_PER_SCENARIO)
