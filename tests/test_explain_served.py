"""Sentences on plans whose serving is timed: the limit that bounds one, and why there is none."""

from dataclasses import replace

import pytest

import jaxscale as js
from jaxscale._numerics.interpreted import interpreted

LAW = js.laws.published("sardana2024")
H100 = js.accelerator("H100-SXM", price=2.0)
REQUESTS = js.serving.Requests(1155, 211, kept=8000.0)
FAMILY = replace(js.architectures.LLAMA, context=8000.0)
LITTLE, MUCH = js.Demand(8e9, 2e9), js.Demand(8e13, 2e13)


def costs(limits=None, counts=(1,), devices=H100, family=FAMILY):
    return js.Costs.served(family, devices, REQUESTS, limits, train=H100, counts=counts)


def solved(prices, loss=None, budget=None, bounds=None, demand=LITTLE):
    """The plan, which takes NumPy a second and XLA ten to compile, with its explanation."""
    solve, target = (js.minimize_cost, loss) if budget is None else (js.minimize_loss, budget)
    plan = interpreted(solve, LAW, target, demand, prices, bounds)
    told = {"loss": loss, "budget": budget, "demand": demand, "bounds": bounds}
    return plan, js.explain(plan, LAW, costs=prices, **told)


@pytest.mark.parametrize(
    ("prices", "target", "sentence"),
    [
        (
            costs(),
            {"loss": 1.9},
            "The size is bounded: 1 x H100-SXM has no room for a larger model and its cache.",
        ),
        (
            costs(js.serving.Limits(token_seconds=0.012), (1, 2)),
            {"loss": 1.9},
            "The size is bounded: a larger model takes more than 12.0 ms a token on 2 x H100-SXM, "
            "and other counts cost more.",
        ),
        (
            costs(js.serving.Limits(first_token_seconds=0.05)),
            {"loss": 2.0},
            "The size is bounded: a larger model takes more than 50.0 ms to the first token on "
            "1 x H100-SXM.",
        ),
    ],
    ids=["memory", "token", "first token"],
)
def test_the_limit_that_bounds_a_plan_is_told(prices, target, sentence):
    plan, told = solved(prices, **target)
    assert js.Status(int(plan.status)) is js.Status.AT_MAX_PARAMS
    assert told == sentence


def test_a_limit_is_told_without_its_numbers_where_no_costs_are_given():
    plan, _ = solved(costs(), loss=1.9)
    assert js.explain(plan, LAW) == "Memory on 1 device bounds the size."


def planned(prices):
    return interpreted(js.minimize_cost, LAW, 1.9, LITTLE, prices)


def test_what_no_limit_allows_is_told_by_the_plan_without_limits():
    limits = js.serving.Limits(token_seconds=0.002)
    plan, told = solved(costs(limits, (8,)), loss=1.9)
    assert js.Status(int(plan.status)) is js.Status.INFEASIBLE_BOUNDS
    assert told.startswith("No model of that quality keeps the limits on 8 x H100-SXM; without")
    free = planned(costs(counts=js.serving.COUNTS))
    seconds = float(free.serving["token_seconds"])
    assert f"{float(free.params) / 1e9:.1f}B params on {int(free.serving['devices'])} x" in told
    assert f"takes {seconds * 1e3:.1f} ms a token" in told
    # What is allowed instead is the time of the cheapest plan on the same devices.
    free = planned(costs(counts=(8,)))
    needed = f"{float(free.serving['token_seconds']) * 1e3:.1f} ms"
    assert told.endswith(f"The limit of 2.00 ms a token fails first: allow {needed}.")
    limits = js.serving.Limits(token_seconds=1.02 * float(free.serving["token_seconds"]))
    assert js.Status(int(planned(costs(limits, (8,))).status)).ok


@pytest.mark.parametrize(
    ("limits", "devices", "loss", "sentence"),
    [
        # As a token's time, above.
        pytest.param(
            js.serving.Limits(token_seconds=0.05, first_token_seconds=0.001),
            8,
            1.9,
            " The limit of 1.00 ms to the first token fails first: allow ",
            marks=pytest.mark.thorough,
        ),
        (
            js.serving.Limits(token_seconds=0.2),
            1,
            1.8,
            " Memory fails first: use 64 x H100-SXM, 8 stages of 8.",
        ),
        (
            js.serving.Limits(token_seconds=0.001, first_token_seconds=0.001),
            8,
            1.9,
            " Each limit of time fails by itself: raise both.",
        ),
    ],
    ids=["first token", "memory", "both"],
)
def test_the_limit_that_fails_first_is_told_with_what_keeps_the_others(
    limits, devices, loss, sentence
):
    _, told = solved(costs(limits, (devices,)), loss=loss)
    assert sentence in told if sentence.endswith(" ") else told.endswith(sentence)


def test_bounds_and_quality_are_told_where_limits_are_not_the_reason():
    bounds = js.Bounds(max_params=1e7)
    _, told = solved(costs(), loss=2.1, bounds=bounds)
    assert told.startswith("No plan of at most 10.0M params reaches the loss 2.1; the least")
    _, told = solved(costs(), loss=1.70)
    assert told.startswith("No model of that quality fits 64 x H100-SXM; the one")


def test_a_budget_below_the_price_of_serving_is_told_beside_that_price():
    budget = 1.0
    plan, told = solved(costs(), budget=budget, demand=MUCH)
    assert js.Status(int(plan.status)) is js.Status.INFEASIBLE_BUDGET
    assert told.startswith("The budget 1.00 does not pay for serving the demand, which takes")
    least = float(told.rsplit("takes ", 1)[1].split()[0].removesuffix("K"))
    assert least > budget


def test_requests_longer_than_the_context_have_a_status_and_no_plan():
    prices = costs(family=replace(FAMILY, context=1000.0))
    plan, told = solved(prices, loss=2.1)
    assert js.Status(int(plan.status)) is js.Status.CONTEXT_TOO_LONG
    assert told == js.Status.CONTEXT_TOO_LONG.sentence
    evaluated = js.evaluate(LAW, 3e9, 1e12, LITTLE, prices)
    assert int(evaluated.status) == int(plan.status)
