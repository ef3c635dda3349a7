"""`jaxscale fit` with several families: the library's comparison, printed and written."""

import json

import pytest

import jaxscale as js
from cli.tables_of_runs import columns_of, simulated, write_table

pytest.importorskip("typer")
pytest.importorskip("pandas")

FAMILIES = ("--law", "Chinchilla", "--law", "ComputeOnly")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """A folder of its own with a table of 60 runs."""
    monkeypatch.chdir(tmp_path)
    write_table("runs.csv", columns_of(simulated()))


def test_the_record_is_the_comparison_of_the_library(command, tmp_path):
    code, out, err = command("fit", "runs.csv", *FAMILIES, "--flops", "1e24", "--json")
    assert (code, err) == (0, "")
    record = json.loads(out)
    runs = js.Runs.read("runs.csv")
    families = (js.laws.Chinchilla, js.laws.ComputeOnly)
    comparison = js.compare([js.fit(family, runs) for family in families])
    assert record["best"] == comparison.best.name == "Chinchilla"
    assert record["advice"] == comparison.advice
    assert (record["runs"], record["held_out_runs"], record["flops"]) == (60, 12, 1e24)
    assert record["written"] == ["fit-chinchilla.json", "fit-computeonly.json"]
    for row, printed in zip(comparison.rows, record["fits"], strict=True):
        assert printed["family"] == row.name
        for name in ("held_out", "by_size", "by_budget", "aicc", "bic", "weight"):
            assert printed[name] == pytest.approx(getattr(row, name), rel=1e-6)
        assert vars(js.laws.load(tmp_path / printed["file"])) == printed["law"]
        assert printed["law"] == pytest.approx(vars(row.fit.law), rel=1e-6)
    ours, line = record["fits"]
    plan = js.compute_optimal(comparison.rows[0].fit.law, flops=1e24)
    assert ours["optimum"]["params"] == pytest.approx(float(plan.params), rel=1e-5)
    assert line["optimum"] == {"params": None, "tokens": None, "loss": None}


def test_the_table_says_which_to_believe(command):
    code, out, err = command("fit", "runs.csv", *FAMILIES, "--output", "ours.json")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines() if line.strip()]
    rows = {words[0]: words for words in reversed(lines)}  # the first of each: the table
    assert rows["Chinchilla"][1] == "5"
    assert rows["ComputeOnly"][1] == "2"
    assert "1.00" in rows["Chinchilla"]
    assert "Chinchilla predicts the 12 largest runs best" in out
    assert "Wrote ours-chinchilla.json, ours-computeonly.json." in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*FAMILIES, "--law", "chinchilla"), "--law: Chinchilla is named twice"),
        ((*FAMILIES, "--beside", "besiroglu2024"), "--beside belongs to a fit of one --law"),
        ((*FAMILIES, "--pictures", "a.png"), "--pictures belongs to a fit of one --law"),
        ((*FAMILIES, "--fix", "E=1.69"), "--fix: 'E=1.69' is not NAME=VALUE of a coefficient"),
        (("--flops", "1e24"), "--flops compares several --law"),
        (("--law", "Chinchilla", "--law", "Muennighoff"), "--law Muennighoff: runs.csv: no c"),
    ],
)
def test_mistakes_are_named(command, arguments, message, tmp_path):
    code, out, err = command("fit", "runs.csv", *arguments)
    assert code == 2
    assert message in err
    assert not out
    assert not list(tmp_path.glob("*.json"))
