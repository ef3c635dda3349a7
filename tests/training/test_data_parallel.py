"""Data parallelism against the formulas with steps, its inverse, its limit and its statuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale import training
from jaxscale.recipes import time_and_compute

CLOSE = 1e-12 if jax.config.read("jax_enable_x64") else 2e-5
LAW = js.laws.published("sardana2024")
H100 = js.accelerator("H100-SXM")
RATE = 989e12 * 0.4
PARAMS, STEPS, CRITICAL, EACH = 70e9, 1e6, 8e6, 2475.0
PLAN = js.evaluate(LAW, PARAMS, 2 * STEPS * CRITICAL)  # at the critical batch
LEAST = 6 * PARAMS * STEPS * EACH / RATE  # seconds, with ever more devices
OPTIONS = {"mfu": 0.4, "critical_batch": CRITICAL, "tokens_per_device": EACH}


def test_time_is_steps_times_the_time_of_a_step():
    count = np.array([1.0, 1000.0, 1e5])
    found = training.data_parallel_time(PLAN, H100, count, **OPTIONS)
    batch = count * EACH
    steps = time_and_compute(STEPS, CRITICAL, batch, seconds_per_step=6 * PARAMS * EACH / RATE)
    assert_allclose(found.seconds, steps.seconds, rtol=CLOSE)
    assert_allclose(found.relative_compute, steps.relative_compute, rtol=CLOSE)
    assert_allclose(found.batch_tokens, batch, rtol=CLOSE)
    assert_allclose(found.least_seconds, np.full(3, LEAST), rtol=CLOSE)
    assert_array_equal(found.status, js.Status.OK)


def test_devices_for_a_deadline_are_those_of_the_formula_and_take_that_long():
    seconds = LEAST * np.array([1.5, 2.0, 10.0])
    found = training.data_parallel_devices(PLAN, H100, seconds, **OPTIONS)
    assert_allclose(
        found.count, CRITICAL / (seconds * RATE / (6 * PARAMS * STEPS) - EACH), rtol=10 * CLOSE
    )
    assert_allclose(found.seconds, seconds, rtol=CLOSE)
    back = training.data_parallel_time(PLAN, H100, found.count, **OPTIONS)
    assert_allclose(back.seconds, seconds, rtol=CLOSE)


def test_at_the_critical_batch_it_takes_as_long_as_the_plan_says():
    count = training.most_devices(CRITICAL, EACH)
    found = training.data_parallel_time(PLAN, H100, count, **OPTIONS)
    assert_allclose(found.seconds, js.training_time(PLAN, H100, count, 0.4), rtol=CLOSE)
    assert_allclose(found.seconds, 2 * found.least_seconds, rtol=CLOSE)


def test_a_deadline_below_the_least_time_is_infeasible_and_its_neighbours_are_not():
    seconds = LEAST * np.array([2.0, 0.999, 1e-3])
    found = training.data_parallel_devices(PLAN, H100, seconds, **OPTIONS)
    infeasible = js.Status.INFEASIBLE_BOUNDS
    assert_array_equal(found.status, [js.Status.OK, infeasible, infeasible])
    assert_array_equal(np.isnan(found.count), [False, True, True])
    assert_allclose(found.least_seconds, np.full(3, LEAST), rtol=CLOSE)  # what would be feasible

    def total(seconds):
        return jnp.nansum(training.data_parallel_devices(PLAN, H100, seconds, **OPTIONS).count)

    slope = jax.grad(total)(seconds)
    # count = B / b / (T / least - 1), differentiated at T = 2 least.
    assert_allclose(slope, [-CRITICAL / EACH / LEAST, 0, 0], rtol=10 * CLOSE)


@pytest.mark.parametrize(
    "change",
    [
        {"count": 0.0},
        {"mfu": 1.5},
        {"goodput": 0.0},
        {"critical_batch": -1.0},
        {"tokens_per_device": np.nan},
    ],
)
def test_a_bad_value_is_invalid_input(change):
    found = training.data_parallel_time(PLAN, H100, **{"count": 64.0, **OPTIONS, **change})
    assert found.status == js.Status.INVALID_INPUT
    assert all(np.isnan(x) for x in found[:-1])


def test_a_plan_that_is_not_ok_keeps_its_status():
    plan = js.minimize_cost(LAW, np.array([2.0, 1.5]))
    found = training.data_parallel_time(plan, H100, 64, **OPTIONS)
    assert_array_equal(found.status, [js.Status.OK, js.Status.INFEASIBLE_LOSS])
    assert_array_equal(np.isnan(found.seconds), [False, True])


def test_a_result_beyond_the_dtype_is_out_of_range():
    huge = 1e30 if not jax.config.jax_enable_x64 else 1e300
    found = training.data_parallel_time(PLAN, H100, huge, **{**OPTIONS, "tokens_per_device": huge})
    assert found.status == js.Status.OUT_OF_RANGE
    assert np.isnan(found.seconds)


def test_all_arguments_broadcast_under_jit_and_vmap():
    def devices(seconds, critical):
        options = {**OPTIONS, "critical_batch": critical}
        return training.data_parallel_devices(PLAN, H100, seconds, **options).count

    seconds, critical = LEAST * np.array([2.0, 3.0, 4.0]), np.array([[4e6], [8e6]])
    together = devices(seconds, critical)
    assert together.shape == (2, 3)
    apart = jax.jit(jax.vmap(devices, (None, 0)))(seconds, critical[:, 0])
    assert_allclose(apart, together, rtol=CLOSE)
