"""Passes, services and choices among deployments, against the same model written in NumPy."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from jaxscale import Status
from jaxscale._numerics.interpreted import interpreted
from serving import by_hand
from solve.lanes import SEED, X64, needs_x64

FAMILY = replace(js.architectures.LLAMA, context=1e6, kv_group=4.0)
DEVICE = js.accelerator("H100-SXM", price=2.0)
MODEL = js.architectures.published("llama-3-8b")
EXPERTS = js.architectures.published("mixtral-8x7b")
REQUESTS = js.serving.Requests(1000, 200)
ALONE = js.serving.Deployment(DEVICE)
DIGITS = 1e-9 if X64 else 1e-4
LANES = 50


@pytest.fixture
def draws():
    print(f"JAXSCALE_TEST_SEED={SEED}")
    rng = np.random.default_rng(SEED)
    ranges = {"params": (8, 10.5), "batch": (0, 2.5), "prompt": (2, 4), "output": (1, 3)}
    ranges |= {"token": (-2, -0.5), "first": (-1.5, 0)}
    return {name: 10 ** rng.uniform(*ends, LANES) for name, ends in ranges.items()}


def served_alone(requests=REQUESTS, **options):
    """The service of one device, by NumPy: most tests ask for one number."""
    return interpreted(js.serving.serve, MODEL, ALONE, requests, **options)


def shape_of(params):
    return FAMILY.architecture(params), by_hand.shape_of(FAMILY, params)


@pytest.mark.parametrize("count", [1, 8, 16])
def test_passes_take_what_they_take_by_hand(draws, count):
    model, a = shape_of(draws["params"])
    deployment, r = replace(ALONE, count=count), by_hand.rates_of(DEVICE, count)
    batch, context = draws["batch"], draws["prompt"]
    part = np.maximum(batch / r["stages"], 1)
    step = js.serving.step(model, deployment, batch, context)
    expected = by_hand.pass_seconds(a, r, part, 1.0, context, context)
    copies = np.maximum(r["tensor"] / a["kv_heads"], 1)
    used = (a["params"] * 2 + batch * a["kv"] * context * 2 * copies) / count
    assert_allclose(step.memory_bytes, used, rtol=DIGITS)
    fits = used <= 72e9
    assert_allclose(step.seconds, np.where(fits, expected, np.nan), rtol=DIGITS)
    assert {Status(int(x)).name for x in step.status[~fits]} <= {"OUT_OF_MEMORY"}
    dollars = np.where(fits, r["price"] * expected / batch * 1e6, np.nan)
    assert_allclose(step.dollars_per_million_tokens, dollars, rtol=DIGITS)
    read = js.serving.prefill(model, deployment, 1.0, context)
    expected = by_hand.pass_seconds(a, r, 1.0, context, context / 2, context)
    assert_allclose(read.seconds, np.where(read.ok, expected, np.nan), rtol=DIGITS)
    assert read.ok.any()


@pytest.mark.parametrize("count", [1, 8, 16])
def test_the_batch_is_the_largest_that_the_limits_allow(draws, count):
    model, a = shape_of(draws["params"])
    r = by_hand.rates_of(DEVICE, count)
    prompt, output, both = draws["prompt"], draws["output"], (draws["token"], draws["first"])
    requests, limits = js.serving.Requests(prompt, output), js.serving.Limits(*both)
    served = js.serving.serve(model, replace(ALONE, count=count), requests, limits=limits)
    batch = np.asarray(served.batch)
    read, write = by_hand.price(a, r, prompt, output, np.where(served.ok, batch, 1.0), both)
    # Infinite by hand where a limit is not kept.
    per_token = np.where(served.ok, 1e6 * read, np.nan)
    if X64:
        assert_allclose(served.dollars_per_million_input_tokens, per_token, rtol=DIGITS)
    per_token = np.where(served.ok, 1e6 * write, np.nan)
    if X64:
        assert_allclose(served.dollars_per_million_output_tokens, per_token, rtol=DIGITS)
        _, more = by_hand.price(a, r, prompt, output, batch * (1 + 1e-6), both)
        assert np.isinf(more[served.ok]).all()
    _, least = by_hand.price(a, r, prompt, output, 1.0, both)
    assert np.isinf(least[~np.asarray(served.ok)]).all()
    assert served.ok.any()
    assert {Status(int(x)).name for x in served.status} <= {"OK", "OUT_OF_MEMORY", "TOO_SLOW"}


@needs_x64
def test_the_best_is_the_cheapest_of_all_options_and_none_beats_the_front(draws):
    model, _ = shape_of(draws["params"])
    requests = js.serving.Requests(draws["prompt"], draws["output"])
    limits = js.serving.Limits(draws["token"], draws["first"])
    best = interpreted(js.serving.best, model, DEVICE, requests, limits, counts=[1, 4, 8])
    costs = []
    for option in best.options:
        served = interpreted(js.serving.serve, model, option, requests, limits=limits)
        costs.append(np.where(served.ok, served.dollars_per_request, np.inf))
    least = np.min(costs, axis=0)
    assert_allclose(np.where(best.ok, best.service.dollars_per_request, np.inf), least, rtol=1e-12)
    assert_allclose(np.argmin(costs, axis=0)[best.ok], best.choice[best.ok])
    assert np.all(best.choice[~best.ok] == -1)
    front = js.serving.front(MODEL, DEVICE, REQUESTS, counts=[1, 4, 8])
    speed, dollars = front.tokens_per_second_per_user, front.dollars_per_request
    assert np.all(np.diff(speed) < 0)
    assert np.all(np.diff(dollars) < 0)
    for option in front.options:
        batch = 2.0 ** np.arange(12)
        served = interpreted(js.serving.serve, MODEL, option, REQUESTS, batch=batch)
        for fast, cost in zip(1 / served.token_seconds, served.dollars_per_request, strict=True):
            if np.isfinite(cost):
                beaten = (speed * (1 + 1e-6) >= fast) & (dollars <= cost * (1 + 1e-6))
                assert beaten.any()


def test_at_a_rate_the_best_is_the_cheapest_in_whole_copies():
    rates = np.array([0.3, 3.0, 30.0, 300.0])
    requests = replace(REQUESTS, rate=rates)
    devices = DEVICE, js.accelerator("L4", price=0.4)
    best = interpreted(js.serving.best, MODEL, devices, requests, counts=[1, 2, 8])
    hourly, each = [], []
    for option in best.options:
        served = interpreted(js.serving.serve, MODEL, option, REQUESTS)
        copies = np.ceil(rates / float(served.requests_per_second))
        hourly.append(copies * option.count * option.accelerator.price)
        each.append(np.full(len(rates), served.dollars_per_request))
    least = np.min(hourly, axis=0)
    assert_allclose(best.service.dollars_per_hour, least, rtol=DIGITS)
    assert best.options[int(best.choice[0])].accelerator.name == "L4"
    # Of as many dollars an hour, the deployment with the cheapest requests is the least busy.
    level = np.where(np.isclose(hourly, least), each, np.inf).min(axis=0)
    assert_allclose(best.service.dollars_per_request, level, rtol=DIGITS)
    alone = interpreted(js.serving.best, MODEL, DEVICE, REQUESTS, counts=[1])
    assert np.isnan(alone.service.dollars_per_hour)


def test_readers_and_writers_are_whole_copies_of_their_own():
    reader = js.serving.Deployment(js.accelerator("L4", price=0.4))
    requests = replace(REQUESTS, rate=400.0)
    service = interpreted(js.serving.serve, MODEL, ALONE, requests, prefill_on=reader)
    # Of each kind a device is busy for as many dollars as a request costs it.
    dollars = [400 * 1e-6 * float(service.dollars_per_million_input_tokens) * REQUESTS.prompt]
    dollars += [400 * 1e-6 * float(service.dollars_per_million_output_tokens) * REQUESTS.output]
    prices = 0.4, 2.0
    copies = [np.ceil(3600 * x / price) for x, price in zip(dollars, prices, strict=True)]
    assert min(copies) >= 2
    assert_allclose(service.dollars_per_hour, np.dot(copies, prices), rtol=DIGITS)


def test_a_device_of_unknown_memory_is_refused_by_name():
    device = js.hardware.custom(989e12, price=2.0, name="ours")
    with pytest.raises(ValueError, match="ours needs its memory_bytes and memory_bandwidth to"):
        js.serving.serve(MODEL, js.serving.Deployment(device), REQUESTS)
    device = replace(device, memory_bytes=80e9)
    with pytest.raises(ValueError, match="ours needs its memory_bandwidth to serve"):
        js.serving.best(MODEL, device, REQUESTS)
    (row,) = js.serving.compare(MODEL, REQUESTS, devices=[device]).rows
    assert (row.reason, row.sentence) == ("memory", "ours needs its memory_bandwidth to serve.")


def test_waiting_is_that_of_a_queue_in_which_all_take_as_long():
    load = np.array([0.3, 0.7, 0.5, 1.0])
    served = served_alone(batch=1.0, utilisation=load)
    rng, count = np.random.default_rng(0), 400_000
    service = 1.0
    for lane in range(2):
        x, waiting, rate = (
            y[lane] for y in (load, served.waiting_seconds, served.requests_per_second)
        )
        arrivals = np.cumsum(rng.exponential(service / x, count))
        # Each begins when it comes or when all before it are done, whichever is later.
        done = np.maximum.accumulate(arrivals - service * np.arange(count))
        simulated = np.mean(done - (arrivals - service * np.arange(count)))
        assert float(waiting * rate / x) == pytest.approx(simulated, rel=0.05)
    idle, full = served.dollars_per_request[2:]
    assert idle == pytest.approx(2 * full)
    assert float(served_alone(batch=1.0).waiting_seconds) == 0


def test_a_step_reads_the_experts_that_its_tokens_hit():
    deployment = replace(ALONE, count=4).ideal()
    batch = np.array([1.0, 4.0, 1024.0])
    step = js.serving.step(EXPERTS, deployment, batch, 0.0)
    share = 1 - (1 - 2 / 8) ** batch
    ff = 3 * 4096 * 14336 * 32
    outside = float(EXPERTS.params) - 8 * ff - 32000 * 4096  # one of two tables
    weights = 2 * (outside + 8 * ff * share) / (4 * DEVICE.memory_bandwidth)
    arithmetic = 2 * batch * (outside + 2 * ff - (2 * 32 + 1) * 4096) / (4 * DEVICE.peak("bf16"))
    assert_allclose(step.seconds, np.maximum(weights, arithmetic), rtol=1e-5)


@pytest.mark.parametrize("acceptance", [0.0, 0.7, 1.0])
def test_speculation_takes_a_round_for_its_tokens(acceptance):
    draft = js.architectures.published("llama-3-8b")
    large, deployment = js.architectures.published("llama-3-70b"), replace(ALONE, count=8)
    guess = js.serving.Speculation(draft, drafts=3, acceptance=acceptance)
    tokens = {0.0: 1.0, 0.7: (1 - 0.7**4) / 0.3, 1.0: 4.0}[acceptance]
    on = {"speculation": guess, "prefill_on": deployment}
    served = interpreted(js.serving.serve, large, deployment, REQUESTS, batch=1.0, **on)
    context = 1000 + 100
    one = interpreted(js.serving.step, draft, deployment, 1.0, context)
    # Four tokens at once: hardly longer than one, as weights take the most.
    verified = float(served.token_seconds) * tokens - 3 * float(one.seconds)
    alone = interpreted(js.serving.step, large, deployment, 1.0, context)
    assert verified == pytest.approx(float(alone.seconds), rel=0.05)
    assert verified > float(alone.seconds)


def test_other_devices_may_read_the_prompts_and_a_cache_saves_them():
    apart = served_alone(batch=8.0, prefill_on=replace(ALONE, count=2))
    step = js.serving.step(MODEL, ALONE, 8.0, 1100.0)
    assert float(apart.token_seconds) == pytest.approx(float(step.seconds), rel=1e-5)
    read = js.serving.prefill(MODEL, replace(ALONE, count=2), 1.0, 1000.0)
    assert float(apart.first_token_seconds) == pytest.approx(float(read.seconds), rel=1e-5)
    known = served_alone(replace(REQUESTS, cached=0.75), batch=8.0)
    read = js.serving.prefill(MODEL, ALONE, 1.0, 1000.0, cached=750.0)
    assert float(known.first_token_seconds) == pytest.approx(float(read.seconds), rel=1e-5)


def test_what_cannot_be_served_has_a_status_and_leaves_its_neighbours_alone():
    batch = np.array([1.0, 0.0, 1.0, 1e5, np.nan])
    context = np.array([1000.0, 1000.0, 9000.0, 1000.0, 1000.0])
    step = js.serving.step(MODEL, ALONE, batch, context)
    names = ["OK", "INVALID_INPUT", "CONTEXT_TOO_LONG", "OUT_OF_MEMORY", "INVALID_INPUT"]
    assert [Status(int(x)).name for x in step.status] == names
    assert np.isfinite(step.seconds).tolist() == [True, False, False, False, False]
    assert float(step.seconds[0]) == float(js.serving.step(MODEL, ALONE, 1.0, 1000.0).seconds)
    counts = np.array([8.0, 9.0])  # two domains cannot share 9
    unlike = interpreted(js.serving.step, MODEL, replace(ALONE, count=counts), 1.0, 1000.0)
    assert [Status(int(x)).name for x in unlike.status] == ["OK", "INVALID_INPUT"]
    limits = js.serving.Limits(np.array([np.inf, 1e-6]))
    slow = served_alone(limits=limits)
    assert [Status(int(x)).name for x in slow.status] == ["OK", "TOO_SLOW"]
    slopes = interpreted(
        jax.grad(lambda b: jnp.nansum(js.serving.step(MODEL, ALONE, b, context).seconds)), batch
    )
    assert np.isfinite(slopes).all()
    assert slopes[0] > 0


@needs_x64
@pytest.mark.parametrize("sharpness", [None, 8.0])
def test_derivatives_are_those_of_differences(sharpness):
    def seconds(logs):
        batch, context, bandwidth = jnp.exp(logs) * jnp.array([64.0, 2000.0, 3.35e12])
        device = replace(DEVICE, memory_bandwidth=bandwidth)
        deployment = js.serving.Deployment(device, count=8)
        found = js.serving.step(MODEL, deployment, batch, context, sharpness=sharpness)
        return jnp.log(found.seconds)

    exact = interpreted(jax.grad(seconds), np.zeros(3))
    steps = 1e-6 * np.eye(3)
    both = interpreted(jax.vmap(seconds), np.concatenate([steps, -steps]))
    assert_allclose(exact, (both[:3] - both[3:]) / 2e-6, rtol=1e-5, atol=1e-9)


def test_a_smooth_maximum_is_above_the_maximum_and_near_it():
    batch = np.geomspace(1, 2000, 30)
    asked = EXPERTS, replace(ALONE, count=8), batch, 1000.0
    sharp = interpreted(js.serving.step, *asked).seconds
    for p in (2.0, 8.0):
        smooth = interpreted(js.serving.step, *asked, sharpness=p)
        ratio = smooth.seconds / sharp
        fits = np.isfinite(ratio)
        assert np.all(ratio[fits] >= 1 - 1e-6)
        assert np.all(ratio[fits] <= 2 ** (1 / p) * (1 + 1e-6))
