"""`python -m benchmarks solve`: the cheapest plan for a loss, by jaxscale and by its peers.

The aims: half the speed of the same algorithm in vectorised C, checks and statuses and all, and
several times the speed of what a user would write in Python.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np

from benchmarks import floor, fresh, harness, machine, ours, peers, report
from benchmarks.harness import Aim, Row, Suite, need, progress, require_agreement
from benchmarks.problem import (
    CHECKED,
    COLUMNS,
    DEMANDS,
    LAW,
    LOSSES,
    TOLERANCE,
    Grid,
    random_scenarios,
    true_plans,
)

SCENARIOS = 2**22
QUICK_SCENARIOS, QUICK_ROUNDS = 2**14, 2
LOOP_SAMPLE = 2000  # scenarios of the Python loop, which needs a minute for a million
BATCHES = [2**10, 2**13, 2**16, 2**19, 2**22, 2**25, 2**27]
MOST_ARRAY_SCENARIOS = 2**25
# Of whole arrays: two in, two out, and what XLA keeps between its loops.
BYTES_PER_SCENARIO = 20 * 8

OURS, OURS32 = "jaxscale float64", "jaxscale float32"
OURS_BLOCKS, OURS32_BLOCKS = "jaxscale float64, in blocks", "jaxscale float32, in blocks"
OURS_REDUCED, OURS32_REDUCED = "jaxscale float64, reduced", "jaxscale float32, reduced"
OURS_PLAN = "jaxscale float64, whole plan"
LOOP, ARRAY, FIND_ROOT = "scipy newton, loop", "scipy newton, array", "scipy find_root, array"
NUMPY, NUMPY_WHOLE = "NumPy by hand, in blocks", "NumPy by hand, whole arrays"
OPTIMISTIX = "optimistix, vmapped"
FLOOR, FLOOR32 = "C floor float64", "C floor float32"
FLOOR_REDUCED, FLOOR32_REDUCED = "C floor float64, reduced", "C floor float32, reduced"
BATCHED = OURS, FLOOR, OURS_REDUCED, FLOOR_REDUCED
QUICK_MEMORY = (OURS,)  # a process of its own takes seconds

AIMS = [
    Aim(OURS_BLOCKS, 10_000, (LOOP,)),
    Aim(OURS_BLOCKS, 15, (ARRAY, FIND_ROOT)),
    Aim(OURS_BLOCKS, 5, (NUMPY, NUMPY_WHOLE)),
    Aim(OURS_BLOCKS, 3, (OPTIMISTIX,)),
    Aim(OURS_BLOCKS, 0.5, (FLOOR,)),
    Aim(OURS_REDUCED, 1, (FLOOR_REDUCED,)),
    Aim(OURS32_BLOCKS, 2, (OURS_BLOCKS,)),
    Aim(OURS_BLOCKS, 8, (NUMPY, NUMPY_WHOLE), stretch=True),
    Aim(OURS_BLOCKS, 0.8, (FLOOR,), stretch=True),
]


# --- Rows ------------------------------------------------------------------------------------


def arrays_row(
    solve: Callable, name: str, count: int, dtype: str, note: str = "", on_device: bool = True
) -> Row:
    """A row that takes arrays of losses and demands, and gives N and D."""
    scenarios = random_scenarios(count, dtype)
    call = partial(solve, *(jax.device_put(scenarios) if on_device else scenarios))
    check = partial(_check_arrays, name, count, dtype)
    facts = {"dtype": dtype, "reduced": False, "scenarios": count, "note": note}
    return Row(name, call, check, count, facts, against=OURS)


def reduced_row(solve: Callable, name: str, count: int, dtype: str, note: str) -> Row:
    """A row that makes the scenarios of a grid, and gives the sums of N and of D."""
    call, check = partial(solve, count // COLUMNS), partial(_check_sums, name, count, dtype)
    facts = {"dtype": dtype, "reduced": True, "scenarios": count, "note": note}
    return Row(name, call, check, count, facts, against=OURS_REDUCED)


def ours_reduced(name: str, count: int, dtype: str) -> Row:
    solve = partial(ours.grid_sums, dtype=dtype)
    return reduced_row(solve, name, count, dtype, f"chunks of {min(count, ours.CHUNK):,}")


def ours_in_blocks(name: str, count: int, dtype: str) -> Row:
    note = f"lax.map, blocks of {min(count, ours.CHUNK):,}"
    return arrays_row(ours.params_and_tokens_in_blocks, name, count, dtype, note)


def _every_field(loss, demand):
    plan = jax.block_until_ready(ours.plans(loss, demand))
    return plan.params, plan.tokens


def loop(name: str, count: int, dtype: str) -> Row:
    need("scipy")
    sample = min(count, LOOP_SAMPLE)
    loss, demand = (x[:sample] for x in random_scenarios(count, dtype))
    check = partial(_check_arrays, name, count, dtype)
    note = f"a sample of {sample:,}"
    facts = {"dtype": dtype, "reduced": False, "scenarios": sample, "note": note}
    return Row(name, partial(peers.scipy_loop, loss, demand), check, sample, facts, against=OURS)


def host(solve: Callable, package: str, note: str = "") -> Callable[[str, int, str], Row]:
    """Builder of a row that takes NumPy arrays."""

    def build(name: str, count: int, dtype: str) -> Row:
        need(package)
        return arrays_row(solve, name, count, dtype, note, on_device=False)

    return build


def optimistix(name: str, count: int, dtype: str) -> Row:
    need("optimistix")
    return arrays_row(peers.optimistix_solver(), name, count, dtype)


def floor_row(name: str, count: int, dtype: str) -> Row:
    built = floor.load(dtype)
    note = f"{built.threads} threads"
    if "reduced" in name:
        row = reduced_row(built.reduced, name, count, dtype, note)
    else:
        row = arrays_row(built.materialised, name, count, dtype, note, on_device=False)
    row.facts.update(vector_calls=built.vector_calls, flags=built.flags, threads=built.threads)
    return row


BUILDERS: dict[str, tuple[Callable[[str, int, str], Row], str]] = {
    OURS: (partial(arrays_row, ours.params_and_tokens), "float64"),
    OURS32: (partial(arrays_row, ours.params_and_tokens), "float32"),
    OURS_BLOCKS: (ours_in_blocks, "float64"),
    OURS32_BLOCKS: (ours_in_blocks, "float32"),
    OURS_PLAN: (partial(arrays_row, _every_field, note="7 fields"), "float64"),
    LOOP: (loop, "float64"),
    ARRAY: (host(peers.scipy_array, "scipy"), "float64"),
    FIND_ROOT: (host(peers.scipy_find_root, "scipy"), "float64"),
    NUMPY_WHOLE: (host(peers.numpy_whole, "numpy", "one thread"), "float64"),
    NUMPY: (
        host(peers.numpy_blocks, "numpy", f"one thread, blocks of {peers.NUMPY_BLOCK:,}"),
        "float64",
    ),
    OPTIMISTIX: (optimistix, "float64"),
    FLOOR: (floor_row, "float64"),
    FLOOR32: (floor_row, "float32"),
    OURS_REDUCED: (ours_reduced, "float64"),
    OURS32_REDUCED: (ours_reduced, "float32"),
    FLOOR_REDUCED: (floor_row, "float64"),
    FLOOR32_REDUCED: (floor_row, "float32"),
}


def build(name: str, count: int) -> Row:
    """The row of that name for `count` scenarios, inputs in place; may raise Unavailable."""
    builder, dtype = BUILDERS[name]
    return builder(name, count, dtype)


# --- Agreement -------------------------------------------------------------------------------


def _check_arrays(name: str, count: int, dtype: str, answer: Any) -> dict:
    """How far N and D are from the truth, and from ours."""
    pair, tolerance = tuple(np.asarray(x) for x in answer), TOLERANCE[dtype]
    first = tuple(x[:CHECKED] for x in random_scenarios(count, dtype))
    ours_here = tuple(x[: len(pair[0])] for x in _our_arrays(count, dtype))
    agreement = {
        "tolerance": tolerance,
        "truth": require_agreement(
            name, tuple(x[:CHECKED] for x in pair), true_plans(*first), tolerance
        ),
        "jaxscale": require_agreement(name, pair, ours_here, tolerance),
        "solved": float(np.mean(np.isfinite(pair).all(axis=0))),
    }
    return {"agreement": agreement}


@lru_cache(maxsize=2)
def _our_arrays(count: int, dtype: str) -> tuple[np.ndarray, ...]:
    answer = ours.params_and_tokens(*random_scenarios(count, dtype))
    return tuple(np.asarray(x) for x in answer)


def _check_sums(name: str, count: int, dtype: str, sums: Any) -> dict:
    here = ours.params_and_tokens(*Grid(count // COLUMNS).arrays(dtype))
    expected = tuple(np.sum(np.asarray(x), dtype=np.float64) for x in here)
    off = require_agreement(name, sums, expected, TOLERANCE[dtype])
    return {"agreement": {"tolerance": TOLERANCE[dtype], "jaxscale": off}}


# --- The result ------------------------------------------------------------------------------


def run(scenarios: int, quick: bool) -> dict:
    """Everything measured, as one JSON object; Disagreement where an answer is wrong."""
    scenarios = min(scenarios, QUICK_SCENARIOS) if quick else scenarios
    count = ours.whole_rows(scenarios) * COLUMNS
    rows = {name: partial(build, count=count) for name in BUILDERS}
    found = harness.measured(Suite(rows, AIMS, QUICK_ROUNDS if quick else harness.ROUNDS))
    records = {record["name"]: record for record in found["rows"]}
    sizes = [size for size in BATCHES if size <= count] if quick else BATCHES
    batches = {name: _batches(name, sizes) for name in BATCHED if name in records}
    for name in QUICK_MEMORY if quick else records:
        progress(f"memory: {name}")
        records[name]["memory_mib"] = fresh.measured("row", name, count)
    facts = {
        "scenarios": count,
        "problem": {"law": LAW._asdict(), "loss": LOSSES, "input_tokens": DEMANDS},
        "tolerance": TOLERANCE,
        "chunk": ours.CHUNK,
    }
    return harness.header("solve", quick, **facts) | found | {"batches": batches}


def _batches(name, sizes):
    progress(f"batch sizes: {name}")
    return [
        {"scenarios": size} | harness.summary(harness.repeated(build(name, size).call))
        for size in sizes
        if "reduced" in name or size <= _most_array_scenarios()
    ]


def _most_array_scenarios():
    device_stats = jax.devices()[0].memory_stats() or {}
    free = device_stats.get("bytes_limit", machine.memory_bytes("MemAvailable"))
    return min(MOST_ARRAY_SCENARIOS, free // 2 // BYTES_PER_SCENARIO)


def _peak(record):
    memory = record.get("memory_mib")
    return f"{memory['peak']:.0f} (+{memory['peak'] - memory['ready']:.0f})" if memory else ""


CELLS: dict[str, report.Cell] = {
    "row": report.text("name"),
    "M/s": report.number("scenarios_per_second", ".4g", report.MILLION),
    "time": report.median,
    "speed to ours": report.number("ratio"),
    "off truth": report.off("truth"),
    "off ours": report.off("jaxscale"),
    "peak MiB": _peak,
    "note": report.text("note"),
}


def show(result: dict) -> None:
    """Print everything that a person wants to see of `result`."""
    caption = f"{result['scenarios']:,} scenarios, medians of interleaved rounds"
    tables = [
        report.of_records("Cheapest plan for a loss", CELLS, result["rows"]),
        report.compiling(result),
        _batch_table(result["batches"]),
    ]
    report.show(result, caption, tables)


def _batch_table(batches):
    each = {
        name: {entry["scenarios"]: entry["median"] / entry["scenarios"] * 1e9 for entry in batch}
        for name, batch in batches.items()
    }
    lines = [
        (f"{size:,}", *(f"{times[size]:.3g}" if size in times else "" for times in each.values()))
        for size in sorted(set().union(*each.values()))
    ]
    return report.Table("Nanoseconds a scenario, by batch size", ("scenarios", *each), lines)
