"""Demand and prices: what the named constructors make, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxscale as js

TRAIN = js.accelerator("A100-80GB", price=1.50)
SERVE = js.accelerator("A100-40GB", price=1.10)
RTOL = 4 * float(jnp.finfo(float).eps)


def test_requests_times_tokens_is_the_demand():
    demand = js.Demand.from_requests(1.5e9, input_tokens=70, output_tokens=215)
    assert demand == js.Demand(1.5e9 * 70, 1.5e9 * 215)


def test_requests_broadcast_against_tokens_of_another_rank():
    requests, tokens = np.array([[1e6], [1e9]]), np.array([10.0, 20.0, 30.0])
    demand = js.Demand.from_requests(requests, input_tokens=tokens, output_tokens=0)
    np.testing.assert_allclose(demand.input_tokens, requests * tokens, rtol=RTOL)
    assert np.shape(demand.output_tokens) == (2, 1)


@pytest.mark.parametrize("name", ["requests", "input_tokens", "output_tokens"])
@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf"), np.array([1.0, -2.0])])
def test_a_bad_count_is_refused_by_name(name, bad):
    counts = {"requests": 1, "input_tokens": 1, "output_tokens": 1} | {name: bad}
    with pytest.raises(ValueError, match=rf"^{name} must be finite, at least 0; got"):
        js.Demand.from_requests(counts.pop("requests"), **counts)


def test_a_traced_count_passes_and_has_a_derivative():
    def written(requests):
        return js.Demand.from_requests(requests, input_tokens=2, output_tokens=3).output_tokens

    assert jax.jit(jax.grad(written))(5.0) == 3


def test_price_over_peak_over_utilisation():
    costs = js.Costs.on(
        train=TRAIN,
        serve=SERVE,
        train_precision="bf16",
        serve_precision="int8",
        train_mfu=0.5,
        prefill_mfu=0.5,
        decode_mfu=0.01,
    )
    # Sardana et al. 2024, Section 6: $1.50 an hour at 312 TFLOP/s, $1.10 at 624 TOP/s.
    assert costs.train == pytest.approx(1.50 / 3600 / 3.12e14 / 0.5, rel=1e-15)
    assert costs.prefill == pytest.approx(1.10 / 3600 / 6.24e14 / 0.5, rel=1e-15)
    assert costs.decode == pytest.approx(1.10 / 3600 / 6.24e14 / 0.01, rel=1e-15)


def test_prices_and_utilisations_broadcast():
    prices = np.array([[1.0], [2.0]])
    costs = js.Costs.on(
        train=TRAIN,
        serve=js.accelerator("L4", price=prices),
        decode_mfu=np.array([0.01, 0.02, 0.05]),
    )
    assert np.shape(costs.decode) == (2, 3)
    np.testing.assert_allclose(costs.decode[1] / costs.decode[0], 2.0, rtol=1e-6)


def test_traced_price_and_utilisation_have_derivatives():
    def decode(price, mfu):
        serve = js.accelerator("L4", price=price)
        return js.Costs.on(train=TRAIN, serve=serve, decode_mfu=mfu).decode

    by_price, by_mfu = jax.jit(jax.grad(decode, (0, 1)))(0.5, 0.02)
    value = decode(0.5, 0.02)
    np.testing.assert_allclose(by_price, value / 0.5, rtol=1e-5)
    np.testing.assert_allclose(by_mfu, -value / 0.02, rtol=1e-5)


@pytest.mark.parametrize("name", ["train_mfu", "prefill_mfu", "decode_mfu"])
@pytest.mark.parametrize("bad", [0, -0.5, 1.01, 50, float("nan"), np.array([0.5, 2.0])])
def test_a_utilisation_outside_zero_to_one_is_refused_by_name(name, bad):
    with pytest.raises(ValueError, match=rf"^{name} must be finite, above 0 and at most 1; got"):
        js.Costs.on(train=TRAIN, serve=SERVE, **{name: bad})


def test_a_price_not_chosen_lists_the_quotes():
    with pytest.raises(ValueError, match=r"train: no price was chosen for H100-SXM.*\$2\.69"):
        js.Costs.on(train=js.accelerator("H100-SXM"), serve=SERVE)


def test_a_precision_the_device_lacks_lists_what_it_has():
    with pytest.raises(ValueError, match=r"A100-80GB has no peak for precision 'fp8'.*bf16"):
        js.Costs.on(train=TRAIN, serve=SERVE, train_precision="fp8")


def test_a_name_where_an_accelerator_should_stand_is_a_type_error():
    with pytest.raises(TypeError, match="serve must be an Accelerator"):
        js.Costs.on(train=TRAIN, serve="A100-40GB")


def test_effective_demand_is_the_bill_in_units_of_the_training_price():
    costs, demand = js.Costs(2e-18, 3e-18, 1.5e-16), js.Demand(1e12, 2e11)
    costs, demand = jax.tree.map(jnp.asarray, (costs, demand))
    expected = (3e-18 * 1e12 + 1.5e-16 * 2e11) / 2e-18
    np.testing.assert_allclose(costs.effective_demand(demand), expected, rtol=RTOL * 4)


def test_effective_demand_has_derivatives_at_a_price_whose_square_underflows_float32():
    costs = jax.tree.map(jnp.float32, js.Costs(1e-25, 1e-25, 1e-25))
    demand = jax.tree.map(jnp.float32, js.Demand(1e3, 1e3))
    slope = jax.grad(lambda costs: costs.effective_demand(demand))(costs)
    np.testing.assert_allclose(slope.train, -2e3 / 1e-25, rtol=1e-5)
    np.testing.assert_allclose(slope.prefill, 1e3 / 1e-25, rtol=1e-5)
