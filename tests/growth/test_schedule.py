"""Schedules of shapes: a switch in closed form, quadrature, and never worse than one shape."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_allclose, assert_array_equal

from jaxscale.growth import ShapeLaw, shape_schedule

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
SHAPES = 4
RTOL = 1e-10 if X64 else 2e-4


def price(law, loss):
    """FLOPs of a nat at each loss, a column for each shape; infinite at and below its floor."""
    above = np.asarray(loss)[..., None] - law.c
    with np.errstate(invalid="ignore", divide="ignore"):
        found = law.a ** (1 / law.b) / law.b * above ** (-1 / law.b - 1)
    return np.where(above > 0, found, np.inf)


def drawn(rng, lanes):
    """Laws of a few shapes that cross one another: the larger shape falls later and further."""
    shape = (lanes, SHAPES)
    b, c = rng.uniform(0.1, 0.5, shape), rng.uniform(1.0, 2.1, shape)
    # Each is at a loss between 2 and 4 after 1e18 FLOPs.
    a = (rng.uniform(2.2, 4.0, shape) - c).clip(0.1) * 1e18**b
    return ShapeLaw(a, b, c, 10 ** rng.uniform(15, 18, shape))


@pytest.mark.parametrize("dtype", DTYPES)
def test_two_hyperbolas_are_switched_where_their_slopes_agree(dtype):
    # L = a / (C + d) + c falls as (L - c)^2 / a: equal where (L - c) / (L - c') = sqrt(a / a').
    law = ShapeLaw(*np.array([[1e18, 4e18], [1, 1], [1.5, 1.0], [1e18, 1e17]], dtype))
    found = shape_schedule(law, dtype(4), dtype(1.2))
    assert found.total_flops.dtype == dtype
    switch = 2.0  # (L - 1.5) 2 = L - 1
    first, second = 1e18 * (1 / 0.5 - 1 / 2.5), 4e18 * (1 / 0.2 - 1 / 1.0)
    rtol = 40 * np.finfo(dtype).eps * np.log(1e18)  # logarithms of FLOPs are so large
    assert_array_equal(found.shapes, [0, 1, -1])
    assert_allclose(found.losses, [4, switch, np.nan], rtol=rtol)
    assert_allclose(found.flops, [first, second, 0], rtol=rtol)
    assert_allclose(found.total_flops, first + second, rtol=rtol)
    best = 4e18 * (1 / 0.2 - 1 / 3.0)
    assert found.best_shape == 1
    assert_allclose(found.best_flops, best, rtol=rtol)
    assert_allclose(found.saved, 1 - (first + second) / best, rtol=0, atol=rtol)


def test_two_shapes_may_be_switched_twice():
    # Prices of (L - 1)^-2 and 24 (L - 0.2)^-4 agree where (L - 0.2)^2 = sqrt(24) (L - 1).
    law = ShapeLaw(np.array([1.0, 2.0]), np.array([1.0, 1 / 3]), np.array([1.0, 0.2]), np.ones(2))
    crossings = np.roots([1, -0.4 - np.sqrt(24), 0.04 + np.sqrt(24)])
    found = shape_schedule(law, 6.0, 1.01)
    assert_array_equal(found.shapes, [1, 0, 1])
    assert_allclose(found.losses[1:], crossings, rtol=1e-13 if X64 else 1e-5)


def test_compute_is_the_integral_of_the_least_price():
    law = drawn(np.random.default_rng(3), 40)
    found = jax.vmap(lambda law: shape_schedule(law, 4.0, 2.3))(law)
    nodes, weights = np.polynomial.legendre.leggauss(20)
    edges = np.geomspace(1.9, 0.2, 2001) + 2.1  # 2.1 is above every floor
    middle, half = (edges[1:] + edges[:-1]) / 2, -np.diff(edges) / 2
    for lane, total in enumerate(found.total_flops):
        one = jax.tree.map(lambda x, lane=lane: x[lane], law)
        places = middle[:, None] + half[:, None] * nodes
        integral = (price(one, places).min(axis=-1) @ weights) @ half
        assert_allclose(total, integral, rtol=1e-6 if X64 else 1e-3)  # kinks lie inside a cell


def test_segments_are_consistent_and_never_worse_than_one_shape():
    law = drawn(np.random.default_rng(4), 200)
    start, target = 4.0, 1.9  # which not every shape reaches
    reached = law.c.min(axis=1) < target - 0.01
    law = jax.tree.map(lambda x: x[reached], law)
    found = jax.vmap(lambda law: shape_schedule(law, start, target))(law)
    shapes, losses, flops = (np.asarray(x) for x in found[:3])
    count = (shapes >= 0).sum(axis=1)
    assert count.max() > 3
    assert np.all(found.total_flops <= found.best_flops * (1 + RTOL))
    assert_allclose(found.saved, 1 - found.total_flops / found.best_flops, rtol=0, atol=RTOL)
    assert_allclose(flops.sum(axis=1), found.total_flops, rtol=RTOL)
    for lane in range(len(shapes)):
        one = jax.tree.map(lambda x, lane=lane: x[lane], law)
        used = count[lane]
        assert_array_equal(shapes[lane, used:], -1)
        assert np.all(np.diff(shapes[lane, :used]) != 0)
        levels = np.append(losses[lane, :used], target)
        middle = (levels[1:] + levels[:-1]) / 2
        assert_array_equal(price(one, middle).argmin(axis=-1), shapes[lane, :used])
        # Each segment is a piece of its shape's own curve, from the inverse of the law.
        law_of = jax.tree.map(lambda x, s=shapes[lane, :used]: x[s], one)
        at = lambda x, law=law_of: (law.a / (x - law.c)) ** (1 / law.b)  # noqa: E731
        pieces = at(levels[1:]) - at(levels[:-1])
        assert_allclose(flops[lane, :used], pieces, rtol=RTOL, atol=RTOL * pieces.max())
        static = (one.a / np.maximum(target - one.c, 1e-9)) ** (1 / one.b)
        static -= (one.a / (start - one.c)) ** (1 / one.b)
        static = np.where(one.c < target, static, np.inf)
        assert_allclose(found.best_flops[lane], static.min(), rtol=RTOL)
        assert found.best_shape[lane] == static.argmin()


def test_one_shape_alone_is_its_own_schedule():
    found = shape_schedule(ShapeLaw(*np.array([[1e18], [1.0], [1.5], [1e18]])), 4.0, 2.0)
    assert_array_equal(found.shapes, [0])
    assert_allclose(found.total_flops, 1e18 * (2 - 0.4), rtol=RTOL)
    assert_allclose(found.saved, 0, atol=RTOL)


def test_equal_shapes_are_one():
    law = ShapeLaw(*(np.full(3, x) for x in (1e18, 1.0, 1.5, 1e18)))
    found = shape_schedule(law, 4.0, 2.0)
    assert_array_equal(found.shapes, [0, -1, -1, -1, -1])


def test_no_schedule_is_nan_with_zero_derivatives():
    laws = ShapeLaw(*np.array([[1e18, 4e18], [1, 1], [1.5, 1.0], [1e18, 1e17]]))
    bad = ShapeLaw(*np.array([[1e18, -4e18], [1, 1], [1.5, 1.0], [1e18, 1e17]]))
    for law, start, target in ((laws, 4.0, 1.0), (laws, 2.0, 3.0), (bad, 4.0, 1.2)):
        found = shape_schedule(law, start, target)
        assert_array_equal(found.shapes, [-1] * 3)
        assert found.best_shape == -1
        assert np.isnan(jnp.concatenate([found.losses, found.flops])).all()
        assert np.isnan([found.total_flops, found.best_flops, found.saved]).all()
    slopes = jax.grad(lambda law: shape_schedule(law, 4.0, 1.0).total_flops)(laws)
    assert_array_equal(jax.tree.leaves(slopes), np.zeros((4, 2)))


def test_derivatives_of_switch_and_total():
    # As in the first test: with t = sqrt(a' / a), the switch is (c t - c') / (t - 1).
    def closed(a):
        t = (mpf("4e18") / a) ** 0.5
        switch = (mpf("1.5") * t - 1) / (t - 1)
        first = a * (1 / (switch - mpf("1.5")) - 1 / mpf("2.5"))
        return switch, first + mpf("4e18") * (1 / mpf("0.2") - 1 / (switch - 1))

    def found(a):
        law = ShapeLaw(jnp.stack([a, jnp.full_like(a, 4e18)]), *np.array([[1.0, 1], [1.5, 1]]), 0.0)
        law = ShapeLaw(law.a, law.b, law.c, jnp.zeros_like(law.a))
        schedule = shape_schedule(law, 4.0, 1.2)
        return schedule.losses[1], schedule.total_flops

    slopes = jax.jacfwd(found)(jnp.asarray(1e18, float))
    with mp.workdps(30):
        expected = [float(mp.diff(lambda a, i=i: closed(a)[i], mpf("1e18"))) for i in (0, 1)]
    assert_allclose(slopes, expected, rtol=1e-10 if X64 else 1e-4)


def test_what_is_no_set_of_shapes_is_named():
    with pytest.raises(ValueError, match=r"laws must have fields of one shape \(n,\)"):
        shape_schedule(ShapeLaw(1e18, 1.0, 1.5, 0.0), 4.0, 2.0)
    with pytest.raises(ValueError, match="start_loss must be a scalar"):
        shape_schedule(ShapeLaw(*np.ones((4, 2))), np.ones(2), 2.0)
