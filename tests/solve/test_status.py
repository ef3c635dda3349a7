"""What becomes of scenarios with bad values: a status, NaN, and nothing to their neighbours."""

import functools

import jax
import numpy as np
import pytest

import jaxscale as js
from jaxscale import Status
from solve import slopes
from solve.lanes import (
    BOUNDS,
    DTYPE,
    LAW,
    LOSS_FIRST,
    NUMBERS,
    TARGETS,
    TYPICAL,
    inputs,
    solve,
    solve_on_host,
    stacked,
)

FREE = {
    "min_params": 0.0,
    "max_params": np.inf,
    "min_tokens": 0.0,
    "max_tokens": np.inf,
    "max_tokens_per_param": np.inf,
}
MAY_BE_ZERO = {"E", "input_tokens", "output_tokens", "prefill", "decode", *BOUNDS}
MAX = float(np.finfo(DTYPE).max)


def statuses(plan) -> list[str]:
    return [Status(int(status)).name for status in np.ravel(plan.status)]


def host(plan) -> list[np.ndarray]:
    return [np.asarray(getattr(plan, name)) for name in NUMBERS]


# --- Each status -------------------------------------------------------------------------

# The free optimum of the typical scenario lies near 4e9 params and 1e12 tokens for both targets.
CASES = [
    ("OK", {}),
    ("OK", {"min_params": 1.0, "max_params": 1e15, "min_tokens": 1.0, "max_tokens": 1e18}),
    ("OK", {"max_tokens_per_param": 1e9}),
    ("OK", {"E": 0.0}),
    ("OK", {"input_tokens": 0.0, "output_tokens": 0.0}),
    ("OK", {"prefill": 0.0, "decode": 0.0}),
    ("OK", {"alpha": 0.01, "A": 1.0, "loss": 2.6}),
    ("AT_MIN_PARAMS", {"min_params": 1.2, "scaled": "params"}),
    ("AT_MAX_PARAMS", {"max_params": 0.9, "scaled": "params"}),
    ("AT_MIN_TOKENS", {"min_tokens": 1.2, "scaled": "tokens"}),
    ("AT_MAX_TOKENS", {"max_tokens": 0.9, "scaled": "tokens"}),
    ("AT_MAX_RATIO", {"max_tokens_per_param": 0.9, "scaled": "tokens_per_param"}),
    ("INFEASIBLE_BOUNDS", {"min_params": 2e9, "max_params": 1e9}),
    ("INFEASIBLE_BOUNDS", {"min_tokens": 2e9, "max_tokens": 1e9}),
    ("INFEASIBLE_BOUNDS", {"min_tokens": 1e12, "max_params": 1e9, "max_tokens_per_param": 20.0}),
    ("INFEASIBLE_BOUNDS", {"max_params": 0.0}),
    ("INFEASIBLE_BOUNDS", {"max_tokens": 0.0}),
    ("INFEASIBLE_BOUNDS", {"min_params": np.inf}),
    ("INFEASIBLE_BOUNDS", {"min_tokens": np.inf}),
    ("INVALID_INPUT", {"A": -1.0}),
    ("INVALID_INPUT", {"min_params": -1.0}),
    ("OUT_OF_RANGE", {"A": MAX}),
    ("OUT_OF_RANGE", {"B": 1 / MAX}),
    ("OUT_OF_RANGE", {"output_tokens": MAX, "decode": MAX}),
    ("OUT_OF_RANGE", {"train": float(np.finfo(DTYPE).tiny)}),
    ("NOT_CONVERGED", {"alpha": 0.005}),
    ("NOT_CONVERGED", {"beta": 0.005}),
    ("NOT_CONVERGED", {"alpha": 3.5}),
    ("NOT_CONVERGED", {"beta": 40.0}),
]
CASES_OF = {
    "loss": [
        *CASES,
        ("AT_CORNER", {"min_params": 1e11, "min_tokens": 1e13}),
        ("INFEASIBLE_LOSS", {"loss": 1.69}),
        ("INFEASIBLE_LOSS", {"loss": 1.0}),
        ("INFEASIBLE_LOSS", {"loss": 0.0}),
        ("INFEASIBLE_LOSS", {"loss": -2.0}),
        ("INFEASIBLE_BOUNDS", {"max_params": 1e6, "max_tokens": 1e15}),
        ("OUT_OF_RANGE", {"loss": MAX}),
        ("OUT_OF_RANGE", {"loss": float(np.finfo(DTYPE).tiny), "E": 0.0}),
    ],
    "budget": [
        *CASES,
        ("AT_CORNER", {"max_params": 1e8, "max_tokens": 1e10}),
        ("INFEASIBLE_BUDGET", {"min_params": 1e11, "min_tokens": 1e13}),
        ("INFEASIBLE_BUDGET", {"min_params": 1e18}),
        ("INVALID_INPUT", {"budget": 0.0}),
        ("OUT_OF_RANGE", {"budget": MAX}),
    ],
}


