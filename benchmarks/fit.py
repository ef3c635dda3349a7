"""`python -m benchmarks fit`: the law of 240 runs from 4,500 starts, and 4,000 resamples of it.

The aims are in `aims.py`: hundreds of times the speed of SciPy's least squares, which minimise
the same objective, a start after the other. What was measured is printed last.
"""

import math
import statistics
from dataclasses import replace

import numpy as np

import jaxscale as js
from benchmarks import aims, fit_fresh, fit_problem, fit_rows, fresh, machine, timing
from benchmarks.fit_peers import Ended
from benchmarks.fit_problem import MINIMUM, SUM_OF_MINIMA, TOLERANCE
from benchmarks.fit_rows import Row, Setting
from benchmarks.floor import Unavailable
from benchmarks.problem import Disagreement
from benchmarks.timing import progress

LARGEST = 10**5  # resamples; ten times as many take ten times as long
QUICK_ROUNDS = 1
RESAMPLES, RUNS = [10**4, 10**5, 10**6], [10**3, 10**4, 10**5]
FIRST_ROUNDS = 3
# Compiled for longer than the rest of a quick run takes.
NOT_QUICK = {
    fit_rows.OPTAX_MAP, fit_rows.OPTAX_VMAP, fit_rows.OPTIMISTIX_VMAP, fit_rows.OPTIMISTIX_AGAIN,
}  # fmt: skip


def run(largest: int, quick: bool) -> dict:
    """Everything measured, as one JSON object; Disagreement where a minimum is wrong."""
    given = fit_rows.setting(quick)
    records, omitted = _records(given, QUICK_ROUNDS if quick else timing.ROUNDS)
    first = _first_fits(1 if quick else FIRST_ROUNDS)
    return {
        "benchmark": "fit",
        "quick": quick,
        "problem": _problem(given),
        "tolerance": TOLERANCE,
        "versions": machine.versions(),
        "machine": machine.machine(),
        "commit": machine.commit(),
        "rows": list(records.values()),
        "omitted": omitted,
        "first_fit": first,
        "memory": [] if quick else _memory(largest),
        "aims": [
            *aims.measured(aims.FIT, records, speed="tasks_per_second"),
            aims.cold_fit(first["total"]),
        ],
    }


def _problem(given):
    published = fit_problem.is_published()
    return {
        "runs": fit_problem.source(),
        "published": published,
        "starts": len(given.starts),
        "resamples": len(given.resamples),
        "minimum": given.fit.objective,
        "sum_of_minima": _sum_check(given, published),
    }


def _sum_check(given, published):
    """Why the sum of the resamples' minima was not compared with a known one, if so."""
    if not published:
        return "not compared: the runs are simulated"
    if len(given.resamples) < fit_problem.RESAMPLES:
        return f"not compared: only {len(given.resamples)} of {fit_problem.RESAMPLES} resamples"
    return f"{SUM_OF_MINIMA} within {TOLERANCE:g}"


# --- Rows ------------------------------------------------------------------------------------


def _records(given, rounds):
    built, omitted = _build(given)
    minima = _minima(given)
    records = {row.name: _described(row) | _first_call(row, minima) for row in built}
    for row in built:
        if row.name in fit_rows.DONE_WHOLE and not given.quick:
            records[row.name]["whole"] = _done_whole(row, minima)
    times = timing.interleaved({row.name: row.call for row in built}, rounds)
    return {row.name: records[row.name] | _timed(row, times[row.name]) for row in built}, omitted


def _build(given):
    built, omitted = [], {}
    for name in fit_rows.BUILDERS:
        if given.quick and name in NOT_QUICK:
            omitted[name] = "left out of a quick run: it compiles for long"
            continue
        try:
            built.append(fit_rows.build(name, given))
        except Unavailable as reason:
            omitted[name] = str(reason)
    return built, omitted


def _described(row):
    return {
        "name": row.name,
        "task": row.task,
        "total": row.total,
        "timed": len(row.places),
        "extrapolated": len(row.places) < row.total,
        "note": row.note,
    }


