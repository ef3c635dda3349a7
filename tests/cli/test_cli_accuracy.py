"""Targets in accuracy: `--accuracy` of plan, compare and sweep, `--task` of estimate and profit."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js

DEMAND = ("--inference-tokens", "2T")
PLAN = ("plan", *DEMAND, "--accuracy")
SERVED = ("--train-on", "H100-SXM", "--train-price", "2", "--serve-on", "H100-SXM")
SERVED += ("--serve-price", "2")
PROFIT = ("profit", "--inference-tokens", "1T", *SERVED, "--accuracy-value", "1B$")
PROFIT += ("--worthless-at", "40%")
LOW = 1e10, 1e12


def answered(command, *arguments):
    run = command(*arguments, "--json")
    assert run.code == 0, run.err
    return json.loads(run.out)


def words(text):
    return " ".join(text.split())


def test_plan_is_the_one_for_the_loss_of_the_accuracy(command):
    task, demand = js.task("mmlu"), js.Demand(2e12)
    record = answered(command, *PLAN, "mmlu=45%")
    loss = float(task.loss(0.45))
    plan, better = (js.minimize_cost(task.law, task.loss(x), demand) for x in (0.45, 0.46))
    assert record["law"]["name"] == "bhagia2024_mmlu"
    assert_allclose(record["target_loss"], loss, rtol=1e-12)
    assert_allclose(record["optimum"]["params"], plan.params, rtol=1e-9)
    more = float(better.total_cost - plan.total_cost)
    assert_allclose(record["cost_of_an_accuracy_point"], more, rtol=1e-6)
    assert record["cost_of_a_hundredth_nat"] is None
    score = record["accuracy"]
    assert score["task"], score["benchmark"] == ("bhagia2024_mmlu", "MMLU")
    assert score["loss_unit"] == "bits per byte of the right answer"
    assert score["target"] == 0.45
    assert_allclose(score["optimum"], 0.45, rtol=1e-12)
    assert_allclose(score["check"]["predicted"], 0.51268, atol=1e-6)
    assert_allclose(score["check"]["measured"], 0.51614, atol=1e-5)


def test_the_law_of_the_task_may_be_named(command):
    record = answered(command, *PLAN, "mmlu=45%", "--law", "bhagia2024_mmlu")
    assert record == answered(command, *PLAN, "mmlu=45%")


def test_plan_says_the_accuracy_and_how_good_the_prediction_is(command):
    out = words(command(*PLAN, "MMLU=0.45").out)
    assert "Accuracy 45 % on MMLU (loss 0.83362 bits per byte of the right answer)" in out
    assert "accuracy 45 % 45 %" in out
    assert "One more point of accuracy costs" in out
    said = "Of 13.2B params on 5.00T tokens it predicts 51.3 % on MMLU; 51.6 % was measured."
    assert said in out
    assert "Extrapolated: the runs behind bhagia2024_mmlu" in out


def test_plan_within_bounds_says_the_accuracy_that_it_has(command):
    limits = ("--max-params", "1B", "--max-tokens", "100B")
    record = answered(command, *PLAN, "mmlu=30%", *limits)
    task = js.task("mmlu")
    assert_allclose(record["accuracy"]["optimum"], task.accuracy(record["optimum"]["loss"]))
    assert record["accuracy"]["optimum"] >= 0.3 * (1 - 1e-12)


def test_no_point_more_above_the_highest_accuracy(command):
    out = words(command(*PLAN, "mmlu=76%").out)
    assert "No plan has an accuracy a point higher." in out


def test_arc_challenge_is_said_to_be_badly_determined_wherever_it_is_used(command):
    asked = {
        "plan": (*PLAN, "arc-c=45%"),
        "compare": ("compare", *DEMAND, "--accuracy", "arc-c=45%"),
        "estimate": ("estimate", "--params", "1B", "--tokens", "100B", "--task", "arc-c"),
        "profit": (*PROFIT, "--task", "arc-c"),
    }
    for name, arguments in asked.items():
        assert "term of params is badly determined" in words(command(*arguments).out), name


def test_averages_of_gadre_are_by_their_published_law(command):
    record = answered(command, *PLAN, "gadre2024_c4=50%", "--law", "gadre2024_c4")
    task = js.task("gadre2024_c4")
    assert record["law"]["name"] == "gadre2024_c4"
    assert_allclose(record["target_loss"], task.loss(0.5), rtol=1e-12)
    assert record["accuracy"]["check"] is None
    assert "not known how well" in record["accuracy"]["note"]
    redpajama = answered(command, *PLAN, "gadre2024_redpajama=50%")["accuracy"]["check"]
    assert_allclose([redpajama["predicted"], redpajama["measured"]], [0.5281, 0.5284], atol=5e-5)


def test_compare_asks_every_law_that_knows_the_task(command):
    record = answered(command, "compare", *DEMAND, "--accuracy", "gadre2024_c4=50%")
    plans = {row["law"]: row for row in record["laws"] if row["optimum"]}
    assert set(plans) == {f"gadre2024_{x}" for x in ("c4", "redpajama", "refinedweb")}
    for name, row in plans.items():
        assert_allclose(row["target_loss"], js.task(name).loss(0.5), rtol=1e-12)
        assert_allclose(js.task(name).accuracy(row["optimum"]["loss"]), 0.5, rtol=1e-9)
    notes = {row["note"] for row in record["laws"] if not row["optimum"]}
    assert notes == {"its loss does not tell the accuracy on the 17 tasks of Gadre et al. 2024"}
    assert record["accuracy"]["target"] == 0.5


def test_compare_adds_the_law_of_a_task_and_gives_one_reason_for_the_others(command):
    run = command("compare", *DEMAND, "--accuracy", "mmlu=45%")
    out = words(run.out)
    assert "Accuracy 45 % on MMLU" in out
    assert "bhagia2024_mmlu" in out
    assert "it predicts 51.3 % on MMLU; 51.6 % was measured" in out
    assert "its loss does not tell the accuracy on MMLU" in out


def test_laws_compare_by_accuracy_in_the_library():
    comparison = js.compare_laws(task="mmlu", accuracy=0.45, demand=js.Demand(2e12))
    (row,) = (row for row in comparison.rows if row.plan)
    plan = js.minimize_cost(js.task("mmlu").law, js.task("mmlu").loss(0.45), js.Demand(2e12))
    assert_allclose(row.plan.params, plan.params, rtol=1e-9)
    assert row.task == js.laws.task_entry("mmlu")
    with pytest.raises(ValueError, match="give task and accuracy together"):
        js.compare_laws(task="mmlu")
    with pytest.raises(ValueError, match="give one of loss, params"):
        js.compare_laws(task="mmlu", accuracy=0.45, loss=2.0)
    with pytest.raises(ValueError, match="unknown task 'mnlu'"):
        js.compare_laws(task="mnlu", accuracy=0.45)
    out_of_reach = js.compare_laws(task="mmlu", accuracy=0.8)
    assert not any(row.plan for row in out_of_reach.rows)
    assert out_of_reach.rows[-1].reason == "no model has 80 % on MMLU by it, but 25.8 % to 76.7 %"


def test_estimate_tells_the_accuracy(command):
    asked = ("estimate", "--params", "7B", "--tokens", "4T", "--task", "mmlu")
    task = js.task("mmlu")
    expected = task.accuracy(task.law.loss(7e9, 4e12))
    assert_allclose(answered(command, *asked)["accuracy"]["expected"], expected, rtol=1e-12)
    out = words(command(*asked).out)
    assert "law bhagia2024_mmlu, accuracy on MMLU" in out
    assert "accuracy 48.5 %" in out
    assert "51.6 % was measured" in out
    assert answered(command, *asked[:-2])["accuracy"] is None


def test_profit_takes_the_law_of_the_task(command):
    record = answered(command, *PROFIT, "--task", "mmlu")
    task = js.task("mmlu")
    assert record["law"]["name"] == "bhagia2024_mmlu"
    accuracy = task.accuracy(record["plan"]["loss"])
    assert_allclose(record["value"], 1e9 * (accuracy - 0.4), rtol=1e-9)
    assert_allclose(record["accuracy"]["optimum"], accuracy, rtol=1e-12)
    assert "At the margin a unit of its loss costs" in command(*PROFIT, "--task", "mmlu").out


def test_tasks_are_listed_with_the_laws(command):
    record = answered(command, "laws")
    listed = {each["name"]: each for each in record["tasks"]}
    assert list(listed) == [entry.name for entry in js.laws.tasks()]
    assert listed["gadre2024_c4_46"]["law"] == "gadre2024_c4"
    low, high = js.task("piqa").reach
    assert_allclose(listed["bhagia2024_piqa"]["accuracies"], [low, high], rtol=1e-12)
    assert "bhagia2024_piqa, or piqa" in words(command("laws").out)
    one = answered(command, "laws", "MMLU")
    assert (one["laws"], [each["name"] for each in one["tasks"]]) == ([], ["bhagia2024_mmlu"])
    out = words(command("laws", "mmlu").out)
    assert "accuracy on MMLU" in out
    assert "measured 51.6 % by 13.2B params on 5.00T tokens" in out
    assert answered(command, "laws", "gadre2024_c4")["tasks"] == []


SPEC = """
axes.accuracy = [0.4, 0.5]
fixed.inference_tokens = 1e12
fixed.task = "mmlu"
fields = ["params", "plan_loss"]
"""


def test_sweep_over_accuracies():
    spec = js.sweeping.spec.read(SPEC)
    data = js.sweep(spec.scenario, spec.space, fields=spec.labels)
    task = js.task("mmlu")
    plans = js.minimize_cost(task.law, task.loss(np.array([0.4, 0.5])), js.Demand(1e12))
    assert_allclose(data["params"], plans.params, rtol=1e-5)
    assert data["plan_loss"].attrs["units"] == "bits per byte of the right answer"
    assert data.attrs["conditions"].startswith("task bhagia2024_mmlu, by the law of its loss")
    assert "arXiv 2412.04403" in data.attrs["task bhagia2024_mmlu"]
    assert spec.warnings == ()
    (warning,) = js.sweeping.spec.read(SPEC.replace("mmlu", "arc-c")).warnings
    assert "badly determined" in warning


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0.5]", "0.8]", r"accuracy: no model has 0\.8 by bhagia2024_mmlu; give what lies between"),
        ("[0.4, 0.5]", "[0.1, 0.2]", r"no model has 0\.1 by .* between 0\.258 and 0\.767"),
        ('fixed.task = "mmlu"', "", "task is missing: accuracy needs it"),
        ("axes.accuracy", "axes.train_mfu", "accuracy is missing: task needs it"),
        ('"mmlu"', '"mnlu"', r"task: unknown task 'mnlu' \(did you mean mmlu\?\)"),
        ('"mmlu"', '"mmlu"\nfixed.law = "sardana2024"', "has a law of its own; leave law out"),
        ('"mmlu"', '"mmlu"\nfixed.loss_nats_per_token = 2', "give loss_nats_per_token or accuracy"),
        ('fixed.task = "mmlu"', 'axes.task = ["mmlu"]', "task: cannot be an axis"),
    ],
)
def test_a_mistake_in_a_specification_is_named(old, new, said):
    with pytest.raises(ValueError, match=said):
        js.sweeping.spec.read(SPEC.replace(old, new))


MISTAKES = {
    "above": ((*PLAN, "mmlu=80%"), "no model has 80 % on MMLU; give an accuracy between 25.8 %"),
    "below": ((*PLAN, "mmlu=25%"), "between 25.8 % and 76.7 %"),
    "measured": ((*PLAN, "arc_easy=85%"), "13.2B params on 5.00T tokens had 87.2 %: the law errs"),
    "no share": ((*PLAN, "mmlu"), "--accuracy: 'mmlu' must be TASK=SHARE, such as mmlu=55%"),
    "no number": ((*PLAN, "mmlu=high"), "--accuracy: 'high'"),
    "unknown": ((*PLAN, "mnlu=50%"), "--accuracy: unknown task 'mnlu' (did you mean mmlu?)"),
    "loss too": ((*PLAN, "mmlu=50%", "--loss", "2"), "give one quality"),
    "model too": ((*PLAN, "mmlu=50%", "--like-params", "7B"), "give one quality"),
    "budget too": ((*PLAN, "mmlu=50%", "--flops", "1e22"), "--flops or a quality, not both"),
    "other law": (
        (*PLAN, "mmlu=50%", "--law", "sardana2024"),
        "--law: the accuracy on MMLU is known by the loss of bhagia2024_mmlu, bits per byte of the "
        "right answer, not by that of sardana2024; leave --law out",
    ),
    "other data": (
        (*PLAN, "gadre2024_c4=50%", "--law", "gadre2024_redpajama"),
        "known by the loss of gadre2024_c4, nats per token, not by that of gadre2024_redpajama",
    ),
    "law of a task": (
        ("plan", *DEMAND, "--loss", "0.8", "--law", "bhagia2024_mmlu"),
        "is the law of a task: give --accuracy bhagia2024_mmlu=SHARE to jaxscale plan",
    ),
    "profit by another law": (
        (*PROFIT, "--task", "mmlu", "--law", "sardana2024"),
        "not by that of sardana2024",
    ),
    "market in nats": (
        (*PROFIT, "--task", "mmlu", "--at-loss", "2", "--at-price", "1$/M", "--per-nat", "2"),
        "tokens sell by one in nats; leave out --at-loss",
    ),
    "estimate by another law": (
        ("estimate", "--params", "1B", "--tokens", "1T", "--task", "mmlu", "--law", "kumar2024"),
        "leave --law out",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_a_line(command, name):
    arguments, said = MISTAKES[name]
    run = command(*arguments)
    assert run.code == 2
    assert said in words(run.err)


def test_a_saved_fit_is_refused(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 60, key=1)
    js.fit(js.laws.Chinchilla, runs).save("ours.json")
    run = command(*PLAN, "mmlu=50%", "--law", "ours.json")
    assert run.code == 2
    assert "not by that of ours.json; leave --law out" in words(run.err)
