"""Bytes: of weights, of cached keys and values, and of the state that training keeps."""

from collections.abc import Mapping
from types import MappingProxyType

from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics.names import unknown
from jaxscale.architectures.architecture import Architecture, checked

# By the format that a number is stored in. The last two share an 8-bit scale among 16 and among
# 32 values of 4 bits: NVIDIA's NVFP4, and the Open Compute Project's Microscaling Formats (MX)
# Specification 1.0.
BYTES_PER_NUMBER: Mapping[str, float] = MappingProxyType(
    {
        "fp32": 4.0,
        "bf16": 2.0,
        "fp16": 2.0,
        "fp8": 1.0,
        "int8": 1.0,
        "int4": 0.5,
        "nvfp4": 4.5 / 8,
        "mxfp4": 4.25 / 8,
    }
)
# Of four bytes each: a master copy of the weights and the two moments.
ADAM_BYTES = 4 + 4 + 4


def weight_bytes(architecture: Architecture, precision: str = "bf16") -> Array:
    """Bytes of all parameters, idle experts too; ValueError for an unknown precision.

    Examples:
        >>> shape = js.architectures.published("llama-3-8b")
        >>> print(f"{js.architectures.weight_bytes(shape):.3g}")
        1.61e+10
    """
    return _bytes(precision) * architecture.params


def kv_cache_bytes(architecture: Architecture, tokens: ArrayLike, precision: str = "bf16") -> Array:
    """Bytes of the keys and values of `tokens` tokens: `2 layers kv_heads head_size` of each.

    `tokens` are those of all sequences together. NaN with zero derivatives where a number is not
    positive; ValueError for an unknown precision.

    Examples:
        >>> shape = js.architectures.published("llama-3-8b")
        >>> print(f"{js.architectures.kv_cache_bytes(shape, tokens=8192):.3g}")
        1.07e+09
    """
    return _bytes(precision) * checked(_cached, architecture, tokens=tokens)


def optimizer_bytes(architecture: Architecture) -> Array:
    """Bytes of Adam's state in mixed precision: 12 for each parameter.

    Master weights 4, and moments 4 and 4 (Rajbhandari et al. 2020, ZeRO, Section 3.1). Weights
    and gradients in bf16 make it 16, and activations come on top.

    Examples:
        >>> shape = js.architectures.published("llama-3-8b")
        >>> print(f"{js.architectures.optimizer_bytes(shape):.3g}")
        9.64e+10
    """
    return ADAM_BYTES * architecture.params


def _cached(a, tokens):
    return 2 * a.layers * a.kv_heads * a.head_size * tokens


def _bytes(precision: str) -> float:
    if precision not in BYTES_PER_NUMBER:
        raise unknown("precision", precision, BYTES_PER_NUMBER)
    return BYTES_PER_NUMBER[precision]
