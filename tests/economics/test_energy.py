"""Energy by hand: the factors of power, device-hours from dollars, and tonnes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale import economics
from jaxscale._numerics.interpreted import interpreted

X64 = jax.config.read("jax_enable_x64")
CLOSE = 1e-12 if X64 else 2e-5
LAW = js.laws.published("sardana2024")
H100 = js.accelerator("H100-SXM", price=2.0)
L40S = js.accelerator("L40S", price=0.8)
DEMAND = js.Demand(1e12, 2e11)


def priced(train=H100, serve=L40S, **shares):
    costs = js.Costs.on(train=train, serve=serve, **shares)
    return js.minimize_cost(LAW, np.array([2.1, 2.0]), DEMAND, costs)


@pytest.mark.parametrize(
    ("device", "watts", "server"),
    [("H100-SXM", 700, 10.2 / 8 / 0.7), ("A100-80GB", 400, 6.5 / 8 / 0.4), ("L4", 72, 1.8)],
)
def test_power_has_the_server_the_average_and_the_cooling_once(device, watts, server):
    device = js.accelerator(device)
    found = economics.kilowatts(device)
    assert_allclose(found, watts / 1000 * server * 0.75 * 1.1, rtol=CLOSE)
    bare = economics.kilowatts(device, server_power=1, average_power=1, pue=1)
    assert_allclose(bare, watts / 1000, rtol=CLOSE)


def test_power_of_a_tpu_averages_less_of_its_own():
    found = economics.kilowatts(js.accelerator("TPU-v3", watts=450), pue=1)
    assert_allclose(found, 0.45 * 1.47 * 0.43, rtol=CLOSE)
    found = economics.kilowatts(js.accelerator("TPU-v5p", watts=450), pue=1)
    assert_allclose(found, 0.45 * 1.56 * 0.43, rtol=CLOSE)


def test_power_takes_watts_too():
    found = economics.kilowatts(np.array([300.0, 700.0]), pue=np.array([[1.0], [1.25]]))
    assert found.shape == (2, 2)
    assert_allclose(found[1], [0.3 * 1.8 * 0.75 * 1.25, 0.7 * 1.8 * 0.75 * 1.25], rtol=CLOSE)


def test_a_device_of_unknown_power_is_refused():
    with pytest.raises(ValueError, match=r"power of TPU-v4: pass accelerator\('TPU-v4', watts="):
        economics.kilowatts(js.accelerator("TPU-v4"))


def test_energy_is_device_hours_times_power():
    plan = priced(train_mfu=0.4, decode_mfu=0.02)
    found = economics.energy(plan, H100, L40S)
    hours = js.training_time(plan, H100, 1, 0.4) / 3600
    assert_allclose(found.train_kwh, hours * economics.kilowatts(H100), rtol=CLOSE)
    # 2 N FLOPs a token, at the peak of the serving device and its utilisation.
    rate = 3600 * 362e12
    read, written = (2 * plan.params * x / rate for x in (1e12 / 0.5, 2e11 / 0.02))
    assert_allclose(found.prefill_kwh, read * economics.kilowatts(L40S), rtol=CLOSE)
    assert_allclose(found.decode_kwh, written * economics.kilowatts(L40S), rtol=CLOSE)
    assert_allclose(found.inference_kwh, found.prefill_kwh + found.decode_kwh, rtol=CLOSE)
    assert_allclose(found.total_kwh, found.train_kwh + found.inference_kwh, rtol=CLOSE)
    assert_allclose(found.tonnes(0.4), found.total_kwh * 0.4 / 1000, rtol=CLOSE)


def test_a_price_does_not_change_the_energy():
    dear = js.accelerator("H100-SXM", price=8.0)
    plan = js.evaluate(LAW, 7e9, 2e12, DEMAND, js.Costs.on(train=H100, serve=H100))
    same = js.evaluate(LAW, 7e9, 2e12, DEMAND, js.Costs.on(train=dear, serve=dear))
    assert_allclose(
        economics.energy(plan, H100, H100), economics.energy(same, dear, dear), rtol=CLOSE
    )


def test_lost_time_takes_energy_too():
    spot = economics.spot(1.0, 0.05, 120, 600, instances=8)
    machine = js.accelerator("H100-SXM", price=spot.price)
    plan = priced(train=machine)
    found = economics.energy(plan, machine, L40S, goodput=spot.goodput)
    hours = plan.train_cost / 1.0  # all that are paid for
    assert_allclose(found.train_kwh, hours * economics.kilowatts(machine), rtol=CLOSE)
    plain = economics.energy(plan, machine, L40S)
    assert_allclose(found.train_kwh, plain.train_kwh / spot.goodput, rtol=CLOSE)
    assert_array_equal(found.decode_kwh, plain.decode_kwh)


def test_energy_of_a_plan_whose_serving_is_timed():
    costs = js.Costs.served(
        js.architectures.LLAMA, H100, js.serving.Requests(1000, 200), train=H100
    )
    plan = interpreted(js.minimize_cost, LAW, 2.1, DEMAND, costs)
    found = economics.energy(plan, H100, H100, serve_kilowatts=1.0)
    assert_allclose(found.inference_kwh, plan.inference_cost / 2.0, rtol=CLOSE)


def test_power_as_a_price_finds_the_plan_of_least_energy():
    """A device that costs its kilowatts an hour makes costs of kWh."""
    watt = js.accelerator("H100-SXM", price=economics.kilowatts(H100))
    frugal = js.accelerator("L40S", price=economics.kilowatts(L40S))
    plan = priced(train=watt, serve=frugal)
    found = economics.energy(plan, watt, frugal)
    assert_allclose(found.total_kwh, plan.total_cost, rtol=CLOSE)
    assert (found.total_kwh <= economics.energy(priced(), H100, L40S).total_kwh).all()


def test_a_plan_that_is_not_ok_has_no_energy_and_its_neighbour_has_one():
    def total(loss):
        costs = js.Costs.on(train=H100, serve=L40S)
        plan = js.minimize_cost(LAW, loss, DEMAND, costs)
        return jnp.nansum(economics.energy(plan, H100, L40S).total_kwh)

    loss = jnp.asarray([2.0, 1.5])
    costs = js.Costs.on(train=H100, serve=L40S)
    found = economics.energy(js.minimize_cost(LAW, loss, DEMAND, costs), H100, L40S)
    assert_array_equal(np.isnan(found), [[False, True]] * 3)
    slope = interpreted(jax.grad(total), loss)
    assert slope[0] < 0
    assert slope[1] == 0


@pytest.mark.skipif(not X64, reason="differences need float64")
def test_derivatives_are_central_differences():
    def value(numbers):
        power, price, goodput = numbers
        device = js.accelerator("H100-SXM", price=price)
        plan = js.evaluate(LAW, 7e9, 2e12, DEMAND, js.Costs(1e-18, 1e-18, 5e-17))
        found = economics.energy(
            plan, device, L40S, train_kilowatts=power, serve_kilowatts=power, goodput=goodput
        )
        return found.tonnes(0.4)

    at = jnp.array([1.05, 2.0, 0.9])
    for index, slope in enumerate(jax.grad(value)(at)):
        step = jnp.zeros(3).at[index].set(1e-5)
        difference = (value(at + step) - value(at - step)) / 2e-5
        assert_allclose(slope, difference, rtol=1e-7)


def test_a_plan_priced_in_flops_has_no_energy():
    plan = js.evaluate(LAW, 7e9, 2e12, DEMAND)
    assert np.isnan(economics.energy(plan, H100, L40S)).all()


@pytest.mark.parametrize(
    "bad",
    [{"goodput": 0.0}, {"goodput": 1.5}, {"train_kilowatts": 0.0}, {"serve_kilowatts": np.nan}],
)
def test_a_bad_number_is_nan(bad):
    found = economics.energy(priced(), H100, L40S, **bad)
    assert np.isnan(found.total_kwh).all()
    serving = "serve_kilowatts" in bad  # the other phase does not depend on it
    assert_array_equal(np.isnan(found.train_kwh), not serving)
    assert_array_equal(np.isnan(found.inference_kwh), serving)


def test_bad_numbers_of_power_and_carbon_are_nan():
    assert_array_equal(
        np.isnan(economics.kilowatts(np.array([0.0, -1, np.nan, 700]))), [1, 1, 1, 0]
    )
    assert np.isnan(economics.kilowatts(700, pue=0.9))
    assert_array_equal(
        np.isnan(economics.carbon(np.array([-1.0, np.inf, 0, 1]), 0.4)), [1, 1, 0, 0]
    )


def test_arguments_of_the_wrong_kind_raise():
    plan = priced()
    with pytest.raises(TypeError, match="plan must be a jaxscale Plan"):
        economics.energy(1e6, H100, L40S)
    with pytest.raises(TypeError, match="serve must be an Accelerator"):
        economics.energy(plan, H100, "L40S")
    with pytest.raises(ValueError, match="train: no price was chosen for H100-SXM"):
        economics.energy(plan, js.accelerator("H100-SXM"), L40S)
