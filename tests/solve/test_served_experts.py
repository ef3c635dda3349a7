"""Plans of mixtures of experts whose serving is priced by size: beside a grid of whole models."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale import Status
from solve.lanes import SOLVERS, TARGETS, needs_x64

pytestmark = needs_x64

LAW = js.laws.published("ludziejewski2025")
LLAMA = js.architectures.LLAMA
H100 = js.accelerator("H100-SXM", price=2.0)
REQUESTS = js.serving.Requests(1000, 200)
# The demand is in the ratio of the requests, so that one machine is the best for both.
DEMAND = js.Demand(1e12, 2e11)
COSTS = js.Costs.served(LLAMA, H100, REQUESTS, train=H100, counts=(1, 2, 4), every_split=True)
EXPERTS = np.array([1.0, 4.0, 32.0])
TARGET = {"loss": 2.15, "budget": 5e4}


def served_by_hand(experts, total):
    """Active params, and dollars of serving the demand, of models of so many params in all."""
    family = replace(LLAMA, experts=experts, active_experts=1.0)
    shape = family.architecture(total)
    service = js.serving.best(shape, H100, REQUESTS, counts=(1, 2, 4)).service
    read, written = (
        np.asarray(getattr(service, f"dollars_per_million_{way}_tokens"))
        for way in ("input", "output")
    )
    return np.asarray(shape.active_params), (read * 1e12 + written * 2e11) / 1e6


def by_grid(target, experts):
    """The best value of a thousand sizes."""
    params, served = served_by_hand(experts, np.geomspace(1e8, 1e11, 1000))
    law = LAW.two_powers(experts=experts)
    flop, left = COSTS.train, TARGET[target]
    with np.errstate(invalid="ignore"):
        if target == "loss":
            reducible = left - law.E - law.A / params**law.alpha
            tokens = np.where(reducible > 0, (law.B / reducible) ** (1 / law.beta), np.nan)
            return np.nanmin(flop * 6 * params * tokens + served)
        tokens = np.where(left > served, (left - served) / (flop * 6 * params), np.nan)
        return np.nanmin(LAW.loss(params, tokens, experts=experts))


def test_each_number_of_experts_is_priced_as_a_model_of_its_own_memory():
    total = np.geomspace(1e8, 1e11, 1000)
    params, served = zip(*(served_by_hand(experts, total) for experts in EXPERTS), strict=True)
    levers = {"experts": EXPERTS[:, None]}
    plan = js.evaluate(LAW, np.array(params), 1e12, DEMAND, COSTS, levers=levers)
    assert_array_equal(plan.status, Status.OK)
    assert_allclose(plan.inference_cost, served, rtol=1e-9)
    assert_allclose(plan.train_cost, COSTS.train * 6e12 * np.array(params), rtol=1e-12)
    # Of as many active params, idle experts leave less room for a batch.
    costs = [np.interp(2e9, x, y) for x, y in zip(params, plan.inference_cost, strict=True)]
    assert np.all(np.diff(costs) > 0)


# A program of a served plan takes eight seconds to compile.
@pytest.mark.thorough
@pytest.mark.parametrize("target", TARGETS)
def test_no_size_is_better_and_experts_are_chosen_by_what_serving_them_costs(target):
    asked = LAW, TARGET[target], DEMAND, COSTS
    plan = SOLVERS[target](*asked, levers={"experts": EXPERTS})
    assert_array_equal(plan.status, Status.OK)
    value = plan.total_cost if target == "loss" else plan.loss
    best = np.array([by_grid(target, experts) for experts in EXPERTS])
    assert np.all(value <= best * (1 + 1e-9))
    assert_allclose(value, best, rtol=2e-4)  # the sizes of the grid are 0.7 % apart
    assert_allclose(plan.train_cost, COSTS.train * 6 * plan.params * plan.tokens, rtol=1e-12)
    priced = js.evaluate(LAW, plan.params, plan.tokens, DEMAND, COSTS, levers=plan.levers)
    assert_allclose(priced.total_cost, plan.total_cost, rtol=1e-12)
    chosen = SOLVERS[target](*asked, over={"experts": EXPERTS})
    assert chosen.levers["experts"] == EXPERTS[np.argmin(value)]
    assert_allclose(chosen.loss, plan.loss[np.argmin(value)], rtol=1e-12)
    bad = SOLVERS[target](*asked, levers={"experts": np.array([1.0, 0.5, np.nan])})
    assert_array_equal(bad.ok, [True, False, False])
    assert_allclose(bad.total_cost[0], plan.total_cost[0], rtol=1e-12)


@pytest.mark.thorough
def test_one_expert_is_served_as_a_dense_law():
    plan = js.minimize_cost(LAW, 2.15, DEMAND, COSTS, levers={"experts": 1.0})
    dense = js.minimize_cost(LAW.two_powers(experts=1.0), 2.15, DEMAND, COSTS)
    assert_allclose(plan.params, dense.params, rtol=1e-9)
    assert_allclose(plan.total_cost, dense.total_cost, rtol=1e-9)
