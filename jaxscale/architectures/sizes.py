"""How many numbers a transformer's parts hold: formulas that check and convert nothing.

No part has biases, but for those of `chinchilla`. Each formula takes an architecture whose numbers
are of one dtype and rank.
"""

from typing import TYPE_CHECKING

import jax.numpy as jnp
from jax import Array

if TYPE_CHECKING:
    from jaxscale.architectures.architecture import Architecture


def attention_width(a: "Architecture") -> Array:
    """Width of all query heads together, d_attn of Kaplan et al. 2020, Table 1."""
    return a.heads * a.head_size


def matrices_per_layer(a: "Architecture", experts: Array) -> Array:
    """Of attention, of `experts` feed-forward parts, and of the router among all experts.

    Queries and output `2 w h q`, keys and values `2 w k q` of k heads (Ainslie et al. 2023), and
    three matrices of a gated feed-forward part (Shazeer 2020) where a plain one has two.
    """
    attention = 2 * a.width * (a.heads + a.kv_heads) * a.head_size
    feed_forward = (3 if a.gated else 2) * a.width * a.ff_width
    # One expert needs no choice; `experts` may be traced.
    router = jnp.where(a.experts > 1, a.width * a.experts, 0)
    return attention + router + experts * feed_forward


def non_embedding(a: "Architecture") -> Array:
    """All matrices of all layers."""
    return a.layers * matrices_per_layer(a, a.experts)


def active_non_embedding(a: "Architecture") -> Array:
    """The matrices of all layers that one token is multiplied by."""
    return a.layers * matrices_per_layer(a, a.active_experts)


def vocabulary_matrix(a: "Architecture") -> Array:
    """The table of word embeddings, or the matrix that gives logits."""
    return a.vocabulary * a.width


def positions(a: "Architecture") -> Array:
    """The table of learned positions."""
    return a.context * a.width if a.learned_positions else jnp.zeros_like(a.width)


def outside_matrices(a: "Architecture") -> Array:
    """All that is no matrix of a layer: embeddings, head, positions, weights of norms."""
    norms = (2 * a.layers + 1) * a.width
    return (1 if a.tied else 2) * vocabulary_matrix(a) + positions(a) + norms


def total(a: "Architecture") -> Array:
    """All parameters."""
    return non_embedding(a) + outside_matrices(a)


def active(a: "Architecture") -> Array:
    """All parameters but those of the experts that a token does not run through."""
    return active_non_embedding(a) + outside_matrices(a)


def chinchilla(a: "Architecture") -> Array:
    """Those of the same shape with relative positions and biases: see `chinchilla_params`."""
    attention = 5 * a.width * attention_width(a) + a.width
    feed_forward = 2 * a.width * a.ff_width + a.ff_width + a.width
    norms = 2 * (2 * a.layers + 1) * a.width
    return a.layers * (attention + feed_forward) + norms + (a.width + 1) * a.vocabulary
