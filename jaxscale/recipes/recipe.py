"""Training recipes: peak learning rate, batch and steps of a plan, by published fits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log
from typing import ClassVar, Protocol

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.values import is_positive, quotient, where_safe
from jaxscale.laws.kaplan import CriticalBatch
from jaxscale.laws.protocol import TRAIN_FLOPS, are_finite, exp_of, levers_of, made_safe
from jaxscale.published import Catalog, Entry, find, shipped
from jaxscale.published.entry import Sized
from jaxscale.recipes.critical_batch import CriticalBatchRecipe


class RecipeLaw(Protocol):
    """Peak learning rate and batch by size, training length and loss; a frozen pytree.

    Each answer has the shape of those arguments that it depends on. NaN with zero derivatives
    where one of these is not positive, and where the recipe is not of a learning rate. A law with
    `levers`, a dict of name to (low, high), takes them by name too, and is of a dense model without
    them.
    """

    def learning_rate(self, params: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> Array:
        """Peak learning rate of Adam or AdamW."""
        ...

    def batch_tokens(self, params: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> Array:
        """Tokens in a batch."""
        ...


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PowerRecipe:
    """Learning rate and batch as products of powers of params, tokens and compute.

    The form of Step Law (Li et al. 2025), DeepSeek LLM (2024) and Porian et al. 2024, which differ
    in the powers that they leave out: those exponents are 0. Scales are positive. Fields broadcast
    with each other and with the arguments of the methods.

    Examples:
        >>> law = js.recipes.entry("steplaw2025").law
        >>> print(f"{law.learning_rate(7e9, 1.4e12, 2.0):.2g}")
        0.00092
    """

    rate_scale: Real
    batch_scale: Real  # tokens
    rate_by_params: Real = 0.0  # exponents
    rate_by_tokens: Real = 0.0
    rate_by_flops: Real = 0.0
    batch_by_params: Real = 0.0
    batch_by_tokens: Real = 0.0
    batch_by_flops: Real = 0.0

    equation: ClassVar[str] = (
        "LR = rate_scale N^rate_by_params D^rate_by_tokens C^rate_by_flops, "
        "B = batch_scale N^batch_by_params D^batch_by_tokens C^batch_by_flops, C = 6 N D"
    )

    def learning_rate(self, params: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> Array:
        """Peak learning rate, independent of loss. NaN where params or tokens are not positive."""
        del loss
        return exp_of(PowerRecipe._log_rate, self, params=params, tokens=tokens)

    def batch_tokens(self, params: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> Array:
        """Tokens in a batch, independent of loss. NaN where params or tokens are not positive."""
        del loss
        return exp_of(PowerRecipe._log_batch, self, params=params, tokens=tokens)

    def _log_rate(self, log_params: Array, log_tokens: Array) -> Array:
        powers = self.rate_by_params * log_params + self.rate_by_tokens * log_tokens
        log_flops = log(TRAIN_FLOPS) + log_params + log_tokens
        return jnp.log(self.rate_scale) + powers + self.rate_by_flops * log_flops

    def _log_batch(self, log_params: Array, log_tokens: Array) -> Array:
        powers = self.batch_by_params * log_params + self.batch_by_tokens * log_tokens
        log_flops = log(TRAIN_FLOPS) + log_params + log_tokens
        return jnp.log(self.batch_scale) + powers + self.batch_by_flops * log_flops

    def is_valid(self) -> Array:
        """Whether both scales are positive and all fields finite."""
        return are_finite(self) & is_positive(self.rate_scale) & is_positive(self.batch_scale)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class KaplanRecipe:
    """A rate that falls with ln N, and the critical batch, Kaplan et al. 2020, D.6 and eq. 1.4.

    Fields broadcast with each other and with the arguments of the methods.

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
        return _kaplan_rate(*arrays.enter(law=self, params=params))

    def batch_tokens(self, params: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> Array:
        """Tokens in a batch by `loss` alone. NaN where it is not positive."""
        del params, tokens
        return CriticalBatch(self.B_star, self.alpha_B).tokens(loss)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ExpertsRecipe:
    """A rate that falls with params and experts, at one batch, Ludziejewski et al. 2025, eq. 8.

    `params` are active ones without embeddings. Without `experts` the model is dense. Fields
    broadcast with each other and with the arguments of the methods.

    Examples:
        >>> law = js.recipes.entry("ludziejewski2025").law
        >>> print(f"{law.learning_rate(1e9, 1e11, 2.3, experts=8):.3g}")
        0.000134
    """

    log_rate_at_one: Real
    rate_by_params: Real  # exponents
    rate_by_experts: Real
    batch: Real  # tokens

    equation: ClassVar[str] = (
        "LR = exp(log_rate_at_one) N^rate_by_params E^rate_by_experts, B = batch"
    )
    levers: ClassVar[Mapping[str, tuple[float, float]]] = {"experts": (1.0, 32.0)}

    def learning_rate(
        self, params: ArrayLike, tokens: ArrayLike, loss: ArrayLike, *, experts: ArrayLike = 1.0
    ) -> Array:
        """Peak learning rate by params and experts. NaN where one of them is not positive."""
        del tokens, loss
        return exp_of(ExpertsRecipe._log_rate, self, params=params, experts=experts)

    def batch_tokens(
        self, params: ArrayLike, tokens: ArrayLike, loss: ArrayLike, *, experts: ArrayLike = 1.0
    ) -> Array:
        """Tokens in a batch: the same for all tokens. NaN where they are not positive."""
        del params, loss, experts
        return exp_of(ExpertsRecipe._log_batch, self, tokens=tokens)

    def _log_rate(self, log_params: Array, log_experts: Array) -> Array:
        powers = self.rate_by_params * log_params + self.rate_by_experts * log_experts
        return self.log_rate_at_one + powers

    def _log_batch(self, log_tokens: Array) -> Array:
        return jnp.log(self.batch) + jnp.zeros_like(log_tokens)

    def is_valid(self) -> Array:
        """Whether all fields are finite and the batch is positive."""
        return are_finite(self) & is_positive(self.batch)


@jax.jit
def _kaplan_rate(law: KaplanRecipe, params: Array) -> Array:
    law, params = arrays.align(law, params)
    numbers = law.rate_at_one, law.rate_by_log_params, params
    answer = is_positive(params) & are_finite(numbers)
    rate_at_one, by_log_params, params = made_safe(numbers, answer)
    rate = rate_at_one + by_log_params * jnp.log(params)
    return jnp.where(answer & is_positive(rate), rate, jnp.nan)


# Classes of recipes by the name that a file of published facts gives as `form`.
FORMS: Mapping[str, Callable[..., RecipeLaw]] = {
    "PowerRecipe": PowerRecipe,
    "KaplanRecipe": KaplanRecipe,
    "ExpertsRecipe": ExpertsRecipe,
    "CriticalBatchRecipe": CriticalBatchRecipe,
}


def catalog() -> Catalog[Entry]:
    """All published recipes.

    Examples:
        >>> [entry.name for entry in js.recipes.catalog()][2:5]
        ['deepseek2024', 'porian2024', 'ludziejewski2025']
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


class Planned(Sized, Protocol):
    """Anything with params, tokens and loss: a plan, a set of runs."""

    @property
    def loss(self) -> ArrayLike: ...


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Recipe:
    """Training recipe of each plan; fields have the broadcast shape of the plans and the law."""

    learning_rate: Array  # the peak of the schedule
    batch_tokens: Array
    steps: Array  # tokens / batch_tokens, not rounded
    in_range: Array  # whether the plan lies within the runs that the recipe was fitted to


def training_recipe(plan: Planned, law: str | Entry = "steplaw2025") -> Recipe:
    """Learning rate, batch and steps for each plan, by a published recipe or an entry of your own.

    The recipe's entry, `recipes.entry(law)`, says what it counts as params and which schedule
    it assumes. Where the coefficients of its law are arrays, such as those of resamples, they
    broadcast with params, tokens and loss of the plan. NaN with zero
    derivatives where one of them is NaN, so where a plan is not ok, and where the recipe has no
    answer. A recipe with `levers` takes them from those of the plan; a plan without is of a dense
    model. Raises ValueError for an unknown recipe, with the nearest name and all names, and
    TypeError for a plan that lacks one of the three.

    Examples:
        >>> plan = js.evaluate(js.laws.published("sardana2024"), 7e9, 1.4e12)
        >>> recipe = js.training_recipe(plan, law="steplaw2025")
        >>> print(f"rate {recipe.learning_rate:.2g}, batch {recipe.batch_tokens:.2g} tokens")
        rate 0.00092, batch 5e+06 tokens
    """
    recipe = law if isinstance(law, Entry) else entry(law)
    missing = [name for name in ("params", "tokens", "loss") if not hasattr(plan, name)]
    if missing:
        raise TypeError(
            f"plan must have params, tokens and loss, as a jaxscale Plan has; got {plan!r} "
            f"without {', '.join(missing)}"
        )
    sizes = {"params": plan.params, "tokens": plan.tokens, "loss": plan.loss}
    given = getattr(plan, "levers", None) or {}
    levers = {name: given[name] for name in levers_of(recipe.law) if name in given}
    entered = arrays.enter(law=recipe.law, **sizes, levers=levers)
    return _recipe(*entered, recipe.in_range(plan))


@compiled
def _recipe(law, params, tokens, loss, levers, in_range):
    law, params, tokens, loss, levers, in_range = arrays.align(
        law, params, tokens, loss, levers, in_range
    )
    planned = is_positive(params) & is_positive(tokens) & ~jnp.isnan(loss)
    for name, value in levers.items():
        low, high = levers_of(law)[name]
        in_range &= (value >= low) & (value <= high)
    learning_rate = law.learning_rate(params, tokens, loss, **levers)
    batch = law.batch_tokens(params, tokens, loss, **levers)
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
