"""Demand of a year that grows while compute becomes cheaper, and of a list of months."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf, quad
from numpy.testing import assert_allclose

import jaxscale as js

EPS = np.finfo(np.float64 if jax.config.jax_enable_x64 else np.float32).eps
YEAR = js.Demand(input_tokens=1e12, output_tokens=2e11)


def worth(growth, price_decline, discount, years, delay):
    """Tokens of today for one a year at first: the integral itself, at 30 digits."""
    with mp.workdps(30):
        g, d, r = mpf(growth), mpf(price_decline), mpf(discount)
        paid = lambda t: mp.exp(g * t - (d + r) * (t + mpf(delay)))  # noqa: E731
        return float(quad(paid, [0, mpf(years) / 2, mpf(years)]))


@pytest.mark.parametrize(
    "case",
    [
        (0.0, 0.0, 0.0, 3.0, 0.0),
        (0.3, 0.2, 0.1, 2.0, 0.5),  # growth and decline cancel
        (0.7, 0.3, 0.1, 2.0, 0.25),
        (-1.5, 0.3, 0.1, 4.0, 1.0),
        (1e-9, 0.0, 0.0, 1.5, 0.0),
        (3.0, 0.0, 0.1, 5.0, 2.0),
    ],
)
def test_it_is_the_integral_of_what_each_token_costs_in_its_time(case):
    names = ("growth", "price_decline", "discount", "years", "delay")
    arguments = dict(zip(names, case, strict=True))
    truth = worth(*case)
    plain = js.Demand.growing(YEAR, **arguments)
    assert isinstance(plain.input_tokens, float)
    assert_allclose(plain.input_tokens, 1e12 * truth, rtol=1e-14)
    assert_allclose(plain.output_tokens, 2e11 * truth, rtol=1e-14)
    arrays = js.Demand.growing(YEAR, **{name: jnp.array(x) for name, x in arguments.items()})
    # A rate that cancels to x has an error of an epsilon, which the exponent multiplies by T.
    assert_allclose(arrays.input_tokens, 1e12 * truth, rtol=30 * EPS)


@pytest.mark.parametrize("growth", [0.25, 0.25 + 1e-7, 0.9, -0.9, 4.0])
def test_derivatives_hold_in_both_modes_and_to_the_second_also_where_growth_and_decline_cancel(
    growth,
):
    def tokens(growth):
        return js.Demand.growing(
            js.Demand(1.0), years=2.0, growth=growth, discount=0.25
        ).input_tokens

    x = growth - 0.25

    def moment(power):  # of t^power e^(x t), from 0 to 2
        with mp.workdps(30):
            return float(quad(lambda t: t**power * mp.exp(mpf(x) * t), [0, 1, 2]))

    growth = jnp.array(growth)
    near = 200 * EPS
    assert_allclose(jax.grad(tokens)(growth), moment(1), rtol=near)
    assert_allclose(jax.jacfwd(tokens)(growth), moment(1), rtol=near)
    assert_allclose(jax.grad(jax.grad(tokens))(growth), moment(2), rtol=2000 * EPS)
    assert_allclose(jax.jacfwd(jax.grad(tokens))(growth), moment(2), rtol=2000 * EPS)


def test_arguments_broadcast_and_may_be_traced():
    rate = js.Demand(np.array([[1e12], [2e12]]), 0.0)
    growth, years = np.array([0.0, 0.5, 1.0]), np.array(2.0)
    demand = jax.jit(lambda g: js.Demand.growing(rate, growth=g, years=years))(growth)
    assert demand.input_tokens.shape == (2, 3)
    assert_allclose(demand.input_tokens[1], 2 * demand.input_tokens[0], rtol=4 * EPS)
    slope = jax.grad(lambda t: js.Demand.growing(YEAR, years=t, growth=0.5).input_tokens)(2.0)
    assert_allclose(slope, 1e12 * np.exp(0.5 * 2), rtol=10 * EPS)  # the pace of the last day


def test_a_plan_takes_it_as_any_demand_and_a_delay_only_puts_off_the_cost():
    law = js.laws.published("sardana2024")
    now = js.Demand.growing(YEAR, years=3, growth=0.4, discount=0.1)
    later = js.Demand.growing(YEAR, years=3, growth=0.4, discount=0.1, delay=2)
    assert_allclose(later.input_tokens, now.input_tokens * np.exp(-0.2), rtol=1e-14)
    assert js.minimize_cost(law, 2.0, later).params > js.minimize_cost(law, 2.0, now).params


def test_months_of_one_pace_are_the_years_but_for_the_size_of_a_month():
    months = js.Demand(np.full(36, 1e12 / 12), np.full(36, 2e11 / 12))
    options = {"discount": 0.1, "price_decline": 0.3, "delay": 0.25}
    demand = js.Demand.monthly(months, **options)
    exact = js.Demand.growing(YEAR, years=3, **options)
    # Its middle stands for a month: off by (0.4 / 12)^2 / 24.
    assert_allclose(demand.input_tokens, exact.input_tokens, rtol=1e-4)
    by_hand = sum(1e12 / 12 * np.exp(-0.4 * (0.25 + (m + 0.5) / 12)) for m in range(36))
    assert_allclose(demand.input_tokens, by_hand, rtol=30 * EPS)
    assert_allclose(demand.output_tokens, by_hand / 5, rtol=30 * EPS)


def test_months_lie_along_the_last_axis_and_rates_along_those_before():
    months = js.Demand(np.ones((3, 2, 24)), 0.0)
    rates = {"discount": np.array([0.0, 0.1]), "delay": np.zeros((3, 1))}
    demand = js.Demand.monthly(months, **rates)
    assert demand.input_tokens.shape == (3, 2)
    assert_allclose(demand.input_tokens[:, 0], 24.0)
    one = js.Demand.monthly(js.Demand(np.ones(24)), discount=0.1)
    assert_allclose(demand.input_tokens[:, 1], one.input_tokens, rtol=10 * EPS)
    weights = jax.grad(lambda x: js.Demand.monthly(js.Demand(x), discount=0.12).input_tokens)
    assert_allclose(weights(jnp.ones(2)), np.exp([-0.005, -0.015]), rtol=4 * EPS)


def test_no_tokens_stay_none_where_the_others_overflow():
    for grown in (1e3, jnp.asarray(1e3)):
        demand = js.Demand.growing(js.Demand(1e12, 0.0), years=10.0, growth=grown)
        assert np.isinf(float(demand.input_tokens))
        assert float(demand.output_tokens) == 0


def test_months_may_be_a_list():
    months = [1e11, 2e11, 3e11]
    found = js.Demand.monthly(js.Demand(months), discount=0.1)
    expected = js.Demand.monthly(js.Demand(np.array(months)), discount=0.1)
    assert float(found.input_tokens) == float(expected.input_tokens)
    with pytest.raises(TypeError, match=r"months\.input_tokens"):
        js.Demand.monthly(js.Demand(["a", "b"]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: js.Demand.growing(YEAR, years=0), "years must be finite, above 0; got 0"),
        (lambda: js.Demand.growing(YEAR, years=1, delay=-1), "delay must be finite, at least 0"),
        (lambda: js.Demand.growing(YEAR, years=1, growth=np.inf), "growth must be finite; got inf"),
        (lambda: js.Demand.growing(js.Demand(-1.0), years=1), "rate.input_tokens must be finite"),
        (lambda: js.Demand.monthly(YEAR), "months must have arrays"),
        (lambda: js.Demand.monthly(YEAR, discount=np.nan), "discount must be finite; got nan"),
    ],
)
def test_what_no_demand_has_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_rate_that_is_no_demand_is_refused():
    with pytest.raises(TypeError, match="rate must be a jaxscale Demand; got 1000000000000"):
        js.Demand.growing(1e12, years=1)
