"""What a nat costs where it is worth as much: the profit-maximising loss, computed apart.

With the exact coefficients of Besiroglu et al. 2024, a price of $2 an hour for 989e12 FLOP/s at
40 %, and a value v of each nat, the spend `c C` is best where `c C / (gamma (L - E)) = v`.
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
# Value of a nat in dollars, and the best loss, dollars, params and tokens for it.
BEST = [
    (1e8, 1.947051, 2.321314e6, 1.24211e11, 2.21794e12),
    (1e9, 1.908748, 1.638376e7, 3.38242e11, 5.74861e12),
    (1e10, 1.881714, 1.156360e8, 9.21074e11, 1.48997e13),
]


@pytest.mark.parametrize(("value", "loss", "dollars", "params", "tokens"), BEST)
def test_at_the_best_loss_a_nat_costs_what_it_is_worth(value, loss, dollars, params, tokens):
    plan = js.minimize_loss(LAW, dollars, costs=COSTS)
    # The budget is printed to seven digits.
    assert_allclose(plan.marginal_cost, value, rtol=1e-6)
    assert_allclose(plan.loss, loss, atol=5e-7)
    assert_allclose(plan.params, params, rtol=5e-6)
    assert_allclose(plan.tokens, tokens, rtol=5e-6)
    same = js.minimize_cost(LAW, loss, costs=COSTS)
    # Six decimals of a loss are five digits of what is reducible, and so of the slope.
    assert_allclose(same.marginal_cost, value, rtol=1e-4)


def test_a_nat_costs_the_spend_over_a_share_of_the_reducible_loss():
    losses = np.linspace(1.85, 3.0, 20)
    plan = js.minimize_cost(LAW, losses, costs=COSTS)
    assert_allclose(plan.marginal_cost, plan.total_cost / (GAMMA * (losses - LAW.E)), rtol=1e-9)
