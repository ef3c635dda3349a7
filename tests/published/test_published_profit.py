"""The most profitable plan, worked out apart from the coefficients of Besiroglu et al. 2024.

With their exact coefficients and a price of $2 an hour for 989e12 FLOP/s at 40 %.
"""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js

if not jax.config.jax_enable_x64:
    pytest.skip("digits are held to in float64", allow_module_level=True)

LAW = js.laws.Chinchilla(1.81686, 482.00572, 2085.4342, 0.34781, 0.36585)
PRICE = 1.4043365914e-18  # dollars for each FLOP: $2 / 3600 / (989e12 x 0.4)
COSTS = js.Costs(PRICE, PRICE, PRICE)
GAMMA = 0.17830099557  # alpha beta / (alpha + beta)
# Value of a nat in dollars; the best loss, FLOPs, dollars, params and tokens for it.
BEST = [
    (1e8, 1.947051, 1.652961e24, 2.321314e6, 1.24211e11, 2.21794e12),
    (1e9, 1.908748, 1.166654e25, 1.638376e7, 3.38242e11, 5.74861e12),
    (1e10, 1.881714, 8.234208e25, 1.156360e8, 9.21074e11, 1.48997e13),
]


def test_the_best_loss_where_a_nat_has_a_value():
    per_nat, loss, flops, dollars, params, tokens = np.transpose(BEST)
    value = js.economics.ValuePerNat(per_nat, worthless_at=2.2)
    best = js.maximize_profit(LAW, value, js.Demand(), COSTS)
    plan = best.plan
    assert_allclose(plan.loss, loss, rtol=0, atol=5e-7)
    # Half a unit of the last of seven digits, and of six.
    assert_allclose(plan.total_cost / PRICE, flops, rtol=5e-7)
    assert_allclose(plan.total_cost, dollars, rtol=5e-7)
    assert_allclose(plan.params, params, rtol=5e-6)
    assert_allclose(plan.tokens, tokens, rtol=5e-6)
    # The spend is a share of the value that is still to be had, and grows with the value.
    assert_allclose(plan.total_cost, GAMMA * per_nat * (plan.loss - LAW.E), rtol=1e-9)
    growth = np.log10(plan.total_cost[1:] / plan.total_cost[:-1])
    assert_allclose(growth, 0.8487, rtol=0, atol=5e-5)
    assert_allclose(10**growth, 7.058, rtol=0, atol=5e-4)
    assert_allclose(best.profit, per_nat * (2.2 - plan.loss) - plan.total_cost, rtol=1e-12)


def test_the_best_model_for_a_demand_that_reacts_to_quality():
    market = js.economics.Market(0.5e12, 0.5e12, at_loss=2.0, at_price=1e-6, per_nat=2.0)
    best = js.maximize_profit(LAW, None, market, COSTS, price=1e-6)
    plan, sold = best.plan, best.demand.input_tokens + best.demand.output_tokens
    assert_allclose(plan.params, 1.144305e10, rtol=0, atol=5e3)
    # The stationary point at 40 digits has 6.389485217e11 tokens: a search by values is less sure.
    assert_allclose(plan.tokens, 6.389485217e11, rtol=0, atol=50)
    assert_allclose(plan.loss, 2.069863, rtol=0, atol=5e-7)
    assert_allclose(sold, 8.695966e11, rtol=0, atol=5e4)
    assert_allclose(best.profit, 780_040.9, rtol=0, atol=0.05)
    assert_allclose(plan.train_cost, 61_607.04, rtol=0, atol=0.005)
    assert_allclose(plan.inference_cost, 27_948.66, rtol=0, atol=0.005)
    of_size = LAW.alpha * LAW.A * plan.params**-LAW.alpha
    of_data = LAW.beta * LAW.B * plan.tokens**-LAW.beta
    assert_allclose(of_size / of_data, 1.4536602, rtol=0, atol=5e-8)
    assert_allclose(1 + sold / (3 * plan.tokens), 1.4536602, rtol=0, atol=5e-8)
