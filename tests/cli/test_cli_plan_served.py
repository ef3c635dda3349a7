"""`jaxscale plan` with serving timed: the library's joint optimum, and what bounds it."""

import json
from dataclasses import replace

import pytest

import jaxscale as js
from jaxscale._numerics.interpreted import interpreted
from jaxscale._sentences import serving_note

pytest.importorskip("typer")


DEVICES = ("--train-on", "H100-SXM", "--train-price", "2", "--serve-on", "H100-SXM")
DEVICES += ("--serve-price", "2", "--context", "8k")
H100 = js.accelerator("H100-SXM", price=2.0)
LAW = js.laws.published("sardana2024")


def asked(loss, read, written, *rest):
    demand = ("--input-tokens", read, "--output-tokens", written)
    return ("plan", "--loss", loss, *demand, *DEVICES, *rest)


def words(text):
    return " ".join(text.split())


def test_the_plan_is_that_of_the_library_and_its_deployment_is_told(command):
    question = asked("2.1", "800B", "200B", "--max-latency", "50ms", "--serve-count", "1")
    code, out, err = command(*question, "--json")
    assert (code, err) == (0, "")
    record = json.loads(out)
    family = replace(js.architectures.LLAMA, context=8000.0)
    requests = js.serving.Requests(1155, 211, kept=8000.0)
    limits = js.serving.Limits(token_seconds=0.05)
    costs = js.Costs.served(family, H100, requests, limits, train=H100, counts=[1])
    plan = interpreted(js.minimize_cost, LAW, 2.1, js.Demand(8e11, 2e11), costs)
    for name in ("params", "tokens", "total_cost"):
        assert record["optimum"][name] == pytest.approx(float(getattr(plan, name)), rel=1e-3)
    assert record["serving"]["deployment"] == "1 x H100-SXM"
    assert record["serving"]["bounded_by"] is None
    # The Chinchilla plan is larger, so that its tokens cost more.
    assert record["chinchilla"]["params"] > 2 * record["optimum"]["params"]
    assert record["chinchilla"]["decode_cost"] > 2 * record["optimum"]["decode_cost"]
    # What a model of its size costs to serve, from `serve`.
    shape = family.architecture(record["chinchilla"]["params"])
    deployment = js.serving.Deployment(H100)
    served = interpreted(js.serving.serve, shape, deployment, requests, limits=limits)
    million = float(served.dollars_per_million_output_tokens)
    assert record["chinchilla"]["decode_cost"] == pytest.approx(2e5 * million, rel=1e-3)


def test_a_limit_that_bounds_the_size_is_named(command):
    code, out, err = command(*asked("1.9", "8B", "2B", "--serve-count", "1"))
    assert (code, err) == (0, "")
    text = words(out)
    assert "The size is bounded: 1 x H100-SXM has no room for a larger model and its cache." in text
    assert "The Chinchilla plan cannot be served within the limits." in text
    assert "served by 1 x H100-SXM" in text


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (
            asked("2", "8B", "2B", "--max-latency", "1ms", "--serve-count", "1"),
            "No model of that quality keeps the limits on 1 x H100-SXM; without them the cheapest",
        ),
        (
            ("plan", "--loss", "2", "--inference-tokens", "1T", "--max-latency", "50ms"),
            "--max-latency needs --train-on and --serve-on",
        ),
        (
            asked("2.1", "8B", "2B", "--decode-mfu", "1%"),
            "--decode-mfu is not assumed with --context: leave it out",
        ),
        (
            asked("2.1", "8B", "2B", "--prompt", "9k"),
            "--prompt: what a request reads and writes must fit the 8,000 tokens of --context",
        ),
        (asked("2.1", "8B", "2B", "--family", "x"), "--family: unknown family 'x'"),
    ],
)
def test_a_mistake_is_one_line(command, question, answer):
    code, out, err = command(*question)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert answer in err


