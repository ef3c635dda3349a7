"""Parameters with and without embeddings, Pearce and Song 2024, arXiv 2406.12907.

They explain how Kaplan's exponent follows from the Chinchilla law when embeddings are left out
of the parameters of small models.
"""

import math
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale.architectures.family import Power, log_root
from jaxscale.laws.protocol import TRAIN_FLOPS, exp_of, two_powers

# Of N_total = N + GAMMA N^(1/3): a fit to the 50 shapes of Hoffmann et al. 2022, Table A9, and
# so for a vocabulary of 32000 (Pearce and Song 2024, and their released code).
GAMMA = 47491.0


def total_params(non_embedding_params: ArrayLike) -> Array:
    """All parameters of a model with N parameters without embeddings: `N + 47491 N^(1/3)`.

    NaN with zero derivatives where the number is not positive.

    Examples:
        >>> print(f"{js.architectures.pearce.total_params(1e8):.3g}")
        1.22e+08
    """
    return exp_of(_log_total, None, non_embedding_params=non_embedding_params)


def non_embedding_params(total_params: ArrayLike) -> Array:
    """Parameters without embeddings, by all parameters: the inverse of `total_params`.

    NaN with zero derivatives where the number is not positive.

    Examples:
        >>> print(f"{js.architectures.pearce.non_embedding_params(1e9):.3g}")
        9.53e+08
    """
    return exp_of(_log_non_embedding, None, total_params=total_params)


def optimal_flops(law: Any, non_embedding_params: ArrayLike) -> Array:
    """Training FLOPs, 6 N D, for which N parameters without embeddings are best.

    With T = N + g N^(1/3) of `total_params` in the law, C is `6 N (N + (g / 3) N^(1/3))^(-1/beta)
    T^((1 + alpha) / beta) (beta B / (alpha A))^(1/beta)`: Pearce and Song 2024. NaN with zero
    derivatives where a number is bad; TypeError for another law.

    Examples:
        >>> law = js.laws.published("hoffmann2022")
        >>> print(f"{js.architectures.pearce.optimal_flops(law, 1e8):.3g}")
        3.25e+18
    """
    if two_powers(law) is None:
        raise TypeError(f"law must be a Chinchilla law; got {law!r} ({type(law).__name__})")
    return exp_of(_log_optimal_flops, two_powers(law), non_embedding_params=non_embedding_params)


def _log_total(law, log_params):
    del law
    return jnp.logaddexp(log_params, log_params / 3 + math.log(GAMMA))


def _log_non_embedding(law, log_total):
    del law
    one = jnp.ones_like(log_total)
    return log_root((Power(0 * one, one), Power(math.log(GAMMA) * one, one / 3)), log_total)


def _log_optimal_flops(law, log_params):
    log_total = _log_total(None, log_params)
    # N times the derivative of the total by N.
    log_growth = jnp.logaddexp(log_params, log_params / 3 + math.log(GAMMA / 3))
    log_ratio = jnp.log(law.beta) + jnp.log(law.B) - jnp.log(law.alpha) - jnp.log(law.A)
    log_tokens = (log_ratio - log_growth + (1 + law.alpha) * log_total) / law.beta
    return math.log(TRAIN_FLOPS) + log_params + log_tokens
