"""One schema for options and files: the same numbers say the same, and errors use their words."""

import json

import pytest

import jaxscale as js
from jaxscale import _schema

DEVICES = {"train_on": "A100-80GB", "serve_on": "A100-40GB"}


@pytest.mark.parametrize(
    ("given", "demand"),
    [
        ({"inference_tokens": 3e12}, js.Demand(3e12)),
        ({"input_tokens": 1e12, "output_tokens": 2e12}, js.Demand(1e12, 2e12)),
        (
            {"requests": 1e9, "input_per_request": 70.0, "output_per_request": 215.0},
            js.Demand(7e10, 2.15e11),
        ),
    ],
)
def test_each_way_to_state_a_demand(given, demand):
    assert _schema.read_demand({**given, "loss": 2.0}) == demand


def test_errors_are_in_the_words_of_options_or_of_files():
    given = {"requests": 1e9, "input_per_request": 70.0}
    with pytest.raises(_schema.Refused, match="give --output-per-request too"):
        _schema.read_demand(given, _schema.option_of)
    with pytest.raises(_schema.Refused, match="give output_tokens_per_request too"):
        _schema.read_demand(given, _schema.key_of)
    for spelled, name in ((_schema.option_of, "--serve-on"), (_schema.key_of, "serve_on")):
        with pytest.raises(_schema.Refused, match=f"give {name} too: dollars need "):
            _schema.in_dollars({"train_on"}, spelled)


def test_what_is_to_blame_has_a_name():
    for details, name in (
        ({"train_on": "A100-81GB"}, "train_on"),
        ({"train_on": "L4"}, "train_on"),
        ({"train_on": "A100-80GB", "train_precision": "fp8"}, "train_precision"),
    ):
        with pytest.raises(_schema.Refused) as caught:
            _schema.rented("train", details)
        assert caught.value.name == name
    with pytest.raises(_schema.Refused) as caught:
        _schema.in_dollars({"decode_mfu": 0.1})
    assert caught.value.name == "decode_mfu"


def test_costs_of_named_devices():
    given = {name: js.accelerator(device, price=2.0) for name, device in DEVICES.items()}
    more = {"train_price": 1.5, "serve_precision": "int8", "decode_mfu": 0.02}
    expected = js.Costs.on(
        train=js.accelerator("A100-80GB", price=1.5),
        serve=js.accelerator("A100-40GB", price=2.0),
        serve_precision="int8",
        decode_mfu=0.02,
    )
    assert _schema.read_costs({**given, **more}) == expected
    assert _schema.read_costs({}) == js.Costs.flops()
    alone = _schema.read_costs({"train_on": given["train_on"], "train_precision": "int8"})
    assert (alone.train, alone.prefill) == (alone.prefill, alone.train)


def test_options_and_a_specification_ask_for_the_same_plan(capsys):
    pytest.importorskip("typer")
    from jaxscale.cli import main

    options = {
        **{"requests": "1.5e9", "input_per_request": "70", "output_per_request": "215"},
        **{**DEVICES, "train_price": "1.5", "serve_precision": "int8", "max_params": "15e9"},
    }
    typed = [part for name, value in options.items() for part in (_schema.option_of(name), value)]
    with pytest.raises(SystemExit):
        main(["plan", "--loss", "1.9583", "--json", *typed])
    plan = json.loads(capsys.readouterr().out)["optimum"]
    words = {name: f'"{x}"' if name in DEVICES or x == "int8" else x for name, x in options.items()}
    fixed = "\n".join(f"{_schema.key_of(name)} = {value}" for name, value in words.items())
    text = f"[axes]\nloss_nats_per_token = [1.9583]\n[fixed]\n{fixed}\n"
    found = js.sweeping.spec.read(text).scenario(loss=1.9583)
    for name in ("params", "tokens", "total_cost"):
        assert float(found[name]) == pytest.approx(plan[name], rel=1e-5)
