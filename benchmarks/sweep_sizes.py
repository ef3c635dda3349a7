"""The cost of a sweep against its size: time, compiling, peak memory and energy."""

import math
from functools import partial

import jaxscale as js
from benchmarks import fresh, harness, machine, ours, report, sweep_checks
from benchmarks.harness import WRONG, Disagreement, Options, progress

SIZES = [10**power for power in (3, 5, 7, 9, 10, 11)]  # each compiles
TRILLION, TRILLION_SECONDS = 10**12, {"float32": 12, "float64": 50}
MOST_SECONDS = 15.0  # a size that would take longer is left out
MEMORY_SIZES, MEMORY_RATIO = (10**7, 10**9), 1.1  # peaks of the larger and the smaller, at most
COUNTER_SECONDS = 0.5  # a counter of energy moves on ten times a second
KIND = "Moments"


def measured(options: Options, largest: int, omitted: dict[str, str]) -> list[dict]:
    """Moments and statuses of square grids by dtype and size; wrong ones are named in `omitted`."""
    entries = []
    for dtype, speed in dict.fromkeys(TRILLION_SECONDS, math.inf).items():
        try:
            for size in SIZES:
                if size > largest or size / speed > MOST_SECONDS or options.is_over:
                    break
                entries.append(_measured(size, dtype))
                speed = entries[-1]["scenarios"] / entries[-1]["seconds"]
            if options.trillion:
                size = largest if options.quick else TRILLION
                entries.append(_measured(size, dtype) | {"is_trillion": True})
        except Disagreement as wrong:
            omitted[f"sizes in {dtype}"] = f"{WRONG}{wrong}"
    return entries


def _measured(size: int, dtype: str) -> dict:
    """The first call, and the next with its energy."""
    name, side = f"{size:,} scenarios, {dtype}", round(math.sqrt(size))
    progress(f"size: {name}")
    call = partial(ours.swept, ours.MOMENTS, side, side, dtype, ours.scenario_with_status)
    answer, first = harness.first_call(call)
    before = machine.joules()
    seconds, after = harness.seconds(call), machine.joules()
    is_counted = before is not None and after is not None and seconds > COUNTER_SECONDS
    off = sweep_checks.off(name, KIND, dtype, (side, side), answer)
    counts = answer[js.StatusCounts()]
    if counts.ok != side * side:
        raise Disagreement(f"{name}: {counts.ok:,} are ok")
    return {
        "dtype": dtype,
        "scenarios": side * side,
        "seconds": seconds,
        **first,
        "joules": after - before if is_counted else None,
        "peak_mib": machine.peak_mib(),
        "agreement": {"truth": off},
        "ran": answer.ran,
    }


def trillion_aims(entries: list[dict]) -> list[dict]:
    """The aims of 1e12 scenarios, where they were asked for."""
    return [
        harness.at_most(
            f"1e12 scenarios, {entry['dtype']}", "1 s", TRILLION_SECONDS[entry["dtype"]],
            entry["seconds"],
        )
        for entry in entries
        if "is_trillion" in entry and entry["scenarios"] >= TRILLION
    ]  # fmt: skip


def memory(largest: int) -> dict[str, float]:
    """Peak MiB by size, each in a process of its own, float64."""
    peaks = {}
    for size in MEMORY_SIZES:
        if size <= largest:
            progress(f"memory: {size:,} scenarios")
            side = round(math.sqrt(size))
            peaks[f"{size:,}"] = fresh.measured("sweep", side, "float64")["peak"]
    return peaks


def memory_aim(peaks: dict[str, float]) -> dict:
    """The aim that memory does not grow with size."""
    small, large = (f"{size:,}" for size in MEMORY_SIZES)
    value = peaks[large] / peaks[small] if {large, small} <= peaks.keys() else None
    row, against = f"peak memory of {large} scenarios", f"that of {small}"
    return harness.at_most(row, against, MEMORY_RATIO, value)


def _energy(entry):
    return f"{entry['joules'] / entry['scenarios'] / 1e-9:.3g}" if entry["joules"] else ""


CELLS: dict[str, report.Cell] = {
    "scenarios": lambda entry: f"{entry['scenarios']:,}",
    "": report.text("dtype"),
    "M/s": lambda entry: f"{entry['scenarios'] / entry['seconds'] / report.MILLION:.4g}",
    "time": report.time("seconds"),
    "first call": report.time("first_call"),
    "lower": report.time("lower"),
    "compile": report.time("compile"),
    "peak so far, MiB": report.number("peak_mib", ".0f"),
    "nJ each": _energy,
    "off truth": report.off("truth"),
    "by": report.text("ran"),
}
