"""Moments, quantiles and histograms of a sweep against NumPy in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from numpy.testing import assert_allclose, assert_array_equal

from jaxscale.sweeping.chunks import Chunks
from jaxscale.sweeping.program import Form, Source, of_group
from jaxscale.sweeping.reducers import Histogram, Moments, Quantiles
from jaxscale.sweeping.reducers.protocol import Group
from solve.lanes import DTYPES
from sweeping.reduce_harness import SIZES, locate, lognormal, reduced, with_bad_lanes

# --- Moments ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_moments_are_those_of_numpy(rng, dtype):
    fields, good = with_bad_lanes(rng, lognormal(rng, dtype))
    found = reduced(Moments("x"), fields)
    assert (found.count, found.skipped) == (good.size, np.prod(SIZES) - good.size)
    assert (found.min, found.max) == (good.min(), good.max())
    rtol = 4 * np.finfo(dtype).eps
    assert_allclose(found.mean, good.mean(), rtol=rtol)
    assert_allclose(found.std, good.std(), rtol=rtol)


@pytest.mark.parametrize("scale", [1e-30, 1e24, 1e38])
def test_squares_of_float32_neither_overflow_nor_vanish(rng, scale):
    values = rng.uniform(-1, 1, 500) * scale
    values = values.astype(np.float32)
    found, exact = reduced(Moments("x"), {"x": values}), values.astype(np.float64)
    assert_allclose(found.std, exact.std(), rtol=1e-6)
    assert_allclose(found.mean, exact.mean(), rtol=0, atol=1e-6 * abs(exact).mean())


def test_moments_span_sixty_decades_of_float32(rng):
    values = (10 ** rng.uniform(-30, 30, 500) * rng.choice([-1, 1], 500)).astype(np.float32)
    found, exact = reduced(Moments("x"), {"x": values}), values.astype(np.float64)
    assert_allclose(found.mean, exact.mean(), rtol=0, atol=1e-6 * abs(exact).mean())
    assert_allclose(found.std, exact.std(), rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, -3e30])
def test_a_constant_field_has_no_deviation(value):
    values = np.full(500, value, np.float32)
    found = reduced(Moments("x"), {"x": values})
    moments = (found.mean, found.std, found.min, found.max)
    assert moments == (float(values[0]), 0.0, float(values[0]), float(values[0]))


def test_small_deviations_from_a_large_mean_are_kept(rng):
    values = (1e6 + rng.normal(0, 1, 500)).astype(np.float32)
    found, exact = reduced(Moments("x"), {"x": values}), values.astype(np.float64)
    assert_allclose(found.std, exact.std(), rtol=1e-6)


@pytest.mark.parametrize("first", [np.nan, 0.0])
@pytest.mark.parametrize("shift", [0.0, 4096.0])
def test_chunks_that_say_nothing_of_the_others_do_no_harm(rng, first, shift):
    values = (shift + rng.uniform(1, 2, 500) * (1 if shift else 1e-25)).astype(np.float32)
    values[:50] = first  # all that is known of the others
    found = reduced(Moments("x"), {"x": values})
    good = values[np.isfinite(values)].astype(np.float64)
    assert_allclose(found.std, good.std(), rtol=1e-6)
    assert_allclose(found.mean, good.mean(), rtol=1e-6)


def test_one_number_as_large_as_the_dtype_allows_does_no_harm(rng):
    values = rng.uniform(1, 2, 50_000).astype(np.float32)
    values[30_000] = np.finfo(np.float32).max
    found = reduced(Moments("x"), {"x": values}, chunk=10_000)
    exact = values.astype(np.float64)
    assert_allclose((found.mean, found.std), (exact.mean(), exact.std()), rtol=1e-6)


def test_mean_of_a_hundred_million_float32_is_right_to_rounding():
    """Values 0.1 + j / 1024 in turn: the sum in float32 alone would stop at 2^24 of them."""
    length, count = 2**16, 2**11
    group = Group(Chunks((length * count,), (length,)), ("a",), count)
    reducer, pattern = Moments("x"), np.float32(0.1) + np.arange(7, dtype=np.float32) / 1024

    def evaluate(start):
        number = start[0] + lax.iota(jnp.int32, length)
        return {"x": jnp.float32(0.1) + (number % 7).astype(jnp.float32) / 1024}, {}

    starts = group.chunks.starts(np.arange(count))
    extents = np.full((count, 1), length, np.int32)
    run = jax.jit(
        partial(of_group, (reducer,), group, Source(evaluate, ("a",), {}), (), Form.COLUMNS)
    )
    total = None
    for _ in range(2):  # the first time without knowing the mean
        known = {name: np.float32(x) for name, x in reducer.known(total, np.float32).items()}
        _, parts, _ = jax.device_get(run([known], starts.astype(np.int32), extents))
        total = reducer.total({name: x for (_, name), x in parts.items()}, known, starts, group)
        found = reducer.result(total, locate)
        whole, rest = divmod(length * count, 7)
        exact = pattern.astype(np.float64)
        mean = (whole * exact.sum() + exact[:rest].sum()) / (length * count)
        assert found.count == length * count
        assert_allclose(found.mean, mean, rtol=1e-6)
    assert_allclose(found.mean, mean, rtol=1e-8)
    assert_allclose(found.std, exact.std(), rtol=1e-6)


# --- Quantiles -------------------------------------------------------------------------------

LEVELS = (0.0, 0.001, 0.05, 0.3, 0.5, 0.77, 0.95, 0.999, 1.0)


def assert_near_order_statistics(found, good, relative_error):
    """Within the stated error of the value of the rank, on one side of it or the other."""
    ordered = np.sort(good)
    ranks = np.array(found.levels) * (good.size - 1)
    exact = ordered[[np.floor(ranks).astype(int), np.ceil(ranks).astype(int)]]
    # The bound is attained at the ends of a bucket, to rounding.
    error = abs(found.values - exact).min(axis=0)
    assert (error <= relative_error * (1 + 1e-12) * abs(exact).max(axis=0)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("relative_error", [0.3, 0.01, 0.001])
def test_quantiles_are_order_statistics_within_the_error(rng, dtype, relative_error):
    widest = 37 if dtype is np.float32 else 300
    values = 10 ** rng.uniform(-widest, widest, 700) * rng.choice([-1, 1], 700)
    values[::13] = 0
    fields, good = with_bad_lanes(rng, values.astype(dtype))
    found = reduced(Quantiles("x", LEVELS, relative_error), fields)
    assert (found.count, found.skipped) == (good.size, 700 - good.size)
    assert_near_order_statistics(found, good, relative_error)


def test_quantiles_of_ordinary_values_rise(rng):
    values = rng.normal(10, 3, 1000).astype(np.float32)
    found = reduced(Quantiles("x", LEVELS), {"x": values})
    assert_near_order_statistics(found, values.astype(np.float64), 0.01)
    assert (np.diff(found.values) >= 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_quantiles_hold_at_the_ends_of_the_dtype(dtype):
    limits = np.finfo(dtype)
    values = np.array([-limits.max, -limits.tiny, 0, limits.tiny, limits.max], dtype)
    found = reduced(Quantiles("x", (0, 0.25, 0.5, 0.75, 1)), {"x": values})
    assert_allclose(found.values, values.astype(np.float64), rtol=0.01)


# --- Histogram -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_histogram_is_that_of_numpy(rng, dtype):
    fields, good = with_bad_lanes(rng, rng.uniform(-2, 3, SIZES).astype(dtype))
    edges = np.linspace(-1, 2, 14)
    found = reduced(Histogram("x", edges), fields)
    assert_array_equal(found.counts, np.histogram(good, edges)[0])
    assert (found.below, found.above) == ((good < -1).sum(), (good > 2).sum())
    assert (found.count, found.skipped) == (good.size, np.prod(SIZES) - good.size)


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_on_an_edge_belong_above_it_and_on_the_last_below_it(dtype):
    # No float32 is 0.1 or 0.3; those next to them are told apart all the same.
    edges = (-1.0, 0.0, 0.1, 0.1 + 1e-12, 0.3)
    at = np.array(edges, dtype)
    values = np.concatenate([at, np.nextafter(at, dtype(9)), np.nextafter(at, dtype(-9))])
    values = values[(abs(values) >= np.finfo(dtype).tiny) | (values == 0)]
    found = reduced(Histogram("x", edges), {"x": values})
    exact = values.astype(np.float64)
    assert_array_equal(found.counts, np.histogram(exact, edges)[0])
    assert (found.below, found.above) == ((exact < -1).sum(), (exact > 0.3).sum())


def test_a_last_edge_at_zero_holds_zero():
    found = reduced(Histogram("x", (-1, -0.5, 0)), {"x": np.array([-0.7, 0.0, 1.0], np.float32)})
    assert_array_equal(found.counts, [1, 1])
