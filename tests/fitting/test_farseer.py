"""Fits of Farseer, which are searched in other coordinates than its coefficients."""

import functools

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js

SQUARES = js.fitting.SquaredError()
LAW = js.laws.published("li2025")
NOISE = 0.002  # of ln loss, as of the runs behind the law


@functools.cache
def runs():
    random = np.random.default_rng(0)
    params = np.exp(random.uniform(np.log(1e8), np.log(6e9), 120))
    tokens = np.exp(random.uniform(np.log(1e9), np.log(5e11), 120))
    with jax.enable_x64(True):
        loss = np.asarray(LAW.loss(params, tokens)) * np.exp(random.normal(0, NOISE, 120))
    return js.Runs(params, tokens, loss)


@functools.cache
def fitted():
    return js.fit(js.laws.Farseer, runs(), objective=SQUARES)


def answers(law):
    """Losses inside and beyond the runs, and the best size for a budget."""
    with jax.enable_x64(True):
        losses = law.loss(np.array([3e8, 3e9, 2e10]), np.array([1e11, 1e11, 4e11]))
        return np.append(losses, np.log(js.compute_optimal(law, flops=3e21).params))


def test_noisy_runs_give_back_losses_and_best_sizes_but_not_coefficients():
    fit = fitted()
    assert fit.ok
    assert fit.search.reached >= 0.9 * fit.search.kept
    off = np.abs(answers(fit.law) - answers(LAW))
    assert np.all(off < [0.001, 0.001, 0.01, 0.1])
    # The published values of coefficients are as likely as others far away.
    assert fit.standard_errors.a1 > 0.3 * abs(LAW.a1)
    ends = fit.intervals(0.999)
    for name in ("a1", "b1", "alpha", "beta", "gamma"):
        assert ends[name][0] < getattr(LAW, name) < ends[name][1]


def test_the_influence_of_a_run_is_what_its_weight_changes():
    fit = fitted()
    slope = fit.influence(lambda law: law.loss(2e10, 4e11))[40]
    weights = np.where(np.arange(120) == 40, 0.99, 1.0)
    given = js.Runs(runs().params, runs().tokens, runs().loss, weights=weights)
    again = js.fit(js.laws.Farseer, given, objective=SQUARES)
    with jax.enable_x64(True):
        change = again.law.loss(2e10, 4e11) - fit.law.loss(2e10, 4e11)
    assert_allclose(-0.01 * slope, change, rtol=0.05)


def test_resamples_agree_with_the_errors_of_a_loss():
    boot = js.bootstrap(fitted(), indices=np.random.default_rng(1).integers(120, size=(100, 120)))
    assert boot.ok.mean() > 0.97
    with jax.enable_x64(True):
        spread = np.std(np.asarray(boot.law.loss(2e10, 4e11)))
        law = fitted().law
        slope = jax.grad(lambda law: law.loss(2e10, 4e11))(law)
    slope = np.array([float(x) for x in jax.tree.leaves(slope)])
    expected = np.sqrt(slope @ fitted().covariance @ slope)
    assert_allclose(spread, expected, rtol=0.4)


@pytest.mark.thorough
def test_a_coefficient_that_is_held_leaves_the_others_to_themselves():
    fit = js.fit(
        js.laws.Farseer, runs(), objective=SQUARES, fixed={"alpha": LAW.alpha, "gamma": LAW.gamma}
    )
    assert fit.law.alpha == LAW.alpha
    assert fit.problem.turn is None
    assert fit.objective < 1.1 * fitted().objective


@pytest.mark.thorough
def test_runs_of_one_size_of_model_leave_all_that_depends_on_it_open():
    here = js.Runs(np.full(40, 1e9), np.geomspace(1e9, 1e12, 40), np.ones(40))
    with jax.enable_x64(True):
        loss = np.asarray(LAW.loss(here.params, here.tokens))
    noise = np.exp(np.random.default_rng(2).normal(0, NOISE, 40))
    fit = js.fit(js.laws.Farseer, js.Runs(here.params, here.tokens, loss * noise))
    assert set(fit.claims.unidentified) == set(fit.names)
    assert "the same params" in fit.claims.reason
    assert np.isnan(fit.covariance).all()
