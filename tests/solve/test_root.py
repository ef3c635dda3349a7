"""The root of `u = softplus(k - c u)` and its derivatives, against 40 digits."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf

from conftest import AS_USERS_DO
from jaxscale.solve.root import softplus_root
from reference import derivative
from solve.lanes import DTYPES, relative_error

LANES = 1500


def exact_root(c, k):
    """By Newton: `u - softplus(k - c u)` is concave and rises, so steps end up one-sided."""
    c, k, u = mpf(c), mpf(k), mpf(0)
    if k == -mp.inf:
        return u
    with mp.workdps(max(40, mp.dps)):
        for _ in range(200):
            power = mp.exp(k - c * u)
            step = (mp.log1p(power) - u) / (1 + c * power / (1 + power))
            u += step
            if abs(step) <= abs(u) * mpf(10) ** (3 - mp.dps):
                return u
    raise ArithmeticError(f"no root found for c={c}, k={k}")


def draws_of(rng, dtype, lowest, highest):
    """C over a range and k over all that matters: -700 to 3000, and more closely near 0."""
    share = LANES // 3
    # Evenly in 1 + c, whose inverse is the slope, and evenly in its logarithm.
    even = rng.uniform(lowest, highest, LANES)
    logarithmic = np.exp(rng.uniform(np.log(1 + lowest), np.log(1 + highest), LANES)) - 1
    c = np.where(rng.random(LANES) < 0.5, even, np.clip(logarithmic, lowest, highest))
    k = [rng.uniform(-700, 3000, share), rng.uniform(-60, 60, share), rng.normal(3, 4, share)]
    # Below -85 the root, exp(k), is no normal number in float32.
    k = np.concatenate(k).clip(-85 if dtype is np.float32 else -700)
    return c.astype(dtype), k.astype(dtype)


@functools.partial(jax.jit, static_argnames="steps", compiler_options=AS_USERS_DO)
def root_at(c, k, steps):
    return softplus_root(c, k, k, jnp.ones_like(k), steps=steps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("lowest", "highest", "steps"), [(-0.7, 60.0, 2), (60.0, 300.0, 3)])
def test_root_is_exact_to_rounding(rng, dtype, lowest, highest, steps):
    c, k = draws_of(rng, dtype, lowest, highest)
    root = root_at(c, k, steps)
    exact = [exact_root(*pair) for pair in zip(c.tolist(), k.tolist(), strict=True)]
    # Where u is small it is exp(k), and k less a small number is rounded to half an ulp of k.
    allowed = np.finfo(dtype).eps * (6 + np.maximum(-k, 0) / 2)
    for found, true in zip(root, (exact, [-mp.expm1(-u) for u in exact]), strict=True):
        assert found.dtype == dtype
        errors = np.array([relative_error(*pair) for pair in zip(found, true, strict=True)])
        worst = np.argmax(errors / allowed)
        assert errors[worst] <= allowed[worst], (c[worst], k[worst], errors[worst])


@pytest.mark.parametrize("dtype", DTYPES)
def test_root_is_zero_without_demand(dtype):
    c = np.array([-0.7, 0.0, 3.0, 60.0], dtype)
    k = np.full_like(c, -np.inf)
    for found in softplus_root(c, k, np.zeros_like(c), np.zeros_like(c)):
        np.testing.assert_array_equal(found, 0)


as_users_do = functools.partial(jax.jit, compiler_options=AS_USERS_DO)

# --- Derivatives -----------------------------------------------------------------------------


def root_of(values):
    """The root as a function of (c, m, Q), to be differentiated."""
    c, m, Q = values
    return softplus_root(c, jax.lax.stop_gradient(m + jnp.log(Q)), m, Q).u


def exact_root_of(values):
    c, m, Q = values
    return exact_root(c, m + mp.log(Q) if Q > 0 else -mp.inf)


def exact_derivative(values, index, order):
    # The change of Q that matters is the one that moves k.
    scales = [mpf(1), mpf(1), max(mpf(values[2]), mp.exp(-mpf(values[1])))]

    def along(x):
        return exact_root_of([*map(mpf, values[:index]), x, *map(mpf, values[index + 1 :])])

    return derivative(along, values[index], order, scales[index])


POINTS = {
    "serving decides": (2.5, -10.0, 1e9),
    "serving matters": (3.0, -25.0, 2e10),
    "serving is slight": (3.0, -25.0, 3e6),
    "c of 0": (0.0, -20.0, 1e9),
    "c below 0": (-0.6, -20.0, 1e9),
    "c of 50": (50.0, -30.0, 1e14),
    "Q of 1e-30": (3.0, -2.0, 1e-30),
    "Q of 0": (3.0, -2.0, 0.0),
    "Q of 0 at c of 0": (0.0, 1.5, 0.0),
}
TABLE = np.array(list(POINTS.values()))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", [1, 2])
def test_derivatives_are_those_of_the_exact_root(dtype, order):
    points = TABLE.astype(dtype)
    if order == 1:
        found = as_users_do(jax.vmap(jax.jacfwd(root_of)))(points)
    else:
        hessian = as_users_do(jax.vmap(jax.jacfwd(jax.jacrev(root_of))))(points)
        found = jnp.diagonal(hessian, axis1=1, axis2=2)
    assert found.dtype == dtype
    for name, point, row in zip(POINTS, points.tolist(), np.asarray(found), strict=True):
        expected = [float(exact_derivative(point, index, order)) for index in range(3)]
        # What 1 + c and the rounding of k, up to 35, leave; and the digits of the differences.
        floor = 1e-20 * float(exact_root_of(point))
        allowed = 400 * np.finfo(dtype).eps * np.abs(expected) + floor
        assert (np.abs(row - expected) <= allowed).all(), (name, row, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_forward_and_reverse_mode_agree(dtype):
    points = TABLE.astype(dtype)
    forward, reverse = (
        as_users_do(jax.vmap(mode(root_of)))(points) for mode in (jax.jacfwd, jax.jacrev)
    )
    np.testing.assert_allclose(forward, reverse, rtol=20 * np.finfo(dtype).eps)
