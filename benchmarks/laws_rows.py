"""The rows of the table of laws: what each is called, what it runs, and on which scenarios."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax

from benchmarks import laws_peers
from benchmarks.floor import Unavailable
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

LOOP_SAMPLE, QUICK_LOOP_SAMPLE = 300, 20
NESTED_SAMPLE, QUICK_NESTED_SAMPLE = 2**13, 2**9


@dataclass(frozen=True)
class Row:
    """One way to solve the scenarios of a case; `call` runs it to the end."""

    name: str
    case: str
    dtype: str
    scenarios: int  # the first of those that `total` draws
    total: int
    call: Callable[[], Any]
    answer: Callable[[Any], Answer]  # from what `call` returns
    size_tolerance: float
    note: str = ""


# --- Ours ------------------------------------------------------------------------------------


def ours(case: str, dtype: str, name: str, count: int, quick: bool) -> Row:
    del quick
    arguments = jax.device_put(scenarios(case, count, dtype))
    call = partial(_every_field, case, *arguments)
    asked = cases()[case]
    note = ", ".join(f"{key} {value:g}" for key, value in asked.fixed.items())
    return Row(name, case, dtype, count, count, call, _chosen, SIZE_TOLERANCE[dtype], note)


def _every_field(case, loss, demand):
    return jax.block_until_ready(solve(case, loss, demand))


def _chosen(plan):
    return Answer(plan.params, plan.tokens, plan.levers)


# --- Peers -----------------------------------------------------------------------------------


def loop(case: str, scalars: Callable, name: str, count: int, quick: bool) -> Row:
    _require("scipy")
    sample = min(count, QUICK_LOOP_SAMPLE if quick else LOOP_SAMPLE)
    search = partial(laws_peers.slsqp, scalars())
    return _host_row(case, search, name, count, sample, LOOSE_SIZES)


def golden(case: str, search: Callable, name: str, count: int, quick: bool) -> Row:
    del quick
    return _host_row(case, partial(laws_peers.in_blocks, search), name, count, count)


def nested(case: str, search: Callable, name: str, count: int, quick: bool) -> Row:
    sample = min(count, QUICK_NESTED_SAMPLE if quick else NESTED_SAMPLE)
    return _host_row(case, partial(laws_peers.in_blocks, search), name, count, sample)


def _host_row(case, search, name, count, sample, tolerance=SIZE_TOLERANCE["float64"]):
    call = partial(search, *(x[:sample] for x in scenarios(case, count, "float64")))
    note = f"a sample of {sample:,}, one thread" if sample < count else "one thread"
    return Row(name, case, "float64", sample, count, call, _as_it_is, tolerance, note)


def _as_it_is(answer):
    return answer


def _require(package):
    if importlib.util.find_spec(package) is None:
        raise Unavailable(f"{package} is not installed")


def in_float32(case: str) -> str:
    """Name of the row that solves a case in float32; in float64 it is that of the case."""
    return f"{case}, float32"


SLSQP, GOLDEN = "scipy SLSQP, Chinchilla", "NumPy golden, Chinchilla"
SLSQP_REPEATED, GOLDEN_REPEATED = "scipy SLSQP, muennighoff2023", "NumPy golden, muennighoff2023"
SLSQP_LEVER, GOLDEN_LEVER = "scipy SLSQP, tao2024", "NumPy golden, tao2024"

Builder = Callable[[str, int, bool], Row]
BUILDERS: dict[str, Builder] = {
    **{case: partial(ours, case, "float64") for case in cases()},
    **{in_float32(case): partial(ours, case, "float32") for case in cases()},
    SLSQP: partial(loop, ONLY_LOSS, laws_peers.chinchilla_scalars),
    GOLDEN: partial(golden, ONLY_LOSS, laws_peers.chinchilla_golden),
    SLSQP_REPEATED: partial(loop, MUENNIGHOFF, laws_peers.muennighoff_scalars),
    GOLDEN_REPEATED: partial(golden, MUENNIGHOFF, laws_peers.muennighoff_golden),
    SLSQP_LEVER: partial(loop, OVER_VOCABULARY, laws_peers.vocabulary_scalars),
    GOLDEN_LEVER: partial(nested, OVER_VOCABULARY, laws_peers.vocabulary_golden),
}
OURS = {*cases(), *map(in_float32, cases())}
# The rest of ours takes longer to compile than all of a quick run.
QUICK = {CHINCHILLA, ONLY_LOSS, in_float32(LOGS), *(set(BUILDERS) - OURS)}


def build(name: str, count: int, quick: bool) -> Row:
    """The row of that name for `count` scenarios, inputs in place; may raise Unavailable."""
    return BUILDERS[name](name, count, quick)
