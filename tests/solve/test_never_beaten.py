"""An answer that says OK is never worse than a plan that is known, and known plans get answers.

Each law, both problems, with bounds that the known plan keeps and without. The gate draws a few
thousand; `JAXSCALE_TEST_SCENARIOS=1000000` asks for a million of each.
"""

import os

import numpy as np
import pytest

import jaxscale as js
from jaxscale import Status
from solve.lanes import LANES, TARGETS, X64
from solve.never_beaten import answer, describe, draw, judge

MANY = int(os.environ.get("JAXSCALE_TEST_SCENARIOS", LANES))
# One published fit of each family; `thorough` takes all of them.
FAMILIES = (
    "sardana2024",
    "kaplan2020",
    "muennighoff2023_repeated",
    "clark2022_sbase",
    "krajewski2024",
    "abnar2025",
    "kumar2024",
    "tao2024",
)
# Known plans inside a law's fitted range that may be refused.
REFUSED = 1e-4


def cases():
    for name in (entry.name for entry in js.laws.catalog()):
        # Without bounds and with a budget a part of the same program is run.
        quick = name in FAMILIES
        yield pytest.param(name, True, marks=() if quick else pytest.mark.thorough)
        flat = name == "muennighoff2023_repeated"
        yield pytest.param(name, False, marks=() if flat else pytest.mark.thorough)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("name", "bounded"), list(cases()))
def test_no_answer_is_worse_than_a_known_plan(rng, name, bounded, target):
    draws = draw(js.laws.entry(name), MANY, rng, bounded=bounded)
    plan = answer(draws, target)
    outcome = judge(draws, target, plan)
    wrong = np.flatnonzero(outcome.wrong)
    assert not len(wrong), f"{len(wrong)}: {describe(draws, target, plan, outcome, wrong[0])}"
    refused = np.flatnonzero(outcome.refused & ~has_no_least(draws))
    if not X64:  # whose digits end before a flat law's do
        assert len(refused) < 0.2 * MANY
        return
    inside = refused[draws.in_range[refused]]
    message = len(inside) and describe(draws, target, plan, outcome, inside[0])
    assert len(inside) <= REFUSED * draws.in_range.sum(), message
    # Beyond it, only a budget that a law with limited data has no more use for.
    assert set(outcome.status[refused]) <= {int(Status.NOT_CONVERGED)}
    assert name == "muennighoff2023_repeated" or not len(refused)


def has_no_least(draws):
    """Whether ever fewer tokens are ever better: only a bound makes one of them the best."""
    known = draws.known
    fewer = js.evaluate(draws.law, known.params, known.tokens / 2, levers=draws.levers)
    nothing = True if draws.bounds is None else draws.bounds.min_tokens == 0
    return nothing & (np.asarray(fewer.loss) == np.asarray(known.loss))


def test_a_worse_plan_is_seen(rng):
    # The check itself: a plan that is a tenth dearer than need be, and one out of bounds.
    draws = draw(js.laws.entry("sardana2024"), LANES, rng, bounded=True)
    known = draws.known
    worse = js.evaluate(draws.law, known.params * 1.1, known.tokens, draws.demand, draws.costs)
    assert judge(draws, "loss", worse).wrong.all()
    short = js.evaluate(draws.law, known.params, known.tokens * 0.9, draws.demand, draws.costs)
    assert judge(draws, "loss", short).wrong.all()
    assert judge(draws, "budget", short).wrong.all()
