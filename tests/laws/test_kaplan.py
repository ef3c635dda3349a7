"""Kaplan's laws: values at fifty digits, limits, derivatives, and where there is no answer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp
from numpy.testing import assert_allclose, assert_array_equal

from jaxscale.laws import kaplan
from jaxscale.laws.kaplan import CriticalBatch, Kaplan, KaplanPower, KaplanSteps

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
LARGE = 1e30  # square roots of all that follows are normal in float32


# The formulas of the paper as they stand, of mpmath numbers.
def exact_kaplan(N_c, D_c, alpha_N, alpha_D, N, D):
    return ((N_c / N) ** (alpha_N / alpha_D) + D_c / D) ** alpha_D


def exact_steps(N_c, S_c, alpha_N, alpha_S, N, S):
    return (N_c / N) ** alpha_N + (S_c / S) ** alpha_S


def exact_power(scale, exponent, x):
    return (scale / x) ** exponent


def exact_batch(B_star, alpha_B, loss):
    return B_star / loss ** (1 / alpha_B)


def exact_minimum_steps(steps, batch, critical):
    return steps / (1 + critical / batch)


def exact_minimum_compute(flops, batch, critical):
    return flops / (1 + batch / critical)


# Each with all its numbers as arguments: of what is built first, then of the method.
FUNCTIONS = {
    "Kaplan": (lambda *x: Kaplan(*x[:4]).loss(*x[4:]), exact_kaplan),
    "KaplanSteps": (lambda *x: KaplanSteps(*x[:4]).loss(*x[4:]), exact_steps),
    "KaplanPower": (lambda *x: KaplanPower(*x[:2]).loss(*x[2:]), exact_power),
    "CriticalBatch": (lambda *x: CriticalBatch(*x[:2]).tokens(*x[2:]), exact_batch),
    "minimum_steps": (kaplan.minimum_steps, exact_minimum_steps),
    "minimum_compute": (kaplan.minimum_compute, exact_minimum_compute),
    "batch": (kaplan.best_batch, lambda c: 2e6 * c ** mp.mpf(".24")),
    "steps": (kaplan.best_steps, lambda c: 5400 * c ** mp.mpf(".03")),
    "overfitting": (kaplan.tokens_against_overfitting, lambda n: 5e3 * n ** mp.mpf(".74")),
}
ARGUMENTS = {
    "Kaplan": (6.4e13, 1.8e13, 0.076, 0.103, 1e9, 2e10),
    "KaplanSteps": (6.5e13, 2.1e3, 0.077, 0.76, 1e9, 1e5),
    "KaplanPower": (8.8e13, 0.076, 1e8),
    "CriticalBatch": (2.1e8, 0.21, 3.0),
    "minimum_steps": (1e5, 5e5, 2e6),
    "minimum_compute": (1e21, 5e5, 2e6),
    "batch": (12.0,),
    "steps": (12.0,),
    "overfitting": (1e9,),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_value_is_the_formula_at_fifty_digits(name, dtype):
    function, exact = FUNCTIONS[name]
    spread = np.random.default_rng(0).uniform(0.5, 2, (30, len(ARGUMENTS[name])))
    numbers = (spread * ARGUMENTS[name]).astype(dtype)
    with mp.workdps(50):
        expected = [float(exact(*map(mp.mpf, map(float, lane)))) for lane in numbers]
    # An exponential of rounded logarithms of up to 60; the coefficients of best_batch
    # are rounded to the dtype too.
    assert_allclose(function(*numbers.T), expected, rtol=100 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_are_those_of_the_formula(name):
    function, exact = FUNCTIONS[name]
    numbers = ARGUMENTS[name]
    found = jax.grad(lambda x: function(*x))(tuple(map(float, numbers)))
    with mp.workdps(50):
        point = tuple(map(mp.mpf, numbers))
        for i, slope in enumerate(found):
            order = tuple(int(j == i) for j in range(len(point)))
            expected = float(mp.diff(exact, point, order))
            assert_allclose(slope, expected, rtol=1e-12 if X64 else 1e-3)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bad_number_gives_nan_with_zero_derivatives(name):
    function, _ = FUNCTIONS[name]
    lanes = spoilt(ARGUMENTS[name], [0.0, -1.0, np.inf, np.nan])
    values, slopes = jax.vmap(jax.value_and_grad(lambda x: function(*x)))(lanes)
    assert np.all(np.isnan(values))
    assert not np.any(slopes)


def spoilt(numbers, bad):
    """The numbers with one of them replaced, each by each of the bad ones."""
    lanes = np.tile(np.array(numbers, DTYPES[-1]), (len(numbers), len(bad), 1))
    for place in range(len(numbers)):
        lanes[place, :, place] = bad
    return lanes.reshape(-1, len(numbers))


@pytest.mark.parametrize("dtype", DTYPES)
def test_derivatives_are_finite_at_every_size(dtype):
    largest = LARGE if dtype == np.float32 else 1e150
    sizes = np.array([1 / largest, 1.0, 1e9, largest], dtype)
    N, D = (x.ravel() for x in np.meshgrid(sizes, sizes))
    law = jax.tree.map(dtype, Kaplan(6.4e13, 1.8e13, 0.076, 0.103))
    loss, slopes = jax.vmap(jax.value_and_grad(law.loss, argnums=(0, 1)))(N, D)
    assert np.all(np.isfinite(loss))
    assert np.all(np.isfinite(slopes))


def test_loss_falls_to_the_power_of_the_cause_that_is_short():
    law = Kaplan(N_c=1e10, D_c=1e12, alpha_N=0.3, alpha_D=0.2)
    few, all_there_is = np.geomspace(1e3, 1e6, 5), 1e37
    tolerance = 100 * np.finfo(DTYPES[-1]).eps
    size, data = KaplanPower(1e10, 0.3), KaplanPower(1e12, 0.2)
    assert_allclose(law.loss(few, all_there_is), size.loss(few), rtol=tolerance)
    assert_allclose(law.loss(all_there_is, few), data.loss(few), rtol=tolerance)


def test_steps_and_examples_trade_along_a_hyperbola():
    """(S / S_min - 1) (E / E_min - 1) = 1, of McCandlish et al. 2018, which the law rests on."""
    batch = np.geomspace(1e3, 1e8, 6)
    more_steps = 1e4 / kaplan.minimum_steps(1e4, batch, 3e5) - 1
    more_compute = 1e20 / kaplan.minimum_compute(1e20, batch, 3e5) - 1
    # At either end one of the two is 1 + a small number.
    assert_allclose(more_steps * more_compute, 1, rtol=1e-10 if X64 else 2e-2)


def test_result_out_of_range_is_nan_with_zero_derivative():
    value, slope = jax.value_and_grad(kaplan.CRITICAL_BATCH.tokens)(1e-300 if X64 else 1e-37)
    assert np.isnan(value)
    assert slope == 0


def test_fields_and_arguments_broadcast():
    law = Kaplan(np.array([6e13, 7e13]), 1.8e13, 0.076, 0.103)
    loss = law.loss(np.array([[1e8], [1e9], [1e10]]), 1e10)
    assert loss.shape == (3, 2)
    assert_array_equal(loss[1, 1], Kaplan(7e13, 1.8e13, 0.076, 0.103).loss(1e9, 1e10))
    assert kaplan.best_steps(np.ones((2, 3))).shape == (2, 3)
    assert kaplan.minimum_steps(np.ones(4), np.ones((3, 1)), jnp.ones(())).shape == (3, 4)
