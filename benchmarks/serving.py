"""`python -m benchmarks serving`: serving as it was measured and as it is predicted, side by side.

Whole servers, the kernels of a layer and reductions between devices; then a sweep of decode steps
over models, devices, batches and contexts, whose rate stands beside that of plans in `sweep`; and
a million joint plans over seven counts of devices, beside plans of one price for all sizes. The
aims: servers of one device within 30 % of the prediction, a layer's matrices within 15 % in the
median, and joint plans at a tenth of the rate of the others. That one is out of reach so far: a
joint plan evaluates some 75 prices of serving, each of which takes longer than a whole plan of one
price.
"""

import statistics
from functools import partial
from typing import Any

import numpy as np

import jaxscale as js
from benchmarks import (
    harness,
    report,
    serving_kernels,
    serving_measured,
    serving_plans,
    serving_sweep,
)
from benchmarks.harness import Aim, Options, Row, Suite, require_agreement

SCENARIOS, QUICK_SCENARIOS, QUICK_ROUNDS = 2**22, 10**5, 1
DTYPES = "float64", "float32"
TOLERANCE = {"float64": 1e-9, "float32": 1e-3}  # of means, and of how many fit memory
PLANS, JOINT, FIXED = 10**6, "joint plans, float64", "plans of one price, float64"
AIMS = [Aim(JOINT, 0.1, (FIXED,))]
NOT_QUICK = JOINT, FIXED
COUNTS = 2, 4, 8  # devices of a node, of reductions
THROUGHPUT = serving_measured.TENSORRT, serving_measured.ONE_DEVICE
SERVER_ERROR, KERNEL_ERROR = 0.3, 0.15


def run(options: Options) -> dict:
    """Everything measured, as one JSON object."""
    grid = serving_sweep.space(
        options.scenarios or (QUICK_SCENARIOS if options.quick else SCENARIOS)
    )
    dtypes = DTYPES[:1] if options.quick else DTYPES
    rows = {f"decode steps, {dtype}": partial(_swept, grid, dtype) for dtype in dtypes}
    rows |= {
        FIXED: partial(_planned, serving_plans.fixed()),
        JOINT: partial(_planned, serving_plans.costs()),
    }
    left_out, rounds = options.left_out(rows, NOT_QUICK), options.rounds(QUICK_ROUNDS)
    suite = Suite(rows, AIMS, rounds, left_out=left_out, until=options.until)
    found = harness.measured(suite)
    servers = [
        {
            "source": row.case.source, "kind": row.case.kind, "what": row.case.what(),
            "measured": row.case.measured, "predicted": row.predicted, "unit": row.case.unit,
            "speed": row.speed,
        }
        for row in serving_measured.rows()
    ]  # fmt: skip
    kernels, reductions = [], []
    if serving_kernels.FOLDER.is_dir():
        kernels = [_kernels(device) for device in serving_kernels.FILES]
        reductions = [
            _reductions(device, count) for device in serving_kernels.FILES for count in COUNTS
        ]
    else:
        found["omitted"]["kernels"] = f"{serving_kernels.FOLDER} is absent"
    found["aims"] += [_servers_aim(servers), *map(_kernels_aim, kernels)]
    facts = {
        "scenarios": grid.size,
        "servers": servers,
        "sources": _sources(servers),
        "kernels": kernels,
        "reductions": reductions,
    }
    return harness.header("serving", options, **facts) | found


# --- Rows ------------------------------------------------------------------------------------


def _swept(grid: Any, dtype: str, name: str) -> Row:
    call = partial(serving_sweep.swept, grid, dtype)
    facts = {"dtype": dtype, "scenarios": grid.size}
    return Row(name, call, partial(checked, name, grid, dtype), grid.size, facts)


def _planned(prices: js.Costs, name: str) -> Row:
    loss, demand = serving_plans.scenarios(PLANS)
    size = loss.size * demand.input_tokens.size
    call = partial(serving_plans.solve, PLANS, prices)
    check = partial(serving_plans.checked, name, PLANS, prices)
    return Row(name, call, check, size, {"dtype": "float64", "scenarios": size}, against=FIXED)


def checked(name: str, grid: Any, dtype: str, answer: Any) -> dict:
    """The largest error of a mean against plain calls; Disagreement where it is too large."""
    truth = serving_sweep.called(grid)
    ok = truth["status"] == 0
    means = tuple(answer[js.Moments(field)].mean for field in serving_sweep.FIELDS)
    expected = tuple(truth[field][ok].mean() for field in serving_sweep.FIELDS)
    served = float(answer[js.StatusCounts()].ok)
    off = require_agreement(name, (*means, served), (*expected, float(ok.sum())), TOLERANCE[dtype])
    return {"agreement": {"truth": off}, "solved": served / grid.size}


# --- What was measured by others --------------------------------------------------------------


