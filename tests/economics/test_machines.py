"""Prices of a device-hour by hand, and that each is what `Costs.on` takes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale import economics

X64 = jax.config.read("jax_enable_x64")
CLOSE = 1e-14 if X64 else 2e-6


def test_a_rental_costs_more_for_an_hour_of_useful_work():
    goodput, discount = np.array([1.0, 0.8, 0.5]), np.array([[0.0], [0.37]])
    found = economics.rental(2.0, goodput, discount=discount)
    assert_allclose(found, 2.0 * (1 - discount) / goodput, rtol=CLOSE)
    assert economics.rental(2.0) == 2.0


def test_spot_is_the_price_over_the_goodput_of_its_preemptions():
    instances = np.array([1.0, 8.0, 64.0])
    found = economics.spot(1.0, 0.05, 120, 600, instances=instances)
    expected = economics.checkpoint_interval(3600 / (0.05 * instances), 120, 600)
    assert_allclose(found.price, expected.slowdown, rtol=CLOSE)
    assert_allclose(found.goodput, expected.goodput, rtol=CLOSE)
    assert_allclose(found.interval, expected.interval, rtol=CLOSE)


def test_spot_pays_until_preemptions_eat_the_discount():
    """On 64 instances a third of the time is useful; on one, nearly all."""
    on_demand = economics.rental(2.0)
    found = economics.spot(1.0, 0.05, 120, 600, instances=np.array([1, 8, 64]))
    assert_array_equal(found.price < on_demand, [True, True, False])
    # The price at which neither is cheaper.
    even = economics.spot(on_demand * found.goodput, 0.05, 120, 600, instances=np.array([1, 8, 64]))
    assert_allclose(even.price, np.full(3, 2.0), rtol=10 * CLOSE)


def test_an_owned_device_loses_value_and_draws_power():
    purchase, power = np.array([10e3, 30e3]), np.array([[0.0], [1.05]])
    found = economics.owned(purchase, power, 0.08, server_overhead=1.66, interconnect=0.25)
    hardware = purchase * 1.66 * 0.14 * np.log(10) / 8766 / 0.75
    assert_allclose(found, hardware + power * 0.08, rtol=CLOSE)
    # Written off in equal parts over four years.
    found = economics.owned(30e3, 0, 0, server_overhead=1, interconnect=0, decline=1 / 4)
    assert_allclose(found, 30e3 / (4 * 8766), rtol=CLOSE)


def test_a_price_is_what_costs_take():
    price = economics.spot(np.array([1.0, 1.5]), 0.05, 120, 600).price
    h100 = js.accelerator("H100-SXM", price=price)
    costs = js.Costs.on(train=h100, serve=js.accelerator("H100-SXM", price=2.0), train_mfu=0.4)
    assert_allclose(costs.train, price / 3600 / 989e12 / 0.4, rtol=CLOSE)


SPOT = {"price": 1.0, "preemptions_per_hour": 0.05, "checkpoint_seconds": 120.0}
SPOT |= {"restart_seconds": 600.0, "instances": 8.0}
OWNED = {"purchase": 30e3, "kilowatts": 1.05, "energy_price": 0.08, "server_overhead": 1.64}
OWNED |= {"interconnect": 0.19, "decline": 0.32}
RENTAL = {"price": 2.0, "goodput": 0.8, "discount": 0.4}
FUNCTIONS = [(economics.spot, SPOT), (economics.owned, OWNED), (economics.rental, RENTAL)]
BAD = [
    *((economics.spot, SPOT, name, 0.0) for name in SPOT if name != "restart_seconds"),
    (economics.spot, SPOT, "restart_seconds", -1.0),
    (economics.spot, SPOT, "instances", 1e30),
    (economics.owned, OWNED, "purchase", 0.0),
    (economics.owned, OWNED, "kilowatts", -1.0),
    (economics.owned, OWNED, "energy_price", np.nan),
    (economics.owned, OWNED, "interconnect", 1.0),
    (economics.rental, RENTAL, "price", -1.0),
    (economics.rental, RENTAL, "goodput", 1.1),
    (economics.rental, RENTAL, "goodput", 0.0),
    (economics.rental, RENTAL, "discount", 1.0),
]


@pytest.mark.parametrize(("function", "numbers", "name", "bad"), BAD)
def test_a_bad_value_is_nan_and_leaves_its_neighbour_alone(function, numbers, name, bad):
    def total(values):
        return sum(jnp.nansum(x) for x in jax.tree.leaves(function(**values)))

    pair = {key: jnp.asarray([bad if key == name else x, x]) for key, x in numbers.items()}
    price = jax.tree.leaves(function(**pair))[0]
    assert_array_equal(np.isnan(price), [True, False])
    slopes, expected = jax.grad(total)(pair), jax.grad(total)(numbers)
    for key, slope in slopes.items():
        assert np.isfinite(slope).all()
        assert_allclose(slope[1], expected[key], rtol=1e-5)


@pytest.mark.skipif(not X64, reason="differences need float64")
@pytest.mark.parametrize(("function", "numbers"), FUNCTIONS)
def test_derivatives_are_central_differences(function, numbers):
    def value(values):
        return jax.tree.leaves(function(**values))[0]

    slopes = jax.grad(value)(numbers)
    for name, x in numbers.items():
        step = 1e-5 * x
        up, down = (value({**numbers, name: x + sign * step}) for sign in (1, -1))
        assert_allclose(slopes[name], (up - down) / (2 * step), rtol=1e-7)


def test_tables_cannot_be_changed():
    with pytest.raises(TypeError):
        economics.machine_facts("pue").values["others"] = 1.0


def test_tables_have_sources_and_units():
    for name in ("server_overhead", "server_power", "average_power", "pue", "energy_price"):
        table = economics.machine_facts(name)
        assert "Cottier et al. 2024" in table.source
        assert table.unit
        assert all(x > 0 for x in table.values.values())
    for years in ("1_year", "3_years"):
        values = economics.machine_facts(f"discount_for_{years}").values
        assert values.keys() == {"Amazon", "Google", "Microsoft"}
        assert all(0 < x < 1 for x in values.values())
    with pytest.raises(ValueError, match="energy_price"):
        economics.machine_facts("energy_prices")
