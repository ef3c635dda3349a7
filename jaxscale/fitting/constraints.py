# pyright: reportUnknownMemberType=false
"""Constraints on coefficients: held, tied, bounded, or with a prior.

All are arrays, so that one compiled program serves every combination. Holding and tying coordinates
is a projection: steps are taken only along the directions that it leaves.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxscale._numerics.names import hint
from jaxscale.fitting.kernel import Kernel, Numbers, Prior
from jaxscale.laws.fitted import Coefficient, coefficients_of

# A term that is a ten-millionth of the loss is 0 as far as data can tell.
LEAST_E_SHARE = 1e-7
Pairs = Mapping[str, tuple[float, float]]


class Asked(NamedTuple):
    """The constraints that a caller of `fit` asks for, by name."""

    fixed: Mapping[str, float]
    tie: Sequence[Sequence[str]]
    bounds: Pairs
    prior: Pairs

    @property
    def is_empty(self) -> bool:
        """Whether no coefficient is constrained."""
        return not any(self)


class Constraints(NamedTuple):
    """Limits on how coordinates may move."""

    projection: Numbers  # square: onto the directions that are free
    offset: Numbers  # what held coordinates are
    low: Numbers
    high: Numbers
    prior: Prior

    def start(self, coordinates: np.ndarray) -> np.ndarray:
        """The nearest coordinates that are allowed; lanes are the last axis."""
        allowed = self.offset[:, None] + self.projection @ (coordinates - self.offset[:, None])
        return np.clip(allowed, self.low[:, None], self.high[:, None])

    def clip(self, coordinates: Array) -> Array:
        return jnp.clip(coordinates, self.low[:, None], self.high[:, None])

    def free(self, coordinates: Array, gradient: Array) -> Array:
        """Projection of each lane onto the directions that are neither held nor at a bound."""
        slope = jnp.einsum("ij,js->is", self.projection, gradient)
        at_low = (coordinates <= self.low[:, None]) & (slope > 0)
        at_high = (coordinates >= self.high[:, None]) & (slope < 0)
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
        """Number of coefficients that are fitted."""
        return round(float(np.trace(self.projection)))

    def is_said_of(self, coordinates: Sequence[int]) -> bool:
        """Whether any of these is held, tied, bounded or has a prior."""
        chosen = list(coordinates)
        bounded = np.isfinite(self.low[chosen]) | np.isfinite(self.high[chosen])
        held = self.projection[chosen, chosen] != 1
        return bool((held | bounded | (self.prior.precision[chosen] > 0)).any())


def check_asked(law: type, asked: Asked) -> None:
    """Raises ValueError for an unknown coefficient, or one with constraints that conflict."""
    known = coefficients_of(law)
    names = list(known)
    tied = [name for group in asked.tie for name in _group(group)]
    for argument, given in (asked._replace(tie=tied))._asdict().items():
        for name in given:
            _check_name(argument, name, names)
    for name, value in asked.fixed.items():
        if not math.isfinite(value) or (known[name].positive and value < 0):
            raise ValueError(f"fixed[{name!r}] must be finite, and 0 or more; got {value!r}")
        if name in asked.bounds or name in asked.prior:
            raise ValueError(f"{name} is fixed: it takes no bounds and no prior")
    for name in tied:
        others = {*asked.fixed, *asked.bounds, *asked.prior}
        if name in others or tied.count(name) > 1:
            raise ValueError(f"{name} is tied: tie it once, and neither fix, bound nor expect it")
    if set(asked.fixed) == set(known):
        raise ValueError(f"fixed holds every coefficient of {', '.join(names)}: none is fitted")
    _check_valid(law, asked.fixed, known)


def _check_name(argument: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        near, listed = hint(name, names), ", ".join(names)
        raise ValueError(f"{argument} names no coefficient {name!r}{near}; known: {listed}")


def _group(group: Sequence[str]) -> Sequence[str]:
    if isinstance(group, str) or len(group) < 2:
        raise ValueError(f"tie must hold groups of two names or more; got {group!r}")
    return group


def _check_valid(law: type, fixed: Mapping[str, float], known: Mapping[str, Coefficient]) -> None:
    """Refuse a value with which no law of the family has a loss, where the family says so."""
    if not hasattr(law, "is_valid"):
        return
    for name, value in fixed.items():
        others = {each: said.starts[0] for each, said in known.items()}
        if not law(**others | {name: value}).is_valid():
            raise ValueError(
                f"fixed[{name!r}] must be a value that {law.__name__} can have; got {value!r}"
            )


def constraints_of(kernel: Kernel, unit: float, asked: Asked, loss: np.ndarray) -> Constraints:
    """The constraints on a kernel's coordinates. `unit` is what one deviation of a prior costs.

    Raises ValueError for numbers that a coefficient cannot take.
    """
    known = coefficients_of(kernel.law)
    size, index = len(kernel.names), kernel.names.index
    low, high = np.array([_limits(kernel, name, known[name]) for name in kernel.names]).T
    for name, pair in asked.bounds.items():
        low[index(name)], high[index(name)] = _bounds(kernel, name, pair, known[name])
    least = least_of_e(kernel, loss)
    if least is not None:
        low[index("E")] = max(low[index("E")], least)
    projection, offset = np.eye(size), np.zeros(size)
    for name in {*asked.fixed} & {*kernel.names}:
        at = index(name)
        projection[at, at], low[at], high[at] = 0, -np.inf, np.inf
        offset[at] = math.log(asked.fixed[name]) if kernel.positive[at] else asked.fixed[name]
    for group in asked.tie:
        tied = [index(name) for name in group]
        if len({kernel.positive[at] for at in tied}) > 1:
            raise ValueError(f"tie: {', '.join(group)} are not all positive, or all of any sign")
        projection[np.ix_(tied, tied)] = 1 / len(tied)
        low[tied], high[tied] = low[tied].max(), high[tied].min()
    mean, precision = np.zeros(size), np.zeros(size)
    for name, pair in asked.prior.items():
        at = index(name)
        centre, deviation = _pair(f"prior[{name!r}]", pair)
        if not 0 < deviation < math.inf:
            raise ValueError(f"prior[{name!r}] must have a deviation above 0; got {deviation!r}")
        if not math.isfinite(centre) or (kernel.positive[at] and centre <= 0):
            raise ValueError(f"prior[{name!r}] must be finite and above 0; got {centre!r}")
        mean[at] = math.log(centre) if kernel.positive[at] else centre
        precision[at] = (unit / deviation) ** 2
    return Constraints(projection, offset, low, high, Prior(mean, precision))


def least_of_e(kernel: Kernel, loss: np.ndarray) -> float | None:
    """The logarithm of an E that is 0 as far as data can tell.

    None where a law has no E that is free and positive, or where losses may be negative.
    """
    if not kernel.logarithm or "E" not in kernel.names:
        return None
    if not kernel.positive[kernel.names.index("E")]:
        return None
    return math.log(float(np.min(loss)) * LEAST_E_SHARE)


def exponents_of(kernel: Kernel) -> np.ndarray:
    """Which coordinates are exponents that the family itself keeps between two values."""
    known = coefficients_of(kernel.law)
    said = zip(kernel.names, kernel.positive, strict=True)
    return np.array([not positive and known[name].low > -math.inf for name, positive in said])


def at_ends(kernel: Kernel, coordinates: np.ndarray) -> np.ndarray:
    """Which positive coefficients ended at an end of the kernel's range, without a bound there."""
    low, high = map(_log, kernel.ends)
    positive = np.array(kernel.positive).reshape((-1,) + (1,) * (np.ndim(coordinates) - 1))
    return positive & ((coordinates <= low) | (coordinates >= high))


def _limits(kernel: Kernel, name: str, said: Coefficient) -> tuple[float, float]:
    return _coordinates(kernel, name, said.low, said.high)


def _bounds(kernel: Kernel, name: str, pair: Any, said: Coefficient) -> tuple[float, float]:
    low, high = _pair(f"bounds[{name!r}]", pair)
    least = 0 if kernel.positive[kernel.names.index(name)] else -math.inf
    if not least <= low < high:
        rule = "0 or more and ascending" if least == 0 else "ascending"
        raise ValueError(f"bounds[{name!r}] must be {rule}; got {pair!r}")
    return _coordinates(kernel, name, max(low, said.low), high)


def _pair(argument: str, pair: Any) -> tuple[float, float]:
    try:
        first, second = map(float, pair)
    except (TypeError, ValueError):
        raise ValueError(f"{argument} must be two numbers; got {pair!r}") from None
    return first, second


def _coordinates(kernel: Kernel, name: str, low: float, high: float) -> tuple[float, float]:
    if not kernel.positive[kernel.names.index(name)]:
        return low, high
    return _log(max(low, kernel.ends[0])), _log(min(high, kernel.ends[1]))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
