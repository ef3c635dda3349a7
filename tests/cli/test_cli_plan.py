"""`jaxscale plan`: what it prints is what the library finds."""

import json

import numpy as np
import pytest

import jaxscale as js
from jaxscale._written import count

pytest.importorskip("typer")

MODEL = ("--like-params", "70B")
DEMAND = ("--inference-tokens", "10T")
DOLLARS = ("--train-on", "A100-80GB", "--train-price", "1.50", "--serve-on", "A100-40GB")
INT8 = ("--serve-precision", "int8")


@pytest.fixture
def plan(command):
    """The record that `jaxscale plan ... --json` prints."""

    def run(*arguments):
        code, out, err = command("plan", *arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return run


def expected(loss=1.9, demand=None, costs=None, bounds=None, law="sardana2024"):
    """The optimum by the library, in the names of the record."""
    law = js.laws.published(law) if isinstance(law, str) else law
    found = js.minimize_cost(law, loss, demand, costs, bounds)
    names = ("params", "tokens", "tokens_per_param", "loss", "train_cost", "prefill_cost")
    names += ("decode_cost", "total_cost", "marginal_cost")
    return pytest.approx({name: float(getattr(found, name)) for name in names}, rel=1e-9)


def test_table_2_of_sardana_et_al_is_printed(command):
    # Row 5: a 70B-quality model and a demand of 10T tokens.
    code, out, err = command("plan", *MODEL, *DEMAND)
    assert (code, err) == (0, "")
    for printed in ("70.0B", "41.6B", "7.92T", "2.81e24 FLOPs", "3.19e24 FLOPs", "12 %"):
        assert printed in out
    assert "1.8918" in out


@pytest.mark.parametrize(
    ("model", "demand", "params", "tokens", "flops", "saving"),
    [
        ("1B", "50B", 633e6, 46.8e9, 2.41e20, 0.091),  # printed 6.33M: a misprint
        ("7B", "200B", 5.4e9, 367e9, 1.40e22, 0.026),
        ("13B", "1T", 8.32e9, 967e9, 6.49e22, 0.085),
        ("30B", "5T", 16.4e9, 3.27e12, 4.86e23, 0.16),
        ("70B", "10T", 41.6e9, 7.92e12, 2.81e24, 0.12),
    ],
)
def test_every_row_of_table_2(plan, model, demand, params, tokens, flops, saving):
    found = plan("--like-params", model, "--inference-tokens", demand)
    # A unit in the last digit that the paper prints.
    assert found["optimum"]["params"] == pytest.approx(params, rel=0.003)
    assert found["optimum"]["tokens"] == pytest.approx(tokens, rel=0.003)
    assert found["optimum"]["total_cost"] == pytest.approx(flops, rel=0.004)
    assert found["saving"] == pytest.approx(saving, abs=0.005)


def test_what_a_slightly_lower_loss_costs_is_printed_where_it_is_known(command):
    law = js.laws.published("sardana2024")
    costs = js.minimize_cost(law, np.array([1.9, 1.89, 1.75, 1.74]), js.Demand(1e13)).total_cost
    _, out, _ = command("plan", "--loss", "1.9", *DEMAND)
    assert f"A loss 0.01 nat lower costs {(costs[1] - costs[0]) / 1e23:.2f}e23 FLOPs more." in out
    # Near E the next hundredth costs more than twice what the slope says.
    found = json.loads(command("plan", "--loss", "1.75", *DEMAND, "--json").out)
    assert found["cost_of_a_hundredth_nat"] == pytest.approx(float(costs[3] - costs[2]), rel=1e-9)
    assert found["cost_of_a_hundredth_nat"] > 0.019 * found["optimum"]["marginal_cost"]
    _, out, _ = command("plan", "--loss", "1.695", *DEMAND)
    assert "No plan has a loss 0.01 nat lower." in out
    # Bounds beat this loss, so the next lower one is free.
    _, out, _ = command("plan", "--loss", "3", *DEMAND, "--min-params", "7B", "--min-tokens", "1T")
    assert "nat lower" not in out


def test_table_3_of_sardana_et_al_is_printed_in_dollars(command):
    # Row 4, with the split of 70 tokens in and 145 out that its numbers were made with.
    tokens = ("--input-tokens", f"{5e12 * 70 / 215}", "--output-tokens", f"{5e12 * 145 / 215}")
    code, out, err = command("plan", "--like-params", "30B", *tokens, *DOLLARS, *INT8)
    assert (code, err) == (0, "")
    for printed in ("30.0B", "8.58B", "12.1T", "$4.52M", "$10.8M", "58 %"):
        assert printed in out
    assert "Trained on A100-80GB at $1.50 an hour: bf16, 50 % MFU in training" in out
    assert "int8, 50 % MFU in prefill, 1 % MFU in decode" in out


def test_flops_are_the_default(plan):
    found = plan("--loss", "1.9", *DEMAND)
    assert found["unit"] == "FLOPs"
    assert found["optimum"] == expected(1.9, js.Demand(1e13))
    assert found["law"] == {
        "name": "sardana2024", "E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.336, "beta": 0.283,
    }  # fmt: skip


def test_the_chinchilla_plan_is_the_training_optimum_priced_with_the_demand(plan):
    found = plan("--loss", "1.9", *DEMAND)
    law = js.laws.published("sardana2024")
    size = js.minimize_cost(law, 1.9)
    priced = js.evaluate(law, size.params, size.tokens, js.Demand(1e13))
    assert found["chinchilla"]["params"] == pytest.approx(float(size.params), rel=1e-9)
    assert found["chinchilla"]["total_cost"] == pytest.approx(float(priced.total_cost), rel=1e-9)
    ratio = found["optimum"]["total_cost"] / found["chinchilla"]["total_cost"]
    assert found["saving"] == pytest.approx(1 - ratio)


def test_a_model_to_match_is_its_loss(plan):
    loss = float(js.laws.published("sardana2024").loss(70e9, 1.4e12))
    found = plan("--like-params", "70B", "--like-tokens", "1.4T", *DEMAND)
    assert found["target_loss"] == pytest.approx(loss, rel=1e-6)


def test_a_model_without_tokens_is_compute_optimal_at_no_demand(plan):
    found = plan(*MODEL, *DEMAND)
    assert found["chinchilla"]["params"] == pytest.approx(70e9, rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "demand"),
    [
        (("--inference-tokens", "5T"), (5e12, 0)),
        (("--input-tokens", "2T", "--output-tokens", "3T"), (2e12, 3e12)),
        (("--input-tokens", "2T", "--output-tokens", "0"), (2e12, 0)),
        (
            ("--requests", "1.5B", "--input-per-request", "70", "--output-per-request", "215"),
            (1.5e9 * 70, 1.5e9 * 215),
        ),
        (("--inference-tokens", "0"), (0, 0)),
    ],
)
def test_demand_is_given_in_three_ways(plan, arguments, demand):
    found = plan("--loss", "1.9", *arguments)
    assert found["demand"] == {"input_tokens": demand[0], "output_tokens": demand[1]}
    assert found["optimum"] == expected(1.9, js.Demand(*demand))


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        ((), {}),
        (("--train-precision", "fp16"), {"train_precision": "fp16"}),
        (("--train-mfu", "40%"), {"train_mfu": 0.4}),
        (("--prefill-mfu", "0.3"), {"prefill_mfu": 0.3}),
        (("--decode-mfu", "2%"), {"decode_mfu": 0.02}),
        (("--train-price", "$3"), {"train": js.accelerator("A100-80GB", price=3.0)}),
        (("--serve-price", "2"), {"serve": js.accelerator("A100-40GB", price=2.0)}),
        (("--train-on", "a100 40gb"), {"train": js.accelerator("A100-40GB", price=1.5)}),
        (("--serve-on", "L4", "--serve-price", ".44"), {"serve": js.accelerator("L4", price=0.44)}),
    ],
)
def test_every_option_about_dollars_counts(plan, arguments, changed):
    usual = {
        "train": js.accelerator("A100-80GB", price=1.5),
        "serve": js.accelerator("A100-40GB"),
        "serve_precision": "int8",
    }
    tokens = ("--input-tokens", "1T", "--output-tokens", "1T")
    found = plan("--loss", "1.9", *tokens, *DOLLARS, *INT8, *arguments)
    assert found["unit"] == "dollars"
    costs = js.Costs.on(**{**usual, **changed})
    assert found["optimum"] == expected(1.9, js.Demand(1e12, 1e12), costs)


