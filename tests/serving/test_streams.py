"""Parallel streams: P times the arithmetic and the cache, the weights once, the logits once."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale import Status
from serving import by_hand
from solve.lanes import X64
from solve.served_lanes import TRAINER

FAMILY = replace(js.architectures.LLAMA, context=1e6, kv_group=4.0)
DEVICE = js.accelerator("H100-SXM", price=2.0)
ALONE = js.serving.Deployment(DEVICE)
MODEL = js.architectures.published("llama-3-8b")
STREAMS = np.array([1.0, 2.0, 4.0, 8.0])
BATCHES = np.array([1.0, 8.0, 64.0])[:, None]
DIGITS = 1e-9 if X64 else 1e-4


@pytest.mark.parametrize("count", [1, 8, 16])
def test_passes_take_what_they_take_by_hand(count):
    params = np.float64(3e9)
    model, a = FAMILY.architecture(params), by_hand.shape_of(FAMILY, params)
    deployment, r = replace(ALONE, count=count), by_hand.rates_of(DEVICE, count)
    part = np.maximum(BATCHES / r["stages"], 1)
    step = js.serving.step(model, deployment, BATCHES, 1500.0, streams=STREAMS)
    expected = by_hand.pass_seconds(a, r, part, 1.0, 1500.0, 1500.0, STREAMS)
    assert_allclose(step.seconds, expected, rtol=DIGITS)
    copies = np.maximum(r["tensor"] / a["kv_heads"], 1)
    used = a["params"] * 2 + BATCHES * STREAMS * a["kv"] * 1500.0 * 2 * copies
    assert_allclose(step.memory_bytes, used / count, rtol=DIGITS)
    read = js.serving.prefill(model, deployment, 1.0, 1500.0, streams=STREAMS)
    expected = by_hand.pass_seconds(a, r, 1.0, 1500.0, 750.0, 1500.0, STREAMS)
    assert_allclose(read.seconds, expected, rtol=DIGITS)


def test_streams_are_free_where_weights_decide_and_have_their_full_price_where_arithmetic_does():
    """A token's time at the roofline, from the sizes of Llama-3-8B and the data sheet alone."""
    layers = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
    logits, norms, cached = 128256 * 4096, 65 * 4096, 2 * 32 * 8 * 128
    flops, bandwidth = DEVICE.peak("bf16"), DEVICE.memory_bandwidth
    compute = BATCHES * 2 * (STREAMS * layers + logits) / flops
    weights = 2 * (layers + logits + norms) / bandwidth
    cache = BATCHES * STREAMS * 64 * cached * 2 / bandwidth
    expected = np.maximum(compute, weights) + cache  # which takes longer than its scores
    step = js.serving.step(MODEL, ALONE.ideal(), BATCHES, 64.0, streams=STREAMS)
    assert_allclose(step.seconds, expected, rtol=DIGITS)
    ratio = np.asarray(step.seconds / step.seconds[:, :1])
    assert ratio[0, -1] < 1.02  # eight streams of one sequence
    assert 1.5 < ratio[-1, -1] < 2  # of 64: arithmetic decides from 5 streams on
    read = js.serving.prefill(MODEL, ALONE.ideal(), 8.0, 1024.0, streams=STREAMS)
    full = np.asarray(read.seconds / read.seconds[0])
    assert_allclose(full, STREAMS, rtol=1e-3)  # but for the logits of the last token


def test_services_with_streams_cost_what_they_cost_by_hand():
    params = np.float64(3e9)
    model, a = FAMILY.architecture(params), by_hand.shape_of(FAMILY, params)
    requests = js.serving.Requests(1000, 200, streams=STREAMS)
    service = js.serving.serve(model, ALONE, requests, batch=BATCHES)
    r = by_hand.rates_of(DEVICE, 1)
    read, written = by_hand.price(a, r, 1000, 200, BATCHES, streams=STREAMS)
    assert_array_equal(service.ok, np.isfinite(read))
    read, written = (np.where(service.ok, 1e6 * x, np.nan) for x in (read, written))
    assert_allclose(service.dollars_per_million_input_tokens, read, rtol=DIGITS)
    assert_allclose(service.dollars_per_million_output_tokens, written, rtol=DIGITS)
    most = js.serving.serve(model, ALONE, requests)
    assert_allclose(most.batch, most.batch[0] / STREAMS, rtol=DIGITS)  # of what memory holds


def test_each_stream_runs_through_experts_of_its_own():
    shape = js.architectures.published("mixtral-8x7b")
    deployment = replace(ALONE.ideal(), count=2)
    streams = js.serving.step(shape, deployment, 2.0, 64.0, streams=4.0)
    batch = js.serving.step(shape, deployment, 8.0, 64.0)
    assert_allclose(streams.seconds, batch.seconds, rtol=DIGITS)  # both are bound by weights


def test_less_than_one_stream_is_refused():
    requests = js.serving.Requests(1000, 200, streams=np.array([1.0, 0.5, np.nan]))
    service = js.serving.serve(MODEL, ALONE, requests)
    assert [Status(int(x)).name for x in service.status] == ["OK", *["INVALID_INPUT"] * 2]
    step = js.serving.step(MODEL, ALONE, 1.0, 64.0, streams=np.array([1.0, 0.5]))
    assert [Status(int(x)).name for x in step.status] == ["OK", "INVALID_INPUT"]


def test_a_priced_plan_pays_for_the_streams_of_its_law():
    k, params, tokens = js.laws.published("chen2025_pile").k, 3e9, 1e12
    law = js.laws.with_streams(js.laws.published("sardana2024"), k)
    costs = js.Costs.served(
        FAMILY,
        DEVICE,
        js.serving.Requests(1000, 200),
        js.serving.Limits(max_batch=8),
        train=TRAINER,
        counts=[1],
    )
    demand = js.Demand(1e12, 2e11)
    plan = js.evaluate(law, params, tokens, demand, costs, levers={"streams": STREAMS})
    a, r = by_hand.shape_of(FAMILY, np.float64(params)), by_hand.rates_of(DEVICE, 1)
    read, written = by_hand.price(a, r, 1000, 200, 8.0, streams=STREAMS)
    assert_allclose(plan.prefill_cost, 1e12 * read, rtol=DIGITS)
    assert_allclose(plan.decode_cost, 2e11 * written, rtol=DIGITS)
    assert_allclose(plan.train_cost, plan.train_cost[0] * STREAMS, rtol=DIGITS)
