"""Checkpoint intervals against mpmath, and goodput against the slowdown that it inverts."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale import economics
from jaxscale.economics import checkpoint_interval

X64 = jax.config.read("jax_enable_x64")
DTYPE = np.float64 if X64 else np.float32
EPS = float(np.finfo(DTYPE).eps)


def exact(failure, checkpoint, restart):
    """Interval and slowdown by Lambert's W, at the inputs as rounded, to 50 digits."""
    with mpmath.workdps(50):
        m, delta, rest = (mpmath.mpf(float(x)) for x in (failure, checkpoint, restart))
        w = mpmath.lambertw(-(mpmath.e ** (-1 - delta / m))).real
        tau = m * (1 + w)
        slowdown = m * mpmath.e ** (rest / m) * mpmath.expm1((tau + delta) / m) / tau
        return float(tau), float(slowdown)


@pytest.mark.parametrize("mean", [1.0, 11135.0835])
def test_the_interval_is_exact_for_checkpoints_from_1e_12_to_10_failure_times(mean):
    checkpoint = (np.geomspace(1e-12, 10, 60) * mean).astype(DTYPE)
    failure, restart = DTYPE(mean), DTYPE(0.3 * mean)
    found = checkpoint_interval(failure, checkpoint, restart)
    interval, slowdown = np.transpose([exact(failure, x, restart) for x in checkpoint])
    # Half of each rounding of an input, and a few of the exponentials.
    assert_allclose(found.interval, interval, rtol=4 * EPS)
    log_slowdown = np.log(slowdown).max()
    assert_allclose(found.slowdown, slowdown, rtol=(4 + 2 * log_slowdown) * EPS)


@pytest.mark.parametrize("numbers", [(10800.0, 30.0, 600.0), (3600.0, 7000.0, 0.0)])
def test_no_other_interval_loses_less_time(numbers):
    """By the expected time itself, in float64."""
    failure, checkpoint, restart = numbers

    def slowdown(interval):
        both = (interval + checkpoint) / failure
        return failure * np.exp(restart / failure) * np.expm1(both) / interval

    found = checkpoint_interval(*numbers)
    for name in ("interval", "young_interval", "daly_interval"):
        expected = slowdown(np.float64(getattr(found, name)))
        field = name.replace("interval", "slowdown")
        assert_allclose(getattr(found, field), expected, rtol=20 * EPS)
    others = slowdown(np.float64(found.interval) * np.geomspace(0.1, 10, 2001))
    assert (others >= found.slowdown * (1 - 20 * EPS)).all()
    assert others.argmin() == 1000


def test_young_and_daly_are_their_formulas():
    failure, checkpoint = 10800.0, np.array([30.0, 3000.0, 21599.0, 21601.0])
    found = checkpoint_interval(failure, checkpoint)
    young = np.sqrt(2 * checkpoint * failure)
    root = np.sqrt(checkpoint / (2 * failure))
    daly = np.where(
        checkpoint < 2 * failure, young * (1 + root / 3 + root**2 / 9) - checkpoint, failure
    )
    assert_allclose(found.young_interval, young, rtol=4 * EPS)
    assert_allclose(found.daly_interval, daly, rtol=20 * EPS)


@pytest.mark.skipif(not X64, reason="differences need float64")
@pytest.mark.parametrize("field", economics.Checkpointing._fields)
def test_derivatives_are_central_differences(field):
    def value(numbers):
        return getattr(checkpoint_interval(*numbers), field)

    at = jnp.array([11135.0835, 120.0, 900.0])
    slopes = jax.grad(value)(at)
    for index, slope in enumerate(slopes):
        step = jnp.zeros(3).at[index].set(1e-5 * at[index])
        difference = (value(at + step) - value(at - step)) / (2 * step[index])
        assert_allclose(slope, difference, rtol=1e-7, atol=1e-12)
    jacobian = jax.jacfwd(jax.grad(value))(at)
    assert_allclose(jacobian, jacobian.T, rtol=1e-9, atol=1e-15)


