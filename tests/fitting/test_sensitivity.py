"""Derivatives of fitted laws are those of refits, and pass through `jax.grad` of `fit` itself."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import jaxscale as js
from fitting.runs_at_hand import fitted, simulated, table

Chinchilla = js.laws.Chinchilla
# Steps small enough to cross no kink of Huber's function, and far above a fit's rounding.
STEP = 1e-5
OBJECTIVES = {
    "huber": js.fitting.Huber(2e-3),
    "squared": js.fitting.SquaredError(),
    "likelihood": js.fitting.HuberLikelihood(1.0),
}


def beta_and_objective(runs, objective):
    found = js.fit(Chinchilla, runs, objective=objective)
    return found.law.beta, found.objective


def runs_with(**columns):
    return replace(simulated(), **{"weights": np.ones(100)} | columns)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("column", ["weights", pytest.param("loss", marks=pytest.mark.thorough)])
def test_derivatives_by_each_run_are_those_of_refits(name, column):
    objective = OBJECTIVES[name]
    given = getattr(runs_with(), column)
    ends, pull = jax.vjp(lambda x: beta_and_objective(runs_with(**{column: x}), objective), given)
    one, none = jax.tree.map(np.ones_like, ends), jax.tree.map(np.zeros_like, ends)
    gradients = [pull(each)[0] for each in ((one[0], none[1]), (none[0], one[1]))]
    for row in (3, 41, 77):
        moved = [np.array(given), np.array(given)]
        moved[0][row] -= STEP
        moved[1][row] += STEP
        low, high = (beta_and_objective(runs_with(**{column: x}), objective) for x in moved)
        expected = (np.array(high) - np.array(low)) / (2 * STEP)
        found = np.array([gradient[row] for gradient in gradients])
        scale = np.abs(np.array(gradients)).max(axis=1)
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=(2e-4 * scale).max())


@pytest.mark.parametrize("kind", [js.fitting.Huber, js.fitting.HuberLikelihood])
def test_derivatives_by_delta_are_those_of_refits(kind):
    delta = 2e-3 if kind is js.fitting.Huber else 1.0
    gradient = jax.grad(lambda x: js.fit(Chinchilla, simulated(), objective=kind(x)).law.beta)
    low, high = (
        beta_and_objective(simulated(), kind(delta * (1 + step)))[0] for step in (-1e-6, 1e-6)
    )
    assert gradient(delta) == pytest.approx((high - low) / (2e-6 * delta), rel=1e-3)


def test_constrained_fits_move_along_what_is_free():
    def beta(weights, **options):
        return js.fit(Chinchilla, runs_with(weights=weights), **options).law.beta

    weights = np.ones(100)
    options = {"fixed": {"E": 1.8}, "prior": {"alpha": (0.35, 0.01)}}
    gradient = jax.grad(beta)(weights, **options)
    moved = weights.copy()
    moved[8] += 1e-6
    expected = (beta(moved, **options) - beta(weights, **options)) / 1e-6
    assert gradient[8] == pytest.approx(expected, rel=1e-3)
    assert (
        jax.grad(lambda x: js.fit(Chinchilla, runs_with(weights=x), fixed={"beta": 0.3}).law.beta)(
            weights
        ).tolist()
        == [0.0] * 100
    )


def test_gradients_have_the_callers_precision():
    with jax.enable_x64(False):
        weights = jax.numpy.ones(100)
        single = jax.grad(lambda x: js.fit(Chinchilla, runs_with(weights=x)).law.alpha)(weights)
    assert single.dtype == np.float32
    with jax.enable_x64(True):
        weights = jax.numpy.ones(100)
        double = jax.grad(lambda x: js.fit(Chinchilla, runs_with(weights=x)).law.alpha)(weights)
    assert double.dtype == np.float64
    np.testing.assert_allclose(single, double, rtol=1e-5, atol=1e-5 * np.abs(double).max())


def best_size(law):
    # Hoffmann et al. 2022, eq. 4.
    both = law.alpha + law.beta
    return (law.alpha * law.A / (law.beta * law.B)) ** (1 / both) * 9.6e22 ** (law.beta / both)


def test_influence_is_the_jackknife_for_small_weights():
    found = fitted("besiroglu")
    influence = found.influence(best_size)
    assert influence.shape == (240,)
    strongest = int(np.abs(influence).argmax())
    weights = np.ones(240)
    weights[strongest] -= 1e-4
    lighter = js.fit(Chinchilla, replace(table("besiroglu"), weights=weights))
    with jax.enable_x64(True):
        change = float(best_size(lighter.law)) - float(best_size(found.law))
    assert change == pytest.approx(-1e-4 * influence[strongest], rel=1e-2)


def test_losses_in_the_linear_zone_have_no_influence():
    # 201 of 240: as far off as they are, they pull no harder.
    moved = fitted("besiroglu").sensitivity.coordinates.loss
    outside = np.abs(fitted("besiroglu").residuals) > 1e-3
    assert outside.sum() == 201
    assert (moved[:, outside] == 0).all()
    assert (moved[:, ~outside] != 0).all()
