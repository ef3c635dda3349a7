"""FLOPs of one token in a forward pass, as papers count them.

A multiplication and an addition are two FLOPs, and training takes three times the forward pass
(Kaplan et al. 2020, Section 2.1). What grows with the context is counted for a full one. None of
the formulas checks or converts anything.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from jax import Array

from jaxscale._numerics.names import unknown
from jaxscale.architectures import sizes
from jaxscale.laws.protocol import INFERENCE_FLOPS, TRAIN_FLOPS

if TYPE_CHECKING:
    from jaxscale.architectures.architecture import Architecture

Formula = Callable[["Architecture"], Array]

TRAIN_OVER_FORWARD = TRAIN_FLOPS // INFERENCE_FLOPS


def _multiplied(a: "Architecture") -> Array:
    return 2 * sizes.active_non_embedding(a)


def _scores_and_values(a: "Architecture") -> Array:
    """Products of queries with all keys, and of scores with all values: no causal mask."""
    return 4 * a.layers * a.context * sizes.attention_width(a)


def _logits(a: "Architecture") -> Array:
    return 2 * sizes.vocabulary_matrix(a)


def _operations(a: "Architecture") -> Array:
    return _multiplied(a) + _scores_and_values(a) + _logits(a)


def _deepseek(a: "Architecture") -> Array:
    return _multiplied(a) + _scores_and_values(a)


def _kaplan(a: "Architecture") -> Array:
    return _multiplied(a) + _scores_and_values(a) / 2


def _hoffmann_layers(a: "Architecture") -> Array:
    softmax = 3 * a.layers * a.heads * a.context
    return _multiplied(a) + _scores_and_values(a) + softmax


def _hoffmann(a: "Architecture") -> Array:
    # The lookup of an embedding is counted as if it were a product.
    return _hoffmann_layers(a) + 2 * _logits(a)


def _palm(a: "Architecture") -> Array:
    return 2 * (sizes.active(a) - sizes.positions(a)) + _scores_and_values(a)


def _six_n(a: "Architecture") -> Array:
    return 2 * sizes.active(a)


# What each counts stands in `Architecture.forward_flops`.
_FORMULAS: Mapping[str, Formula] = {
    "operations": _operations,
    "deepseek": _deepseek,
    "kaplan": _kaplan,
    "hoffmann": _hoffmann,
    "hoffmann_layers": _hoffmann_layers,
    "palm": _palm,
    "kipply": _multiplied,
    "6n": _six_n,
}
COUNTS = tuple(_FORMULAS)


def formula(count: str) -> Formula:
    """Forward FLOPs per token by the count of that name; ValueError for an unknown one."""
    if count not in _FORMULAS:
        raise unknown("count", count, COUNTS)
    return _FORMULAS[count]
