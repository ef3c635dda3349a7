"""Plans priced by shape: against a search over sizes with FLOPs counted apart."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from jaxscale import architectures
from jaxscale.architectures import CHINCHILLA, LLAMA, with_exact_flops
from jaxscale.laws import Chinchilla, ComputeOnly

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
LAW = Chinchilla(E=1.8, A=480.0, B=2100.0, alpha=0.35, beta=0.37)

# Lanes: losses at which the best sizes go from 1e7 to 1e13, three demands, and two contexts, of
# which the second is so long that attention costs more than all else.
AT = np.geomspace(1e7, 1e13, 7)[:, None, None]
LOSS = 1.8 + 480 * AT**-0.35 + 2100 * (20 * AT) ** -0.37
DEMAND = np.array([0.0, 1e11, 1e14])[:, None]
CONTEXT = np.array([2048.0, 1e7])


def forward_flops(params, context):
    """Of a family like CHINCHILLA: its width by bisection, and its products of matrices."""
    low, high = np.zeros_like(params), np.full_like(params, 40.0)
    for _ in range(60):
        log_width = (low + high) / 2
        width = np.exp(log_width)
        layers = 0.1017 * width**0.7406
        total = layers * (12 * width**2 + 2 * width) + width + 32000 * width
        small = total < params
        low, high = np.where(small, log_width, low), np.where(small, high, log_width)
    return 2 * (layers * 12 * width**2 + 32000 * width) + 4 * layers * context * width


def cost(params, loss, demand, context):
    """In FLOPs, of the plan of that loss; infinite where there is none."""
    left = loss - 1.8 - 480 * params**-0.35
    tokens = np.where(left > 0, np.abs(left / 2100) ** (-1 / 0.37), np.inf)
    return forward_flops(params, context) * (3 * tokens + demand)


def searched(loss, demand, context):
    """The size of least cost, by ever finer grids around the least so far."""
    middle, reach = np.log(1e10) + 0 * (loss + demand + context), 12.0
    for _ in range(11):
        grid = middle + reach * np.linspace(-1, 1, 65).reshape(65, 1, 1, 1)
        best = np.argmin(cost(np.exp(grid), loss, demand, context), axis=0)[None]
        middle = np.take_along_axis(grid, best, axis=0)[0]
        reach /= 8
    return np.exp(middle)


def plan_of(demand, log_context, loss):
    family = replace(CHINCHILLA, context=jnp.exp(log_context))
    return js.minimize_cost(with_exact_flops(LAW, family), loss, js.Demand(demand, 0.0))


@jax.jit
def plan_and_slopes(demand, log_context, loss):
    """Also the derivatives of the plan when demand grows, and the context half as fast."""
    along = demand, jnp.full_like(log_context, 0.5)
    return jax.jvp(lambda *x: plan_of(*x, loss), (demand, log_context), along)


def with_slopes(step=0.0):
    numbers = DEMAND * (1 + step), np.log(CONTEXT) + step / 2, LOSS
    return plan_and_slopes(*(np.asarray(x, DTYPES[-1]) for x in numbers))


@pytest.fixture(scope="module")
def solved():
    return with_slopes()


def plan_in(dtype, solved):
    """Plans of all lanes in a precision; only those of the widest have derivatives too."""
    if dtype is DTYPES[-1]:
        return solved[0]
    return plan_of(*(np.asarray(x, dtype) for x in (DEMAND, np.log(CONTEXT), LOSS)))


@pytest.mark.parametrize(
    "dtype",
    [
        pytest.param(dtype, marks=() if dtype is DTYPES[-1] else pytest.mark.thorough)
        for dtype in DTYPES
    ],
)
def test_the_cheapest_plan_is_that_of_a_search(solved, dtype):
    plan = plan_in(dtype, solved)
    assert plan.params.dtype == dtype
    assert (np.asarray(plan.status) == 0).all()
    best = searched(LOSS, DEMAND, CONTEXT)
    assert best.min() < 1e7 < 1e13 < best.max() * 2
    # A loss of float32 is known to 1e-7, of which little is reducible; a search of float64 finds
    # a flat minimum to the root of its precision.
    assert_allclose(plan.params, best, rtol=2e-6 if dtype == np.float64 else 2e-3)
    assert_allclose(plan.loss, np.broadcast_to(LOSS, best.shape), rtol=1e2 * np.finfo(dtype).eps)
    lowest = cost(best, LOSS, DEMAND, CONTEXT)
    assert_allclose(plan.total_cost, lowest, rtol=1e-12 if dtype == np.float64 else 2e-4)


def test_the_bill_is_three_passes_a_token_trained_and_one_a_token_served(solved):
    plan = solved[0]
    forward = forward_flops(np.asarray(plan.params, float), CONTEXT)
    rtol = 1e-12 if X64 else 1e-5
    assert_allclose(plan.train_cost, 3 * forward * np.asarray(plan.tokens, float), rtol=rtol)
    assert_allclose(plan.prefill_cost, forward * DEMAND, rtol=rtol)
    assert_allclose(plan.decode_cost, 0)


def test_a_longer_context_asks_for_other_sizes(solved):
    params = np.asarray(solved[0].params)
    assert abs(np.log(params[..., 1] / params[..., 0])).max() > 0.5


@pytest.mark.skipif(not X64, reason="a difference of float32 is no derivative")
def test_derivatives_are_differences(solved):
    step = 1e-4
    (high, _), (low, _) = with_slopes(step), with_slopes(-step)
    for name in ("params", "tokens", "total_cost"):
        found, higher, lower = (np.asarray(getattr(x, name)) for x in (solved[1], high, low))
        assert_allclose(found, (higher - lower) / (2 * step), rtol=1e-6)


def test_all_but_the_flops_is_the_laws_own():
    law = js.laws.published("muennighoff2023_repeated")
    priced = with_exact_flops(law, LLAMA, "kaplan")
    assert priced.levers == law.levers
    lever = {"unique_tokens": 1e10}
    assert priced.loss(1e9, 1e11, **lever) == law.loss(1e9, 1e11, **lever)
    assert with_exact_flops(LAW, LLAMA).tokens_for(2.5, 1e9) == LAW.tokens_for(2.5, 1e9)
    assert with_exact_flops(LAW, LLAMA).params_for(2.5, 1e11) == LAW.params_for(2.5, 1e11)
    plan = js.evaluate(with_exact_flops(LAW, LLAMA, "kaplan"), 1e9, 1e11)
    found = LLAMA.architecture(1e9).train_flops("kaplan") * 1e11
    assert_allclose(plan.train_cost, found, rtol=1e-5)


def test_a_bad_family_is_a_bad_scenario():
    priced = with_exact_flops(LAW, replace(CHINCHILLA, scale=np.array([0.1, -0.1])))
    plan = js.evaluate(priced, 1e9, 1e11)
    assert list(plan.status) == [0, js.Status.INVALID_INPUT]
    with pytest.raises(TypeError, match=r"law\.family\.scale must be a real number"):
        js.evaluate(with_exact_flops(LAW, replace(CHINCHILLA, scale="one")), 1e9, 1e11)


@pytest.mark.parametrize(
    ("law", "family", "count", "error", "message"),
    [
        (LAW, CHINCHILLA, "palms", ValueError, r"unknown count 'palms' \(did you mean palm\?\)"),
        (LAW, 2048, "palm", TypeError, "family must be a Family"),
        (js.laws.Krajewski(*[1.0] * 7), CHINCHILLA, "palm", ValueError, "Krajewski counts its own"),
        (js.laws.published("kaplan2020"), LLAMA, "6n", ValueError, "leaves out embeddings"),
        (with_exact_flops(LAW, LLAMA), LLAMA, "palm", ValueError, "ExactFlops counts its own"),
        (ComputeOnly, CHINCHILLA, "palm", TypeError, "law must have loss"),
    ],
)
def test_what_cannot_be_priced_is_refused(law, family, count, error, message):
    with pytest.raises(error, match=message):
        with_exact_flops(law, family, count)


def test_params_and_flops_of_a_shape_are_those_that_the_law_counts():
    """GPT-2 small: 12 layers of 12 w^2, all params with tied embeddings, and 6 N of either."""
    shape = architectures.published("gpt2")
    kaplan, chinchilla = js.laws.published("kaplan2020"), js.laws.published("sardana2024")
    layers = 12 * 12 * 768**2
    assert_allclose(architectures.params_of(shape, kaplan), layers, rtol=1e-6)
    assert_allclose(architectures.params_of(shape, chinchilla), 124_337_664, rtol=1e-6)
    flops = 6 * layers + 12 * 12 * 1024 * 768 + 6 * 50257 * 768
    for law, params in ((kaplan, layers), (chinchilla, 124_337_664)):
        ratio = architectures.flops_over_rule(shape, law)
        assert_allclose(ratio, flops / (6 * params), rtol=1e-5)
    with pytest.raises(ValueError, match="Kumar counts its own"):
        architectures.flops_over_rule(shape, js.laws.published("kumar2024"))
