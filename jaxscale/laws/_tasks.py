"""Accuracy on tasks by loss: from the size of a model to its accuracy, and back, in two steps.

The first step is a law of the loss, of a text or of a task's right answers; the second a curve of
the accuracy over that loss. A target in accuracy is thus a target in the loss of that law alone.
"""

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.compiled import compiled
from jaxscale._numerics.values import is_finite, is_positive, where_safe
from jaxscale.laws.chinchilla import Chinchilla
from jaxscale.laws.protocol import made_safe, short_repr
from jaxscale.published import Catalog, Entry, find, shipped


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ExponentialAccuracy:
    """Accuracy on tasks by the loss on a text, Gadre et al. 2024, arXiv 2403.08540.

    They print the top-1 error, 1 minus this. k and gamma are positive. Where a number is bad, the
    methods return NaN with zero derivatives.

    Examples:
        >>> curve = js.laws.ExponentialAccuracy(epsilon=0.85, k=2.08, gamma=0.756)
        >>> print(f"{curve.accuracy(2.4):.3f}")
        0.489
    """

    epsilon: Real  # error of a guess
    k: Real
    gamma: Real  # per nat per token

    equation: ClassVar[str] = "accuracy(L) = 1 - epsilon + k exp(-gamma L)"

    __repr__ = short_repr

    def accuracy(self, loss: ArrayLike) -> Array:
        """Accuracy, a share, at a positive loss; not cut off at 1, where the curve ends."""
        return _accuracy(*arrays.enter(curve=self, loss=loss))

    def loss(self, accuracy: ArrayLike) -> Array:
        """Loss at that accuracy; NaN where no positive loss has it."""
        return _loss(*arrays.enter(curve=self, accuracy=accuracy))

    def is_valid(self) -> Array:
        """Whether every coefficient is finite and of the sign that the curve needs."""
        return is_finite(self.epsilon) & is_positive(self.k) & is_positive(self.gamma)

    @property
    def floor(self) -> Real:
        """Accuracy as the loss grows without end."""
        return 1 - self.epsilon

    def accuracy_at(self, loss: Array) -> Array:
        """Accuracy at a loss of 0 or more; checks nothing."""
        return self.floor + self.k * jnp.exp(-self.gamma * loss)

    def loss_at(self, accuracy: Array) -> Array:
        """Loss at an accuracy; any number where no loss has it."""
        above = accuracy - self.floor
        return (jnp.log(self.k) - _log(above)) / self.gamma


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SigmoidAccuracy:
    """Accuracy on a task by the loss on its right answers, Bhagia et al. 2024, arXiv 2412.04403.

    p is negative and k positive, so that the accuracy falls with the loss, from q to q + p. Where a
    number is bad, the methods return NaN with zero derivatives.

    Examples:
        >>> curve = js.laws.SigmoidAccuracy(p=-0.75, x0=0.6, k=5.0, q=1.0)
        >>> print(f"{curve.accuracy(0.6):.3f}")
        0.625
        >>> print(f"{curve.loss(0.625):.3f}")
        0.600
    """

    p: Real
    x0: Real  # loss at half of the fall
    k: Real  # per unit of loss
    q: Real  # accuracy at a very low loss

    equation: ClassVar[str] = "accuracy(L) = q + p / (1 + exp(-k (L - x0)))"

    __repr__ = short_repr

    def accuracy(self, loss: ArrayLike) -> Array:
        """Accuracy, a share, at a positive loss."""
        return _accuracy(*arrays.enter(curve=self, loss=loss))

    def loss(self, accuracy: ArrayLike) -> Array:
        """Loss at that accuracy; NaN where no positive loss has it."""
        return _loss(*arrays.enter(curve=self, accuracy=accuracy))

    def is_valid(self) -> Array:
        """Whether every coefficient is finite and of the sign that the curve needs."""
        signs = is_positive(-self.p) & is_positive(self.k)
        return signs & is_finite(self.x0) & is_finite(self.q)

    @property
    def floor(self) -> Real:
        """Accuracy as the loss grows without end."""
        return self.q + self.p

    def accuracy_at(self, loss: Array) -> Array:
        """Accuracy at a loss of 0 or more; checks nothing."""
        # The sigmoid as a tanh, whose derivative is finite however far the loss is from x0.
        return self.q + 0.5 * self.p * (1 + jnp.tanh(0.5 * self.k * (loss - self.x0)))

    def loss_at(self, accuracy: Array) -> Array:
        """Loss at an accuracy; any number where no loss has it."""
        return self.x0 + (_log(self.q - accuracy) - _log(accuracy - self.floor)) / self.k


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Task:
    """Accuracy by the size of a model, in two steps: a law of the loss, and a curve over it.

    An accuracy is a target like any other: `js.minimize_cost(task.law, task.loss(0.55), ...)`.

    Examples:
        >>> task = js.task("mmlu")
        >>> print(f"{task.accuracy(task.law.loss(7e9, 4e12)):.3f} by 7B params on 4T tokens")
        0.485 by 7B params on 4T tokens
    """

    law: Any
    curve: Any  # such as a `SigmoidAccuracy`

    def accuracy(self, loss: ArrayLike) -> Array:
        """Accuracy, a share, at a positive loss of the task's law; NaN for a bad one."""
        return self.curve.accuracy(loss)

    def loss(self, accuracy: ArrayLike) -> Array:
        """Loss of the task's law at that accuracy; NaN where no positive loss has it.

        A loss below what the law can reach is a number too: `reach` says which accuracies are
        above that, and a solver says so by its status.
        """
        return self.curve.loss(accuracy)

    @property
    def reach(self) -> tuple[Array, Array]:
        """Accuracies without a model that has them: of the largest loss, and of the law's E.

        Those of models lie between the two.

        Examples:
            >>> low, high = js.task("mmlu").reach
            >>> print(f"{low:.1%} to {high:.1%}")
            25.8% to 76.7%
        """
        law, curve = self.law, self.curve
        floor, least = arrays.align(jnp.asarray(curve.floor), jnp.asarray(getattr(law, "E", 0.0)))
        return floor, curve.accuracy_at(least)

    @property
    def equation(self) -> str:
        """Both steps as text."""
        return f"{self.law.equation}; {self.curve.equation}"


