"""How to train a plan: its learning rate, its batch and its steps."""

from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.values import is_positive, quotient, where_safe
from jaxscale.published.entry import Entry, Sized
from jaxscale.recipes.catalog import entry


class Planned(Sized, Protocol):
    """Anything with params, tokens and loss: a plan, a set of runs."""

    @property
    def loss(self) -> ArrayLike: ...


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Recipe:
    """How to train each plan. Every field has the full shape of all plans and of the law."""

    learning_rate: Array  # the peak of the schedule
    batch_tokens: Array
    steps: Array  # tokens / batch_tokens, not rounded
    in_range: Array  # whether the plan lies within the runs that the recipe was fitted to


def training_recipe(plan: Planned, law: str | Entry = "steplaw2025") -> Recipe:
    """Learning rate, batch and steps for each plan by the published recipe of that name.

    The recipe's entry, `recipes.entry(law)`, says what it counts as params and which schedule
    it assumes. An entry of your own will do too; coefficients of its law that are arrays, such as
    those of resamples, broadcast with params, tokens and loss of the plan. NaN with zero
    derivatives where one of them is NaN, so where a plan is not ok, and where the recipe has no
    answer. Raises ValueError for an unknown recipe, with the nearest name and all names, and
    TypeError for a plan that lacks one of the three.

    Examples:
        >>> plan = js.evaluate(js.laws.published("sardana2024"), 7e9, 1.4e12)
        >>> recipe = js.training_recipe(plan, law="steplaw2025")
        >>> print(f"rate {recipe.learning_rate:.2g}, batch {recipe.batch_tokens:.2g} tokens")
        rate 0.00092, batch 5e+06 tokens
    """
    found = law if isinstance(law, Entry) else entry(law)
    missing = [name for name in ("params", "tokens", "loss") if not hasattr(plan, name)]
    if missing:
        raise TypeError(
            f"plan must have params, tokens and loss, as a jaxscale Plan has; got {plan!r} "
            f"without {', '.join(missing)}"
        )
    sizes = {"params": plan.params, "tokens": plan.tokens, "loss": plan.loss}
    return _recipe(*arrays.enter(law=found.law, **sizes), found.in_range(plan))


@compiled
def _recipe(law, params, tokens, loss, in_range):
    law, params, tokens, loss, in_range = arrays.align(law, params, tokens, loss, in_range)
    planned = is_positive(params) & is_positive(tokens) & ~jnp.isnan(loss)
    learning_rate = law.learning_rate(params, tokens, loss)
    batch = law.batch_tokens(params, tokens, loss)
    planned, tokens, in_range, learning_rate, batch = jnp.broadcast_arrays(
        planned, tokens, in_range, learning_rate, batch
    )
    answer = planned & is_positive(batch)
    steps = quotient(where_safe(answer, tokens), where_safe(answer, batch))
    return Recipe(
        learning_rate=jnp.where(planned, learning_rate, jnp.nan),
        batch_tokens=jnp.where(planned, batch, jnp.nan),
        steps=jnp.where(answer, steps, jnp.nan),
        in_range=in_range & planned,
    )
