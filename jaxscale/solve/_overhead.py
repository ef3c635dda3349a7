"""What a smaller model costs extra in training, and the smallest that can do it at all."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale.laws.chinchilla import Chinchilla
from jaxscale.laws.inverse import far, params_for, tokens_for
from jaxscale.laws.protocol import Law
from jaxscale.plan import evaluate
from jaxscale.solve.minimize import minimize_cost

# Any loss will do for a law whose overhead depends on none: this far above E, in nats per token.
ANY_REDUCIBLE = 0.3


class Overhead(NamedTuple):
    """Of a model k times the size of the cheapest to train, at the same loss."""

    tokens_ratio: Array  # training tokens over those of the cheapest
    extra_cost: Array  # of training, as a share of the cheapest: 0.1 is 10 %
    smallest: Array  # size ratio below which no training is long enough


def overhead(
    law: Law, k: ArrayLike, *, loss: ArrayLike | None = None, **levers: ArrayLike
) -> Overhead:
    """Extra cost of training a model `k` times the compute-optimal size to the same loss.

    All arguments broadcast. For the Chinchilla law the answer is the same at every loss; other
    laws need one. NaN where no training reaches the loss.

    Source: De Vries 2023, "Go smol or go home", whose k_D is `tokens_ratio`.

    Args:
        law: a scaling law.
        k: size of the model, as a ratio to the compute-optimal one.
        loss: the loss of both models, in nats per token.
        levers: a value for each lever of the law, by name.

    Raises:
        ValueError: the law needs a loss, and there is none.

    Examples:
        >>> law = js.laws.published("hoffmann2022")
        >>> half = js.overhead(law, 0.5)
        >>> print(f"{half.tokens_ratio:.2f} times the tokens, {half.extra_cost:.0%} more to train")
        2.42 times the tokens, 21% more to train
    """
    if loss is None and isinstance(law, Chinchilla):
        (E,) = arrays.enter(loss=law.E)
        loss = E + ANY_REDUCIBLE
    if loss is None:
        raise ValueError(f"loss is needed: the overhead of {type(law).__name__} depends on it")
    cheapest = minimize_cost(law, loss, levers=levers)
    tokens = tokens_for(law, loss, jnp.multiply(k, cheapest.params), **levers)
    plan = evaluate(law, jnp.multiply(k, cheapest.params), tokens, levers=levers)
    endless = jnp.exp(far(cheapest.params.dtype)).astype(cheapest.params.dtype)
    least = params_for(law, loss, endless, **levers)
    return Overhead(
        tokens / cheapest.tokens,
        plan.train_cost / cheapest.train_cost - 1,
        jnp.broadcast_to(least / cheapest.params, tokens.shape),
    )
