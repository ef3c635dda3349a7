"""What is known of coefficients beforehand: held, tied, bounded, or likely to be near a value.

All of it is arrays, so that one compiled program serves every combination. Coefficients that
are held or tied are a projection: a step is taken only along the directions that it leaves.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxscale._numerics.names import hint
from jaxscale.fitting.chinchilla_kernel import ALPHA, BETA, LN_A, LN_B, LN_E, NAMES, Numbers, Prior

LOGARITHMIC = (LN_A, LN_B, LN_E)
# An exponent of 0 is no term but a constant, and one above any published is none either.
LEAST_EXPONENT, MOST_EXPONENT = 1e-4, 8.0
# A part of the loss that is a ten-millionth of it is 0 as far as data can tell.
LEAST_E_SHARE = 1e-7


class Constraints(NamedTuple):
    """How coefficients may move; of Chinchilla, (ln A, ln B, ln E, alpha, beta)."""

    projection: Numbers  # square: onto the directions that are free
    offset: Numbers  # what held coefficients are
    low: Numbers
    high: Numbers
    prior: Prior

    def start(self, coefficients: np.ndarray) -> np.ndarray:
        """The nearest coefficients that are allowed; lanes are the last axis."""
        allowed = self.offset[:, None] + self.projection @ (coefficients - self.offset[:, None])
        return np.clip(allowed, self.low[:, None], self.high[:, None])

    def clip(self, coefficients: Array) -> Array:
        return jnp.clip(coefficients, self.low[:, None], self.high[:, None])

    def free(self, coefficients: Array, gradient: Array) -> Array:
        """Projection of each lane onto the directions that are neither held nor at a bound."""
        slope = jnp.einsum("ij,js->is", self.projection, gradient)
        at_low = (coefficients <= self.low[:, None]) & (slope > 0)
        at_high = (coefficients >= self.high[:, None]) & (slope < 0)
        inside = jnp.where(at_low | at_high, 0.0, 1.0)
        return self.projection[:, :, None] * inside[:, None] * inside[None]

    @staticmethod
    def reduced(hessian: Array, free: Numbers, damping: Array) -> Array:
        """The damped Hessian along free directions, and one along all others."""
        size = len(free)
        identity = jnp.eye(size)[:, :, None]
        damped = hessian + identity * damping[None]
        return jnp.einsum("ijs,jks,kls->ils", free, damped, free) + identity - free

    @property
    def free_count(self) -> int:
        """How many coefficients are fitted."""
        return round(float(np.trace(self.projection)))

    @property
    def couples_sizes(self) -> bool:
        """Whether something is said of A or B alone, so that sizes may not be centred."""
        scales = [LN_A, LN_B]
        untouched = self.projection[scales, scales] == 1
        bounded = np.isfinite(self.low[scales]) | np.isfinite(self.high[scales])
        likely = self.prior.precision[scales] > 0
        return not untouched.all() or bool(bounded.any() or likely.any())


def constraints_of(
    least_loss: float,
    unit: float,
    fixed: Mapping[str, float] | None = None,
    tie_exponents: bool = False,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    prior: Mapping[str, tuple[float, float]] | None = None,
) -> Constraints:
    """The constraints that `fit` was asked for. `unit` is what one deviation of a prior costs.

    Raises ValueError for a name that is no coefficient and for numbers that it cannot take.
    """
    fixed, bounds, prior = dict(fixed or {}), dict(bounds or {}), dict(prior or {})
    projection, offset = np.eye(5), np.zeros(5)
    if tie_exponents:
        if {"alpha", "beta"} & {*fixed, *bounds, *prior}:
            raise ValueError("tie_exponents leaves one exponent: constrain neither alpha nor beta")
        projection[np.ix_([ALPHA, BETA], [ALPHA, BETA])] = 0.5
    for name, value in fixed.items():
        place = place_of("fixed", name)
        if name in bounds or name in prior:
            raise ValueError(f"{name} is fixed: it takes no bounds and no prior")
        projection[place, place] = 0
        offset[place] = _coordinate(f"fixed[{name!r}]", place, value)
    low, high = _default_bounds(least_loss)
    for name, pair in bounds.items():
        place = place_of("bounds", name)
        low[place], high[place] = _interval(name, place, pair, low[place])
    held = [place_of("fixed", name) for name in fixed]
    low[held], high[held] = -np.inf, np.inf
    mean, precision = np.zeros(5), np.zeros(5)
    for name, pair in prior.items():
        place = place_of("prior", name)
        centre, deviation = pair_of(f"prior[{name!r}]", pair)
        mean[place] = _coordinate(f"prior[{name!r}]", place, centre)
        if not 0 < deviation < math.inf:
            raise ValueError(f"prior[{name!r}] must have a deviation above 0; got {deviation!r}")
        precision[place] = (unit / deviation) ** 2
    return Constraints(projection, offset, low, high, Prior(mean, precision))


def _default_bounds(least_loss: float) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.full(5, -np.inf), np.full(5, np.inf)
    low[[ALPHA, BETA]], high[[ALPHA, BETA]] = LEAST_EXPONENT, MOST_EXPONENT
    low[LN_E] = math.log(least_loss * LEAST_E_SHARE)
    return low, high


def _interval(name, place, pair, least):
    low, high = pair_of(f"bounds[{name!r}]", pair)
    if not 0 <= low < high:
        raise ValueError(f"bounds[{name!r}] must be 0 or more and ascending; got {pair!r}")
    if place in LOGARITHMIC:
        return (math.log(low) if low > 0 else least), math.log(high)
    return max(low, LEAST_EXPONENT), high


def place_of(argument: str, name: str, names: Sequence[str] = NAMES) -> int:
    """The place of a coefficient among `names`; ValueError where it is none."""
    if name in names:
        return names.index(name)
    near = hint(name, names)
    raise ValueError(f"{argument} names no coefficient {name!r}{near}; known: {', '.join(names)}")


def pair_of(argument: str, pair: Any) -> tuple[float, float]:
    """Two numbers; ValueError for anything else."""
    try:
        first, second = map(float, pair)
    except (TypeError, ValueError):
        raise ValueError(f"{argument} must be two numbers; got {pair!r}") from None
    return first, second


def _coordinate(argument: str, place: int, value: float) -> float:
    """The fitted coordinate of a coefficient: a logarithm of A, B and E."""
    if not 0 < value < math.inf:
        raise ValueError(f"{argument} must be finite and above 0; got {value!r}")
    return math.log(value) if place in LOGARITHMIC else float(value)
