"""The law of one shape: its formula, its slope, its inverse, and bad values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_allclose, assert_array_equal

from jaxscale.growth import ShapeLaw

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
LAW = ShapeLaw(a=300.0, b=0.14, c=1.7, d=1e16)
FLOPS = np.array([0, 1e12, 1e16, 1e20, 1e24])


def exact(law, flops):
    a, b, c, d = (mpf(float(x)) for x in (law.a, law.b, law.c, law.d))
    total = mpf(float(flops)) + d
    return a * total**-b + c, -a * b * total ** (-b - 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_and_slope_are_the_formula_at_fifty_digits(dtype):
    law, flops = jax.tree.map(dtype, LAW), FLOPS.astype(dtype)
    with mp.workdps(50):
        expected = np.array([[float(x) for x in exact(law, each)] for each in flops]).T
    found = law.loss(flops), law.slope(flops)
    assert found[0].dtype == dtype
    assert_allclose(found[0], expected[0], rtol=60 * np.finfo(dtype).eps)
    assert_allclose(found[1], expected[1], rtol=200 * np.finfo(dtype).eps)


def test_slope_is_the_derivative_of_the_loss():
    slopes = jax.vmap(jax.grad(LAW.loss))(FLOPS)
    assert_allclose(LAW.slope(FLOPS), slopes, rtol=1e-12 if X64 else 1e-4)


def test_flops_for_is_the_inverse_of_the_loss():
    flops = np.array([1e15, 1e16, 1e20, 1e22])
    found = LAW.flops_for(LAW.loss(flops))
    assert_allclose(found, flops, rtol=1e-11 if X64 else 2e-3)  # a loss near c tells few digits


def test_shapes_are_entries_and_bad_values_are_nan_alone():
    law = ShapeLaw(np.array([300.0, -1.0, 300.0]), 0.14, 1.7, np.array([0.0, 1e16, 1e16]))
    flops = np.array([[1e18], [0.0], [-1e10], [np.nan]])
    bad = [[False, True, False], [True, True, False], [True] * 3, [True] * 3]
    assert_array_equal(np.isnan(law.loss(flops)), bad)
    assert_array_equal(np.isnan(law.slope(flops)), bad)
    # Not above c, nor before training: the third starts at 3.43.
    losses = np.array([[3.0], [1.7], [4.0]])
    expected = [[False, True, False], [True] * 3, [False, True, True]]
    assert_array_equal(np.isnan(law.flops_for(losses)), expected)


def test_derivatives_beside_bad_neighbours_are_zero():
    def total(flops, losses):
        both = LAW.loss(flops), LAW.slope(flops), LAW.flops_for(losses)
        return sum(jnp.where(jnp.isnan(each), 0, each).sum() for each in both)

    by_flops, by_losses = jax.grad(total, argnums=(0, 1))(
        jnp.array([1e16, -1e17]), jnp.array([2.5, 1.0])
    )
    assert np.isfinite(by_flops).all()
    assert by_flops[0] < 0
    assert by_flops[1] == 0
    assert_allclose(by_losses[0], 1 / LAW.slope(LAW.flops_for(2.5)), rtol=1e-10 if X64 else 1e-4)
    assert by_losses[1] == 0
