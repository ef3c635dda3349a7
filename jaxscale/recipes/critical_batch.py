"""The critical batch by training tokens; that by loss is the batch of the recipe `kaplan2020`."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import all_positive
from jaxscale.laws.protocol import are_finite, exp_of
from jaxscale.published import find, shipped


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class CriticalBatchRecipe:
    """A critical batch that is a power of training tokens, Zhang et al. 2024; no learning rate.

    Fields are positive, and broadcast with each other and with the arguments of the methods.

    Examples:
        >>> law = js.recipes.entry("zhang2024").law
        >>> print(f"{law.batch_tokens(7e9, 1.4e12, 2.0):.3g}")
        3.53e+05
    """

    sequences: Real
    by_tokens: Real
    sequence_tokens: Real
    unit_of_tokens: Real

    equation: ClassVar[str] = (
        "B = sequence_tokens sequences (D / unit_of_tokens)^by_tokens, without a learning rate"
    )

    def learning_rate(self, params: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> Array:
        """NaN: nothing is said of it."""
        del params, loss
        return jnp.full_like(arrays.enter(tokens=tokens)[0], jnp.nan)

    def batch_tokens(self, params: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> Array:
        """Tokens in a batch by `tokens` alone. NaN where they are not positive."""
        del params, loss
        return exp_of(CriticalBatchRecipe._log_batch, self, tokens=tokens)

    def _log_batch(self, log_tokens: Array) -> Array:
        log_scale = jnp.log(self.sequences) + jnp.log(self.sequence_tokens)
        return log_scale + self.by_tokens * (log_tokens - jnp.log(self.unit_of_tokens))

    def is_valid(self) -> Array:
        """Whether all fields are finite and positive."""
        fields = self.sequences, self.by_tokens, self.sequence_tokens, self.unit_of_tokens
        return are_finite(self) & all_positive(*fields)


def critical_batch_of_tokens(tokens: ArrayLike) -> Array:
    """Tokens in the critical batch of a training on `tokens`: the batch of the recipe `zhang2024`.

    The batch at which steps exceed those of linear scaling by 20 %: a stricter threshold than
    Kaplan's, at which they are twice the fewest. NaN with zero derivatives where tokens are not
    positive.

    Source: Zhang et al. 2024, arXiv 2410.21676.

    Examples:
        >>> print(f"{js.recipes.critical_batch_of_tokens(1e12):.0f}")
        301505
    """
    law = find("recipe", shipped("recipes"), "zhang2024").law
    return law.batch_tokens(1.0, tokens, 1.0)
