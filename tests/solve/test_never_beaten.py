"""An answer that says OK is never worse than a plan that is known, and known plans get answers.

Each law, both problems, with bounds that the known plan keeps and without. The gate draws a few
thousand; `JAXSCALE_TEST_SCENARIOS=1000000` asks for a million of each.
"""

import itertools
import os
from dataclasses import replace

import numpy as np
import pytest

import jaxscale as js
from conftest import THOROUGH
from jaxscale import Status
from jaxscale._numerics.interpreted import interpreted
from solve.lanes import EPS, LANES, TARGETS, X64, needs_x64
from solve.never_beaten import answer, describe, draw, judge

MANY = int(os.environ.get("JAXSCALE_TEST_SCENARIOS", LANES))
# One published fit of each family, for one problem where the law is one that the general solver
# takes like others; `thorough` takes all fits for both.
FAMILIES = {
    "sardana2024": TARGETS,
    "kaplan2020": ["budget"],  # for a loss, `test_any_law` asks the like
    "muennighoff2023_repeated": TARGETS,
    "clark2022_sbase": ["loss"],
    "krajewski2024": ["budget"],
    "abnar2025": ["loss"],
    "kumar2024": ["budget"],
    "sun2025": [],  # `test_ceiling` asks the like of both
    "tao2024": TARGETS,
    "ling2025_on_besiroglu2024": TARGETS,
    "busbridge2025_student": ["loss"],
    "li2025": ["loss"],
}
# Compiled for as many scenarios as are drawn, as users solve them; of the other laws NumPy runs the
# same equations in half the time that XLA takes to compile them.
COMPILED = {"sardana2024", "muennighoff2023_repeated"}
# Of students with few tokens these laws say nothing, and often prefer them; and at the loss of a
# teacher a student's is flat to the last digit.
AT_A_TEACHER = {"busbridge2025_student", "busbridge2025_teacher_exists"}
AT_A_TEACHER |= {"busbridge2025_logits_stored", "busbridge2025_teacher_trained"}
# Known plans inside a law's fitted range that may be refused.
REFUSED = 1e-4


def cases():
    for name, target in itertools.product((entry.name for entry in js.laws.catalog()), TARGETS):
        # Without bounds a part of the same program is run.
        quick = target in FAMILIES.get(name, ())
        yield pytest.param(name, True, target, marks=() if quick else pytest.mark.thorough)
        yield pytest.param(name, False, target, marks=pytest.mark.thorough)


@pytest.mark.parametrize(("name", "bounded", "target"), list(cases()))
def test_no_answer_is_worse_than_a_known_plan(rng, name, bounded, target):
    draws = draw(js.laws.entry(name), MANY, rng, bounded=bounded)
    if THOROUGH or name in COMPILED or MANY > LANES:
        plan = answer(draws, target)
    else:
        plan = interpreted(answer, draws, target)
    outcome = judge(draws, target, plan)
    assert np.asarray(draws.known.ok).mean() > (0.6 if name in AT_A_TEACHER else 0.99)
    wrong = np.flatnonzero(outcome.wrong)
    assert not len(wrong), f"{len(wrong)}: {describe(draws, target, plan, outcome, wrong[0])}"
    refused = np.flatnonzero(outcome.refused & ~has_no_least(draws))
    if not len(refused):
        return
    if not X64:  # whose digits end before a flat law's do
        assert len(refused) < 0.2 * MANY
        return
    if name in AT_A_TEACHER:
        assert np.mean(outcome.status[refused] == Status.BEYOND_LAW) > 0.9
        return
    inside = refused[draws.in_range[refused]]
    message = len(inside) and describe(draws, target, plan, outcome, inside[0])
    # Of a few hundred, one or two are no evidence of a higher share.
    assert len(inside) <= 2 + REFUSED * draws.in_range.sum(), message
    if hasattr(draws.law, "holds"):  # whose best size may be one of which it says nothing
        beyond = {Status.BEYOND_LAW, Status.SEVERAL_OPTIMA, Status.NOT_CONVERGED}
        assert set(outcome.status[refused]) <= set(map(int, beyond))
        assert np.mean(outcome.status[refused] == Status.BEYOND_LAW) > 0.8
        return
    # Beyond it, a budget that limited data has no more use for, and all but nothing else.
    assert set(outcome.status[refused]) <= {int(Status.NOT_CONVERGED)}
    assert name == "muennighoff2023_repeated" or len(refused) <= 1e-3 * MANY


