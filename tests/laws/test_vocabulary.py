"""The law of vocabulary: values, where its optimum lies, and the two other approaches."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_allclose, assert_array_equal

from jaxscale.laws import vocabulary
from jaxscale.laws.protocol import flops_of
from jaxscale.laws.vocabulary import Tao

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
# Round numbers of the size of the published ones: the formula is tested, not the catalogue.
LAW = Tao(E=5.5, A1=1.8, A2=0.2, B=2.1, alpha1=0.45, alpha2=0.67, beta=0.4)


def exact_loss(law, params, tokens, vocabulary):
    size = law.A1 / (params / 10**6) ** law.alpha1 + law.A2 / (vocabulary / 10**6) ** law.alpha2
    return -law.E + size + law.B / (tokens / 10**9) ** law.beta


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vocabulary", [1e5, 3e8, 1e11])
def test_loss_is_the_law_at_fifty_digits(vocabulary, dtype):
    law = jax.tree.map(dtype, LAW)
    arguments = [dtype(x) for x in (3e9, 2e11, vocabulary)]
    found = law.loss(*arguments[:2], vocabulary_params=arguments[2])
    assert found.dtype == dtype
    with mp.workdps(50):
        coefficients = {name: mpf(float(x)) for name, x in dataclasses.asdict(law).items()}
        exact = dataclasses.replace(law, **coefficients)
        expected = float(exact_loss(exact, *(mpf(float(x)) for x in arguments)))
    assert_allclose(found, expected, rtol=60 * np.finfo(dtype).eps)
    assert found < 0


@pytest.mark.parametrize("vocabulary", [1e5, 1e11])
def test_derivatives_are_finite_at_the_ends_of_the_lever(vocabulary):
    def loss(x):
        return LAW.loss_from_logs(x[0], x[1], x[2])

    point = jnp.array([*np.log([3e9, 2e11]), vocabulary])
    slope = LAW.A2 * -LAW.alpha2 * (vocabulary / 1e6) ** (-LAW.alpha2 - 1) / 1e6
    assert_allclose(jax.jit(jax.grad(loss))(point)[2], slope, rtol=2e-5)
    assert np.isfinite(jax.jit(jax.hessian(loss))(point)).all()


def test_at_fixed_flops_the_slope_by_vocabulary_is_that_of_the_paper():
    """Approach 3 of Tao et al. sets the derivative at D = F / (6 (N_nv + N_v)) to zero."""
    params, vocabulary, flops = 3e9, 1e8, 1e21

    def loss(vocabulary):
        return LAW.loss(params, flops / (6 * (params + vocabulary)), vocabulary_params=vocabulary)

    tokens = flops / (6 * (params + vocabulary)) / 1e9
    by_words = -LAW.alpha2 * LAW.A2 / (vocabulary / 1e6) ** (LAW.alpha2 + 1) / 1e6
    by_data = LAW.beta * LAW.B / tokens**LAW.beta / (params + vocabulary)
    # The two parts nearly cancel.
    assert_allclose(jax.grad(loss)(vocabulary), by_words + by_data, rtol=0, atol=1e-6 * by_data)


def test_flops_count_the_vocabulary():
    train, prefill, decode = flops_of(LAW, 3e9, 2e11, vocabulary_params=1e9)
    assert_allclose((train, prefill, decode), (6 * 4e9 * 2e11, 8e9, 8e9), rtol=1e-15)


def test_bad_values_are_nan_with_zero_derivatives():
    vocabularies = jnp.array([1e8, 0.0, -1e8, jnp.nan])

    def total(vocabularies):
        losses = LAW.loss(3e9, 2e11, vocabulary_params=vocabularies)
        return jnp.where(jnp.isnan(losses), 0, losses).sum(), losses

    slopes, losses = jax.grad(total, has_aux=True)(vocabularies)
    assert_array_equal(np.isnan(losses), [False, True, True, True])
    assert slopes[0] < 0
    assert_array_equal(slopes[1:], 0)


@pytest.mark.parametrize(
    "function",
    [
        vocabulary.tokens_per_character,
        vocabulary.params_for_flops,
        vocabulary.vocabulary_params_for_flops,
        vocabulary.vocabulary_params_for,
    ],
)
def test_functions_of_one_number_are_nan_where_it_is_not_positive(function):
    xs = jnp.array([4096.0, 0.0, -1.0, jnp.inf, jnp.nan])
    found = function(xs)
    assert_array_equal(np.isnan(found), [False, True, True, True, True])
    slopes = jax.grad(lambda x: jnp.where(jnp.isnan(function(x)), 0, function(x)).sum())(xs)
    assert np.isfinite(slopes).all()
    assert_array_equal(slopes[1:], 0)
    if X64:
        assert function(np.float32(4096)).dtype == np.float32


def test_a_character_takes_no_fewer_tokens_past_200000_entries():
    capped = vocabulary.tokens_per_character(np.array([2e5, 1e6]))
    assert capped[0] == capped[1]
    assert vocabulary.tokens_per_character(1.99e5) > capped[0]
