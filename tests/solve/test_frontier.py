"""The compute-optimal frontier: sizes that no split of the same FLOPs beats, and their slopes."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from jaxscale import Status
from jaxscale._numerics.interpreted import interpreted
from solve.lanes import DTYPE, EPS, X64, needs_x64
from solve.law_samples import InLogs, OnlyLoss

LAW = js.laws.published("sardana2024")
SIZES = np.geomspace(1e8, 1e12, 5).astype(DTYPE)
# A law that only has a loss, one with a lever, one that counts its own FLOPs, one with a kink.
LEVERS = {
    "kaplan2020": {},
    "kumar2024": {"bits": 8.0},
    "krajewski2024": {"granularity": 16.0},
    "muennighoff2023_repeated": {"unique_tokens": 2e11},
}


def closed_form(law, params):
    """Tokens of Hoffmann et al. 2022, eq. 4: alpha A / N^alpha = beta B / D^beta."""
    return (law.beta * law.B / (law.alpha * law.A) * params**law.alpha) ** (1 / law.beta)


@pytest.mark.parametrize("kind", [js.laws.Chinchilla, OnlyLoss, InLogs])
def test_sizes_are_those_of_the_closed_form(kind):
    law = kind(LAW.E, LAW.A, LAW.B, LAW.alpha, LAW.beta)
    expected = closed_form(LAW, np.asarray(SIZES, float))
    digits = 200 * EPS  # what a logarithm of a hundred or so loses
    plan = js.compute_optimal(law, params=SIZES)
    np.testing.assert_array_equal(plan.params, SIZES)
    assert_allclose(plan.tokens, expected, rtol=digits)
    turned = js.compute_optimal(law, tokens=plan.tokens)
    assert_allclose(turned.params, SIZES, rtol=10 * digits)


def test_tokens_of_kaplan_et_al():
    law = js.laws.published("kaplan2020")
    # Least of (N_c / N)^a + D_c / D at equal N D, with a = alpha_N / alpha_D.
    a = law.alpha_N / law.alpha_D
    by_hand = law.D_c / (a * (law.N_c / 1e9) ** a)
    plan = js.compute_optimal(law, params=1e9)
    assert_allclose(plan.tokens, by_hand, rtol=1e-12 if X64 else 1e-4)


@needs_x64
@pytest.mark.parametrize("name", LEVERS)
def test_no_split_of_the_same_flops_is_better(name):
    law, levers = js.laws.published(name), LEVERS[name]
    plan = interpreted(js.compute_optimal, law, params=SIZES, levers=levers)
    assert plan.ok.all()
    best = interpreted(js.minimize_loss, law, plan.train_cost, levers=levers)
    assert_allclose(plan.loss, best.loss, rtol=1e-12)
    assert_allclose(plan.params, best.params, rtol=1e-6)
    turned = interpreted(js.compute_optimal, law, tokens=plan.tokens, levers=levers)
    assert_allclose(turned.params, SIZES, rtol=1e-9)


def test_flops_are_those_of_the_budget():
    plan = js.compute_optimal(LAW, flops=1e21)
    assert_allclose(plan.train_cost, 1e21, rtol=1e-12 if X64 else 1e-5)
    assert_allclose(plan.tokens, closed_form(LAW, float(plan.params)), rtol=1e-12 if X64 else 1e-4)


@needs_x64
@pytest.mark.parametrize("law", [LAW, OnlyLoss(LAW.E, LAW.A, LAW.B, LAW.alpha, LAW.beta)])
def test_derivatives_are_those_of_the_closed_form(law):
    def tokens(law, log_params):
        return jnp.log(js.compute_optimal(law, params=jnp.exp(log_params)).tokens)

    def by_hand(law, log_params):
        return jnp.log(closed_form(law, jnp.exp(log_params)))

    for order in (jax.grad, jax.hessian):
        found, expected = (
            interpreted(order(f, argnums=(0, 1)), law, np.log(1e10)) for f in (tokens, by_hand)
        )
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            assert_allclose(a, b, rtol=1e-8, atol=1e-10)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Embedded(js.laws.Chinchilla):
    """The Chinchilla law of a model with a part that is trained but not served."""

    def flops(self, params, tokens):
        return js.laws.Flops(6 * (params + 1e8) * tokens, 2 * params, 2 * params)


@needs_x64
def test_a_law_that_counts_its_own_flops_does_not_use_the_closed_form_of_6_n_d():
    law = Embedded(LAW.E, LAW.A, LAW.B, LAW.alpha, LAW.beta)
    plan = interpreted(js.compute_optimal, law, params=1e9)
    assert plan.ok
    params = 1e9 * np.array([0.99, 1.0, 1.01])
    loss = law.loss(params, plan.train_cost / (6 * (params + 1e8)))
    assert np.argmin(loss) == 1


def test_bad_scenarios_leave_their_neighbors_alone():
    sizes = np.array([1e9, -1.0, np.nan, 0.0, np.inf, 1e9], DTYPE)

    def total(sizes):
        plan = js.compute_optimal(LAW, params=sizes)
        return jnp.nansum(plan.tokens), plan

    slopes, plan = interpreted(jax.grad(total, has_aux=True), sizes)
    good = np.array([0, 5])
    assert plan.status[1:5].tolist() == [Status.INVALID_INPUT] * 4
    assert np.isnan(plan.tokens[1:5]).all()
    assert_allclose(plan.tokens[good], closed_form(LAW, 1e9), rtol=1e3 * EPS)
    np.testing.assert_array_equal(slopes[1:5], 0)
    assert (slopes[good] > 0).all()


def test_a_law_that_does_not_depend_on_tokens_has_no_frontier():
    law = js.laws.published("clark2022_sbase")
    plan = js.compute_optimal(law, params=1e9, levers={"experts": 8.0})
    assert plan.status == Status.NO_INTERIOR_OPTIMUM
    assert np.isnan(plan.tokens)


@pytest.mark.parametrize("given", [{}, {"flops": 1e21, "params": 1e9}])
def test_exactly_one_size_is_given(given):
    with pytest.raises(ValueError, match="exactly one of flops, params and tokens; got"):
        js.compute_optimal(LAW, **given)


def test_mistakes_are_named():
    with pytest.raises(TypeError, match="law must be a jaxscale law"):
        js.compute_optimal(3, params=1e9)
    with pytest.raises(ValueError, match="granularity"):
        js.compute_optimal(js.laws.published("krajewski2024"), params=1e9)
    with pytest.raises(TypeError, match="params"):
        js.compute_optimal(LAW, params="7B")


def test_a_bad_lever_leaves_the_derivatives_of_its_neighbours_alone():
    law = js.laws.published("kumar2024")

    def tokens(law, bits):
        plan = js.compute_optimal(law, params=np.array([1e9, 1e9]), levers={"bits": bits})
        return jnp.sum(jnp.where(plan.ok, plan.tokens, 0))

    slope = jax.grad(tokens)
    good = interpreted(slope, law, np.array([8.0, 8.0])).B
    mixed = interpreted(slope, law, np.array([8.0, np.nan])).B
    assert float(mixed) == pytest.approx(float(good) / 2, rel=1e-5)
