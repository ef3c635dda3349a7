"""`jaxscale design`: the runs of the library, their score, and a table to train from."""

import json

import pytest
from numpy.testing import assert_allclose

import jaxscale as js

pytest.importorskip("typer")
pytest.importorskip("pandas")


def test_the_runs_and_their_score_are_those_of_the_library(command, tmp_path):
    path = tmp_path / "runs.csv"
    asked = ("--law", "besiroglu2024", "--levels", "3", "--span", "1", "--output", str(path))
    record = json.loads(command("design", "--budget", "1e21", *asked, "--json").out)
    law = js.laws.published("besiroglu2024")
    design = js.design(law, 1e21, levels=3, span=1.0)
    assert_allclose([run["params"] for run in record["runs"]], design.params, rtol=1e-6)
    assert_allclose(record["total_cost"], 1e21)
    assert record["score"]["flops"] == pytest.approx(1e23)
    assert 0 < record["score"]["params"]["rmse"] < 0.5
    lines = path.read_text().splitlines()
    assert lines[0] == "params,tokens,flops,cumulative_cost"
    assert len(lines) == 25


def test_dollars_are_written_as_dollars(command):
    asked = ("--levels", "2", "--train-on", "H100-SXM", "--train-price", "2")
    code, out, _ = command("design", "--budget", "20K", *asked)
    assert code == 0
    assert "16 runs for $20.0K" in out
    assert "Trained on H100-SXM at $2.00 an hour" in out
    assert "200 simulated tables" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give --budget"),
        (("--budget", "1e21", "--output", "runs.txt"), "--output: 'runs.txt' must end in .csv"),
        (("--budget", "1e21", "--sizes", "2"), "sizes must be a whole number, at least 3"),
        (("--budget", "1e21", "--law", "clark2022_sbase", "--lever", "experts=8"), "optimal size"),
        (("--budget", "1e21", "--levels", "1", "--span", "0.1"), "does not identify"),
    ],
)
def test_a_mistake_is_one_line(command, arguments, message):
    code, out, err = command("design", *arguments)
    assert (code, out) == (2, "")
    assert message in err
