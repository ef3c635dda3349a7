"""Profit along losses: the cheapest plan of each, at a given price or the best one."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from jaxscale._numerics.interpreted import interpreted

LAW = js.laws.published("besiroglu2024")
H100 = js.accelerator("H100-SXM", price=2.0)
COSTS = js.Costs.on(train=H100, serve=H100, decode_mfu=0.1)
LOSSES = np.array([1.95, 2.0, 2.1, 2.3])


def market(elasticity):
    return js.economics.Market(
        8e12, 2e12, at_loss=2.0, at_price=1e-6, per_nat=2.0, elasticity=elasticity
    )


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def curve_of(value, demand, *rest, **options):
    return interpreted(js.economics.profit_curve, LAW, value, demand, COSTS, *rest, **options)


def test_points_are_cheapest_plans_with_what_they_earn():
    value = js.economics.ValuePerNat(1e8, worthless_at=2.2)
    demand = js.Demand(1e12, 1e11)
    points = curve_of(value, demand, losses=LOSSES).points
    plan = js.minimize_cost(LAW, LOSSES, demand, COSTS)
    assert_allclose(points.plan.params, plan.params, rtol=1e-12)
    assert_allclose(points.profit, 1e8 * (2.2 - LOSSES) - plan.total_cost, rtol=1e-12)
    assert points.profit[-1] < 0
    assert points.ok.all()


def test_a_given_price_sets_the_demand():
    known = market(1.5)
    points = curve_of(None, known, losses=LOSSES, price=2e-6).points
    sold = 1e13 * np.exp(2.0 * (2.0 - LOSSES)) * 2.0**-1.5
    assert_allclose(points.revenue, 2e-6 * sold, rtol=1e-12)
    plan = js.minimize_cost(LAW, LOSSES, js.Demand(0.8 * sold, 0.2 * sold), COSTS)
    assert_allclose(points.profit, 2e-6 * sold - plan.total_cost, rtol=1e-12)


@pytest.mark.parametrize("elasticity", [1.01, 1.5, 3.0])
def test_no_price_of_many_earns_more_than_the_best_one(elasticity):
    points = curve_of(None, market(elasticity), losses=LOSSES).points
    prices = np.geomspace(1e-10, 1e-3, 20_001)[:, None]
    brute = curve_of(None, market(elasticity), losses=LOSSES, price=prices).points
    assert points.ok.all()
    # The grid's best is off by half a step at most, and profit by its square.
    assert_allclose(points.profit, np.nanmax(brute.profit, axis=0), rtol=1e-5)
    assert np.all(points.profit >= np.nanmax(brute.profit, axis=0) * (1 - 1e-12))


@pytest.mark.parametrize("price", [None, 1e-6])
def test_the_best_plan_is_the_highest_point_of_the_curve(price):
    curve = curve_of(js.economics.ValuePerNat(1e7, 2.2), market(1.5), price=price)
    assert curve.points.profit.shape == (201,)
    middle = 100  # of the factors of its sizes, which is one
    assert_allclose(curve.points.plan.loss[middle], curve.best.plan.loss, rtol=1e-12)
    assert_allclose(curve.points.profit[middle], curve.best.profit, rtol=1e-9)
    assert np.nanmax(curve.points.profit) <= curve.best.profit * (1 + 1e-9)


def test_the_best_price_has_derivatives():
    def earned(losses):
        points = js.economics.profit_curve(LAW, None, market(1.5), COSTS, losses=losses).points
        return jax.numpy.stack([points.price, points.profit])

    at, width = jax.numpy.asarray(2.05), 1e-4
    low, high = (interpreted(earned, at + x) for x in (-width, width))
    slopes = interpreted(jax.jacfwd(earned), at)
    assert_allclose(slopes, (high - low) / (2 * width), rtol=1e-5)


def test_points_without_a_plan_or_a_price_say_so():
    losses = np.array([1.8, 2.0])
    points = curve_of(None, market(0.9), losses=losses).points
    assert list(points.status) == [js.Status.INFEASIBLE_LOSS, js.Status.NO_FINITE_PRICE]
    assert np.isnan(points.profit).all()
    assert np.isnan(points.plan.total_cost).all()


def test_bad_numbers_are_an_invalid_input():
    value = js.economics.ValuePerNat(np.nan, 2.2)
    demands = js.Demand(1e12), js.economics.Market(1e12, 0.0, 2.0, 0.0, 1.0)
    for each, demand in zip((value, None), demands, strict=True):
        points = curve_of(each, demand, losses=LOSSES).points
        assert set(points.status.tolist()) == {int(js.Status.INVALID_INPUT)}
    points = curve_of(None, market(1.5), losses=LOSSES, price=-1.0).points
    assert set(points.status.tolist()) == {int(js.Status.INVALID_INPUT)}
    assert np.isnan(points.profit).all()


def test_bounds_hold_along_the_curve():
    value = js.economics.ValuePerNat(1e8, worthless_at=2.2)
    bounds = js.Bounds(max_params=5e9)
    points = curve_of(value, js.Demand(1e12), bounds, losses=LOSSES).points
    assert points.status[0] == js.Status.INFEASIBLE_BOUNDS
    assert_allclose(points.plan.params[1:], np.minimum(points.plan.params[1:], 5e9))


def test_several_scenarios_need_losses():
    value = js.economics.ValuePerNat(np.array([1e8, 1e9]), worthless_at=2.2)
    with pytest.raises(ValueError, match="losses must be given for several scenarios"):
        curve_of(value, js.Demand(1e12))
    losses = np.array([1.9, 2.0])[:, None]
    assert curve_of(value, js.Demand(1e12), losses=losses).points.profit.shape == (2, 2)


def test_it_prints_as_a_table_of_losses():
    value = js.economics.ValuePerNat(1e8, worthless_at=2.2)
    curve = curve_of(value, js.Demand(1e12), losses=LOSSES)
    assert repr(curve).startswith("ProfitCurve of shape (4,)")
    assert "<table>" in curve._repr_html_()
    assert len(curve.to_dataframe()) == 4
