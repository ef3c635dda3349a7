"""Laws of parallel streams: values at fifty digits, a law made of a law, and bad input."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale.laws import protocol
from jaxscale.laws.streams import ParScale, Streams, with_streams

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
EPS = np.finfo(np.float64 if X64 else np.float32).eps
# Round numbers of the size of the published ones: the formula is tested, not the catalogue.
LAW = ParScale(E=1.3, A=0.2, alpha=0.2, k=0.3)
BASE = js.laws.published("besiroglu2024")
KUMAR = js.laws.published("kumar2024")
STREAMS = np.array([1.0, 2.0, 4.0, 8.0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("streams", STREAMS)
def test_loss_is_the_law_at_fifty_digits(streams, dtype):
    law, params = jax.tree.map(dtype, LAW), dtype(1.7e9)
    with mp.workdps(50):
        E, A, alpha, k = (mpf(float(x)) for x in dataclasses.astuple(law))
        effective = mpf(float(params)) * (1 + k * mp.log(streams))
        expected = float(E + (A * mpf(10) ** 9 / effective) ** alpha)
    found = law.loss(params, dtype(4.2e10), streams=dtype(streams))
    assert found.dtype == dtype
    assert_allclose(found, expected, rtol=20 * np.finfo(dtype).eps)


def test_streams_count_as_parameters():
    effective = LAW.effective_params(1e9, STREAMS)
    assert_allclose(effective, 1e9 * (1 + 0.3 * np.log(STREAMS)), rtol=4 * EPS)
    one = LAW.loss(effective, 42e9, streams=1.0)
    assert_allclose(LAW.loss(1e9, 42e9, streams=STREAMS), one, rtol=8 * EPS)
    law = with_streams(BASE, LAW.k)
    assert_allclose(law.loss(1e9, 1e11, streams=STREAMS), BASE.loss(effective, 1e11), rtol=8 * EPS)


def test_streams_multiply_the_flops_of_any_law():
    for law in (LAW, with_streams(BASE, 0.3)):
        flops = protocol.flops_of(law, 1e9, 1e11, streams=STREAMS)
        assert_allclose(flops.train, 6e20 * STREAMS, rtol=4 * EPS)
        assert_allclose(flops.prefill, 2e9 * STREAMS, rtol=4 * EPS)
        assert_allclose(flops.decode, 2e9 * STREAMS, rtol=4 * EPS)
    law = with_streams(KUMAR, 0.3)
    assert list(law.levers) == ["bits", "streams"]
    flops = protocol.flops_of(law, 1e9, 1e11, streams=STREAMS, bits=8.0)
    assert_allclose(flops.train, 3e20 * STREAMS, rtol=4 * EPS)
    loss = law.loss(1e9, 1e11, streams=1.0, bits=8.0)
    assert_allclose(loss, KUMAR.loss(1e9, 1e11, bits=8.0), rtol=4 * EPS)


def test_a_law_with_streams_is_otherwise_that_law():
    tao, kaplan = js.laws.published("tao2024"), js.laws.published("kaplan2020")
    experts, farseer = js.laws.published("ludziejewski2025"), js.laws.published("li2025")
    for law in (BASE, KUMAR, tao, kaplan, js.laws.published("clark2022_hash"), experts, farseer):
        streamed = with_streams(law, 0.3)
        for asked in (
            protocol.counts_embeddings,
            protocol.counts_idle_experts,
            protocol.may_end,
            protocol.has_experts,
            protocol.caution_of,
            protocol.loss_scale,
            protocol.depends_on_tokens,
        ):
            assert asked(streamed) == asked(law)


@pytest.mark.parametrize(
    "solve", [js.minimize_cost, pytest.param(js.minimize_loss, marks=pytest.mark.thorough)]
)
def test_plans_are_those_of_the_law_at_the_price_of_streams(solve):
    """With N (1 + k ln P) for N, each FLOP costs P / (1 + k ln P): the closed plan of the law."""
    law, demand = with_streams(BASE, 0.3), js.Demand(1e12, 1e11)
    gain = 1 + 0.3 * np.log(STREAMS)
    target = 2.3 if solve is js.minimize_cost else 1e22
    plan = solve(law, target, demand, levers={"streams": STREAMS})
    price = STREAMS / gain
    closed = solve(BASE, target, demand, js.Costs(price, price, price))
    assert plan.ok.all()
    assert_allclose(plan.tokens, closed.tokens, rtol=1e-9 if X64 else 1e-3)
    assert_allclose(plan.params, closed.params / gain, rtol=1e-9 if X64 else 1e-3)
    assert_allclose(plan.total_cost, closed.total_cost, rtol=1e-9 if X64 else 1e-3)
    assert_allclose(plan.loss, closed.loss, rtol=1e-9 if X64 else 1e-5)
    # Streams that are paid for by the FLOP never pay.
    assert plan.total_cost.argmin() == 0 if solve is js.minimize_cost else plan.loss.argmin() == 0


@pytest.mark.thorough
def test_derivatives_of_a_plan_are_those_of_its_price():
    """The cost is in proportion to P / (1 + k ln P)."""

    def log_cost(k, streams):
        law = Streams(BASE, k)
        plan = js.minimize_cost(law, 2.3, js.Demand(1e12), levers={"streams": streams})
        return jnp.log(plan.total_cost)

    by_k, by_streams = jax.grad(log_cost, (0, 1))(0.3, 4.0)
    gain = 1 + 0.3 * np.log(4)
    assert_allclose(by_k, -np.log(4) / gain, rtol=1e-9 if X64 else 1e-3)
    assert_allclose(by_streams, 1 / 4 - 0.3 / 4 / gain, rtol=1e-9 if X64 else 1e-3)


def test_bad_values_are_nan_with_zero_derivatives():
    bad = np.array([1.0, 0.9, 0.0, np.nan, np.inf])
    law = with_streams(BASE, 0.3)
    for each in (LAW, law):
        loss = each.loss(1e9, 42e9, streams=bad)
        assert_array_equal(np.isnan(loss), bad != 1)
        slope = jax.grad(lambda x, law=each: jnp.nansum(law.loss(1e9, 42e9, streams=x)))(bad)
        assert_array_equal(slope != 0, bad == 1)
        assert np.isfinite(slope).all()
    assert_array_equal(np.isnan(LAW.effective_params(1e9, bad)), bad != 1)
    assert np.isnan(dataclasses.replace(LAW, k=-0.1).loss(1e9, 42e9, streams=2.0))
    assert np.isnan(Streams(BASE, -0.1).loss(1e9, 1e11, streams=2.0))


@pytest.mark.parametrize("name", ["busbridge2025_student", "busbridge2025_teacher_trained"])
def test_a_student_has_no_streams(name):
    with pytest.raises(ValueError, match="of models without a teacher"):
        with_streams(js.laws.published(name), 0.3)


def test_what_is_no_law_or_has_streams_is_refused():
    with pytest.raises(TypeError, match="law must be a jaxscale law"):
        with_streams(3.0, 0.3)
    for law in (LAW, with_streams(BASE, 0.3)):
        with pytest.raises(ValueError, match="no streams of its own"):
            with_streams(law, 0.3)
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'streams'"):
        with_streams(BASE, 0.3).loss(1e9, 1e11)
