"""The law of one shape: how loss falls with compute while a model keeps its shape."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import has_normal_exp, is_nonnegative, is_positive, where_safe


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ShapeLaw:
    """Loss by training FLOPs of one shape, Anagnostidis et al. 2023, arXiv 2311.03233.

    a and b are positive, c and d not negative. Fields may be arrays, with an entry for each
    shape; they broadcast with what the methods are given. Where a number is bad, the methods
    return NaN with zero derivatives.

    Examples:
        >>> law = js.growth.ShapeLaw(a=50.0, b=0.1, c=0.5, d=0.0)
        >>> print(f"{law.loss(1e18):.2f}")
        1.29
    """

    a: Real
    b: Real
    c: Real  # what more compute does not take away, nats per token
    d: Real  # FLOPs

    equation: ClassVar[str] = "E(C) = a (C + d)^-b + c"

    def loss(self, flops: ArrayLike) -> Array:
        """Loss in nats per token after so many FLOPs, of which 0 is none yet."""
        return _loss(*arrays.enter(law=self, flops=flops))

    def slope(self, flops: ArrayLike) -> Array:
        """Change of the loss by FLOPs, in nats per token and FLOP: negative."""
        return _slope(*arrays.enter(law=self, flops=flops))

    def flops_for(self, loss: ArrayLike) -> Array:
        """FLOPs that reach a loss; NaN for one at or below c, or above that of no FLOPs."""
        return _flops_for(*arrays.enter(law=self, loss=loss))

    def is_valid(self) -> Array:
        """Whether every coefficient is finite and of the sign that the law needs."""
        fall = is_positive(self.a) & is_positive(self.b)
        return fall & is_nonnegative(self.c) & is_nonnegative(self.d)


@jax.jit
def _loss(law, flops):
    law, log_sum, answer = _entered(law, flops)
    log_above = jnp.log(law.a) - law.b * log_sum
    return jnp.where(answer, jnp.exp(log_above) + law.c, jnp.nan)


@jax.jit
def _slope(law, flops):
    law, log_sum, answer = _entered(law, flops)
    log_steep = jnp.log(law.a) + jnp.log(law.b) - (law.b + 1) * log_sum
    answer &= has_normal_exp(log_steep)
    return jnp.where(answer, -jnp.exp(where_safe(answer, log_steep)), jnp.nan)


def _entered(law, flops):
    """A safe law, the logarithm of C + d, and where both mean anything."""
    law, flops = arrays.align(law, flops)
    answer = law.is_valid() & is_nonnegative(flops) & is_positive(flops + law.d)
    law, flops = jax.tree.map(lambda x: where_safe(answer, x), (law, flops))
    return law, jnp.log(flops + law.d), answer


@jax.jit
def _flops_for(law, loss):
    law, loss = arrays.align(law, loss)
    above = loss - law.c
    answer = law.is_valid() & is_positive(above)
    law, above = jax.tree.map(lambda x: where_safe(answer, x), (law, above))
    log_sum = (jnp.log(law.a) - jnp.log(above)) / law.b
    answer &= has_normal_exp(log_sum)
    flops = jnp.exp(where_safe(answer, log_sum)) - law.d
    return jnp.where(answer & (flops >= 0), flops, jnp.nan)
