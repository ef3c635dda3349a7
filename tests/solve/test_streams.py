"""Plans of laws with parallel streams: never beaten, and served at the price of their streams."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale._numerics.interpreted import interpreted
from serving import by_hand
from solve import served_lanes as served
from solve.lanes import LANES, TARGETS, needs_x64
from solve.never_beaten import answer, describe, draw, judge
from solve.served_lanes import drawn, searched, solve

CHOICES = np.array([1.0, 2.0, 4.0, 8.0])


@pytest.mark.thorough  # in closed form: tests/laws/test_streams.py
@pytest.mark.parametrize("name", ["sardana2024", "kumar2024"])
@pytest.mark.parametrize("target", TARGETS)
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
def test_streams_are_chosen_where_weights_are_read_for_one_sequence_and_not_for_many():
    """Cheapest of 1, 2, 4 and 8 streams, by a grid of sizes in NumPy for each."""
    batch, written = np.array([1.0, 1.0, 1.0, 64.0]), np.array([1e10, 1e11, 1e12, 1e11])
    plan = interpreted(
        js.minimize_cost,
        js.laws.with_streams(served.LAW, served.K),
        2.2,
        js.Demand(written, written),
        js.Costs.served(
            served.FAMILY,
            served.TRAINER,
            js.serving.Requests(500, 500),
            js.serving.Limits(max_batch=batch),
            train=served.TRAINER,
            counts=[1],
        ),
        over=("params", "tokens", "streams"),
    )
    sizes = np.geomspace(3e8, 2e10, 20001)[:, None, None]
    shape, law = by_hand.shape_of(served.FAMILY, sizes), served.LAW
    rates = by_hand.rates_of(served.TRAINER, 1)
    each = by_hand.price(shape, rates, 500.0, 500.0, batch[:, None], streams=CHOICES)
    size = law.E + law.A / (sizes * (1 + served.K * np.log(CHOICES))) ** law.alpha
    left = np.where(size < 2.2, 2.2 - size, np.nan)
    tokens = (law.B / left) ** (1 / law.beta)
    cost = 6 * sizes * CHOICES * tokens * served.TRAIN + written[:, None] * sum(each)
    by_streams = np.nanmin(cost, axis=0)
    order = np.argsort(by_streams, axis=1)
    least, second = (np.take_along_axis(by_streams, order[:, i : i + 1], 1)[:, 0] for i in (0, 1))
    assert plan.ok.all()
    assert_array_equal(plan.levers["streams"], CHOICES[order[:, 0]])
    assert list(CHOICES[order[:, 0]]) == [1, 2, 4, 1]
    assert_array_equal(plan.runner_up["streams"], CHOICES[order[:, 1]])
    assert_allclose(plan.total_cost, least, rtol=1e-6)  # of sizes 2e-4 apart
    assert_allclose(plan.runner_up["excess"], second / least - 1, rtol=0, atol=1e-6)


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
