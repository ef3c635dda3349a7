"""Intervals of plans and estimates by the resamples in a fit's file, and plans for a budget."""

import json
import math

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from jaxscale._numerics.interpreted import interpreted  # compiles nothing

pytest.importorskip("typer")

DRAWS = 20
LAW = js.laws.Chinchilla(1.82, 520.0, 2300.0, 0.352, 0.371)
RANGES = {"params": [1e8, 1e10], "tokens": [1e9, 1e12], "tokens_per_param": [5.0, 500.0]}
DEMAND = js.Demand(5e12, 0.0)
SERVED = ("--inference-tokens", "5T")
DOLLARS = ("--train-on", "H100-SXM", "--train-price", "2", "--serve-on", "H100-SXM")
DOLLARS += ("--serve-price", "2")


def drawn(spread=0.01):
    """Laws around `LAW`, as resampling would give them."""
    random = np.random.default_rng(5)
    return {
        name: float(x) * np.exp(spread * random.standard_normal(DRAWS))
        for name, x in vars(LAW).items()
    }


def write(path, draws=None, **parts):
    listed = draws and {name: column.tolist() for name, column in draws.items()}
    record = {"format": "jaxscale fit 2", "family": "Chinchilla", "law": vars(LAW)}
    record |= {"ranges": RANGES, "draws": listed, "status": {"name": "OK", "sentence": "Good."}}
    path.write_text(json.dumps(record | parts))


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "fit.json", drawn())
    write(tmp_path / "bare.json")


