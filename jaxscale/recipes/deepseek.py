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
from jaxscale.recipes.entries import RecipeEntry


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


ENTRIES = (
    RecipeEntry(
        name="deepseek2024",
        law=DeepSeekRecipe(0.3118, -0.1250, 0.2920, 0.3271),
        source="DeepSeek-AI 2024, DeepSeek LLM, arXiv 2401.02954, eq. 1",
        params_convention="6 N stands for M, the FLOPs per token without embeddings and with "
        "attention",
        tokens_convention="training tokens seen",
        schedule="peak rate of AdamW: 2000 steps of warm-up, then 31.6 % of the peak after 80 % "
        "of the tokens and 10 % after 90 %",
        flops_range=(1e17, 2e19),
        errata=(
            "6 N without embeddings is 0.43 (8 layers of width 512) to 0.92 (80 of 8192) of M: "
            "with 6 N, C comes out low, the rate up to 11 % high and the batch up to 24 % low.",
            "Comparisons print its 0.3118 as 0.3188.",
        ),
    ),
)
