"""Coverage by attempts: against exact fractions, fifty digits and what the formulas mean."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_allclose, assert_array_equal

from jaxscale.repeated_sampling import (
    BetaCoverage,
    PowerCoverage,
    failure_rate,
    pass_at_k,
    power_coverage,
)
from jaxscale.repeated_sampling.coverage import log_failure

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
EPS = np.finfo(DTYPES[-1]).eps
LAW = PowerCoverage(-1.8, -0.2)


def exact_log_failure(u, v, k):
    u, v, k = (mpf(float(x)) for x in (u, v, k))
    return mp.loggamma(v + k) + mp.loggamma(u + v) - mp.loggamma(v) - mp.loggamma(u + v + k)


# --- Failure of all attempts ----------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_failure_keeps_its_digits_from_one_attempt_to_millions(dtype):
    rng = np.random.default_rng(5)
    u, v = (10.0 ** rng.uniform(-6, 9, (2, 400))).astype(dtype)
    k = (10.0 ** rng.uniform(-1, 6, 400)).astype(dtype)
    with mp.workdps(60):  # of which loggamma of 1e9 takes twenty back
        expected = [float(exact_log_failure(*each)) for each in zip(u, v, k, strict=True)]
    found = jax.jit(log_failure)(u, v, k)
    assert found.dtype == dtype
    assert_allclose(found, expected, rtol=50 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_failure_of_problems_that_are_alike_is_a_power(dtype):
    p = np.array([1e-6, 0.02, 0.5, 0.999], dtype)[:, None]
    k = np.array([1, 2.5, 40, 3000], dtype)
    with mp.workdps(50):
        logs = [[float(mpf(float(y)) * mp.log(1 - mpf(float(x)))) for y in k] for x in p[:, 0]]
    held = np.array(logs) > np.log(float(np.finfo(dtype).tiny))
    found = np.asarray(failure_rate(p, k))
    # The exponential magnifies what its argument was rounded by.
    allowed = (20 * np.finfo(dtype).eps * (1 + abs(np.array(logs))))[held]
    assert np.all(abs(found[held] / np.exp(logs)[held] - 1) < allowed)
    assert held.sum() > 12


def test_failure_of_problems_that_differ_is_the_mean_of_the_powers():
    # By quadrature over the problems: the density of Beta(p s, (1 - p) s), p = 0.3, s = 4.
    with mp.workdps(30):
        u, v = mpf("1.2"), mpf("2.8")
        density = lambda x, k: x ** (u - 1) * (1 - x) ** (v - 1 + k)  # noqa: E731
        expected = [
            float(mp.quad(lambda x: density(x, k), [0, 0.5, 1]) / mp.beta(u, v))  # noqa: B023
            for k in (1, 7, 2000)
        ]
    found = failure_rate(0.3, np.array([1.0, 7.0, 2000.0]), concentration=4.0)
    assert_allclose(found, expected, rtol=200 * EPS)
    assert_allclose(found[0], 0.7, rtol=20 * EPS)


def test_certain_and_impossible_success():
    assert_array_equal(failure_rate(np.array([0.0, 1.0]), 3.0), [1, 0])
    assert_array_equal(failure_rate(np.array([0.0, 1.0]), 3.0, concentration=2.0), [1, 0])


def test_bad_values_are_nan_with_zero_derivatives_beside_good_ones():
    p = jnp.array([0.2, -0.1, 1.2, 0.2, 0.2, 0.2, np.nan])
    k = jnp.array([3.0, 3.0, 3.0, 0.0, np.inf, 3.0, 3.0])
    s = jnp.array([np.inf, 2.0, 2.0, 2.0, 2.0, -1.0, 2.0])

    def total(p, k, s):
        failures = failure_rate(p, k, concentration=s)
        return jnp.where(jnp.isnan(failures), 0, failures).sum(), failures

    slopes, failures = jax.grad(total, argnums=(0, 1, 2), has_aux=True)(p, k, s)
    assert_array_equal(np.isnan(failures), [False] + [True] * 6)
    # Of 0.8^3 at infinite concentration.
    expected = [-3 * 0.8**2, 0.8**3 * np.log(0.8), 0]
    assert_allclose([each[0] for each in slopes], expected, rtol=2e-5 if not X64 else 1e-12)
    assert_array_equal(np.array(slopes)[:, 1:], 0)


# --- Coverage -------------------------------------------------------------------------------


def test_beta_coverage_is_the_product_over_whole_attempts():
    u, v = Fraction(1, 4), Fraction(9, 2)
    missing, expected = Fraction(1), []
    for j in range(300):
        missing *= (v + j) / (u + v + j)
        expected.append(float(1 - missing))
    found = BetaCoverage(0.25, 4.5).coverage(np.arange(1.0, 301.0))
    assert_allclose(found, expected, rtol=40 * EPS)


def test_beta_coverage_leaves_a_power_of_attempts():
    k = np.array([1e8, 1e12])
    left = 1 - BetaCoverage(0.25, 4.5).coverage(k)
    # Schaeffer et al. 2025: failure falls as k^-u where the spread is a power near 0.
    assert_allclose(np.log(left[1] / left[0]) / np.log(1e4), -0.25, rtol=1e-4)


def test_bad_spreads_are_nan():
    found = BetaCoverage(np.array([0.5, -0.5, 0.0]), 2.0).coverage(np.array([[4.0], [-4.0]]))
    assert_array_equal(np.isnan(found), [[False, True, True], [True] * 3])


@pytest.mark.parametrize("dtype", DTYPES)
def test_power_coverage_is_its_formula_and_has_an_inverse(dtype):
    law = jax.tree.map(dtype, LAW)
    k = np.array([1, 10, 1e4], dtype)
    with mp.workdps(50):
        a, b = (mpf(float(x)) for x in (law.a, law.b))
        expected = [float(mp.exp(a * mpf(float(x)) ** b)) for x in k]
    found = law.coverage(k)
    assert found.dtype == dtype
    assert_allclose(found, expected, rtol=20 * np.finfo(dtype).eps)
    # A digit of coverage near 1 is many of attempts.
    assert_allclose(law.attempts_for(found), k, rtol=200 * np.finfo(dtype).eps)


def test_power_coverage_differentiates_beside_bad_numbers():
    def total(k, c):
        both = LAW.coverage(k), LAW.attempts_for(c)
        return sum(jnp.where(jnp.isnan(each), 0, each).sum() for each in both)

    k, c = jnp.array([9.0, -1.0, np.nan]), jnp.array([0.4, 1.0, 0.0])
    by_k, by_c = jax.grad(total, argnums=(0, 1))(k, c)
    with mp.workdps(30):
        by_k_expected = float(mp.diff(lambda x: mp.exp(-1.8 * x**-0.2), 9))
        by_c_expected = float(mp.diff(lambda x: (mp.log(x) / -1.8) ** (1 / mpf(-0.2)), 0.4))
    assert_allclose(by_k, [by_k_expected, 0, 0], rtol=1e-4)
    assert_allclose(by_c, [by_c_expected, 0, 0], rtol=1e-4)
    assert_array_equal(np.isnan(LAW.attempts_for(c)), [False, True, True])
    assert np.isnan(PowerCoverage(1.0, -0.2).coverage(3.0))


def test_two_points_fix_a_power_and_bad_ones_are_named():
    law = power_coverage(2.0, np.array([0.1, 0.3]), 500.0, 0.6)
    assert_allclose(law.coverage(2.0), [0.1, 0.3], rtol=40 * EPS)
    assert_allclose(law.coverage(500.0), [0.6, 0.6], rtol=40 * EPS)
    for points, message in (
        ((0.0, 0.1, 5.0, 0.2), "k1 must be above 0"),
        ((5.0, 0.1, 5.0, 0.2), "k2 must be above 0, finite and not k1"),
        ((1.0, 0.1, 5.0, 1.0), "c2 must be between 0 and 1"),
        ((1.0, 0.3, 5.0, 0.2), "c2 must be the larger where k2 is"),
    ):
        with pytest.raises(ValueError, match=message):
            power_coverage(*points)
    assert jax.jit(power_coverage)(1.0, 0.1, 5.0, 0.2).coverage(5.0) > 0.199


# --- pass@k ---------------------------------------------------------------------------------


def exact_pass_at_k(n, s, k):
    return float(1 - Fraction(math.comb(n - s, k), math.comb(n, k)))


def test_pass_at_k_is_the_ratio_of_binomials():
    cases = [(n, s, k) for n in range(1, 13) for s in range(n + 1) for k in range(1, n + 1)]
    cases += [(10_000, 3, 2500), (10_000, 9000, 1), (10_000, 1, 1), (200, 17, 183), (200, 17, 184)]
    expected = [exact_pass_at_k(*case) for case in cases]
    assert_allclose(pass_at_k(*np.array(cases).T), expected, rtol=60 * EPS)


def test_pass_at_k_has_no_bias():
    n, p, k = 20, 0.3, np.arange(1, 21)[:, None]
    s = np.arange(n + 1)
    chance = np.array([math.comb(n, int(x)) * p**x * (1 - p) ** (n - x) for x in s])
    found = (np.asarray(pass_at_k(n, s, k), np.float64) * chance).sum(axis=1)
    assert_allclose(found, 1 - (1 - p) ** k[:, 0], rtol=40 * EPS)


def test_pass_at_k_is_nan_where_it_means_nothing():
    n, s, k = np.array([[10, 10, 10, 10, 9.5, np.nan], [11, -1, 3, 3, 2, 1], [2, 2, 0, 11, 2, 1]])
    assert np.isnan(pass_at_k(n, s, k)).all()
