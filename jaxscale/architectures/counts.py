"""Params of a transformer's parts, and FLOPs of one token in a forward pass as papers count them.

No part has biases, except in `chinchilla`. A multiplication and an addition are two FLOPs, and
training takes three times the forward pass (Kaplan et al. 2020, Section 2.1). Terms that grow with
the context are counted at full context. Each formula takes an architecture whose numbers are of
one dtype and rank; it checks and converts nothing.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import jax.numpy as jnp
from jax import Array

from jaxscale._numerics.names import unknown
from jaxscale.laws.protocol import INFERENCE_FLOPS, TRAIN_FLOPS

Shape: TypeAlias = Any  # an `Architecture`, whose module imports this one
Formula = Callable[[Shape], Array]


def attention_width(a: Shape) -> Array:
    """Width of all query heads together, d_attn of Kaplan et al. 2020, Table 1."""
    return a.heads * a.head_size


def matrices_per_layer(a: Shape, experts: Array) -> Array:
    """Of attention, of `experts` feed-forward parts, and of the router among all experts.

    Queries and output `2 w h q`, keys and values `2 w k q` of k heads (Ainslie et al. 2023), and
    three matrices of a gated feed-forward part (Shazeer 2020) where a plain one has two.
    """
    attention = 2 * a.width * (a.heads + a.kv_heads) * a.head_size
    feed_forward = (3 if a.gated else 2) * a.width * a.ff_width
    # One expert needs no choice; `experts` may be traced.
    router = jnp.where(a.experts > 1, a.width * a.experts, 0)
    return attention + router + experts * feed_forward


def non_embedding(a: Shape) -> Array:
    """All matrices of all layers."""
    return a.layers * matrices_per_layer(a, a.experts)


def active_non_embedding(a: Shape) -> Array:
    """The matrices of all layers that one token is multiplied by."""
    return a.layers * matrices_per_layer(a, a.active_experts)


def vocabulary_matrix(a: Shape) -> Array:
    """The table of word embeddings, or the matrix that gives logits."""
    return a.vocabulary * a.width


def positions(a: Shape) -> Array:
    """The table of learned positions."""
    return a.context * a.width if a.learned_positions else jnp.zeros_like(a.width)


def outside_matrices(a: Shape) -> Array:
    """Params outside the layers' matrices: embeddings, head, positions, weights of norms."""
    norms = (2 * a.layers + 1) * a.width
    return (1 if a.tied else 2) * vocabulary_matrix(a) + positions(a) + norms


def total(a: Shape) -> Array:
    """All parameters."""
    return non_embedding(a) + outside_matrices(a)


def active(a: Shape) -> Array:
    """All parameters but those of the experts that a token does not run through."""
    return active_non_embedding(a) + outside_matrices(a)


def chinchilla(a: Shape) -> Array:
    """Params of the same shape with relative positions and biases: see `chinchilla_params`."""
    attention = 5 * a.width * attention_width(a) + a.width
    feed_forward = 2 * a.width * a.ff_width + a.ff_width + a.width
    norms = 2 * (2 * a.layers + 1) * a.width
    return a.layers * (attention + feed_forward) + norms + (a.width + 1) * a.vocabulary


# --- What a pass multiplies, reads and keeps ------------------------------------------------


def matmul_params(a: Shape) -> Array:
    """Params that one token is multiplied by: active matrices of layers, and that of logits."""
    return active_non_embedding(a) + vocabulary_matrix(a)


def read_params(a: Shape, share_of_experts: Array) -> Array:
    """Params that a pass reads in which tokens run through that share of the experts.

    One matrix of `vocabulary width`: a token looks up one row of the input table and of positions.
    """
    norms = (2 * a.layers + 1) * a.width
    layers = a.layers * matrices_per_layer(a, a.experts * share_of_experts)
    return layers + vocabulary_matrix(a) + norms


def cached_numbers(a: Shape, context: Array) -> Array:
    """Numbers that one sequence of `context` tokens keeps: keys and values of all layers."""
    return 2 * a.layers * a.kv_heads * a.head_size * context


def attention_flops(a: Shape, context: Array) -> Array:
    """FLOPs of one new token's scores with `context` tokens, and of the values it sums."""
    return 4 * a.layers * context * attention_width(a)


# --- FLOPs ----------------------------------------------------------------------------------


def _matrices(a: Shape) -> Array:
    """FLOPs of products with the matrices of all layers."""
    return 2 * active_non_embedding(a)


def _scores(a: Shape) -> Array:
    """FLOPs of queries times all keys, and of scores times all values: no causal mask."""
    return attention_flops(a, a.context)


def _softmax(a: Shape) -> Array:
    return 3 * a.layers * a.heads * a.context


def _logits(a: Shape) -> Array:
    return 2 * vocabulary_matrix(a)


def _hoffmann_layers(a: Shape) -> Array:
    return _matrices(a) + _scores(a) + _softmax(a)


# Of each count, what it includes and its formula, which `Architecture.forward_flops` prints.
_COUNTS: Mapping[str, tuple[str, Formula]] = {
    "operations": (
        "products of matrices, full scores, logits",
        lambda a: _matrices(a) + _scores(a) + _logits(a),
    ),
    "deepseek": ("the same without logits", lambda a: _matrices(a) + _scores(a)),
    "kaplan": (
        "layers, half the scores: Kaplan et al. 2020",
        lambda a: _matrices(a) + _scores(a) / 2,
    ),
    # The lookup of an embedding is counted as if it were a product.
    "hoffmann": (
        "Hoffmann et al. 2022, Appendix F",
        lambda a: _hoffmann_layers(a) + 2 * _logits(a),
    ),
    "hoffmann_layers": ("the same without embeddings and logits", _hoffmann_layers),
    "palm": (
        "6 N and all scores: Chowdhery et al. 2022",
        lambda a: 2 * (active(a) - positions(a)) + _scores(a),
    ),
    "kipply": ("matrices of layers alone", _matrices),
    "6n": ("6 N", lambda a: 2 * active(a)),
}
# What each count includes, by its name.
COUNTS: Mapping[str, str] = MappingProxyType({name: text for name, (text, _) in _COUNTS.items()})
TRAIN_OVER_FORWARD = TRAIN_FLOPS // INFERENCE_FLOPS


def formula(count: str) -> Formula:
    """Forward FLOPs per token by the count of that name; ValueError for an unknown one."""
    if count not in _COUNTS:
        raise unknown("count", count, COUNTS)
    return _COUNTS[count][1]
