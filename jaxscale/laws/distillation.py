"""Distillation: the loss of a student by its own size and data and by the loss of its teacher.

A student comes the closer to its teacher the more it could have learned by itself, but a teacher
too good for it is as bad as one that knows too little: there is a best teacher for each student.
The law, Busbridge et al. 2025, eq. 8, knows the teacher by its loss alone. FLOPs, eq. 9, know its
size and its training too.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import all_positive, is_nonnegative, where_safe
from jaxscale.laws.chinchilla import LEAST_EXPONENT, MOST_EXPONENT
from jaxscale.laws.fitted import Coefficient
from jaxscale.laws.protocol import INFERENCE_FLOPS, TRAIN_FLOPS, Flops, checked_loss, short_repr
from jaxscale.laws.skaling import Skaling, from_sum_form

# No run had fewer tokens than params, and there eq. 8 would have ever larger students learn ever
# more from next to no tokens. So params beyond the tokens count for nothing: N is taken as
# `N (1 + (N / D)^8)^(-1/8)`, which is within 1e-8 of N from 8 tokens a param on, and within 5e-4
# from two on: below, the law says nothing.
SHARPNESS = 8.0
LEAST_RATIO = 2.0  # tokens a param
_EXPONENT = Coefficient((0.5,), positive=False, low=LEAST_EXPONENT, high=MOST_EXPONENT)
_COEFFICIENTS = {
    "A": Coefficient((1e2, 1e4)),
    "B": Coefficient((1e3, 1e5)),
    "alpha": _EXPONENT._replace(starts=(0.35,)),
    "beta": _EXPONENT,
    "gamma": _EXPONENT._replace(starts=(0.7,)),
    "c0": Coefficient((2.5,), positive=False),
    "c1": Coefficient((1.0, 100.0)),
    "d1": Coefficient((0.8, 1.3)),
    "f1": Coefficient((0.1, 0.5)),
    # Of the law of the student without a teacher, which is fitted first: hold them by `fixed`.
    "E_alone": Coefficient((1.5,)),
    "A_alone": Coefficient((3e3,)),
    "B_alone": Coefficient((2e4,)),
    "alpha_alone": _EXPONENT._replace(starts=(0.4,)),
    "beta_alone": _EXPONENT._replace(starts=(0.4,)),
    "gamma_alone": _EXPONENT._replace(starts=(0.45,)),
}
_EQUATION = (
    "L(N, D, L_T) = L_T + L_T^-c0 (1 + (L_T / (d1 L_alone))^(1 / f1))^(-c1 f1) "
    "(A / N^alpha + B / D^beta)^gamma, "
    "L_alone = E_alone + (A_alone / N^alpha_alone + B_alone / D^beta_alone)^gamma_alone"
)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _Student:
    """Coefficients of eq. 8, and of the law of the same models trained without a teacher, eq. 1."""

    A: Real
    B: Real
    alpha: Real
    beta: Real
    gamma: Real
    c0: Real
    c1: Real
    d1: Real  # loss of the teacher over that of the student alone, where the gap opens
    f1: Real
    E_alone: Real
    A_alone: Real
    B_alone: Real
    alpha_alone: Real
    beta_alone: Real
    gamma_alone: Real

    counts_embeddings: ClassVar[bool] = False

    __repr__ = short_repr

    def alone(self) -> Skaling:
        """The law of the same models trained without a teacher."""
        E, A, B = self.E_alone, self.A_alone, self.B_alone
        return from_sum_form(E, A, B, self.alpha_alone, self.beta_alone, self.gamma_alone)

    def _holds(self, log_params: Array, log_tokens: Array) -> Array:
        return log_tokens - log_params >= math.log(LEAST_RATIO)

    def _loss(self, log_params: Array, log_tokens: Array, teacher_loss: Array) -> Array:
        excess = jax.nn.softplus(SHARPNESS * (log_params - log_tokens))
        log_params -= excess / SHARPNESS
        log_alone = self._log_alone(log_params, log_tokens)
        some = teacher_loss > 0
        log_teacher = jnp.log(where_safe(some, teacher_loss))
        size = jnp.log(self.A) - self.alpha * log_params
        data = jnp.log(self.B) - self.beta * log_tokens
        gap = (log_teacher - log_alone - jnp.log(self.d1)) / self.f1
        missed = self.gamma * jnp.logaddexp(size, data) - self.c0 * log_teacher
        missed -= self.c1 * self.f1 * jax.nn.softplus(gap)
        return jnp.where(some, teacher_loss + jnp.exp(missed), jnp.nan)

    def _log_alone(self, log_params: Array, log_tokens: Array) -> Array:
        size = jnp.log(self.A_alone) - self.alpha_alone * log_params
        data = jnp.log(self.B_alone) - self.beta_alone * log_tokens
        return jnp.log(self.E_alone + jnp.exp(self.gamma_alone * jnp.logaddexp(size, data)))

    def _is_valid(self) -> Array:
        own = all_positive(self.A, self.B, self.alpha, self.beta, self.gamma)
        gap = is_nonnegative(self.c0) & all_positive(self.c1, self.d1, self.f1)
        alone = all_positive(self.A_alone, self.B_alone, self.alpha_alone, self.beta_alone)
        return own & gap & alone & is_nonnegative(self.E_alone) & all_positive(self.gamma_alone)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Distillation(_Student):
    """Loss of a student by the loss of its teacher, Busbridge et al. 2025, arXiv 2502.08606, eq. 8.

    `params` and `tokens` are the student's, embeddings not counted, and the lever `teacher_loss` is
    the loss of the teacher on the same text, in nats per token. FLOPs are those of the student's
    training, and where the `teacher_params` of a teacher are given, those of its answers to the
    student's tokens; its own training is not counted (`TeacherAndStudent` does).

    The student's loss is always above the teacher's in this law, though the authors' own students
    beat weaker teachers. All coefficients are positive; `E_alone`, `c0` and `teacher_params` may be
    0. In a fit, hold the law of the student alone: fit `Skaling` to runs without a teacher, and
    give its numbers by `fixed`. Where `d1` is well above the ratios in the runs, they determine
    `c1 f1 d1^(-1 / f1)` and not `c1` and `d1`.

    Give the size of the student by bounds, as the paper does: eq. 8 prefers a large student with
    few tokens beyond all runs. Below two tokens a param the law says nothing.

    Examples:
        >>> law = js.laws.published("busbridge2025_student")
        >>> print(np.asarray(law.loss(1e9, 2e10, teacher_loss=np.array([1.9, 2.2, 2.5]))).round(3))
        [2.264 2.317 2.505]
        >>> print(f"{law.alone().loss(1e9, 2e10):.3f} without a teacher")
        2.375 without a teacher
    """

    teacher_params: Real = 0.0  # of a teacher that answers for this student; 0: logits are free

    equation: ClassVar[str] = _EQUATION
    levers: ClassVar[Mapping[str, tuple[float, float]]] = {"teacher_loss": (1.0, 4.0)}
    fitted: ClassVar[Mapping[str, Coefficient]] = {
        **_COEFFICIENTS,
        "teacher_params": Coefficient((0.0,), positive=False, held=True),
    }

    def loss(self, params: ArrayLike, tokens: ArrayLike, *, teacher_loss: ArrayLike) -> Array:
        """Loss of the student in nats per token."""
        return checked_loss(self, params, tokens, teacher_loss=teacher_loss)

    def loss_from_logs(self, log_params: Array, log_tokens: Array, teacher_loss: Array) -> Array:
        """`loss` at natural logarithms of params and tokens; checks and converts nothing."""
        return self._loss(log_params, log_tokens, teacher_loss)

    def holds(self, log_params: Array, log_tokens: Array, teacher_loss: Array) -> Array:
        """Whether a student has two tokens a param or more: no run is known with fewer."""
        del teacher_loss
        return self._holds(log_params, log_tokens)

    def flops(self, params: Array, tokens: Array, teacher_loss: Array) -> Flops:
        """6 N D of the student and 2 N_T D of the teacher, eq. 9; serving is the student's."""
        del teacher_loss
        serving = INFERENCE_FLOPS * params
        logits = INFERENCE_FLOPS * self.teacher_params * tokens
        return Flops(TRAIN_FLOPS * params * tokens + logits, serving, serving)

    def is_valid(self) -> Array:
        """Whether every coefficient is finite and of the sign that the law needs."""
        return self._is_valid() & is_nonnegative(self.teacher_params)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TeacherAndStudent(_Student):
    """Loss of a student by the size and training of its teacher, Busbridge et al. 2025, eq. 8, 9.

    As `Distillation`, with the loss of the teacher by the law of models alone. The levers are the
    teacher's `teacher_params` and `teacher_tokens`: give both for a teacher that exists, or choose
    them with the student. Two shares say what of the teacher this student pays for:

    | | `logits` | `training` |
    | --- | --- | --- |
    | the teacher is free | 0 | 0 |
    | it exists, and answers for this student | 1 | 0 |
    | it is trained for this student, and its logits are stored | 0 | 1 |
    | it is trained for this student, and answers for it | 1 | 1 |

    A teacher of k students has shares of 1 / k. A teacher whose training is free is best trained
    for ever, so the best `teacher_tokens` then lie at an end of their range unless the gap is in
    the way.

    Examples:
        >>> law = js.laws.published("busbridge2025_teacher_exists")
        >>> teacher = {"teacher_params": 7.75e9, "teacher_tokens": 155e9}
        >>> size = js.Bounds(min_params=1e9, max_params=1e9)
        >>> plan = js.minimize_loss(law, 1e21, levers=teacher, bounds=size)
        >>> alone = js.minimize_loss(law.alone(), 1e21, bounds=size)
        >>> print(f"loss {plan.loss:.3f}, {alone.loss:.3f} without a teacher")
        loss 2.238, 2.210 without a teacher
    """

    logits: Real = 1.0  # share of the teacher's answers to the student's tokens
    training: Real = 1.0  # share of the teacher's training

    equation: ClassVar[str] = f"{_EQUATION}, L_T = L_alone of the teacher"
    levers: ClassVar[Mapping[str, tuple[float, float]]] = {
        "teacher_params": (1e8, 1e11),
        "teacher_tokens": (1e9, 1e14),
    }
    fitted: ClassVar[Mapping[str, Coefficient]] = {
        **_COEFFICIENTS,
        "logits": Coefficient((1.0,), positive=False, held=True),
        "training": Coefficient((1.0,), positive=False, held=True),
    }

    def loss(
        self,
        params: ArrayLike,
        tokens: ArrayLike,
        *,
        teacher_params: ArrayLike,
        teacher_tokens: ArrayLike,
    ) -> Array:
        """Loss of the student in nats per token."""
        teacher = {"teacher_params": teacher_params, "teacher_tokens": teacher_tokens}
        return checked_loss(self, params, tokens, **teacher)

    def loss_from_logs(
        self, log_params: Array, log_tokens: Array, teacher_params: Array, teacher_tokens: Array
    ) -> Array:
        """`loss` at natural logarithms of params and tokens; checks and converts nothing."""
        some = all_positive(teacher_params, teacher_tokens)
        sizes = (jnp.log(where_safe(some, x)) for x in (teacher_params, teacher_tokens))
        teacher_loss = jnp.exp(self._log_alone(*sizes))
        return jnp.where(some, self._loss(log_params, log_tokens, teacher_loss), jnp.nan)

    def holds(
        self, log_params: Array, log_tokens: Array, teacher_params: Array, teacher_tokens: Array
    ) -> Array:
        """Whether a student has two tokens a param or more: no run is known with fewer."""
        del teacher_params, teacher_tokens
        return self._holds(log_params, log_tokens)

    def flops(
        self, params: Array, tokens: Array, teacher_params: Array, teacher_tokens: Array
    ) -> Flops:
        """FLOPs of eq. 9, `6 N D + 2 N_T (logits D + 3 training D_T)`; serving is the student's.

        The paper counts attention and the output layer too, which adds 8 % at 8e9 params and half
        at 0.2e9, to teacher and student alike.
        """
        serving = INFERENCE_FLOPS * params
        logits = INFERENCE_FLOPS * self.logits * teacher_params * tokens
        training = TRAIN_FLOPS * self.training * teacher_params * teacher_tokens
        return Flops(TRAIN_FLOPS * params * tokens + logits + training, serving, serving)

    def is_valid(self) -> Array:
        """Whether every coefficient is finite and of the sign that the law needs."""
        return self._is_valid() & is_nonnegative(self.logits) & is_nonnegative(self.training)
