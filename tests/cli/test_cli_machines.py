"""`jaxscale plan` on spot machines and with energy: what it prints is what the library finds."""

import json

import pytest

import jaxscale as js
from jaxscale import economics

pytest.importorskip("typer")

from jaxscale.cli.machines import intensity, rate

PLAN = ("--like-params", "30B", "--input-tokens", "800B", "--output-tokens", "200B")
ON = ("--train-on", "H100-SXM", "--train-price", "1", "--train-mfu", "40%")
ON += ("--serve-on", "L40S", "--serve-price", "0.8")
SPOT = ("--spot-preemptions", "0.01/h", "--checkpoint", "1min", "--restart", "5min")

UNKNOWN = ("--train-on", "peak=1e15,price=1", "--serve-on", "L4", "--serve-price", "1")
UNKNOWN += ("--pue", "1.1")


@pytest.fixture
def plan(command):
    """The record that `jaxscale plan ... --json` prints."""

    def run(*arguments):
        code, out, err = command("plan", *PLAN, *arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return run


def close(x):
    return pytest.approx(float(x), rel=1e-9)


def test_spot_trains_at_the_price_of_useful_work(plan, command):
    found = plan(*ON, *SPOT, "--spot-instances", "64")
    spot = economics.spot(1.0, 0.01, 60, 300, instances=64)
    assert found["spot"] == {
        "price": 1.0,
        "preemptions_per_hour": 0.01,
        "checkpoint_seconds": 60.0,
        "restart_seconds": 300.0,
        "instances": 64,
        "interval_seconds": close(spot.interval),
        "goodput": close(spot.goodput),
        "effective_price": close(spot.price),
    }
    train = js.accelerator("H100-SXM", price=float(spot.price))
    costs = js.Costs.on(train=train, serve=js.accelerator("L40S", price=0.8), train_mfu=0.4)
    expected = js.minimize_cost(
        js.laws.published("sardana2024"), found["target_loss"], js.Demand(8e11, 2e11), costs
    )
    assert found["costs_per_flop"]["train"] == close(costs.train)
    assert found["optimum"]["params"] == close(expected.params)
    assert found["optimum"]["total_cost"] == close(expected.total_cost)
    out = command("plan", *PLAN, *ON, *SPOT, "--spot-instances", "64").out
    assert "64 instances, each taken away 0.01 times an hour" in out
    assert f"useful work, at ${float(spot.price):.2f} an hour" in out


def test_spot_is_that_of_one_instance_where_nothing_tells_how_many(plan, command):
    found = plan(*ON, *SPOT)
    assert found["spot"]["instances"] == 1
    assert found["spot"]["effective_price"] == close(economics.spot(1.0, 0.01, 60, 300).price)
    assert "spot price is for one instance; give --spot-instances" in found["note"]
    out = command("plan", *PLAN, *ON, *SPOT).out
    assert "Spot: 1 instance, taken away 0.01 times an hour" in out
    assert "for one instance" in out
    assert "one instance" not in plan(*ON, *SPOT, "--spot-instances", "1")["note"]


def test_lost_time_is_in_the_days_of_the_training(plan):
    plain = plan(*ON, "--train-count", "64")["training_time"]
    found = plan(*ON, *SPOT, "--train-count", "64")
    assert found["spot"]["instances"] == 64
    share = found["spot"]["goodput"]
    # The Chinchilla plan does not depend on prices.
    seconds = plain["chinchilla"]["seconds"] / share
    assert found["training_time"]["chinchilla"]["seconds"] == close(seconds)


def test_energy_and_carbon_are_those_of_the_library(plan, command):
    asked = (*ON, "--carbon", "400g/kWh", "--pue", "1.2")
    found = plan(*asked)
    train, serve = js.accelerator("H100-SXM", price=1.0), js.accelerator("L40S", price=0.8)
    power = [economics.kilowatts(device, pue=1.2) for device in (train, serve)]
    assert found["energy"]["train_kilowatts"] == close(power[0])
    assert found["energy"]["serve_kilowatts"] == close(power[1])
    assert found["energy"]["kg_per_kwh"] == 0.4
    for name in ("optimum", "chinchilla"):
        costs = js.Costs.on(train=train, serve=serve, train_mfu=0.4)
        sizes = found[name]["params"], found[name]["tokens"]
        priced = js.evaluate(js.laws.published("sardana2024"), *sizes, js.Demand(8e11, 2e11), costs)
        energy = economics.energy(
            priced, train, serve, train_kilowatts=power[0], serve_kilowatts=power[1]
        )
        assert found["energy"][name] == {
            "train_kwh": close(energy.train_kwh),
            "inference_kwh": close(energy.inference_kwh),
            "tonnes": close(energy.tonnes(0.4)),
        }
    out = command("plan", *PLAN, *asked).out
    assert "training energy" in out
    assert f"{found['energy']['optimum']['tonnes']:,.0f} t" in out


def test_energy_without_carbon(plan, command):
    found = plan(*ON, "--pue", "1.25")["energy"]
    assert found["kg_per_kwh"] is None
    assert found["optimum"]["tonnes"] is None
    assert "CO2" not in command("plan", *PLAN, *ON, "--pue", "1.25").out


def test_lost_time_takes_energy(plan):
    found = plan(*ON, *SPOT, "--spot-instances", "64", "--pue", "1.1")
    hours = found["optimum"]["train_cost"] / 1.0  # paid for, useful or not
    power = economics.kilowatts(js.accelerator("H100-SXM"))
    assert found["energy"]["optimum"]["train_kwh"] == close(hours * power)


def test_energy_where_serving_is_timed(plan):
    found = plan(
        *ON[:-4],
        *("--serve-on", "H100-SXM", "--serve-price", "2"),
        "--context",
        "2k",
        "--prompt",
        "1000",
        "--output",
        "200",
        "--pue",
        "1.1",
    )
    hours = (found["optimum"]["prefill_cost"] + found["optimum"]["decode_cost"]) / 2
    power = economics.kilowatts(js.accelerator("H100-SXM"))
    assert found["energy"]["optimum"]["inference_kwh"] == close(hours * power)


def test_nothing_is_asked_of_machines_by_default(plan):
    found = plan(*ON)
    assert found["spot"] is None
    assert found["energy"] is None


def test_rates_and_intensities_as_people_write_them():
    assert rate("0.05/h") == rate("1/20h") == rate("0.05 / 1h") == pytest.approx(0.05)
    assert rate("1.2/d") == pytest.approx(0.05)
    assert intensity("0.4kg/kWh") == intensity("400 g/kWh") == pytest.approx(0.4)
    assert rate("1/.5h") == rate("1 / 30 minutes") == rate("2/hr") == rate("2 per hour") == 2
    assert rate("1.2/day") == rate("1.2 per 24 hours") == rate("8.4/week") == pytest.approx(0.05)
    assert intensity("0.4t/MWh") == intensity("400 gCO2/kWh") == intensity("0.4 kg CO2e/kWh") == 0.4
    for wrong in (
        "0.05",
        "0.05/",
        "0/h",
        "x/h",
        "1/0h",
        "1/2y",
        "5/h/h",
        "-1/h",
        "1perh",
        "1e400/h",
    ):
        with pytest.raises(ValueError, match=f"^'{wrong}' "):  # as it was written
            rate(wrong)
    for wrong in ("0.4", "400", "400 Mg/kWh", "4Mkg/kWh", "0.4kg/MW", "-1kg/kWh"):
        with pytest.raises(ValueError):
            intensity(wrong)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--carbon", "0.4kg/kWh"), "--carbon needs --train-on and --serve-on"),
        ((*SPOT, "--train-count", "8"), "--spot-preemptions needs --train-on and --serve-on"),
        ((*ON, *SPOT, "--deadline", "30d"), "--spot-preemptions with --deadline needs --spot-inst"),
        (
            (*ON, *SPOT, "--spot-instances", "9", "--train-count", "8"),
            "--spot-instances: 9 instances are more than the 8 devices of --train-count",
        ),
        ((*ON, *SPOT[:2], "--train-count", "8"), "--spot-preemptions needs --checkpoint too"),
        ((*ON, "--restart", "5min"), "--restart needs --spot-preemptions too"),
        ((*ON, *SPOT, "--spot-instances", "1e12"), "training never gets anywhere"),
        ((*ON, "--carbon", "0.4"), "--carbon: '0.4' is not a carbon intensity; write it like"),
        ((*ON, "--pue", "0.9"), "--pue: '0.9' must be at least 1"),
        ((*ON, "--spot-preemptions", "5%"), "--spot-preemptions: '5%' is not a rate"),
        (UNKNOWN, "--pue: no source gives the power of custom device; describe it, as peak=275T,"),
    ],
)
def test_a_mistake_is_one_line(command, arguments, message):
    code, out, err = command("plan", *PLAN, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
