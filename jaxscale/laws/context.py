"""Loss by the length of the context, for one model: Xiong et al. 2023."""

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import all_positive, is_nonnegative, is_positive, where_safe
from jaxscale.laws.protocol import exp_of, made_safe, short_repr
from jaxscale.published import find, shipped


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ContextLength:
    """Loss of a trained model by the tokens of context that it sees, Xiong et al. 2023.

    Twice the context cuts the excess over `gamma` by `1 - 2^-beta`, some 30 % in their fits, and
    the loss itself by 1 to 2 %. It is no law of params and tokens, so none to plan a training with:
    `js.serving.longer_prompt` weighs the gain against the price. `alpha` and `beta` are positive,
    `gamma` is not negative. Where a number is bad, the methods return NaN with zero derivatives.

    Examples:
        >>> law = js.laws.context_length("xiong2023_7b")
        >>> print(f"{law.loss(4096):.3f} and {law.loss(32768):.3f}")
        1.662 and 1.600
    """

    alpha: Real  # tokens
    beta: Real
    gamma: Real  # loss with unlimited context, nats per token

    equation: ClassVar[str] = "L(c) = (alpha / c)^beta + gamma"

    __repr__ = short_repr

    def loss(self, context: ArrayLike) -> Array:
        """Loss in nats per token with `context` tokens of context."""
        return _loss(*arrays.enter(law=self, context=context))

    def gain_of_doubling(self, context: ArrayLike) -> Array:
        """Nats per token by which twice the context lowers the loss.

        Examples:
            >>> law = js.laws.context_length("xiong2023_7b")
            >>> print(f"{law.gain_of_doubling(4096):.4f}")
            0.0272
        """
        return exp_of(ContextLength._log_gain, self, context=context)

    def _log_gain(self, log_context: Array) -> Array:
        log_excess = self.beta * (jnp.log(self.alpha) - log_context)
        return log_excess + jnp.log(-jnp.expm1(-self.beta * math.log(2)))

    def is_valid(self) -> Array:
        """Whether every coefficient is finite and of the sign that the law needs."""
        return all_positive(self.alpha, self.beta) & is_nonnegative(self.gamma)


FORMS = {"ContextLength": ContextLength}


def context_length(name: str) -> ContextLength:
    """The published law of loss by context of that name: Llama 2 Long of 7B to 70B.

    Raises ValueError for an unknown name, with the nearest one and all names.

    Examples:
        >>> js.laws.context_length("xiong2023_70b")
        ContextLength(alpha=17.9, beta=0.51, gamma=1.35)
    """
    return find("context name", shipped("contexts"), name).law


@jax.jit
def _loss(law, context):
    law, context = arrays.align(law, context)
    answer = law.is_valid() & is_positive(context)
    law, context = made_safe(law, answer), where_safe(answer, context)
    excess = jnp.exp(law.beta * (jnp.log(law.alpha) - jnp.log(context)))
    return jnp.where(answer, excess + law.gamma, jnp.nan)
