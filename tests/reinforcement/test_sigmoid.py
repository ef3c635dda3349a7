"""The sigmoid of reinforcement learning: values and best stops at fifty digits, and derivatives."""

import itertools
from dataclasses import astuple, replace

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale import reinforcement
from jaxscale.reinforcement import Sigmoid

X64 = jax.config.read("jax_enable_x64")
EPS = float(np.finfo(np.float64 if X64 else np.float32).eps)
LAW = reinforcement.published("khatri2025_8b")
EDGE = 40 * EPS  # of the least value that pays: there the last digits decide
COUNT = 40


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def drawn(rng):
    """Laws of any steepness, starts, and point values from far below what pays to far above."""
    law = Sigmoid(
        A=rng.uniform(0.3, 1.0, COUNT),
        B=rng.choice([0.3, 0.9, 1.0, 1.0001, 1.2, 1.92, 3.0, 8.0], COUNT),
        C_mid=np.exp(rng.uniform(np.log(1e2), np.log(1e6), COUNT)),
    )
    start = rng.uniform(0, 0.25, COUNT)
    price = np.exp(rng.uniform(np.log(0.1), np.log(100), COUNT))
    scale = price * law.C_mid / (100 * (law.A - start))
    return law, scale * np.exp(rng.uniform(-3, 9, COUNT)), price, start


def best_profit(law, value, price, start):
    """The most profit over all hours, and the hours; at fifty digits, from a scan of the curve."""
    A, B, mid, value, price, start = (mpf(float(x)) for x in (*astuple(law), value, price, start))

    def rate(hours):
        return start + (A - start) / (1 + (mid / hours) ** B)

    def slope(hours):
        share = 1 / (1 + (mid / hours) ** B)
        return 100 * value * (A - start) * B * share * (1 - share) / hours - price

    grid = [mid * mpmath.exp(x) for x in mpmath.linspace(-90, 40, 600)]
    falls = [(low, high) for low, high in itertools.pairwise(grid) if slope(low) > 0 >= slope(high)]
    stops: list = [mpf(0)]
    for low, high in falls:
        for _ in range(160):
            middle = mpmath.sqrt(low * high)
            low, high = (middle, high) if slope(middle) > 0 else (low, middle)
        stops.append(low)
    profits = [100 * value * (rate(x) - start) - price * x if x else mpf(0) for x in stops]
    most = max(profits)
    hours = stops[profits.index(most)]
    return hours, (rate(hours) if hours else start), most


def test_best_stops_are_those_of_a_scan_at_fifty_digits(rng):
    law, value, price, start = jax.tree.map(jnp.asarray, drawn(rng))
    stop = law.best_stop(value, price, start)
    expected = []
    with mp.workdps(50):
        for lane in range(COUNT):
            each = jax.tree.map(lambda x, lane=lane: x[lane], (law, value, price, start))
            expected.append([float(x) for x in best_profit(*each)])
    hours, rate, profit = np.array(expected).T
    assert_array_equal(stop.pays, hours > 0)
    assert 0.3 < np.mean(stop.pays) < 0.95
    # Of a sum that is 0 at the root, each term has rounding, and the slope is 1 - 1 / B at least.
    assert_allclose(stop.hours, hours, rtol=2e5 * EPS)
    assert_allclose(stop.pass_rate, rate, rtol=200 * EPS)
    # Where it is all but 0, it is so beside the cost.
    worth = np.where(hours > 0, stop.value, 1)
    assert_allclose(stop.profit / worth, profit / worth, atol=2e3 * EPS)
    assert_allclose((stop.value - stop.cost) / worth, stop.profit / worth, atol=2e3 * EPS)


