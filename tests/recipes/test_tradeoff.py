"""Time against compute: the hyperbola, its ends, and steps by loss and size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale import recipes
from jaxscale.laws import kaplan

X64 = jax.config.read("jax_enable_x64")
CLOSE = 1e-12 if X64 else 2e-5
LEAST, CRITICAL = 1e4, 3e6
BATCH = np.geomspace(1e4, 1e9, 11)


def test_steps_and_tokens_lie_on_the_hyperbola():
    found = recipes.time_and_compute(LEAST, CRITICAL, BATCH)
    more_steps, more_tokens = found.steps / LEAST - 1, found.tokens / (CRITICAL * LEAST) - 1
    # At either end one of the two is 1 + a small number.
    assert_allclose(more_steps * more_tokens, 1, rtol=1e-9 if X64 else 0.1)
    assert_allclose(found.tokens, found.batch_tokens * found.steps, rtol=CLOSE)


def test_critical_batch_takes_twice_the_least_of_both():
    found = recipes.time_and_compute(LEAST, CRITICAL, CRITICAL)
    assert_allclose(found.steps, 2 * LEAST, rtol=CLOSE)
    assert_allclose(found.tokens, 2 * LEAST * CRITICAL, rtol=CLOSE)


def test_conversions_of_kaplan_et_al_lead_back():
    found = recipes.time_and_compute(LEAST, CRITICAL, BATCH)
    steps = kaplan.minimum_steps(found.steps, BATCH, CRITICAL)
    tokens = kaplan.minimum_compute(found.tokens, BATCH, CRITICAL)
    assert_allclose(steps, np.full(BATCH.shape, LEAST), rtol=CLOSE)
    assert_allclose(tokens, np.full(BATCH.shape, LEAST * CRITICAL), rtol=CLOSE)


def test_time_of_fixed_throughput_is_least_at_small_batches_and_of_fixed_steps_at_large_ones():
    per_second = 1e6
    throughput = recipes.time_and_compute(LEAST, CRITICAL, BATCH, BATCH / per_second)
    assert_allclose(throughput.seconds, throughput.tokens / per_second, rtol=CLOSE)
    assert np.all(np.diff(throughput.seconds) > 0)
    fixed = recipes.time_and_compute(LEAST, CRITICAL, BATCH, 2.0)
    assert_allclose(fixed.seconds, 2 * fixed.steps, rtol=CLOSE)
    assert np.all(np.diff(fixed.seconds) < 0)


def test_without_a_time_for_a_step_only_seconds_are_unknown():
    found = recipes.time_and_compute(LEAST, CRITICAL, BATCH)
    assert np.all(np.isnan(found.seconds))
    assert np.all(np.isfinite(found.tokens))


def test_relative_time_and_compute_are_one_and_a_ratio_of_batches():
    found = recipes.time_and_compute(LEAST, CRITICAL, BATCH)
    assert_allclose(found.relative_time, 1 + CRITICAL / BATCH, rtol=CLOSE)
    assert_allclose(found.relative_compute, 1 + BATCH / CRITICAL, rtol=CLOSE)


def test_derivatives_by_the_batch_are_those_of_the_formula():
    by_batch = jax.jacfwd(lambda b: recipes.time_and_compute(LEAST, CRITICAL, b))
    batch, steps, tokens, *_ = jax.jit(jax.vmap(by_batch))(BATCH)
    assert_allclose(batch, np.ones_like(BATCH))
    assert_allclose(steps, -LEAST * CRITICAL / BATCH**2, rtol=CLOSE)
    assert_allclose(tokens, np.full(BATCH.shape, LEAST), rtol=CLOSE)


def numbers(x):
    found = recipes.time_and_compute(x[0], x[1], x[2], x[3])
    return found.steps + found.tokens + found.seconds


def test_bad_number_gives_nan_with_zero_derivatives():
    good = np.array([LEAST, CRITICAL, 1e6, 0.5])
    lanes = [
        np.where(np.arange(4) == place, bad, good)
        for place in range(4)
        for bad in (0.0, -1.0, np.inf, np.nan)
    ]
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(numbers)))(np.array(lanes))
    assert np.all(np.isnan(values))
    # Steps and tokens know nothing of the time for a step.
    assert not np.any(slopes[:12])
    assert np.all(np.isfinite(slopes[12:]))
    assert not np.any(slopes[12:, 3])


def test_everything_broadcasts():
    found = recipes.time_and_compute(np.ones((2, 1)), CRITICAL, BATCH, np.ones((3, 1, 1)))
    assert found.steps.shape == found.tokens.shape == (2, 11)
    assert found.seconds.shape == (3, 2, 11)


@pytest.mark.parametrize("params", [1e8, 1e9, 7e10])
def test_steps_by_loss_invert_loss_by_steps(params):
    steps = np.geomspace(1e3, 1e6, 7)
    loss = kaplan.LOSS_OF_STEPS.loss(params, steps)
    # In float32 the loss less its floor has lost three digits.
    assert_allclose(recipes.steps_for(loss, params), steps, rtol=1e-10 if X64 else 0.02)


def test_derivative_of_steps_is_one_over_that_of_the_loss():
    steps = 2e4
    loss, slope = jax.value_and_grad(lambda s: kaplan.LOSS_OF_STEPS.loss(1e9, s))(steps)
    found = jax.grad(recipes.steps_for)(loss, 1e9)
    assert_allclose(found, 1 / slope, rtol=1e-9 if X64 else 1e-2)


def test_no_number_of_steps_reaches_a_loss_below_that_of_the_size():
    floor = float(kaplan.KaplanPower(6.5e13, 0.077).loss(1e9))
    losses = np.array([0.9 * floor, 1.1 * floor, -1.0, np.nan, np.inf])
    found = recipes.steps_for(losses, 1e9)
    assert_array_equal(np.isnan(found), [True, False, True, True, True])
    slopes = jax.grad(lambda x: jnp.nansum(recipes.steps_for(x, 1e9)))(losses)
    assert slopes[1] < 0
    assert not np.any(np.delete(slopes, 1))


def test_trade_off_of_a_plan_starts_from_its_loss_and_size():
    runs = js.Runs(np.array([[1e9], [1e10]]), 1.0, np.array([[2.8], [2.5]]))
    found = recipes.batch_tradeoff(runs, BATCH, 3.0)
    critical = 2.1e8 / runs.loss ** (1 / 0.21)
    least = 2.1e3 / (runs.loss - (6.5e13 / runs.params) ** 0.077) ** (1 / 0.76)
    assert_allclose(found.steps, least * (1 + critical / BATCH), rtol=1e-10 if X64 else 1e-3)
    assert_allclose(
        found.tokens, least * critical * (1 + BATCH / critical), rtol=1e-10 if X64 else 1e-3
    )
    assert_allclose(found.seconds, 3 * found.steps, rtol=CLOSE)


def test_tokens_of_a_plan_suffice_at_the_critical_batch():
    """2.1e8 / L^(1 / 0.21) tokens, Kaplan et al. 2020, eq. 1.4."""
    runs = js.Runs(1e9, np.array([2e10, 1e12]), np.array([3.0, 2.0]))
    shares = np.array([[0.25], [1.0], [4.0]])
    found = recipes.critical_tradeoff(runs, shares)
    assert_allclose(found.batch_tokens, shares * 2.1e8 / runs.loss ** (1 / 0.21), rtol=CLOSE)
    assert_allclose(
        np.asarray(found.tokens) / runs.tokens, [[0.625] * 2, [1] * 2, [2.5] * 2], rtol=CLOSE
    )
    assert_allclose(found.steps * found.batch_tokens, found.tokens, rtol=CLOSE)


def test_plan_without_tokens_or_loss_has_no_critical_tradeoff():
    def steps(tokens, loss):
        return recipes.critical_tradeoff(js.Runs(1e9, tokens, loss), 2.0).steps

    bad = np.array([-1.0, 0.0, np.nan, 1e10, 1e10]), np.array([2.0, 2.0, 2.0, -1.0, np.nan])
    values, slopes = jax.vmap(jax.value_and_grad(steps, argnums=(0, 1)))(*bad)
    assert np.all(np.isnan(values))
    assert not np.any(slopes)
