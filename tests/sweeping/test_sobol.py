"""Sobol' points against the published ones, and the evenness that defines them."""

import functools

import jax
import numpy as np
import pytest

from jaxscale.sweeping import points as sobol
from solve.lanes import DTYPE, DTYPES

KEYS = [(1, 2), (2**32 - 1, 0), (0x9E3779B9, 0x7F4A7C15)]

# Joe and Kuo's own output for 10 points in 3 dimensions, on the page of their direction numbers.
PUBLISHED = [
    [0, 0, 0],
    [0.5, 0.5, 0.5],
    [0.75, 0.25, 0.25],
    [0.25, 0.75, 0.75],
    [0.375, 0.375, 0.625],
    [0.875, 0.875, 0.125],
    [0.625, 0.125, 0.875],
    [0.125, 0.625, 0.375],
    [0.1875, 0.3125, 0.9375],
    [0.6875, 0.8125, 0.4375],
]

make_points = functools.partial(jax.jit, static_argnames="dtype")(sobol.sobol_point)


def points(numbers, key, dimensions, dtype):
    """Scrambled points of some numbers: (numbers, dimensions)."""
    made = [sobol.directions(dimension, key) for dimension in range(dimensions)]
    numbers = np.asarray(numbers).astype(np.uint32)
    return np.stack([make_points(numbers, v, np.uint32(s), dtype) for v, s in made], axis=1)


def in_gray_order(count):
    return np.arange(count) ^ (np.arange(count) >> 1)


def from_directions(numbers, directions):
    """Digits of unscrambled points, 32 bits each, by the definition."""
    chosen = np.where(numbers[:, None] >> np.arange(32) & 1, directions.astype(np.int64), 0)
    return np.bitwise_xor.reduce(chosen, axis=1)


def test_unscrambled_points_are_those_published():
    found = [from_directions(in_gray_order(10), sobol.unscrambled(d)) for d in range(3)]
    np.testing.assert_array_equal(np.stack(found, axis=1) / 2.0**32, PUBLISHED)


def test_unscrambled_points_are_those_of_scipy_in_every_dimension():
    qmc = pytest.importorskip("scipy.stats.qmc")
    expected = qmc.Sobol(sobol.MAX_DIMENSIONS, scramble=False, bits=32).random(256)
    found = [
        from_directions(in_gray_order(256), sobol.unscrambled(dimension))
        for dimension in range(sobol.MAX_DIMENSIONS)
    ]
    np.testing.assert_array_equal(np.stack(found, axis=1), expected * 2.0**32)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("first", [0, 3 * 1024, 2**32 - 1024])
def test_each_interval_holds_one_point_of_an_aligned_run(dtype, first):
    found = points(first + np.arange(1024), KEYS[0], sobol.MAX_DIMENSIONS, dtype)
    assert found.dtype == dtype
    assert found.min() > 0
    assert found.max() < 1
    cells = np.sort((found * 1024).astype(int), axis=0)
    assert (cells == np.arange(1024)[:, None]).all()


@pytest.mark.parametrize("key", KEYS)
def test_two_dimensions_hold_one_point_in_every_elementary_rectangle(key):
    found = points(np.arange(1024), key, 2, DTYPE)
    for wide in range(11):
        columns, rows = 2**wide, 2 ** (10 - wide)
        cells = (found[:, 0] * columns).astype(int) * rows + (found[:, 1] * rows).astype(int)
        assert np.unique(cells).size == 1024, f"{columns} x {rows}"


@pytest.mark.parametrize("shift", [0, 2**32 - 1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_outermost_points_lie_strictly_inside(dtype, shift):
    cells = 2**23 if dtype == np.float32 else 2**32
    found = make_points(np.uint32(0), np.zeros(32, np.uint32), np.uint32(shift), dtype)
    assert float(found) == (0.5 if shift == 0 else cells - 0.5) / cells


def test_one_point_is_the_same_alone_and_in_a_batch():
    numbers = np.array([0, 1, 2**31, 2**32 - 1], np.uint32)
    directions, shift = sobol.directions(7, KEYS[0])
    batch = make_points(numbers, directions, np.uint32(shift), DTYPE)
    alone = [make_points(each, directions, np.uint32(shift), DTYPE) for each in numbers]
    np.testing.assert_array_equal(batch, alone)


def test_keys_and_dimensions_are_scrambled_apart():
    plain = sobol.unscrambled(1)
    made = [sobol.directions(dimension, key) for dimension in (1, 2) for key in KEYS]
    shifts = {shift for _, shift in made}
    assert len(shifts) == len(made)
    assert len({directions.tobytes() for directions, _ in made} | {plain.tobytes()}) == 7


def test_scrambled_points_are_uniform_over_keys():
    seeds = np.random.default_rng(5).integers(2**32, size=(400, 2))
    draws = [points([5], tuple(map(int, key)), 1, DTYPE).item() for key in seeds]
    # Kolmogorov's distance from uniform: above 1.95 / sqrt(n) once in 1000.
    steps = np.arange(400) / 400
    assert abs(np.sort(draws) - steps).max() < 1.95 / 20 + 1 / 400


@pytest.mark.parametrize("key", KEYS)
def test_a_smooth_mean_is_far_nearer_than_at_random(key):
    found = points(np.arange(4096), key, 5, DTYPE).astype(np.float64)
    values = np.prod(1 + (found - 0.5), axis=1)  # its mean is 1, its variance (1 + 1/12)^5 - 1
    random_error = np.sqrt(((13 / 12) ** 5 - 1) / 4096)
    assert abs(values.mean() - 1) < random_error / 30
