"""`jaxscale implied`, and `jaxscale plan` for a demand of years."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js

pytest.importorskip("typer")

from jaxscale.cli import over_time

SIZE = ("--params", "8.03B", "--tokens", "15T")
PLAN = ("plan", "--loss", "2", "--inference-tokens", "1T")


def answered(command, *arguments):
    code, out, err = command(*arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_a_model_by_name_and_one_by_its_size_are_told_alike(command):
    record = answered(command, "implied", "Llama-3-8B", *SIZE, "--law", "besiroglu2024")
    named, own = record["models"]
    assert (named["title"], own["name"]) == ("Llama 3 8B", "your model")
    law = js.laws.published("besiroglu2024")
    implied = js.implied_demand(law, 8.03e9, 15e12)
    for model in (named, own):
        assert_allclose(model["input_tokens"], implied.demand.input_tokens, rtol=1e-9)
        assert_allclose(model["ratio"], implied.ratio, rtol=1e-9)
    assert record["note"].startswith("Extrapolated: 2 of 2 models lie outside")


def test_all_of_the_catalogue_are_shown_and_those_that_are_too_large_marked(command):
    out = command("implied", "--law", "besiroglu2024").out
    for entry in js.economics.releases():
        (line,) = (line for line in out.splitlines() if line.split()[:1] == [entry.name])
        assert ("too large" in line) == (entry.release.date < "2022-05" and "chin" not in line)
    assert "too large: larger than what is cheapest to train to its loss" in out


def test_prices_and_the_tokens_of_a_request_set_the_demand(command):
    prices = ("--train-on", "A100-80GB", "--train-price", "1.5", "--serve-on", "A100-80GB")
    prices += ("--serve-price", "3", "--input-per-request", "3", "--output-per-request", "1")
    record = answered(command, "implied", *SIZE, *prices)
    (model,) = record["models"]
    assert record["unit"] == "dollars"
    assert_allclose(model["input_tokens"], 3 * model["output_tokens"])
    price = record["costs_per_flop"]
    costs = js.Costs(price["train"], price["prefill"], price["decode"])
    law, mix = js.laws.published("sardana2024"), js.Demand(3.0, 1.0)
    implied = js.implied_demand(law, 8.03e9, 15e12, costs, mix=mix)
    assert_allclose(model["output_tokens"], implied.demand.output_tokens, rtol=1e-9)


def test_a_law_with_levers_and_a_size_that_no_demand_explains(command):
    arguments = ("--law", "muennighoff2023_repeated", "--lever", "unique_tokens=1B")
    record = answered(command, "implied", "gopher-280b", *arguments)
    (model,) = record["models"]
    assert (model["status"], model["input_tokens"]) == ("NO_INTERIOR_OPTIMUM", None)
    out = command("implied", "gopher-280b", *arguments).out
    assert "no demand: by this law and these prices, no demand makes this size the best." in out


def test_the_picture_is_saved(command, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "implied.png"
    assert command("implied", "llama-3-8b", "gopher-280b", "--picture", str(path)).code == 0
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("implied", "llama-3-9b"), "MODEL: unknown release 'llama-3-9b' (did you mean llama-3-8b"),
        (("implied", "--params", "8B"), "give --params and --tokens together"),
        (("implied", "--input-per-request", "1"), "give --input-per-request and --output-per-"),
        (("implied", "--law", "kumar2024"), "--law: kumar2024 needs --lever bits=VALUE"),
        (
            ("implied", "--law", "kumar2024", "--lever", "bits=best"),
            "--lever: bits=best is for jaxscale plan",
        ),
        ((*PLAN, "--growth", "2x/year"), "--growth needs --years"),
        ((*PLAN, "--years", "2", "--growth", "2"), "--growth: '2' is not a rate; write it like"),
        ((*PLAN, "--years", "2", "--growth", "-100%"), "--growth: '-100%' leaves nothing"),
        ((*PLAN, "--years", "2", "--price-decline", "-9%"), "--price-decline: '-9%' must have no"),
        ((*PLAN, "--years", "2", "--price-decline", "100%"), "'100%' leaves nothing"),
        ((*PLAN, "--years", "2", "--discount", "2x"), "--discount: '2x' is not an interest"),
        ((*PLAN, "--years", "2h"), "--years: '2h' is not a time; write it like 2y, 18 months"),
        ((*PLAN, "--years", "0"), "--years: '0' must be greater than zero"),
        ((*PLAN, "--years", "9k", "--growth", "9x"), "--years: '9k' is not a time"),
        ((*PLAN, "--years", "9000", "--growth", "9x"), "the demand leaves the range of float64"),
    ],
)
def test_mistakes_are_a_line(command, arguments, message):
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (over_time.growth_rate, "2x/year", np.log(2)),
        (over_time.growth_rate, "+100%", np.log(2)),
        (over_time.growth_rate, "-50%/yr", -np.log(2)),
        (over_time.growth_rate, "0.5x", -np.log(2)),
        (over_time.growth_rate, "10 % / month", 12 * np.log(1.1)),
        (over_time.decline_rate, "30%/year", -np.log(0.7)),
        (over_time.decline_rate, "1.38x/year", np.log(1.38)),
        (over_time.discount_rate, "10%", np.log(1.1)),
        (over_time.years_of, "2", 2),
        (over_time.years_of, "2y", 2),
        (over_time.years_of, "18 months", 1.5),
        (over_time.years_of, "5 yrs", 5),
        (over_time.years_of, "3mo", 0.25),
        (over_time.years_of, "90d", 90 / 365.25),
        (over_time.years_of, "1 week", 7 / 365.25),
    ],
)
def test_rates_and_times_are_written_as_people_do(read, text, value):
    assert_allclose(read(text), value, rtol=1e-14)


def test_a_plan_takes_the_demand_of_a_year_over_time(command):
    rates = ("--growth", "2x/year", "--years", "2", "--discount", "10%", "--delay", "3mo")
    rates += ("--price-decline", "30%/year")
    record = answered(command, *PLAN, *rates)
    demand = js.Demand.growing(
        js.Demand(1e12),
        years=2,
        growth=np.log(2),
        discount=np.log(1.1),
        price_decline=-np.log(0.7),
        delay=0.25,
    )
    assert_allclose(record["demand"]["input_tokens"], demand.input_tokens, rtol=1e-12)
    over = record["demand_over_time"]
    assert over["rate"] == {"input_tokens": 1e12, "output_tokens": 0.0}
    assert_allclose((over["growth"], over["years"], over["delay"]), (np.log(2), 2, 0.25))
    alone = answered(command, *PLAN[:-1], repr(record["demand"]["input_tokens"]))
    assert alone["optimum"] == record["optimum"]
    assert alone["demand_over_time"] is None


def test_a_plan_says_what_the_demand_of_a_year_comes_to(command):
    out = " ".join(command(*PLAN, "--growth", "-50%/year", "--years", "18 months").out.split())
    assert "933B tokens read and 0 written, law" in out
    assert "At first 1.00T tokens read and 0 written a year, for 18 months; each year" in out
    assert "demand times 0.5. All of it counts as 933B tokens read and 0 written today." in out
    dear = ("--years", "90d", "--delay", "10d", "--price-decline", "0.5x/year")
    out = " ".join(command(*PLAN, *dear).out.split())
    assert "for 90 days, from 10 days after training is paid; each year compute 100 % dearer" in out
    served = command(*PLAN, "--years", "1", "--delay", "1y", "--discount", "100%").out
    assert "for 1 year, from 1 year after training is paid" in " ".join(served.split())
