"""Logarithms are exact to an ulp or so over all normal numbers, and so are their derivatives."""

import math

import jax
import numpy as np
import pytest
from mpmath import mp, mpf

from conftest import AS_USERS_DO
from jaxscale._numerics.logarithm import ATANH_SERIES, log, split_log, weight
from solve.lanes import DTYPES, ITS_DTYPE

LANES = 4000
ULPS = 1.5


def log_uniform(rng, dtype, power=1.0):
    """Positive normal numbers, to the given power of the whole range."""
    low, high = (math.log(float(x)) * power for x in (np.finfo(dtype).tiny, np.finfo(dtype).max))
    inside = 1 - 1e-6  # the logarithm itself is rounded
    return np.exp(rng.uniform(low * inside, high * inside, LANES)).astype(dtype)


def around(rng, dtype, centre, width):
    offsets = np.exp(rng.uniform(math.log(np.finfo(dtype).eps), math.log(width), LANES))
    return (centre * (1 + offsets * rng.choice([-1, 1], LANES))).astype(dtype)


def limits(rng, dtype):
    info = np.finfo(dtype)
    exact = 2.0 ** np.arange(info.minexp, info.maxexp, dtype=np.float64)
    return np.append(exact, [info.tiny, info.max, np.sqrt(0.5), np.sqrt(2.0)]).astype(dtype)


REGIONS = {
    "all normal numbers": log_uniform,
    "next to 1": lambda rng, dtype: around(rng, dtype, 1.0, 0.7),
    "where the exponent changes": lambda rng, dtype: around(rng, dtype, math.sqrt(0.5), 1e-3),
    "powers of two and limits": limits,
}


@pytest.mark.parametrize("region", REGIONS.values(), ids=REGIONS.keys())
@pytest.mark.parametrize("dtype", DTYPES)
def test_log_is_right_to_about_an_ulp(rng, dtype, region):
    x = region(rng, dtype)
    found = np.asarray(jax.jit(log, compiler_options=AS_USERS_DO)(x))
    assert found.dtype == dtype
    exact = [mp.log(value) for value in x.tolist()]
    error = np.array([abs(float(mpf(y) - z)) for y, z in zip(found.tolist(), exact, strict=True)])
    ulp = np.spacing(np.abs(np.array(exact, np.float64)).astype(dtype)).astype(np.float64)
    ulp = np.where(x == 1, 0, ulp)  # log 1 is 0
    assert (error <= ULPS * ulp).all(), x[np.argmax(error - ULPS * ulp)]


def log_ratio(over, under):
    return split_log(over).minus(split_log(under)).value()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_difference_of_split_logs_is_the_log_of_the_quotient(rng, dtype):
    over, under = log_uniform(rng, dtype, 0.49), log_uniform(rng, dtype, 0.49)
    under[::4] = over[::4] * around(rng, dtype, 1.0, 0.1)[::4]
    found = np.asarray(jax.jit(log_ratio, compiler_options=AS_USERS_DO)(over, under))
    pairs = zip(over.tolist(), under.tolist(), strict=True)
    exact = [mp.log(mpf(x) / mpf(y)) for x, y in pairs]
    error = np.array([abs(float(mpf(y) - z)) for y, z in zip(found.tolist(), exact, strict=True)])
    # Each rest is rounded on its own, and so is their difference.
    ulp = np.spacing(np.abs(np.array(exact, np.float64)).astype(dtype)).astype(np.float64)
    assert (error <= ULPS * ulp + np.finfo(dtype).eps).all()


@pytest.mark.parametrize("dtype", ITS_DTYPE)
def test_derivatives_are_the_inverse_and_its_own(rng, dtype):
    x = np.array([1e-30, 1e-3, 0.5, 1.0, 3.0, 1e10, 1e30], dtype)
    slope = jax.vmap(jax.grad(log))
    few = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(slope(x), 1 / x, rtol=few)
    # Its square overflows float32 where x is 1e-30.
    np.testing.assert_allclose(jax.vmap(jax.grad(jax.grad(log)))(x[1:-1]), -1 / x[1:-1] ** 2, few)


@pytest.mark.parametrize("dtype", ITS_DTYPE)
def test_derivatives_of_a_difference_do_not_square_the_denominator(dtype):
    over = np.array([2e-30, 3.0, 5e30], dtype)
    under = np.array([1e-30, 1e-25, 1e30], dtype)
    by_over, by_under = jax.vmap(jax.grad(log_ratio, argnums=(0, 1)))(over, under)
    few = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(by_over, 1 / over, rtol=few)
    np.testing.assert_allclose(by_under, -1 / under, rtol=few)
    second = jax.vmap(jax.hessian(log_ratio, argnums=(0, 1)))(over[1:2], over[1:2])
    np.testing.assert_allclose(second[0][0], -1 / over[1:2] ** 2, rtol=few)
    np.testing.assert_allclose(second[1][1], 1 / over[1:2] ** 2, rtol=few)
    np.testing.assert_array_equal(second[0][1], 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_second_derivatives_fit_wherever_they_and_their_factors_do(dtype):
    # A cost of 1e26 by the coefficient of a term: formed as cost * x / x**2, it overflows float32.
    cost, x = dtype(5e26), dtype(7e11)
    second = jax.jvp(jax.grad(lambda x: cost * log(x)), (x,), (x,))[1]
    np.testing.assert_allclose(second, -cost / x, rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", ITS_DTYPE)
def test_a_weight_is_differentiated_as_a_quotient(dtype):
    scale = dtype(1e32)  # no square of what splits a float32 fits beside it

    def scaled(alpha, beta):
        head, tail = weight(alpha, alpha, beta)
        return scale * (head + tail)

    alpha, beta = dtype(0.3), dtype(0.7)
    first = jax.grad(scaled, argnums=(0, 1))(alpha, beta)
    second = jax.hessian(scaled, argnums=(0, 1))(alpha, beta)
    few = 16 * np.finfo(dtype).eps
    np.testing.assert_allclose(first, (0.7 * scale, -0.3 * scale), rtol=few)
    exact = np.array([[-1.4, -0.4], [-0.4, 0.6]]) * scale
    np.testing.assert_allclose(second, exact, rtol=few)


def atanh_rest(square):
    """(atanh(s) / s - 1) / s^2 as a function of s^2, by its series where s is small."""
    if square < mpf(10) ** -8:
        return mp.nsum(lambda n: square**n / (2 * n + 3), [0, 12])
    s = mp.sqrt(square)
    return (mp.atanh(s) / s - 1) / square


# One version of mpmath has no argument for the order of the coefficients, the next warns.
@pytest.mark.filterwarnings("ignore:Descending:DeprecationWarning")
def test_atanh_series_is_as_near_as_eight_terms_get():
    with mp.workdps(40):
        largest = (3 - 2 * mp.sqrt(2)) ** 2
        fitted, error = mp.chebyfit(atanh_rest, [mpf(0), largest], 8, error=True)
        assert error < 1.1e-18
        powers = range(len(ATANH_SERIES))[::-1]
        for ours, theirs, power in zip(ATANH_SERIES, fitted, powers, strict=True):
            # Eight terms are nearly dependent, so coefficients are less certain than the sum.
            assert abs(ours - theirs) * largest**power < 1e-16
        grid = [largest * n / 500 for n in range(501)]
        misses = [abs(mp.polyval(ATANH_SERIES, square) - atanh_rest(square)) for square in grid]
    # The coefficients were rounded to float64, the last of them, 1/3, by 1.8e-17.
    assert max(misses) < 2.5e-17