@pytest.fixture
def record(command):
    def run(*arguments):
        code, out, err = command(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return run


def by_hand(answer, draws=None):
    """Quantiles of what `answer` says of each law in turn."""
    columns = drawn() if draws is None else draws
    with jax.enable_x64(True):
        answers = []
        for index in range(DRAWS):
            law = js.laws.Chinchilla(**{name: x[index] for name, x in columns.items()})
            answers.append(interpreted(answer, law))
    return {
        name: np.quantile([each[name] for each in answers], [0.025, 0.975]) for name in answers[0]
    }


def check(found, expected):
    for name, ends in expected.items():
        assert_allclose(found[name], ends, rtol=1e-9, err_msg=name)


def numbers(plan):
    names = ("params", "tokens", "tokens_per_param", "loss", "train_cost", "total_cost")
    return {name: getattr(plan, name) for name in names}


def test_intervals_of_a_loss_are_quantiles_of_the_cheapest_plan_of_each_resample(record):
    found = record("plan", "--law", "fit.json", "--loss", "2.1", *SERVED)["intervals"]
    assert (found["level"], found["resamples"], found["left_out"]) == (0.95, DRAWS, 0)
    check(found["optimum"], by_hand(lambda law: numbers(js.minimize_cost(law, 2.1, DEMAND))))
    check(found["chinchilla"], by_hand(lambda law: numbers(chinchilla(law, 2.1))))
    check(found, by_hand(beside))


def chinchilla(law, loss):
    size = js.minimize_cost(law, loss)
    return js.evaluate(law, size.params, size.tokens, DEMAND)


def beside(law, loss=2.1):
    best = js.minimize_cost(law, loss, DEMAND).total_cost
    lower = js.minimize_cost(law, loss - 0.01, DEMAND).total_cost
    return {
        "saving": 1 - best / chinchilla(law, loss).total_cost,
        "cost_of_a_hundredth_nat": lower - best,
    }


def test_a_model_to_match_has_in_each_resample_the_loss_of_its_law(record):
    def answer(law):
        tokens = js.compute_optimal(law, params=7e9).tokens
        loss = js.evaluate(law, 7e9, tokens).loss
        return numbers(js.minimize_cost(law, loss, DEMAND))

    found = record("plan", "--law", "fit.json", "--like-params", "7B", *SERVED)["intervals"]
    check(found["optimum"], by_hand(answer))
    low, high = found["optimum"]["loss"]
    assert high - low > 0.01
    given = ("--like-params", "7B", "--like-tokens", "1T")
    found = record("plan", "--law", "fit.json", *given, *SERVED)["intervals"]
    check(
        found["optimum"],
        by_hand(
            lambda law: numbers(js.minimize_cost(law, js.evaluate(law, 7e9, 1e12).loss, DEMAND))
        ),
    )


def test_a_budget_buys_what_minimize_loss_says(record):
    found = record("plan", "--law", "fit.json", "--flops", "2e24", *SERVED)
    with jax.enable_x64(True):
        best = interpreted(js.minimize_loss, LAW, 2e24, DEMAND)
    assert found["budget"] == 2e24
    check(found["optimum"], numbers(best))
    assert found["target_loss"] == pytest.approx(float(best.loss), rel=1e-12)
    check(
        found["intervals"]["optimum"],
        by_hand(lambda law: numbers(js.minimize_loss(law, 2e24, DEMAND))),
    )
    # Beside it stands the plan of that loss which is cheapest to train.
    with jax.enable_x64(True):
        check(found["chinchilla"], numbers(interpreted(chinchilla, LAW, best.loss)))


def test_a_budget_in_dollars_takes_prices(record):
    found = record("plan", "--law", "fit.json", "--budget", "5M$", *SERVED, *DOLLARS)
    h100 = js.accelerator("H100-SXM", price=2.0)
    with jax.enable_x64(True):
        costs = js.Costs.on(train=h100, serve=h100)
        check(found["optimum"], numbers(interpreted(js.minimize_loss, LAW, 5e6, DEMAND, costs)))
    assert (found["unit"], found["optimum"]["total_cost"]) == ("dollars", pytest.approx(5e6))
    check(
        found["intervals"]["optimum"],
        by_hand(lambda law: numbers(js.minimize_loss(law, 5e6, DEMAND, costs))),
    )


def test_several_budgets_are_rows_each_as_one_alone(record, command):
    rows = record("plan", "--law", "fit.json", "--flops", "1e22,1e23", "--flops", "1e24")["budgets"]
    assert [row["budget"] for row in rows] == [1e22, 1e23, 1e24]
    for row in rows[::2]:
        one = record("plan", "--law", "fit.json", "--flops", str(row["budget"]))
        check(row["optimum"], {name: one["optimum"][name] for name in ("params", "loss")})
        check(row["intervals"], {"params": one["intervals"]["optimum"]["params"]})
        with jax.enable_x64(True):
            best = interpreted(js.compute_optimal, LAW, flops=row["budget"])
        check(row["optimum"], {"params": best.params, "tokens": best.tokens})
    out = command("plan", "--law", "fit.json", "--flops", "1e22,1e24").out
    assert out.count("95 % interval") == 3
    assert "extrapolated" in out


def test_thousands_in_one_budget_are_no_list(record):
    found = record("plan", "--flops", "1,000,000,000,000,000,000,000")
    assert found["budget"] == 1e21
    for text in ("1,000,000$, 2,000,000$", "$1,000,000,$2,000,000", "1M, 2M$"):
        found = record("plan", "--budget", text, *DOLLARS, "--law", "bare.json")
        assert [row["budget"] for row in found["budgets"]] == [1e6, 2e6]


def test_regret_is_the_mean_cost_of_the_size_of_the_fit(record):
    draws = js.laws.entry("fit.json").draws
    found = record("plan", "--law", "fit.json", "--loss", "2.1", *SERVED)
    with jax.enable_x64(True):
        best = interpreted(js.minimize_cost, LAW, 2.1, DEMAND)
        own = interpreted(js.minimize_cost, draws, 2.1, DEMAND).total_cost
    tokens = (draws.B / (2.1 - draws.E - draws.A / best.params**draws.alpha)) ** (1 / draws.beta)
    more = 6 * best.params * tokens + 2 * best.params * 5e12 - own
    assert found["regret_cost"] == pytest.approx(np.mean(more), rel=1e-6)
    assert found["regret_loss"] is None


@pytest.mark.thorough
def test_regret_is_that_of_the_library(record):
    entry = js.laws.entry("fit.json")
    for option, key, field, name in (
        ("--loss", "loss", "naive_regret_cost", "regret_cost"),
        ("--flops", "budget", "naive_regret_loss", "regret_loss"),
    ):
        asked = {"loss": 2.1, "budget": 2e24}[key]
        found = record("plan", "--law", "fit.json", option, str(asked), *SERVED)
        with jax.enable_x64(True):
            regret = js.expected_regret(entry, **{key: asked}, demand=DEMAND)
        assert found[name] == pytest.approx(float(getattr(regret, field)), rel=1e-6)


def test_resamples_that_cannot_reach_the_loss_are_counted(command, record, tmp_path):
    draws = drawn()
    draws["E"][:3] = 2.2
    write(tmp_path / "fit.json", draws)
    found = record("plan", "--law", "fit.json", "--loss", "2.1", *SERVED)["intervals"]
    assert found["left_out"] == 3
    assert found["optimum"]["params"] is None
    out = command("plan", "--law", "fit.json", "--loss", "2.1", *SERVED).out
    assert f"No interval is known: 3 of {DRAWS} resamples of the runs cannot reach the loss." in out
    assert "not known" in out
    # One in a hundred or fewer is left out, and said.
    many = {name: np.tile(column[3:], 12) for name, column in draws.items()}
    many["E"][7] = 2.2
    write(tmp_path / "fit.json", many)
    found = record("plan", "--law", "fit.json", "--loss", "2.1", *SERVED)["intervals"]
    assert found["left_out"] == 1
    with jax.enable_x64(True):
        plans = interpreted(js.minimize_cost, js.laws.Chinchilla(**many), 2.1, DEMAND)
    expected = np.nanquantile(plans.params, [0.025, 0.975])
    assert_allclose(found["optimum"]["params"], expected, rtol=1e-9)
    out = command("plan", "--law", "fit.json", "--loss", "2.1", *SERVED).out
    assert "Intervals from the other resamples: 1 of 204 resamples" in out


def test_estimates_have_intervals(record, command):
    found = record("estimate", "--params", "7B", "--tokens", "1T", "--law", "fit.json")
    loss = by_hand(lambda law: {"loss": law.loss(7e9, 1e12)})
    check(found["intervals"], loss)
    assert found["intervals"]["params"] == [7e9, 7e9]
    asked = ("estimate", "--flops", "1e23", "--compute-optimal", "--law", "fit.json", *DOLLARS[:4])
    found = record(*asked)["intervals"]
    names = ("params", "tokens", "tokens_per_param", "loss")

    def answer(law):
        plan = js.compute_optimal(law, flops=1e23)
        return {name: getattr(plan, name) for name in names}

    check(found, by_hand(answer))
    assert_allclose(found["flops"], [1e23, 1e23], rtol=1e-12)
    given = ("--params", "7B", "--compute-optimal", "--law", "fit.json", *DOLLARS[:4])
    found = record("estimate", *given)
    low, high = found["intervals"]["dollars"]
    assert low < found["dollars"] < high
    assert_allclose(found["intervals"]["device_hours"], [low / 2, high / 2], rtol=1e-12)
    shown = command("estimate", *given).out
    assert "95 % interval" in shown
    assert f"Intervals from {DRAWS} resamples of the runs." in shown


def test_compared_laws_have_intervals_where_they_are_fits(record, command):
    asked = ("compare", "--like-params", "7B", *SERVED, "--law", "fit.json")
    ours, bare, theirs = record(*asked, "--law", "bare.json", "--law", "sardana2024")["laws"]
    plan = record("plan", "--like-params", "7B", *SERVED, "--law", "fit.json")
    check(ours["optimum"], {"params": plan["optimum"]["params"]})
    check(ours["intervals"], plan["intervals"]["optimum"] | {"left_out": 0, "resamples": DRAWS})
    assert bare["intervals"] is theirs["intervals"] is None
    assert command(*asked, "--law", "sardana2024").out.count("95 % interval") == 3
    assert "interval" not in command(*asked[:-1], "sardana2024", "--law", "bare.json").out


def test_a_fit_without_resamples_says_that_there_are_no_intervals(record, command):
    asked = ("plan", "--law", "bare.json", "--loss", "2.1", *SERVED)
    found = record(*asked)
    assert found["intervals"] is found["regret_cost"] is None
    assert "No intervals: bare.json holds no resamples." in command(*asked).out
    assert "ntervals" not in command(*asked[:2], "sardana2024", *asked[3:]).out


def test_training_time_and_energy_have_intervals(record, command):
    rest = ("--law", "fit.json", "--loss", "2.1", *SERVED, *DOLLARS, "--carbon", "400g/kWh")
    found = record("plan", *rest, "--train-count", "1000")
    low, high = found["intervals"]["optimum"]["train_cost"]
    seconds = found["training_time"]["optimum"]["seconds"]
    cost = found["optimum"]["train_cost"]
    ends = found["intervals"]["training_time"]["seconds"]
    assert_allclose(ends, [seconds * low / cost, seconds * high / cost], rtol=1e-9)
    per_dollar = found["energy"]["optimum"]["train_kwh"] / cost
    energy = found["intervals"]["energy"]
    assert_allclose(energy["train_kwh"], [per_dollar * low, per_dollar * high], rtol=1e-9)
    assert energy["tonnes"][0] < found["energy"]["optimum"]["tonnes"] < energy["tonnes"][1]
    out = command("plan", *rest, "--deadline", "30d").out
    assert any(x.split()[:1] == ["devices"] and " to " in x for x in out.splitlines())


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        (("--flops", "1e22", "--budget", "1M"), "either --flops or --budget, not both"),
        (("--flops", "1e22", "--loss", "2"), "give --flops or a quality, not both"),
        (("--flops", "1e22", *DOLLARS, *SERVED), "on accelerators give --budget in dollars"),
        (("--budget", "1M$", *SERVED), "is in dollars and needs --train-on and --serve-on"),
        (("--flops", "1e22,x"), "--flops: 'x' is not a number"),
        (("--flops", "0"), "--flops: '0' must be greater than zero"),
        (
            ("--budget", "1M,2M", *DOLLARS, *SERVED, "--deadline", "30d"),
            "--deadline is about one plan: give one budget",
        ),
        (
            ("--flops", "1e22", "--years", "3"),
            "--years is about serving: give the demand of a year by --inference-tokens",
        ),
        (("--inference-tokens", "5T"), "or a budget by --flops or --budget"),
        (("--flops", "1e-307,1e-308"), "a result over- or underflows float64 (budget 1e-307)"),
    ],
)
def test_a_mistake_about_budgets_is_one_line(command, asked, problem):
    code, out, err = command("plan", *asked)
    assert (code, out) == (2, "")
    assert problem.lower() in err.lower()


