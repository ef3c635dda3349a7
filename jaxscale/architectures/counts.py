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


def attention_matrices(a: Shape) -> Array:
    """Of one layer with attention.

    Queries and output `2 w h q`, keys and values `2 w k q` of k heads (Ainslie et al. 2023).
    Latent attention (DeepSeek-V2 2024, Section 2.1) projects the stream down to latents and a
    rotary key, and latents up to keys and values of all heads. A gated output adds `w h q`.
    """
    grouped = 2 * a.width * (a.heads + a.kv_heads) * a.head_size
    queries = a.heads * (a.head_size + a.rope_size)
    queries = jnp.where(a.query_latent > 0, a.query_latent * (a.width + queries), a.width * queries)
    down = a.width * (a.kv_latent + a.rope_size)
    up_and_output = attention_width(a) * (2 * a.kv_latent + a.width)
    matrices = jnp.where(a.kv_latent > 0, queries + down + up_and_output, grouped)
    return matrices + a.width * attention_width(a) if a.gated_attention else matrices


def feed_forward(a: Shape, width: Array) -> Array:
    """Of one feed-forward part: three matrices where gated (Shazeer 2020), else two."""
    return (3 if a.gated else 2) * a.width * width


def layer_matrices(a: Shape, experts: Array) -> Array:
    """Of all layers, with `experts` feed-forward parts besides the shared ones, and routers.

    A router chooses among all experts.
    """
    attention, expert = attention_matrices(a), feed_forward(a, a.ff_width)
    # One expert needs no choice; `experts` may be traced.
    router = jnp.where(a.experts > 1, a.width * a.experts, 0)
    chosen = experts + a.shared_experts
    # Each condition keeps a shape without such layers at the plain product, to the last bit.
    dense = a.dense_layers * (feed_forward(a, a.dense_width) - chosen * expert - router)
    linear = a.linear_layers * (a.linear_params - attention)
    return (
        a.layers * (attention + router + chosen * expert)
        + jnp.where(a.dense_layers > 0, dense, 0)
        + jnp.where(a.linear_layers > 0, linear, 0)
    )


def non_embedding(a: Shape) -> Array:
    """All matrices of all layers."""
    return layer_matrices(a, a.experts)


def active_non_embedding(a: Shape) -> Array:
    """The matrices of all layers that one token is multiplied by."""
    return layer_matrices(a, a.active_experts)


def vocabulary_matrix(a: Shape) -> Array:
    """The table of word embeddings, or the matrix that gives logits."""
    return a.vocabulary * a.width


def positions(a: Shape) -> Array:
    """The table of learned positions."""
    return a.context * a.width if a.learned_positions else jnp.zeros_like(a.width)


def norms(a: Shape) -> Array:
    """Weights of two norms in a layer and a last one, and of the norms of latents."""
    of_latents = (a.layers - a.linear_layers) * (a.kv_latent + a.query_latent)
    return (2 * a.layers + 1) * a.width + jnp.where(a.kv_latent > 0, of_latents, 0)


def outside_matrices(a: Shape) -> Array:
    """Params outside the layers' matrices: embeddings, head, positions, weights of norms."""
    return (1 if a.tied else 2) * vocabulary_matrix(a) + positions(a) + norms(a)


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

# A step of linear attention multiplies its state by a key, adds an outer product to it, and
# multiplies it by a query (Yang et al. 2024, Gated Delta Networks): two FLOPs for each number.
FLOPS_PER_STATE = 6


def matmul_params(a: Shape) -> Array:
    """Params that one token is multiplied by: active matrices of layers, and that of logits."""
    return active_non_embedding(a) + vocabulary_matrix(a)


def read_params(a: Shape, share_of_experts: Array) -> Array:
    """Params that a pass reads in which tokens run through that share of the experts.

    One matrix of `vocabulary width`: a token looks up one row of the input table and of positions.
    """
    return layer_matrices(a, a.experts * share_of_experts) + vocabulary_matrix(a) + norms(a)


def attended(a: Shape, context: Array, first: Array | None = None) -> Array:
    """Tokens that the last of `context` tokens attends, the mean over layers.

    At most a window in a layer that has one, and none in a layer of linear attention. With
    `first`, the mean over all tokens from the first to the last.
    """
    full = a.layers - a.window_layers - a.linear_layers
    all_of_them = context if first is None else (first + context) / 2
    tokens = full * all_of_them + a.window_layers * _in_window(a.window, context, first)
    return jnp.where(a.window_layers + a.linear_layers > 0, tokens / a.layers, all_of_them)


def _in_window(window: Array, last: Array, first: Array | None) -> Array:
    """The mean of min(x, window) over x from the first to the last."""
    if first is None:
        return jnp.minimum(last, window)
    low, high = jnp.minimum(first, window), jnp.minimum(last, window)
    area = (high**2 - low**2) / 2 + window * ((last - high) - (first - low))
    return area / (last - first)


def cached_numbers(a: Shape, context: Array) -> Array:
    """Numbers that one sequence of `context` tokens keeps, in all layers.

    Keys and values, or latents and a rotary key, and the states of linear attention.
    """
    grouped = 2 * a.layers * a.kv_heads * a.head_size * attended(a, context)
    latent = a.layers * (a.kv_latent + a.rope_size) * attended(a, context)
    return jnp.where(a.kv_latent > 0, latent, grouped) + a.linear_layers * a.linear_state


def attention_flops(a: Shape, context: Array) -> Array:
    """FLOPs of one new token's scores with `context` tokens, and of the values it sums.

    Latent attention in the form that decoding uses, which attends to latents as they are kept:
    what it multiplies them up with is taken into queries and output.
    """
    latent = 2 * a.layers * attended(a, context) * a.heads * (2 * a.kv_latent + a.rope_size)
    attention = jnp.where(a.kv_latent > 0, latent, _of_keys_and_values(a, attended(a, context)))
    return attention + _of_states(a)


def unpacked_attention_flops(a: Shape, context: Array, first: Array | None = None) -> Array:
    """`attention_flops` where latents are multiplied up to keys and values first.

    That is how prompts are read and models trained: it takes fewer FLOPs for many tokens at once.
    With `first`, the mean over all tokens from the first to the last.
    """
    return _of_keys_and_values(a, attended(a, context, first)) + _of_states(a)


def _of_keys_and_values(a: Shape, attended: Array) -> Array:
    # Keys have the rotary part and values do not.
    width = a.heads * (a.head_size + a.rope_size / 2)
    return 4 * a.layers * attended * width


def _of_states(a: Shape) -> Array:
    return FLOPS_PER_STATE * a.linear_layers * a.linear_state


# --- FLOPs ----------------------------------------------------------------------------------


def _matrices(a: Shape) -> Array:
    """FLOPs of products with the matrices of all layers."""
    return 2 * active_non_embedding(a)


def _scores(a: Shape) -> Array:
    """FLOPs of queries times all keys, and of scores times all values: no causal mask."""
    return unpacked_attention_flops(a, a.context)


def _softmax(a: Shape) -> Array:
    return 3 * a.layers * a.heads * attended(a, a.context)


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
        lambda a: _matrices(a) + _of_keys_and_values(a, attended(a, a.context)) / 2 + _of_states(a),
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
