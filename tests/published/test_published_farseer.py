"""Farseer (Li et al. 2025): the runs that its coefficients are of, and what they make of them.

The numbers under "Li et al. 2026, ScaleBench" are not printed: they were computed apart, from the
coefficients in its file and its table of runs.
"""

import csv

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from fitting.public_runs import table
from jaxscale.fitting import FitStatus
from published.numbers import assert_printed

if not jax.config.jax_enable_x64:
    pytest.skip("printed digits are held to in float64", allow_module_level=True)

LAW = js.laws.published("li2025")
SOURCE = "Li et al. 2025, Farseer, arXiv 2506.10972, as ScaleBench quotes it"
PRINTED = {
    "a1": "-1.665630816",
    "b1": "3.133347198805445",
    "a2": "230.73437075885855",
    "b2": "-1.544209554",
    "a3": "-0.062465473",
    "b3": "0.1284880679442551",
    "alpha": "0.0458999999999619",
    "beta": "-0.1729",
    "gamma": "0.13",
}


@pytest.mark.parametrize("name", PRINTED)
def test_coefficients(name):
    assert_printed(getattr(LAW, name), PRINTED[name], source=SOURCE, what=name)


@pytest.mark.parametrize(
    ("params", "tokens", "loss"),
    [(1e9, 2e10, 0.53940864), (7e9, 1.4e12, 0.41212612), (2.51e10, 4.53e11, 0.41121356)],
)
def test_losses(params, tokens, loss):
    """Computed apart."""
    assert_allclose(LAW.loss(params, tokens), loss, rtol=0, atol=5.1e-9)


def test_best_sizes_need_ever_more_tokens_per_param():
    """Computed apart, on a grid: the headline of the paper."""
    flops = [1e20, 1e21, 1e22, 1e23, 1e24]
    plan = js.compute_optimal(LAW, flops=np.array(flops))
    assert plan.ok.all()
    assert_allclose(plan.params, [8.15796e8, 2.50847e9, 6.40875e9, 1.40716e10, 2.72713e10], 1e-5)
    assert_allclose(plan.tokens_per_param, [25.04, 26.49, 40.58, 84.17, 224.1], rtol=2.5e-4)
    assert plan.loss[-1] == pytest.approx(0.366236, abs=6e-7)


def test_losses_are_on_a_scale_of_their_own():
    entry = js.laws.entry("farseer2025")
    assert entry.name == "li2025"
    assert entry.loss_scale
    assert not entry.in_range(js.compute_optimal(LAW, flops=1e25))


def runs_of(split):
    with open(table("scalebench/farseer.csv"), newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["split"] == "train") == split]
    return js.Runs(*(np.array([float(row[name]) for row in rows]) for name in ("N", "D", "loss")))


@pytest.mark.parametrize(
    ("training", "count", "mean", "largest", "explained"),
    [(True, 404, 0.00226, 0.01441, 0.99873), (False, 7, 0.00476, 0.00718, 0.91737)],
)
def test_residuals_of_the_runs(training, count, mean, largest, explained):
    """Computed apart: relative errors, and R2."""
    runs = runs_of(training)
    losses = np.asarray(LAW.loss(runs.params, runs.tokens))
    errors = np.abs(losses / runs.loss - 1)
    share = 1 - np.var(losses - runs.loss) / np.var(runs.loss)
    assert len(runs) == count
    found = [errors.mean(), errors.max()]
    assert_allclose(found, [mean, largest], rtol=0, atol=5.1e-6)
    # R2 is of squares about 0, which a mean error adds to.
    squares = np.sum((losses - runs.loss) ** 2) / np.sum((runs.loss - runs.loss.mean()) ** 2)
    assert 1 - squares == pytest.approx(explained, abs=5.1e-6)
    assert share >= explained


def test_the_entry_has_the_range_of_all_runs():
    entry, both = js.laws.entry("li2025"), [runs_of(True), runs_of(False)]
    params, tokens = (np.concatenate([getattr(x, y) for x in both]) for y in ("params", "tokens"))
    for limits, sizes in (
        (entry.params_range, params),
        (entry.tokens_range, tokens),
        (entry.tokens_per_param_range, tokens / params),
    ):
        assert_allclose(limits, [sizes.min(), sizes.max()], rtol=1e-3)


def test_the_largest_run_is_predicted():
    """25.1e9 params on 126e9 tokens: 0.440217 predicted, computed apart, and 0.438146 measured."""
    runs = runs_of(False)
    at = np.argmax(runs.params)
    assert runs.loss[at] == pytest.approx(0.438146, abs=5.1e-7)
    assert LAW.loss(runs.params[at], runs.tokens[at]) == pytest.approx(0.440217, abs=5.1e-7)


def test_a_chinchilla_law_is_three_and_six_times_further_off():
    """Computed apart: 0.0066 on the runs that both are fitted to, and 0.0298 on the targets."""
    runs, targets = runs_of(True), runs_of(False)
    law = js.fit(js.laws.Chinchilla, runs).law
    off = [
        np.abs(np.asarray(law.loss(x.params, x.tokens)) / x.loss - 1).mean()
        for x in (runs, targets)
    ]
    assert off[0] == pytest.approx(0.0066, abs=5.1e-5)
    assert off[1] == pytest.approx(0.0298, abs=1e-4)  # 0.02988 here


def test_a_fit_to_its_runs_is_a_certified_minimum_below_the_published_one():
    runs = runs_of(True)
    fit = js.fit(js.laws.Farseer, runs)
    assert fit.status is FitStatus.OK
    assert fit.certificate.is_positive_definite
    assert fit.certificate.steepness < 1e-8
    assert fit.search.reached >= 0.9 * fit.search.kept  # starts agree on it
    residuals = np.log(np.asarray(LAW.loss(runs.params, runs.tokens)) / runs.loss)
    assert 0 < fit.objective < 0.53 * js.fitting.Huber().value(residuals, np.ones(len(runs)))
    # Where the runs are, both say the same.
    inside = np.abs(np.asarray(fit.law.loss(runs.params, runs.tokens)) / runs.loss - 1)
    assert inside.mean() < 0.00226
    # Alpha may be 0, where a1 and b1 have no limit.
    low, high = fit.intervals()["alpha"]
    assert low < 0 < high
