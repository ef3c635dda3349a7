"""Bounded plans: which bound decides, what the plan is then, and where there is none."""

import itertools

import jax
import numpy as np
import pytest
from mpmath import log

from jaxscale import Status
from reference import (
    UNBOUNDED,
    Bounds,
    moderate_scenario,
    random_bounds,
    random_budgets,
    random_scenarios,
    rows,
    solve_row,
)
from solve.lanes import (
    BOUNDED_REFERENCES,
    BOUNDS,
    DTYPE,
    EPS,
    REFERENCES,
    TARGETS,
    TYPICAL,
    is_empty,
    relative_error,
    solve_on_host,
    solved_by_reference,
    stacked,
)

AT = {
    "min_params": Status.AT_MIN_PARAMS,
    "max_params": Status.AT_MAX_PARAMS,
    "min_tokens": Status.AT_MIN_TOKENS,
    "max_tokens": Status.AT_MAX_TOKENS,
    "max_tokens_per_param": Status.AT_MAX_RATIO,
}
OPTIMUM = {
    "min_params": "params",
    "max_params": "params",
    "min_tokens": "tokens",
    "max_tokens": "tokens",
    "max_tokens_per_param": "tokens_per_param",
}
FREE = UNBOUNDED._asdict()
TINY = float(np.finfo(DTYPE).tiny)
NO_PLAN = {"loss": Status.INFEASIBLE_BOUNDS, "budget": Status.INFEASIBLE_BUDGET}


def bounded_reference(row, target):
    """The plan, or None, and the names of the active bounds."""
    bounds = Bounds(*(row[name] for name in BOUNDS))
    return solve_row(lambda *scenario: BOUNDED_REFERENCES[target](*scenario, bounds), row, target)


def expected_status(row, plan, active, target) -> Status:
    if plan is None:
        return Status.INFEASIBLE_BOUNDS if is_empty(row) else NO_PLAN[target]
    if len(active) > 1:
        return Status.AT_CORNER
    return AT[next(iter(active))] if active else Status.OK


def rounding(row, target) -> float:
    """What the library takes for a tie: it decides no comparison by less than this.

    A plan fed back as its own bounds must not depend on which way its last digit was rounded.
    """
    free = solve_row(REFERENCES[target], row, target)
    logs = sum(abs(float(log(size))) for size in free[:2]) + abs(float(np.log(row[target])))
    return 64 * EPS * (1 + logs + 1 / row["alpha"] + 1 / row["beta"])


def statuses_within(margin, row, target) -> set[Status]:
    """What the status is, or would be if the target or all the bounds moved by a margin."""
    found = set()
    for moved, widened in itertools.product((-margin, 0, margin), repeat=2):
        near = dict(row)
        if target == "loss":
            near["loss"] = row["E"] + (row["loss"] - row["E"]) * (1 + moved)
        else:
            near["budget"] = row["budget"] * (1 + moved)
        for name in BOUNDS:
            near[name] = row[name] * (1 + (-widened if name.startswith("min") else widened))
        found.add(expected_status(near, *bounded_reference(near, target), target))
    return found


def allowed_error(row, plan, target) -> float:
    """What rounding explains of a coordinate's error, the other one being given.

    The given one's term, or share of the budget, is known to some epsilons of the whole; near
    an asymptote the rest of it is small, and so much less certain.
    """
    reducible = float(plan.loss) - row["E"]
    terms = [
        row["A"] * float(plan.params) ** -row["alpha"],
        row["B"] * float(plan.tokens) ** -row["beta"],
    ]
    logs = sum(abs(np.log(row[x] / reducible)) for x in ("A", "B"))
    logs += sum(abs(np.log(float(x))) for x in plan[:2])
    if target == "loss":
        smallest = min(terms) / reducible
        return 8 * EPS * (1 + logs) / (smallest * min(row["alpha"], row["beta"]))
    trained = float(plan.train_cost / plan.total_cost)
    return 8 * EPS * (1 + logs) / trained


