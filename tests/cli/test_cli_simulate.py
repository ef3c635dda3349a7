"""`jaxscale simulate`: a table that `jaxscale fit` reads, and that never replaces one by itself."""

import json

import numpy as np
import pytest

import jaxscale as js

pytest.importorskip("typer")
pytest.importorskip("pandas")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_table_is_that_of_the_library(command):
    code, out, err = command("simulate", "--runs", "30", "--noise", "1%", "--seed", "7")
    assert (code, err) == (0, "")
    assert "30 runs in runs.csv: law sardana2024, noise 1.0 %, seed 7" in out
    assert "jaxscale fit runs.csv" in out
    found = js.Runs.read("runs.csv")
    law = js.laws.published("sardana2024")
    expected = js.fitting.simulate(law, 30, key=7, noise=0.01)
    for name in ("params", "tokens", "loss"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-11)


def test_every_limit_counts(command):
    limits = ("--min-flops", "1e20", "--max-flops", "1e21")
    ratio = ("--min-tokens-per-param", "20", "--max-tokens-per-param", "40")
    law = ("--law", "E=1.7,A=400,B=410,alpha=0.34,beta=0.28")
    out = command("simulate", "a.csv", "--noise", "0", *limits, *ratio, *law, "--json").out
    record = json.loads(out)
    assert (record["path"], record["runs"], record["noise"]) == ("a.csv", 200, 0)
    assert record["law"]["beta"] == 0.28
    runs = js.Runs.read("a.csv")
    assert 1e20 <= runs.flops.min() < runs.flops.max() <= 1e21
    assert 20 <= runs.tokens_per_param.min() < runs.tokens_per_param.max() <= 40
    exact = js.laws.Chinchilla(1.7, 400.0, 410.0, 0.34, 0.28).loss(runs.params, runs.tokens)
    np.testing.assert_allclose(runs.loss, exact, rtol=1e-6)


def test_the_seed_decides_and_a_table_is_replaced_on_request_alone(command, tmp_path):
    texts = []
    for seed in ("1", "2", "1"):
        assert command("simulate", "a.csv", "--overwrite", "--seed", seed).code == 0
        texts.append((tmp_path / "a.csv").read_text())
    assert texts[0] == texts[2] != texts[1]
    code, out, err = command("simulate", "a.csv")
    assert (code, out) == (2, "")
    assert err == "error: PATH: 'a.csv' exists; choose another name, or --overwrite it\n"
    assert (tmp_path / "a.csv").read_text() == texts[2]


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        (("a.txt",), "PATH: 'a.txt' must end in .csv"),
        (("",), "PATH: '' is empty"),
        (("no/a.csv",), "lies in a folder that does not exist"),
        (("--runs", "0"), "--runs must be from 1 to 10,000,000; got 0"),
        (("--runs", "1T"), "--runs must be from 1 to 10,000,000"),
        (("--runs", "2.5"), "--runs: '2.5' must be a whole number"),
        (("--runs", "-1"), "--runs: '-1' must not be negative"),
        (("--noise", "100%"), "--noise: '100%' must be a share of the loss: below 1"),
        (("--noise", "loud"), "--noise: 'loud' is not a number"),
        (("--min-flops", "1e23"), "--min-flops is 1.00e23, above --max-flops, 1.00e22"),
        (("--max-tokens-per-param", "1"), "--min-tokens-per-param is 5.00, above"),
        (("--min-flops", "0"), "--min-flops: '0' must be greater than zero"),
        (("--law", "sardana2O24"), "did you mean sardana2024?"),
        (("--law", "E=1e308,A=1e308,B=1e308,alpha=1e-9,beta=1e-9"), "has no loss at some of these"),
        (("--law", "nowhere.json"), "--law: cannot read 'nowhere.json'"),
        (("--seed", "x"), "--seed: 'x' is not a number"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(command, typed, answer):
    code, out, err = command("simulate", *typed)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert answer in err
