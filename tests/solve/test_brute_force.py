"""Nothing that a two-dimensional search knows of is better than the solvers' plans."""

import numpy as np
import pytest

from reference import (
    UNBOUNDED,
    Bounds,
    brute_force_best,
    brute_force_cheapest,
    moderate_scenario,
    random_bounds,
    random_budgets,
    rows,
    solve_row,
)
from solve.lanes import BOUNDS, EPS, REFERENCES, TARGETS, X64, solve_on_host, stacked

SCENARIOS = 50
SEARCHES = {"loss": brute_force_cheapest, "budget": brute_force_best}
# Objectives are flat at an optimum, so N and D are known to about the root of their precision.
POSITION, OBJECTIVE = (1e-5, 1e-9) if X64 else (5e-3, 5e-3)


def searched(row, target):
    bounds = Bounds(*(row.get(name, free) for name, free in UNBOUNDED._asdict().items()))
    return solve_row(lambda *scenario: SEARCHES[target](*scenario, bounds), row, target)


@pytest.mark.parametrize("bounded", [False, True], ids=["free", "bounded"])
@pytest.mark.parametrize("target", TARGETS)
def test_plans_are_what_a_search_of_all_sizes_finds(rng, target, bounded):
    draws = stacked([moderate_scenario(rng) for _ in range(SCENARIOS)])
    draws["budget"] = random_budgets(draws)
    if bounded:
        plans = [solve_row(REFERENCES[target], row, target) for row in rows(draws)]
        limits = [random_bounds(rng, plan, 0.3)._asdict() for plan in plans]
        draws |= stacked(limits)
    plan = solve_on_host(draws, target)
    found = 0
    for lane, row in enumerate(rows(draws)):
        point = searched(row, target)
        assert plan.ok[lane] == (point is not None), (row, plan.status[lane])
        if point is None:
            continue
        found += 1
        # A bound of float32 is held to exactly, a target only to its rounding.
        np.testing.assert_allclose(plan.params[lane], point[0], POSITION, err_msg=str(row))
        np.testing.assert_allclose(plan.tokens[lane], point[1], POSITION, err_msg=str(row))
        if target == "loss":
            assert plan.loss[lane] <= row["loss"] * (1 + 64 * EPS)
            cost = 6 * row["train"] * point[0] * point[1] + 2 * point[0] * (
                row["prefill"] * row["input_tokens"] + row["decode"] * row["output_tokens"]
            )
            assert plan.total_cost[lane] <= cost * (1 + OBJECTIVE)
        else:
            assert plan.total_cost[lane] <= row["budget"] * (1 + 200 * EPS)
            terms = row["A"] * point[0] ** -row["alpha"] + row["B"] * point[1] ** -row["beta"]
            assert plan.loss[lane] <= (row["E"] + terms) * (1 + OBJECTIVE)
    assert found == SCENARIOS or (bounded and found > SCENARIOS / 3)
    assert not bounded or set(BOUNDS) < set(draws)
