"""`python -m benchmarks fit`: the law of 240 runs from 4,500 starts, and 4,000 resamples of it.

The aims: hundreds of times the speed of SciPy's least squares, which minimize the same objective,
one start after the other.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import jaxscale as js
from benchmarks import fit_peers, fit_problem, fresh, harness, report
from benchmarks.fit_peers import Ended
from benchmarks.fit_problem import MINIMUM, SUM_OF_MINIMA, TOLERANCE, Logs
from benchmarks.harness import Aim, Disagreement, Options, Row, Suite, need, progress

LARGEST = 10**5  # resamples; ten times as many take ten times as long
QUICK_ROUNDS, FIRST_ROUNDS = 1, 3
RESAMPLE_COUNTS, RUN_COUNTS = [10**4, 10**5, 10**6], [10**3, 10**4, 10**5]
STARTS, RESAMPLES = "starts", "resamples"
# One start in so many, evenly. No side of Hoffmann's grid, of 5 or 6 values, divides them, or a
# sample would lack most values of an exponent.
STRIDE, STRIDE_OF_SLOW = 31, 131
RESAMPLE_STRIDE = 20
QUICK_FACTOR, QUICK_RESAMPLES = 7, 400
COLD_SECONDS = 4.0  # of a new process, importing and compiling counted

OURS, OURS_HOFFMANN = "js.fit", "js.fit, Hoffmann's starts"
LEAST_SQUARES = "scipy least_squares"
MINPACK = "scipy MINPACK"
LBFGSB, LBFGSB_TIGHT = "scipy L-BFGS-B", "scipy L-BFGS-B, tight"
DIFFERENCES = "scipy L-BFGS-B, differences"
OPTAX_MAP, OPTAX_VMAP = "optax L-BFGS, lax.map", "optax L-BFGS, vmap"
OPTIMISTIX_MAP, OPTIMISTIX_VMAP = "optimistix LM, lax.map", "optimistix LM, vmap"
OURS_BOOTSTRAP = "js.bootstrap"
LEAST_SQUARES_AGAIN = "resamples, scipy least_squares"
MINPACK_AGAIN = "resamples, scipy MINPACK"
LBFGSB_AGAIN = "resamples, scipy L-BFGS-B, tight"
OPTIMISTIX_AGAIN = "resamples, optimistix LM, lax.map"

AIMS = [
    Aim(OURS, 200, (LEAST_SQUARES,)),
    Aim(OURS_HOFFMANN, 40, (LEAST_SQUARES,)),
    Aim(OURS_BOOTSTRAP, 20, (LEAST_SQUARES_AGAIN,)),
]
# Peers that the aims name are timed on a sample, and also do all of it, once.
DONE_WHOLE = LEAST_SQUARES, LEAST_SQUARES_AGAIN
# Compiled for longer than the rest of a quick run takes.
NOT_QUICK = {OPTAX_MAP, OPTAX_VMAP, OPTIMISTIX_VMAP, OPTIMISTIX_AGAIN}


class Setting(NamedTuple):
    """The runs, all starts and resamples, our fit, and the minimum of each start and resample."""

    logs: Logs
    starts: np.ndarray
    resamples: np.ndarray  # indices of the runs
    fit: js.fitting.Fit
    minima: dict[str, np.ndarray]  # of STARTS and RESAMPLES
    quick: bool


def setting(quick: bool) -> Setting:
    """The problem of `fit_problem`, with a tenth of its resamples where `quick`.

    Disagreement unless our minima are the known ones.
    """
    resamples = fit_problem.published_resamples(QUICK_RESAMPLES if quick else fit_problem.RESAMPLES)
    starts, fit = fit_problem.hoffmann_starts(), fit_problem.fit()
    resampled = fit_problem.bootstrap(fit, indices=resamples).objective
    if fit_problem.is_published():
        _require("js.fit", fit.objective, MINIMUM)
        if len(resampled) == fit_problem.RESAMPLES:
            _require("the sum of js.bootstrap", float(resampled.sum()), SUM_OF_MINIMA)
    minima = {STARTS: np.full(len(starts), fit.objective), RESAMPLES: resampled}
    return Setting(fit_problem.logs(), starts, resamples, fit, minima, quick)


# --- Rows ------------------------------------------------------------------------------------


def row(
    name: str, task: str, given: Setting, call: Callable[[], Any], total: int, note: str = "",
    indices: np.ndarray | None = None, whole: Callable[[], Ended] | None = None,
) -> Row:  # fmt: skip
    """A row that does a task, or a sample of its starts or resamples: those at `indices`."""
    timed = total if indices is None else len(indices)
    minima = given.minima[task][:total]
    check = partial(checked, name, minima if indices is None else minima[indices])

    def done_whole() -> dict:
        answer, first = harness.first_call(whole)
        return {"seconds": first["first_call"]} | checked(name, minima, answer)["agreement"]

    facts = {
        "task": task, "total": total, "timed": timed, "extrapolated": timed < total, "note": note,
    }  # fmt: skip
    needs_whole = whole and name in DONE_WHOLE and not given.quick
    return Row(name, call, check, timed / total, facts, whole=done_whole if needs_whole else None)


def default_fit(name: str, given: Setting) -> Row:
    return row(name, STARTS, given, fit_problem.fit, given.fit.search.starts, "its own starts")


def hoffmann_fit(name: str, given: Setting) -> Row:
    call = partial(js.fit, js.laws.Chinchilla, fit_problem.runs(), starts="hoffmann2022")
    return row(name, STARTS, given, call, len(given.starts), "the best go to the end")


def bootstrap(name: str, given: Setting) -> Row:
    call = partial(fit_problem.bootstrap, given.fit, indices=given.resamples)
    return row(name, RESAMPLES, given, call, len(given.resamples))


def starts(solver: Callable, stride: int, note: str, name: str, given: Setting) -> Row:
    """A peer from a sample of Hoffmann's starts; `solver` makes a function of starts."""
    need(name.partition(" ")[0])
    indices = _sample(given.starts, stride, given)
    solve = solver(given)
    call, whole = partial(solve, given.starts[indices]), partial(solve, given.starts)
    return row(name, STARTS, given, call, len(given.starts), note, indices, whole)


