"""Extremes, the best k and main effects of a sweep: what knows where a scenario lies."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from jaxscale.status import is_ok
from jaxscale.sweeping.chunks import Chunks
from jaxscale.sweeping.reducers import Extremes, MainEffects, TopK
from jaxscale.sweeping.reducers.protocol import Group, numbers
from solve.lanes import DTYPES
from sweeping.reduce_harness import (
    SIZES,
    lognormal,
    merged,
    reduced,
    result_of,
    totals_of,
    with_bad_lanes,
)

# --- Extremes and the best k -----------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 50, 1000])
def test_extremes_are_the_first_scenarios_that_attain_them(rng, chunk):
    values = rng.integers(-3, 4, SIZES).astype(np.float32)
    values[0, 0] = np.nan
    found = reduced(Extremes("x"), {"x": values}, chunk=chunk, count=60)
    assert (found.min, found.max) == (-3, 3)
    assert found.min_at == {"scenario": np.nanargmin(values)}
    assert found.max_at == {"scenario": np.nanargmax(values)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("chunk", "k", "lowest"), [(7, 3, False), (50, 1, True), (50, 64, False), (462, 3, True)]
)
def test_top_k_is_that_of_a_stable_sort(rng, dtype, chunk, k, lowest):
    # Few distinct values, so that there are ties within chunks and across them.
    fields, _ = with_bad_lanes(rng, rng.integers(0, 60, SIZES).astype(dtype))
    status, values = fields["status"].reshape(-1), fields["x"].reshape(-1).astype(np.float64)
    numbers = np.flatnonzero(np.asarray(is_ok(status)) & np.isfinite(values))
    keys = values[numbers] if lowest else -values[numbers]
    best = numbers[np.argsort(keys, kind="stable")][:k]
    top = TopK("x", k, lowest)
    total = merged(top, totals_of(top, fields, chunk=chunk, count=20), rng)
    found = result_of(top, total, fields, chunk=chunk)
    assert_array_equal(found.values, values[best])
    assert [each["scenario"] for each in found.at] == best.tolist()


def test_top_k_gives_all_there_are_when_there_are_fewer():
    values = np.array([3.0, np.nan, 1.0, 2.0], np.float32)
    found = reduced(TopK("x"), {"x": values})
    assert_array_equal(found.values, [3, 2, 1])
    assert [each["scenario"] for each in found.at] == [0, 3, 2]


def test_scenario_numbers_go_beyond_what_32_bits_hold():
    chunks = Chunks((10**5, 10**5, 10**5), (1, 1, 60_000))
    last = chunks.starts(np.array([chunks.count - 1]))
    group = Group(chunks, ("a", "b", "c"), 1)
    # The last chunk starts at 60,000 and reaches beyond the axis.
    assert numbers(last, np.array([0]), np.array([39_999]), group).tolist() == [10**15 - 1]


# --- Main effects ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("chunk", [3, 50])
def test_main_effects_are_means_over_the_other_axes(rng, dtype, chunk):
    values = lognormal(rng, dtype)
    values[rng.random(SIZES) < 0.2] = np.nan
    values[:, 3] = np.nan  # no scenario counts along a whole value of an axis
    found = reduced(MainEffects("x"), {"x": values}, chunk=chunk, count=40)
    exact, good = values.astype(np.float64), np.isfinite(values)
    assert_allclose(found.variance, np.nanvar(exact), rtol=1e-5)
    for axis, name in enumerate("abc"):
        others = tuple({0, 1, 2} - {axis})
        counts, sums = good.sum(others), np.nansum(exact, others)
        assert_array_equal(found.counts[name], counts)
        means = np.divide(sums, counts, where=counts > 0, out=np.full(counts.shape, np.nan))
        assert_allclose(found.effects[name], means, rtol=8 * np.finfo(dtype).eps)
        spread = np.nansum(counts * (means - np.nanmean(exact)) ** 2) / good.sum()
        assert_allclose(found.indices[name], spread / np.nanvar(exact), rtol=1e-5)


def test_indices_of_an_additive_function_are_its_shares_of_variance():
    a, b = np.linspace(-1, 1, 40)[:, None], np.linspace(0, 3, 50)
    found = reduced(MainEffects("x"), {"x": (2 * a + b * b).astype(np.float32)})
    parts = np.array([np.var(2 * a), np.var(b * b)])
    assert_allclose(list(found.indices.values()), parts / parts.sum(), rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1e37])
def test_main_effects_of_float32_neither_overflow_nor_vanish(rng, scale):
    values = (rng.uniform(1, 9, (40, 50)) * scale).astype(np.float32)
    found = reduced(MainEffects("x"), {"x": values})
    assert_allclose(found.effects["a"], values.mean(1, np.float64), rtol=1e-6)
    assert_allclose(found.effects["b"], values.mean(0, np.float64), rtol=1e-6)


def test_a_field_that_does_not_vary_has_no_indices():
    found = reduced(MainEffects("x"), {"x": np.full((40, 50), 0.1, np.float32)})
    assert found.variance == 0
    assert np.isnan(list(found.indices.values())).all()