def test_pass_rates_are_the_formula_at_fifty_digits(rng):
    law, _, _, start = jax.tree.map(jnp.asarray, drawn(rng))
    hours = law.C_mid * np.exp(rng.uniform(-5, 5, COUNT))
    rate = law.pass_rate(hours, start)
    with mp.workdps(50):
        for lane, found in enumerate(np.asarray(rate)):
            numbers = (law.A, law.B, law.C_mid, hours, start)
            A, B, mid, C, R0 = (mpf(float(x[lane])) for x in numbers)
            expected = R0 + (A - R0) / (1 + (mid / C) ** B)
            assert found == pytest.approx(float(expected), rel=200 * EPS)
    # Where the curve is flat its last digits are worth many hours.
    inner = (rate - start > 0.01) & (law.A - rate > 0.01)
    assert np.mean(inner) > 0.5
    back = law.hours_for(rate, start)
    assert_allclose(np.where(inner, back, 1), np.where(inner, hours, 1), rtol=3e3 * EPS)


@pytest.mark.parametrize("name", [each.name for each in reinforcement.catalog()])
def test_the_least_value_of_a_point_is_where_training_begins_to_pay(name):
    law = reinforcement.published(name)
    least = law.least_point_value(2.0, 0.3)
    stop = law.best_stop(np.array([1 - EDGE, 1 + EDGE]) * least, 2.0, 0.3)
    assert_array_equal(stop.pays, [False, True])
    assert_array_equal(stop.hours[0], 0)
    assert_allclose(stop.pass_rate[0], 0.3, rtol=EPS)
    assert_array_equal(stop.profit[0], 0)
    # There a tangent through the start touches the curve.
    assert_allclose(stop.hours[1], law.C_mid * (law.B - 1) ** (1 / law.B), rtol=1e3 * EPS)
    assert_allclose(stop.profit[1] / stop.cost[1], 0, atol=1e3 * EPS)


def test_a_curve_without_an_inflection_always_pays_or_from_its_first_hour():
    assert replace(LAW, B=0.8).least_point_value(2.0, 0.3) == 0
    flat = replace(LAW, B=1.0)
    least = flat.least_point_value(2.0, 0.3)
    assert_allclose(least, 2.0 * LAW.C_mid / (100 * (LAW.A - 0.3)), rtol=8 * EPS)
    assert_array_equal(flat.best_stop(least * np.array([0.99, 1.01]), 2.0, 0.3).pays, [0, 1])


def test_derivatives_are_those_of_the_first_order_condition():
    def hours(numbers):
        A, B, mid, value, price, start = numbers
        return jnp.log(Sigmoid(A, B, mid).best_stop(value, price, start).hours)

    at = jnp.array([0.61, 1.92, 2542.0, 1000.0, 2.0, 0.3])
    found = jax.grad(hours)(at)
    with mp.workdps(50):

        def root(*numbers):
            A, B, mid, value, price, start = numbers

            def excess(log_hours):
                share = 1 / (1 + (mid / mpmath.exp(log_hours)) ** B)
                gain = 100 * value * (A - start) * B * share * (1 - share)
                return mpmath.log(gain) - log_hours - mpmath.log(price)

            return mpmath.findroot(excess, mpf(8.5))

        point = [mpf(float(x)) for x in at]
        expected = []
        for i, x in enumerate(point):
            step = x * mpf(10) ** -20
            ends = [root(*point[:i], x + sign * step, *point[i + 1 :]) for sign in (-1, 1)]
            expected.append(float((ends[1] - ends[0]) / (2 * step)))
    assert_allclose(found, expected, rtol=1e3 * EPS)
    # Profit at its maximum: an hour more changes nothing, so a dearer hour costs the hours.
    profit = jax.grad(lambda price: LAW.best_stop(1000.0, price, 0.3).profit)(2.0)
    assert_allclose(profit, -LAW.best_stop(1000.0, 2.0, 0.3).hours, rtol=1e3 * EPS)


