"""`jaxscale extrapolate`: answers as the library's, what is assumed, and mistakes."""

import json

import numpy as np
import pytest

import jaxscale as js

pandas = pytest.importorskip("pandas")
SCHEDULE = js.trajectories.Schedule.cosine(3000, 3e-4, 3e-5, warmup=200)
CONSTANT = js.trajectories.Schedule.constant(3000, 3e-4, warmup=200)
STEPS = np.arange(320, 2601, 40)


def losses(law, schedule):
    noise = 0.0005 * np.random.default_rng(1).standard_normal(STEPS.size)
    return np.asarray(law.loss(schedule, STEPS), float) * np.exp(noise)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("curves")
    falling = losses(js.trajectories.Momentum(2.4, 0.6, 0.5, 0.5), SCHEDULE)
    table = pandas.DataFrame({"step": STEPS, "lr": SCHEDULE.rates[STEPS], "loss": falling})
    table.to_csv(path / "cosine.csv", index=False)
    table.head(5).to_csv(path / "short.csv", index=False)
    loss = losses(js.trajectories.EarlyPower(2.4, 0.6, 0.5), CONSTANT)
    table = pandas.DataFrame({"step": STEPS, "loss": loss})
    table.to_csv(path / "bare.csv", index=False)
    table.to_csv(path / "semicolons.txt", index=False, sep=";", decimal=",")
    wide = {"Step": STEPS, "a - loss": loss, "a - loss__MIN": loss, "b - loss": loss + 0.1}
    pandas.DataFrame(wide).to_csv(path / "wide.csv", index=False)
    return path


@pytest.fixture(autouse=True)
def _in_the_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("jaxscale.trajectories._extrapolate.RESAMPLES", 50)


COSINE = ("--schedule", "cosine:peak=3e-4,end=3e-5,warmup=200", "--to", "3000")


def test_the_answer_is_that_of_the_library(command):
    constant = ("--schedule", "constant:peak=3e-4,warmup=200", "--to", "3000")
    outcome = command("extrapolate", "bare.csv", *constant, "--json", "--picture", "curve.png")
    assert outcome.code == 0
    record = json.loads(outcome.out)
    curve = js.trajectories.Curve.read("bare.csv", schedule=CONSTANT)
    loss, low, high = js.trajectories.extrapolate(curve).end
    assert record["loss"] == pytest.approx(loss, rel=1e-6)
    assert record["interval"] == pytest.approx([low, high], rel=1e-5)
    assert (record["step"], record["last_step"], record["losses"]) == (3000, 2600, STEPS.size)
    assert record["law"]["name"] == "EarlyPower"
    assert (record["assumed"], record["remarks"]) == ("", [])
    with open("curve.png", "rb") as file:
        assert file.read(4) == b"\x89PNG"


@pytest.mark.thorough
def test_where_the_rate_falls_the_law_is_one_of_its_fall(command):
    record = json.loads(command("extrapolate", "cosine.csv", *COSINE, "--json").out)
    assert record["law"]["name"] == "Momentum"


def test_tables_are_read_as_those_of_a_fit(command):
    """A separator of its own with decimal commas, and one run of a tracker's export."""
    early = ("--to", "3000", "--json")
    expected = json.loads(command("extrapolate", "bare.csv", *early).out)
    for arguments in (
        ("semicolons.txt", "--schedule", "constant"),
        ("wide.csv", "--step", "Step", "--where", "run == 'a'"),
    ):
        outcome = command("extrapolate", *arguments, *early)
        assert outcome.code == 0
        record = json.loads(outcome.out)
        assert (record["loss"], record["interval"]) == (expected["loss"], expected["interval"])
    assert record["remarks"][0].startswith("2 runs ('a', 'b') have a column each")


def test_what_is_assumed_is_said(command):
    outcome = command("extrapolate", "bare.csv", "--to", "3000")
    assert outcome.code == 0
    assert "one rate is assumed throughout" in " ".join(outcome.out.split())
    assert "Loss " in outcome.out
    record = json.loads(command("extrapolate", "bare.csv", "--json").out)
    assert record["step"] == 7800  # three times the last
    assert record["law"]["name"] == "EarlyPower"


def test_rates_too_large_to_be_rates_are_remarked_on(command):
    outcome = command("extrapolate", "bare.csv", "--to", "3000", "--lr", "step + 1", "--json")
    assert outcome.code == 0
    (remark,) = json.loads(outcome.out)["remarks"]
    assert remark == "Rates in 'step + 1' are up to 2.6e+03: is it the column of learning rates?"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.csv",), "cannot read the curve 'none.csv'"),
        (("cosine.csv", "--to", "100"), "--to: 100 is before the last loss, at step 2,600"),
        (("cosine.csv", "--step", "steps"), "no column 'steps' for step (did you mean 'step'?)"),
        (
            ("cosine.csv", "--loss", "los"),
            "no column 'los' for loss (did you mean 'loss'?); the columns are",
        ),
        (("cosine.csv", "--law", "momentun"), "'momentun' is none of early, momentum"),
        (("cosine.csv", "--schedule", "cosin"), "'cosin' is none of constant, cosine, wsd"),
        (("cosine.csv", "--schedule", "cosine:peak=1,end=0"), "--schedule needs --to"),
        (("cosine.csv", "--schedule", "cosine:peak=1", "--to", "3000"), "cosine needs end="),
        (("cosine.csv", "--schedule", "constant:top=1"), "'top=1' is not NAME=VALUE of peak"),
        (("cosine.csv", "--schedule", "constant:peak=1,peak=2"), "--schedule: peak is given twice"),
        (("cosine.csv", *COSINE, "--lr", "lr"), "give --schedule or --lr, not both"),
        (("cosine.csv", "--lr", "loss"), "--lr: 'loss' is the column of --loss"),
        (("cosine.csv", "--lr", "step"), "--lr: 'step' is the column of --step"),
        (("cosine.csv", "--to", "3000", "--lr", "loss * 1"), "--lr: no law comes near the losses"),
        (("cosine.csv", "--fix", "D=1"), "--fix: 'D=1' is not NAME=VALUE of a coefficient"),
        (("short.csv", "--to", "3000"), "5 losses are too few"),
        (("wide.csv", "--step", "Step"), "2 trainings ('a', 'b'), where one is expected"),
        (("cosine.csv", "--to", "1e12"), "from 1 to 20,000,000; got 1000000000000"),
        (("cosine.csv", "--loss-unit", "bit"), "--loss-unit: 'bit' is unknown"),
        (("cosine.csv", "--where", "step < 0"), "where='step < 0' holds for none of 58 rows"),
    ],
)
def test_mistakes_are_one_line(command, arguments, message):
    outcome = command("extrapolate", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
