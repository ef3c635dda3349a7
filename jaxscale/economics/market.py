"""What quality is worth, and the demand that reacts to quality and to price."""

from dataclasses import dataclass
from typing import Any, Self

import jax
import jax.numpy as jnp
from jax import Array

from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import is_finite, is_nonnegative, is_positive, where_safe
from jaxscale.costs import Demand
from jaxscale.laws.protocol import short_repr

# Of one provider among others: 1.08 (0.19) and 1.11 (0.22), by specification; of the market as a
# whole 0.55 (0.09) (Demirer et al., NBER w34608, Table 2: open models on OpenRouter).
PROVIDER_ELASTICITY = 1.1


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ValuePerNat:
    """A model is worth `per_nat` for each nat that its loss lies below `worthless_at`.

    In the unit of the costs, over the model's whole life.

    Examples:
        >>> value = js.economics.ValuePerNat(1e9, worthless_at=2.2)
        >>> print(f"${value(2.0):.3g}")
        $2e+08
    """

    per_nat: Real
    worthless_at: Real  # loss

    __repr__ = short_repr

    def __call__(self, loss: Array) -> Array:
        """Value at a loss; negative where the loss is higher than `worthless_at`."""
        return self.per_nat * (self.worthless_at - loss)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ValueOfAccuracy:
    """A model is worth `dollars` for each whole of accuracy on tasks above `worthless_at`.

    So a model with an accuracy of 60 % is worth a tenth of `dollars` where it is worth nothing at
    50 %. The loss must be that of the `task`'s law.

    Examples:
        >>> task = js.task("gadre2024_c4")
        >>> value = js.economics.ValueOfAccuracy(task, 1e9, worthless_at=0.5)
        >>> print(f"${value(2.2):.3g}")
        $4.42e+07
    """

    task: Any  # accuracy by loss, such as a `js.laws.Task`
    dollars: Real
    worthless_at: Real  # accuracy, a share

    __repr__ = short_repr

    def __call__(self, loss: Array) -> Array:
        """Value at a loss; negative where the accuracy is lower than `worthless_at`."""
        return self.dollars * (self.task.accuracy(loss) - self.worthless_at)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Market:
    """Demand for the tokens of one model, which reacts to its quality and to its price.

    `tokens x exp(per_nat (loss0 - loss)) x (price / price0)^(-elasticity)` tokens are sold over the
    model's life, the subscript 0 for the point at which the demand is known. Each token, read or
    written, sells at one price.

    The elasticity is that of one provider among others by default (Demirer et al., NBER w34608,
    Table 2, with a standard error of 0.2), which makes the best price eleven times what a token
    costs: measure your own.

    Examples:
        >>> market = js.economics.Market(5e11, 5e11, at_loss=2.0, at_price=1e-6, per_nat=2.0)
        >>> print(f"{market.demand(loss=1.9, price=0.5e-6).input_tokens:.3g} tokens are read")
        1.31e+12 tokens are read
    """

    input_tokens: Real  # read and written at `at_loss` and `at_price`
    output_tokens: Real
    at_loss: Real
    at_price: Real  # of a token, in the unit of the costs
    per_nat: Real  # by which the logarithm of the demand rises with each nat less
    elasticity: Real = PROVIDER_ELASTICITY  # by which it falls with the logarithm of the price

    def demand(self, loss: Array, price: Array) -> Demand:
        """The demand at a loss and a price."""
        return self.scaled(jnp.exp(self.log_scale(loss, jnp.log(price))))

    def scaled(self, scale: Array) -> Demand:
        """A multiple of the known demand."""
        return Demand(self.input_tokens * scale, self.output_tokens * scale)

    def log_scale(self, loss: Array, log_price: Array) -> Array:
        """Logarithm of the demand as a multiple of the known one."""
        cheaper = jnp.log(self.at_price) - log_price
        return self.per_nat * (self.at_loss - loss) + self.elasticity * cheaper

    def log_price(self, loss: Array, log_scale: Array) -> Array:
        """Logarithm of the price at which that multiple is sold."""
        cheaper = (log_scale - self.per_nat * (self.at_loss - loss)) / self.elasticity
        return jnp.log(self.at_price) - cheaper

    def is_valid(self) -> Array:
        """Whether no number is infinite or NaN, tokens are sold, and at a price."""
        known = is_finite(self.at_loss) & is_finite(self.per_nat)
        known &= is_positive(self.at_price) & is_nonnegative(self.elasticity)
        known &= is_nonnegative(self.input_tokens) & is_nonnegative(self.output_tokens)
        return known & is_positive(self.input_tokens + self.output_tokens)

    def made_safe(self, good: Array) -> Self:
        """The market with 1 for all numbers of scenarios that are not good, when differentiated."""
        return jax.tree.map(lambda x: where_safe(good, x), self)
