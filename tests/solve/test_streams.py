"""Plans of laws with parallel streams: never beaten, and served at the price of their streams."""

import dataclasses

import numpy as np
import pytest

import jaxscale as js
from solve import served_lanes as served
from solve.lanes import LANES, TARGETS, needs_x64
from solve.never_beaten import answer, describe, draw, judge
from solve.served_lanes import drawn, searched, solve

CHOICES = np.array([1.0, 2.0, 4.0, 8.0])


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("sardana2024", "loss"),
        pytest.param("sardana2024", "budget", marks=pytest.mark.thorough),
        pytest.param("kumar2024", "loss", marks=pytest.mark.thorough),
        pytest.param("kumar2024", "budget", marks=pytest.mark.thorough),
    ],
)
def test_no_answer_is_worse_than_a_known_plan(rng, name, target):
    entry = js.laws.entry(name)
    entry = dataclasses.replace(entry, law=js.laws.with_streams(entry.law, served.K))
    draws = draw(entry, LANES, rng, bounded=True)
    plan = answer(draws, target)
    outcome = judge(draws, target, plan)
    wrong = np.flatnonzero(outcome.wrong)
    assert not len(wrong), describe(draws, target, plan, outcome, wrong[0])
    assert outcome.refused.sum() <= 2


@needs_x64
@pytest.mark.thorough
@pytest.mark.parametrize("target", TARGETS)
def test_no_size_machine_and_batch_serves_streams_for_less(rng, target):
    """By a grid in NumPy, for streams of every number."""
    draws = drawn(rng)
    draws["streams"] = rng.choice(CHOICES, served.LANES)
    law = js.laws.with_streams(served.LAW, served.K)
    plan = solve(draws, target, law, {"streams": draws["streams"]})
    with np.errstate(over="ignore"):
        best = searched(draws, target)
    ok, value = np.asarray(plan.ok), np.asarray(plan.total_cost if target == "loss" else plan.loss)
    assert not (~ok & np.isfinite(best)).any()
    assert np.all(value[ok] <= best[ok] * (1 + (1e-6 if target == "loss" else 1e-7)))
    near = value[np.isfinite(best)] > best[np.isfinite(best)] * (1 - 1e-4)
    assert near.mean() > 0.98
