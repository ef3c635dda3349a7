"""Fits of shape laws: planted laws come back, with noise within its reach; bad tables are named."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from jaxscale.growth import ShapeLaw, fit_shapes

# Losses of 2 to 5 after 1e15 to 1e20 FLOPs.
NAMES = np.array(["deep", "narrow", "wide"])
EXPONENT = np.array([0.35, 0.5, 0.12])
PLANTED = ShapeLaw(
    a=np.array([2.5, 3.0, 3.5]) * 1e15**EXPONENT,
    b=EXPONENT,
    c=np.array([2.1, 1.9, 0.8]),
    d=np.array([3e14, 1e16, 5e15]),
)
FIELDS = ("a", "b", "c", "d")


def exact(law, flops):
    return law.a * (flops + law.d) ** -law.b + law.c


def table(runs=(12, 15, 20), noise=0.0, seed=0):
    """Rows in disorder: a shape's runs are not beside each other."""
    rng = np.random.default_rng(seed)
    place = np.repeat(np.arange(3), runs)
    flops = np.concatenate([np.geomspace(1e15, 1e20, n) for n in runs])
    law = jax.tree.map(lambda x: x[place], PLANTED)
    loss = exact(law, flops) * np.exp(noise * rng.standard_normal(len(flops)))
    order = rng.permutation(len(flops))
    return NAMES[place][order], flops[order], loss[order]


def test_planted_laws_come_back_from_losses_without_noise():
    law = fit_shapes(*table())
    assert law.a.dtype == np.float64
    for name in FIELDS:
        assert_allclose(getattr(law, name), getattr(PLANTED, name), rtol=1e-8)


def test_four_runs_fix_a_law():
    law = fit_shapes(*table(runs=(4, 4, 4)))
    for name in FIELDS:
        assert_allclose(getattr(law, name), getattr(PLANTED, name), rtol=1e-6)


def test_a_law_without_floor_or_offset_comes_back():
    flops = np.geomspace(1e15, 1e21, 20)
    law = fit_shapes(np.zeros(20), flops, 5 * (flops / 1e15) ** -0.05)
    assert_allclose(law.loss(flops), 5 * (flops / 1e15) ** -0.05, rtol=1e-6)
    assert_allclose(law.c, 0, atol=1e-3)
    assert law.d < 1e12  # a thousandth of the fewest FLOPs, of which the losses say nothing


def test_noise_moves_losses_by_less_than_itself_and_not_the_mean_of_laws():
    fits = [fit_shapes(*table(runs=(40, 40, 40), noise=0.003, seed=seed)) for seed in range(12)]
    flops = np.geomspace(1e15, 1e20, 30)[:, None]
    losses = np.array([exact(law, flops) for law in fits])
    expected = exact(PLANTED, flops)
    # Four numbers from 40 runs leave a third of the noise of one.
    assert np.sqrt(np.mean((losses / expected - 1) ** 2)) < 0.003 / 2
    assert_allclose(losses.mean(axis=0), expected, rtol=0.003)
    assert_allclose(np.mean([law.b for law in fits], axis=0), PLANTED.b, rtol=0.1)


def test_the_fit_has_the_least_error_of_all_laws_nearby():
    shape, flops, loss = table(noise=0.01)
    law = fit_shapes(shape, flops, loss)
    place = np.searchsorted(NAMES, shape)

    def errors(law):
        residual = loss - exact(jax.tree.map(lambda x: x[place], law), flops)
        return np.bincount(place, residual**2)

    for name in FIELDS:
        for factor in (0.9999, 1.0001):
            moved = ShapeLaw(**{**vars(law), name: getattr(law, name) * factor})
            assert np.all(errors(moved) >= errors(law) * (1 - 1e-9))


def test_shapes_come_in_the_order_of_their_labels_whatever_these_are():
    shape, flops, loss = table()
    number = 7 - np.searchsorted(NAMES, shape)
    assert_array_equal(fit_shapes(number, flops, loss).b, fit_shapes(shape, flops, loss).b[::-1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, c, y: (s[:-1], c, y), "must be columns of one length"),
        (lambda s, c, y: (s[:0], c[:0], y[:0]), "must have rows; got none"),
        (lambda s, c, y: (s, np.where(c == c[3], -1.0, c), y), "flops must be finite and above 0"),
        (lambda s, c, y: (s, c, np.where(c == c[3], np.nan, y)), "loss must be finite and above 0"),
        (lambda s, c, y: (s, np.where(s == "wide", 1e18, c), y), "'wide' has 1"),
        (lambda s, c, y: (s, c, np.where(s == "wide", 9 - y, y)), "of shape 'wide' does not"),
    ],
)
def test_bad_tables_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        fit_shapes(*change(*table()))