def resamples(solver: Callable, name: str, given: Setting) -> Row:
    """A peer on a sample of the resamples, from our fit; `solver` makes a function of indices."""
    need(name.split()[1])
    indices = _sample(given.resamples, RESAMPLE_STRIDE, given)
    solve = solver(given)
    call, whole = partial(solve, given.resamples[indices]), partial(solve, given.resamples)
    return row(name, RESAMPLES, given, call, len(given.resamples), "", indices, whole)


def _start(given):
    return fit_problem.in_peers_order(given.fit.coordinates)


def _sample(everything, stride, given):
    return np.arange(0, len(everything), stride * (QUICK_FACTOR if given.quick else 1))


def _scipy(solver: fit_peers.Solver, note: str = "") -> Callable[[str, Setting], Row]:
    def solve(given):
        return partial(fit_peers.each_start, solver, given.logs)

    return partial(starts, solve, STRIDE, note)


def _scipy_resamples(solver: fit_peers.Solver) -> Callable[[str, Setting], Row]:
    def solve(given):
        return partial(fit_peers.each_resample, solver, given.logs, _start(given))

    return partial(resamples, solve)


def _jax(solver: Callable, batched: Callable, stride: int) -> Callable[[str, Setting], Row]:
    return partial(starts, lambda given: solver(given.logs, batched), stride, "")


def _optimistix_resamples(given: Setting) -> Callable[[np.ndarray], Ended]:
    solve = fit_peers.optimistix_resamples(given.logs, _start(given), fit_peers.mapped)

    def of_indices(indices: np.ndarray) -> Ended:
        return solve(np.array([np.bincount(row, minlength=row.size) for row in indices], float))

    return of_indices


