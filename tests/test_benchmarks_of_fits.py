"""The benchmark of fits runs, and its peers minimise what we do. Nothing asserts a time."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxscale as js
from benchmarks import fit, fit_coverage, fit_peers, fit_problem, size_coverage
from benchmarks.fit_peers import Ended
from benchmarks.harness import Disagreement
from processes import HUNG

ROOT = Path(__file__).parent.parent
# One at least, and one more from each machine that the benchmark is run on.
SAVED = sorted((ROOT / "benchmarks" / "results").glob("fit-cpu-*.json"))
assert SAVED
DELTA = fit_problem.DELTA
POINT = np.array([6.1, 7.5, 0.6, 0.34, 0.36])


@pytest.fixture(scope="module")
def logs():
    law = js.laws.Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
    runs = js.fitting.simulate(law, 60, key=1, noise=0.01)
    return fit_problem.Logs(*(np.log(x) for x in (runs.params, runs.tokens, runs.loss)))


@pytest.fixture(scope="module")
def fitted(logs):
    return js.fit(js.laws.Chinchilla, js.Runs(*map(np.exp, logs)))


def need(package):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package}, a peer, is not installed")


def objective(logs, coefficients):
    ln_a, ln_b, ln_e, alpha, beta = coefficients
    terms = ln_a - alpha * logs.params, ln_b - beta * logs.tokens, np.full(len(logs.loss), ln_e)
    size = np.abs(np.log(np.sum(np.exp(terms), axis=0)) - logs.loss)
    return float(np.sum(np.where(size <= DELTA, size**2 / 2, DELTA * (size - DELTA / 2))))


@pytest.mark.thorough
def test_a_quick_run_says_what_was_measured(tmp_path):
    need("scipy")
    output = tmp_path / "fit.json"
    command = [sys.executable, "-m", "benchmarks", "fit", "--quick", "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HUNG)
    assert done.returncode == 0, done.stderr
    result = json.loads(output.read_text())
    names = [row["name"] for row in result["rows"]]
    assert sorted([*names, *result["omitted"]]) == sorted(fit.BUILDERS)
    for row in result["rows"]:
        agreement = row["agreement"]
        assert 0 <= agreement["reached"] <= agreement["followed"]
        assert agreement["nearest"] >= -result["tolerance"]
        assert row["task_seconds"] == pytest.approx(
            row["seconds"]["median"] * row["total"] / row["timed"]
        )
    for aim in result["aims"]:
        assert aim["value"] is None or isinstance(aim["met"], bool)


@pytest.mark.parametrize("kind", [fit_peers.Residuals, fit_peers.Roots])
def test_a_jacobian_is_that_of_its_residuals(kind, logs):
    known, step = kind(logs), 1e-6
    found = known.jacobian(POINT)
    for at, direction in enumerate(step * np.eye(5)):
        slope = (known(POINT + direction) - known(POINT - direction)) / (2 * step)
        # Where a residual crosses Huber's bound between the two points, its root bends.
        np.testing.assert_allclose(found[:, at], slope, rtol=1e-4, atol=1e-6)


def test_roots_are_squared_to_the_objective(logs):
    roots = fit_peers.Roots(logs)(POINT)
    assert np.sum(roots**2) / 2 == pytest.approx(objective(logs, POINT), rel=1e-12)


@pytest.mark.parametrize("name", ["least_squares", "minpack", "lbfgsb_tight"])
def test_scipy_reaches_our_minimum(name, logs, fitted):
    need("scipy")
    ended = fit_peers.each_start(
        getattr(fit_peers, name), logs, fit_problem.in_peers_order(fitted.coordinates)[None] + 0.02
    )
    assert ended.objective[0] == pytest.approx(fitted.objective, rel=1e-9)


@pytest.mark.parametrize("name", ["optax_lbfgs", "optimistix_starts"])
def test_jax_peers_reach_our_minimum(name, logs, fitted):
    need(name.partition("_")[0])
    solver = getattr(fit_peers, name)(logs, fit_peers.mapped)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        ended = solver(fit_problem.in_peers_order(fitted.coordinates)[None] + 0.02)
    assert float(ended.objective[0]) == pytest.approx(fitted.objective, rel=1e-9)


def test_a_sample_has_every_value_of_hoffmanns_grid():
    starts = fit_problem.hoffmann_starts()
    assert starts.shape == (4500, 5)
    for stride in (fit.STRIDE, fit.STRIDE_OF_SLOW):
        for column in starts.T:
            np.testing.assert_array_equal(np.unique(column[::stride]), np.unique(column))


def test_resamples_are_those_of_numpys_global_seed():
    numpy_random = np.random
    before = numpy_random.get_state()
    numpy_random.seed(42)
    expected = [numpy_random.choice(240, size=240, replace=True) for _ in range(3)]
    numpy_random.set_state(before)
    np.testing.assert_array_equal(fit_problem.published_resamples(3), expected)


def test_a_peer_below_our_minimum_is_noticed():
    minima = np.ones(4)
    ended = Ended(np.array([1 + 1e-10, 1.5, np.nan, 1]), np.array([True, True, False, True]))
    found = fit.checked("peer", minima, ended)["agreement"]
    assert (found["reached"], found["followed"], found["success"]) == (2, 4, 0.75)
    with pytest.raises(Disagreement, match="below our minimum"):
        fit.checked("peer", minima, ended._replace(objective=np.full(4, 1 - 1e-8)))


def test_noise_of_the_coverage_study_needs_no_centring(fitted):
    assert abs(fit_coverage._sum_of_slopes(fitted)) < 1e-6
    found = fit_coverage._replication(fitted, index=0, resamples=20)
    assert found.ok
    low, high = found.intervals[0]
    assert (low < found.coefficients).all()
    assert (found.coefficients < high).all()


def test_the_truth_of_the_size_study_is_the_best_size_of_its_law():
    design = size_coverage.DESIGNS["5 budgets x 6 sizes"]
    truth, low, high = size_coverage.replication(design, index=0, resamples=20)
    best = js.compute_optimal(js.laws.published(size_coverage.LAW), flops=1e21).params
    assert truth == pytest.approx(np.log(float(best)), rel=1e-6)
    assert low < high
    assert abs(truth - low) < 1


@pytest.mark.parametrize("saved", SAVED, ids=lambda path: path.stem)
def test_saved_results_are_whole_and_report_in_plain_text(saved, monkeypatch, capsys):
    result = json.loads(saved.read_text())
    names = [row["name"] for row in result["rows"]]
    assert sorted([*names, *result["omitted"]]) == sorted(fit.BUILDERS)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    fit.show(result)
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)
