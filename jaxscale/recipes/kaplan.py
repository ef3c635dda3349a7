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
from jaxscale.laws.kaplan import CriticalBatch
from jaxscale.laws.protocol import are_finite, made_safe


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
