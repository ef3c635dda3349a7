"""Loss by compute and tokens per parameter, and error on tasks by loss: Gadre et al. 2024.

Their loss of compute and tokens per parameter is the Chinchilla law with alpha = beta in
other variables, so it has no class of its own.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import is_finite, is_positive, where_safe
from jaxscale.laws.chinchilla import Chinchilla
from jaxscale.laws.protocol import TRAIN_FLOPS, Law, exp_of, short_repr
from jaxscale.published import find, shipped


def loss_at_ratio(
    law: Law, flops: ArrayLike, tokens_per_param: ArrayLike, **levers: ArrayLike
) -> Array:
    """Loss in nats per token where `flops` = 6 N D train `tokens_per_param` = D / N.

    For any law; numbers broadcast, and bad ones give NaN with zero derivatives. The
    variables of Gadre et al. 2024, arXiv 2403.08540.

    Examples:
        >>> law = js.laws.published("gadre2024_c4")
        >>> print(f"{js.laws.loss_at_ratio(law, 1e21, tokens_per_param=20):.3f}")
        2.461
    """
    law, flops, tokens_per_param, *values = arrays.enter(
        law=law, flops=flops, tokens_per_param=tokens_per_param, **levers
    )
    sizes = {"flops": flops, "tokens_per_param": tokens_per_param}
    params, tokens = exp_of(_log_params, None, **sizes), exp_of(_log_tokens, None, **sizes)
    return law.loss(params, tokens, **dict(zip(levers, values, strict=True)))


def from_flops_form(E: Real, a: Real, b: Real, eta: Real) -> Chinchilla:
    """The law `L(C, M) = E + (a M^eta + b M^-eta) C^-eta` of Gadre et al. 2024.

    C = 6 N D and M = D / N, so `N^(-2 eta) = 6^eta M^eta C^-eta`: alpha = beta = 2 eta, and
    a and b are 6^eta times A and B. Numbers, or arrays that broadcast. Raises ValueError for
    a concrete value that is not finite or not positive; E may be 0.

    Examples:
        >>> law = js.laws.from_flops_form(E=1.8, a=60.0, b=90.0, eta=0.12)
        >>> print(f"alpha = beta = {law.alpha:.2f}")
        alpha = beta = 0.24
    """
    for name, value in {"E": E, "a": a, "b": b, "eta": eta}.items():
        _check_sign(name, value)
    E, a, b, eta = arrays.align(E, a, b, eta)
    shrink = float(TRAIN_FLOPS) ** -eta
    return Chinchilla(E=E, A=a * shrink, B=b * shrink, alpha=2 * eta, beta=2 * eta)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Downstream:
    """Error on tasks by pre-training loss, Gadre et al. 2024, arXiv 2403.08540.

    The error is top-1, a fraction averaged over tasks, and the loss is one on the text that
    the coefficients were fitted with. k and gamma are positive. Where a number is bad, the
    methods return NaN with zero derivatives.

    Examples:
        >>> tasks = js.downstream("gadre2024_c4")
        >>> print(f"{tasks.loss(0.5):.2f} nats per token for half of the answers")
        2.36 nats per token for half of the answers
    """

    epsilon: Real  # error of a guess
    k: Real
    gamma: Real  # per nat per token

    equation: ClassVar[str] = "Err(L) = epsilon - k exp(-gamma L)"

    __repr__ = short_repr

    def error(self, loss: ArrayLike) -> Array:
        """Error at a positive loss in nats per token; not cut off at 0, where the law ends."""
        return _error(*arrays.enter(law=self, loss=loss))

    def loss(self, error: ArrayLike) -> Array:
        """Loss in nats per token at that error; NaN outside (epsilon - k, epsilon)."""
        return _loss(*arrays.enter(law=self, error=error))

    def is_valid(self) -> Array:
        """Whether every coefficient is finite and of the sign that the law needs."""
        return is_finite(self.epsilon) & is_positive(self.k) & is_positive(self.gamma)


FORMS = {"Downstream": Downstream}


def downstream(name: str) -> Downstream:
    """Error by loss of the published law of that name: the mean of 17 tasks, or `_46` of all 46.

    Raises ValueError for an unknown name, with the nearest one and all names.

    Examples:
        >>> tasks = js.downstream("gadre2024_c4")
        >>> print(f"{tasks.error(2.5):.3f}")
        0.536
    """
    return find("downstream name", shipped("tasks"), name).law


def _check_sign(name: str, value: Real) -> None:
    if not arrays.is_concrete(value):
        return
    host = np.asarray(value)
    inside = (host >= 0) if name == "E" else (host > 0)
    if not (inside & (host < np.inf)).all():
        rule = "0 or more" if name == "E" else "above 0"
        raise ValueError(f"{name} must be finite and {rule}; got {value!r}")


def _log_params(_: None, log_flops: Array, log_ratio: Array) -> Array:
    return (log_flops - math.log(TRAIN_FLOPS) - log_ratio) / 2


def _log_tokens(_: None, log_flops: Array, log_ratio: Array) -> Array:
    return (log_flops - math.log(TRAIN_FLOPS) + log_ratio) / 2


@jax.jit
def _error(law, loss):
    law, loss = arrays.align(law, loss)
    answer = law.is_valid() & is_positive(loss)
    epsilon, k, gamma, loss = (
        where_safe(is_finite(x), x) for x in (law.epsilon, law.k, law.gamma, loss)
    )
    return jnp.where(answer, epsilon - k * jnp.exp(-gamma * loss), jnp.nan)


@jax.jit
def _loss(law, error):
    law, error = arrays.align(law, error)
    missing = law.epsilon - error
    answer = law.is_valid() & is_finite(error) & (missing > 0) & (missing < law.k)
    k, gamma = (where_safe(is_positive(x), x) for x in (law.k, law.gamma))
    loss = (jnp.log(k) - jnp.log(where_safe(answer, missing))) / gamma
    return jnp.where(answer, loss, jnp.nan)
