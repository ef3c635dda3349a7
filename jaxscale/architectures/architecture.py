"""A transformer's shape, with the parameters, FLOPs and bytes that follow from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.names import unknown
from jaxscale._numerics.values import is_nonnegative, is_positive, where_safe
from jaxscale.architectures import counts

STATIC = {"static": True}  # a field that is not a number, and part of the type for JAX


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Architecture:
    """A decoder, or a whole model: its layers, what they attend and what they keep.

    Numbers are scalars or arrays that broadcast, whole or not, and may be traced; the constructor
    checks nothing. Where one is not positive, or there are more kv heads than heads or more active
    experts than experts, what follows is NaN with zero derivatives. `heads * head_size` need not
    be the width. There are no biases; of a model that has them, they are left out.

    Layers are equal unless the fields that are 0 by default say otherwise:

    - `window_layers` of the layers attend the last `window` tokens alone, and keep no more.
    - `linear_layers` of them have linear attention in place of scores: `linear_params` params in
      its matrices, and a state of `linear_state` numbers that does not grow with the context.
    - With `kv_latent` (latent attention, DeepSeek-V2 2024, Section 2.1), a token keeps a latent
      of that size, from which keys and values of all heads are made, and one rotary key of
      `rope_size`; queries come from a latent of `query_latent`, or from the stream where that is
      0. `head_size` is that of values and of keys without their rotary part. All heads share
      what is kept, so `kv_heads` is 1; params do not depend on it.
    - `shared_experts` are run through by every token, besides `active_experts` of `experts`.
    - `dense_layers` of the layers have one feed-forward part of `dense_width`, and no experts.

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
    shared_experts: Real = field(default=0, kw_only=True)
    dense_layers: Real = field(default=0, kw_only=True)
    dense_width: Real = field(default=0, kw_only=True)
    window_layers: Real = field(default=0, kw_only=True)
    window: Real = field(default=0, kw_only=True)  # tokens
    kv_latent: Real = field(default=0, kw_only=True)
    rope_size: Real = field(default=0, kw_only=True)
    query_latent: Real = field(default=0, kw_only=True)
    linear_layers: Real = field(default=0, kw_only=True)
    linear_params: Real = field(default=0, kw_only=True)  # of each such layer's matrices
    linear_state: Real = field(default=0, kw_only=True)  # numbers in each such layer
    tied: bool = field(kw_only=True, metadata=STATIC)  # logits from the table of embeddings
    learned_positions: bool = field(default=False, kw_only=True, metadata=STATIC)
    gated_attention: bool = field(default=False, kw_only=True, metadata=STATIC)  # its output

    @property
    def params(self) -> Array:
        """All parameters.

        `layers (2 w (h + k) q + experts m w f + router) + (2 layers + 1) w + e V w`: matrices of
        attention, of feed-forward parts (m is 3 where gated, else 2) and of routers (w experts,
        where there are several), weights of norms, and embeddings (e is 1 where tied, else 2).
        Learned positions add `context w`. Matrices of attention are others where it is latent,
        linear or gated, and the norms of latents add their sizes.
        """
        return checked(counts.total, self)

    @property
    def active_params(self) -> Array:
        """`params` without the experts that a token does not run through; the router is active.

        Both tables of a model that is not tied count, as in `params`.
        """
        return checked(counts.active, self)

    @property
    def non_embedding_params(self) -> Array:
        """N of Kaplan et al. 2020, Table 1: the matrices of the layers, routers among them.

        Leaves out word embeddings, positions, the matrix that gives logits even where it is not
        tied, and the weights of norms. `12 layers w^2` in the classic shape.
        """
        return checked(counts.non_embedding, self)

    @property
    def active_non_embedding_params(self) -> Array:
        """`non_embedding_params` without the experts that a token does not run through."""
        return checked(counts.active_non_embedding, self)

    def forward_flops(self, count: str = "operations") -> Array:
        """FLOPs per token of a forward pass over a full context T, by one of `COUNTS`.

        N is `active_params`, M is `active_non_embedding_params`, and d is `heads * head_size`.
        With windows, T is the mean over layers of the tokens that the last one attends. Latent
        attention is counted with keys and values multiplied up, as in training: d is then
        `heads * (head_size + rope_size / 2)`. A layer of linear attention takes 6 FLOPs for each
        number of its state in place of scores.

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
        """Whether every number is positive and finite, and no part exceeds its whole.

        Fields that are 0 by default may be 0, but for what a part needs: a window in
        `window_layers`, a width in `dense_layers`, params in `linear_layers`.
        """
        good = (self.kv_heads <= self.heads) & (self.active_experts <= self.experts)
        good &= self.window_layers + self.linear_layers <= self.layers
        good &= self.dense_layers <= self.layers
        good &= (self.kv_latent > 0) | ((self.rope_size == 0) & (self.query_latent == 0))
        for part, size in NEEDED.items():
            good &= (getattr(self, part) == 0) | (getattr(self, size) > 0)
        for name in NUMBERS:
            good &= (is_nonnegative if name in OPTIONAL else is_positive)(getattr(self, name))
        return good

    def summary(self) -> str:
        """The shape in words; the fields are concrete scalars.

        Examples:
            >>> print(js.architectures.published("llama-3-8b").summary())
            32 layers of width 4,096; 32 heads of 128, 8 of keys and values; vocabulary of 128,256
        """
        keys = f", {self.kv_heads:,} of keys and values" if self.kv_heads != self.heads else ""
        if self.kv_latent:
            keys = f", latents of {self.kv_latent:,} and rotary keys of {self.rope_size:,}"
        parts = [
            f"{_counted(self.layers, 'layer')} of width {self.width:,}",
            f"{_counted(self.heads, 'head')} of {self.head_size:,}{keys}",
            f"vocabulary of {self.vocabulary:,}",
        ]
        if self.window_layers:
            parts.append(
                f"{_counted(self.window_layers, 'layer')} with a window of {self.window:,}"
            )
        if self.linear_layers:
            parts.append(f"{_counted(self.linear_layers, 'layer')} of linear attention")
        if self.experts != 1:
            shared = f" and {self.shared_experts:,} shared" if self.shared_experts else ""
            parts.append(f"{self.active_experts:,} of {_counted(self.experts, 'expert')}{shared}")
        if self.dense_layers:
            parts.append(
                f"{_counted(self.dense_layers, 'layer')} without experts, {self.dense_width:,} wide"
            )
        return "; ".join(parts)


def _counted(number: Real, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


NUMBERS = tuple(each.name for each in fields(Architecture) if each.metadata != STATIC)
OPTIONAL = tuple(
    each.name for each in fields(Architecture) if each.default == 0 and each.name in NUMBERS
)
# Of a number of parts, what must be known of each.
NEEDED = {
    "window_layers": "window",
    "dense_layers": "dense_width",
    "linear_layers": "linear_params",
}


def chinchilla_params(architecture: Architecture) -> Array:
    """Parameters as Hoffmann et al. 2022 count them in Tables A4 and A9.

    That is, of a model with biases and relative positions, which add a matrix to each layer's
    attention.
    `layers (5 w d + w + 2 w f + f + w) + 2 (2 layers + 1) w + (w + 1) V`, d being the width of
    all heads: the paper does not print it, but all 50 sizes of its Table A9 come out of it. Reads
    layers, width, heads, head_size, ff_width and vocabulary, whatever else the shape has.

    Examples:
        >>> shape = js.architectures.published("chinchilla-74m")
        >>> print(f"{js.architectures.chinchilla_params(shape):.3g}")
        7.38e+07
    """
    return checked(counts.chinchilla, architecture)


def checked(formula: Callable[..., Array], architecture: Architecture, **numbers: Real) -> Array:
    """`formula(architecture, *numbers)` of any numbers that broadcast; NaN where one is bad.

    That is where a number is not positive. Raises TypeError or ValueError for wrong structure,
    naming the field.
    """
    if not isinstance(architecture, Architecture):
        raise TypeError(f"architecture must be an Architecture; got {architecture!r}")
    given = {name: getattr(architecture, name) for name in NUMBERS}
    # A part that is not there costs nothing: without the number, it is no input of the program.
    absent = [name for name in OPTIONAL if type(given[name]) is int and given[name] == 0]
    present = {name: x for name, x in given.items() if name not in absent}
    entered = arrays.enter(**present, **numbers)
    shape = dict(zip(present, entered, strict=False)) | dict.fromkeys(absent)
    return _checked(formula, replace(architecture, **shape), entered[len(present) :])


@partial(jax.jit, static_argnums=0)
def _checked(formula, architecture, numbers):
    architecture, numbers = arrays.align(architecture, numbers)
    good = with_zeros(architecture).is_valid()
    for each in numbers:
        good &= is_positive(each)
    architecture, numbers = jax.tree.map(lambda x: where_safe(good, x), (architecture, numbers))
    return jnp.where(good, formula(with_zeros(architecture), *numbers), jnp.nan)


def with_zeros(architecture: Architecture) -> Architecture:
    """The architecture with 0 for None."""
    absent = {name: 0 for name in OPTIONAL if getattr(architecture, name) is None}
    return replace(architecture, **absent)


# --- Bytes ----------------------------------------------------------------------------------

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
    """Bytes of all parameters, idle experts included; ValueError for an unknown precision.

    Examples:
        >>> shape = js.architectures.published("llama-3-8b")
        >>> print(f"{js.architectures.weight_bytes(shape):.3g}")
        1.61e+10
    """
    return _bytes(precision) * architecture.params


def kv_cache_bytes(architecture: Architecture, tokens: ArrayLike, precision: str = "bf16") -> Array:
    """Bytes of the keys and values of `tokens` tokens: `2 layers kv_heads head_size` of each.

    `tokens` are those of all sequences together, but of one sequence where layers have windows or
    linear attention: it keeps at most a window, or a state. Latent attention keeps `layers
    (kv_latent + rope_size)` of each token. NaN with zero derivatives where a number is not
    positive; ValueError for an unknown precision.

    Examples:
        >>> shape = js.architectures.published("llama-3-8b")
        >>> print(f"{js.architectures.kv_cache_bytes(shape, tokens=8192):.3g}")
        1.07e+09
    """
    return _bytes(precision) * checked(counts.cached_numbers, architecture, tokens=tokens)


def optimizer_bytes(architecture: Architecture) -> Array:
    """Bytes of Adam's state in mixed precision: 12 for each parameter.

    Master weights 4, and moments 4 and 4 (Rajbhandari et al. 2020, ZeRO, Section 3.1). Weights
    and gradients are in `training_bytes`.

    Examples:
        >>> shape = js.architectures.published("llama-3-8b")
        >>> print(f"{js.architectures.optimizer_bytes(shape):.3g}")
        9.64e+10
    """
    return ADAM_BYTES * architecture.params


def training_bytes(architecture: Architecture) -> Array:
    """Bytes of weights, gradients and Adam's state in mixed precision: 16 for each parameter.

    Weights and gradients are in bf16 (Rajbhandari et al. 2020, ZeRO, Section 3.1); activations
    come on top.

    Examples:
        >>> shape = js.architectures.published("llama-3-8b")
        >>> print(f"{js.architectures.training_bytes(shape):.3g}")
        1.28e+11
    """
    return 2 * weight_bytes(architecture) + optimizer_bytes(architecture)


def report(architecture: Architecture) -> dict[str, Any]:
    """Params, FLOPs per token by each of `COUNTS`, and bytes of a shape, as Python floats.

    The fields are concrete scalars. Bytes are those of weights and of cached keys and values in
    bf16, and `training_bytes`. States of linear attention are in the cache of a context, and not
    in that of a token.

    Examples:
        >>> report = js.architectures.report(js.architectures.published("llama-3-8b"))
        >>> list(report)
        ['params', 'active_params', 'non_embedding_params', 'flops_per_token', 'bytes']
        >>> print(f"{report['flops_per_token']['operations']['over_6n']:.2f}")
        1.20
    """
    rule = architecture.train_flops("6n")
    flops = {
        count: {
            "forward": float(architecture.forward_flops(count)),
            "train": float(architecture.train_flops(count)),
            "over_6n": float(architecture.train_flops(count) / rule),
        }
        for count in counts.COUNTS
    }
    without_state = replace(architecture, linear_state=0)
    sizes = {
        "weights": weight_bytes(architecture),
        "kv_cache_of_a_token": kv_cache_bytes(without_state, 1.0),
        "kv_cache_of_a_context": kv_cache_bytes(architecture, architecture.context),
        "training_state": training_bytes(architecture),
    }
    params = ("params", "active_params", "non_embedding_params")
    return {
        **{name: float(getattr(architecture, name)) for name in params},
        "flops_per_token": flops,
        "bytes": {name: float(size) for name, size in sizes.items()},
    }


def _bytes(precision: str) -> float:
    if precision not in BYTES_PER_NUMBER:
        raise unknown("precision", precision, BYTES_PER_NUMBER)
    return BYTES_PER_NUMBER[precision]
