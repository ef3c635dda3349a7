"""Porian et al. 2024: learning rate and batch as powers of size, at 20 tokens per parameter."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import is_positive
from jaxscale.laws.checked import exp_of
from jaxscale.laws.protocol import are_finite


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PorianRecipe:
    """Powers of params alone, Porian et al. 2024, arXiv 2406.19146.

    Scales are positive. Fields broadcast with each other and with what the methods are given.

    Examples:
        >>> law = js.recipes.entry("porian2024").law
        >>> print(f"{law.learning_rate(7e9, 1.4e12, 2.0):.2g}")
        0.0011
    """

    rate_scale: Real
    rate_by_params: Real  # exponents
    batch_scale: Real  # tokens
    batch_by_params: Real

    equation: ClassVar[str] = "LR = rate_scale N^rate_by_params, B = batch_scale N^batch_by_params"

    def learning_rate(self, params: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> Array:
        """Learning rate by `params` alone. NaN where they are not positive."""
        del tokens, loss
        return exp_of(PorianRecipe._log_rate, self, params=params)

    def batch_tokens(self, params: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> Array:
        """Tokens in a batch by `params` alone. NaN where they are not positive."""
        del tokens, loss
        return exp_of(PorianRecipe._log_batch, self, params=params)

    def _log_rate(self, log_params):
        return jnp.log(self.rate_scale) + self.rate_by_params * log_params

    def _log_batch(self, log_params):
        return jnp.log(self.batch_scale) + self.batch_by_params * log_params

    def is_valid(self) -> Array:
        """Whether both scales are positive and all fields finite."""
        return are_finite(self) & is_positive(self.rate_scale) & is_positive(self.batch_scale)
