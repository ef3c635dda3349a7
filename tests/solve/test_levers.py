"""Levers that are chosen: nothing on a fine grid of them is better, and their derivatives hold."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from benchmarks.laws_problem import OVER_TWO, cases
from jaxscale import Status
from jaxscale._numerics.interpreted import interpreted
from jaxscale.solve import levers
from solve.lanes import DTYPE, LOSS_FIRST, SOLVERS, X64, needs_x64

KUMAR = js.laws.published("kumar2024")
DEMAND = np.array([0, 1e11, 1e13], DTYPE)
OVER = ("params", "tokens", "bits")
VALUE = {"loss": 3.0, "budget": 1e22}


@functools.cache
def chosen(target):
    return SOLVERS[target](KUMAR, VALUE[target], js.Demand(DEMAND), over=OVER)


@pytest.mark.parametrize("target", LOSS_FIRST)
def test_the_published_precision_is_chosen(target):
    plan = chosen(target)
    # Kumar et al. 2024, Section 4.3.3: 7 to 8 bits, whatever the budget. The digits are of
    # f_w f_a f_kv / P at its greatest, of which the plan knows nothing.
    bits = np.linspace(6.5, 7.5, 100_001)
    gain = np.prod([np.asarray(each) for each in KUMAR.shares(bits)], axis=0) / bits
    assert_allclose(plan.levers["bits"], bits[np.argmax(gain)], rtol=2e-5 if X64 else 2e-3)
    np.testing.assert_array_equal(plan.status, Status.OK)


@pytest.mark.parametrize("target", LOSS_FIRST)
def test_no_value_on_a_fine_grid_is_better(target):
    bits = np.linspace(3, 16, 1301).astype(DTYPE)[:, None]
    asked = KUMAR, VALUE[target], js.Demand(DEMAND)
    fixed = interpreted(SOLVERS[target], *asked, levers={"bits": bits})
    name = {"loss": "total_cost", "budget": "loss"}[target]
    found, grid = getattr(chosen(target), name), np.nanmin(getattr(fixed, name), axis=0)
    assert np.all(found <= grid * (1 + (1e-12 if X64 else 1e-4)))
    assert_allclose(found, grid, rtol=1e-5 if X64 else 1e-3)  # the grid is 0.01 bits apart


# Loss and input tokens of scenarios whose best levers lie inside their ranges.
PAIR_LOSSES, PAIR_DEMANDS = np.array([3.2, 3.4, 3.6], DTYPE), np.array([1e8, 1e12, 1e10], DTYPE)


def cheapest_pair(law, loss, demand):
    """Least cost over bits and sparsity, and those: a grid that closes in, golden section inside.

    From the formulas of the law, by powers: params follow from the loss, and tokens are searched.
    """
    centers, widths = (10.0, 0.49), (6.0, 0.48)
    for _ in range(8):
        axes = (c + w * np.linspace(-1, 1, 21) for c, w in zip(centers, widths, strict=True))
        bits, sparsity = np.meshgrid(*axes, indexing="ij")
        left = loss - law.E - law.c * (1 - sparsity) ** -law.exponent

        def cost(log_tokens, bits=bits, sparsity=sparsity, left=left):
            size = left - law.B * np.exp(log_tokens) ** -law.beta
            effective = (law.A / np.maximum(size, 1e-9)) ** (1 / law.alpha)
            active = effective / (1 - np.exp(law.n - bits / law.gamma)) * (1 - sparsity) * bits / 16
            return np.log(6 * np.exp(log_tokens) + 2 * demand) + np.log(active)

        low, high = np.full_like(bits, np.log(1e7)), np.full_like(bits, np.log(1e16))
        for _ in range(90):
            first, second = high - 0.618034 * (high - low), low + 0.618034 * (high - low)
            is_left = cost(first) < cost(second)
            low, high = np.where(is_left, low, first), np.where(is_left, second, high)
        costs = np.where(left > 0, cost((low + high) / 2), np.inf)
        best = np.unravel_index(np.argmin(costs), costs.shape)
        centers, widths = (bits[best], sparsity[best]), tuple(w / 4 for w in widths)
    return np.exp(costs[best]), *centers


def test_a_pair_of_levers_is_what_a_search_of_both_finds():
    law = cases()[OVER_TWO].law
    over = ("params", "tokens", "bits", "sparsity")
    plan = interpreted(js.minimize_cost, law, PAIR_LOSSES, js.Demand(PAIR_DEMANDS), over=over)
    lanes = zip(PAIR_LOSSES.tolist(), PAIR_DEMANDS.tolist(), strict=True)
    cost, bits, sparsity = np.transpose([cheapest_pair(law, *lane) for lane in lanes])
    np.testing.assert_array_equal(plan.status, Status.OK)
    assert_allclose(plan.total_cost, cost, rtol=1e-9 if X64 else 1e-4)
    # A cost is flat at its least: levers are known to about the root of its error.
    assert_allclose(plan.levers["bits"], bits, rtol=1e-4 if X64 else 1e-2)
    assert_allclose(plan.levers["sparsity"], sparsity, atol=1e-4 if X64 else 1e-2)


@needs_x64
def test_a_lever_at_the_end_of_its_range_is_said():
    law = js.laws.published("abnar2025")
    plan = interpreted(js.minimize_cost, law, 2.5, over=("params", "tokens", "sparsity"))
    assert plan.status == Status.AT_LEVER_END
    assert plan.ok
    assert plan.levers["sparsity"] == np.asarray(0.98, DTYPE)
    fixed = interpreted(js.minimize_cost, law, 2.5, levers={"sparsity": 0.98})
    assert_allclose(plan.total_cost, fixed.total_cost, rtol=1e-12 if X64 else 1e-5)


@needs_x64
@pytest.mark.thorough
def test_derivatives_of_the_joint_optimum():
    law = js.laws.published("krajewski2024")

    def numbers(loss, demand):
        plan = js.minimize_cost(
            law, loss, js.Demand(demand), over=("params", "tokens", "granularity")
        )
        return jnp.log(jnp.stack([plan.params, plan.tokens, plan.levers["granularity"]]))

    found = jax.jit(jax.jacfwd(lambda loss: numbers(loss, 1e11)))(3.0)
    low, high = (jax.jit(numbers)(loss, 1e11) for loss in (3.0 - 1e-5, 3.0 + 1e-5))
    assert_allclose(found, (high - low) / 2e-5, rtol=1e-5)


def test_levers_that_are_missing_unknown_or_given_twice_are_named():
    with pytest.raises(
        ValueError, match=r"Kumar needs levers={'bits': \.\.\.}, or 'bits' in `over`"
    ):
        js.minimize_cost(KUMAR, 3.0)
    with pytest.raises(ValueError, match="Kumar has no lever 'sparsity'; known: bits"):
        js.minimize_cost(KUMAR, 3.0, levers={"sparsity": 0.5, "bits": 8})
    with pytest.raises(ValueError, match="lever 'bits' is in `over` and has a value"):
        js.minimize_loss(KUMAR, 1e22, levers={"bits": 8}, over=OVER)
    with pytest.raises(ValueError, match="over must hold 'params' and 'tokens'"):
        js.minimize_loss(KUMAR, 1e22, over=("bits",))
    with pytest.raises(ValueError, match="Chinchilla has no lever 'bits'; known: none"):
        js.minimize_cost(js.laws.published("sardana2024"), 2.0, over=OVER)


@needs_x64
def test_repeated_data_has_the_published_optimum():
    # huggingface/datablations, README.md: 1e22 FLOPs and 25e9 unique tokens, on a grid of 500.
    law = js.laws.published("muennighoff2023_repeated")
    plan = interpreted(js.minimize_loss, law, 1e22, levers={"unique_tokens": 25e9})
    assert_allclose(plan.tokens, 2.37336955e11, rtol=0.005)
    assert_allclose(plan.params, 7.022364736e9, rtol=0.005)


def test_evaluate_gives_levers_back_and_counts_their_flops():
    plan = js.evaluate(KUMAR, 1e9, 1e11, js.Demand(1e10), levers={"bits": 8.0})
    assert plan.levers["bits"] == 8
    # Kumar et al. 2024: C = (6 / 16) N D P.
    assert_allclose(plan.train_cost, 6 / 16 * 1e9 * 1e11 * 8, rtol=1e-6)
    assert_allclose(plan.prefill_cost, 2 * 1e9 * 1e10 * 8 / 16, rtol=1e-6)


def test_the_edge_of_a_box_is_no_optimum_unless_the_range_ends_there():
    one = jnp.ones(2, DTYPE)
    # The objective falls beyond the upper edge, which ends the range of the second lane alone.
    envelope = levers._Envelope(
        (one, one), one, [-one], [(one, one, one)], (one, one, one), lambda _, __: one
    )
    at_edge = levers._Polish((one,), (0 * one,), one > 0, one < 0)
    ends = [0 * one], [jnp.asarray([0.5, 1.0], DTYPE)]
    after = levers._polished(at_edge, [-one], ends, envelope, one > 0)
    np.testing.assert_array_equal(after.is_done, [False, True])
    assert not after.goes_on.any()
