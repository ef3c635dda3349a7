"""The loss by compute and tokens per parameter, as Gadre et al. 2024 write it.

It is the Chinchilla law with alpha = beta in other variables, so it has no class of its own.
"""

import math

import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics import arrays
from jaxscale._numerics.arrays import Real
from jaxscale.laws.chinchilla import Chinchilla
from jaxscale.laws.protocol import TRAIN_FLOPS, Law, exp_of


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
