"""Time on devices and devices for a time: shapes, derivatives, inverses and bad values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js

LAW = js.laws.published("sardana2024")
H100 = js.accelerator("H100-SXM")
DAY = 86400.0
CLOSE = 1e-12 if jax.config.read("jax_enable_x64") else 2e-5


def test_count_and_time_are_inverse():
    plan = js.evaluate(LAW, np.array([1e9, 7e9, 70e9]), 2e12)
    seconds = np.array([[1.0], [30.0], [365.0]]) * DAY
    count = js.devices_for(plan, H100, seconds, 0.4, goodput=0.9)
    assert count.shape == (3, 3)
    found = js.training_time(plan, H100, count, 0.4, goodput=0.9)
    assert_allclose(found, np.broadcast_to(seconds, (3, 3)), rtol=CLOSE)


def test_time_is_flops_over_rate():
    plan = js.evaluate(LAW, 7e9, 2e12)
    at_int8 = js.training_time(plan, H100, 64, 0.4, precision="int8", goodput=0.5)
    assert_allclose(at_int8, 6 * 7e9 * 2e12 / (64 * 1.979e15 * 0.4 * 0.5), rtol=CLOSE)
    by_flops = js.training_time(6 * 7e9 * 2e12, H100, 64, 0.4, precision="int8", goodput=0.5)
    assert_allclose(at_int8, by_flops, rtol=CLOSE)


def test_devices_may_be_batched_and_traced():
    def seconds(peak):
        device = js.accelerator("H100-SXM", peak_flops={"bf16": peak})
        return js.training_time(js.evaluate(LAW, 7e9, 2e12), device, 64, 0.4)

    peaks = np.array([1e15, 2e15])
    assert_allclose(jax.jit(seconds)(peaks), seconds(peaks), rtol=CLOSE)
    assert_allclose(jax.grad(seconds)(1e15), -seconds(1e15) / 1e15, rtol=CLOSE)


def test_a_bad_lane_is_nan_and_leaves_the_others_their_gradients():
    mfu = np.array([0.4, 0.0, 1.1, -1.0, np.nan, 0.4])
    loss = np.array([2.0, 2.0, 2.0, 2.0, 2.0, 1.5])  # below E

    def seconds_of(loss, mfu):
        return js.training_time(js.minimize_cost(LAW, loss), H100, 64, mfu)

    seconds = seconds_of(loss, mfu)
    assert_array_equal(np.isfinite(seconds), [True] + 5 * [False])
    by_loss, by_mfu = jax.grad(lambda *x: jnp.nansum(seconds_of(*x)), (0, 1))(loss, mfu)
    assert_array_equal(by_loss[1:], 0)
    assert_array_equal(by_mfu[1:], 0)
    assert by_loss[0] < 0
    assert_allclose(by_mfu[0], -seconds[0] / 0.4, rtol=CLOSE)


@pytest.mark.parametrize("count", [0, -1, np.inf, np.nan])
def test_no_count_is_no_time(count):
    assert np.isnan(js.training_time(js.evaluate(LAW, 7e9, 2e12), H100, count, 0.4))


def test_a_law_that_counts_its_own_flops_needs_them_given():
    law = js.laws.published("kumar2024")
    plan = js.evaluate(law, 1e9, 1e11, levers={"bits": 8.0})
    with pytest.raises(ValueError, match=r"levers \(bits\).*plan.train_cost / costs.train"):
        js.training_time(plan, H100, 64, 0.4)
    found = js.training_time(plan.train_cost, H100, 64, 0.4)
    assert_allclose(
        found, 0.5 * js.training_time(js.evaluate(LAW, 1e9, 1e11), H100, 64, 0.4), CLOSE
    )


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (("H100-SXM", 64, 0.4), {}, TypeError, "accelerator must be an Accelerator"),
        ((H100, 64, 0.4), {"precision": "fp4"}, ValueError, "H100-SXM has no peak"),
        ((H100, 64, 0.4), {"precision": 16}, TypeError, "precision must be a string"),
        ((H100, "64", 0.4), {}, TypeError, "count must be a real number"),
        ((H100, np.ones(2), np.ones(3)), {}, ValueError, "shapes do not broadcast"),
    ],
)
def test_wrong_structure_is_an_error_that_names_it(arguments, options, error, message):
    with pytest.raises(error, match=message):
        js.training_time(js.evaluate(LAW, 7e9, 2e12), *arguments, **options)
