"""Plans: what `evaluate` prices, and what a plan says of itself."""

import dataclasses

import jax
import numpy as np
import pytest

import jaxscale as js
from conftest import X64
from reference import Costs, Demand, Law, priced

LAW = js.laws.Chinchilla(1.69, 406.4, 410.7, 0.336, 0.283)
RTOL = 1e-13 if X64 else 2e-6
NUMBERS = ("params", "tokens", "loss", "train_cost", "prefill_cost", "decode_cost")


@pytest.mark.parametrize("params", [1e6, 7e9, 1e13])
@pytest.mark.parametrize("tokens", [1e8, 1.4e12])
def test_evaluate_agrees_with_the_papers_formulas(params, tokens):
    plan = js.evaluate(LAW, params, tokens, js.Demand(1e12, 3e11), js.Costs(2e-18, 1e-18, 5e-17))
    law = Law(*(float(np.asarray(x, plan.loss.dtype)) for x in (1.69, 406.4, 410.7, 0.336, 0.283)))
    truth = priced(law, params, tokens, Demand(1e12, 3e11), Costs(2e-18, 1e-18, 5e-17))
    for name in NUMBERS:
        np.testing.assert_allclose(getattr(plan, name), float(getattr(truth, name)), rtol=RTOL)


def test_flops_are_counted_exactly_by_default():
    plan = js.evaluate(LAW, 7e9, 2e12)
    assert plan.train_cost == np.asarray(6 * 7e9 * 2e12, plan.loss.dtype)
    assert plan.inference_cost == 0


def test_sums_and_ratios_follow_from_the_fields():
    plan = js.evaluate(LAW, 7e9, 2e12, js.Demand(1e12, 5e11))
    assert plan.inference_cost == plan.prefill_cost + plan.decode_cost
    assert plan.total_cost == plan.train_cost + plan.inference_cost
    np.testing.assert_allclose(plan.tokens_per_param, 2e12 / 7e9, rtol=RTOL)
    assert plan.ok


def test_a_bill_that_overflows_is_out_of_range():
    huge = float(np.finfo(float if X64 else np.float32).max) / 1e3
    plan = js.evaluate(LAW, np.array([huge, 1e9]), 1e6)
    assert [js.Status(int(x)).name for x in plan.status] == ["OUT_OF_RANGE", "OK"]
    assert np.isnan(plan.params[0])
    assert np.isfinite(plan.total_cost[1])


@pytest.mark.parametrize("status", js.Status)
def test_every_status_says_what_it_means(status):
    assert status.sentence.endswith(".")
    assert len(status.sentence) > 20
    assert status.ok == (status.name in {"OK", "BEST_OF_SEVERAL"} or status.name.startswith("AT_"))


def test_statuses_fit_in_a_byte_and_keep_their_numbers():
    # Stored results hold these numbers: they may be added to, never changed.
    assert [status.name for status in js.Status] == [
        "OK",
        "AT_MIN_PARAMS",
        "AT_MAX_PARAMS",
        "AT_MIN_TOKENS",
        "AT_MAX_TOKENS",
        "AT_MAX_RATIO",
        "AT_CORNER",
        "INFEASIBLE_LOSS",
        "INFEASIBLE_BUDGET",
        "INFEASIBLE_BOUNDS",
        "INVALID_INPUT",
        "OUT_OF_RANGE",
        "NO_INTERIOR_OPTIMUM",
        "NOT_CONVERGED",
        "SEVERAL_OPTIMA",
        "AT_LEVER_END",
        "OUT_OF_MEMORY",
        "CONTEXT_TOO_LONG",
        "TOO_SLOW",
        "DO_NOT_TRAIN",
        "NO_FINITE_PRICE",
        "BEST_OF_SEVERAL",
        "BEYOND_LAW",
        "AT_CEILING",
    ]
    assert [int(status) for status in js.Status] == list(range(24))


def test_a_plan_shows_itself_in_few_lines():
    law = js.laws.published("sardana2024")
    one = js.minimize_cost(law, 2.0)
    assert repr(one).startswith("Plan(params=19.5B, tokens=933B, ")
    assert repr(one).endswith("status=OK)")
    many = js.minimize_cost(law, np.linspace(1.5, 2.2, 100).reshape(50, 2))
    lines = repr(many).splitlines()
    assert len(lines) <= 30
    assert lines[0] == "Plan of shape (50, 2)"
    assert "INFEASIBLE_LOSS" in lines[3]
    assert lines[-1] == "... and 75 more"
    assert many._repr_html_().count("<tr>") == 1 + 25 + 1


def test_a_plan_shows_itself_inside_a_transformation():
    shown = []

    @jax.jit
    def scenario(loss):
        plan = js.minimize_cost(js.laws.published("sardana2024"), loss)
        shown.append(repr(plan))
        assert plan._repr_html_() is None
        return plan

    plan = scenario(2.0)
    assert "Tracer" in shown[0]
    assert repr(jax.tree.map(lambda x: None, plan)).startswith("Plan(params=None")


def test_a_dataframe_of_one_plan_has_one_row():
    pytest.importorskip("pandas")
    plan = js.minimize_cost(js.laws.published("sardana2024"), 2.4)
    frame = plan.to_dataframe()
    assert frame["status"].tolist() == ["OK"]
    assert frame["params"].tolist() == [float(plan.params)]


def test_a_dataframe_of_plans_has_a_row_for_each_scenario():
    pytest.importorskip("pandas")
    law = js.laws.published("sardana2024")
    plan = js.minimize_cost(law, np.array([[2.0, 2.1, 1.0]]))
    frame = plan.to_dataframe()
    assert frame["axis_1"].tolist() == [0, 1, 2]
    assert frame["status"].tolist() == ["OK", "OK", "INFEASIBLE_LOSS"]
    np.testing.assert_array_equal(frame["params"], np.ravel(plan.params))


def test_a_plan_that_is_served_shows_its_devices():
    pytest.importorskip("pandas")
    device = js.accelerator("H100-SXM", price=2.0)
    requests = js.serving.Requests(1000, 200)
    costs = js.Costs.served(js.architectures.LLAMA, device, requests, train=device, counts=[1])
    law, tokens = js.laws.published("sardana2024"), np.array([[1e12], [2e12], [3e12]])
    plan = js.evaluate(law, 3e9, tokens, js.Demand(np.array([1e12, 2e12]), 1e11), costs)
    # One size is served alike however long it was trained, and has the shape of all nonetheless.
    assert {np.shape(x) for x in jax.tree.leaves(plan)} == {(3, 2)}
    assert "devices  batch  token_seconds" in repr(plan).splitlines()[1]
    one = repr(jax.tree.map(lambda x: x[0, 0], plan))
    milliseconds = float(plan.serving["token_seconds"][0, 0]) * 1e3
    assert f"devices=1, batch={plan.serving['batch'][0, 0]:.0f}, " in one
    assert f"token_seconds={milliseconds:.1f} ms, status=OK)" in one
    frame = plan.to_dataframe()
    assert set(frame["reason"]) == {"none"}
    for name in set(plan.serving) - {"reason"}:
        np.testing.assert_array_equal(frame[name], np.ravel(plan.serving[name]))


def test_a_data_frame_says_in_words_what_bounds_a_plan():
    pytest.importorskip("pandas")
    plan = js.minimize_cost(js.laws.published("sardana2024"), np.array([2.0, 2.1]))
    served = {"reason": np.array([1, 0], np.int8)}
    frame = dataclasses.replace(plan, serving=served).to_dataframe()
    assert frame["reason"].tolist() == ["memory", "none"]
