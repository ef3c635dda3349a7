"""FLOPs per token by every count, against the papers' own formulas."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

from jaxscale.architectures import COUNTS, Architecture, counts

X64 = jax.config.read("jax_enable_x64")
EPS = np.finfo(np.float64 if X64 else np.float32).eps

# The classic shape: heads add up to the width d, f = 4 d, ties.
L, D, H, K, V, T = 24, 1024, 16, 64, 50257, 2048
CLASSIC = Architecture(L, D, H, H, K, 4 * D, V, T, gated=False, tied=True)
N = 12 * L * D**2


def hoffmann_per_sequence(s):
    attention = 2 * 3 * s * D * (K * H) + 2 * s * s * (K * H) + 3 * H * s * s
    attention += 2 * s * s * (K * H) + 2 * s * (K * H) * D
    dense = 2 * s * (D * 4 * D + D * 4 * D)
    return L * (attention + dense), 2 * 2 * s * V * D


PAPERS = {
    "kaplan": 2 * N + 2 * L * T * D,
    "hoffmann": sum(hoffmann_per_sequence(T)) / T,
    "hoffmann_layers": hoffmann_per_sequence(T)[0] / T,
    "palm": (6 * (N + V * D + (2 * L + 1) * D) + 12 * L * H * K * T) / 3,
    "kipply": 24 * L * D**2,
    "deepseek": (72 * L * D**2 + 12 * L * D * T) / 3,
    "operations": 2 * N + 4 * L * T * D + 2 * V * D,
    "6n": 2 * (N + V * D + (2 * L + 1) * D),
}


@pytest.mark.parametrize("count", COUNTS)
def test_counts_are_the_papers_formulas(count):
    assert_allclose(CLASSIC.forward_flops(count), PAPERS[count], rtol=8 * EPS)
    assert_allclose(CLASSIC.train_flops(count), 3 * PAPERS[count], rtol=8 * EPS)


def test_learned_positions_multiply_nothing():
    learned = replace(CLASSIC, learned_positions=True)
    for count in COUNTS:
        extra = learned.forward_flops(count) - CLASSIC.forward_flops(count)
        assert_allclose(extra, 2 * T * D if count == "6n" else 0, atol=100 * EPS * N)


def test_operations_are_the_sum_over_gated_and_grouped_parts():
    # Training FLOPs of one token: the per-layer table of "How to Scale Your Model", transformers.
    F, G = 3584, 4
    a = replace(CLASSIC, gated=True, kv_heads=G, ff_width=F, tied=False)
    layer = 18 * D * F + 12 * D * (H + G) * K + 12 * T * H * K
    assert_allclose(a.train_flops(), L * layer + 6 * D * V, rtol=8 * EPS)


def test_a_token_pays_for_its_own_experts_and_for_the_router():
    dense = CLASSIC.forward_flops()
    a = replace(CLASSIC, experts=16, active_experts=3)
    more = 2 * L * (2 * 2 * D * 4 * D + 16 * D)  # two more feed-forward parts
    assert_allclose(a.forward_flops(), dense + more, rtol=8 * EPS)
    assert_allclose(a.train_flops("6n"), 6 * a.active_params, rtol=8 * EPS)


def test_an_unknown_count_is_named():
    with pytest.raises(ValueError, match=r"unknown count 'hofmann' \(did you mean hoffmann\?\)"):
        CLASSIC.forward_flops("hofmann")


def test_a_pass_reads_the_experts_it_hits_and_one_table():
    a = replace(CLASSIC, gated=True, ff_width=3584, experts=8, active_experts=2, tied=False)
    expert = 3 * D * 3584
    outside = V * D + (2 * L + 1) * D
    layer = 4 * D**2 + 8 * D
    assert_allclose(counts.read_params(a, 0.5), L * (layer + 4 * expert) + outside, rtol=8 * EPS)
    # All experts: every param but the input table. One table where it is tied.
    assert_allclose(counts.read_params(a, 1.0), a.params - V * D, rtol=8 * EPS)
    assert_allclose(counts.read_params(CLASSIC, 1.0), CLASSIC.params, rtol=8 * EPS)
    assert_allclose(counts.matmul_params(a), L * (layer + 2 * expert) + V * D, rtol=8 * EPS)


def test_a_token_keeps_keys_and_values_and_attends_its_context():
    a = replace(CLASSIC, kv_heads=4)
    assert_allclose(counts.cached_numbers(a, 100.0), 2 * L * 4 * K * 100, rtol=EPS)
    # A score and a sum of values, each a multiplication and an addition, in every query head.
    assert_allclose(counts.attention_flops(a, 100.0), 2 * 2 * L * H * K * 100, rtol=EPS)


WINDOWS = replace(CLASSIC, window_layers=18, window=128)
LATENT = replace(CLASSIC, kv_heads=1, kv_latent=512, rope_size=64)


def test_a_layer_with_a_window_keeps_and_attends_no_more():
    per_token = 2 * H * K
    for context in (1.0, 100.0, 128.0, 2000.0):
        tokens = 6 * context + 18 * min(context, 128)
        assert_allclose(counts.cached_numbers(WINDOWS, context), per_token * tokens, rtol=4 * EPS)
        assert_allclose(counts.attention_flops(WINDOWS, context), 4 * H * K * tokens, rtol=4 * EPS)
    fewer = 4 * 18 * (T - 128) * D
    assert_allclose(WINDOWS.forward_flops(), PAPERS["operations"] - fewer, rtol=8 * EPS)
    fewer = (4 * D + 3 * H) * 18 * (T - 128)
    found = WINDOWS.forward_flops("hoffmann_layers")
    assert_allclose(found, PAPERS["hoffmann_layers"] - fewer, rtol=8 * EPS)


def test_latent_attention_keeps_latents_and_attends_to_them():
    assert_allclose(counts.cached_numbers(LATENT, 100.0), L * 100 * (512 + 64), rtol=EPS)
    # A score with a latent and its rotary key, and a sum of latents, in every head.
    flops = L * H * 100 * (2 * (512 + 64) + 2 * 512)
    assert_allclose(counts.attention_flops(LATENT, 100.0), flops, rtol=2 * EPS)
    # Multiplied up: keys of 64 and the rotary part, values of 64.
    flops = L * H * 100 * (2 * (K + 64) + 2 * K)
    assert_allclose(counts.unpacked_attention_flops(LATENT, 100.0), flops, rtol=2 * EPS)
    scores = LATENT.forward_flops("deepseek") - LATENT.forward_flops("kipply")
    assert_allclose(scores, T / 100 * flops, rtol=100 * EPS)
    # Without latents the two forms are one.
    found = counts.unpacked_attention_flops(CLASSIC, 100.0)
    assert_allclose(found, counts.attention_flops(CLASSIC, 100.0), rtol=EPS)


def test_linear_attention_keeps_a_state_of_one_size():
    a = replace(CLASSIC, linear_layers=18, linear_params=4 * D**2, linear_state=1000)
    for context in (1.0, 5000.0):
        kept = 6 * 2 * H * K * context + 18 * 1000
        assert_allclose(counts.cached_numbers(a, context), kept, rtol=4 * EPS)
        flops = 6 * 4 * H * K * context + 18 * 6 * 1000
        assert_allclose(counts.attention_flops(a, context), flops, rtol=4 * EPS)


def test_shapes_of_several_kinds_are_one_batch():
    kinds = [CLASSIC, WINDOWS, LATENT, replace(CLASSIC, dense_layers=2, dense_width=D)]
    batch = jax.tree.map(lambda *x: np.array(x, float), *kinds)
    for count in ("operations", "hoffmann"):
        found = batch.forward_flops(count)
        assert_allclose(found, [a.forward_flops(count) for a in kinds], rtol=8 * EPS)