@pytest.mark.parametrize(
    ("arguments", "bounds", "status"),
    [
        (("--max-params", "34B"), {"max_params": 34e9}, "AT_MAX_PARAMS"),
        (("--max-tokens", "7T"), {"max_tokens": 7e12}, "AT_MAX_TOKENS"),
        (("--max-tokens-per-param", "100"), {"max_tokens_per_param": 100.0}, "AT_MAX_RATIO"),
        (("--max-params", "1T"), {"max_params": 1e12}, "OK"),
    ],
)
def test_bounds_hold_the_optimum_and_not_the_chinchilla_plan(plan, arguments, bounds, status):
    found = plan(*MODEL, *DEMAND, *arguments)
    assert found["optimum"] == expected(
        found["target_loss"], js.Demand(1e13), bounds=js.Bounds(**bounds)
    )
    assert found["status"] == status
    (limit,) = bounds.values()
    named = f", {count(limit)}," if status != "OK" else ""
    assert found["status_sentence"].replace(named, "") == js.Status[status].sentence
    assert named in found["status_sentence"]
    assert found["chinchilla"]["params"] == pytest.approx(70e9, rel=1e-9)


def test_a_bound_that_decides_is_said(command):
    code, out, err = command("plan", *MODEL, *DEMAND, "--max-params", "34B")
    assert (code, err) == (0, "")
    assert "The bound max_params, 34.0B, decides; raise it for" in out


