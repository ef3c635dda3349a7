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


# Batch, tokens written, and of the cheapest plan streams, params and cost; then the second best,
# and by how much it is dearer. The guide to serving has the same table.
GUIDE = [
    (1, 1e10, 1, "2.18", "17.3", 2, "10"),
    (1, 1e11, 2, "1.23", "84.4", 1, "4"),
    (1, 1e12, 4, "0.81", "548.9", 2, "2"),
    (8, 1e10, 1, "3.47", "7.2", 2, "36"),
    (8, 1e11, 1, "1.99", "22.9", 2, "18"),
    (8, 1e12, 1, "1.34", "127.1", 2, "10"),
    (64, 1e10, 1, "4.49", "5.4", 2, "54"),
    (64, 1e11, 1, "2.65", "11.9", 2, "48"),
    (64, 1e12, 1, "1.60", "53.4", 2, "44"),
]


@needs_x64
def test_streams_are_chosen_where_weights_are_read_for_one_sequence_and_not_for_many():
    """Cheapest of 1, 2, 4 and 8 streams, by a grid of sizes in NumPy for each."""
    batch, written, *_ = map(np.array, zip(*GUIDE, strict=True))
    law, family = js.laws.published("besiroglu2024"), js.architectures.LLAMA
    plan = interpreted(
        js.minimize_cost,
        js.laws.with_streams(law, served.K),
        2.2,
        js.Demand(written, written),
        js.Costs.served(
            family,
            served.TRAINER,
            js.serving.Requests(500, 500),
            js.serving.Limits(max_batch=batch),
            train=served.TRAINER,
            counts=[1],
        ),
        over=("params", "tokens", "streams"),
    )
    sizes = np.geomspace(5e8, 1e10, 4001)[:, None, None]
    shape, rates = by_hand.shape_of(family, sizes), by_hand.rates_of(served.TRAINER, 1)
    each = by_hand.price(shape, rates, 500.0, 500.0, batch[:, None], streams=CHOICES)
    size = law.E + law.A / (sizes * (1 + served.K * np.log(CHOICES))) ** law.alpha
    tokens = (law.B / np.where(size < 2.2, 2.2 - size, np.nan)) ** (1 / law.beta)
    cost = 6 * sizes * CHOICES * tokens * served.TRAIN + written[:, None] * sum(each)
    by_streams = np.nanmin(cost, axis=0)
    order = np.argsort(by_streams, axis=1)
    least, second = (np.take_along_axis(by_streams, order[:, i : i + 1], 1)[:, 0] for i in (0, 1))
    assert plan.ok.all()
    assert_array_equal(plan.levers["streams"], CHOICES[order[:, 0]])
    assert_array_equal(plan.runner_up["streams"], CHOICES[order[:, 1]])
    assert_allclose(plan.total_cost, least, rtol=1e-6)  # of sizes 7e-4 apart
    assert_allclose(plan.runner_up["excess"], second / least - 1, rtol=0, atol=1e-6)
    found = zip(
        batch,
        written,
        plan.levers["streams"],
        (f"{x / 1e9:.2f}" for x in plan.params),
        (f"{x / 1e3:.1f}" for x in plan.total_cost),
        plan.runner_up["streams"],
        (f"{100 * x:.0f}" for x in plan.runner_up["excess"]),
        strict=True,
    )
    assert list(found) == GUIDE


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
