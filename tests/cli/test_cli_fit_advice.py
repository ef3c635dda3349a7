"""What `jaxscale fit` says that a colleague would, and leaves unsaid of good runs."""

import json

import numpy as np
import pytest

from cli.tables_of_runs import LAW, columns_of, simulated, write_table

pytest.importorskip("typer")
pytest.importorskip("pandas")

QUICK = ("--bootstrap", "50", "--no-pictures")


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


@pytest.mark.parametrize(
    ("options", "about", "words"),
    [
        ({}, "extrapolation", "the largest run, every plan is extrapolated, and no interval"),
        ({}, "resamples", "from 50 resamples are rough"),
        ({"tokens_per_param": (5, 60)}, "long training", "No run has over 100 tokens per param"),
        ({"tokens_per_param": (5, 130)}, "long training", "of 60 runs have over 100 tokens"),
        ({"tokens_per_param": (20, 21)}, "one ratio", "All runs have about 20"),
        ({"tokens_per_param": (15, 35), "flops": (1e19, 1e24)}, "one ratio", "rise together"),
        ({"count": 12}, "number of runs", "12 runs for 5 coefficients are few"),
        ({"flops": (1e20, 1.1e20), "tokens_per_param": (10, 90)}, "narrow range", "span a factor"),
    ],
)
def test_what_the_runs_cannot_tell_is_said(fit, options, about, words):
    write_table("runs.csv", columns_of(simulated(**options)))
    assert words in fit("runs.csv")["remarks"][about]


def test_good_runs_are_left_in_peace(fit):
    write_table("runs.csv", columns_of(simulated(noise=0.001)))
    remarks = fit("runs.csv", quick=("--bootstrap", "1000", "--no-pictures"))["remarks"]
    assert list(remarks) in (["extrapolation"], ["extrapolation", "note 1"])


def checkpoints(noise=0.01):
    """Six trainings of ten checkpoints each, with one error for each training."""
    random = np.random.default_rng(1)
    params = np.repeat(np.geomspace(1e8, 1e10, 6), 10)
    tokens = params * np.tile(np.geomspace(5, 500, 10), 6)
    error = np.repeat(random.standard_normal(6), 10) + 0.2 * random.standard_normal(60)
    loss = np.asarray(LAW.loss(params, tokens)) * np.exp(noise * error)
    run = np.repeat([f"run {number}" for number in range(6)], 10)
    return {"params": params, "tokens": tokens, "loss": loss, "run": run}


def test_checkpoints_are_recognised_until_their_group_is_named(fit):
    write_table("runs.csv", {name: x.tolist() for name, x in checkpoints().items()})
    alone = fit("runs.csv")
    assert "10 checkpoints of each of 6 trainings" in alone["remarks"]["checkpoints"]
    assert "group them by column 'run'" in alone["remarks"]["checkpoints"]
    grouped = fit("runs.csv", "--group", "run")
    assert "checkpoints" not in grouped["remarks"]
    assert "6 independent groups" in grouped["remarks"]["groups"]
    assert grouped["errors_from"] == "50 resamples of whole groups of runs"


def test_what_is_odd_about_the_table_comes_first(command, fit):
    runs = simulated()
    write_table("runs.csv", {**columns_of(runs), "params": (runs.params / 1e6).tolist()})
    code, out, err = command("fit", "runs.csv", *QUICK)
    assert (code, err) == (0, "")
    assert "(units): half of the runs (line 2 to 61)" in out
    assert "column 'params' seems to count millions" in out
    assert out.index("Check the table") < out.index("L(N, D)")
    write_table("runs.csv", {**columns_of(runs), "loss": np.exp(runs.loss * 1.5).tolist()})
    assert "'perplexity'" in fit("runs.csv")["remarks"]["units"]


def test_the_best_of_each_cell_is_fitted_and_recorded(command, fit, tmp_path):
    runs, columns = simulated(), {"params": [], "tokens": [], "loss": [], "lr": []}
    for rate in (1e-4, 1e-3, 1e-2):
        excess = 1.0 if rate == 1e-3 else 1.1
        for name, column in columns_of(runs).items():
            columns[name] += [x * excess for x in column] if name == "loss" else column
        columns["lr"] += [rate] * len(runs)
    write_table("sweep.csv", columns)
    assert "have 3 runs each" in fit("sweep.csv")["remarks"]["several runs a size"]
    best, alone = fit("sweep.csv", "--best-of-cell"), fit("runs.csv")
    assert best["law"] == alone["law"]
    assert "several runs a size" not in best["remarks"]
    assert best["runs"]["best_of_cell"]
    assert best["dataset"] == "60 runs of sweep.csv, the best of each cell"


def test_a_run_that_diverged_is_pointed_at(fit):
    columns = columns_of(simulated())
    columns["loss"][10] *= 1.5
    write_table("runs.csv", {**columns, "name": [f"r{row}" for row in range(60)]})
    remarks = fit("runs.csv")["remarks"]
    assert "1 run lies over 5 robust deviations" in remarks["outliers"]
    assert "(line 12; run 'r10')" in remarks["diverged runs"]


def test_what_the_library_warns_of_is_a_note(command, fit):
    columns = columns_of(simulated())
    write_table("runs.csv", {name: [*x, x[0]] for name, x in columns.items()})
    assert "rows with the params, tokens and loss of an earlier one" in str(fit("runs.csv"))
    code, out, err = command("fit", "runs.csv", *QUICK)
    assert (code, err) == (0, "")
    assert "an earlier one: 1 (line 62)" in " ".join(out.split())


def test_a_fit_that_is_no_certified_minimum_says_so_and_is_written(command, tmp_path):
    runs = simulated(noise=0)
    write_table("runs.csv", {**columns_of(runs), "loss": (runs.loss - 1.9).tolist()})
    code, out, err = command("fit", "runs.csv", *QUICK)
    assert (code, err) == (0, "")
    assert "E_AT_ZERO: The fit drives E to 0" in " ".join(out.split())
    assert "50 ended at a bound or short of a minimum" in " ".join(out.split())
    assert json.loads((tmp_path / "fit.json").read_text())["status"]["name"] == "E_AT_ZERO"
    assert "status: The fit drives" in " ".join(command("laws", "fit.json").out.split())


def test_a_fit_beside_that_was_not_ok_is_doubted(fit, command):
    columns = columns_of(simulated())
    write_table("one.csv", columns | {"params": np.full_like(columns["params"], 1e9)})
    quick = ("--bootstrap", "0", "--no-pictures")
    assert command("fit", "one.csv", *quick, "--output", "one.json")[0] == 2
    doubts = fit("runs.csv", "--beside", "one.json", quick=quick)["remarks"]["beside: one.json"]
    assert doubts.startswith("FLAT_VALLEY: ")
    assert "do not identify E, A, alpha" in doubts
