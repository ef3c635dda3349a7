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
    code, out, _ = command("design", "--budget", "20K$", *asked)
    assert code == 0
    assert "16 runs for $20.0K" in out
    assert "Trained on H100-SXM at $2.00 an hour" in out
    assert "200 simulated tables" in out


def test_flops_are_flops_on_accelerators_too(command):
    asked = ("--levels", "2", "--train-on", "H100-SXM", "--train-price", "2", "--json")
    record = json.loads(command("design", "--budget", "1e21", *asked).out)
    assert sum(run["flops"] for run in record["runs"]) == pytest.approx(1e21)
    # Two dollars for an hour at half of 989.4e12 FLOPs a second.
    assert record["budget"] == pytest.approx(1e21 * 2 / 3600 / (0.5 * 989.4e12), rel=1e-3)
    assert record["unit"] == "dollars"
    assert "16 lie outside the sizes of the runs behind" in record["note"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give --budget"),
        (("--budget", "1e21", "--output", "runs.txt"), "--output: 'runs.txt' must end in .csv"),
        (("--budget", "20K$"), "--budget: dollars need --train-on"),
        (("--budget", "1e6"), "at least one param and one token"),
        (("--budget", "1e21", "--sizes", "9998"), "make 50,000 runs"),
        (("--budget", "1e21", "--noise", "1"), "--noise: '1' must be a share of the loss"),
        (("--budget", "1e21", "--sizes", "2"), "sizes must be a whole number, at least 3"),
        (("--budget", "1e21", "--law", "clark2022_sbase", "--lever", "experts=8"), "optimal size"),
        (("--budget", "1e21", "--noise", "0"), "--noise: '0' must be greater than zero"),
    ],
)
def test_a_mistake_is_one_line(command, arguments, message):
    code, out, err = command("design", *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_runs_that_identify_no_law_are_written_without_a_score(command, tmp_path):
    path = tmp_path / "runs.csv"
    asked = ("design", "--budget", "1e21", "--levels", "1", "--output", str(path), "--json")
    code, out, _ = command(*asked)
    record = json.loads(out)
    assert (code, record["score"]) == (0, None)
    assert "There is no score: the design does not identify" in record["note"]
    assert len(path.read_text().splitlines()) == 9