def assert_within(row, plan, lane):
    # A size that follows from another bound may pass its own by what rounding explains.
    params, tokens = float(plan.params[lane]), float(plan.tokens[lane])
    assert row["min_params"] * (1 - 64 * EPS) <= params <= row["max_params"] * (1 + 64 * EPS)
    assert row["min_tokens"] * (1 - 64 * EPS) <= tokens <= row["max_tokens"] * (1 + 64 * EPS)
    assert tokens / params <= row["max_tokens_per_param"] * (1 + 200 * EPS)


def assert_bounds_are_returned_exactly(row, plan, lane):
    decided = {status: name for name, status in AT.items()}.get(plan.status[lane])
    if decided and decided != "max_tokens_per_param":
        size = decided.removeprefix("min_").removeprefix("max_")
        assert getattr(plan, size)[lane] == DTYPE.type(row[decided]), (decided, row)


def check(draws, target):
    """All lanes against the reference; the statuses that occurred."""
    plan = solve_on_host(draws, target)
    for lane, row in enumerate(rows(draws)):
        expected, active = bounded_reference(row, target)
        status = Status(plan.status[lane])
        if status != expected_status(row, expected, active, target):
            near = statuses_within(rounding(row, target), row, target)
            assert status in near, (status, near, active, row)
            continue
        if expected is None:
            assert np.isnan(plan.params[lane])
            continue
        allowed = allowed_error(row, expected, target)
        assert relative_error(plan.params[lane], expected.params) <= allowed, (active, row)
        assert relative_error(plan.tokens[lane], expected.tokens) <= allowed, (active, row)
        assert_bounds_are_returned_exactly(row, plan, lane)
        assert_within(row, plan, lane)
        if target == "loss":
            assert plan.loss[lane] <= row["loss"] * (1 + 64 * EPS)
        else:
            assert plan.total_cost[lane] <= row["budget"] * (1 + 400 * EPS)
    return {Status(status) for status in plan.status}


def moderate_draws(rng, count):
    draws = stacked([moderate_scenario(rng) for _ in range(count)])
    draws["budget"] = random_budgets(draws)
    return draws


def with_bounds(draws, bounds: list[Bounds]):
    return draws | stacked([each._asdict() for each in bounds])


# --- Random boxes ----------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("chance", [0.3, 0.6])
def test_random_boxes_agree_with_the_list_of_all_candidates(rng, target, chance):
    draws = moderate_draws(rng, 150)
    plans = solved_by_reference(draws, target)
    found = check(with_bounds(draws, [random_bounds(rng, p, chance) for p in plans]), target)
    # Among many bounds at once, some decide too seldom to be sure of them in 150 boxes.
    assert (chance > 0.5 and len(found) > 3) or {*AT.values(), Status.INFEASIBLE_BOUNDS} <= found


@pytest.mark.parametrize("target", TARGETS)
def test_each_bound_alone_and_in_pairs(rng, target):
    draws = moderate_draws(rng, 150)
    plans = solved_by_reference(draws, target)
    pairs = [(one, other) for i, one in enumerate(BOUNDS) for other in BOUNDS[: i + 1]]
    boxes = []
    for lane, plan in enumerate(plans):
        optimum = plan._asdict() | {"tokens_per_param": plan.tokens / plan.params}
        values = {
            name: float(optimum[OPTIMUM[name]]) * float(np.exp(rng.uniform(-0.2, 0.2)))
            for name in pairs[lane % len(pairs)]
        }
        boxes.append(UNBOUNDED._replace(**values))
    found = check(with_bounds(draws, boxes), target)
    assert {Status.OK, *AT.values()} <= found


# --- Ties ------------------------------------------------------------------------------------

TIES = {name: [name] for name in OPTIMUM} | {
    "both maxima": ["max_params", "max_tokens"],
    "both minima": ["min_params", "min_tokens"],
    "params fixed": ["min_params", "max_params"],
    "tokens fixed": ["min_tokens", "max_tokens"],
    "both fixed": ["min_params", "max_params", "min_tokens", "max_tokens"],
}
# The other coordinate follows from the one that is given, along a flat objective.
SAME_SIZE, SAME_VALUE = (1e-8, 1e-10) if np.float64 == DTYPE else (2e-2, 1e-4)


