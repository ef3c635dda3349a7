"""Farseer: values at fifty digits, where the law ends, and the coordinates that a fit searches."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale import Status
from jaxscale._numerics.interpreted import interpreted
from jaxscale.laws.farseer import LEAST_EXPONENT, MOST_EXPONENT, Farseer, FarseerAtMiddle

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
needs_x64 = pytest.mark.skipif(not X64, reason="digits are compared in float64")

# Made up, so that losses are a few nats; and published.
LAW = Farseer(-0.2, 0.8, 60.0, 1.5, -0.05, 1.2, 0.1, -0.12, 0.12)
LI = js.laws.published("li2025")
MIDDLE = np.log(7e8), np.log(2e10)


def exact(law, params, tokens):
    with mp.workdps(50):
        law, n, d = jax.tree.map(lambda x: mpf(float(x)), (law, params, tokens))
        size = mp.exp(law.a3 * n**law.gamma + law.b3)
        data = mp.exp(law.a2 * n**law.beta + law.b2)
        return float(size + data * d ** -mp.exp(law.a1 * n**law.alpha + law.b1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("law", [LAW, LI], ids=["made up", "published"])
def test_it_is_its_formula_at_fifty_digits(law, dtype):
    law = jax.tree.map(dtype, law)
    params = np.geomspace(1e7, 1e11, 6, dtype=dtype)
    tokens = dtype(1e11)
    expected = [exact(law, n, tokens) for n in params]
    # The exponent of D is multiplied by log D = 25.
    assert_allclose(law.loss(params, tokens), expected, rtol=100 * np.finfo(dtype).eps)


# --- Where it ends ---------------------------------------------------------------------------


def exponent_of_tokens(law, params):
    """By two losses, each less the limit of ever more tokens."""
    limit = exact(law, params, 1e300)
    one, other = (exact(law, params, tokens) - limit for tokens in (1e10, 1e12))
    return np.log(one / other) / np.log(100)


def test_the_published_law_holds_from_1e6_to_1e11_params():
    for params, exponent in ((0.95e6, MOST_EXPONENT), (1.057e11, LEAST_EXPONENT)):
        assert exponent_of_tokens(LI, params) == pytest.approx(exponent, rel=0.01)
    losses = LI.loss(np.array([0.9e6, 1e6, 1.05e11, 1.06e11]), 1e12)
    assert_array_equal(np.isnan(losses), [True, False, False, True])


def test_beyond_its_end_the_loss_would_rise_with_params():
    sizes = [1e11, 1.5e11, 2e11, 5e11]
    losses = [exact(LI, params, 1e12) for params in sizes]
    assert losses[0] > losses[1] < losses[2] < losses[3]


def test_no_plan_beyond_the_law_says_ok():
    budgets = np.array([1e22, 1e26, 1e27, 1e29])
    for plan in (js.minimize_loss(LI, budgets), js.compute_optimal(LI, flops=budgets)):
        assert [Status(int(x)).name for x in plan.status] == ["OK", "OK", *["BEYOND_LAW"] * 2]
        assert_array_equal(np.isnan(plan.loss), [False, False, True, True])
    # These by NumPy: each would be compiled for one scenario.
    assert int(interpreted(js.minimize_cost, LI, 0.25).status) == Status.BEYOND_LAW
    assert int(js.evaluate(LI, 1e12, 1e13).status) == Status.BEYOND_LAW
    # Hardly any params on no end of tokens would be the cheapest to serve.
    plan = interpreted(js.minimize_cost, LI, 1.2, js.Demand(input_tokens=1e15))
    assert int(plan.status) == Status.BEYOND_LAW
    assert np.isnan(js.laws.tokens_for(LI, 0.4, 1.1e11))


def test_next_to_no_tokens_are_beyond_the_law():
    # A plan that is cheaper than one of 275,000 tokens, at which the formula has another optimum.
    known = js.evaluate(LI, 2433386.583802396, 40802092.85028801)
    bounds = js.Bounds(
        min_tokens=274922.3390770047,
        max_tokens=6640736111307.456,
        max_tokens_per_param=16.7676164247322,
    )
    plan = interpreted(js.minimize_cost, LI, known.loss, bounds=bounds)
    assert not plan.ok or plan.total_cost <= known.total_cost * (1 + 1e-6)
    assert np.isnan(LI.loss(3.685e8, 274922.0))


def test_a_bound_brings_a_plan_back_to_where_the_law_holds():
    plan = interpreted(js.minimize_loss, LI, 1e27, bounds=js.Bounds(max_params=1e11))
    assert int(plan.status) == Status.AT_MAX_PARAMS
    assert plan.params == pytest.approx(1e11, rel=1e-6)


def test_sizes_beyond_have_no_derivatives_and_leave_neighbours_alone():
    def total(params):
        losses = LI.loss(params, 1e12)
        return jnp.where(jnp.isnan(losses), 0, losses).sum()

    slopes = jax.grad(total)(jnp.array([1e10, 1e12, 1e4, -1.0]))
    assert slopes[0] < 0
    assert_array_equal(slopes[1:], 0)


def test_a_law_whose_exponent_of_tokens_does_not_fall_has_no_end():
    law = dataclasses.replace(LI, a1=0.0, b1=-1.2)
    assert np.isfinite(law.loss(np.array([1e3, 1e9, 1e13]), 1e11)).all()
    assert np.isfinite(jax.grad(lambda b: law.loss(1e9 * b, 1e11))(1.0))


# --- The coordinates of a search -------------------------------------------------------------


def coefficients(law):
    return jnp.asarray(dataclasses.astuple(law))


@needs_x64
@pytest.mark.parametrize("law", [LAW, LI], ids=["made up", "published"])
def test_values_and_slopes_at_the_middle_are_the_same_law(law):
    here = FarseerAtMiddle.coordinates_of(coefficients(law), *MIDDLE)
    # An exponent of D of 0.33, say, with the data term and the other as they are at the middle.
    assert_allclose(np.exp(here[0]), exponent_of_tokens(law, 7e8), rtol=1e-9)
    limit = exact(law, 7e8, 1e300)
    terms = [limit, exact(law, 7e8, 2e10) - limit]
    assert_allclose(np.exp([here[6], here[3]]), terms, rtol=1e-9)
    params, tokens = np.meshgrid(np.geomspace(1e7, 1e11, 9), np.geomspace(1e9, 1e13, 5))
    searched = FarseerAtMiddle(*here, *MIDDLE)
    losses = searched.loss_from_logs(np.log(params), np.log(tokens))
    assert_allclose(losses, law.loss(params, tokens), rtol=1e-12)
    back = FarseerAtMiddle.coefficients_of(here, *MIDDLE)
    assert_allclose(back, coefficients(law), rtol=1e-11)


@needs_x64
def test_the_search_passes_an_exponent_of_zero():
    here = FarseerAtMiddle.coordinates_of(coefficients(LI), *MIDDLE)

    def loss(alpha):
        law = FarseerAtMiddle(*here.at[2].set(alpha), *MIDDLE)
        return law.loss_from_logs(np.log(1e10), np.log(1e11))

    # Beside it the law has coefficients, of 1e4 or so.
    beside = [
        exact(Farseer(*FarseerAtMiddle.coefficients_of(here.at[2].set(x), *MIDDLE)), 1e10, 1e11)
        for x in (-1e-4, 1e-4)
    ]
    assert_allclose(loss(0.0), np.mean(beside), rtol=1e-7)
    assert_allclose(jax.grad(loss)(0.0), np.diff(beside)[0] / 2e-4, rtol=1e-5)
    assert np.isfinite(jax.grad(jax.grad(loss))(0.0))
    assert_allclose(jax.grad(loss)(1.01e-3), jax.grad(loss)(0.99e-3), rtol=1e-3)


def test_params_leave_out_embeddings():
    shape = js.architectures.published("llama-3-8b")
    assert js.architectures.params_of(shape, LI) == shape.active_non_embedding_params
    with pytest.raises(ValueError, match="Farseer leaves out embeddings"):
        js.architectures.with_exact_flops(LI, js.architectures.LLAMA)
