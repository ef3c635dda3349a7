"""What quality is worth, and the demand that reacts to quality and to price."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from conftest import X64

DIGITS = 1e-12 if X64 else 1e-4
MARKET = js.economics.Market(
    np.array([5e11, 0.0]), 3e11, at_loss=2.0, at_price=2e-6, per_nat=1.5, elasticity=1.2
)


def test_a_nat_less_is_worth_as_much_at_every_loss():
    value = js.economics.ValuePerNat(1e9, worthless_at=2.25)
    assert_allclose(value(np.array([1.75, 2.25, 2.5])), [5e8, 0, -2.5e8])
    assert_allclose(jax.grad(value)(2.0), -1e9)


def test_accuracy_is_worth_as_much_at_every_accuracy():
    task = js.laws.ExponentialAccuracy(epsilon=0.8, k=3.0, gamma=0.7)
    value = js.economics.ValueOfAccuracy(task, 1e9, worthless_at=0.5)
    losses = np.array([1.8, 2.5])
    accuracy = 1 - (0.8 - 3 * np.exp(-0.7 * losses))
    assert_allclose(value(losses), 1e9 * (accuracy - 0.5), rtol=DIGITS)


def test_demand_has_its_elasticities():
    known = MARKET.demand(2.0, 2e-6)
    assert_allclose(known.input_tokens, [5e11, 0], rtol=DIGITS)
    assert_allclose(known.output_tokens, 3e11, rtol=DIGITS)
    better = MARKET.demand(1.8, 2e-6)
    assert_allclose(better.output_tokens, 3e11 * np.exp(0.3), rtol=DIGITS)
    dearer = MARKET.demand(2.0, 6e-6)
    assert_allclose(dearer.output_tokens, 3e11 * 3**-1.2, rtol=DIGITS)


def test_the_price_of_a_demand_is_its_inverse():
    log_scale = MARKET.log_scale(np.array([1.9, 2.4]), np.log(np.array([1e-7, 5e-5])))
    found = MARKET.log_price(np.array([1.9, 2.4]), log_scale)
    assert_allclose(np.exp(found), [1e-7, 5e-5], rtol=1e-12 if X64 else 1e-5)


def test_the_elasticity_is_that_of_one_provider_by_default():
    market = js.economics.Market(1e12, 1e12, at_loss=2.0, at_price=1e-6, per_nat=1.0)
    # Demirer et al., NBER w34608, Table 2: -1.08 (0.19) and -1.11 (0.22).
    assert abs(market.elasticity - 1.08) < 0.19
    assert abs(market.elasticity - 1.11) < 0.22
    assert market.elasticity > 1  # so that there is a best price


@pytest.mark.parametrize(
    "thing",
    [js.economics.ValuePerNat(1e9, 2.2), MARKET],
)
def test_its_display_names_it(thing):
    assert repr(thing).startswith(type(thing).__name__ + "(")