def of_bits(command, bits, *rest):
    question = ("plan", "--loss", "3", "--input-tokens", "1T", "--output-tokens", "200B", *DEVICES)
    levers = ("--law", "kumar2024", "--lever", f"bits={bits}", *rest)
    return command(*question, "--serve-count", "1", *levers)


@pytest.mark.parametrize(("bits", "precision"), [("8", "fp8"), ("12", "bf16")])
def test_the_precision_that_serves_holds_the_bits_of_the_law(command, bits, precision):
    served = json.loads(of_bits(command, bits, "--json").out)["serving"]
    assert (served["weights"], served["activations"]) == (precision, precision)


def test_a_precision_of_fewer_bits_than_the_law_is_refused(command):
    code, out, err = of_bits(command, "16", "--serve-precision", "fp8")
    assert (code, out) == (2, "")
    assert "--serve-precision: fp8 has fewer bits than --lever bits=16: leave it out" in err
    wide = json.loads(of_bits(command, "8", "--serve-precision", "bf16", "--json").out)
    assert wide["serving"]["weights"] == "bf16"


def test_a_law_of_experts_says_that_a_dense_model_serves(command):
    law = ("--law", "krajewski2024", "--lever", "granularity=8")
    question = ("plan", "--like-params", "7B", "--inference-tokens", "1T", *DEVICES, *law)
    code, _, err = command(*question, "--serve-count", "1")
    assert code == 0
    assert err.startswith("The law is of mixtures of experts, but serving is priced for the dense")
    assert len(err.splitlines()) == 1
    record = json.loads(command(*question, "--serve-count", "1", "--json").out)
    assert record["note"].endswith(err.strip())


def test_a_law_of_active_params_is_served_with_its_experts():
    law = js.laws.published("ludziejewski2025")
    costs = js.Costs.served(js.architectures.LLAMA, H100, js.serving.Requests(10, 10), train=H100)
    family = costs.serving.of_law(law, {"experts": 8.0}).family
    assert (family.experts, family.active_experts) == (8, 1)
    assert costs.serving.of_law(LAW, {}).family is costs.serving.family
    assert serving_note("llama", law) == ""


def test_cached_prompts_utilisation_and_batch_are_those_of_the_library(command):
    options = ("--cached", "50%", "--utilisation", "40%", "--batch", "8", "--serve-count", "1")
    record = json.loads(command(*asked("2.1", "800B", "200B", *options, "--json")).out)
    family = replace(js.architectures.LLAMA, context=8000.0)
    requests = js.serving.Requests(1155, 211, cached=0.5, kept=8000.0)
    limits = js.serving.Limits(max_batch=8)
    named = {"train": H100, "counts": [1], "utilisation": 0.4}
    costs = js.Costs.served(family, H100, requests, limits, **named)
    plan = interpreted(js.minimize_cost, LAW, 2.1, js.Demand(8e11, 2e11), costs)
    assert record["optimum"]["total_cost"] == pytest.approx(float(plan.total_cost), rel=1e-3)
    assert record["serving"]["batch"] == pytest.approx(8)
    assert record["serving"]["utilisation"] == 0.4


def test_every_split_is_tried_as_serve_does(command):
    record = json.loads(command(*asked("2.1", "800B", "200B", "--serve-count", "8", "--json")).out)
    assert record["serving"]["deployment"] == "8 x H100-SXM, 8 stages of 1"
    family = replace(js.architectures.LLAMA, context=8000.0)
    requests = js.serving.Requests(1155, 211, kept=8000.0)
    size = record["optimum"]["params"]
    best = js.serving.best(family.architecture(size), H100, requests, counts=[8])
    assert js.serving.name_of(best.deployment) == record["serving"]["deployment"]
    price = 2e5 * float(best.service.dollars_per_million_output_tokens)
    assert record["optimum"]["decode_cost"] == pytest.approx(price, rel=1e-3)
