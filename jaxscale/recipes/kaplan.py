"""Kaplan et al. 2020: the critical batch of the loss, and a learning rate by size."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import is_positive
from jaxscale.laws.kaplan import CRITICAL_BATCH, CriticalBatch
from jaxscale.laws.protocol import are_finite, made_safe
from jaxscale.recipes.entries import RecipeEntry


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class KaplanRecipe:
    """A rate that falls with ln N, and the critical batch, Kaplan et al. 2020, D.6 and eq. 1.4.

    Fields broadcast with each other and with what the methods are given.

    Examples:
        >>> law = js.recipes.entry("kaplan2020").law
        >>> print(f"{law.batch_tokens(7e9, 1.4e12, 2.0):.2g}")
        7.7e+06
    """

    rate_at_one: Real
    rate_by_log_params: Real  # per nat of params
    B_star: Real  # tokens
    alpha_B: Real

    equation: ClassVar[str] = (
        "LR = rate_at_one + rate_by_log_params ln N, B = B_star / L^(1 / alpha_B)"
    )

    def learning_rate(self, params: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> Array:
        """Peak learning rate by `params` alone. NaN where they, or it, are not positive."""
        del tokens, loss
        return _rate(*arrays.enter(law=self, params=params))

    def batch_tokens(self, params: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> Array:
        """Tokens in a batch by `loss` alone. NaN where it is not positive."""
        del params, tokens
        return CriticalBatch(self.B_star, self.alpha_B).tokens(loss)


@jax.jit
def _rate(law, params):
    law, params = arrays.align(law, params)
    numbers = law.rate_at_one, law.rate_by_log_params, params
    answer = is_positive(params) & are_finite(numbers)
    rate_at_one, by_log_params, params = made_safe(numbers, answer)
    found = rate_at_one + by_log_params * jnp.log(params)
    return jnp.where(answer & is_positive(found), found, jnp.nan)


ENTRIES = (
    RecipeEntry(
        name="kaplan2020",
        law=KaplanRecipe(3.239e-3, -1.395e-4, CRITICAL_BATCH.B_star, CRITICAL_BATCH.alpha_B),
        source="Kaplan et al. 2020, arXiv 2001.08361, Appendix D.6 (rate), eq. 1.4 and Table 5 "
        "(batch); ranges are those of the paper's runs",
        params_convention="embeddings of words and positions not counted",
        tokens_convention="of the data set, WebText2; the recipe does not depend on them",
        schedule="peak rate of Adam: 3000 steps of warm-up, then cosine to zero",
        params_range=(768, 1.5e9),
        tokens_range=(2.2e7, 2.3e10),
        errata=(
            "The rate is a rule of thumb against divergence, not a tuned best, and the paper says "
            "that it breaks down above 1e10 params; from 1.2e10 on it is not positive: no number.",
            "The batch is that at which training takes twice the least steps and twice the least "
            "tokens, at the end of training; it is smaller before, when the loss is higher.",
            "The loss is that of WebText2 and its tokenizer: one that is 5 % higher, as that of "
            "other data may be, makes the batch 21 % smaller.",
            "Section 5.1 has 2e8 tokens for B_star, Table 5 2.1e8; comparisons print 2e18.",
        ),
    ),
)
