"""A transformer's shape, with the parameters and FLOPs that follow from it."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import is_positive, where_safe
from jaxscale.architectures import counts, sizes

STATIC = {"static": True}  # a field that is no number, and part of the type for JAX


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Architecture:
    """A decoder, or the whole of a model, of equal layers.

    Numbers are scalars or arrays that broadcast, whole or not, and may be traced; the constructor
    checks nothing. Where one is not positive, or there are more kv heads than heads or more active
    experts than experts, what follows is NaN with zero derivatives. `heads * head_size` need not
    be the width. There are no biases; of a model that has them, they are left out.

    Examples:
        >>> shape = js.Architecture(
        ...     layers=32, width=4096, heads=32, kv_heads=8, head_size=128, ff_width=14336,
        ...     vocabulary=128256, context=8192, gated=True, tied=False,
        ... )
        >>> print(f"{shape.params:.4g} params, {shape.train_flops():.3g} FLOPs per token trained")
        8.03e+09 params, 5.79e+10 FLOPs per token trained
    """

    layers: Real
    width: Real  # of the residual stream
    heads: Real  # of queries
    kv_heads: Real  # of keys and values; fewer than `heads` where groups share them
    head_size: Real
    ff_width: Real  # inner width of a feed-forward part, of each expert's where there are several
    vocabulary: Real
    context: Real  # tokens
    gated: bool = field(kw_only=True, metadata=STATIC)  # feed-forward parts of three matrices
    experts: Real = 1  # feed-forward parts in each layer
    active_experts: Real = 1  # of them, those that one token runs through
    tied: bool = field(kw_only=True, metadata=STATIC)  # logits from the table of embeddings
    learned_positions: bool = field(default=False, kw_only=True, metadata=STATIC)

    @property
    def params(self) -> Array:
        """All parameters.

        `layers (2 w (h + k) q + experts m w f + router) + (2 layers + 1) w + e V w`: matrices of
        attention, of feed-forward parts (m is 3 where gated, else 2) and of routers (w experts,
        where there are several), weights of norms, and embeddings (e is 1 where tied, else 2).
        Learned positions add `context w`.
        """
        return checked(sizes.total, self)

    @property
    def active_params(self) -> Array:
        """`params` without the experts that a token does not run through; the router is active."""
        return checked(sizes.active, self)

    @property
    def non_embedding_params(self) -> Array:
        """N of Kaplan et al. 2020, Table 1: the matrices of the layers, routers among them.

        Leaves out word embeddings, positions, the matrix that gives logits even where it is not
        tied, and the weights of norms. `12 layers w^2` in the classic shape.
        """
        return checked(sizes.non_embedding, self)

    @property
    def active_non_embedding_params(self) -> Array:
        """`non_embedding_params` without the experts that a token does not run through."""
        return checked(sizes.active_non_embedding, self)

    def forward_flops(self, count: str = "operations") -> Array:
        """FLOPs per token of a forward pass over a full context T, by one of `COUNTS`.

        N is `active_params`, M is `active_non_embedding_params`, and d is `heads * head_size`.

        | count | forward FLOPs per token | source |
        | --- | --- | --- |
        | operations | 2 M + 4 layers T d + 2 V w | all products of matrices, logits too |
        | deepseek | 2 M + 4 layers T d | DeepSeek LLM 2024, Section 3.2 |
        | kaplan | 2 M + 2 layers T d | Kaplan et al. 2020, Table 1: half the scores, masked |
        | hoffmann | 2 M + 4 layers T d + 3 layers h T + 4 V w | Hoffmann et al. 2022, Appendix F |
        | hoffmann_layers | the same without 4 V w | what their Table A4 was made with |
        | palm | 2 N + 4 layers T d, no positions in N | Chowdhery et al. 2022, Appendix B |
        | kipply | 2 M, or 24 layers w^2 | kipply 2022, Transformer Inference Arithmetic |
        | 6n | 2 N | 6 N D of training, Kaplan et al. 2020, Section 2.1 |

        Raises ValueError for an unknown count, with the nearest.

        Examples:
            >>> shape = js.architectures.published("llama-3-8b")
            >>> print(f"{shape.forward_flops('kaplan'):.3g}")
            1.61e+10
        """
        return checked(counts.formula(count), self)

    def train_flops(self, count: str = "operations") -> Array:
        """FLOPs per token of training: three times `forward_flops`, forward and backward."""
        return counts.TRAIN_OVER_FORWARD * self.forward_flops(count)

    def is_valid(self) -> Array:
        """Whether every number is positive and finite, and no part exceeds its whole."""
        good = (self.kv_heads <= self.heads) & (self.active_experts <= self.experts)
        for each in jax.tree.leaves(self):
            good &= is_positive(each)
        return good


NUMBERS = tuple(each.name for each in fields(Architecture) if each.metadata != STATIC)


def chinchilla_params(architecture: Architecture) -> Array:
    """Parameters as Hoffmann et al. 2022 count them in Tables A4 and A9.

    Of a model with relative positions, which add a matrix to each layer's attention, and biases.
    `layers (5 w d + w + 2 w f + f + w) + 2 (2 layers + 1) w + (w + 1) V`, d being the width of
    all heads: the paper does not print it, but all 50 sizes of its Table A9 come out of it. Reads
    layers, width, heads, head_size, ff_width and vocabulary, whatever else the shape has.

    Examples:
        >>> shape = js.architectures.published("chinchilla-74m")
        >>> print(f"{js.architectures.chinchilla_params(shape):.3g}")
        7.38e+07
    """
    return checked(sizes.chinchilla, architecture)


def checked(formula: Callable[..., Array], architecture: Architecture, **numbers: Real) -> Array:
    """`formula(architecture, *numbers)` of any numbers that broadcast; NaN where one is bad.

    That is where a number is not positive. Raises TypeError or ValueError for wrong structure,
    naming the field.
    """
    if not isinstance(architecture, Architecture):
        raise TypeError(f"architecture must be an Architecture; got {architecture!r}")
    entered = arrays.enter(**{name: getattr(architecture, name) for name in NUMBERS}, **numbers)
    shape, others = entered[: len(NUMBERS)], entered[len(NUMBERS) :]
    return _checked(
        formula, replace(architecture, **dict(zip(NUMBERS, shape, strict=True))), others
    )


@partial(jax.jit, static_argnums=0)
def _checked(formula, architecture, numbers):
    architecture, numbers = arrays.align(architecture, numbers)
    good = architecture.is_valid()
    for each in numbers:
        good &= is_positive(each)
    architecture, numbers = jax.tree.map(lambda x: where_safe(good, x), (architecture, numbers))
    return jnp.where(good, formula(architecture, *numbers), jnp.nan)
