"""The published recipes by name."""

from collections.abc import Mapping
from typing import Protocol

from jax import Array
from jax.typing import ArrayLike

from jaxscale.published import Entry, find, shipped
from jaxscale.recipes.deepseek import DeepSeekRecipe
from jaxscale.recipes.kaplan import KaplanRecipe
from jaxscale.recipes.porian import PorianRecipe
from jaxscale.recipes.step_law import StepLaw


class RecipeLaw(Protocol):
    """Peak learning rate and batch by size, training length and loss; a frozen pytree.

    Each answer has the shape of those arguments that it depends on. NaN with zero derivatives
    where one of these is not positive.
    """

    def learning_rate(self, params: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> Array:
        """Peak learning rate of Adam or AdamW."""
        ...

    def batch_tokens(self, params: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> Array:
        """Tokens in a batch."""
        ...


# What makes a recipe's law of the numbers of an entry, by name.
FORMS: Mapping[str, type[RecipeLaw]] = {
    each.__name__: each for each in (StepLaw, DeepSeekRecipe, PorianRecipe, KaplanRecipe)
}


def catalog() -> tuple[Entry, ...]:
    """Every published recipe that is known.

    Examples:
        >>> [entry.name for entry in js.recipes.catalog()]
        ['steplaw2025', 'steplaw2025_medians', 'deepseek2024', 'porian2024', 'kaplan2020']
    """
    return shipped("recipes")


def entry(name: str) -> Entry:
    """The published recipe of that name, case aside.

    Raises ValueError for an unknown name, with the nearest one and all names.

    Examples:
        >>> js.recipes.entry("steplaw2025").params_range
        (214663680, 1073741824)
    """
    return find("recipe", catalog(), name)
