"""Compute-optimal training with no demand: the one size that belongs to the other.

At the lowest loss for a training budget both terms of the law fall equally fast,
`alpha A / N^alpha = beta B / D^beta` (Hoffmann et al. 2022, eq. 4).
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from jaxscale.costs import TRAIN_FLOPS
from jaxscale.laws import Chinchilla

LARGEST = 230.0  # logarithm of 1e100: sizes beyond mean nothing, and cannot be drawn


def optimal_tokens(law: Chinchilla, params: float) -> float:
    """Training tokens that make `params` the best size for the FLOPs."""
    return _other(params, (law.A, law.alpha), (law.B, law.beta))


def optimal_params(law: Chinchilla, tokens: float) -> float:
    """Params that make `tokens` the best training length for the FLOPs."""
    return _other(tokens, (law.B, law.beta), (law.A, law.alpha))


def _other(size, known, other):
    (known_scale, known_exponent), (other_scale, other_exponent) = known, other
    log_slope = _log(other_scale) + _log(other_exponent) - _log(known_scale) - _log(known_exponent)
    log_size = (log_slope + known_exponent * _log(size)) / other_exponent
    if not abs(log_size) < math.log(1e300):
        raise ValueError("the compute-optimal plan is beyond the range of float64")
    return math.exp(log_size)


def _log(x) -> float:
    return math.log(float(x))


def optimal_sizes(coefficients: np.ndarray, flops: ArrayLike) -> dict[str, np.ndarray]:
    """Params, tokens and their ratio at the lowest loss for each of `flops`, the last axis.

    `coefficients` are (ln A, ln B, ln E, alpha, beta) along the first axis. Sizes beyond 1e100
    and below 1e-100 are these: a resampled law may have no sensible optimum.
    """
    ln_a, ln_b, _, alpha, beta = (np.asarray(x, float)[..., None] for x in coefficients)
    log_product = np.log(np.asarray(flops, float) / TRAIN_FLOPS)
    slope = ln_a + np.log(alpha) - ln_b - np.log(beta)
    log_params = (slope + beta * log_product) / (alpha + beta)
    log_tokens = log_product - log_params
    logs = {
        "params": log_params,
        "tokens": log_tokens,
        "tokens_per_param": log_tokens - log_params,
    }
    return {name: np.exp(np.clip(x, -LARGEST, LARGEST)) for name, x in logs.items()}


def logs_of(law: Chinchilla) -> np.ndarray:
    """(ln A, ln B, ln E, alpha, beta) of a law of numbers; ln E is minus infinity where E is 0."""
    with np.errstate(divide="ignore"):
        scales = np.log([float(law.A), float(law.B), float(law.E)])
    return np.append(scales, [float(law.alpha), float(law.beta)])
