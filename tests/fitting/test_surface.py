"""The kernel's hand-written derivatives are those of the objective it is said to minimise."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp

import jaxscale as js
from jaxscale.fitting.chinchilla_kernel import ChinchillaKernel, rows_of
from jaxscale.fitting.kernel import Prior
from jaxscale.fitting.objectives import best_scale, final_delta

RUNS, LANES = 40, 7
KERNEL = ChinchillaKernel()
OBJECTIVES = {
    "huber": js.fitting.Huber(0.02),
    "squared": js.fitting.SquaredError(),
    "likelihood": js.fitting.HuberLikelihood(0.5),
}


@pytest.fixture
def problem(rng):
    with jax.enable_x64(True):
        x, y = rng.normal(size=(2, RUNS))
        loss = np.log(2 + np.exp(0.2 - 0.3 * x) + np.exp(-0.4 * y)) + 0.03 * rng.normal(size=RUNS)
        coefficients = np.array([0.7, 0.2, 0.0, 0.3, 0.4])[:, None]
        coefficients = coefficients + 0.05 * rng.normal(size=(5, LANES))
        weights = rng.uniform(0.5, 2, (LANES, RUNS))
        yield coefficients, rows_of(x, y, loss), weights


PRIOR = Prior(np.array([0.5, 0.0, 0.1, 0.3, 0.5]), np.array([2.0, 1.0, 0.0, 0.5, 0.0]))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradient_and_hessian_are_those_of_the_objective(name, problem):
    coefficients, rows, weights = problem
    objective = OBJECTIVES[name]
    scaled = jnp.bool_(True) if name == "likelihood" else None

    def value(one, weight):
        off = one - PRIOR.mean
        total = objective.value(KERNEL.residuals(one, rows), weight)
        return total + jnp.sum(PRIOR.precision * off * off) / 2

    delta = jnp.asarray(float(final_delta(objective)))
    found = jax.jit(KERNEL.__call__)(
        coefficients, rows, weights, delta, jnp.bool_(True), PRIOR, scaled
    )
    lanes = jnp.asarray(coefficients.T), jnp.asarray(weights)
    exact = jax.jit(
        lambda *x: [jax.vmap(f)(*x) for f in (value, jax.grad(value), jax.hessian(value))]
    )
    expected, gradient, hessian = exact(*lanes)
    if name == "likelihood":
        expected = expected - weights.sum(axis=1) * objective.log_normaliser()
    np.testing.assert_allclose(found.value, expected, rtol=1e-12)
    np.testing.assert_allclose(found.gradient.T, gradient, rtol=1e-8)
    np.testing.assert_allclose(np.moveaxis(found.hessian, 2, 0), hessian, rtol=1e-7, atol=1e-9)


def test_reweighted_least_squares_are_those_of_huber(problem):
    coefficients, rows, weights = problem
    delta = 0.02
    least_squares = jnp.asarray(delta), jnp.bool_(False), PRIOR
    found = jax.jit(KERNEL.__call__)(coefficients, rows, weights, *least_squares)
    slopes = jax.jit(jax.vmap(jax.jacobian(lambda one: KERNEL.residuals(one, rows))))(
        jnp.asarray(coefficients.T)
    )
    residuals = np.asarray(
        jax.vmap(KERNEL.residuals, in_axes=(1, None))(jnp.asarray(coefficients), rows)
    )
    reweighted = weights * np.minimum(1, delta / np.abs(residuals))
    expected = np.einsum("sni,sn,snj->sij", slopes, reweighted, slopes) + np.diag(PRIOR.precision)
    np.testing.assert_allclose(np.moveaxis(found.hessian, 2, 0), expected, rtol=1e-9)
    np.testing.assert_allclose(found.diagonal.T, np.diagonal(expected, axis1=1, axis2=2), rtol=1e-9)


@pytest.mark.parametrize("delta", [1e-3, 0.1, 1.0, 3.0])
def test_z_is_the_integral_of_the_density(delta):
    def density(z):
        return mp.exp(-(z * z / 2 if abs(z) <= delta else delta * (abs(z) - mp.mpf(delta) / 2)))

    expected = 2 * (mp.quad(density, [0, delta]) + mp.quad(density, [delta, delta + 40 / delta]))
    with jax.enable_x64(True):
        found = float(js.fitting.HuberLikelihood(delta).log_normaliser())
    assert found == pytest.approx(float(mp.log(expected)), rel=1e-10)


@pytest.mark.parametrize("delta", [1e-3, 0.1, 1.5])
def test_the_scale_is_the_most_likely_one(delta, rng):
    residuals, weights = rng.standard_t(3, 60) * 0.01, rng.uniform(0.5, 2, 60)
    with jax.enable_x64(True):
        objective = js.fitting.HuberLikelihood(delta)
        scale = float(best_scale(jnp.asarray(residuals), jnp.asarray(weights), delta))
        near = [
            float(objective.value_at(residuals, weights, jnp.asarray(math.log(scale) + step)))
            for step in (-1e-3, 0.0, 1e-3)
        ]
    assert near[1] <= min(near)


def test_objectives_are_what_their_names_say():
    residuals, weights = np.array([0.001, -0.004, 0.0, 0.01]), np.array([1.0, 2.0, 1.0, 0.5])
    with jax.enable_x64(True):
        assert float(js.fitting.SquaredError().value(residuals, weights)) == pytest.approx(
            (1e-6 + 2 * 16e-6 + 0.5 * 1e-4) / 2
        )
        assert float(js.fitting.AbsoluteError().value(residuals, weights)) == pytest.approx(0.014)
        # delta (|r| - delta / 2) above 0.002.
        expected = 0.5e-6 + 2 * 0.002 * 0.003 + 0.5 * 0.002 * 0.009
        assert float(js.fitting.Huber(0.002).value(residuals, weights)) == pytest.approx(expected)
