"""`jaxscale recipe`: every recipe for a model, and time against compute."""

import json

import numpy as np
import pytest

import jaxscale as js
from jaxscale import recipes

pytest.importorskip("typer")

SIZE = ("--params", "7B", "--tokens", "1.4T")


@pytest.fixture
def recipe(command):
    def run(*arguments):
        code, out, err = command("recipe", *arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return run


def test_every_recipe_is_told_at_the_loss_of_the_law(recipe):
    found = recipe(*SIZE)
    loss = float(js.laws.published("sardana2024").loss(7e9, 1.4e12))
    assert found["law"] == "sardana2024"
    assert found["loss"] == pytest.approx(loss, rel=1e-6)
    assert [each["name"] for each in found["recipes"]] == [each.name for each in recipes.catalog()]
    by_name = {each["name"]: each for each in found["recipes"]}
    step_law, kaplan = by_name["steplaw2025"], by_name["kaplan2020"]
    rate = 1.79 * 7e9**-0.713 * 1.4e12**0.307
    batch = 0.58 * 1.4e12**0.571
    assert step_law["learning_rate"] == pytest.approx(rate)
    assert step_law["batch_tokens"] == pytest.approx(batch)
    assert step_law["batch_sequences"] == pytest.approx(batch / 2048)
    assert step_law["steps"] == pytest.approx(1.4e12 / batch)
    assert not step_law["in_range"]
    assert kaplan["batch_tokens"] == pytest.approx(2.1e8 * loss ** (-1 / 0.21), rel=1e-5)


def test_a_given_loss_takes_the_place_of_the_law(recipe):
    found = recipe(*SIZE, "--loss", "2", "--recipe", "kaplan2020")
    assert (found["law"], found["loss"]) == (None, 2)
    (only,) = found["recipes"]
    assert only["batch_tokens"] == pytest.approx(2.1e8 * 2 ** (-1 / 0.21))


def test_another_law_has_another_loss(recipe):
    found = recipe(*SIZE, "--law", "besiroglu2024")
    loss = js.laws.published("besiroglu2024").loss(7e9, 1.4e12)
    assert found["loss"] == pytest.approx(float(loss), rel=1e-6)


def test_trade_off_at_a_quarter_once_and_four_times_the_critical_batch(recipe):
    found = recipe(*SIZE, "--loss", "2")
    critical = 2.1e8 * 2 ** (-1 / 0.21)
    shares, times, computes = [0.25, 1, 4], [5, 2, 1.25], [1.25, 2, 5]
    rows = found["tradeoff"]
    assert [row["batch_tokens"] for row in rows] == pytest.approx([x * critical for x in shares])
    assert [row["relative_time"] for row in rows] == pytest.approx(times)
    assert [row["relative_compute"] for row in rows] == pytest.approx(computes)
    assert rows[1]["tokens"] == pytest.approx(1.4e12)
    for row in rows:
        assert row["steps"] * row["batch_tokens"] == pytest.approx(row["tokens"])


def test_experts_are_a_lever_of_a_recipe_and_of_a_law(recipe):
    """Ludziejewski et al. 2025, eq. 8; a dense model without."""
    asked = *SIZE, "--recipe", "ludziejewski2025"
    dense, mixture = recipe(*asked), recipe(*asked, "--lever", "experts=8")
    rates = [each["recipes"][0]["learning_rate"] for each in (dense, mixture)]
    assert rates == pytest.approx([np.exp(8.39) * 7e9**-0.81 * e**-0.25 for e in (1, 8)])
    assert (dense["levers"], mixture["levers"]) == ({}, {"experts": 8})
    law = js.laws.published("ludziejewski2025")
    of_law = recipe(*asked, "--lever", "experts=8", "--law", "ludziejewski2025")
    assert of_law["loss"] == pytest.approx(float(law.loss(7e9, 1.4e12, experts=8)), rel=1e-6)
    bits = recipe(*SIZE, "--lever", "bits=8", "--law", "kumar2024", "--recipe", "kaplan2020")
    assert bits["levers"] == {"bits": 8}


def test_rate_that_is_not_positive_is_null(recipe):
    found = recipe("--params", "70B", "--tokens", "1.4T", "--recipe", "kaplan2020")
    (only,) = found["recipes"]
    assert only["learning_rate"] is None
    assert only["note"] == "no learning rate, extrapolated"


def test_a_recipe_of_a_batch_alone_has_no_rate(recipe):
    (only,) = recipe("--params", "1B", "--tokens", "1T", "--recipe", "zhang2024")["recipes"]
    assert only["learning_rate"] is None
    assert only["batch_tokens"] == pytest.approx(301_505, abs=0.5)
    assert only["note"].startswith("no learning rate")


def test_tables_print_rates_batches_and_what_is_extrapolated(command):
    code, out, err = command("recipe", *SIZE)
    assert (code, err) == (0, "")
    for printed in ("7.00B params", "9.17e-4", "5.00M", "2,441", "280K", "kaplan2020"):
        assert printed in out
    for printed in ("1/4", "199K", "875B", "3.50T", "extrapolated: the plan"):
        assert printed in out


def test_one_recipe_is_told_in_full(command):
    out = command(
        "recipe", "--params", "400M", "--tokens", "40B", "--recipe", "STEPLAW2025", "--loss", "2.6"
    ).out
    for printed in ("2.37e-3", "2503.04715", "215M to 1.07B", "4.00B to 100B", "cosine"):
        assert printed in out
    assert "extrapolated" not in out
    assert "deepseek2024" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--params", "7B"), "give --params and --tokens"),
        ((*SIZE, "--recipe", "steplaw"), "--recipe: unknown recipe 'steplaw' (did you mean "),
        ((*SIZE, "--law", "kumar2024"), "--law: kumar2024 needs --lever bits=VALUE"),
        ((*SIZE, "--lever", "bits=8"), "--lever: there is no lever 'bits' here; levers: experts"),
        ((*SIZE, "--lever", "experts=64"), "--lever experts: 64 is outside its range, 1.00 to 32"),
        ((*SIZE, "--lever", "experts=1,8"), "--lever: give experts a value: a recipe chooses"),
        ((*SIZE, "--lever", "experts=best"), "--lever: give experts a value: a recipe chooses"),
        ((*SIZE, "--loss", "1e-300"), "at loss 1e-300 the batch or its steps leave the range"),
        ((*SIZE, "--loss", "0"), "--loss: '0' must be greater than zero"),
    ],
)
def test_mistakes_are_one_line(command, arguments, message):
    code, out, err = command("recipe", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1
