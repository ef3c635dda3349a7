"""Bytes of weights, of cached keys and values, and of training's state."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

from jaxscale import architectures
from jaxscale.architectures import kv_cache_bytes, optimizer_bytes, weight_bytes

EPS = np.finfo(np.float64 if jax.config.read("jax_enable_x64") else np.float32).eps
LLAMA_8B = architectures.published("llama-3-8b")


def test_a_token_takes_a_key_and_a_value_in_each_layer_and_head():
    # Worked out apart: 2 * 2 bytes * 128 * 8 heads * 32 or 80 layers.
    assert_allclose(kv_cache_bytes(LLAMA_8B, 1), 131072, rtol=EPS)
    assert_allclose(kv_cache_bytes(architectures.published("llama-3-70b"), 1), 327680, rtol=EPS)
    found = kv_cache_bytes(LLAMA_8B, np.array([8192, 0]), "fp8")
    assert_allclose(found, [65536 * 8192, np.nan], rtol=EPS)


@pytest.mark.parametrize(
    ("precision", "bits"),
    [
        ("fp32", 32),
        ("bf16", 16),
        ("fp16", 16),
        ("fp8", 8),
        ("int8", 8),
        ("int4", 4),
        ("nvfp4", 4 + 8 / 16),  # a scale of 8 bits is shared
        ("mxfp4", 4 + 8 / 32),
    ],
)
def test_weights_take_their_bits(precision, bits):
    assert_allclose(weight_bytes(LLAMA_8B, precision), 8030261248 * bits / 8, rtol=2 * EPS)


def test_adam_takes_sixteen_bytes():
    assert_allclose(optimizer_bytes(LLAMA_8B), 12 * 8030261248, rtol=2 * EPS)


def test_all_experts_are_kept():
    mixtral = architectures.published("mixtral-8x7b")
    assert_allclose(weight_bytes(mixtral), 2 * mixtral.params, rtol=EPS)


def test_an_unknown_precision_is_named():
    with pytest.raises(ValueError, match=r"unknown precision 'fp4' \(did you mean .*; known: fp32"):
        weight_bytes(LLAMA_8B, "fp4")
    with pytest.raises(ValueError, match="unknown precision 'BF-16'"):
        kv_cache_bytes(LLAMA_8B, 1, "BF-16")


def test_training_keeps_sixteen_bytes_for_each_parameter():
    """2 of weights, 2 of gradients, 12 of Adam: Rajbhandari et al. 2020, Section 3.1."""
    found = architectures.training_bytes(LLAMA_8B)
    assert_allclose(found, 16 * 8_030_261_248, rtol=4 * EPS)
