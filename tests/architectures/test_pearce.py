"""Parameters with and without embeddings, and the budget for which a size is best."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from jaxscale.architectures import pearce
from jaxscale.laws import Kaplan, published

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
EPS = np.finfo(DTYPES[-1]).eps
SIZES = np.geomspace(1e2, 1e14, 25)
LAW = published("besiroglu2024")


@pytest.mark.parametrize("dtype", DTYPES)
def test_totals_are_the_formula_and_sizes_its_inverse(dtype):
    sizes, eps = SIZES.astype(dtype), np.finfo(dtype).eps
    total = pearce.total_params(sizes)
    assert total.dtype == dtype
    exact = SIZES.astype(dtype).astype(np.float64)
    assert_allclose(total, exact + 47491 * np.cbrt(exact), rtol=40 * eps)
    # Small sizes are nearly the cube of the total, which is rounded.
    assert_allclose(pearce.non_embedding_params(total), sizes, rtol=200 * eps)


def test_derivatives_of_the_inverse_are_those_of_the_formula():
    size = 1e8

    @jax.jit
    def slope_and_bend(total):
        slope = jax.jacfwd(pearce.non_embedding_params)
        return slope(total), jax.jacfwd(slope)(total)

    slope, bend = slope_and_bend(size + 47491 * size ** (1 / 3))
    assert_allclose(slope, 1 / (1 + 47491 / 3 * size ** (-2 / 3)), rtol=200 * EPS)
    assert_allclose(bend, 2 * 47491 / 9 * size ** (-5 / 3) * slope**3, rtol=2000 * EPS)


def test_the_budget_is_one_at_which_no_other_size_does_better():
    sizes = np.array([1e4, 1e7, 1e10])
    flops = pearce.optimal_flops(LAW, sizes)

    @jax.jit
    @jax.vmap
    def step_and_bend(log_size, flops):
        def loss(log_size):
            size = jnp.exp(log_size)
            return LAW.loss(pearce.total_params(size), flops / (6 * size))

        slope = jax.jacfwd(loss)
        bend = jax.jacfwd(slope)(log_size)
        return slope(log_size) / bend, bend

    step, bend = step_and_bend(np.log(sizes).astype(flops.dtype), flops)
    assert (bend > 0).all()
    # Of Newton's method to the minimum: the budget's logarithm, near 50, is rounded and over beta.
    assert_allclose(step, 0, atol=2000 * EPS)


@pytest.mark.parametrize("name", ["total_params", "non_embedding_params", "optimal_flops"])
def test_a_bad_number_is_nan_with_zero_derivatives(name):
    function = getattr(pearce, name)
    if name == "optimal_flops":
        function = partial(function, LAW)
    bad = np.array([0.0, -1.0, np.inf, np.nan], DTYPES[-1])
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(function)))(bad)
    assert np.isnan(values).all()
    assert_array_equal(slopes, 0)


def test_another_law_is_refused():
    with pytest.raises(TypeError, match="law must be a Chinchilla law; got Kaplan"):
        pearce.optimal_flops(Kaplan(1.0, 1.0, 1.0, 1.0), 1e8)
