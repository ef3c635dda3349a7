"""DeepSeek LLM 2024: learning rate and batch as powers of training compute alone."""

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import is_positive
from jaxscale.laws.checked import exp_of
from jaxscale.laws.protocol import TRAIN_FLOPS, are_finite


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DeepSeekRecipe:
    """Powers of compute C, DeepSeek-AI 2024, arXiv 2401.02954, eq. 1; here C = 6 N D.

    The paper's C is M D, with M the FLOPs per token without embeddings and with attention:
    `72 layers width^2 + 12 layers width sequence`. Params of M / 6 give that C. Scales are
    positive. Fields broadcast with each other and with what the methods are given.

    Examples:
        >>> law = js.recipes.entry("deepseek2024").law
        >>> print(f"{law.batch_tokens(7e9, 1.4e12, 2.0):.2g}")
        8.2e+06
    """

    rate_scale: Real
    rate_by_flops: Real  # exponents
    batch_scale: Real  # tokens
    batch_by_flops: Real

    equation: ClassVar[str] = "LR = rate_scale C^rate_by_flops, B = batch_scale C^batch_by_flops"

    def learning_rate(self, params: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> Array:
        """Peak learning rate; `loss` changes nothing. NaN where a number is not positive."""
        del loss
        return exp_of(DeepSeekRecipe._log_rate, self, params=params, tokens=tokens)

    def batch_tokens(self, params: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> Array:
        """Tokens in a batch; `loss` changes nothing. NaN where a number is not positive."""
        del loss
        return exp_of(DeepSeekRecipe._log_batch, self, params=params, tokens=tokens)

    def _log_rate(self, log_params, log_tokens):
        return jnp.log(self.rate_scale) + self.rate_by_flops * _log_flops(log_params, log_tokens)

    def _log_batch(self, log_params, log_tokens):
        return jnp.log(self.batch_scale) + self.batch_by_flops * _log_flops(log_params, log_tokens)

    def is_valid(self) -> Array:
        """Whether both scales are positive and all fields finite."""
        return are_finite(self) & is_positive(self.rate_scale) & is_positive(self.batch_scale)


def _log_flops(log_params, log_tokens):
    return math.log(TRAIN_FLOPS) + log_params + log_tokens
