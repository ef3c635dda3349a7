"""Distributions against their closed forms in 40 digits, and what they refuse."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf

import jaxscale as js
from jaxscale.sweeping.distributions import (
    MAX_ROWS,
    Distribution,
    choice,
    lognormal,
    loguniform,
    normal,
    rows,
    triangular,
    uniform,
)
from solve.lanes import DTYPE, DTYPES, SEED


def normal_quantile(u):
    return mp.sqrt(2) * mp.erfinv(2 * u - 1)


def triangular_quantile(u):
    """On (1, 2, 5), where the density turns at 1/4."""
    return 1 + 2 * mp.sqrt(u) if u < mpf(1) / 4 else 5 - mp.sqrt(12 * (1 - u))


# Distribution, its quantile, and the allowed error in eps: absolute and relative.
CONTINUOUS = {
    "uniform": (uniform(-2, 3), lambda u: -2 + 5 * u, 4, 0),
    "uniform far off": (uniform(1e6, 1e6 + 1), lambda u: 1000000 + u, 0, 1),
    "loguniform": (loguniform(0.25, 2**40), lambda u: mpf(2) ** (42 * u - 2), 0, 32),
    # The ratio of the ends overflows in float32.
    "loguniform wide": (loguniform(2**-100, 2**100), lambda u: mpf(2) ** (200 * u - 100), 0, 150),
    "normal": (normal(0, 1), normal_quantile, 0, 4),
    "normal moved": (normal(5, 0.5), lambda u: 5 + normal_quantile(u) / 2, 16, 0),
    # exp multiplies an error of its argument, at most 8, by that argument.
    "lognormal": (lognormal(3, 0.5), lambda u: 3 * mp.exp(normal_quantile(u) / 2), 0, 16),
    "triangular": (triangular(1, 2, 5), triangular_quantile, 0, 4),
    "triangular from its mode": (triangular(0, 0, 1), lambda u: 1 - mp.sqrt(1 - u), 2, 0),
    "triangular to its mode": (triangular(0, 1, 1), mp.sqrt, 0, 2),
}


def places(dtype):
    """Places in (0, 1), the outermost of the dtype among them."""
    finest = 24 if dtype == np.float32 else 53
    tails = 2.0 ** -np.linspace(2, finest, 12).round()
    middle = np.random.default_rng(SEED).uniform(0.1, 0.9, 12)
    return np.concatenate([tails, 1 - tails, middle]).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", list(CONTINUOUS))
def test_quantiles_are_exact_to_rounding(name, dtype):
    print("seed", SEED)
    distribution, quantile, absolute, relative = CONTINUOUS[name]
    u = places(dtype)
    found = np.asarray(jax.jit(distribution.quantile)(u))
    assert found.dtype == dtype
    with mp.workdps(40):
        expected = [quantile(mpf(float(point))) for point in u]
        errors = [abs(mpf(float(x)) - y) for x, y in zip(found, expected, strict=True)]
    eps = float(np.finfo(dtype).eps)
    for point, error, exact in zip(u, errors, expected, strict=True):
        assert error <= eps * (absolute + relative * abs(exact)), (point, float(exact))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "build", [uniform, loguniform, lambda low, high: triangular(low, low, high)]
)
def test_draws_lie_between_the_ends(build, dtype):
    low, high = 0.1, 0.7  # neither is a number of the dtype
    found = np.asarray(build(low, high).quantile(jnp.asarray(places(dtype))))
    assert found.min() >= dtype(low)
    assert found.max() <= dtype(high)


def evenly(count):
    return jnp.asarray((np.arange(count) + 0.5) / count, DTYPE)


def test_values_without_weights_are_drawn_alike():
    found = choice([5.0, 2.0, 8.0, 1.0]).quantile(evenly(1000))
    values, counts = np.unique(found, return_counts=True)
    np.testing.assert_array_equal(values, [1, 2, 5, 8])
    np.testing.assert_array_equal(counts, 250)


@pytest.mark.parametrize("size", [3, 200])
def test_values_are_drawn_in_proportion_to_their_weights(size):
    weights = 1 + np.arange(size) % 5
    count = weights.sum() * 10
    found = choice(np.arange(size), weights * 0.3).quantile(evenly(int(count)))
    np.testing.assert_array_equal(np.bincount(np.asarray(found).astype(int)), weights * 10)


@pytest.mark.parametrize("weights", [None, [1, 1e-12, 1]])
def test_the_outermost_places_draw_the_outermost_values(weights):
    u = jnp.asarray([2.0**-24, 1 - 2.0**-24], DTYPE)
    np.testing.assert_array_equal(choice([3, 4, 5], weights).quantile(u), [3, 5])


@pytest.mark.parametrize("dtype", DTYPES)
def test_whole_numbers_stay_whole_and_floats_follow_the_point(dtype):
    u = jnp.asarray([0.2], dtype)
    assert choice([1, 2]).quantile(u).dtype == u.dtype
    assert choice(np.array([1, 2], np.float32)).quantile(u).dtype == dtype
    # Too large for 32 bits.
    assert choice([1, 2**40]).quantile(u).dtype == dtype


def test_entries_of_a_dict_are_drawn_whole_and_told_apart_by_their_labels():
    entries = {
        "small": {"price": 1.5, "count": 8},
        "large": {"price": 3.5, "count": 16},
    }
    distribution = choice(entries, weights=[3, 1])
    u = jnp.asarray([0.1, 0.7, 0.8], DTYPE)
    drawn, index = distribution.quantile(u), distribution.column(u)
    assert index.dtype == np.int32
    labels = [distribution.labels[at] for at in index.tolist()]
    assert labels == ["small", "small", "large"]
    np.testing.assert_array_equal(drawn["price"], [entries[label]["price"] for label in labels])
    np.testing.assert_array_equal(drawn["count"], [entries[label]["count"] for label in labels])


def test_rows_of_a_law_stay_together_lane_by_lane():
    E = np.linspace(1, 2, 7)
    law = js.laws.Chinchilla(E=E, A=10 * E, B=20 * E, alpha=E / 5, beta=E / 10)
    distribution = rows(law)
    u = evenly(70)
    drawn = jax.jit(jax.vmap(distribution.quantile))(u)
    assert isinstance(drawn, js.laws.Chinchilla)
    np.testing.assert_array_equal(drawn.E, np.repeat(E.astype(DTYPE), 10))
    np.testing.assert_array_equal(drawn.A, np.repeat((10 * E).astype(DTYPE), 10))
    np.testing.assert_array_equal(drawn.beta, np.repeat((E / 10).astype(DTYPE), 10))
    np.testing.assert_array_equal(distribution.column(u), np.repeat(np.arange(7), 10))


def test_rows_are_those_given_when_the_distribution_was_built():
    given = np.array([1.0, 2.0])
    distribution = rows(given)
    given[:] = 0
    np.testing.assert_array_equal(distribution.quantile(evenly(2)), [1, 2])


@pytest.mark.parametrize("distribution", [uniform(0, 1), choice([3, 4, 5], [1, 2, 3])])
def test_the_column_of_numbers_is_the_draw_itself(distribution):
    u = evenly(5)
    assert distribution.labels is None
    np.testing.assert_array_equal(distribution.column(u), distribution.quantile(u))


def test_everything_built_is_a_distribution():
    built = [each for each, *_ in CONTINUOUS.values()] + [choice([1, 2]), rows(np.ones(3))]
    assert all(isinstance(each, Distribution) for each in built)


# --- Descriptions ----------------------------------------------------------------------------

ALIKE = {
    "int for float": (uniform(0, 1), uniform(0.0, 1.0)),
    "minus zero": (uniform(0.0, 1), uniform(-0.0, 1)),
    "float32 for float64": (uniform(0.5, 2), uniform(np.float32(0.5), np.int64(2))),
    "a list for an array": (choice([1, 2]), choice(np.array([1, 2], np.int64))),
    "whole numbers for floats": (choice([1, 2]), choice([1.0, 2.0])),
    "equal weights": (choice([1, 2]), choice([1, 2], [7, 7])),
    "weights on another scale": (choice([1, 2], [1, 2]), choice([1, 2], [3, 6])),
    "rows in float32": (rows({"a": np.float32([1, 2])}), rows({"a": jnp.asarray([1.0, 2.0])})),
}
APART = [
    uniform(0, 1),
    uniform(0, math.nextafter(1, 2)),
    loguniform(0.5, 1),
    uniform(0.5, 1),
    normal(0.5, 1),
    lognormal(0.5, 1),
    triangular(0, 0.5, 1),
    triangular(0, 0.25, 1),
    choice([1, 2]),
    choice([2, 1]),
    choice([1, 2], [1, 2]),
    choice({"a": 1, "b": 2}),
    choice({"a": 1, "c": 2}),
    rows({"a": np.array([1, 2])}),
    rows({"b": np.array([1, 2])}),
    rows({"a": np.array([[1], [2]])}),
]


@pytest.mark.parametrize("name", list(ALIKE))
def test_distributions_that_draw_alike_are_described_alike(name):
    one, other = ALIKE[name]
    u = evenly(12)
    assert jax.tree.all(jax.tree.map(np.array_equal, one.quantile(u), other.quantile(u)))
    assert one.describe() == other.describe()


def test_distributions_that_draw_differently_are_described_differently():
    texts = {json.dumps(each.describe(), sort_keys=True) for each in APART}
    assert len(texts) == len(APART)


def test_a_description_survives_json():
    for each in APART:
        assert json.loads(json.dumps(each.describe())) == each.describe()


# --- Refusals --------------------------------------------------------------------------------

REFUSED = {
    "text": (lambda: uniform("a", 1), TypeError, "^low must be a number; got 'a'"),
    "a boolean": (lambda: uniform(0, True), TypeError, "^high must be a number; got True"),
    "an array": (lambda: normal(np.ones(2), 1), TypeError, "^mean must be a number; got array"),
    "no number": (lambda: normal(0, math.nan), ValueError, "^std must be finite; got nan"),
    "infinity": (lambda: uniform(0, math.inf), ValueError, "^high must be finite; got inf"),
    "wrong order": (lambda: uniform(2, 1), ValueError, "^low must be below high; got 2.0 and 1.0"),
    "no width": (lambda: loguniform(2, 2), ValueError, "^low must be below high"),
    "too wide": (lambda: uniform(-1e308, 1e308), ValueError, "^high - low must be finite"),
    "log of 0": (lambda: loguniform(0, 1), ValueError, "^low must be above 0; got 0"),
    "no spread": (lambda: normal(0, 0), ValueError, "^std must be above 0; got 0"),
    "negative median": (lambda: lognormal(-1, 1), ValueError, "^median must be above 0; got -1"),
    "negative sigma": (lambda: lognormal(1, -1), ValueError, "^sigma must be above 0; got -1"),
    "mode outside": (lambda: triangular(0, 3, 2), ValueError, "^mode must be 0.0 to 2.0"),
    "no values": (lambda: choice([]), ValueError, "^values must be finite numbers in one dim"),
    "words": (lambda: choice(["a", "b"]), ValueError, "^values must be finite numbers .* <U1"),
    "a table": (lambda: choice(np.ones((2, 2))), ValueError, r"^values must .* shape \(2, 2\)"),
    "ragged": (lambda: choice([[1], [1, 2]]), ValueError, "^values must be finite numbers"),
    "values not finite": (lambda: choice([1, math.nan]), ValueError, "^values .* got nan"),
    "no entries": (lambda: choice({}), ValueError, "'values' must have at least one entry"),
    "entries differ": (lambda: choice({"a": 1, "b": (1, 2)}), ValueError, "'values': entry 'b'"),
    "too few weights": (lambda: choice([1, 2], [1]), ValueError, "^weights must be 2, .* got 1"),
    "a weight of 0": (
        lambda: choice([1, 2], [1, 0]),
        ValueError,
        "^weights must be above 0",
    ),
    "one weight": (lambda: choice([1, 2], 3), ValueError, "^weights must be finite numbers in one"),
    "no rows": (lambda: rows({"a": np.ones(0)}), ValueError, "^there must be 1 to .* got 0"),
    "too many": (lambda: rows(np.ones(MAX_ROWS + 1)), ValueError, "rows; got 1,048,577"),
    "no leaves": (lambda: rows({}), ValueError, "^tree must hold arrays"),
    "a scalar leaf": (lambda: rows({"a": 1.0}), TypeError, r"^tree\['a'\] must be an array"),
    "words in rows": (
        lambda: rows(np.array(["a"])),
        TypeError,
        "^tree must be an array",
    ),
    "lengths differ": (
        lambda: rows((np.ones(2), np.ones(3))),
        ValueError,
        r"^leaves must share a leading axis; got lengths \[2, 3\]",
    ),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_wrong_arguments_are_refused(name):
    build, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        build()


@pytest.mark.parametrize("build", [rows, choice, lambda x: choice([1, 2], x)])
def test_traced_values_are_refused(build):
    with pytest.raises(TypeError, match="known when the distribution is built"):
        jax.jit(lambda x: build(x).quantile(x[0]))(jnp.ones(2))
