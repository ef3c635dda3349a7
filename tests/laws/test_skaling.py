"""The Skaling law: values at fifty digits, the three laws that are cases of it, and bad input."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale.laws.skaling import Skaling

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
EPS = np.finfo(np.float64 if X64 else np.float32).eps
N, D = np.geomspace(1e6, 1e12, 5), np.geomspace(1e7, 1e14, 4)[:, None]

# Busbridge et al. 2025, arXiv 2502.08606: E + (A / N^alpha + B / D^beta)^gamma.
BUSBRIDGE = {"E": 1.220, "A": 3355.0, "B": 18186.0, "alpha": 0.408, "beta": 0.431, "gamma": 0.452}


def of_busbridge(E, A, B, alpha, beta, gamma):
    return Skaling(E=E, A=A**gamma, R=B / A, alpha=alpha, beta=beta, k=gamma)


LAW = of_busbridge(**BUSBRIDGE)


@pytest.mark.parametrize("dtype", DTYPES)
def test_it_is_its_formula_at_fifty_digits(dtype):
    law = jax.tree.map(dtype, LAW)
    params, tokens = np.broadcast_arrays(N.astype(dtype), D.astype(dtype))
    with mp.workdps(50):
        E, A, R, alpha, beta, k = (mpf(float(x)) for x in dataclasses.astuple(law))
        expected = [
            float(E + A * (mpf(float(n)) ** -alpha + R * mpf(float(d)) ** -beta) ** k)
            for n, d in zip(params.ravel(), tokens.ravel(), strict=True)
        ]
    found = law.loss(params, tokens)
    assert found.dtype == dtype
    # The exponents are multiplied by ln D = 32 at the most.
    assert_allclose(found.ravel(), expected, rtol=60 * np.finfo(dtype).eps)


def test_with_k_of_one_it_is_chinchilla():
    chinchilla = js.laws.published("besiroglu2024")
    E, A, B, alpha, beta = dataclasses.astuple(chinchilla)
    law = Skaling(E=E, A=A, R=B / A, alpha=alpha, beta=beta, k=1.0)
    assert_allclose(law.loss(N, D), chinchilla.loss(N, D), rtol=60 * EPS)
    # An excess of a few percent over E loses that many digits.
    tolerance = 2000 * EPS
    assert_allclose(law.tokens_for(2.5, N), chinchilla.tokens_for(2.5, N), rtol=tolerance)
    assert_allclose(law.params_for(2.5, D), chinchilla.params_for(2.5, D), rtol=tolerance)
    for given in ({"flops": 1e23}, {"params": 1e9}, {"tokens": 1e11}):
        ours, theirs = (js.compute_optimal(each, **given) for each in (law, chinchilla))
        for name in ("params", "tokens", "loss"):
            assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=tolerance)


@pytest.mark.parametrize("name", ["kaplan2020", "kaplan2020_table5"])
def test_without_e_and_with_beta_of_one_it_is_kaplan(name):
    kaplan = js.laws.published(name)
    ratio = kaplan.alpha_N / kaplan.alpha_D
    law = Skaling(
        E=0.0,
        A=kaplan.N_c**kaplan.alpha_N,
        R=kaplan.D_c / kaplan.N_c**ratio,
        alpha=ratio,
        beta=1.0,
        k=kaplan.alpha_D,
    )
    assert_allclose(law.loss(N, D), kaplan.loss(N, D), rtol=60 * EPS)
    assert_allclose(law.frontier_powers(np.log), kaplan.frontier_powers(np.log), rtol=1e-12)


def test_it_is_the_supervised_law_of_busbridge():
    E, A, B, alpha, beta, gamma = BUSBRIDGE.values()
    expected = E + (A / N**alpha + B / D**beta) ** gamma
    assert_allclose(LAW.loss(N, D), expected, rtol=60 * EPS)


def test_sizes_for_a_loss_give_that_loss():
    losses = np.linspace(1.5, 4.0, 6)[:, None, None]
    tokens, params = LAW.tokens_for(losses, N), LAW.params_for(losses, D)
    assert np.isfinite(tokens).any()
    assert np.isnan(tokens).any()  # of models that are too small for the loss
    for found in (LAW.loss(N, tokens), LAW.loss(params, D)):
        wanted = np.broadcast_to(losses, found.shape)
        assert_allclose(found, np.where(np.isnan(found), np.nan, wanted), rtol=200 * EPS)


def test_the_closed_frontier_is_that_of_the_general_solver():
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass(frozen=True)
    class OnlyLoss:
        law: Skaling

        def loss(self, params, tokens):
            return self.law.loss(params, tokens)

    flops = np.array([1e18, 1e24])
    ours, theirs = js.compute_optimal(LAW, flops=flops), js.minimize_loss(OnlyLoss(LAW), flops)
    # A minimum is flat: its point has half the digits of its value times the solver's own.
    assert_allclose(ours.params, theirs.params, rtol=1e-9 if X64 else 1e-3)
    assert_allclose(ours.loss, theirs.loss, rtol=60 * EPS)
    assert_allclose(6 * ours.params * ours.tokens, flops, rtol=200 * EPS)


def test_derivatives_are_finite_and_bad_lanes_have_none():
    def loss(x):
        return LAW.loss_from_logs(x[0], x[1])

    assert np.isfinite(jax.jit(jax.hessian(loss))(jnp.log(jnp.array([1e9, 2e10])))).all()
    law = dataclasses.replace(LAW, k=np.array([0.452, -1.0, np.nan]))

    def total(params):
        losses = law.loss(params, 2e10)
        return jnp.where(jnp.isnan(losses), 0, losses).sum(), losses

    slopes, losses = jax.grad(total, has_aux=True)(jnp.full(3, 1e9))
    assert_array_equal(np.isnan(losses), [False, True, True])
    assert slopes[0] < 0
    assert_array_equal(slopes[1:], 0)
    slope = jax.grad(lambda n: LAW.tokens_for(1.21, n))(1e9)  # below E
    assert slope == 0
