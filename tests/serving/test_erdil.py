"""Erdil's model of decoding: batches, derivatives, limits and errors."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from jaxscale.serving import erdil

H100 = erdil.Device(1e15, 3.3e12, 8e10, link_bandwidth=450e9, domain=8.0, network_bandwidth=50e9)
LLAMA = js.Architecture(
    *(32, 4096, 32, 8, 128, 14336, 128256, 8192), gated=True, tied=False
)  # Llama 3 8B
EXPERTS = dataclasses.replace(LLAMA, experts=8, active_experts=2)
X64 = jax.config.jax_enable_x64


def test_a_batch_is_its_scenarios_one_by_one():
    counts, batches = np.array([1.0, 8.0, 24.0]), np.array([[1.0], [32.0]])
    layers = np.array([16.0, 32.0, 80.0])
    together = erdil.step(dataclasses.replace(LLAMA, layers=layers), H100, counts, batches, 100.0)
    assert together.shape == (2, 3)
    for i, j in np.ndindex(2, 3):
        one = dataclasses.replace(LLAMA, layers=layers[j])
        alone = erdil.step(one, H100, counts[j], batches[i, 0], 100.0)
        assert_allclose(together[i, j], alone, rtol=1e-6)


def test_steps_go_through_jit_and_vmap():
    counts = jnp.array([1.0, 8.0, 24.0])
    mapped = jax.jit(jax.vmap(lambda n: erdil.step(LLAMA, H100, n, 4.0, 100.0, variant="paper")))
    expected = erdil.step(LLAMA, H100, counts, 4.0, 100.0, variant="paper")
    assert_allclose(mapped(counts), expected, rtol=1e-6)


@pytest.mark.skipif(not X64, reason="differences need float64")
def test_derivatives_are_those_of_differences():
    names = ("count", "batch", "context", "memory_bandwidth", "network_bandwidth", "launch_seconds")
    scales = jnp.array([14.0, 512.0, 100.0, 3.3e12, 50e9, 4e-6])
    wide = dataclasses.replace(EXPERTS, width=8192)  # best in two stages, each in a node

    def seconds(logs):
        values = dict(zip(names, jnp.exp(logs) * scales, strict=True))
        run = [values.pop(name) for name in names[:3]]
        return erdil.step(wide, dataclasses.replace(H100, **values), *run)

    slopes = jax.grad(seconds)(jnp.zeros(6))
    steps = 1e-5 * jnp.eye(6)
    differences = [(seconds(step) - seconds(-step)) / 2e-5 for step in steps]
    assert_allclose(slopes, differences, rtol=1e-6, atol=1e-12)
    assert slopes[4] < 0  # what a stage hands on crosses the network


def test_a_model_that_does_not_fit_takes_for_ever():
    large = dataclasses.replace(LLAMA, layers=320.0)  # 140 GB
    assert np.isinf(erdil.step(large, H100, 1.0, 1.0, 0.0))
    assert np.isfinite(erdil.step(large, H100, 2.0, 1.0, 0.0))
    assert np.isinf(erdil.step(LLAMA, H100, 1.0, 64.0, 8192.0))  # the cache of 69 GB
    assert jax.grad(lambda n: erdil.step(large, H100, n, 1.0, 0.0, variant="paper"))(1.0) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("count", 0.5), ("batch", 0.0), ("context", -1.0), ("tokens", 0.0), ("batch", np.inf)],
)
def test_a_bad_number_is_nan_with_zero_derivatives(name, value):
    run = {"count": 8.0, "batch": 4.0, "context": 10.0, "tokens": 1.0, name: value}
    paper = jax.value_and_grad(lambda run: erdil.step(LLAMA, H100, **run, variant="paper"))
    seconds, slopes = paper(run)
    assert np.isnan(seconds)
    assert set(map(float, slopes.values())) == {0.0}


def test_bad_models_and_devices_are_nan():
    few = dataclasses.replace(LLAMA, kv_heads=64)
    slow = dataclasses.replace(H100, memory_bandwidth=0.0)
    assert np.isnan(erdil.step(few, H100, 8, 1, 0))
    assert np.isnan(erdil.step(LLAMA, slow, 8, 1, 0))
    assert np.isnan(erdil.fastest(LLAMA, slow).seconds)
    assert np.isnan(erdil.all_reduce_seconds(H100, -1.0, 8, 1))


def test_devices_without_limits_have_finite_derivatives():
    ideal = erdil.Device(*[np.inf] * 6, launch_seconds=0.0)
    paper = jax.grad(lambda n: erdil.step(LLAMA, ideal, n, 4.0, 10.0, variant="paper"))
    assert np.isfinite(paper(8.0))


def test_wrong_structure_raises():
    with pytest.raises(ValueError, match=r"variant 'finale'.*did you mean final"):
        erdil.step(LLAMA, H100, 8, 1, 0, variant="finale")
    with pytest.raises(ValueError, match=r"precision of weights 'int3'"):
        erdil.step(LLAMA, H100, 8, 1, 0, weights="int3")
    with pytest.raises(ValueError, match=r"protocol 'LL12'.*did you mean LL128"):
        erdil.all_reduce_seconds(H100, 0, 8, 1, "LL12")
    with pytest.raises(TypeError, match="device must be a Device"):
        erdil.step(LLAMA, js.accelerator("H100-SXM"), 8, 1, 0)
    with pytest.raises(TypeError, match="architecture must be an Architecture"):
        erdil.step(8e9, H100, 8, 1, 0)


def test_a_device_has_the_numbers_of_its_accelerator():
    device = erdil.device_of(js.accelerator("H100-SXM"), "fp8", launch_seconds=0.0)
    assert device == erdil.Device(1.979e15, 3.35e12, 80e9, 450e9, 8, 50e9, 0.0)
    card = erdil.device_of(js.accelerator("A100-PCIe-80GB"))
    assert (card.domain, card.link_bandwidth) == (1, 31e9)  # PCIe alone
    alone = js.accelerator("A100-PCIe-80GB", link_bandwidth=None, domain=1)
    card = erdil.device_of(alone)
    assert (card.domain, card.link_bandwidth) == (1, np.inf)
    assert np.isfinite(erdil.step(LLAMA, card, 2, 1, 0))
    unknown = js.accelerator("H100-SXM", link_bandwidth=None, domain=None)
    with pytest.raises(ValueError, match=r"of H100-SXM: pass link_bandwidth=..., domain=...$"):
        erdil.device_of(unknown)


def test_an_all_reduce_takes_its_fastest_protocol():
    size, ranks, nodes = np.geomspace(1, 1e10, 30), np.array([[2.0], [16.0]]), np.array([[1], [2]])
    each = [
        erdil.all_reduce_seconds(H100, size, ranks, nodes, one) for one in ("LL", "LL128", "Simple")
    ]
    fastest = erdil.all_reduce_seconds(H100, size, ranks, nodes)
    assert_allclose(fastest, np.min(each, axis=0), rtol=1e-6)
    assert {int(np.argmin(column)) for column in np.array(each)[:, 0].T} == {0, 1, 2}
    assert erdil.all_reduce_seconds(H100, 1e9, 1, 1) == 0


def test_tokens_of_a_round_are_the_sum_of_powers():
    acceptance = np.array([0.0, 0.2, 0.5, 0.8, 1 - 1e-6, 1.0])
    found = erdil.tokens_per_round(4.0, acceptance)
    powers = np.arange(5)
    assert_allclose(found, (acceptance[:, None] ** powers).sum(1), rtol=1e-14 if X64 else 1e-6)
    slopes = jax.vmap(jax.grad(lambda a: erdil.tokens_per_round(4.0, a)))(jnp.asarray(acceptance))
    expected = (powers[1:] * acceptance[:, None] ** powers[:-1]).sum(1)
    # The slope of the quotient cancels by the distance to 1.
    far = [0, 1, 2, 3, 5]
    assert_allclose(slopes[np.array(far)], expected[far], rtol=1e-13 if X64 else 1e-5)
    bad = erdil.tokens_per_round(np.array([-1.0, 4.0, 4.0]), np.array([0.5, 1.1, np.nan]))
    assert np.isnan(bad).all()