def with_scaled_bound(case, optimum) -> dict:
    """The case with a bound given as a multiple of the free optimum turned into a number."""
    case = dict(case)
    field = case.pop("scaled", None)
    if field:
        ((name, factor),) = case.items()
        case[name] = factor * float(getattr(optimum, field))
    return case


def table(target):
    optimum = solve(TYPICAL, target)
    cases = [with_scaled_bound(case, optimum) for _, case in CASES_OF[target]]
    return stacked([TYPICAL | FREE | case for case in cases])


@functools.cache
def solved_table(target):
    return solve_on_host(table(target), target)


@pytest.mark.parametrize("target", TARGETS)
def test_each_status_is_given_where_it_should(target):
    expected = [name for name, _ in CASES_OF[target]]
    found = statuses(solved_table(target))
    wrong = [
        (case, name)
        for (_, case), name, wanted in zip(CASES_OF[target], found, expected, strict=True)
        if name != wanted
    ]
    assert not wrong


# Those that a sum of two powers never earns; see test_any_law.py and test_levers.py.
OF_OTHER_LAWS = {"NO_INTERIOR_OPTIMUM", "SEVERAL_OPTIMA", "AT_LEVER_END", "BEYOND_LAW"}
OF_SERVING = {"OUT_OF_MEMORY", "CONTEXT_TOO_LONG", "TOO_SLOW"}
OF_PROFIT = {"DO_NOT_TRAIN", "NO_FINITE_PRICE", "BEST_OF_SEVERAL"}


def test_the_tables_reach_every_status_of_the_law():
    reached = {name for cases in CASES_OF.values() for name, _ in cases}
    assert reached == {status.name for status in Status} - OF_OTHER_LAWS - OF_SERVING - OF_PROFIT


@pytest.mark.parametrize("target", TARGETS)
def test_numbers_are_given_exactly_where_the_status_is_ok(target):
    plan = solved_table(target)
    assert plan.status.dtype == np.int8
    np.testing.assert_array_equal(plan.ok, [Status(int(x)).ok for x in plan.status])
    for values in host(plan):
        np.testing.assert_array_equal(np.isfinite(values), plan.ok)
        np.testing.assert_array_equal(np.isnan(values), ~plan.ok)


@pytest.mark.parametrize("target", TARGETS)
def test_a_scenario_alone_gets_the_status_it_gets_among_others(target):
    draws = table(target)
    for lane in (0, 7, 20, -1):
        alone = solve({name: values[lane] for name, values in draws.items()}, target)
        assert alone.status.shape == ()
        assert int(alone.status) == int(solved_table(target).status[lane])


@pytest.mark.parametrize("status", Status)
def test_each_status_has_a_sentence_of_its_own(status):
    assert status.sentence.endswith(".")
    assert len(status.sentence) > 20
    assert [other.sentence for other in Status].count(status.sentence) == 1


PRECEDENCE = [  # each case is wrong in all ways from its own to the last
    ("INVALID_INPUT", {"prefill": -1.0, "loss": 1.0, "A": MAX, "alpha": 0.001, "max_params": 0.0}),
    ("INVALID_INPUT", {"max_params": np.nan, "loss": 1.0, "A": MAX, "alpha": 0.001}),
    ("INFEASIBLE_LOSS", {"loss": 1.0, "A": MAX, "alpha": 0.001, "max_params": 0.0}),
    ("OUT_OF_RANGE", {"A": MAX, "alpha": 0.001, "max_params": 0.0}),
    ("NOT_CONVERGED", {"alpha": 0.001, "max_params": 0.0}),
    ("INFEASIBLE_BOUNDS", {"max_params": 0.0, "min_tokens": 1e20}),
]


@pytest.mark.parametrize("target", TARGETS)
def test_the_first_of_several_mistakes_is_told(target):
    cases = [
        (name, case) for name, case in PRECEDENCE if target == "loss" or name != "INFEASIBLE_LOSS"
    ]
    plan = solve_on_host(stacked([TYPICAL | FREE | case for _, case in cases]), target)
    assert statuses(plan) == [name for name, _ in cases]


# --- Bad values, leaf by leaf --------------------------------------------------------------

BAD = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf, "negative": -1.0, "zero": 0.0, "-zero": -0.0}
LANE = 3  # the one with the bad value, of 8


def expected_status(target, name, value) -> str | None:
    """Status by the rules of validity alone; None where the value is allowed."""
    if name == "loss":
        if not np.isfinite(value):
            return "INVALID_INPUT"
        return "INFEASIBLE_LOSS"  # of those above, none exceeds E
    if name in BOUNDS:
        if np.isnan(value) or value < 0:
            return "INVALID_INPUT"
        return None
    if not np.isfinite(value) or value < 0 or (value == 0 and name not in MAY_BE_ZERO):
        return "INVALID_INPUT"
    return None


