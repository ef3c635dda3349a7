"""`jaxscale profit`: the most profitable plan, by what quality is worth and tokens sell for."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js

pytest.importorskip("typer")

from jaxscale._numerics.interpreted import interpreted
from jaxscale._written import money, price_per_token

DEVICES = ("--train-on", "H100-SXM", "--train-price", "2", "--serve-on", "H100-SXM")
DEVICES += ("--serve-price", "2")
VALUE = ("profit", "--value-per-nat", "100M$", "--worthless-at", "2.2")
SERVED = ("--inference-tokens", "1T", *DEVICES)
SOLD = (
    "profit",
    "--input-tokens",
    "8T",
    "--output-tokens",
    "2T",
    *DEVICES,
    "--law",
    "besiroglu2024",
)
MARKET = (*SOLD, "--at-loss", "2", "--at-price", "1$/M", "--per-nat", "2")
H100 = js.accelerator("H100-SXM", price=2.0)
COSTS = js.Costs.on(train=H100, serve=H100)


def answered(command, *arguments):
    code, out, err = command(*arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def words(text):
    return " ".join(text.split())


def test_a_value_by_loss_is_that_of_the_library(command):
    record = answered(command, *VALUE, *SERVED)
    law, value = js.laws.published("sardana2024"), js.economics.ValuePerNat(1e8, 2.2)
    best = interpreted(js.maximize_profit, law, value, js.Demand(1e12), COSTS)
    assert_allclose(record["profit"], best.profit, rtol=1e-12)
    assert_allclose(record["plan"]["params"], best.plan.params, rtol=1e-12)
    assert_allclose(record["plan"]["marginal_cost"], 1e8, rtol=1e-9)
    assert record["value_of_loss"] == {"task": None, "per_nat": 1e8, "worthless_at": 2.2}
    assert (record["market"], record["price"], record["markup"]) == (None, None, None)


def test_a_value_by_accuracy(command):
    value = ("--accuracy-value", "$1B", "--task", "gadre2024_c4", "--worthless-at", "50%")
    record = answered(command, "profit", *value, *SERVED, "--law", "gadre2024_c4")
    accuracy = js.task("gadre2024_c4").accuracy(record["plan"]["loss"])
    assert_allclose(record["value"], 1e9 * (accuracy - 0.5), rtol=1e-12)
    assert "The accuracy is right only" not in record["note"]
    assert answered(command, "profit", *value, *SERVED)["law"]["name"] == "gadre2024_c4"
    out = words(command("profit", *value, *SERVED, "--law", "sardana2024").out)
    assert "Worth $10.0M a point of accuracy above 50 % on gadre2024_c4" in out
    assert "right only where sardana2024 predicts losses on the text of gadre2024_c4." in out


def test_the_best_price_is_that_of_lerner(command):
    record = answered(command, *MARKET, "--elasticity", "1.5")
    assert_allclose(record["markup"], 3.0, rtol=1e-9)
    assert record["caution"] == ""
    sold = record["demand"]["input_tokens"] / 8e12
    quality, price = 2.0 * (2.0 - record["plan"]["loss"]), record["price"] / 1e-6
    assert_allclose(np.log(sold), quality - 1.5 * np.log(price), rtol=1e-9)


def test_a_given_price_per_million_tokens_and_a_bound(command):
    arguments = (*MARKET, "--price", "$1/M", "--max-params", "2B")
    record = answered(command, *arguments)
    assert record["status"] == "AT_MAX_PARAMS"
    assert_allclose((record["price"], record["plan"]["params"]), (1e-6, 2e9), rtol=1e-12)
    cost = record["plan"]["total_cost"]
    assert_allclose(record["return_on_investment"], record["profit"] / cost, rtol=1e-12)
    out = words(command(*arguments).out)
    assert "price per million tokens $1.00" in out
    assert "The bound max_params, 2.00B, decides" in out
    assert "would be 11.0 times it. The elasticity of 1.1 is that of one provider" in out


def test_what_holds_at_the_best_plan_is_said(command):
    out = words(command(*VALUE, *SERVED).out)
    assert "At the margin a nat costs $100M, and earns as much." in out
    assert "Return on investment: profit is 953 % of all costs." in out
    assert "elasticity" not in out


def test_value_and_market_go_together(command):
    both = (*MARKET, "--value-per-nat", "100M$", "--worthless-at", "2.2")
    record, alone = answered(command, *both), answered(command, *MARKET)
    assert record["value"] > 0
    assert record["plan"]["loss"] < alone["plan"]["loss"]


def test_the_picture_is_saved(command, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "profit.png"
    assert command(*VALUE, *SERVED, "--picture", str(path)).code == 0
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*MARKET, "--elasticity", "0.5"), "Profit rises with the price without end; use an"),
        (
            ("profit", "--value-per-nat", "1K$", "--worthless-at", "2.2", *SERVED),
            "no plan earns more than it costs: raise what it is worth, or lower the price of",
        ),
        (("profit", *SERVED), "say what a model earns: --value-per-nat or --accuracy-value with"),
        ((*VALUE, *DEVICES), "the demand is missing: use --inference-tokens"),
        ((*VALUE, "--inference-tokens", "1T"), "needs --train-on and --serve-on: without them"),
        ((*SOLD, "--at-loss", "2"), "--at-loss needs --at-price and --per-nat too"),
        ((*SOLD, "--price", "1$/M"), "--price needs --at-loss and --at-price and --per-nat too"),
        ((*MARKET, "--price", "1$/K"), "--price: '1$/K' is not the price of a million tokens"),
        ((*VALUE[:3], *SERVED), "--value-per-nat needs --worthless-at"),
        (("profit", "--worthless-at", "2", *SERVED), "--worthless-at needs --value-per-nat or"),
        ((*VALUE[:4], "50%", *SERVED), "--worthless-at: '50%' is not a number"),
        ((*VALUE, "--task", "gadre2024_c4", *SERVED), "--task needs --accuracy-value"),
        (
            ("profit", "--accuracy-value", "1B", "--worthless-at", "50%", *SERVED),
            "--accuracy-value needs --task: gadre2024_c4",
        ),
        (
            (
                *("profit", "--accuracy-value", "1B", "--task", "gadre"),
                "--worthless-at",
                ".5",
                *SERVED,
            ),
            "--task: unknown task 'gadre'",
        ),
        ((*VALUE, "--accuracy-value", "1B", *SERVED), "not both"),
    ],
)
def test_mistakes_are_a_line(command, arguments, message):
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert message in words(err)


@pytest.mark.parametrize("text", ["1.5B$", "$1.5B", "1.5B", " 1.5e9 $ "])
def test_money_has_its_sign_before_or_behind(text):
    assert money(text) == 1.5e9


@pytest.mark.parametrize("text", ["1$/M", "$1/M", "1/m", "1", "$1 / 1M"])
def test_a_price_is_that_of_a_million_tokens(text):
    assert price_per_token(text) == 1e-6