MAP, VMAP = fit_peers.mapped, fit_peers.vmapped
BUILDERS: dict[str, Callable[[str, Setting], Row]] = {
    OURS: default_fit,
    OURS_HOFFMANN: hoffmann_fit,
    LEAST_SQUARES: _scipy(fit_peers.least_squares, "one thread"),
    MINPACK: _scipy(fit_peers.minpack, "roots, centred"),
    LBFGSB: _scipy(fit_peers.lbfgsb, "SciPy's tolerances"),
    LBFGSB_TIGHT: _scipy(fit_peers.lbfgsb_tight),
    DIFFERENCES: _scipy(fit_peers.lbfgsb_differences, "as published"),
    OPTAX_MAP: _jax(fit_peers.optax_lbfgs, MAP, STRIDE),
    OPTAX_VMAP: _jax(fit_peers.optax_lbfgs, VMAP, STRIDE_OF_SLOW),
    OPTIMISTIX_MAP: _jax(fit_peers.optimistix_starts, MAP, STRIDE),
    OPTIMISTIX_VMAP: _jax(fit_peers.optimistix_starts, VMAP, STRIDE),
    OURS_BOOTSTRAP: bootstrap,
    LEAST_SQUARES_AGAIN: _scipy_resamples(fit_peers.least_squares),
    MINPACK_AGAIN: _scipy_resamples(fit_peers.minpack),
    LBFGSB_AGAIN: _scipy_resamples(fit_peers.lbfgsb_tight),
    OPTIMISTIX_AGAIN: partial(resamples, _optimistix_resamples),
}


# --- Agreement -------------------------------------------------------------------------------


def checked(
    name: str, minima: np.ndarray, answer: js.fitting.Fit | js.fitting.Bootstrap | Ended
) -> dict:
    """Number of starts or resamples that reached the minimum, and the lowest distance from it.

    Disagreement where ours misses it, or where a peer goes below: then it is no minimum.
    """
    if isinstance(answer, js.fitting.Fit):
        _require(name, answer.objective, minima[0])
        agreement = {
            "reached": answer.search.reached,
            "followed": answer.search.kept,
            "nearest": answer.objective / minima[0] - 1,
            "success": float(answer.ok),
        }
        return {"agreement": agreement}
    success = answer.ok if isinstance(answer, js.fitting.Bootstrap) else answer.success
    objective = np.where(np.isfinite(answer.objective), answer.objective, math.inf)
    off = objective / minima - 1
    if off.min() < -TOLERANCE:
        raise Disagreement(f"{name}: {-off.min():.1e} below our minimum, relative")
    agreement = {
        "reached": int((off <= TOLERANCE).sum()),
        "followed": len(off),
        "nearest": float(off.min()),
        "success": float(np.mean(success)),
    }
    return {"agreement": agreement}


def _require(name, value, known):
    off = abs(value / known - 1)
    if not off <= TOLERANCE:
        raise Disagreement(f"{name}: {value!r} is off {known!r} by {off:.1e}, relative")


# --- The result ------------------------------------------------------------------------------


def run(options: Options) -> dict:
    """Everything measured, as one JSON object; Disagreement where our minima are not known ones."""
    quick = options.quick
    given = setting(quick)
    rows = {name: partial(build, given=given) for name, build in BUILDERS.items()}
    left_out, rounds = options.left_out(BUILDERS, NOT_QUICK), options.rounds(QUICK_ROUNDS)
    suite = Suite(rows, AIMS, rounds, "tasks_per_second", left_out, options.until)
    found = harness.measured(suite)
    for record in found["rows"]:
        record["task_seconds"] = 1 / record["tasks_per_second"]
    first_rounds = 1 if quick or options.device else FIRST_ROUNDS
    first = harness.medians("first fit", first_rounds, partial(fresh.measured, "first fit"))
    cold = "a new process with its first js.fit", "1 s", COLD_SECONDS, first["total"]
    found["aims"].append(harness.at_most(*cold))
    memory = [] if quick or options.device else _memory(options.largest or LARGEST)
    facts = {"problem": _problem(given), "tolerance": TOLERANCE}
    return harness.header("fit", options, **facts) | found | {"first_fit": first, "memory": memory}


