"""`jaxscale suggest`."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js

pytest.importorskip("typer")

ASKED = ("suggest", "fit.json", "--budget", "1e21", "--for", "2e24")


@pytest.fixture(scope="module")
def fit():
    runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 60, key=3, flops=(1e18, 1e20))
    return js.fit(js.laws.Chinchilla, runs)


@pytest.fixture
def file(fit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit.save("fit.json")
    return tmp_path / "fit.json"


def test_it_prints_what_the_library_says(command, file, fit):
    found = js.suggest(fit, at=2e24, budget=1e21, count=5)
    code, out, err = command(*ASKED, "--json")
    assert (code, err) == (0, "")
    record = json.loads(out)
    assert record["worth"] == found.worth
    assert record["advice"] == found.advice
    for name in ("params", "cost", "sd_before", "sd_after", "regret_after", "saved"):
        assert_allclose([run[name] for run in record["runs"]], found.columns[name], rtol=1e-6)
    assert_allclose(record["marginal_cost"], found.marginal_cost, rtol=1e-9)
    page = (Path(__file__).parents[2] / "docs" / "json.md").read_text()
    section = page.partition("## jaxscale suggest\n")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert [*record] == ["command", "version", *documented]
    code, out, err = command(*ASKED)
    assert (code, err) == (0, "")
    assert " ".join(found.advice.split()) in " ".join(out.split())


def test_what_is_saved_may_not_be_known(command, file):
    far = (*ASKED[:-1], "1e300")  # where no float64 holds the cost of a nat
    record = json.loads(command(*far, "--json").out)
    assert {run["saved"] for run in record["runs"]} == {None}
    out = command(*far).out
    assert "not known" in out
    assert "*" not in out.replace("N*", "")


def test_runs_that_cost_more_than_they_save_have_a_star(command, file):
    out = command(*ASKED[:-1], "1e21").out
    assert "*: costs more than it saves" in out
    assert "stop" in out.lower()


def test_dollars_and_a_demand(command, file):
    prices = ("--train-on", "H100-SXM", "--train-price", "2")
    dollars = ("--budget", "5000$", "--for", "2e22", *prices, "--json")
    record = json.loads(command(*ASKED[:2], *dollars).out)
    assert record["unit"] == "dollars"
    assert sum(run["cost"] for run in record["runs"]) <= 5000 * (1 + 1e-9)
    same = json.loads(
        command(*ASKED[:2], "--budget", "2.2257e22", *dollars[2:]).out
    )  # FLOPs of more than $5000
    assert same["unit"] == "dollars"
    serving = ("--serve-on", "H100-SXM", "--serve-price", "2", "--inference-tokens", "1T")
    served = json.loads(command(*ASKED[:2], *dollars, *serving).out)
    assert served["plan"]["params"] < record["plan"]["params"]


def test_goals_methods_and_settings_reach_the_library(command, file, fit):
    options = ("--goal", "LOSS", "--method", "d", "--power", "1", "--cap", "1", "--count", "2")
    record = json.loads(command(*ASKED, *options, "--noise", "1%", "--json").out)
    found = js.suggest(
        fit, at=2e24, budget=1e21, goal="loss", method="D", power=1.0, cap=1, count=2, noise=0.01
    )
    assert_allclose([run["params"] for run in record["runs"]], found.params, rtol=1e-6)
    assert (record["goal"], record["method"], record["noise"]) == ("loss", "D", 0.01)


OWN = """
from dataclasses import dataclass
import jax, jax.numpy as jnp

@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Mine:
    E: float
    A: float
    alpha: float

    def loss(self, params, tokens):
        return self.E + self.A * (jnp.exp(-self.alpha * jnp.log(params)) + tokens**-self.alpha)
"""


def test_the_fit_of_a_class_of_ones_own(command, file):
    record = json.loads(file.read_text())
    variances = np.diag([1e-4, 1e-3, 1e-4]).tolist()
    record |= {"family": "Mine", "law": {"E": 1.8, "A": 400.0, "alpha": 0.35}}
    record |= {"covariance": variances, "standard_errors": None}
    file.with_name("own.json").write_text(json.dumps(record))
    file.with_name("own.py").write_text(OWN)
    code, out, err = command("suggest", "own.json:own.py:Mine", *ASKED[2:], "--json")
    assert (code, err) == (0, "")
    assert np.isfinite(json.loads(out)["runs"][0]["saved"])


MISTAKES = [
    (("suggest", "besiroglu2024", *ASKED[2:]), "FIT: 'besiroglu2024' must be the file of a fit"),
    (
        ("suggest", "fit.json+ling2025", *ASKED[2:]),
        "FIT: 'fit.json+ling2025' must be the file of a",
    ),
    (("suggest", "none.json", *ASKED[2:]), "FIT: cannot read 'none.json'"),
    (ASKED[:2], "give --budget, what further runs may cost, and --for, the plan's FLOPs"),
    (ASKED[:4], "error: give --for, the plan's FLOPs"),
    (
        (*ASKED[:2], "--budget", "5000", "--for", "1e24"),
        "does not pay for the smallest of the runs",
    ),
    ((*ASKED, "--serve-on", "H100-SXM"), "--serve-on prices serving: give --inference-tokens too"),
    ((*ASKED, "--goal", "size"), "--goal: 'size' must be one of N*, loss, cost"),
    ((*ASKED, "--method", "A"), "--method: 'A' must be one of V, c, D"),
    ((*ASKED[:2], "--budget", "5$", "--for", "1e24"), "--budget: dollars need --train-on"),
    ((*ASKED, "--lever", "bits=8"), "--lever: fit.json has no lever 'bits'"),
    ((*ASKED, "--count", "0"), "error: --count: '0' must be greater than zero"),
    ((*ASKED, "--count", "1.5"), "error: --count: '1.5' must be a whole number"),
    ((*ASKED, "--cap", "0"), "error: --cap: '0' must be greater than zero"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=lambda x: str(x)[-40:])
def test_mistakes_take_one_line(command, file, arguments, message):
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_a_fit_that_tells_no_sizes_is_refused(command, file):
    line = js.fitting.simulate(
        js.laws.published("besiroglu2024"), 30, key=1, tokens_per_param=(20, 20)
    )
    js.fit(js.laws.Chinchilla, line).save("line.json")
    code, out, err = command("suggest", "line.json", *ASKED[2:])
    assert (code, out) == (2, "")
    assert "train a first set of runs of several sizes and budgets" in err
