"""Vocabulary: the law of Tao et al., and their other two ways to choose a vocabulary.

The parameters of the vocabulary, V rows of d numbers, are counted apart from all others.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import all_positive, is_nonnegative, is_positive, where_safe
from jaxscale.laws.fitted import Coefficient
from jaxscale.laws.protocol import (
    INFERENCE_FLOPS,
    TRAIN_FLOPS,
    Flops,
    checked_loss,
    exp_of,
    short_repr,
)

# The coefficients are of parameters in millions and tokens in 1e9 (sail-sg/scaling-with-vocab,
# approach3_isoloss.py).
LOG_MILLION = math.log(1e6)
LOG_BILLION = math.log(1e9)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Tao:
    """Loss by size, vocabulary and data, Tao et al. 2024, arXiv 2407.13623, approach 3.

    `params` are those outside the vocabulary, `vocabulary_params` those in it: its size
    times the width. The loss is normalised by that of unigrams, so that vocabularies can be
    compared: it is negative, and means nothing beside the loss of another law. Coefficients
    and exponents are positive, `E` is not negative.

    Examples:
        >>> law = js.laws.published("tao2024")
        >>> print(f"{law.loss(1e9, 1e11, vocabulary_params=1e8):.3f}")
        -5.168
    """

    E: Real  # how far below unigrams the loss can fall, nats per token
    A1: Real
    A2: Real
    B: Real
    alpha1: Real
    alpha2: Real
    beta: Real

    counts_embeddings: ClassVar[bool] = False
    loss_scale: ClassVar[str] = "normalised by that of unigrams"
    equation: ClassVar[str] = (
        "L_u(N_nv, N_v, D) = -E + A1 / (N_nv / 1e6)^alpha1 + A2 / (N_v / 1e6)^alpha2 "
        "+ B / (D / 1e9)^beta"
    )
    levers: ClassVar[Mapping[str, tuple[float, float]]] = {"vocabulary_params": (1e5, 1e11)}

    fitted: ClassVar[Mapping[str, Coefficient]] = {
        "E": Coefficient((2.0, 5.0)),
        "A1": Coefficient((1.0, 3.0)),
        "A2": Coefficient((0.1, 1.0)),
        "B": Coefficient((1.0, 3.0)),
        "alpha1": Coefficient((0.3, 0.6)),
        "alpha2": Coefficient((0.3, 0.6)),
        "beta": Coefficient((0.3, 0.6)),
    }
    fits_logarithm: ClassVar[bool] = False  # of a loss below 0 there is none

    __repr__ = short_repr

    def loss(self, params: ArrayLike, tokens: ArrayLike, *, vocabulary_params: ArrayLike) -> Array:
        """Loss in nats per token less that of unigrams: a negative number."""
        return checked_loss(self, params, tokens, vocabulary_params=vocabulary_params)

    def loss_from_logs(
        self, log_params: Array, log_tokens: Array, vocabulary_params: Array
    ) -> Array:
        """`loss` at natural logarithms of params and tokens; checks and converts nothing."""
        usable = vocabulary_params > 0
        log_vocabulary = jnp.log(where_safe(usable, vocabulary_params))
        size = jnp.exp(jnp.log(self.A1) - self.alpha1 * (log_params - LOG_MILLION))
        words = jnp.exp(jnp.log(self.A2) - self.alpha2 * (log_vocabulary - LOG_MILLION))
        data = jnp.exp(jnp.log(self.B) - self.beta * (log_tokens - LOG_BILLION))
        return jnp.where(usable, size + words + data - self.E, jnp.nan)

    def flops(self, params: Array, tokens: Array, vocabulary_params: Array) -> Flops:
        """6 N D, 2 N and 2 N of the parameters in and outside the vocabulary, Tao et al. 2024."""
        total = params + vocabulary_params
        serving = INFERENCE_FLOPS * total
        return Flops(TRAIN_FLOPS * total * tokens, serving, serving)

    def is_valid(self) -> Array:
        """Whether every coefficient is finite and of the sign that the law needs."""
        exponents = all_positive(self.alpha1, self.alpha2, self.beta)
        return is_nonnegative(self.E) & all_positive(self.A1, self.A2, self.B) & exponents


def tokens_per_character(vocabulary: ArrayLike) -> Array:
    """Tokens that a character of text becomes, by the number of entries in the vocabulary.

    A quadratic in its logarithm, constant from 200,000 entries on (Tao et al. 2024;
    sail-sg/scaling-with-vocab, utils.py). NaN where the vocabulary is not positive.

    Examples:
        >>> print(f"{js.laws.vocabulary.tokens_per_character(32_000):.3f}")
        0.252
    """
    return _tokens_per_character(*arrays.enter(vocabulary=vocabulary))


@jax.jit
def _tokens_per_character(entries: Array) -> Array:
    good = is_positive(entries)
    log_entries = jnp.minimum(jnp.log(where_safe(good, entries)), math.log(200_000))
    tokens = (0.00639222 * log_entries - 0.15811069) * log_entries + 1.20470122
    return jnp.where(good, tokens, jnp.nan)


# --- Approach 1: sizes that were best at each compute; sail-sg/scaling-with-vocab,
# optimal_Nv_predict.py ---


def params_for_flops(flops: ArrayLike) -> Array:
    """Parameters outside the vocabulary that are best at a training of `flops` FLOPs.

    Examples:
        >>> print(f"{js.laws.vocabulary.params_for_flops(1e22):.2g}")
        8.3e+09
    """
    return exp_of(_log_power, (-2.4846510161625193, 0.5), flops=flops)


def vocabulary_params_for_flops(flops: ArrayLike) -> Array:
    """Parameters in the vocabulary that are best at a training of `flops` FLOPs.

    Examples:
        >>> print(f"{js.laws.vocabulary.vocabulary_params_for_flops(1e22):.2g}")
        3e+08
    """
    return exp_of(_log_power, (-1.589031299255507, 0.4163622634135234), flops=flops)


# --- Approach 2: where the derivative of FLOPs by vocabulary is zero, carried on from a model
# of 33e6 parameters; same file ---


def vocabulary_params_for(params: ArrayLike) -> Array:
    """Parameters in the vocabulary that are best beside `params` outside it.

    Examples:
        >>> print(f"{js.laws.vocabulary.vocabulary_params_for(7e9):.2g}")
        2.8e+08
    """
    gamma = 0.8353974035228025
    log_scale = math.log(3_145_728) - gamma * math.log(33e6)
    return exp_of(_log_power, (log_scale, gamma), params=params)


def _log_power(power: tuple[Array, Array], log_x: Array) -> Array:
    log_scale, exponent = power
    return log_scale + exponent * log_x
