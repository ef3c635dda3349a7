"""`python -m benchmarks laws`: the cheapest plan by any law, and by what a user would write.

The aims: a law that is given by its loss alone is solved at a fifth of the speed of the closed
reduction, ten times as fast as golden section in NumPy and a thousand times as fast as a loop over
SLSQP.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

import jaxscale as js
from benchmarks import harness, laws_peers, laws_truth, machine, ours, report
from benchmarks.harness import (
    Aim,
    Disagreement,
    Options,
    Row,
    Suite,
    need,
    require_agreement,
)
from benchmarks.laws_problem import (
    CHINCHILLA,
    LOGS,
    MUENNIGHOFF,
    ONLY_LOSS,
    OVER_VOCABULARY,
    cases,
    scenarios,
    solve,
)
from benchmarks.laws_truth import LOOSE_SIZES, SIZE_TOLERANCE, Answer

# On a CPU several blocks, so that the cost of a call does not count beside the closed reduction.
SCENARIOS = 2**18 if ours.ON_CPU else machine.power_of_two_that_fits(2**22)
LEAST_SOLVED = 0.95  # of the scenarios, all of which have a plan
QUICK_SCENARIOS, QUICK_ROUNDS = 2**12, 1
LOOP_SAMPLE, QUICK_LOOP_SAMPLE = 300, 20
NESTED_SAMPLE, QUICK_NESTED_SAMPLE = 2**13, 2**9


def in_float32(case: str) -> str:
    """Name of the row that solves a case in float32; in float64 it is that of the case."""
    return f"{case}, float32"


SLSQP, GOLDEN = "scipy SLSQP, Chinchilla", "NumPy golden, Chinchilla"
SLSQP_REPEATED, GOLDEN_REPEATED = "scipy SLSQP, muennighoff2023", "NumPy golden, muennighoff2023"
SLSQP_LEVER, GOLDEN_LEVER = "scipy SLSQP, tao2024", "NumPy golden, tao2024"

AIMS = [
    Aim(ONLY_LOSS, 0.2, (CHINCHILLA,)),
    Aim(LOGS, 0.2, (CHINCHILLA,)),
    Aim(ONLY_LOSS, 1000, (SLSQP,)),
    Aim(MUENNIGHOFF, 1000, (SLSQP_REPEATED,)),
    Aim(OVER_VOCABULARY, 1000, (SLSQP_LEVER,)),
    Aim(ONLY_LOSS, 10, (GOLDEN,)),
    Aim(MUENNIGHOFF, 10, (GOLDEN_REPEATED,)),
    Aim(OVER_VOCABULARY, 10, (GOLDEN_LEVER,)),
]
CLOSED = {"float64": CHINCHILLA, "float32": in_float32(CHINCHILLA)}


class Setting(NamedTuple):
    """The inputs of all rows."""

    count: int  # scenarios of ours
    quick: bool
    known: dict[str, Answer]  # ours in float64, by case, as they are checked


Builder = Callable[[str, Setting], Row]


# --- Rows ------------------------------------------------------------------------------------


def ours_row(case: str, dtype: str, name: str, setting: Setting) -> Row:
    fixed = ", ".join(f"{lever} {value:g}" for lever, value in cases()[case].fixed.items())
    inputs = jax.device_put(scenarios(case, setting.count, dtype))
    call = partial(_every_field, case, *inputs)
    return _row(call, case, dtype, name, setting, setting.count, fixed, SIZE_TOLERANCE[dtype])


def _every_field(case, loss, demand):
    return jax.block_until_ready(solve(case, loss, demand))


def loop(case: str, scalars: Callable) -> Builder:
    """Builder of SLSQP on the first scenarios."""

    def build(name: str, setting: Setting) -> Row:
        need("scipy")
        sample = QUICK_LOOP_SAMPLE if setting.quick else LOOP_SAMPLE
        return _host(partial(laws_peers.slsqp, scalars()), case, name, setting, sample, LOOSE_SIZES)

    return build


def golden(case: str, search: Callable, samples: tuple[int, int] | None = None) -> Builder:
    """Builder of golden section on all scenarios, or on the first `samples`, quick or not."""

    def build(name: str, setting: Setting) -> Row:
        call = partial(laws_peers.in_blocks, search)
        sample = samples[setting.quick] if samples else setting.count
        return _host(call, case, name, setting, sample, SIZE_TOLERANCE["float64"])

    return build


def _host(search, case, name, setting, sample, tolerance):
    sample = min(setting.count, sample)
    call = partial(search, *(x[:sample] for x in scenarios(case, setting.count, "float64")))
    note = f"a sample of {sample:,}, one thread" if sample < setting.count else "one thread"
    return _row(call, case, "float64", name, setting, sample, note, tolerance)


def _row(call, case, dtype, name, setting, sample, note, tolerance):
    facts = {"case": case, "dtype": dtype, "scenarios": sample, "note": note}
    check = partial(checked, name, case, dtype, setting, tolerance)
    return Row(name, call, check, sample, facts, CLOSED[dtype])


# By case, and in both dtypes, so that a run that is short of time lacks chosen levers alone.
BUILDERS: dict[str, Builder] = {
    **{
        name: partial(ours_row, case, dtype)
        for case in cases()
        for name, dtype in ((case, "float64"), (in_float32(case), "float32"))
    },
    SLSQP: loop(ONLY_LOSS, laws_peers.chinchilla_scalars),
    GOLDEN: golden(ONLY_LOSS, laws_peers.chinchilla_golden),
    SLSQP_REPEATED: loop(MUENNIGHOFF, laws_peers.muennighoff_scalars),
    GOLDEN_REPEATED: golden(MUENNIGHOFF, laws_peers.muennighoff_golden),
    SLSQP_LEVER: loop(OVER_VOCABULARY, laws_peers.vocabulary_scalars),
    GOLDEN_LEVER: golden(
        OVER_VOCABULARY, laws_peers.vocabulary_golden, (NESTED_SAMPLE, QUICK_NESTED_SAMPLE)
    ),
}
# The others of ours take longer to compile than all of a quick run.
NOT_QUICK = {*cases(), *map(in_float32, cases())} - {CHINCHILLA, ONLY_LOSS, in_float32(LOGS)}


# --- Agreement -------------------------------------------------------------------------------


def checked(
    name: str, case: str, dtype: str, setting: Setting, tolerance: float, answer: Answer | js.Plan
) -> dict:
    """Errors of plans against the cheapest and against ours, and the share of scenarios with one.

    Disagreement where they are too far, or too few have a plan.
    """
    if isinstance(answer, js.Plan):
        answer = Answer(answer.params, answer.tokens, answer.levers)
    inputs = scenarios(case, setting.count, dtype)
    agreement = laws_truth.agreement(name, case, answer, *inputs, tolerance)
    solved = float(np.mean(np.isfinite(np.asarray(answer.params))))
    if solved < LEAST_SOLVED:
        raise Disagreement(f"{name}: only {solved:.1%} of the scenarios were solved")
    if name == case:
        setting.known[case] = answer
    elif case in setting.known and dtype == "float64":
        levers = sorted(answer.levers)  # those that were chosen; jaxscale gives all back
        pair = [
            (x.params, x.tokens, *map(x.levers.get, levers)) for x in (answer, setting.known[case])
        ]
        known = tuple(x[: len(pair[0][0])] for x in pair[1])
        agreement["jaxscale"] = require_agreement(name, pair[0], known, tolerance)
    return {"solved": solved, "agreement": agreement}


# --- The result ------------------------------------------------------------------------------


def run(options: Options) -> dict:
    """Everything measured, as one JSON object."""
    count = options.scenarios or SCENARIOS
    count = min(count, QUICK_SCENARIOS) if options.quick else count
    setting = Setting(count, options.quick, {})
    rows = {name: partial(build, setting=setting) for name, build in BUILDERS.items()}
    left_out, rounds = options.left_out(BUILDERS, NOT_QUICK), options.rounds(QUICK_ROUNDS)
    suite = Suite(rows, AIMS, rounds, left_out=left_out, until=options.until)
    found = harness.measured(suite)
    facts = {
        "scenarios": setting.count,
        "problem": {
            name: {
                "loss": case.losses,
                "input_tokens": case.demands,
                "levers": case.fixed,
                "over": case.chosen,
            }
            for name, case in cases().items()
        },
        "tolerance": {
            "sizes": laws_truth.SIZE_TOLERANCE,
            "cost": laws_truth.COST_TOLERANCE,
            "levers": laws_truth.LEVER_TOLERANCE,
        },
    }
    return harness.header("laws", options, **facts) | found


CELLS: dict[str, report.Cell] = {
    "row": report.text("name"),
    "M/s": report.number("scenarios_per_second", unit=report.MILLION),
    "time": report.median,
    "to closed": report.number("ratio", ".2g"),
    "solved": report.number("solved", ".2%"),
    "off size": report.off("sizes"),
    "off cost": report.off("cost"),
    "off lever": report.off("levers"),
    "off ours": report.off("jaxscale"),
    "first call": report.time("first_call"),
    "note": report.text("note"),
}


def show(result: dict) -> None:
    """Print everything that a person wants to see of `result`."""
    caption = f"{result['scenarios']:,} scenarios a call, medians of interleaved rounds"
    table = report.of_records("Cheapest plan for a loss, by any law", CELLS, result["rows"])
    report.show(result, caption, [table])
