"""`python -m benchmarks laws`: the cheapest plan by any law, and by what a user would write.

The aims are in `aims.py`: a law that is given by its loss alone is solved at a fifth of the speed
of the closed reduction, ten times as fast as golden section in NumPy and a thousand times as
fast as a loop over SLSQP. What was measured is printed last.
"""

import numpy as np

from benchmarks import aims, laws_problem, laws_rows, laws_truth, machine, ours, timing
from benchmarks.floor import Unavailable
from benchmarks.laws_problem import CHINCHILLA, scenarios
from benchmarks.problem import Disagreement, require_agreement
from benchmarks.timing import progress

# On a CPU several blocks, so that the cost of a call does not count beside the closed reduction.
SCENARIOS = max(2**18, ours.CHUNK)
LEAST_SOLVED = 0.95  # of the scenarios, all of which have a plan
QUICK_SCENARIOS, QUICK_ROUNDS = 2**12, 1


def run(count: int, quick: bool) -> dict:
    """Everything measured, as one JSON object; Disagreement where an answer is wrong."""
    count = min(count, QUICK_SCENARIOS) if quick else count
    built, omitted = _build(count, quick)
    records = _checked(built)
    rounds = QUICK_ROUNDS if quick else timing.ROUNDS
    times = timing.interleaved({row.name: row.call for row in built}, rounds)
    for row in built:
        records[row.name] |= _timed(row, times[row.name])
    _add_ratios(records)
    return {
        "benchmark": "laws",
        "quick": quick,
        "scenarios": count,
        "problem": {name: _described(case) for name, case in laws_problem.cases().items()},
        "tolerance": {
            "sizes": laws_truth.SIZE_TOLERANCE,
            "cost": laws_truth.COST_TOLERANCE,
            "levers": laws_truth.LEVER_TOLERANCE,
        },
        "versions": machine.versions(),
        "machine": machine.machine(),
        "commit": machine.commit(),
        "rows": list(records.values()),
        "omitted": omitted,
        "aims": aims.measured(aims.LAWS, records),
    }


def _described(case):
    return {
        "loss": case.losses,
        "input_tokens": case.demands,
        "levers": case.fixed,
        "over": case.chosen,
    }


def _build(count, quick):
    built, omitted = [], {}
    for name in laws_rows.BUILDERS:
        if quick and name not in laws_rows.QUICK:
            omitted[name] = "left out of a quick run: it compiles for long"
            continue
        try:
            built.append(laws_rows.build(name, count, quick))
        except Unavailable as reason:
            omitted[name] = str(reason)
    return built, omitted


def _checked(built):
    """Each row's first call: how long it took, and how far its answers are off."""
    records, known = {}, {}  # answers of jaxscale to the cases that peers solve
    for row in built:
        progress(f"checked: {row.name}")
        returned = []
        first = timing.seconds(lambda row=row, kept=returned: kept.append(row.call()))
        answer = row.answer(returned[0])
        inputs = scenarios(row.case, row.total, row.dtype)
        off = laws_truth.agreement(row.name, row.case, answer, *inputs, row.size_tolerance)
        solved = _require_solved(row, answer)
        if row.name == row.case:
            known[row.case] = answer
        elif row.case in known and row.dtype == "float64":
            off["jaxscale"] = _off_ours(row, answer, known[row.case])
        records[row.name] = {
            "name": row.name,
            "case": row.case,
            "dtype": row.dtype,
            "scenarios": row.scenarios,
            "note": row.note,
            "first_call": first,
            "solved": solved,
            "agreement": off,
        }
    return records


def _require_solved(row, answer):
    """Share of the scenarios with a plan; Disagreement where too few have one."""
    solved = float(np.mean(np.isfinite(np.asarray(answer.params))))
    if solved < LEAST_SOLVED:
        raise Disagreement(f"{row.name}: only {solved:.1%} of the scenarios were solved")
    return solved


def _off_ours(row, answer, known):
    """Largest relative difference of any number from that of jaxscale, where it solved the case."""
    names = sorted(answer.levers)  # those that were chosen; jaxscale gives all back
    found, expected = (
        (each.params, each.tokens, *(each.levers[name] for name in names))
        for each in (answer, known)
    )
    expected = tuple(x[: row.scenarios] for x in expected)
    return require_agreement(row.name, found, expected, row.size_tolerance)


def _timed(row, times):
    seconds = timing.summary(times)
    return {"seconds": seconds, "scenarios_per_second": row.scenarios / seconds["median"]}


def _add_ratios(records):
    """How many times as fast as the closed reduction, in the same dtype, each row is."""
    for record in records.values():
        closed = {"float64": CHINCHILLA, "float32": laws_rows.in_float32(CHINCHILLA)}
        reference = records.get(closed[record["dtype"]])
        if reference:
            speeds = record["scenarios_per_second"], reference["scenarios_per_second"]
            record["ratio"] = speeds[0] / speeds[1]
