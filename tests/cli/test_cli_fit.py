"""`jaxscale fit`: what it prints and writes is what the library finds, and serves as a law."""

import gzip
import io
import json

import numpy as np
import pytest

import jaxscale as js
from cli.tables_of_runs import columns_of, simulated, write_table
from jaxscale.cli import fit as fit_command
from jaxscale.cli.fit import read_objective
from jaxscale.sweeping import spec

pytest.importorskip("typer")
pytest.importorskip("pandas")

QUICK = ("--bootstrap", "50", "--no-pictures")
NAMES = ("E", "A", "B", "alpha", "beta")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """A folder of its own with a table of 60 runs."""
    monkeypatch.chdir(tmp_path)
    write_table("runs.csv", columns_of(simulated()))


@pytest.fixture
def fit(command):
    """The record that `jaxscale fit ... --json` prints, quick and without pictures."""

    def run(*arguments, quick=QUICK):
        code, out, err = command("fit", *arguments, *quick, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return run


def coefficients(law):
    return {name: float(getattr(law, name)) for name in NAMES}


# --- What is found ---------------------------------------------------------------------------


def test_the_record_is_what_the_library_finds(fit):
    record = fit("runs.csv", "--seed", "5")
    found = js.fit(js.laws.Chinchilla, js.Runs.read("runs.csv"))
    resampled = js.bootstrap(found, resamples=50, key=5)
    assert record["law"] == pytest.approx(coefficients(found.law), rel=1e-9)
    assert record["standard_errors"] == pytest.approx(coefficients(resampled.standard_errors))
    expected = resampled.intervals()
    assert record["intervals"]["beta"] == pytest.approx(expected["beta"])
    np.testing.assert_allclose(record["covariance"], resampled.covariance, rtol=1e-6)
    assert record["status"]["name"] == "OK"
    assert record["objective"]["value"] == pytest.approx(found.objective)
    assert record["quality"]["agreed"] == found.search.reached
    assert record["runs"]["count"] == 60
    assert record["written"] == ["fit.json"]
    assert list(record["published"]) == ["hoffmann2022_unrounded", "besiroglu2024"]


def test_the_file_holds_the_draws_and_all_that_was_printed(fit, tmp_path):
    record = fit("runs.csv")
    kept = json.loads((tmp_path / "fit.json").read_text())
    draws = kept.pop("draws")
    head = {"command": "fit", "version": js.__version__}
    assert {**head, **kept, "written": ["fit.json"]} == record
    law = js.laws.Chinchilla(**{name: np.array(column) for name, column in draws.items()})
    found = js.bootstrap(js.fit(js.laws.Chinchilla, simulated()), resamples=50, key=0).law
    for name in NAMES:
        # The table has its numbers to the last digit, and the draws nine of them.
        np.testing.assert_allclose(getattr(law, name), getattr(found, name), rtol=1e-6)


def test_optima_are_those_of_the_solver_with_intervals_of_the_resampled_laws(fit, tmp_path):
    record = fit("runs.csv")
    draws = json.loads((tmp_path / "fit.json").read_text())["draws"]
    columns = {name: [record["law"][name], *draws[name]] for name in NAMES}
    laws = js.laws.Chinchilla(**{name: np.array(x)[:, None] for name, x in columns.items()})
    flops = np.array([each["flops"] for each in record["optima"]])
    plans = js.minimize_loss(laws, flops)
    for at, each in enumerate(record["optima"]):
        assert each["params"] == pytest.approx(float(plans.params[0, at]), rel=1e-9)
        assert each["loss"] == pytest.approx(float(plans.loss[0, at]), rel=1e-9)
        expected = np.quantile(plans.tokens[1:, at], [0.025, 0.975])
        assert each["tokens_interval"] == pytest.approx(expected, rel=1e-6)
    most = js.Runs.read("runs.csv").flops.max()
    assert record["optima"][0]["beyond_runs"] < 1
    assert flops[-1] > 10 * most
    assert record["optima"][-1]["beyond_runs"] >= flops[-1] / most


def test_parabolas_stand_beside_the_fit_where_runs_part_into_budgets(fit, command):
    law, flops = js.laws.published("besiroglu2024"), np.repeat([1e19, 1e20, 1e21], 6)
    middle = np.asarray(js.compute_optimal(law, flops=flops).params, np.float64)
    params = middle / 2 * np.tile(np.geomspace(0.35, 1 / 0.35, 6), 3)
    tokens = flops / 6 / params
    losses = np.asarray(law.loss(params, tokens), np.float64)
    write_table("profiles.csv", {"params": params, "tokens": tokens, "loss": losses})
    made = fit("profiles.csv")
    record, law = made["parabolas"], js.laws.load("fit.json")
    found = js.fitting.isoflop(js.Runs.read("profiles.csv"), law=law)
    assert len(record["budgets"]) == 3
    assert [each["flops"] for each in record["optima"]] == [x["flops"] for x in made["optima"]]
    for each in record["optima"]:
        assert each["params"] == pytest.approx(float(found.params(each["flops"])), rel=1e-9)
        ends = found.tokens_interval(each["flops"])
        assert each["tokens_interval"] == pytest.approx([float(x) for x in ends], rel=1e-6)
        bias = float(found.bias.params(each["flops"])) - 1
        assert each["params_bias"] == pytest.approx(bias, abs=1e-6)
    # Without noise the whole difference between both answers is that bias.
    of_law, by_parabola = made["optima"][-1], record["optima"][-1]
    off = by_parabola["params"] / of_law["params"] - 1
    assert by_parabola["params_bias"] == pytest.approx(off, abs=1e-5)
    assert record["centre"] == pytest.approx(0.5, rel=1e-3)
    assert record["sentence"].startswith("The sizes are centred 2x below the optimum")
    out = " ".join(command("fit", "profiles.csv", *QUICK).out.split())
    assert "The same by parabolas at 3 budgets (approach 2)" in out
    assert record["sentence"] in out
    assert fit("runs.csv")["parabolas"] is None


def test_the_tables_read_as_a_person_expects(command):
    code, out, err = command("fit", "runs.csv", *QUICK)
    assert (code, err) == (0, "")
    rows = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    found = js.fit(js.laws.Chinchilla, js.Runs.read("runs.csv")).law
    assert f"{found.beta:.4f}" in rows["beta"]
    assert "0.3659" in rows["beta"]  # besiroglu2024 beside it
    assert " to " in rows["beta"]
    assert "60 runs of runs.csv" in out
    for words in ("std. error", "95 % interval", "N* ~ C^", "best of 256 starts", "50, seed 0"):
        assert words in out
    for words in ("Compute-optimal sizes", "tokens per param", "Worth knowing", "Wrote fit.json."):
        assert words in out


def test_a_simulated_table_without_noise_gives_its_law_back(command, tmp_path):
    pytest.importorskip("matplotlib")
    assert command("simulate", "exact.csv", "--runs", "60", "--noise", "0").code == 0
    code, _, err = command("fit", "exact.csv", "--bootstrap", "20")
    assert (code, err) == (0, "")
    found = json.loads((tmp_path / "fit.json").read_text())["law"]
    assert found == pytest.approx(coefficients(js.laws.published("sardana2024")), rel=1e-6)
    assert (tmp_path / "fit-pairs.png").stat().st_size > 10_000


# --- How it is asked for ---------------------------------------------------------------------


def test_columns_units_and_rows_are_chosen(fit):
    plain = fit("runs.csv")
    runs = simulated()
    table = {
        "N": [*(runs.params / 1e6).tolist(), 1.0],
        "D": [*(runs.tokens / 1e9).tolist(), 1.0],
        "bits": [*(runs.loss / np.log(2)).tolist(), 9.0],
        "kind": ["whole"] * 60 + ["broken"],
    }
    write_table("other.csv", table)
    units = ("--params-unit", "1M", "--tokens-unit", "1e9", "--loss-unit", "bits")
    names = ("--params", "N", "--tokens", "D", "--loss", "bits", "--where", "kind == 'whole'")
    record = fit("other.csv", *names, *units)
    assert record["law"] == pytest.approx(plain["law"], rel=1e-6)
    assert record["runs"]["columns"] == {"params": "N", "tokens": "D", "loss": "bits"}
    assert record["dataset"] == "60 runs of other.csv where kind == 'whole'"


def test_runs_may_come_from_parquet(fit, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    pandas.read_csv("runs.csv").to_parquet("runs.parquet")
    assert fit("runs.parquet")["law"] == pytest.approx(fit("runs.csv")["law"], rel=1e-9)


def test_runs_may_come_from_standard_input_with_columns_by_expression(fit, monkeypatch):
    runs = simulated()
    rows = zip(runs.params, runs.flops, np.exp(runs.loss), strict=True)
    lines = [
        json.dumps({"size": f"{float(N)!r}", "run": {"C": float(C), "ppl": float(ppl)}})
        for N, C, ppl in rows
    ]
    data = io.BytesIO(gzip.compress("\n".join(lines).encode()))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(data))
    columns = ("--params", "size", "--tokens", "run.C / (6 * size)", "--loss", "log(run.ppl)")
    record = fit("-", *columns)
    assert record["law"] == pytest.approx(fit("runs.csv")["law"], rel=1e-6)
    assert record["dataset"] == "60 runs of standard input"
    assert record["runs"]["columns"]["loss"] == "log(run.ppl)"


def test_runs_without_weight_count_for_nothing(fit):
    columns = columns_of(simulated())
    columns["loss"][0] = 50.0
    write_table("weighted.csv", {**columns, "w": [0] + [1] * 59})
    record = fit("weighted.csv", "--weights", "w")
    assert record["runs"]["count"] == 59
    assert record["ranges"]["loss"][1] < 4


@pytest.mark.parametrize(
    ("name", "delta", "objective"),
    [
        ("huber", None, js.fitting.Huber()),
        ("squared", None, js.fitting.SquaredError()),
        ("Absolute", None, js.fitting.AbsoluteError()),
        ("likelihood", 1.0, js.fitting.HuberLikelihood(1.0)),
    ],
)
def test_the_objective_is_chosen(name, delta, objective):
    assert read_objective(name, delta) == objective


def test_the_objective_counts(fit):
    record = fit("runs.csv", "--delta", "0.01", "--objective", "huber")
    found = js.fit(js.laws.Chinchilla, simulated(), objective=js.fitting.Huber(0.01))
    assert record["law"] == pytest.approx(coefficients(found.law), rel=1e-6)
    assert record["objective"]["delta"] == 0.01


def test_coefficients_are_held_and_tied(fit, command):
    record = fit("runs.csv", "--fix", "E=1.8", "--tie", "alpha=beta")
    assert record["law"]["E"] == 1.8
    assert record["law"]["alpha"] == record["law"]["beta"]
    assert record["constraints"] == {"fixed": {"E": 1.8}, "tie": [["alpha", "beta"]]}
    assert "held" in command("fit", "runs.csv", "--fix", "e=1.8", *QUICK).out


def test_the_starts_of_hoffmann_et_al_are_4500(fit):
    record = fit("runs.csv", "--starts", "hoffmann2022")
    assert record["quality"]["starts"] == 4500
    assert record["law"] == pytest.approx(fit("runs.csv")["law"], rel=1e-6)


def test_without_resamples_intervals_come_from_the_covariance(fit):
    record = fit("runs.csv", quick=("--bootstrap", "0", "--no-pictures"))
    found = js.fit(js.laws.Chinchilla, js.Runs.read("runs.csv"))
    beta, error = found.law.beta, found.standard_errors.beta
    assert record["intervals"]["beta"] == pytest.approx(
        [beta - 1.96 * error, beta + 1.96 * error], rel=1e-4
    )
    reach = 1.96 * np.sqrt(found.covariance[2, 2])
    assert record["intervals"]["B"][1] == pytest.approx(found.law.B * np.exp(reach), rel=1e-4)
    assert "params_interval" not in record["optima"][0]
    assert "resamples" in record["remarks"]


# --- Other families --------------------------------------------------------------------------

BLEND = """
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax

import jaxscale as js


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Blend:
    A: Any
    power: Any

    fitted: ClassVar = {"power": js.laws.Coefficient((0.1,), positive=False)}

    def loss(self, params, tokens):
        return self.A * (params * tokens) ** -self.power
"""


def test_a_simulated_table_is_fitted_by_another_family(command, tmp_path):
    command("simulate", "kaplan.csv", "--runs", "60", "--law", "kaplan2020", "--seed", "1")
    options = ("--law", "kaplan", "--objective", "squared")
    table = command("fit", "kaplan.csv", *options, "--bootstrap", "0", "--no-pictures").out
    assert "alpha_N" in table
    assert "Compute-optimal sizes" in table
    record = json.loads((tmp_path / "fit.json").read_text())
    assert record["family"] == "Kaplan"
    truth = js.laws.published("kaplan2020")
    for name in ("alpha_N", "alpha_D"):
        low, high = record["intervals"][name]
        assert low - 0.005 < getattr(truth, name) < high + 0.005
    objective = js.fitting.SquaredError()
    found = js.fit(js.laws.Kaplan, js.Runs.read("kaplan.csv"), objective=objective)
    assert record["law"]["N_c"] == pytest.approx(float(found.law.N_c), rel=1e-6)
    assert next(iter(record["published"])) == "kaplan2020"
    demand = ("--inference-tokens", "1T")
    assert command("plan", "--law", "fit.json", "--loss", "2.5", *demand).code == 0


def test_a_class_in_a_file_is_fitted_and_read_again(command, fit, tmp_path):
    (tmp_path / "own.py").write_text(BLEND)
    runs = simulated()
    loss = 40 * (runs.params * runs.tokens) ** -0.06
    write_table("blend.csv", {**columns_of(runs), "loss": loss.tolist()})
    record = fit("blend.csv", "--law", "own.py:Blend", quick=("--bootstrap", "0", "--no-pictures"))
    assert record["family"] == "Blend"
    assert record["law"] == pytest.approx({"A": 40, "power": 0.06}, rel=1e-6)
    refused = command("plan", "--law", "fit.json", "--loss", "3", "--inference-tokens", "1T")
    assert refused.code == 2
    said = " ".join(refused.err.split())
    assert "a fit of 'Blend'" in said
    assert "if it is a class of your own, read it by js.laws.load with family=" in said
    assert "or name it fit.json:FILE.py:CLASS in a terminal" in said
    named = ("estimate", "--params", "7B", "--tokens", "1T")
    found = json.loads(command(*named, "--law", "fit.json:own.py:Blend", "--json").out)
    assert found["law"] == {"name": "fit.json", **record["law"]}
    assert found["loss"] == pytest.approx(40 * 7e21**-0.06, rel=1e-6)
    assert found["note"].startswith("Extrapolated")
    other = command(*named, "--law", "fit.json:Blend")
    assert "'Blend' must be the class of fit.json, as FILE.py:CLASS" in other.err
    missing = command("fit", "blend.csv", "--law", "own.py:Bland", *QUICK)
    assert (missing.code, missing.out) == (2, "")
    assert "own.py has no frozen dataclass 'Bland' with a loss" in missing.err


def test_a_lever_is_a_column_of_its_name(command, fit):
    law = js.laws.Muennighoff(1.87, 521.0, 1488.0, 0.353, 0.353, 15.4, 5.3)
    runs = simulated()
    unique = runs.tokens / np.random.default_rng(0).uniform(1, 30, len(runs))
    loss = np.asarray(law.loss(runs.params, runs.tokens, unique_tokens=unique))
    columns = {**columns_of(runs), "loss": loss.tolist(), "unique_tokens": unique.tolist()}
    write_table("repeats.csv", columns)
    # Fewer coefficients compile sooner.
    given = ("E=1.87", "A=521", "B=1488", "R_N=5.3")
    held = [word for each in given for word in ("--fix", each)]
    options = ("--law", "Muennighoff", "--tie", "alpha=beta", *held)
    record = fit("repeats.csv", *options, quick=("--bootstrap", "0", "--no-pictures"))
    assert record["law"]["alpha"] == record["law"]["beta"]
    # The losses have single precision.
    assert record["law"]["alpha"] == pytest.approx(0.353, rel=1e-3)
    assert record["ranges"]["unique_tokens"] == pytest.approx([unique.min(), unique.max()])
    assert record["optima"] == []
    without = command("fit", "runs.csv", *options, *QUICK)
    assert without.code == 2
    assert "no column 'unique_tokens' for unique_tokens" in " ".join(without.err.split())


# --- The fit as a law ------------------------------------------------------------------------


def test_the_file_is_a_law_wherever_one_is_named(command, fit, tmp_path):
    law = js.laws.Chinchilla(**fit("runs.csv")["law"])
    demand = ("--inference-tokens", "1T")
    planned = json.loads(
        command("plan", "--law", "fit.json", "--loss", "2.2", *demand, "--json").out
    )
    assert planned["law"] == {"name": "fit.json", **coefficients(law)}
    assert planned["optimum"]["loss"] == pytest.approx(2.2, rel=1e-9)
    far = command("plan", "--law", "fit.json", "--like-params", "70B", *demand).out
    most = js.Runs.read("runs.csv").params.max()
    assert "Extrapolated: the runs behind fit.json had" in far
    assert f" to {most / 1e9:.1f}B params, " in far
    shown = command("laws", str(tmp_path / "fit.json")).out
    assert f"{law.beta:.10g}" in shown
    assert "60 runs of runs.csv" in shown
    again = fit("runs.csv", "--beside", "fit.json", "--beside", "sardana2024", "--output", "b.json")
    assert list(again["published"]) == ["fit.json", "sardana2024"]


def test_the_file_is_a_law_in_a_specification(fit):
    law = js.laws.Chinchilla(**fit("runs.csv")["law"])
    axes = "[axes]\nloss_nats_per_token = [2.2, 2.3]\n"
    demand = "[fixed]\ninference_tokens = 1e12\n"
    one = spec.read(f"{axes}{demand}law = 'fit.json'", name="a.toml")
    assert one.scenario.fixed["law"] == law
    assert "law fit.json" in one.scenario.attributes["conditions"]
    two = spec.read(f"{axes}law = ['sardana2024', 'fit.json']\n{demand}", name="a.toml")
    axis = two.space.axes["law"]
    assert axis.labels == ("sardana2024", "fit.json")
    assert float(axis.values.beta[1]) == pytest.approx(law.beta, rel=1e-6)


# --- Pictures --------------------------------------------------------------------------------

KINDS = ("quality", "contours", "isoflops", "pairs", "optima")


def test_five_pictures_stand_beside_the_fit(command, tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "out").mkdir()
    code, out, err = command("fit", "runs.csv", "--bootstrap", "50", "--output", "out/a.json")
    assert (code, err) == (0, "")
    for kind in KINDS:
        assert (tmp_path / "out" / f"a-{kind}.png").read_bytes().startswith(b"\x89PNG")
        assert f"out/a-{kind}.png" in out


@pytest.mark.parametrize(
    ("option", "expected"),
    [("out", "out/fit-{}.png"), ("out/b.svg", "out/b-{}.svg"), ("out/c", "out/c-{}.png")],
)
def test_pictures_go_where_they_are_asked_to(command, tmp_path, option, expected, monkeypatch):
    pytest.importorskip("matplotlib")
    drawn = []
    monkeypatch.setattr(fit_command, "save", lambda _, path: drawn.append(str(path)))
    (tmp_path / "out").mkdir()
    # Without resamples there are no pairs.
    command("fit", "runs.csv", "--bootstrap", "0", "--pictures", option)
    assert drawn == [expected.format(kind) for kind in KINDS if kind != "pairs"]