def well_determined(draws, plan, target):
    """Lanes where each size still decides something of the target, next to its rounding.

    Where serving takes all of a budget but its rounding, a size fed back may be too large.
    """
    if target == "budget":
        return plan.train_cost > 64 * EPS**0.5 * plan.total_cost
    with np.errstate(under="ignore"):
        terms = [
            draws[scale] * np.exp(-draws[exponent] * np.log(size))
            for scale, exponent, size in (("A", "alpha", plan.params), ("B", "beta", plan.tokens))
        ]
    return np.minimum(*terms) > 64 * EPS**0.5 * draws["reducible"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", ["moderate", "whole domain"])
def test_a_free_optimum_fed_back_as_bounds_is_found_again(rng, target, kind):
    if kind == "moderate":
        draws = moderate_draws(rng, 200)
        draws["reducible"] = draws["loss"] - draws["E"]
    else:
        draws = random_scenarios(rng, 600, DTYPE)
        draws["budget"] = random_budgets(draws)
    free = solve_on_host(draws, target)
    kept = free.ok & well_determined(draws, free, target)
    assert kept.sum() >= 40
    draws = {name: values[kept] for name, values in draws.items()}
    free = jax.tree.map(lambda x: x[kept], free)
    with np.errstate(over="ignore", under="ignore"):  # a ratio of 0 or infinity is tried elsewhere
        ratio = free.tokens_per_param
        optimum = {"params": free.params, "tokens": free.tokens}
        optimum["tokens_per_param"] = np.where((ratio > TINY) & (ratio < np.inf), ratio, np.inf)
    wrong = {}
    for tie, names in TIES.items():
        limits = {name: np.full(kept.sum(), value, DTYPE) for name, value in FREE.items()}
        limits |= {name: optimum[OPTIMUM[name]] for name in names}
        plan = solve_on_host(draws | limits, target)
        allowed = [Status.OK, Status.AT_CORNER, *(AT[name] for name in names)]
        lanes = np.flatnonzero(~np.isin(plan.status, allowed))
        if len(lanes):
            example = {name: values[lanes[0]].item() for name, values in draws.items()}
            wrong[tie] = len(lanes), Status(plan.status[lanes[0]]).name, example
            continue
        np.testing.assert_allclose(plan.loss, free.loss, SAME_VALUE, err_msg=tie)
        np.testing.assert_allclose(plan.total_cost, free.total_cost, SAME_VALUE, err_msg=tie)
        if kind == "moderate":
            np.testing.assert_allclose(plan.params, free.params, SAME_SIZE, err_msg=tie)
            np.testing.assert_allclose(plan.tokens, free.tokens, SAME_SIZE, err_msg=tie)
    assert not wrong, wrong


# --- Corners and empty boxes -----------------------------------------------------------------


def box(**bounds):
    return stacked([TYPICAL | FREE | bounds])


def test_lowest_corner_that_beats_the_loss_is_the_plan():
    given = box(min_params=5e11, min_tokens=6e13)
    plan = solve_on_host(given, "loss")
    assert plan.status == Status.AT_CORNER
    assert (plan.params, plan.tokens) == (DTYPE.type(5e11), DTYPE.type(6e13))
    assert plan.loss < given["loss"]
    # The ratio can be what keeps N up.
    plan = solve_on_host(box(min_tokens=6e13, max_tokens_per_param=60), "loss")
    assert plan.status == Status.AT_CORNER
    np.testing.assert_allclose(plan.params, 1e12, rtol=2 * EPS)
    assert plan.tokens == DTYPE.type(6e13)


def test_highest_corner_leaves_budget_over():
    given = box(max_params=1e8, max_tokens=1e10)
    plan = solve_on_host(given, "budget")
    assert plan.status == Status.AT_CORNER
    assert (plan.params, plan.tokens) == (DTYPE.type(1e8), DTYPE.type(1e10))
    assert plan.total_cost < given["budget"]
    plan = solve_on_host(box(max_params=1e8, max_tokens_per_param=10), "budget")
    assert plan.status == Status.AT_CORNER
    np.testing.assert_allclose(plan.tokens, 1e9, rtol=2 * EPS)
    assert plan.params == DTYPE.type(1e8)


@pytest.mark.parametrize("target", TARGETS)
def test_a_single_allowed_plan_is_taken_or_refused(target):
    reference = solve_row(REFERENCES[target], TYPICAL, target)
    near = {
        name: float(getattr(reference, size))
        for name, size in OPTIMUM.items()
        if "_per_" not in name
    }
    better = {name: value * 1.01 for name, value in near.items()}
    worse = {name: value * 0.99 for name, value in near.items()}
    good, bad = (better, worse) if target == "loss" else (worse, better)
    assert solve_on_host(box(**good), target).status == Status.AT_CORNER
    assert solve_on_host(box(**bad), target).status == NO_PLAN[target]


EMPTY = {
    "params the wrong way round": {"min_params": 2e9, "max_params": 1e9},
    "tokens the wrong way round": {"min_tokens": 2e12, "max_tokens": 1e12},
    "ratio too small for both": {
        "min_tokens": 1e13,
        "max_params": 1e9,
        "max_tokens_per_param": 100,
    },
    "no params": {"max_params": 0.0},
    "no tokens": {"max_tokens": 0.0},
    "no tokens for any params": {"max_tokens_per_param": 0.0},
    "infinite params": {"min_params": np.inf},
    "infinite tokens": {"min_tokens": np.inf},
}


@pytest.mark.parametrize("target", TARGETS)
def test_empty_boxes_are_infeasible(target):
    plan = solve_on_host(stacked([TYPICAL | FREE | bounds for bounds in EMPTY.values()]), target)
    found = dict(zip(EMPTY, map(Status, plan.status), strict=True))
    assert set(found.values()) == {Status.INFEASIBLE_BOUNDS}, found
    assert np.isnan(plan.params).all()


def test_a_box_beyond_the_budget_or_the_loss_is_infeasible():
    plan = solve_on_host(box(min_params=1e12, min_tokens=1e12), "budget")
    assert plan.status == Status.INFEASIBLE_BUDGET
    upper = [{"max_params": 1e3}, {"max_tokens": 1e3}, {"max_params": 1e9, "max_tokens": 1e10}]
    plan = solve_on_host(stacked([TYPICAL | FREE | bounds for bounds in upper]), "loss")
    assert (plan.status == Status.INFEASIBLE_BOUNDS).all()


def test_bounds_at_which_serving_alone_takes_the_budget():
    serving = 2 * (TYPICAL["input_tokens"] + TYPICAL["output_tokens"])
    limit = TYPICAL["budget"] / serving
    boxes = [{"min_params": limit * 1.001}, {"min_params": limit * 0.999}]
    plan = solve_on_host(stacked([TYPICAL | FREE | bounds for bounds in boxes]), "budget")
    assert plan.status.tolist() == [Status.INFEASIBLE_BUDGET, Status.AT_MIN_PARAMS]
    expected = limit / 0.999 * 0.001 * serving / 6 / limit  # of what is left, D costs 6 N each
    np.testing.assert_allclose(plan.tokens[1], expected, rtol=1e-9 if np.float64 == DTYPE else 1e-2)


@pytest.mark.parametrize("target", TARGETS)
def test_bounds_without_effect_change_nothing(target):
    free = solve_on_host(stacked([TYPICAL]), target)
    wide = solve_on_host(box(min_params=1.0, max_params=1e18, max_tokens_per_param=1e9), target)
    assert wide.status == Status.OK
    np.testing.assert_allclose(wide.params, free.params, rtol=64 * EPS)
    np.testing.assert_allclose(wide.tokens, free.tokens, rtol=64 * EPS)