def _problem(given):
    return {
        "runs": fit_problem.source(),
        "published": fit_problem.is_published(),
        "starts": len(given.starts),
        "resamples": len(given.resamples),
        "minimum": given.fit.objective,
        "sum_of_minima": _sum_check(len(given.resamples)),
    }


def _sum_check(count):
    """Why the sum of the resamples' minima was not compared with a known one, if so."""
    if not fit_problem.is_published():
        return "not compared: the runs are simulated"
    if count < fit_problem.RESAMPLES:
        return f"not compared: only {count} of {fit_problem.RESAMPLES} resamples"
    return f"{SUM_OF_MINIMA} within {TOLERANCE:g}"


def _memory(largest):
    sizes = [("resamples", count) for count in RESAMPLE_COUNTS if count <= largest]
    entries = []
    for kind, count in [*sizes, *(("runs", count) for count in RUN_COUNTS)]:
        progress(f"memory: {count:,} {kind}")
        entries.append({"kind": kind, "count": count} | fresh.measured(kind, count))
    return entries


def _per_minimum(record):
    """Seconds for each start or resample that reached its minimum."""
    reached = record["agreement"]["reached"]
    return report.duration(record["seconds"]["median"] / reached) if reached else ""


CELLS: dict[str, report.Cell] = {
    "row": report.text("name"),
    "time": report.time("task_seconds"),
    "timed": lambda row: f"{row['timed']:,} of {row['total']:,}",
    "all, once": lambda row: report.duration(row["whole"]["seconds"]) if "whole" in row else "",
    "reached": lambda row: "{reached:,} of {followed:,}".format(**row["agreement"]),
    "nearest": report.off("nearest"),
    "success": lambda row: f"{row['agreement']['success']:.0%}",
    "each minimum": _per_minimum,
    "note": report.text("note"),
}
FIRST_PARTS = "total", "import", "first_call", "compile", "call_again"
FIRST_COLUMNS = "", "total", "import", "first call", "of it XLA", "call again"
MEMORY_CELLS: dict[str, report.Cell] = {
    "": lambda entry: f"{entry['count']:,} {entry['kind']}",
    "time": report.time("seconds"),
    "before, MiB": report.number("ready", ".0f"),
    "peak, MiB": report.number("peak", ".0f"),
}


def show(result: dict) -> None:
    """Print everything that a person wants to see of `result`."""
    problem, first = result["problem"], result["first_fit"]
    caption = f"{problem['runs']}; medians of interleaved rounds, of a sample scaled to all\n"
    caption += f"minimum {problem['minimum']!r}; sum of minima {problem['sum_of_minima']}"
    titles = {
        STARTS: f"A fit from {problem['starts']:,} starts",
        RESAMPLES: f"{problem['resamples']:,} resamples",
    }
    tables = [
        report.of_records(title, CELLS, [row for row in result["rows"] if row["task"] == task])
        for task, title in titles.items()
    ]
    fit = ("fit", *(report.duration(first[part]) for part in FIRST_PARTS))
    start, again = (report.duration(first[p]) for p in ("first_bootstrap", "bootstrap_again"))
    lines = [fit, ("bootstrap after it", "", "", start, "", again)]
    tables += [
        report.compiling(result),
        report.Table("From the start of a process", FIRST_COLUMNS, lines),
    ]
    if result["memory"]:
        tables.append(report.of_records("Peak memory", MEMORY_CELLS, result["memory"]))
    report.show(result, caption, tables)