def test_no_bound_is_said_where_none_decides(command):
    out = command("plan", *MODEL, *DEMAND, "--max-params", "1T").out
    assert "bound" not in out.lower()


@pytest.mark.parametrize("name", ["hoffmann2022", "besiroglu2024", "BESIROGLU2024"])
def test_laws_are_chosen_by_name(plan, name):
    found = plan("--loss", "2.1", *DEMAND, "--law", name)
    assert found["law"]["name"] == name.lower()
    assert found["optimum"] == expected(2.1, js.Demand(1e13), law=name.lower())


def test_laws_are_chosen_by_coefficients(plan):
    text = "E=1.7, a=400, B=410.7, Alpha=.34, beta=.28"
    law = js.laws.Chinchilla(E=1.7, A=400.0, B=410.7, alpha=0.34, beta=0.28)
    found = plan("--loss", "2.1", *DEMAND, "--law", text)
    assert found["optimum"] == expected(2.1, js.Demand(1e13), law=law)
    assert found["note"] == ""  # nobody said in what range these were fitted


def test_a_law_of_another_family_is_chosen_by_coefficients(plan):
    text = "kaplan: N_c=8.8e13, D_c=5.4e13, alpha_N=0.076, ALPHA_D=0.095"
    law = js.laws.Kaplan(N_c=8.8e13, D_c=5.4e13, alpha_N=0.076, alpha_D=0.095)
    found = plan("--loss", "2.1", *DEMAND, "--law", text)
    assert found["optimum"] == expected(2.1, js.Demand(1e13), law=law)


def test_extrapolation_is_said_in_one_line(command):
    out = command("plan", *MODEL, *DEMAND).out
    (line,) = [line for line in out.splitlines() if "Extrapolated" in line]
    assert line == (
        "Extrapolated: the runs behind sardana2024 had 70.0M to 16.0B params, 5.00B to 500B tokens."
    )