def batch(target, *, bounded=True):
    """Eight scenarios around the typical one, none of them bad; half of them bounded."""
    scale = np.linspace(0.9, 1.1, 8)
    draws = {name: np.full(8, TYPICAL[name]) for name in inputs(target)}
    for name in ("A", "B", "input_tokens", "train", "decode", "budget"):
        if name in draws:
            draws[name] = draws[name] * scale
    if bounded:
        draws |= {name: np.full(8, limit) for name, limit in FREE.items()}
        draws["max_params"][:2] = 3e9
        draws["max_tokens"][4:6] = 1.5e12
        draws["max_tokens_per_param"][6] = 100.0
    return {name: values.astype(DTYPE) for name, values in draws.items()}


def spoiled(draws, name, value):
    values = draws[name].copy()
    values[LANE] = value
    return draws | {name: values}


@pytest.mark.parametrize("bounded", [False, True], ids=["free", "bounded"])
@pytest.mark.parametrize("target", TARGETS)
def test_bad_values_get_their_status_and_neighbours_stay_bit_identical(target, bounded):
    good = batch(target, bounded=bounded)
    untouched = solve_on_host(good, target)
    assert untouched.ok.all()
    others = np.arange(8) != LANE
    for name in inputs(target, bounded=bounded):
        for value in BAD.values():
            plan = solve_on_host(spoiled(good, name, value), target)
            expected = expected_status(target, name, value)
            status = statuses(plan)[LANE]
            if expected:
                assert status == expected, (name, value)
            else:
                assert status != "INVALID_INPUT", (name, value)
            for found, alone in zip(host(plan), host(untouched), strict=True):
                assert np.isnan(found[LANE]) != plan.ok[LANE], (name, value)
                np.testing.assert_array_equal(found[others], alone[others], err_msg=name)
            np.testing.assert_array_equal(plan.status[others], untouched.status[others])


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
def test_evaluate_judges_values_by_the_same_rules(value):
    good = {name: np.full(8, TYPICAL[name], DTYPE) for name in inputs("loss") if name != "loss"}
    good |= {"params": np.full(8, 1e9, DTYPE), "tokens": np.full(8, 1e12, DTYPE)}

    def evaluate(draws):
        law = js.laws.Chinchilla(**{name: draws[name] for name in LAW})
        demand = js.Demand(draws["input_tokens"], draws["output_tokens"])
        costs = js.Costs(draws["train"], draws["prefill"], draws["decode"])
        plan = js.evaluate(law, draws["params"], draws["tokens"], demand, costs)
        return jax.tree.map(np.asarray, plan)

    untouched, others = evaluate(good), np.arange(8) != LANE
    for name in good:
        plan = evaluate(spoiled(good, name, value))
        expected = expected_status(None, name, value) or "OK"
        assert statuses(plan)[LANE] == expected, name
        for found, alone in zip(host(plan), host(untouched), strict=True):
            assert np.isnan(found[LANE]) == (expected != "OK")
            np.testing.assert_array_equal(found[others], alone[others], err_msg=name)


# --- Derivatives beside bad lanes ----------------------------------------------------------


def check_gradient(draws, target, ok):
    found = slopes.of_logarithms(draws, target)
    wrong = [
        (name, slope[lane], {leaf: values[lane] for leaf, values in draws.items()})
        for name, slope in found.items()
        for lane in np.flatnonzero(~np.isfinite(slope) | ((slope != 0) & ~ok))
    ]
    assert not wrong, f"{len(wrong)}, such as {wrong[0]}"
    return found


@pytest.mark.parametrize("target", LOSS_FIRST)
def test_derivatives_are_zero_in_bad_lanes_and_untouched_beside_them(target):
    # One batch: every bad value of every leaf, and every status, each beside a good lane.
    names = inputs(target, bounded=True)
    draws = {name: table(target)[name] for name in names}
    spoils = [(name, value) for name in names for value in BAD.values()]
    bad = stacked([TYPICAL | FREE | {name: value} for name, value in spoils])
    bad = {name: np.concatenate([draws[name], bad[name]]) for name in names}
    lanes = len(bad["A"])
    good = stacked([TYPICAL | FREE] * lanes)
    mixed = {name: np.stack([bad[name], good[name]], 1).ravel() for name in names}
    clean = {name: np.repeat(good[name], 2) for name in names}
    plan = solve_on_host(mixed, target)
    found, alone = check_gradient(mixed, target, plan.ok), slopes.of_logarithms(clean, target)
    assert any(np.any(slope != 0) for slope in alone.values())
    for name in names:
        np.testing.assert_array_equal(found[name][1::2], alone[name][1::2])


@pytest.mark.parametrize("target", LOSS_FIRST)
def test_lanes_that_share_a_bad_number_share_its_status(target):
    draws = {**batch(target), "alpha": DTYPE.type(np.nan)}
    plan = solve(draws, target)
    assert statuses(plan) == ["INVALID_INPUT"] * 8
