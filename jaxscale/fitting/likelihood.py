# pyright: reportUnknownMemberType=false
"""The noise whose likelihood an objective is: `exp(-rho(r) / s) / Z(s)`, with one scale s.

The s of the largest likelihood is a root in one unknown; the coefficients do not depend on it.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxscale.fitting.objectives import (
    LEAST_SCALE,
    AbsoluteError,
    Huber,
    HuberLikelihood,
    Objective,
    SquaredError,
)

HALVINGS = 60  # of an interval of ln 2


def noise_in_words(objective: Objective) -> str:
    """The noise that an objective implies, in words."""
    if isinstance(objective, SquaredError):
        return "normal noise"
    if isinstance(objective, AbsoluteError):
        return "Laplace noise"
    unit = " scales" if isinstance(objective, HuberLikelihood) else ""
    delta = float(objective.delta)
    return f"noise that is normal within {delta:g}{unit} and exponential beyond"


def log_likelihood(objective: Objective, residuals: np.ndarray, weights: np.ndarray) -> float:
    """The largest log-likelihood of residuals, over the scale of the noise.

    Weights are scaled to a mean of 1 over the runs that count.
    """
    number = int(np.count_nonzero(weights))
    weights = weights * (number / weights.sum())
    if isinstance(objective, HuberLikelihood):
        with jax.enable_x64(True):
            return -float(objective.value(jnp.asarray(residuals), jnp.asarray(weights)))
    size = np.abs(residuals)
    if isinstance(objective, SquaredError):
        variance = max(float(weights @ size**2) / number, LEAST_SCALE**2)
        return -number * (math.log(2 * math.pi * variance) + 1) / 2
    if isinstance(objective, AbsoluteError):
        mean = max(float(weights @ size) / number, LEAST_SCALE)
        return -number * (math.log(2 * mean) + 1)
    return _of_huber(objective, size, weights, number)


def _of_huber(objective: Huber, size: np.ndarray, weights: np.ndarray, number: int) -> float:
    delta = float(objective.delta)
    clipped = np.minimum(size, delta)
    mean = float(weights @ (clipped * (size - clipped / 2))) / number
    mean = max(mean, min(LEAST_SCALE**2, LEAST_SCALE * delta))
    # The expected rho is between s / 2, where all noise is normal, and s, where it is exponential.
    low, high = math.log(mean), math.log(2 * mean)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _expected(delta, middle) < mean else (low, middle)
    return -number * (_log_normaliser(delta, low) + mean * math.exp(-low))


def _parts(delta: float, log_s: float) -> tuple[float, float]:
    """Parts of Z, over the root of s: within delta, and beyond it."""
    bound = delta * math.exp(-log_s / 2)
    within = math.sqrt(2 * math.pi) * math.erf(bound / math.sqrt(2))
    return within, 2 * math.exp(-(bound**2) / 2) / bound


def _log_normaliser(delta: float, log_s: float) -> float:
    """Ln Z, of which Z is the integral of `exp(-rho(r) / s)`."""
    return log_s / 2 + math.log(sum(_parts(delta, log_s)))


def _expected(delta: float, log_s: float) -> float:
    """The mean of rho: s times the derivative of ln Z by ln s."""
    within, beyond = _parts(delta, log_s)
    # By parts: half of what is within, and all of what is beyond; the ends of both cancel.
    return math.exp(log_s) * (within / 2 + beyond) / (within + beyond)