def _sources(servers: list[dict]) -> list[dict]:
    """Median and range of measured speed over predicted, by source and kind."""
    groups: dict[tuple[str, str], list[float]] = {}
    for row in servers:
        groups.setdefault((row["source"], row["kind"]), []).append(row["speed"])
    return [
        {
            "source": source, "kind": kind, "rows": len(speeds),
            "median": statistics.median(speeds), "least": min(speeds), "greatest": max(speeds),
        }
        for (source, kind), speeds in groups.items()
    ]  # fmt: skip


def _servers_aim(servers: list[dict]) -> dict:
    speeds = [row["speed"] for row in servers if (row["source"], row["kind"]) == THROUGHPUT]
    worst = max(abs(speed - 1) for speed in speeds)
    return harness.at_most("error of servers of one device", "the prediction", SERVER_ERROR, worst)


def _kernels_aim(kernels: dict) -> dict:
    row = f"median error of a layer, {kernels['device']}"
    return harness.at_most(row, "its time", KERNEL_ERROR, kernels["median_error"])


def _kernels(device: str) -> dict:
    measured = serving_kernels.kernels(device)
    ratio = measured.predicted() / measured.seconds
    return {
        "device": device,
        "kernels": len(ratio),
        "median_error": float(np.median(np.abs(ratio - 1))),
        "median_error_by_devices": {
            f"{count:g}": float(np.median(np.abs(ratio[measured.devices == count] - 1)))
            for count in np.unique(measured.devices)
        },
        "median": float(np.median(1 / ratio)),
        "fit": measured.fit()._asdict(),
    }


def _reductions(device: str, count: int) -> dict:
    measured = serving_kernels.reductions(device, count)
    speeds = measured.predicted / measured.seconds
    return {
        "device": device,
        "count": count,
        "median_error": measured.median_error(),
        "median": float(np.median(speeds)),
        "least": float(speeds.min()),
        "greatest": float(speeds.max()),
    }


# --- The report -------------------------------------------------------------------------------

RANGE: dict[str, report.Cell] = {
    "median": report.number("median", ".2f"),
    "least": report.number("least", ".2f"),
    "greatest": report.number("greatest", ".2f"),
}


def _value(key: str) -> report.Cell:
    def cell(row: dict) -> str:
        return report.duration(row[key]) if row["unit"] == "s" else f"{row[key]:,.0f} tok/s"

    return cell


SERVERS: dict[str, report.Cell] = {
    "server": report.text("what"),
    "kind": report.text("kind"),
    "measured": _value("measured"),
    "predicted": _value("predicted"),
    "speed": report.number("speed", ".2f"),
}
SOURCES: dict[str, report.Cell] = {
    "source": report.text("source"),
    "kind": report.text("kind"),
    "rows": report.text("rows"),
    **RANGE,
}
KERNELS: dict[str, report.Cell] = {
    "device": report.text("device"),
    "kernels": report.text("kernels"),
    "median error": report.number("median_error", ".1%"),
    **{
        f"of {count}": lambda row, count=count: f"{row['median_error_by_devices'][count]:.1%}"
        for count in ("1", "2", "4", "8")
    },
    "fitted e_m": lambda row: f"{row['fit']['bandwidth_efficiency']:.3f}",
    "e_f": lambda row: f"{row['fit']['compute_efficiency']:.3f}",
    "fixed": lambda row: report.duration(row["fit"]["fixed_seconds"]),
    "rms": lambda row: f"{row['fit']['rms']:.1%}",
}
REDUCTIONS: dict[str, report.Cell] = {
    "device": report.text("device"),
    "devices": report.text("count"),
    "median error": report.number("median_error", ".1%"),
    **RANGE,
}
SWEEPS: dict[str, report.Cell] = {
    "sweep": report.text("name"),
    "scenarios": report.number("scenarios", ",.0f"),
    "M/s": report.number("scenarios_per_second", unit=report.MILLION),
    "time": report.median,
    "served": report.number("solved", ".1%"),
    "off": report.off("truth"),
    "first call": report.time("first_call"),
}
PLAN_RATES: dict[str, report.Cell] = {
    "plans": report.text("name"),
    "scenarios": report.number("scenarios", ",.0f"),
    "M/s": report.number("scenarios_per_second", ".3g", unit=report.MILLION),
    "of the other": report.number("ratio", ".3g"),
    "time": report.median,
    "off": report.off("truth"),
    "first call": report.time("first_call"),
}


def show(result: dict) -> None:
    """Print everything that a person wants to see of `result`."""
    rows = result["rows"]
    plans = [row for row in rows if row["name"] in (JOINT, FIXED)]
    tables = [
        report.of_records("Servers; speed is measured over predicted", SERVERS, result["servers"]),
        report.of_records("Sources", SOURCES, result["sources"]),
        report.of_records("Matrices of a layer, defaults and fits", KERNELS, result["kernels"]),
        report.of_records("All-reduces in a node, defaults", REDUCTIONS, result["reductions"]),
        report.of_records("Decode steps in a sweep", SWEEPS, [x for x in rows if x not in plans]),
        report.of_records("Joint plans, in one call", PLAN_RATES, plans),
    ]
    report.show(result, "defaults of js.serving.Deployment, fitted to none of the servers", tables)