def has_no_least(draws):
    """Whether ever fewer tokens are ever better: only a bound makes one of them the best."""
    known = draws.known
    fewer = js.evaluate(draws.law, known.params, known.tokens / 2, levers=draws.levers)
    nothing = True if draws.bounds is None else draws.bounds.min_tokens == 0
    return nothing & (np.asarray(fewer.loss) == np.asarray(known.loss))


@needs_x64
def test_a_worse_plan_is_seen(rng):
    """The check itself: of plans that are dearer, miss their target, leave a bound or are NaN."""
    draws = draw(js.laws.entry("sardana2024"), LANES, rng, bounded=True)
    known, bounds = draws.known, draws.bounds

    def plan(params, tokens):
        return js.evaluate(draws.law, params, tokens, draws.demand, draws.costs)

    dearer, short = plan(known.params * 1.1, known.tokens), plan(known.params, known.tokens * 0.9)
    assert judge(draws, "loss", dearer).wrong.all()
    assert judge(draws, "loss", short).wrong.all()
    assert judge(draws, "budget", short).wrong.all()
    free = answer(draws._replace(bounds=None), "loss")
    outside = np.asarray(free.tokens > bounds.max_tokens * (1 + 1e-3))
    assert outside.sum() > 100
    assert judge(draws, "loss", free).wrong[outside].all()
    lost = replace(known, loss=known.loss * np.nan)
    assert judge(draws, "loss", lost).wrong.all()


@needs_x64
def test_a_bound_just_within_the_optimum_decides():
    # At the least loss of repeated data, where the last digits of the loss are worth a good part
    # of the cost, bounds and the free optimum must mean the same loss.
    law = js.laws.published("muennighoff2023_repeated")
    unique = {"unique_tokens": 1e9}
    floor = float(law.loss(1e24, 1e24, **unique))
    above = np.array([-10, 0, 4, 12, 40, 1e6])
    targets = floor * (1 + above * EPS)
    free = interpreted(js.minimize_cost, law, targets, levers=unique)
    assert free.ok.all()
    # In the shape of the draws above, whose program for this law is then used again.
    tightest = vars(js.Bounds(max_params=0.99 * np.resize(free.params, MANY)))
    bounded = js.minimize_cost(
        law,
        np.resize(targets, MANY),
        js.Demand(*np.zeros((2, MANY))),
        js.Costs(*np.ones((3, MANY))),
        js.Bounds(**{x: np.broadcast_to(y, MANY) for x, y in tightest.items() if np.size(y)}),
        levers={"unique_tokens": np.full(MANY, 1e9)},
    )
    assert np.all(bounded.status == Status.AT_MAX_PARAMS)
    # So near the floor the last few digits of the loss are worth some per cent of the cost.
    slack = np.where(above < 1e3, 0.1, 1e-9)
    assert np.all(bounded.total_cost[: len(above)] >= free.total_cost * (1 - slack))


@needs_x64
@pytest.mark.parametrize(
    ("unique", "read", "written", "loss", "params", "tokens"),
    [
        (
            *(1854213089.1744084, 3734561.9128081673, 1066100.2151156028, 2.586845883983545),
            *(16153448407.056637, 8315816673095.544),
        ),
        (
            *(1668067358.572794, 33326816993.2057, 1165990853.6565688, 2.6141288002143943),
            *(14232618318.289993, 4128544478119.622),
        ),
    ],
)
def test_repeated_data_costs_no_more_than_plans_that_once_beat_it(
    unique, read, written, loss, params, tokens
):
    law, demand = js.laws.published("muennighoff2023_repeated"), js.Demand(read, written)
    levers = {"unique_tokens": unique}
    known = js.evaluate(law, params, tokens, demand, levers=levers)
    assert float(known.loss) == pytest.approx(loss, rel=1e-12)
    plan = js.minimize_cost(law, loss, demand, levers=levers)
    assert int(plan.status) == Status.OK
    assert float(plan.loss) <= loss * (1 + 1e-13)
    assert float(plan.total_cost) < float(known.total_cost)