def test_a_plan_in_range_says_nothing_of_extrapolation(command, plan):
    inside = ("--like-params", "2B", "--inference-tokens", "10B")
    assert "Extrapolated" not in command("plan", *inside).out
    assert plan(*inside)["note"] == ""


def test_a_law_of_unknown_range_says_so(plan):
    assert plan("--loss", "2.1", *DEMAND, "--law", "muennighoff2023")["note"] == (
        "The range of the runs behind muennighoff2023 is not known."
    )


def test_a_plan_that_bounds_make_dearer_saves_nothing(command):
    question = ("--loss", "2.1", "--inference-tokens", "1T", "--max-tokens", "50B")
    text = " ".join(command("plan", *question).out.split())
    assert "saving - Bounds make the optimum cost 232 times what the Chinchilla plan costs." in text
    record = json.loads(command("plan", *question, "--json").out)
    ratio = record["optimum"]["total_cost"] / record["chinchilla"]["total_cost"]
    assert record["saving"] == pytest.approx(1 - ratio)


# --- Time of the training ------------------------------------------------------------------------

H100S = ("--train-on", "H100-SXM", "--train-price", "2", "--train-mfu", "40%")
H100S += ("--serve-on", "H100-SXM", "--serve-price", "2")


def test_days_on_a_number_of_devices_are_those_of_the_library(plan, command):
    asked = (*MODEL, *DEMAND, *H100S, "--train-count", "4096")
    found = plan(*asked)
    for name in ("optimum", "chinchilla"):
        sizes = js.evaluate(
            js.laws.published("sardana2024"), found[name]["params"], found[name]["tokens"]
        )
        seconds = float(js.training_time(sizes, js.accelerator("H100-SXM"), 4096, 0.4))
        time = {"count": 4096, "seconds": pytest.approx(seconds, rel=1e-9)}
        assert found["training_time"][name] == time
    days = found["training_time"]["optimum"]["seconds"] / 86400
    assert f"days on 4,096 devices      {count(days)}" in command("plan", *asked).out


def test_devices_for_a_deadline_are_the_fewest_that_meet_it(plan, command):
    asked = (*MODEL, *DEMAND, *H100S, "--deadline", "30d")
    month = 30 * 86400
    for time in (found := plan(*asked)["training_time"]).values():
        assert time["seconds"] <= month < time["seconds"] * time["count"] / (time["count"] - 1)
    devices = f"{found['optimum']['count']:,}"
    assert f"devices for 30 days     {devices}" in command("plan", *asked).out


@pytest.mark.parametrize(
    ("deadline", "text"), [("5h", "5 hours"), ("1d", "1 day"), ("90s", "1.5 minutes")]
)
def test_a_deadline_is_written_in_its_own_unit(command, deadline, text):
    assert (
        f"devices for {text} "
        in command("plan", *MODEL, *DEMAND, *H100S, "--deadline", deadline).out
    )


def test_a_deadline_that_a_whole_count_just_meets_takes_that_count(plan):
    asked = (*MODEL, *DEMAND, *H100S)
    seconds = plan(*asked, "--train-count", "1000")["training_time"]["optimum"]["seconds"]
    found = plan(*asked, "--deadline", f"{seconds!r}s")
    assert found["training_time"]["optimum"]["count"] == 1000


def test_a_law_that_counts_its_own_flops_trains_as_long_as_they_take(plan):
    law = ("--law", "kumar2024", "--lever", "bits=8")
    found = plan("--loss", "3", "--inference-tokens", "1T", *law, *H100S, "--train-count", "8")
    sizes = found["optimum"]
    flops = 6 * sizes["params"] * sizes["tokens"] * 8 / 16
    assert found["training_time"]["optimum"]["seconds"] == pytest.approx(
        flops / (8 * 989e12 * 0.4), rel=1e-9
    )


def test_no_time_is_asked_for_by_default(plan):
    assert plan("--loss", "1.9", *DEMAND)["training_time"] is None