def tasks() -> Catalog[Entry]:
    """All tasks whose accuracy is published as a function of the loss.

    `law` of an entry is a `Task`; `benchmark` says what the accuracy is on, and `check` what was
    predicted and measured for a large model.

    Examples:
        >>> [entry.name for entry in js.laws.tasks()][-2:]
        ['bhagia2024_socialiqa', 'bhagia2024_openbookqa']
    """
    return shipped("tasks")


def task_entry(name: str) -> Entry:
    """The task of that name or alias, case aside, with its source, range and faults.

    Raises ValueError for an unknown name, with the nearest one and all names.

    Examples:
        >>> check = js.laws.task_entry("hellaswag").check
        >>> print(f"{check.measured:.1%} of {check.params / 1e9:.1f}B params")
        83.2% of 13.2B params
    """
    return find("task", tasks(), name)


def task(name: str) -> Task:
    """The task of that name: the law of its loss, and its accuracy by that loss.

    Warns where the source leaves coefficients open. Raises ValueError for an unknown name, with the
    nearest one and all names.

    Examples:
        >>> task = js.task("mmlu")
        >>> plan = js.minimize_cost(task.law, task.loss(0.45), js.Demand(1e12, 1e12))
        >>> print(f"{plan.params / 1e9:.1f}B params, {plan.tokens / 1e12:.1f}T tokens")
        5.7B params, 1.1T tokens
    """
    entry = task_entry(name)
    if entry.warning:
        warnings.warn(f"{entry.name}: {entry.warning}", stacklevel=2)
    return entry.law


def entry_of_law(entry: Entry) -> Entry:
    """The entry of the law of a task: a published law's own, or the task's."""
    of_law = (each for each in shipped("laws") if each.law == entry.law.law)
    return next(of_law, None) or replace(entry, law=entry.law.law)


# --- Forms in the file of published tasks ---------------------------------------------------------


def ladder(
    a: Real, b: Real, alpha: Real, beta: Real, E: Real, p: Real, x0: Real, k: Real, q: Real
) -> Task:
    """Both steps of Bhagia et al. 2024, with the logarithms that they print for A and B."""
    law = Chinchilla(E, math.exp(a), math.exp(b), alpha, beta)
    return Task(law, SigmoidAccuracy(p, x0, k, q))


def error_by_loss(law: str, epsilon: Real, k: Real, gamma: Real) -> Task:
    """The error of Gadre et al. 2024 over the loss of a published law."""
    return Task(find("law", shipped("laws"), law).law, ExponentialAccuracy(epsilon, k, gamma))


FORMS = {each.__name__: each for each in (ladder, error_by_loss)}


# --- Formulas: dtype, shapes and bad values -------------------------------------------------------


def _log(x: Array) -> Array:
    """Logarithm; NaN with a finite derivative where x is not positive."""
    positive = is_positive(x)
    return jnp.where(positive, jnp.log(where_safe(positive, x)), jnp.nan)


@compiled
def _accuracy(curve, loss):
    curve, loss = arrays.align(curve, loss)
    answer = curve.is_valid() & is_positive(loss)
    curve, loss = made_safe(curve, answer), where_safe(answer, loss)
    return jnp.where(answer, curve.accuracy_at(loss), jnp.nan)


@compiled
def _loss(curve, accuracy):
    curve, accuracy = arrays.align(curve, accuracy)
    good = curve.is_valid() & is_finite(accuracy)
    loss = made_safe(curve, good).loss_at(where_safe(good, accuracy))
    return jnp.where(good & is_positive(loss), loss, jnp.nan)
