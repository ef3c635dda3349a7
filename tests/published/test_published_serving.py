"""Rooflines that were worked out by hand, through `js.serving`, to the digits that were printed.

Shapes are made to have the params and the cache that a source rounds to: the model itself has a
few per cent more or less. What these rows leave out on purpose: launches, links where none are
named, and all efficiencies.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxscale as js
from published.numbers import assert_printed

if not jax.config.jax_enable_x64:
    pytest.skip("printed digits are held to in float64", allow_module_level=True)

BOOK = "Austin et al. 2025, How to Scale Your Model, "  # jax-ml/scaling-book
INFERENCE, LLAMA, GPUS = (
    f"{BOOK}{page}" for page in ("inference.md", "applied-inference.md", "gpus.md")
)
KIPPLY = "Chen 2022, Transformer Inference Arithmetic"
POPE = "Pope et al. 2022, Table 1"
LARGE = 1e30  # of what a row leaves out
ROWS = 40  # groups are repeated to so many rows: one program for all
V5E = {"peak": 1.97e14, "bandwidth": 8.1e11}
A100 = {"peak": 312e12, "bandwidth": 1.5e12}


def shape(params, cache=1e-3, layers=1, width=1024.0):
    """A shape of exactly so many params, that keeps so many numbers of a token.

    Its head of one key and value is as wide as the cache asks, and its logits are next to nothing.
    """
    made = js.Architecture(
        layers, width, 1.0, 1.0, cache / (2 * layers), 1.0, 1e-3, 1e6, gated=True, tied=True
    )
    missing = params - float(made.params)
    return replace(made, ff_width=1 + missing / (3 * layers * width))


def row(shape, batch=1.0, context=0.0, *, count=1.0, link=np.inf, reduce=0.0, **device):
    """One step, on devices without limits but those that are named."""
    rates = {"peak": LARGE, "bandwidth": LARGE} | device
    return shape, (batch, context, count, link, reduce, rates["peak"], rates["bandwidth"])


def timed(rows, weights="bf16", cache="bf16"):
    """Steps of rows that share their precisions, in one call."""
    repeated = [rows[i % len(rows)] for i in range(ROWS)]
    shapes = jax.tree.map(lambda *x: np.array(x, float), *(shape for shape, _ in repeated))
    batch, context, count, link, reduce, peak, bandwidth = np.array([x for _, x in repeated]).T
    device = js.accelerator(
        "TPU-v5e", peak_flops={"bf16": peak}, memory_bandwidth=bandwidth, memory_bytes=1e15
    )
    # By sequences, so that one head of keys is not copied.
    deployment = js.serving.Deployment(
        device, count, weights, cache=cache, cache_split="batch"
    ).ideal()
    device = replace(deployment.accelerator, link_bandwidth=link)
    deployment = replace(deployment, accelerator=device, reduce_seconds=reduce)
    step = js.serving.step(shapes, deployment, batch, context)
    assert step.ok.all()
    return jax.tree.map(lambda x: np.asarray(x)[: len(rows)], step)


# --- Decoding, pages of the book and of kipply -------------------------------------------------

# Llama 2 13B on 8 TPU v5e of 8.2e11 bytes/s, 26 GB of weights and a cache of 6.7 GB for each
# sequence of 8,192 tokens, or of a fifth: ms of a step, and tokens/s.
BATCHES = 1, 8, 16, 32, 64, 240
LLAMA_13B = {
    6.7e9: (
        ("4.98", "12.13", "20.30", "36.65", "69.33", "249.09"),
        ("200.61", "659.30", "787.99", "873.21", "923.13", "963.53"),
    ),
    1.34e9: (
        ("4.17", "5.60", "7.23", "10.50", "17.04", "52.99"),
        ("239.94", "1429.19", "2212.48", "3047.62", "3756.62", "4529.34"),
    ),
}


def test_decoding_takes_what_the_book_prints():
    chip = {"peak": 1.97e14, "bandwidth": 8.2e11, "count": 8}
    tables = [
        row(shape(13e9, cache / 2 / 8192, layers=40), batch, 8192, **chip)
        for cache in LLAMA_13B
        for batch in BATCHES
    ]
    kipply = [
        (KIPPLY, "52B on one A100, ms of a token", "69", row(shape(51.5e9), **A100)),
        (KIPPLY, "52B on four A100, ms of a token", "17", row(shape(51.5e9), count=4, **A100)),
        (KIPPLY, "260B on 16 A100, ms of a token", "22", row(shape(260e9), count=16, **A100)),
        (
            KIPPLY, "260B on 16 A100, batch 512, ms of arithmetic", "53",
            row(shape(260e9), 512, count=16, peak=312e12),
        ),
        (
            KIPPLY, "52B on four A100, batch 256, ms of arithmetic", "21",
            row(shape(51.5e9), 256, count=4, peak=312e12),
        ),
    ]  # fmt: skip
    links = [
        # Two all-reduces in each layer, which the page counts as four messages of 8 us.
        (
            KIPPLY, "260B on 16 A100, ms of short messages", "2.56",
            row(shape(1e6, layers=80), count=16, reduce=16e-6),
        ),
        # The page leaves out (n - 1)/n, which the links here are given.
        (
            KIPPLY, "260B on 16 A100, batch 512, ms of messages", "18",
            row(shape(1e9, layers=80, width=16384.0), 512, count=16, link=300e9 * 15 / 16),
        ),
        (
            KIPPLY, "52B on four A100, batch 256, ms of messages", "4",
            row(shape(1e9, layers=64, width=8192.0), 256, count=4, link=300e9 * 3 / 4),
        ),
    ]  # fmt: skip
    gathers = [
        # A layer has two all-reduces, each of which is two all-gathers.
        (
            GPUS, "AllGather of bf16[1024, 16384] in a node of H100, us", "65",
            row(shape(1e6, width=16384.0), 1024, count=8, link=450e9),
        ),
        # The page has 11.65 us without (n - 1)/n, and cuts off the digits.
        (
            LLAMA, "70B on 32 v5e, batch 64, us of links", "11",
            row(shape(1e6, width=8192.0), 64, count=32, link=9e10),
        ),
    ]  # fmt: skip
    checks = [*kipply, *links, *gathers]
    step = timed([*tables, *(each for *_, each in checks)])
    printed = [pair for ms, speeds in LLAMA_13B.values() for pair in zip(ms, speeds, strict=True)]
    for i, (ms, speed) in enumerate(printed):
        what = f"Llama 2 13B, cache {list(LLAMA_13B)[i // 6] / 1e9:g} GB, batch {BATCHES[i % 6]}"
        source = f"{INFERENCE}, modeling throughput"
        assert_printed(step.seconds[i] * 1e3, ms, source=source, what=f"{what}, ms")
        assert_printed(step.tokens_per_second[i], speed, source=source, what=f"{what}, tokens/s")
    # Up to here the weights and the cache are all that limits, if only just at a batch of 240.
    assert set(step.limit[:12].tolist()) == {js.serving.Limit.WEIGHTS, js.serving.Limit.CACHE}
    for (source, what, text, _), seconds in zip(checks, step.seconds[12:], strict=True):
        unit = 4e-6 if (source, what, text, _) in gathers else 1e-3
        assert_printed(seconds / unit, text, source=source, what=what)


def test_int8_weights_take_what_the_book_prints():
    small = shape(30e9, 100e3)  # 819 MB of cache for 8,192 tokens, in int8
    large = shape(70e9, 160e3)
    # A feed-forward part alone, of which the book takes one matrix of two.
    matrix = shape(2 * 8192 * 28672, width=8192.0)
    rows = [
        row(small, 4, 8192, count=16, **V5E),
        row(small, 256, 8192, count=16, **V5E),
        row(large, 32, 8192, count=8, peak=1.97e14, bandwidth=8.2e11),
        row(large, 32, 8192, count=16, peak=1.97e14, bandwidth=8.2e11),
    ]
    step = timed(rows, weights="int8", cache="int8")
    ms, source = step.seconds * 1e3, f"{INFERENCE}, theoretical estimates"
    what = "30e9 params in int8 on 16 v5e, ms at batch"
    # 2.57 and 21.05: the book cuts off.
    assert_printed(ms[0], "2.5", source=source, what=f"{what} 4", within=0.08)
    assert_printed(ms[1], "21", source=source, what=f"{what} 256")
    source = LLAMA
    assert_printed(ms[2], "17", source=source, what="Llama 3 70B, batch 32, 8 v5e, ms")
    assert_printed(ms[3], "8.5", source=source, what="Llama 3 70B, batch 32, 16 v5e, ms")
    # The book divides by 17 ms, of 17.06.
    speed = step.tokens_per_second[2]
    assert_printed(speed, "1882", source=source, what="Llama 3 70B, tokens/s", within=8)
    assert_printed(speed / 8, "235", source=source, what="Llama 3 70B, tokens/s/chip", within=1)
    each = timed(
        [
            row(matrix, 64, count=32, bandwidth=8.1e11),
            row(matrix, 64, count=32, peak=1.97e14),
        ]
    )
    read, multiplied = each.seconds / 2 * 1e6
    what = "one matrix of 70B, batch 64, 32 v5e, us of"
    assert_printed(read, "18", source=LLAMA, what=f"{what} reading")
    # 4.77: the book cuts off.
    assert_printed(multiplied, "4", source=LLAMA, what=f"{what} arithmetic", within=0.8)


def test_arithmetic_limits_an_a100_above_a_batch_of_208():
    step = timed([row(shape(51.5e9), batch, **A100) for batch in (207, 209)])
    assert step.limit.tolist() == [js.serving.Limit.WEIGHTS, js.serving.Limit.COMPUTE]


def test_reading_a_prompt_takes_what_the_book_prints():
    device = js.accelerator("TPU-v5e", peak_flops={"bf16": 1.97e14}, memory_bandwidth=8.1e11)
    deployment = replace(js.serving.Deployment(device, 16).ideal(), compute_efficiency=0.4)
    # The book leaves out attention, which the shape of no heads does too.
    seconds = js.serving.prefill(shape(70e9), deployment, 1, 8192).seconds
    what = "70B reads 8,192 tokens on 16 v5e at 40 % MFU, s"
    assert_printed(seconds, "0.91", source=LLAMA, what=what)
    # Scores of causal attention are 7 % more, of which the logits of all but one token are saved.
    real = replace(js.architectures.published("llama-3-70b"), vocabulary=1)
    params = float(real.params)
    whole = js.serving.prefill(real, deployment, 1, 8192).seconds
    scores = 4 * 80 * 8192 * 4096 * 8192 / (16 * 1.97e14 * 0.4)
    assert whole == pytest.approx(2 * params * 8192 / (16 * 1.97e14 * 0.4) + scores, rel=1e-4)


def test_three_servers_that_read_feed_one_that_writes():
    # 0.91 s for 8,192 tokens, and 512 steps of 19 ms for 32 sequences; at the same price a share
    # of the cost is a share of the devices.
    device = js.accelerator(
        "TPU-v5e", peak_flops={"bf16": 1.97e14}, memory_bandwidth=140e9 / 16 / 0.019,
        memory_bytes=1e15, price=1.0,
    )  # fmt: skip
    writer = js.serving.Deployment(device, 16).ideal()
    reader = replace(writer, compute_efficiency=0.4)
    requests = js.serving.Requests(prompt=8192, output=512)
    service = js.serving.serve(shape(70e9), writer, requests, batch=32, prefill_on=reader)
    read = service.dollars_per_million_input_tokens * 8192
    written = service.dollars_per_million_output_tokens * 512
    what = "servers that read for one that writes"
    assert_printed(read / written, "3", source=LLAMA, what=what)


# --- Memory ------------------------------------------------------------------------------------


def fits(shape, count, memory, tokens, precision, cache_split):
    """The largest batch of sequences of so many tokens."""
    device = js.accelerator("TPU-v4", memory_bytes=np.asarray(memory), price=1.0)
    deployment = js.serving.Deployment(
        replace(device, domain=64), np.asarray(count, float), precision, cache=precision,
        cache_split=cache_split,
    )  # fmt: skip
    requests = js.serving.Requests(prompt=np.asarray(tokens) - 1.0, output=1.0)
    shapes = jax.tree.map(lambda *x: np.array(x, float), *shape)
    service = js.serving.serve(shapes, replace(deployment, usable_memory=1.0), requests)
    assert service.ok.all()
    return service.batch


def test_as_many_sequences_fit_as_were_printed():
    def book(kv_heads):
        return js.Architecture(
            64, 4096, 32, kv_heads, 256, 16384, 32128, 1e6, gated=True, tied=True
        )  # fmt: skip

    assert_printed(
        book(8).params / 1e9, "18.4", source=INFERENCE, what="worked problem, 1e9 params"
    )
    # Answers of its problems, worked out apart: eight heads of keys and values, or one.
    batch = fits([book(8), book(1)], [16, 16], [16e9] * 2, [8192] * 2, "int8", "batch")
    assert jnp.floor(batch).tolist() == [110, 888]
    # Of int8 and int4 the book prints 52 and 67: it has 68 and 19 GB left for caches, where 8 and
    # 4 chips of 16 GB have 58 and 29 beside the weights. Halving everything leaves 43.
    llama = shape(70e9, 2 * 8 * 128 * 80)
    for precision, count in (("bf16", 16), ("int8", 8), ("int4", 4)):
        batch = fits([llama] * 2, [count] * 2, [16e9] * 2, [8192] * 2, precision, "batch")
        what = f"70B, 8k context, {count} v5e, {precision}: sequences"
        if precision == "bf16":
            assert_printed(jnp.floor(batch[0]), "43", source=LLAMA, what=what)
        else:
            assert jnp.floor(batch[0]) == 43


def test_the_context_that_fits_is_that_of_pope():
    # PaLM 540B on 64 chips of 32 GiB, 30 % of which are for the cache; the printed contexts are
    # rounded, and within 1.5 % of what 118 layers and heads of 256 make.
    cached, batches = 0.3 * 32 * 2**30, np.array([128, 512])
    variants = {  # heads of keys and values, their size, how the cache is split
        "multihead": (64, 128, "heads", ("1320", "330")),
        "multiquery, by heads": (1, 256, "heads", ("660", "165")),
        "multiquery, by batch": (1, 256, "batch", ("43000", "10700")),
    }
    for name, (kv_heads, size, split, printed) in variants.items():
        palm = js.Architecture(
            118, 18432, 64, kv_heads, size, 73728, 256000, 1e6, gated=True, tied=True
        )
        tokens = np.array([float(text) for text in printed])
        memory = cached + 2 * float(palm.params) / 64
        batch = np.asarray(fits([palm] * 2, [64] * 2, [memory] * 2, tokens, "bf16", split))
        for context, text, most in zip(batch * tokens / batches, printed, batches, strict=True):
            within = 0.015 * float(text)
            what = f"{name}, longest context at batch {most}"
            assert_printed(context, text, source=POPE, what=what, within=within)