def _first_call(row, minima):
    """What compiling takes, if anything is, and how right the answer is."""
    compiling, ended = [], []
    fresh.listen(compiling)
    first = timing.seconds(lambda: ended.append(row.call()))
    compiled = {"first_call": first, "compile": sum(compiling)} if row.compiles else None
    return {"compile_seconds": compiled, "agreement": _checked(row, ended[0], minima)}


def _done_whole(row, minima):
    """All of the task, once, by a row that is timed on a sample."""
    ended = []
    seconds = timing.seconds(lambda: ended.append(row.whole()))
    everything = replace(row, places=np.arange(row.total))
    return {"seconds": seconds} | _checked(everything, ended[0], minima)


def _timed(row, times):
    seconds = timing.summary(times)
    task = seconds["median"] * row.total / len(row.places)
    return {"seconds": seconds, "task_seconds": task, "tasks_per_second": 1 / task}


# --- Minima ----------------------------------------------------------------------------------


def _minima(given: Setting) -> dict[str, np.ndarray]:
    """Of each start and of each resample, by us; Disagreement unless they are the known ones."""
    resampled = fit_rows.bootstrap(fit_rows.OURS_BOOTSTRAP, given).call().objective
    if fit_problem.is_published():
        _require("js.fit", given.fit.objective, MINIMUM)
        if len(resampled) == fit_problem.RESAMPLES:
            _require("the sum of js.bootstrap", float(resampled.sum()), SUM_OF_MINIMA)
    return {
        fit_rows.STARTS: np.full(len(given.starts), given.fit.objective),
        fit_rows.RESAMPLES: resampled,
    }


def _checked(row: Row, answer: js.fitting.Fit | js.fitting.Bootstrap | Ended, minima: dict) -> dict:
    """How many starts or resamples reached the minimum, and how near the lowest came to it.

    Disagreement where ours misses it, or where a peer goes below: then it is no minimum.
    """
    progress(f"checked: {row.name}")
    minimum = minima[row.task][row.places]
    if isinstance(answer, js.fitting.Fit):
        _require(row.name, answer.objective, minimum[0])
        return _fit_agreement(answer, minimum[0])
    if isinstance(answer, js.fitting.Bootstrap):
        answer = Ended(answer.objective, answer.ok)
    objective = np.where(np.isfinite(answer.objective), answer.objective, math.inf)
    off = np.asarray(objective) / minimum - 1
    if off.min() < -TOLERANCE:
        raise Disagreement(f"{row.name}: {-off.min():.1e} below our minimum, relative")
    return {
        "reached": int((off <= TOLERANCE).sum()),
        "followed": len(off),
        "nearest": float(off.min()),
        "success": float(np.mean(answer.success)),
    }


def _fit_agreement(fit, minimum):
    return {
        "reached": fit.search.reached,
        "followed": fit.search.kept,
        "nearest": fit.objective / minimum - 1,
        "success": float(fit.ok),
    }


def _require(name, found, known):
    off = abs(found / known - 1)
    if not off <= TOLERANCE:
        raise Disagreement(f"{name}: {found!r} is off {known!r} by {off:.1e}, relative")


# --- New processes ---------------------------------------------------------------------------


def _first_fits(rounds):
    """Medians over new processes."""
    found = []
    for done in range(rounds):
        progress(f"first fit: round {done + 1} of {rounds}")
        found.append(fit_fresh.first())
    medians = {part: statistics.median(each[part] for each in found) for part in found[0]}
    return medians | {"rounds": found}


def _memory(largest):
    sizes = [("resamples", count) for count in RESAMPLES if count <= largest]
    measured = []
    for kind, count in [*sizes, *(("runs", count) for count in RUNS)]:
        progress(f"memory: {count:,} {kind}")
        measured.append({"kind": kind, "count": count} | fit_fresh.memory(kind, count))
    return measured