# --- The status of a fit travels ------------------------------------------------------------------

FLAT = {"name": "FLAT_VALLEY", "sentence": "Coefficients trade off."}
OPEN = {"names": ["E", "A", "alpha"], "reason": "all runs have the same params", "directions": []}
SPECIFICATION = """
[axes]
loss_nats_per_token = [2.2, 2.3]
[fixed]
law = "open.json"
inference_tokens = 1e12
"""


@pytest.fixture
def unidentified(tmp_path):
    write(tmp_path / "open.json", status=FLAT, unidentified=OPEN)
    (tmp_path / "spec.toml").write_text(SPECIFICATION)


EARNING = ("--value-per-nat", "1B$", "--worthless-at", "2.4")


@pytest.mark.parametrize(
    "asked",
    [
        ("plan", "--loss", "2.3", *SERVED),
        ("plan", "--flops", "1e22"),
        ("plan", "--flops", "1e22,1e23"),
        ("estimate", "--params", "7B", "--tokens", "1T"),
        ("estimate", "--params", "7B", "--compute-optimal"),
        ("compare", "--like-params", "7B", *SERVED),
        ("recipe", "--params", "7B", "--tokens", "1T"),
        ("simulate", "runs.csv"),
        ("implied", "llama-3-8b"),
        ("profit", *EARNING, *SERVED, *DOLLARS),
    ],
    ids=lambda asked: " ".join(asked[:2]),
)
def test_what_rests_on_open_coefficients_is_refused_and_flagged_anyway(
    command, unidentified, asked
):
    asked = (*asked, "--law", "open.json")
    code, out, err = command(*asked)
    assert (code, out) == (2, "")
    assert "open.json: FLAT_VALLEY: " in err
    assert "--anyway takes the fit as it is" in err
    shown = command(*asked, "--anyway")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith("open.json: FLAT_VALLEY: ")
    assert "Taken as it is (--anyway)" in " ".join(shown.out.split())
    json_too = ("--overwrite",) if asked[0] == "simulate" else ()
    record = json.loads(command(*asked, "--anyway", "--json", *json_too).out)
    flagged = record["laws"][0] if asked[0] == "compare" else record
    assert "Taken as it is (--anyway)" in flagged["law_status"]


