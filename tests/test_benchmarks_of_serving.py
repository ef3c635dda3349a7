"""The benchmark of serving runs, agrees with plain calls, and notices what does not."""

import json
from types import SimpleNamespace

import jax
import pytest

import jaxscale as js
from benchmarks import serving, serving_kernels, serving_plans, serving_sweep
from benchmarks.harness import Disagreement, Options
from jaxscale._numerics.interpreted import interpreted

if not jax.config.jax_enable_x64:
    pytest.skip("the benchmark turns float64 on", allow_module_level=True)

COUNT = 10**5


@pytest.fixture(scope="module")
def quick():
    return json.loads(json.dumps(serving.run(Options(quick=True, scenarios=COUNT))))


def test_a_sweep_of_decode_steps_is_what_plain_calls_give(quick):
    (row,) = quick["rows"]
    assert abs(row["scenarios"] / COUNT - 1) < 0.01
    assert row["agreement"]["truth"] < 1e-12
    assert 0.5 < row["solved"] < 1  # the others do not fit
    assert row["scenarios_per_second"] == row["scenarios"] / row["seconds"]["median"]


def test_wrong_means_are_no_agreement():
    grid = serving_sweep.space(4000)
    moments = SimpleNamespace(mean=0.01)
    answer = {js.Moments(field): moments for field in serving_sweep.FIELDS}
    answer[js.StatusCounts()] = SimpleNamespace(ok=grid.size)
    with pytest.raises(Disagreement, match="steps"):
        serving.checked("steps", grid, "float64", answer)


def test_every_source_is_summarised(quick):
    assert sum(source["rows"] for source in quick["sources"]) == len(quick["servers"])
    for source in quick["sources"]:
        assert source["least"] <= source["median"] <= source["greatest"]
    if serving_kernels.FOLDER.is_dir():
        assert {each["device"] for each in quick["kernels"]} == set(serving_kernels.FILES)
    else:
        assert "absent" in quick["omitted"]["kernels"]
    # Joint plans compile for long, and are left out of a quick run.
    assert all(aim["met"] for aim in quick["aims"] if aim["row"] != serving.JOINT)


def test_a_joint_plan_that_is_not_the_cheapest_is_no_agreement():
    prices = serving_plans.costs()
    # NumPy takes a second for so few; XLA compiles for ten.
    plan = interpreted(serving_plans.solve, 64, prices)
    assert serving_plans.checked("plans", 64, prices, plan)["solved"] == 1
    tokens = js.laws.tokens_for(serving_plans.LAW, plan.loss, plan.params * 1.1)
    _, demand = serving_plans.scenarios(64)
    dearer = js.evaluate(serving_plans.LAW, plan.params * 1.1, tokens, demand, prices)
    with pytest.raises(Disagreement, match="plans"):
        serving_plans.checked("plans", 64, prices, dearer)


def test_report_has_every_server(quick, capsys):
    serving.show(quick)
    printed = capsys.readouterr().out
    assert "LLaMA 70B, 4 x A100-80GB" in printed
    assert "error of servers of one device" in printed
