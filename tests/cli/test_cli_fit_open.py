"""`jaxscale fit` of runs that leave coefficients open, and the commands that read such a fit."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import jaxscale as js
from cli.tables_of_runs import LAW, columns_of, simulated, write_table

pytest.importorskip("typer")
pytest.importorskip("pandas")

QUICK = ("--bootstrap", "50", "--no-pictures")
SIZE = 3e8


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """A folder of its own with a table of 30 runs of one size."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(4)
    tokens = np.geomspace(1e9, 1e12, 30)
    loss = np.asarray(LAW.loss(SIZE, tokens)) * np.exp(0.003 * random.standard_normal(30))
    columns = {"params": [SIZE] * 30, "tokens": tokens.tolist(), "loss": loss.tolist()}
    write_table("one.csv", columns)


def joined(text):
    return " ".join(text.split())


def test_neither_sizes_nor_intervals_are_printed_and_the_exit_code_says_so(command):
    code, out, err = command("fit", "one.csv", *QUICK)
    assert code == 2
    assert joined(err).startswith(
        "error: These runs do not identify E, A, alpha: all runs have the same params."
    )
    assert "FLAT_VALLEY" in out
    assert "Known instead: E + A/N^alpha = " in joined(out)
    assert "No compute-optimal sizes" in out
    for name in ("E", "A", "alpha"):
        line = next(x for x in out.splitlines() if x.split()[:1] == [name])
        assert line.split()[1:3] == ["not", "known"]
        assert " to " not in line
    assert command("fit", "one.csv", *QUICK, "--anyway").code == 0


def test_the_record_has_null_for_what_is_not_known(command, tmp_path):
    code, out, err = command("fit", "one.csv", *QUICK, "--anyway", "--json")
    assert (code, err) == (0, "")
    record = json.loads(out)
    for name in ("E", "A", "alpha"):
        assert record["intervals"][name] is None
        assert record["standard_errors"][name] is None
    low, high = record["intervals"]["beta"]
    assert low < record["law"]["beta"] < high
    assert (record["optima"], record["best_params_exponent"]) == ([], None)
    assert record["unidentified"]["names"] == ["E", "A", "alpha"]
    known = record["unidentified"]["known_instead"]["E + A/N^alpha"]
    found = js.fit(js.laws.Chinchilla, js.Runs.read("one.csv"))
    truth = float(LAW.E + LAW.A / SIZE**LAW.alpha)
    assert known["value"] == pytest.approx(found.claims.combinations["E + A/N^alpha"][0])
    assert abs(known["value"] - truth) < 6 * known["standard_error"]
    assert json.loads((tmp_path / "fit.json").read_text())["draws"] is None
    assert "all runs have the same params" in record["remarks"]["not identified"]


def test_plans_by_such_a_fit_are_refused_and_what_is_known_is_said_with_a_warning(command):
    command("fit", "one.csv", *QUICK)
    refused = "fit.json: FLAT_VALLEY: "
    plan = command("plan", "--law", "fit.json", "--loss", "3", "--inference-tokens", "1T")
    assert (plan.code, plan.out) == (2, "")
    assert refused in plan.err
    optimal = command("estimate", "--law", "fit.json", "--params", "300M", "--compute-optimal")
    assert optimal.code == 2
    elsewhere = command("estimate", "--law", "fit.json", "--params", "400M", "--tokens", "10B")
    assert (elsewhere.code, elsewhere.out) == (2, "")
    assert "the loss at this size is not known" in elsewhere.err
    here = command("estimate", "--law", "fit.json", "--params", "300M", "--tokens", "10B")
    assert (here.code, here.err) == (0, "")
    assert here.out.startswith(refused)
    with open("spec.toml", "w") as file:
        file.write("[axes]\nloss_nats_per_token = [3.2, 3.3]\n[fixed]\ninference_tokens = 1e12\n")
        file.write('law = "fit.json"\n')
    sweep = command("sweep", "spec.toml", "--dry-run")
    assert sweep.code == 2
    assert refused in sweep.err
    assert joined(command("laws", "fit.json").out).startswith("fit.json status FLAT_VALLEY")


def test_a_fit_that_is_no_certified_minimum_says_so_before_it_is_used(command):
    runs = simulated(noise=0)
    write_table("low.csv", {**columns_of(runs), "loss": (runs.loss - 1.9).tolist()})
    code, out, _ = command("fit", "low.csv", *QUICK)
    assert code == 0
    (line,) = (line for line in out.splitlines() if line.split()[:1] == ["E"])
    assert "at bound" in line
    said = "fit.json: E_AT_ZERO: "
    for name, *typed in (
        ("plan", "--like-params", "7B", "--inference-tokens", "1T"),
        ("recipe", "--params", "7B", "--tokens", "1T"),
        ("simulate", "more.csv", "--overwrite"),
    ):
        code, out, err = command(name, *typed, "--law", "fit.json")
        assert (code, err) == (0, "")
        assert out.startswith(said)
        record = json.loads(command(name, *typed, "--law", "fit.json", "--json").out)
        assert record["law_status"].startswith(said)


