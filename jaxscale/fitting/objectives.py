# pyright: reportUnknownMemberType=false
"""Objectives of fits: sums over runs of a function of the residual `ln L(N, D) - ln loss`.

One kernel serves all. A squared error is Huber's function with a bound that no residual
reaches, an absolute error its limit as the bound falls, and in the likelihood with a free
scale the bound moves with that scale.
"""

import math
from dataclasses import dataclass
from typing import Any, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtr

from jaxscale._numerics.arrays import is_concrete

DELTA = 1e-3  # Hoffmann et al. 2022, D.2
NO_DELTA = 1e9  # beyond any residual of logarithms
# Absolute errors below this count as squares: a printed loss resolves far less.
LEAST_DELTA = 1e-10
# The scale of a likelihood whose every residual is 0 would be 0, and its logarithm infinite.
LEAST_SCALE = 1e-13
SCALE_STEPS = 8  # each decides anew which residuals are small; two or three are enough


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Huber:
    """Sum of `r^2 / 2` where |r| is at most delta, and of `delta (|r| - delta / 2)` elsewhere.

    Source: Hoffmann et al. 2022, D.2, with delta = 1e-3.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> fit = js.fit(js.laws.Chinchilla, runs, objective=js.fitting.Huber(delta=1e-3))
        >>> print(f"{fit.objective:.3g}")
        0.000822
    """

    delta: Any = DELTA

    def value(self, residuals: Array, weights: Array) -> Array:
        """The objective, summed over the last axis."""
        return jnp.sum(weights * huber(residuals, self.delta), axis=-1)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SquaredError:
    """Half the sum of the squared residuals.

    Examples:
        >>> value = js.fitting.SquaredError().value(np.array([0.1, -0.2]), np.array([1.0, 1.0]))
        >>> print(f"{value:.3f}")
        0.025
    """

    def value(self, residuals: Array, weights: Array) -> Array:
        """The objective, summed over the last axis."""
        return jnp.sum(weights * residuals**2, axis=-1) / 2


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class AbsoluteError:
    """Sum of the absolute residuals. At the minimum about as many are 0 as there are coefficients.

    Those are known to 1e-10, because errors below that are counted as squares.

    Examples:
        >>> value = js.fitting.AbsoluteError().value(np.array([0.1, -0.2]), np.array([1.0, 1.0]))
        >>> print(f"{value:.1f}")
        0.3
    """

    def value(self, residuals: Array, weights: Array) -> Array:
        """The objective, summed over the last axis."""
        return jnp.sum(weights * jnp.abs(residuals), axis=-1)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class HuberLikelihood:
    """Negative log-likelihood of residuals whose density falls as Huber's function, scale free.

    The sum of `Huber_delta(r / s) + log Z + log s`, least over the scale s, where Z is
    `sqrt(2 pi) (1 - 2 Q(delta)) + 2 exp(-delta^2 / 2) / delta` and Q the upper tail of the normal.
    With a small delta s falls to delta times the mean absolute residual, and the
    coefficients are in effect those of the absolute error.

    Source: Besiroglu et al. 2024, data_analysis.ipynb.

    Examples:
        >>> print(f"{js.fitting.HuberLikelihood(delta=1e-3).log_normaliser():.2f}")
        7.60
    """

    delta: Any = DELTA

    def value(self, residuals: Array, weights: Array) -> Array:
        """The objective, summed over the last axis."""
        return self.value_at(residuals, weights, jnp.log(self.scale(residuals, weights)))

    def scale(self, residuals: Array, weights: Array) -> Array:
        """The scale that is most likely, along the last axis."""
        return best_scale(residuals, weights, self.delta)

    def value_at(self, residuals: Array, weights: Array, log_scale: Array) -> Array:
        """The objective at any scale."""
        standardised = residuals * jnp.exp(-log_scale)[..., None]
        total = jnp.sum(weights * huber(standardised, self.delta), axis=-1)
        return total + jnp.sum(weights, axis=-1) * (log_scale + self.log_normaliser())

    def log_normaliser(self) -> Array:
        """Logarithm of Z, the integral of `exp(-Huber_delta)`."""
        delta = jnp.asarray(self.delta)
        middle = math.sqrt(2 * math.pi) * (1 - 2 * ndtr(-delta))
        return jnp.log(middle + 2 * jnp.exp(-delta * delta / 2) / delta)


Objective: TypeAlias = Huber | SquaredError | AbsoluteError | HuberLikelihood


def check_objective(objective: Any) -> None:
    """TypeError for anything but an objective, ValueError for a delta that is not positive."""
    if not isinstance(objective, get_args(Objective)):
        kinds = ", ".join(kind.__name__ for kind in get_args(Objective))
        raise TypeError(f"objective must be a js.fitting {kinds}; got {objective!r}")
    delta = getattr(objective, "delta", 1.0)
    if is_concrete(delta) and not (np.ndim(delta) == 0 and 0 < float(delta) < np.inf):
        raise ValueError(f"objective.delta must be finite and above 0; got {delta!r}")


def huber(residuals: Array, delta: Any) -> Array:
    """Huber's function of each residual."""
    clipped = jnp.clip(residuals, -delta, delta)
    return clipped * (residuals - clipped / 2)


def final_delta(objective: Objective) -> Any:
    """Huber's bound at which `objective` is minimised; of a likelihood, in units of its scale."""
    if isinstance(objective, SquaredError):
        return NO_DELTA
    return LEAST_DELTA if isinstance(objective, AbsoluteError) else objective.delta


def unit_of(objective: Objective) -> float:
    """The residual that costs what one deviation of a prior does."""
    if isinstance(objective, Huber):
        return float(objective.delta)
    return 1.0 if isinstance(objective, HuberLikelihood) else DELTA


def best_scale(residuals: Any, weights: Any, delta: Any) -> Array:
    """The scale s at which the likelihood of the residuals is largest, along the last axis.

    It solves `sum w min(z^2, delta |z|) = sum w` for z = r / s: a quadratic once it is known which
    residuals are small, and from above that is known after a few steps.
    """
    size = jnp.abs(residuals)
    total = jnp.sum(weights, axis=-1)
    scale = delta * jnp.sum(weights * size, axis=-1) / total
    for _ in range(SCALE_STEPS):
        small = size <= (delta * scale)[..., None]
        squares = jnp.sum(jnp.where(small, weights * size**2, 0), axis=-1)
        linear = delta * jnp.sum(jnp.where(small, 0, weights * size), axis=-1)
        scale = (linear + jnp.sqrt(linear**2 + 4 * total * squares)) / (2 * total)
        scale = jnp.maximum(scale, LEAST_SCALE)
    return scale
