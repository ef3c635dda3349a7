"""The benchmark of laws runs, and notices what is not the cheapest plan. Nothing asserts a time."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxscale as js
from benchmarks import laws, laws_peers, laws_problem, laws_truth, problem
from benchmarks.harness import Disagreement, require_agreement
from benchmarks.laws_problem import CHINCHILLA, MUENNIGHOFF, ONLY_LOSS, OVER_VOCABULARY
from benchmarks.laws_truth import Answer
from processes import HUNG

ROOT = Path(__file__).parent.parent
COUNT = 16


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    if importlib.util.find_spec("scipy") is None:
        pytest.skip("scipy, a peer, is not installed")
    output = tmp_path_factory.mktemp("benchmarks") / "laws.json"
    command = [sys.executable, "-m", "benchmarks", "laws", "--quick", "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HUNG)
    assert done.returncode == 0, done.stderr
    return json.loads(output.read_text())


@pytest.fixture(scope="module")
def vocabularies():
    return laws_peers.in_blocks(laws_peers.vocabulary_golden, *inputs(OVER_VOCABULARY))


def inputs(case):
    return laws_problem.scenarios(case, COUNT, "float64")


def judged(case, answer):
    tolerance = laws_truth.SIZE_TOLERANCE["float64"]
    return laws_truth.agreement("row", case, answer, *inputs(case), tolerance)


def test_every_row_was_measured_or_says_why_not(quick):
    names = [row["name"] for row in quick["rows"]]
    assert sorted([*names, *quick["omitted"]]) == sorted(laws.BUILDERS)
    assert set(names) == set(laws.BUILDERS) - laws.NOT_QUICK
    assert all(quick["omitted"].values())
    assert quick["versions"]["scipy"]
    assert quick["machine"]["cores"] >= 1


def test_every_row_has_its_times_and_agrees(quick):
    for row in quick["rows"]:
        assert row["seconds"]["rounds"] == len(row["seconds"]["times"]) >= 1
        assert row["scenarios_per_second"] == row["scenarios"] / row["seconds"]["median"]
        assert row["solved"] == 1
        for kind in ("cost", "loss"):
            assert row["agreement"][kind] <= quick["tolerance"]["cost"][row["dtype"]]


def test_every_aim_is_judged_by_its_own_value(quick):
    for aim in quick["aims"]:
        assert aim["met"] == (None if aim["value"] is None else aim["value"] >= aim["at_least"])
    assert sum(aim["value"] is not None for aim in quick["aims"]) == 3


def test_report_without_rich_is_plain_text(quick, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    laws.show(quick)
    printed = capsys.readouterr().out
    assert all(row["name"] in printed for row in quick["rows"])
    assert printed.isascii()


def test_the_search_finds_the_plans_of_the_printed_equation():
    loss, demand = inputs(CHINCHILLA)
    found = laws_truth.cheapest(js.laws.Chinchilla(*problem.LAW), {}, loss, demand)
    truth = problem.true_plans(loss, demand)
    # As near as comparing costs can come: a root of an epsilon.
    require_agreement("search", found[:2], truth, 2e-6)


@pytest.mark.parametrize("own", [laws_problem.OnlyLoss, laws_problem.LossFromLogs])
def test_a_law_of_the_benchmark_is_the_chinchilla_law(own):
    sizes = np.array([1e7, 3e9, 2e11]), np.array([1e9, 6e12, 3e10])
    E, A, B, alpha, beta = problem.LAW
    expected = E + A / sizes[0] ** alpha + B / sizes[1] ** beta
    np.testing.assert_allclose(own(*problem.LAW).loss(*sizes), expected, rtol=1e-14)


@pytest.mark.parametrize("name", ["chinchilla", "muennighoff", "vocabulary"])
def test_scipy_and_golden_section_agree(name):
    pytest.importorskip("scipy")
    case = {"chinchilla": ONLY_LOSS, "muennighoff": MUENNIGHOFF, "vocabulary": OVER_VOCABULARY}
    scalars, golden = (getattr(laws_peers, f"{name}_{kind}") for kind in ("scalars", "golden"))
    given = inputs(case[name])
    one, other = laws_peers.slsqp(scalars(), *given), laws_peers.in_blocks(golden, *given)
    # What SLSQP leaves when it stops at a cost within 1e-10.
    for found, expected in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(found, expected, rtol=laws_truth.LOOSE_SIZES)


def test_golden_section_finds_the_bottom_of_each_lane():
    bottom = np.array([-3.9, 0.0, 2.5, 7.9])
    ends = np.full(4, -4.0), np.full(4, 8.0)
    found = laws_peers.golden_section(lambda x: np.cosh(x - bottom), *ends)
    np.testing.assert_allclose(found, bottom, atol=1e-6)


def test_the_best_vocabulary_passes(vocabularies):
    off = judged(OVER_VOCABULARY, vocabularies)
    assert off["levers"] < laws_truth.LEVER_TOLERANCE["float64"]


def test_a_wrong_size_is_noticed(vocabularies):
    spoilt = vocabularies._replace(tokens=vocabularies.tokens * (1 + 1e-4))
    with pytest.raises(Disagreement, match="sizes: off"):
        judged(OVER_VOCABULARY, spoilt)


def test_the_best_sizes_at_a_wrong_lever_are_noticed(vocabularies):
    words = vocabularies.levers["vocabulary_params"] * np.where(np.arange(COUNT) == 5, 1.001, 1)
    law, levers = laws_problem.cases()[OVER_VOCABULARY].law, {"vocabulary_params": words}
    best = laws_truth.cheapest(law, levers, *inputs(OVER_VOCABULARY))
    with pytest.raises(Disagreement, match="lever is off"):
        judged(OVER_VOCABULARY, Answer(best.params, best.tokens, levers))


def test_a_cheaper_plan_elsewhere_is_noticed():
    costs = np.array([[1.0, 1.0], [1.2, 1.0 - 1e-6]])
    laws_truth._require_lowest("row", costs[:, :1], 1e-9)
    with pytest.raises(Disagreement, match="other levers are cheaper"):
        laws_truth._require_lowest("row", costs, 1e-9)


def test_too_few_solved_scenarios_are_noticed():
    setting = laws.Setting(COUNT, quick=True, known={})
    loss, demand = inputs(CHINCHILLA)
    plan = laws_truth.cheapest(js.laws.Chinchilla(*problem.LAW), {}, loss, demand)
    params = np.where(np.arange(COUNT) < 2, np.nan, plan.params)
    tolerance = laws_truth.SIZE_TOLERANCE["float64"]
    answer = Answer(params, plan.tokens, {})
    with pytest.raises(Disagreement, match=r"87\.5% of the scenarios"):
        laws.checked(CHINCHILLA, CHINCHILLA, "float64", setting, tolerance, answer)