@pytest.mark.skipif(not X64, reason="differences need float64")
def test_second_derivatives_hold_where_checkpoints_are_short():
    def interval(checkpoint):
        return checkpoint_interval(1.0, checkpoint).interval

    # tau = sqrt(2 delta) - 2 delta / 3 + ..., so its second derivative is -(2 delta)^(-3/2).
    for delta in (1e-10, 1e-8):
        assert_allclose(jax.grad(interval)(delta), 1 / np.sqrt(2 * delta) - 2 / 3, rtol=1e-7)
        assert_allclose(jax.grad(jax.grad(interval))(delta), -((2 * delta) ** -1.5), rtol=1e-4)


def test_goodput_is_one_over_the_slowdown_of_the_cluster():
    devices = np.array([[1.0], [1024.0], [16384.0]])
    checkpoint = np.array([10.0, 120.0])
    failure = economics.LLAMA_3_FAILURE_SECONDS
    found = economics.goodput(devices, failure, checkpoint, 900.0)
    assert found.shape == (3, 2)
    expected = checkpoint_interval(failure / devices, checkpoint, 900.0)
    assert_allclose(found, expected.goodput, rtol=10 * EPS)
    assert (np.diff(found, axis=0) < 0).all()


def test_goodput_feeds_the_time_of_a_training():
    plan = js.evaluate(js.laws.published("sardana2024"), 405e9, 15.6e12)
    share = economics.goodput(16384, economics.LLAMA_3_FAILURE_SECONDS, 120, 900)
    h100 = js.accelerator("H100-SXM")
    found = js.training_time(plan, h100, 16384, 0.38, goodput=share)
    assert_allclose(found, js.training_time(plan, h100, 16384, 0.38) / share, rtol=20 * EPS)


@pytest.mark.parametrize(
    ("failure", "checkpoint", "restart"),
    [
        (0.0, 60.0, 0.0),
        (-1.0, 60.0, 0.0),
        (np.inf, 60.0, 0.0),
        (3600.0, 0.0, 0.0),
        (3600.0, np.nan, 0.0),
        (3600.0, 60.0, -1.0),
        (1e-30, 1e30, 0.0),
        (1e-30, 1.0, 1e30),
    ],
)
def test_a_bad_value_is_nan_and_leaves_its_neighbour_alone(failure, checkpoint, restart):
    good = (3600.0, 60.0, 600.0)
    numbers = [np.array(pair) for pair in zip((failure, checkpoint, restart), good, strict=True)]

    def total(*numbers):
        return sum(jnp.nansum(x) for x in checkpoint_interval(*numbers))

    found = checkpoint_interval(*numbers)
    assert np.isnan([x[0] for x in found[1::2]]).all()
    assert_array_equal([x[1] for x in found], checkpoint_interval(*good))
    slopes = jax.grad(total, argnums=(0, 1, 2))(*map(jnp.asarray, numbers))
    expected = jax.grad(total, argnums=(0, 1, 2))(*good)
    assert_allclose([x[1] for x in slopes], expected, rtol=1e-5)
    assert np.isfinite(slopes).all()
    share = economics.goodput(np.array([2.0, 2.0]), *numbers)
    assert_array_equal(np.isnan(share), [True, False])


def test_two_negative_numbers_are_no_rate():
    assert np.isnan(economics.goodput(-8, -1e9, 60))


def test_shapes_that_do_not_broadcast_raise():
    with pytest.raises(ValueError, match="do not broadcast"):
        checkpoint_interval(np.ones(2), np.ones(3))
    with pytest.raises(TypeError, match="checkpoint_seconds must be a real number"):
        checkpoint_interval(3600.0, "2min")


def test_it_works_under_jit_and_vmap():
    checkpoint = np.array([10.0, 60.0, 600.0])
    together = checkpoint_interval(3600.0, checkpoint, 60.0)
    apart = jax.jit(jax.vmap(lambda x: checkpoint_interval(3600.0, x, 60.0)))(checkpoint)
    assert_allclose(apart, together, rtol=4 * EPS)