def test_one_ratio_leaves_both_terms_open(command):
    one = ("--min-tokens-per-param", "20", "--max-tokens-per-param", "20")
    command("simulate", "sim.csv", "--noise", "1%", *one)
    code, out, err = command("fit", "sim.csv", "--bootstrap", "0", "--no-pictures")
    assert code == 2
    assert "These runs do not identify A, B, alpha, beta: all runs have 20 tokens" in joined(out)
    assert "held" not in out
    assert err.startswith("error: ")


def test_no_outlier_is_one_of_rounding(command):
    runs = simulated(noise=0)
    rounded = [round(x, 6) for x in runs.loss.tolist()]
    write_table("exact.csv", {**columns_of(runs), "loss": rounded})
    code, out, err = command("fit", "exact.csv", *QUICK)
    assert (code, err) == (0, "")
    assert "robust deviations" not in out
    assert "all ended at a minimum inside all bounds" in joined(out)


@pytest.fixture
def without_e(monkeypatch):
    """As if the runs of every fit left E open, and nothing else."""
    pytest.importorskip("matplotlib")
    fit = js.fit

    def fitted(*given, **options):
        found = fit(*given, **options)
        open_ones = {"unidentified": ("E",), "reason": "no run tells it", "combinations": {}}
        claims = found.claims._replace(**open_ones, directions=np.eye(5)[:, 2:3])
        return dataclasses.replace(found, claims=claims)

    monkeypatch.setattr("jaxscale.fit", fitted)
    write_table("sim.csv", columns_of(simulated()))


def test_where_e_alone_is_open_sizes_are_known_and_losses_are_not(command, without_e):
    code, out, err = command("fit", "sim.csv", "--bootstrap", "20", "--json")
    assert code == 2
    assert "do not identify E" in err
    record = json.loads(out)
    written = {name.rpartition("-")[2] for name in record["written"]}
    assert written == {"fit.json", "quality.png", "optima.png"}
    for each in record["optima"]:
        assert each["params"] * each["tokens"] * 6 == pytest.approx(each["flops"])
        assert (each["loss"], each["loss_interval"]) == (None, [None, None])
    shown = command("fit", "sim.csv", "--bootstrap", "0", "--no-pictures").out
    assert "Compute-optimal sizes" in shown
    assert shown.count("not known") > len(record["optima"])

    estimate = ("estimate", "--law", "fit.json", "--flops", "1e21")
    found = json.loads(command(*estimate, "--compute-optimal", "--json").out)
    (best,) = (each for each in record["optima"] if each["flops"] == 1e21)
    assert found["params"] == pytest.approx(best["params"], rel=1e-6)
    assert found["loss"] is None
    assert "not known" in command(*estimate, "--compute-optimal").out
    code, _, err = command(*estimate, "--params", "1B")
    assert (code, "the loss at this size is not known" in err) == (2, True)


def test_a_plan_that_matches_a_model_does_not_rest_on_e(command, without_e):
    command("fit", "sim.csv", "--bootstrap", "0", "--no-pictures")
    question = ("--like-params", "7B", "--inference-tokens", "1T")
    found = json.loads(command("plan", "--law", "fit.json", *question, "--json").out)
    law = {**json.loads(Path("fit.json").read_text())["law"], "E": 0.5}  # any E does
    other = ",".join(f"{name}={value!r}" for name, value in law.items())
    same = json.loads(command("plan", "--law", other, *question, "--json").out)
    for name in ("params", "tokens", "total_cost"):
        assert found["optimum"][name] == pytest.approx(same["optimum"][name], rel=1e-6)
        assert found["chinchilla"][name] == pytest.approx(same["chinchilla"][name], rel=1e-6)
    assert found["target_loss"] is found["optimum"]["loss"] is found["chinchilla"]["loss"] is None
    shown = command("plan", "--law", "fit.json", *question).out
    assert "The loss of the model, " in joined(shown)
    assert "loss not known not known" in joined(shown)
    compared = ("compare", *question, "--law", "fit.json", "--law", "sardana2024")
    ours, theirs = json.loads(command(*compared, "--json").out)["laws"]
    assert ours["optimum"]["total_cost"] == pytest.approx(found["optimum"]["total_cost"], rel=1e-6)
    assert ours["target_loss"] is ours["optimum"]["loss"] is None
    assert theirs["target_loss"] > 1.69
    shown = command(*compared).out
    assert shown.startswith("fit.json: ")
    assert "fit.json not known" in joined(shown)
    for typed in (
        ("plan", "--loss", "3", *question[2:]),
        ("compare", "--loss", "3", *question[2:]),
        ("simulate", "more.csv"),
    ):
        code, out, err = command(*typed, "--law", "fit.json")
        assert (code, out) == (2, "")
        assert "losses at other sizes are not known" in err
