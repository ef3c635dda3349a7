"""Calls with serving priced by size: evaluation, laws of other kinds, sweeps, vmap and errors.

NumPy runs what is asked for once: that takes a quarter of what it takes to compile it.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from conftest import THOROUGH
from jaxscale import Status
from jaxscale._numerics.interpreted import interpreted
from solve import served_lanes as served
from solve.lanes import X64, needs_x64
from solve.served_lanes import FAMILY, TRAINER, costs_of, lanes, solve

SCENARIOS = ({}, {"loss": 2.2}, {"token": 0.02}, {"read": 1e10, "written": 1e9}, {"first": 1e-12})
NUMBERS = ("params", "tokens", "loss", "train_cost", "prefill_cost", "decode_cost")
DIGITS = 1e-9 if X64 else 1e-3


def numbers_of(plan):
    return {name: np.asarray(getattr(plan, name)) for name in NUMBERS}


def test_an_optimum_evaluates_to_its_own_costs():
    draws = lanes(*SCENARIOS)
    plan = solve(draws, "loss")
    demand = js.Demand(draws["read"], draws["written"])
    costs = costs_of(draws)
    again = interpreted(js.evaluate, served.LAW, plan.params, plan.tokens, demand, costs)
    assert plan.ok[:4].all()
    for name, number in numbers_of(plan).items():
        assert_allclose(getattr(again, name)[plan.ok], number[plan.ok], rtol=DIGITS)
    for name in ("choice", "devices", "batch", "token_seconds", "first_token_seconds"):
        assert_allclose(again.serving[name][plan.ok], plan.serving[name][plan.ok], rtol=DIGITS)
    assert not again.ok[~plan.ok].any()


def test_scenarios_one_by_one_are_a_batch():
    draws = {name: jnp.asarray(x) for name, x in lanes(*SCENARIOS).items()}
    together = solve(draws, "loss")
    alone = interpreted(jax.vmap(lambda x: solve(x, "loss")), draws)
    assert_allclose(alone.status, together.status)
    for name, number in numbers_of(together).items():
        # In float32 the cost is flat to rounding for half a percent of the params around its least.
        tolerance = 1e-11 if X64 else 1e-4 if name == "total_cost" else 0.02
        assert_allclose(getattr(alone, name), number, rtol=tolerance)


@needs_x64
def test_a_sweep_is_what_the_calls_give():
    def plans(loss, token):
        device = js.accelerator("H100-SXM", price=2.0)
        requests, limits = js.serving.Requests(1000.0, 250.0), js.serving.Limits(token)
        costs = js.Costs.served(FAMILY, device, requests, limits, train=TRAINER)
        plan = js.minimize_cost(served.LAW, loss, js.Demand(1e13, 2e12), costs)
        return {"total_cost": plan.total_cost, "status": plan.status}

    space = js.Grid(loss=js.linspace(1.6, 2.4, 20), token=js.geomspace(0.001, 0.1, 10))
    found = js.sweep(plans, space, dtype="float64", chunk=50)
    loss, token = (np.asarray(found[name].values) for name in ("loss", "token"))
    expected = interpreted(plans, loss[:, None], token[None, :])
    assert_allclose(found["total_cost"], expected["total_cost"], rtol=1e-9)
    np.testing.assert_array_equal(found["status"], expected["status"])
    if not THOROUGH:
        return
    counted = js.sweep(plans, space, dtype="float64", chunk=50, reduce=[js.StatusCounts()])
    counts = counted[js.StatusCounts()].counts
    statuses = np.asarray(expected["status"])
    assert {name: n for name, n in counts.items() if n} == {
        Status(int(x)).name: int((statuses == x).sum()) for x in np.unique(statuses)
    }
    assert counts["INFEASIBLE_LOSS"] > 0


@needs_x64
@pytest.mark.parametrize(
    ("name", "levers", "weights"),
    [
        ("kaplan2020", {}, None),
        ("kumar2024", {}, ["bf16", "fp8", "int4"]),
        pytest.param(
            "muennighoff2023_repeated", {"unique_tokens": 1e11}, None, marks=pytest.mark.thorough
        ),
    ],
)
def test_a_general_law_has_no_better_plan_beside_the_one_found(name, levers, weights):
    law, device = js.laws.published(name), js.accelerator("H100-SXM", price=2.0)
    requests = js.serving.Requests(1000.0, 250.0)
    demand = js.Demand(1e12, np.array([1e10, 1e12]))
    costs = js.Costs.served(FAMILY, device, requests, train=TRAINER, weights=weights, counts=[1, 4])
    at = {**levers, **({"bits": 16.0} if weights else {})}
    target = float(law.loss(3e9, 6e10, **at))
    plan = interpreted(js.minimize_cost, law, target, demand, costs, levers=levers)
    assert plan.ok.all()
    bytes_of, at = {"bf16": 2.0, "fp8": 1.0, "int4": 0.5}, {**levers, **plan.levers}
    assert_allclose(law.loss(plan.params, plan.tokens, **at), target, rtol=1e-9)
    if weights:
        stored = [costs.serving.options[i].weights for i in plan.serving["choice"]]
        assert_allclose(plan.levers["bits"], [8 * bytes_of[each] for each in stored])
    moved = np.concatenate([-np.geomspace(1e-3, 0.5, 8), np.geomspace(1e-3, 0.5, 8)])[:, None]
    params = np.asarray(plan.params) * np.exp(moved)
    for precision in weights or ["bf16"]:
        alone = js.Costs.served(
            FAMILY, device, requests, train=TRAINER, weights=precision, counts=[1, 4]
        )
        at = {**levers, **({"bits": 8 * bytes_of[precision]} if weights else {})}
        tokens = tokens_of(law, target, params, at)
        beside = interpreted(js.evaluate, law, params, tokens, demand, alone, levers=at)
        reached = np.asarray(beside.loss) <= target * (1 + 1e-12)
        assert reached.sum() > 10 or precision == "int4"
        cheaper = np.asarray(beside.total_cost) < np.asarray(plan.total_cost) * (1 - 1e-9)
        assert not (reached & cheaper).any()


def tokens_of(law, target, params, levers):
    """Tokens that reach the loss, by bisection."""
    low, high = np.zeros_like(params), np.full_like(params, 40.0)
    for _ in range(60):
        middle = (low + high) / 2
        reached = np.asarray(law.loss(params, np.exp(middle), **levers)) <= target
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return np.exp(high)


# --- Errors ---------------------------------------------------------------------------------

PRICED = js.accelerator("H100-SXM", price=2.0)
ASKED = js.serving.Requests(1000, 250)


def served_costs(family=FAMILY, devices=PRICED, requests=ASKED, limits=None, **chosen):
    return js.Costs.served(family, devices, requests, limits, **{"train": TRAINER, **chosen})


@pytest.mark.parametrize(
    ("changes", "kind", "answer"),
    [
        ({"devices": js.accelerator("H100-SXM")}, ValueError, "no price was chosen for H100-SXM"),
        ({"train": js.accelerator("H100-SXM")}, ValueError, "no price was chosen for H100-SXM"),
        ({"weights": "int3"}, ValueError, "precision of weights 'int3'"),
        ({"train_precision": "int3"}, ValueError, "int3"),
        ({"family": 7e9}, TypeError, "family must be a Family"),
        ({"devices": 3}, TypeError, "devices must be"),
        ({"devices": []}, ValueError, "devices must hold at least one"),
        ({"requests": 1000}, TypeError, "requests must be js.serving.Requests"),
        ({"limits": 0.05}, TypeError, "limits must be js.serving.Limits"),
        ({"train": "H100-SXM"}, TypeError, "train must be an Accelerator"),
        ({"counts": []}, ValueError, "counts must hold at least one"),
        ({"counts": [0]}, ValueError, "counts must be whole numbers from 1; got 0"),
        ({"utilisation": 1.5}, ValueError, "utilisation must be finite, above 0 and at most 1"),
    ],
)
def test_wrong_structure_is_named(changes, kind, answer):
    with pytest.raises(kind, match=answer):
        served_costs(**changes)


def test_other_functions_refuse_prices_by_size():
    costs, demand = served_costs(), js.Demand(1e12, 1e12)
    with pytest.raises(TypeError, match="price tokens by size"):
        costs.effective_demand(demand)
    with pytest.raises(TypeError, match="they are for minimize_cost, minimize_loss and evaluate"):
        js.repeated_sampling.minimize_cost_for_success(
            served.LAW, lambda loss: 2.1 - loss, 0.5, demand, costs
        )
    over = ("params", "tokens", "granularity")
    with pytest.raises(ValueError, match="over may not hold levers"):
        js.minimize_cost(js.laws.published("krajewski2024"), 2.5, demand, costs, over=over)


def test_a_context_that_the_family_lacks_is_too_long():
    family = replace(FAMILY, context=1249.0)
    plan = solve(lanes({}, {"prompt": 999.0}), "loss", family=family)
    found = [Status(int(x)) for x in plan.status[:2]]
    assert found == [Status.CONTEXT_TOO_LONG, Status.OK]
    assert np.isnan(plan.total_cost[0])
