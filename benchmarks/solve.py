"""`python -m benchmarks solve`: the cheapest plan for a loss, by jaxscale and by its peers.

The aims: 0.7 of the speed of the same algorithm in vectorised C, checks and statuses and all, and
several times the speed of what a user would write in Python.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np

from benchmarks import floor, fresh, grid_truth, harness, machine, ours, peers, report
from benchmarks.harness import (
    Aim,
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
    TOLERANCE,
    random_scenarios,
    true_plans,
)

# Arrays of so many scenarios take a GPU a millisecond; those that are stored nowhere may be more.
SCENARIOS = 2**22 if ours.ON_CPU else machine.power_of_two_that_fits(2**26)
REDUCED_FACTOR = 1 if ours.ON_CPU else 2**6
QUICK_SCENARIOS, QUICK_ROUNDS = 2**14, 2
LOOP_SAMPLE = 2000  # scenarios of the Python loop, which needs a minute for a million
COMPARED = 2**22  # scenarios that are compared with ours, at most
BATCHES = [2**10, 2**13, 2**16, 2**19, 2**22, 2**25, 2**27]
# Fewer, because each compiles.
DEVICE_BATCHES = [2**10, 2**14, 2**18, 2**22, 2**26, 2**30, 2**34]
BATCH_SECONDS = 3.0  # a size that would take longer is left out
MOST_ARRAY_SCENARIOS = 2**25 if ours.ON_CPU else SCENARIOS
# Of whole arrays: two in, two out, and what XLA keeps between its loops.
BYTES_PER_SCENARIO = 20 * 8

OURS, OURS32 = "jaxscale float64", "jaxscale float32"
OURS_REDUCED, OURS32_REDUCED = "jaxscale float64, reduced", "jaxscale float32, reduced"
OURS_PLAN = "jaxscale float64, whole plan"
LOOP, ARRAY, FIND_ROOT = "scipy newton, loop", "scipy newton, array", "scipy find_root, array"
NUMPY, NUMPY_WHOLE = "NumPy by hand, in blocks", "NumPy by hand, whole arrays"
OPTIMISTIX = "optimistix, vmapped"
FLOOR, FLOOR32 = "C floor float64", "C floor float32"
FLOOR_REDUCED, FLOOR32_REDUCED = "C floor float64, reduced", "C floor float32, reduced"
CUDA, CUDA32 = "CUDA floor float64", "CUDA floor float32"
CUDA_REDUCED, CUDA32_REDUCED = "CUDA floor float64, reduced", "CUDA floor float32, reduced"
BATCHED = OURS, FLOOR, OURS_REDUCED, FLOOR_REDUCED
CHUNKS = "chunks of {chunk:,}"
QUICK_MEMORY = (OURS,)  # a process of its own takes seconds

AIMS = [
    Aim(OURS, 10_000, (LOOP,)),
    Aim(OURS, 15, (ARRAY, FIND_ROOT)),
    Aim(OURS, 5, (NUMPY, NUMPY_WHOLE)),
    Aim(OURS, 3, (OPTIMISTIX,)),
    Aim(OURS, 0.7, (FLOOR,)),
    Aim(OURS_REDUCED, 1, (FLOOR_REDUCED,)),
    Aim(OURS_PLAN, 1 / 1.4, (OURS,)),
    Aim(OURS32, 2, (OURS,)),
    Aim(OURS, 8, (NUMPY, NUMPY_WHOLE), stretch=True),
    Aim(OURS, 0.8, (FLOOR,), stretch=True),
]


# --- Rows ------------------------------------------------------------------------------------


def given(
    name: str, count: int, *, solve: Callable | None = None, built: Callable | None = None,
    dtype: str = "float64", note: str = "", package: str = "numpy", on_device: bool = False,
    sample: int | None = None,
) -> Row:  # fmt: skip
    """A row that takes arrays, or the first `sample` of them, and gives N and D.

    `built` makes its function where that needs the package.
    """
    need(package)
    scenarios = tuple(x[:sample] for x in random_scenarios(count, dtype))
    call = partial(solve or built(), *(jax.device_put(scenarios) if on_device else scenarios))
    return _row(
        name, call, partial(_check_arrays, name, count, dtype), dtype, note, len(scenarios[0])
    )


def reduced(
    name: str, count: int, *, solve: Callable, dtype: str = "float64", note: str = CHUNKS
) -> Row:
    """A row that makes the scenarios of a grid, and gives the sums of N and of D."""
    check = partial(_check_sums, name, count, dtype)
    return _row(name, partial(solve, count // COLUMNS), check, dtype, note, count)


def _row(name, call, check, dtype, note, count):
    note = note.format(count=count, chunk=min(count, ours.CHUNK))
    summed = "reduced" in name
    facts = {"dtype": dtype, "reduced": summed, "scenarios": count, "note": note}
    against = OURS_REDUCED if summed else OURS
    return Row(name, call, check, count, facts, against, floor_of(dtype, summed=summed))


def floor_of(dtype: str, *, summed: bool) -> str:
    """The row of the least that a solve can cost on this device."""
    return _here(f"C floor {dtype}{', reduced' if summed else ''}")


def _here(name: str) -> str:
    return name if ours.ON_CPU else name.replace("C floor", "CUDA floor")


def floor_row(name: str, count: int, *, dtype: str = "float64") -> Row:
    if not ours.ON_CPU:
        raise Unavailable("no floor of this device")
    built = floor.load(dtype)
    note = f"{built.threads} threads"
    if "reduced" in name:
        row = reduced(name, count, solve=built.reduced, dtype=dtype, note=note)
    else:
        row = given(name, count, solve=built.materialised, dtype=dtype, note=note)
    row.facts.update(vector_calls=built.vector_calls, flags=built.flags, threads=built.threads)
    return row


def cuda_row(name: str, count: int, *, dtype: str = "float64") -> Row:
    built = floor.load_cuda(dtype)
    if "reduced" in name:
        row = reduced(name, count, solve=built.reduced, dtype=dtype, note="one thread a scenario")
    else:
        row = arrays(
            name, count, solve=built.materialised, dtype=dtype, note="one thread a scenario"
        )
    row.facts.update(flags=built.flags)
    return row


def _every_field(loss, demand):
    plan = jax.block_until_ready(ours.plans(loss, demand))
    return plan.params, plan.tokens


arrays = partial(given, on_device=True)
ONE_THREAD, FLOAT32 = "one thread", "float32"
BUILDERS: dict[str, Callable[[str, int], Row]] = {
    OURS: partial(arrays, solve=ours.params_and_tokens),
    OURS32: partial(arrays, solve=ours.params_and_tokens, dtype=FLOAT32),
    OURS_PLAN: partial(arrays, solve=_every_field, note="8 fields"),
    LOOP: partial(
        given, solve=peers.scipy_loop, package="scipy", sample=LOOP_SAMPLE,
        note="a sample of {count:,}",
    ),
    ARRAY: partial(given, solve=peers.scipy_array, package="scipy"),
    FIND_ROOT: partial(given, solve=peers.scipy_find_root, package="scipy"),
    NUMPY_WHOLE: partial(given, solve=peers.numpy_whole, note=ONE_THREAD),
    NUMPY: partial(
        given, solve=peers.numpy_blocks, note=f"{ONE_THREAD}, blocks of {peers.NUMPY_BLOCK:,}"
    ),
    OPTIMISTIX: partial(arrays, built=peers.optimistix_solver, package="optimistix"),
    FLOOR: floor_row,
    FLOOR32: partial(floor_row, dtype=FLOAT32),
    OURS_REDUCED: partial(reduced, solve=partial(ours.grid_sums, dtype="float64")),
    OURS32_REDUCED: partial(reduced, solve=partial(ours.grid_sums, dtype=FLOAT32), dtype=FLOAT32),
    FLOOR_REDUCED: floor_row,
    FLOOR32_REDUCED: partial(floor_row, dtype=FLOAT32),
    CUDA: cuda_row,
    CUDA32: partial(cuda_row, dtype=FLOAT32),
    CUDA_REDUCED: cuda_row,
    CUDA32_REDUCED: partial(cuda_row, dtype=FLOAT32),
}  # fmt: skip


def build(name: str, count: int) -> Row:
    """The row of that name for `count` scenarios, inputs in place; may raise Unavailable."""
    return BUILDERS[name](name, count * REDUCED_FACTOR if "reduced" in name else count)


# --- Agreement -------------------------------------------------------------------------------


def _check_arrays(name: str, count: int, dtype: str, answer: Any) -> dict:
    """Errors of N and D against the truth, and against ours."""
    pair, tolerance = tuple(np.asarray(x) for x in answer), TOLERANCE[dtype]
    first = tuple(x[:CHECKED] for x in random_scenarios(count, dtype))
    every = slice(0, len(pair[0]), -(-len(pair[0]) // COMPARED))
    ours_here = tuple(x[every] for x in _our_arrays(count, dtype))
    agreement = {
        "tolerance": tolerance,
        "truth": require_agreement(
            name, tuple(x[:CHECKED] for x in pair), true_plans(*first), tolerance
        ),
        "jaxscale": require_agreement(name, tuple(x[every] for x in pair), ours_here, tolerance),
        "solved": float(np.mean(np.isfinite(pair).all(axis=0))),
    }
    return {"agreement": agreement}


@lru_cache(maxsize=2)
def _our_arrays(count: int, dtype: str) -> tuple[np.ndarray, ...]:
    answer = ours.params_and_tokens(*random_scenarios(count, dtype))
    return tuple(np.asarray(x) for x in answer)


def _check_sums(name: str, count: int, dtype: str, sums: Any) -> dict:
    means = grid_truth.means(count // COLUMNS, COLUMNS, dtype).values()
    expected = tuple(count * mean for mean in means)
    off = require_agreement(name, sums, expected, TOLERANCE[dtype])
    return {"agreement": {"tolerance": TOLERANCE[dtype], "truth": off}}


# --- The result ------------------------------------------------------------------------------


def run(options: Options) -> dict:
    """Everything measured, as one JSON object."""
    scenarios = options.scenarios or SCENARIOS
    scenarios = min(scenarios, QUICK_SCENARIOS) if options.quick else scenarios
    count = ours.whole_rows(scenarios) * COLUMNS
    rows = {name: partial(build, count=count) for name in BUILDERS}
    aims = [aim._replace(others=tuple(map(_here, aim.others))) for aim in AIMS]
    left_out = options.left_out(BUILDERS)
    suite = Suite(rows, aims, options.rounds(QUICK_ROUNDS), left_out=left_out, until=options.until)
    found = harness.measured(suite)
    records = {record["name"]: record for record in found["rows"]}
    least = (floor_of("float64", summed=summed) for summed in (False, True))
    batched = dict.fromkeys((*BATCHED, *least, OURS32, OURS32_REDUCED))
    batches = {name: _batches(name, count, options) for name in batched if name in records}
    # On one device a second process would find no memory left.
    for name in [] if options.device else QUICK_MEMORY if options.quick else records:
        progress(f"memory: {name}")
        records[name]["memory_mib"] = fresh.measured("row", name, count)
    facts = {
        "scenarios": count,
        "problem": {"law": LAW._asdict(), "loss": LOSSES, "input_tokens": DEMANDS},
        "tolerance": TOLERANCE,
        "chunk": ours.CHUNK,
        "peak_mib": machine.peak_mib(),
    }
    return harness.header("solve", options, **facts) | found | {"batches": batches}


def _batches(name, count, options):
    """Times by size, from small to large, as far as memory and patience go."""
    progress(f"batch sizes: {name}")
    entries = []
    for size in DEVICE_BATCHES if options.device else BATCHES:
        is_too_large = "reduced" not in name and size > _most_array_scenarios()
        if is_too_large or options.is_over or (options.quick and size > count):
            break
        if entries and size * entries[-1]["min"] / entries[-1]["scenarios"] > BATCH_SECONDS:
            break
        row = BUILDERS[name](name, size)
        entries.append({"scenarios": size} | harness.summary(harness.repeated(row.call)))
    return entries


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
    "to floor": report.number("of_floor", ".2f"),
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
