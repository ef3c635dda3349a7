"""Implied demand and demand over time, worked out apart from printed coefficients."""

import math

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js

if not jax.config.jax_enable_x64:
    pytest.skip("printed digits are held to in float64", allow_module_level=True)

# Besiroglu et al. 2024, with the digits of their code.
BESIROGLU = js.laws.Chinchilla(1.81686, 482.00572, 2085.4342, 0.34781, 0.36585)
HOFFMANN = js.laws.published("hoffmann2022_unrounded")


def half_a_digit(text):
    """Half a unit of the last digit of a number such as 1.328e11."""
    mantissa, _, power = text.partition("e")
    decimals = len(mantissa.partition(".")[2])
    return 0.5 * 10.0 ** (int(power or 0) - decimals)


def assert_written(value, text):
    assert abs(float(value) - float(text)) <= half_a_digit(text) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("law", "params", "tokens", "ratio", "demand"),
    [
        (BESIROGLU, 70e9, 1.4e12, "1.0316", "1.328e11"),  # Chinchilla
        (BESIROGLU, 6.738e9, 2e12, "2.6532", "9.919e12"),  # Llama 2 7B
        (BESIROGLU, 7e9, 2e12, "2.6182", "9.709e12"),
        (BESIROGLU, 8.03e9, 15e12, "5.2169", "1.898e14"),  # Llama 3 8B
        (BESIROGLU, 70.6e9, 15e12, "2.4493", "6.522e13"),  # Llama 3 70B
        (BESIROGLU, 405e9, 15.6e12, "1.3534", "1.654e13"),  # Llama 3.1 405B
        (HOFFMANN, 70e9, 1.4e12, "0.7134", "-1.204e12"),
        (HOFFMANN, 8.03e9, 15e12, "2.9222", "8.650e13"),
    ],
)
def test_demand_that_explains_a_released_model(law, params, tokens, ratio, demand):
    implied = js.implied_demand(law, params, tokens)
    assert_written(implied.ratio, ratio)
    assert_written(implied.tokens, demand)


@pytest.mark.parametrize(
    ("params", "tokens", "ratio", "demand"),
    [  # yigitokar/scaling-laws-as-production-functions, lit/notes/econ_ai.md
        (70e9, 1.4e12, "1.03", "1.3e11"),
        (7e9, 2e12, "2.62", "9.7e12"),
        (8.03e9, 15e12, "5.22", "1.9e14"),
        (70.6e9, 15e12, "2.45", "6.5e13"),
    ],
)
def test_demand_that_another_reckoning_has(params, tokens, ratio, demand):
    implied = js.implied_demand(BESIROGLU, params, tokens)
    assert_written(implied.ratio, ratio)
    assert_written(implied.tokens, demand)


@pytest.mark.parametrize(("law", "elasticity"), [(HOFFMANN, "0.762"), (BESIROGLU, "0.737")])
def test_elasticity_of_substitution_where_training_alone_is_cheapest(law, elasticity):
    plan = js.compute_optimal(law, flops=1e24)
    implied = js.implied_demand(law, plan.params, plan.tokens)
    assert_written(implied.substitution, elasticity)
    assert_allclose(implied.substitution, 1 / (1 + (law.alpha + law.beta) / 2), rtol=1e-12)


DECLINE = 0.14 * math.log(10)  # of the price of compute: Cottier et al. 2024, their code


@pytest.mark.parametrize(
    ("rates", "years", "tokens"),
    [
        (
            {"growth": math.log(3), "price_decline": DECLINE, "discount": 0.10},
            2,
            "4.239678e12",
        ),
        ({"price_decline": DECLINE, "discount": 0.10}, 3, "1.700790e12"),
        ({"growth": math.log(2), "price_decline": math.log(2)}, 2, "2.0e12"),
    ],
)
def test_demand_over_years_in_tokens_of_today(rates, years, tokens):
    demand = js.Demand.growing(js.Demand(1e12), years=years, **rates)
    assert_written(demand.input_tokens, tokens)
    traced = js.Demand.growing(js.Demand(np.array(1e12)), years=years, **rates)
    assert_written(traced.input_tokens, tokens)