def test_a_sweep_is_refused_and_flagged_anyway(command, unidentified):
    code, out, err = command("sweep", "spec.toml", "--store", "a.zarr")
    assert (code, out) == (2, "")
    assert "open.json: FLAT_VALLEY: " in err
    assert "takes the fit as it is" in err
    spec = js.sweeping.spec.read("spec.toml", anyway=True)
    (warning,) = spec.warnings
    assert "Taken as it is (--anyway)" in warning
    assert spec.space.size == 2


@pytest.mark.thorough
def test_a_sweep_goes_on_as_it_was_begun(command, unidentified):
    pytest.importorskip("zarr")
    shown = command("sweep", "spec.toml", "--store", "a.zarr", "--anyway")
    assert shown.code == 0
    assert "Taken as it is (--anyway)" in " ".join(shown.out.split())
    record = json.loads(command("resume", "a.zarr", "--json").out)
    assert "Taken as it is (--anyway)" in record["warnings"][0]


def test_python_is_warned_once_of_a_doubtful_fit(unidentified):
    for load in (js.laws.load, js.laws.published):
        with pytest.warns(UserWarning, match=r"open\.json: FLAT_VALLEY") as caught:
            assert load("open.json") == LAW
        assert len(caught) == 1
        assert caught[0].filename == __file__
    assert js.laws.load("fit.json") == LAW  # without a warning, which would be an error
    (row,) = js.compare_laws(["open.json"], params=7e9).rows
    assert row.plan is None
    assert "do not identify E, A, alpha" in row.reason
    assert math.isnan(js.compare_laws(["open.json"], params=7e9).to_dataframe()["params"][0])


def test_a_doubtful_fit_is_marked_in_a_comparison(tmp_path):
    write(tmp_path / "kin.json", drawn(), status={"name": "E_AT_ZERO", "sentence": "No E."})
    comparison = js.compare_laws(["kin.json", "sardana2024"], loss=2.5)
    assert "fit E_AT_ZERO" in repr(comparison)
    assert "95 % interval" in repr(comparison)
    frame = comparison.to_dataframe()
    with jax.enable_x64(True):
        plans = interpreted(js.minimize_cost, js.laws.entry("kin.json").draws, 2.5)
    low, high = js.plan_intervals(plans)["params"]
    assert_allclose(frame.loc[0, ["params_low", "params_high"]].tolist(), [low, high], rtol=1e-9)
    assert math.isnan(frame.loc[1, "params_low"])
