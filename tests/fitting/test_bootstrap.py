"""Resampled laws: the published sum of minima and standard errors, and intervals by hand."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import jaxscale as js
from fitting.runs_at_hand import (
    TRUTH,
    fitted,
    fitted_simulation,
    published_resamples,
    simulated,
    table,
)
from jaxscale.fitting import _bootstrap
from jaxscale.fitting import problem as problems
from jaxscale.fitting.certificate import FitStatus
from jaxscale.fitting.chinchilla_claims import NAMES
from jaxscale.fitting.resampling import key_words, weighed


@pytest.fixture(scope="module")
def published():
    # The distribution of beta is skewed: its standard error is more than a sandwich can know.
    with pytest.warns(UserWarning, match="standard error of beta is 0.0206 by resampling"):
        return js.bootstrap(fitted("besiroglu"), indices=published_resamples())


def test_the_minima_of_the_published_resamples_add_up(published):
    # Each minimised apart, by another program, from many starts.
    assert published.objective.sum() == pytest.approx(3.973948973904, rel=1e-9)
    assert published.ok.all()


def test_standard_errors_are_besiroglus(published):
    # data_analysis.ipynb; of fits that stopped on a loss of precision, so the last digits differ.
    printed = {"A": 124.52232, "B": 1293.28410, "E": 0.02566, "alpha": 0.01540, "beta": 0.02060}
    errors = published.standard_errors
    for name, expected in printed.items():
        assert getattr(errors, name) == pytest.approx(expected, rel=1e-3), name
    entry = js.laws.entry("besiroglu2024")
    # The catalogue's covariance is that of another 2,000 resamples.
    diagonal = np.diag(published.covariance) / np.diag(np.array(entry.covariance))
    np.testing.assert_allclose(diagonal, 1, atol=0.12)


def test_percentile_intervals_are_besiroglus(published):
    printed = {
        "A": (285.214, 743.626),
        "B": (1042.357, 5810.344),
        "E": (1.769, 1.871),
        "alpha": (0.317, 0.373),
        "beta": (0.331, 0.415),
    }
    found = published.intervals()
    for name, expected in printed.items():
        # Theirs are of fits that stopped on a loss of precision.
        np.testing.assert_allclose(found[name], expected, rtol=4e-3, err_msg=name)


def test_hoffmanns_law_is_rejected_as_printed(published):
    law = js.laws.published("hoffmann2022_unrounded")
    theirs = np.array([np.log(law.E), np.log(law.A), np.log(law.B), law.alpha, law.beta])
    off = theirs - fitted("besiroglu", js.fitting.HuberLikelihood()).coordinates
    # 238.40 with the covariance of resamples of the likelihood; these are of Huber's objective.
    assert off @ np.linalg.solve(published.covariance, off) == pytest.approx(238.40, rel=0.01)


def test_the_sandwich_is_near_the_bootstrap(published):
    errors = fitted("besiroglu").standard_errors
    # With the observed share of small residuals alpha's would be 0.024.
    assert errors.alpha == pytest.approx(published.standard_errors.alpha, rel=0.1)
    assert pytest.approx(published.standard_errors.E, rel=0.1) == errors.E
    assert "density" in fitted("besiroglu").covariance_method


def test_a_resample_is_a_fit_of_its_own():
    runs, rows = simulated(), np.array([np.arange(100), np.r_[np.arange(50), np.arange(50)]])
    boot = js.bootstrap(fitted_simulation(), indices=rows)
    again = js.fit(js.laws.Chinchilla, runs.select(rows[1]))
    assert boot.objective[0] == pytest.approx(fitted_simulation().objective, rel=1e-9)
    assert boot.objective[1] == pytest.approx(again.objective, rel=1e-9)
    for name in NAMES:
        assert getattr(boot.law, name)[1] == pytest.approx(getattr(again.law, name), rel=1e-6)


@pytest.mark.thorough
def test_weak_data_get_starts_of_their_own():
    fit = fitted("sardana to 100")
    assert fit.certificate.is_weak
    boot = js.bootstrap(fit, resamples=200, key=0)
    rows = np.concatenate(list(weighed(34, 200, key_words(0))))[::20]
    reweighed = (replace(fit.runs, weights=row) for row in rows)
    alone = [js.fit(js.laws.Chinchilla, runs).objective for runs in reweighed]
    excess = boot.objective[::20] / alone - 1
    # Where E falls towards 0 a valley has no floor, and 256 starts go a little further down.
    assert (excess < 1e-8).sum() >= 8, excess
    assert (excess < 1e-4).all(), excess


def test_a_resample_is_the_same_whatever_the_chunks(monkeypatch):
    fit = fitted_simulation()
    first = js.bootstrap(fit, resamples=150, key=3)
    monkeypatch.setattr(problems, "CPU_RESIDUALS", 2**11)
    second = js.bootstrap(fit, resamples=70, key=3)
    np.testing.assert_allclose(second.law.alpha, first.law.alpha[:70], rtol=1e-9)
    assert not np.allclose(js.bootstrap(fit, resamples=70, key=4).law.alpha, second.law.alpha)
    with_jax = js.bootstrap(fit, resamples=70, key=jax.random.key(3))
    np.testing.assert_array_equal(with_jax.law.alpha, second.law.alpha)


def test_weights_by_key_are_a_dirichlet_times_the_number_of_units():
    weights = np.concatenate(list(weighed(5, 20_000, key_words(1))))
    np.testing.assert_allclose(weights.sum(axis=1), 5, rtol=1e-12)
    # Of a flat Dirichlet of n: variance (n - 1) / (n^2 (n + 1)), covariance -1 / (n^2 (n + 1)).
    covariance = np.cov(weights.T / 5)
    expected = (np.eye(5) * 5 - 1) / (25 * 6)
    np.testing.assert_allclose(covariance, expected, atol=1e-3)


def test_a_resample_by_key_is_a_fit_to_weighed_runs():
    runs, (weights,) = simulated(), (rows[0] for rows in weighed(100, 2, key_words(9)))
    boot = js.bootstrap(fitted_simulation(), resamples=2, key=9)
    alone = js.fit(js.laws.Chinchilla, replace(runs, weights=weights))
    assert boot.objective[0] == pytest.approx(alone.objective, rel=1e-9)
    assert boot.law.beta[0] == pytest.approx(alone.law.beta, rel=1e-6)


def test_groups_are_drawn_whole():
    runs = replace(simulated(), group=np.repeat([f"run {i}" for i in range(25)], 4))
    fit = js.fit(js.laws.Chinchilla, runs)
    boot = js.bootstrap(
        fit, indices=np.array([np.arange(25), np.zeros(25, int) + np.arange(25) % 5])
    )
    assert boot.objective[0] == pytest.approx(fit.objective, rel=1e-9)
    # Groups are sorted by label: "run 0", "run 1", "run 10", "run 11", "run 12".
    kept = np.isin(runs.group, ["run 0", "run 1", "run 10", "run 11", "run 12"])
    five = js.fit(js.laws.Chinchilla, simulated().select(np.repeat(np.flatnonzero(kept), 5)))
    assert boot.objective[1] == pytest.approx(five.objective, rel=1e-9)
    assert len(boot.fit.runs) == 100


def test_groups_by_key_are_spread_as_few_deserve():
    runs = replace(simulated(), group=np.repeat(np.arange(25), 4))
    fit = js.fit(js.laws.Chinchilla, runs)
    boot = js.bootstrap(fit, resamples=2, key=4)
    (weights,) = (rows[0] for rows in weighed(25, 2, key_words(4)))
    alone = js.fit(js.laws.Chinchilla, replace(runs, weights=np.repeat(weights, 4)))
    # Cameron and Miller 2015, VI: t of 24 degrees of freedom is 2.0638986, a normal 1.9599640.
    factor = np.sqrt(25 / 24) * 2.0638986 / 1.9599640
    expected = fit.law.beta + factor * (alone.law.beta - fit.law.beta)
    assert boot.law.beta[0] == pytest.approx(expected, rel=1e-6)
    assert boot.objective[0] == pytest.approx(alone.objective, rel=1e-9)


@pytest.fixture(scope="module")
def fit_with_e_at_zero():
    truth = js.laws.Chinchilla(E=0.3, A=12.0, B=480.0, alpha=0.12, beta=0.35)
    noise = np.exp(0.01 * np.random.default_rng(5).standard_normal(40))
    params, tokens = np.repeat(np.geomspace(5e7, 5e8, 5), 8), np.tile(np.geomspace(1e9, 1e10, 8), 5)
    loss = np.asarray(truth.loss(params, tokens)) * noise
    runs = js.Runs(params, tokens, loss, group=np.repeat(np.arange(5), 8))
    fit = js.fit(js.laws.Chinchilla, runs)
    assert fit.status == FitStatus.E_AT_ZERO
    return fit


def test_few_groups_spread_no_e_above_the_losses(fit_with_e_at_zero):
    # In logarithms, ln E goes from -16 to 0 and then as far again, to an E of hundreds.
    runs = fit_with_e_at_zero.runs
    law = js.bootstrap(fit_with_e_at_zero, resamples=60, key=0).law
    assert 0.5 < law.E.max() < 2 * runs.loss.min()
    losses = np.asarray(law.loss(runs.params[:, None], runs.tokens[:, None]))
    np.testing.assert_allclose(losses / runs.loss[:, None], 1, atol=1)


def test_starts_from_neighbours_end_no_higher_than_a_search_anew(fit_with_e_at_zero, monkeypatch):
    near = js.bootstrap(fit_with_e_at_zero, resamples=60, key=0)
    monkeypatch.setattr(_bootstrap, "ROUNDS", 0)
    anew = js.bootstrap(fit_with_e_at_zero, resamples=60, key=0)
    assert (near.objective <= anew.objective * (1 + 1e-9)).all()
    np.testing.assert_allclose(near.law.alpha[anew.ok], anew.law.alpha[anew.ok], rtol=1e-6)


def test_one_group_tells_of_no_spread():
    runs = simulated()
    for group, weights in ((np.zeros(100), None), (np.arange(100) % 2, np.arange(100) % 2)):
        one = replace(runs, group=group, weights=weights)
        fit = js.fit(js.laws.Chinchilla, one)
        with pytest.raises(ValueError, match="all runs are of one group: nothing can be resampled"):
            js.bootstrap(fit, resamples=2, key=4)


def test_weights_multiply_resamples():
    # A run of weight 2 is the same run twice.
    runs = simulated()
    twice = js.fit(js.laws.Chinchilla, runs.select(np.r_[np.arange(100), 5]))
    heavier = js.fit(js.laws.Chinchilla, replace(runs, weights=1.0 + (np.arange(100) == 5)))
    assert heavier.objective == pytest.approx(twice.objective, rel=1e-12)
    assert heavier.law.alpha == pytest.approx(twice.law.alpha, rel=1e-9)


@pytest.fixture(scope="module")
def boot():
    return js.bootstrap(fitted_simulation(), resamples=400, key=1)


class TestIntervals:
    def test_percentile_and_basic_mirror_each_other(self, boot):
        low, high = boot.interval(lambda law: law.beta, level=0.9)
        np.testing.assert_allclose((low, high), np.quantile(boot.law.beta, [0.05, 0.95]))
        centre = fitted_simulation().law.beta
        basic = boot.interval(lambda law: law.beta, level=0.9, method="basic")
        np.testing.assert_allclose(basic, (2 * centre - high, 2 * centre - low))

    def test_bca_of_a_monotone_function_is_the_function_of_bca(self, boot):
        low, high = boot.interval(lambda law: law.A, method="bca")
        logs = boot.interval(lambda law: np.log(law.A), method="bca")
        # Bias is the same; skewness is measured on another scale.
        np.testing.assert_allclose(np.log([low, high]), logs, atol=0.05)
        plain = boot.interval(lambda law: law.A)
        assert not np.allclose((low, high), plain, rtol=1e-3)

    def test_the_jackknife_leaves_each_run_out(self, boot):
        alone = js.fit(js.laws.Chinchilla, simulated().select(np.arange(100) != 17))
        assert boot.jackknife.beta[17] == pytest.approx(alone.law.beta, rel=1e-7)

    def test_an_interval_of_any_function_of_the_law(self, boot):
        def growth(law):  # of compute-optimal params: Hoffmann et al. 2022, eq. 4
            return law.beta / (law.alpha + law.beta)

        low, high = boot.interval(growth)
        assert low < growth(TRUTH) < high

    def test_mistakes_are_named(self, boot):
        with pytest.raises(ValueError, match="level must be between 0 and 1; got 95"):
            boot.interval(lambda law: law.A, level=95)
        with pytest.raises(ValueError, match="method must be"):
            boot.interval(lambda law: law.A, method="normal")


def test_a_bootstrapped_law_goes_into_a_solver_as_it_is():
    boot = js.bootstrap(fitted_simulation(), resamples=64, key=1)
    law = jax.tree.map(lambda x: x[:, None], boot.law)
    plan = js.minimize_cost(law, np.array([2.2, 2.4, 2.6]), js.Demand(1e12))
    assert plan.params.shape == (64, 3)
    assert np.asarray(plan.ok).all()
    drawn = js.rows(boot.law).quantile(jax.numpy.array(0.5))
    assert drawn.alpha == boot.law.alpha[32]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one of key and indices"),
        ({"key": 0, "indices": np.zeros((2, 100), int)}, "exactly one of key and indices"),
        ({"key": "zero"}, "key must be one JAX key, such as .*, or a whole number"),
        ({"key": 0, "resamples": 1}, "resamples must be a whole number, at least 2; got 1"),
        ({"indices": np.zeros((2, 3))}, "indices must be whole numbers, one row a resample"),
        ({"indices": np.full((2, 3), 100)}, "numbers of 100 runs, from 0 on; got 100"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        js.bootstrap(fitted_simulation(), **arguments)


def test_a_table_is_at_hand_or_skipped():
    assert len(table("besiroglu")) == 240