def test_second_derivatives_are_those_of_the_first():
    def hours(log_price):
        return jnp.log(LAW.best_stop(1000.0, jnp.exp(log_price), 0.3).hours)

    step = 1e-4 if X64 else 3e-2
    ends = jax.vmap(jax.grad(hours))(jnp.log(2.0) + jnp.array([-step, step]))
    second = jax.grad(jax.grad(hours))(jnp.log(2.0))
    assert_allclose(second, (ends[1] - ends[0]) / (2 * step), rtol=1e-6 if X64 else 1e-2)


def test_bad_lanes_are_nan_with_zero_derivatives_and_leave_their_neighbours():
    value = np.array([1000.0, -1.0, np.nan, 1.0])
    stop = LAW.best_stop(value, 2.0, 0.3)
    assert_array_equal(np.isnan(stop.hours), [0, 1, 1, 0])
    assert_array_equal(np.isnan(stop.pass_rate), [0, 1, 1, 0])
    assert_array_equal(stop.pays, [1, 0, 0, 0])
    assert_allclose(stop.hours[0], LAW.best_stop(1000.0, 2.0, 0.3).hours)

    def total(value):
        stop = LAW.best_stop(value, 2.0, 0.3)
        return sum(jnp.nansum(x) for x in (stop.hours, stop.pass_rate, stop.profit))

    slopes = jax.grad(total)(jnp.asarray(value))
    assert slopes[0] > 0
    assert_array_equal(slopes[1:], 0)
    assert np.isnan(LAW.pass_rate(np.array([-1.0, np.inf]), 0.3)).all()
    assert np.isnan(LAW.pass_rate(1e3, 1.5))
    assert LAW.pass_rate(0.0, 0.3) == pytest.approx(0.3)
    assert np.isnan(LAW.hours_for(np.array([0.2, 0.61, 0.7]), 0.3)).all()
    assert LAW.hours_for(0.3, 0.3) == 0
    assert np.isnan(LAW.least_point_value(2.0, 0.7))
    assert not LAW.best_stop(1e9, 2.0, 0.7).pays  # the start is beyond A
    assert np.isnan(replace(LAW, B=-1.0).best_stop(1e3, 2.0, 0.3).hours)


def test_stops_before_the_runs_of_the_fit_are_flagged():
    low = replace(LAW, C_mid=200.0)
    stop = low.best_stop(np.array([10.0, 1e3, 1e5]), 2.0, 0.3)
    assert_array_equal(stop.pays, [0, 1, 1])
    assert stop.hours[1] < 1500 < stop.hours[2]
    assert_array_equal(stop.in_range, [1, 0, 1])


def test_answers_lie_between_those_of_a_lower_and_a_higher_asymptote():
    low, high = reinforcement.interval(LAW)
    assert pytest.approx((0.59, 0.63)) == (low.A, high.A)
    stops = [each.best_stop(1000.0, 2.0, 0.3) for each in (low, LAW, high)]
    for name in ("hours", "pass_rate", "profit"):
        ends = [float(getattr(each, name)) for each in stops]
        assert ends == sorted(ends)
        assert len(set(ends)) == 3


def test_a_batch_under_jit_and_vmap_is_its_lanes():
    values, starts = np.geomspace(100, 1e5, 5), np.linspace(0.1, 0.5, 4)[:, None]
    batch = LAW.best_stop(values, 2.0, starts)
    assert batch.hours.shape == batch.pays.shape == (4, 5)
    mapped = jax.jit(jax.vmap(lambda value: LAW.best_stop(value, 2.0, starts), out_axes=1))(values)
    assert_allclose(np.squeeze(mapped.hours), batch.hours, rtol=1e2 * EPS)
    assert float(LAW.best_stop(values[1], 2.0, starts[2, 0]).hours) == pytest.approx(
        float(batch.hours[2, 1]), rel=1e2 * EPS
    )


def test_an_unknown_curve_is_named_with_the_nearest():
    with pytest.raises(ValueError, match="unknown curve 'khatri2025_8'"):
        js.reinforcement.entry("khatri2025_8")
