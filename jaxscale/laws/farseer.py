"""Farseer: a law whose terms are exponentials of powers, and whose exponent of D depends on N."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxscale._numerics.arrays import Real
from jaxscale._numerics.values import where_safe
from jaxscale.laws.fitted import Coefficient
from jaxscale.laws.protocol import checked_loss, short_repr

# Of D. That of the published law is the least at 1e11 params and tends to 0 beyond: from 1.5e11 on
# the loss rises with N at usual numbers of tokens, and for every budget a vast model on next to no
# tokens would have the lowest. It is 1 at 1e6 params, and below them no number is too few for a
# loss of 1.2.
LEAST_EXPONENT, MOST_EXPONENT = 0.11, 1.0
LEAST_RATIO = 1e-3  # tokens per param; the runs of the paper had 0.3 and more
TURN = 0.25  # of ln N, beyond the end: a factor of 1.3, short of where the loss rises
SERIES = 1e-3  # below it, five terms of (exp z - 1) / z are right to rounding


def _any_sign(*starts: float) -> Coefficient:
    return Coefficient(starts, positive=False)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FarseerAtMiddle:
    """The laws of `Farseer` by values and slopes at one size: what a fit searches.

    A power `a N^c + b` whose exponent passes 0 has infinite a and b on the way, although its values
    hardly change. Here it is a value, a slope by ln N, and c: `value + slope (x^c - 1) / c` with x
    the size over the middle one, which at c = 0 is a logarithm.
    """

    exponent: Any  # ln of the exponent of D
    exponent_slope: Any
    alpha: Any
    data: Any  # ln of the data term at the middle number of tokens
    data_slope: Any
    beta: Any
    size: Any  # ln of the term without data
    size_slope: Any
    gamma: Any
    middle_params: Any  # natural logarithms
    middle_tokens: Any

    fitted: ClassVar[Mapping[str, Coefficient]] = {
        "exponent": _any_sign(-1.5, -0.8),
        "exponent_slope": _any_sign(-0.2, 0.0),
        "alpha": _any_sign(-0.15, 0.15),
        "data": _any_sign(-2.5, -1.0),
        "data_slope": _any_sign(-0.1),
        "beta": _any_sign(-0.15, 0.15),
        "size": _any_sign(-0.7, 0.7),
        "size_slope": _any_sign(-0.05),
        "gamma": _any_sign(0.05),
    }

    def loss_from_logs(self, log_params: Array, log_tokens: Array) -> Array:
        """Loss at natural logarithms of params and tokens."""
        x, y = log_params - self.middle_params, log_tokens - self.middle_tokens
        middle_exponent = jnp.exp(self.exponent)
        # The change of ln exponent, and of exponent, from the middle size.
        change = self.exponent_slope * _power(self.alpha, x)
        more = middle_exponent * jnp.expm1(change)
        # The scale of the data term is a power at 1 token, as the law has it, not at the middle.
        curved = _power(self.beta, x)
        scale = self.data + self.data_slope * curved
        scale += self.middle_tokens * (middle_exponent * self.exponent_slope * curved - more)
        size = jnp.exp(self.size + self.size_slope * _power(self.gamma, x))
        return size + jnp.exp(scale - (middle_exponent + more) * y)

    @staticmethod
    def coordinates_of(law: Array, middle_params: Any, middle_tokens: Any) -> Array:
        """The coordinates here of coefficients of `Farseer`, both along the first axis."""
        a1, b1, a2, b2, a3, b3, alpha, beta, gamma = law
        exponent, exponent_slope = _value_and_slope(a1, b1, alpha, middle_params)
        scale, scale_slope = _value_and_slope(a2, b2, beta, middle_params)
        size, size_slope = _value_and_slope(a3, b3, gamma, middle_params)
        power = jnp.exp(exponent)
        data = scale - power * middle_tokens
        data_slope = scale_slope - power * exponent_slope * middle_tokens
        terms = (exponent, exponent_slope, alpha), (data, data_slope, beta)
        return jnp.stack([*terms[0], *terms[1], size, size_slope, gamma])

    @staticmethod
    def coefficients_of(here: Array, middle_params: Any, middle_tokens: Any) -> Array:
        """The coefficients of `Farseer` by the coordinates here, both along the first axis."""
        exponent, exponent_slope, alpha, data, data_slope, beta, size, size_slope, gamma = here
        power = jnp.exp(exponent)
        scale = data + power * middle_tokens
        scale_slope = data_slope + power * exponent_slope * middle_tokens
        a1, b1 = _factor_and_rest(exponent, exponent_slope, alpha, middle_params)
        a2, b2 = _factor_and_rest(scale, scale_slope, beta, middle_params)
        a3, b3 = _factor_and_rest(size, size_slope, gamma, middle_params)
        return jnp.stack([a1, b1, a2, b2, a3, b3, alpha, beta, gamma])


def _power(exponent: Array, log_x: Array) -> Array:
    """`(x^exponent - 1) / exponent`, and its limit `ln x`."""
    z = exponent * log_x
    is_small = jnp.abs(z) < SERIES
    safe = jnp.where(is_small, 1.0, z)
    series = 1 + z / 2 * (1 + z / 3 * (1 + z / 4 * (1 + z / 5)))
    return log_x * jnp.where(is_small, series, jnp.expm1(safe) / safe)


def _value_and_slope(factor: Array, rest: Array, exponent: Array, log_x: Any) -> tuple[Any, Any]:
    """Of `factor x^exponent + rest` at x, by ln x."""
    power = factor * jnp.exp(exponent * log_x)
    return power + rest, exponent * power


def _factor_and_rest(value: Array, slope: Array, exponent: Array, log_x: Any) -> tuple[Any, Any]:
    """The inverse of `_value_and_slope`."""
    power = slope / exponent
    return power * jnp.exp(-exponent * log_x), value - power


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Farseer:
    """A law whose data term changes with size, Li et al. 2025, arXiv 2506.10972.

    `params` N leave out embeddings. `alpha`, `beta` and `gamma` are the exponents of N beside `a1`,
    `a2` and `a3`. All coefficients have any sign. The exponent of D changes with N, and a model for
    which it is not between 0.11 and 1 has no loss here: NaN, and a plan of such a size has the
    status BEYOND_LAW. So has one of fewer tokens than a thousandth of N, because the formula would
    have vast models learn most from next to no tokens. The loss is on the scale of the runs: of the
    published law it is not per token.

    Runs determine coefficients badly, losses and best sizes well: compare two fits by these. Unless
    something is said of a coefficient, a fit searches values and slopes at the middle of the runs.

    Examples:
        >>> law = js.laws.published("li2025")
        >>> print(np.asarray(law.loss(np.array([1e9, 1e10]), 1e11)).round(3))
        [0.505 0.455]
    """

    a1: Real
    b1: Real
    a2: Real
    b2: Real
    a3: Real
    b3: Real
    alpha: Real
    beta: Real
    gamma: Real

    counts_embeddings: ClassVar[bool] = False
    equation: ClassVar[str] = (
        "L(N, D) = exp(a3 N^gamma + b3) + exp(a2 N^beta + b2) D^-exp(a1 N^alpha + b1)"
    )

    fitted: ClassVar[Mapping[str, Coefficient]] = {
        "a1": _any_sign(-0.3, -0.05),
        "b1": _any_sign(0.0, 0.5),
        "a2": _any_sign(30.0, 100.0),
        "b2": _any_sign(-5.0, 0.0),
        "a3": _any_sign(-0.1, -0.02),
        "b3": _any_sign(0.0, 0.5),
        "alpha": _any_sign(0.05, 0.15),
        "beta": _any_sign(-0.1, -0.2),
        "gamma": _any_sign(0.05, 0.15),
    }
    searched_as: ClassVar[type] = FarseerAtMiddle

    __repr__ = short_repr

    def loss(self, params: ArrayLike, tokens: ArrayLike) -> Array:
        """Loss of `params` parameters trained on `tokens` tokens, on the scale of the runs."""
        return checked_loss(self, params, tokens)

    def loss_from_logs(self, log_params: Array, log_tokens: Array) -> Array:
        """`loss` at natural logarithms of params and tokens; checks and converts nothing."""
        # Where the law ends it goes on as if params beyond soon did nothing more: a search then has
        # an optimum to find and to refuse, where it would run off.
        most = self._log_most_params()
        beyond = -TURN * jnp.expm1(-jnp.maximum(log_params - most, 0) / TURN)
        log_params = jnp.minimum(log_params, most) + beyond
        exponent = jnp.exp(self.a1 * jnp.exp(self.alpha * log_params) + self.b1)
        log_scale = self.a2 * jnp.exp(self.beta * log_params) + self.b2
        size = jnp.exp(self.a3 * jnp.exp(self.gamma * log_params) + self.b3)
        return size + jnp.exp(log_scale - exponent * log_tokens)

    def holds(self, log_params: Array, log_tokens: Array) -> Array:
        """Whether the exponent of D is 0.11 to 1, as a law may have it, and D 0.001 N or more."""
        log_exponent = self.a1 * jnp.exp(self.alpha * log_params) + self.b1
        in_size = (log_params <= self._log_most_params()) & (log_exponent <= log(MOST_EXPONENT))
        return in_size & (log_tokens - log_params >= log(LEAST_RATIO))

    def _log_most_params(self) -> Array:
        """Where the exponent of D has fallen to its least; infinite where it never does."""
        power = (log(LEAST_EXPONENT) - self.b1) / where_safe(self.a1 != 0, self.a1)
        ends = (self.a1 * self.alpha < 0) & (power > 0)
        log_most = jnp.log(where_safe(ends, power)) / where_safe(ends, self.alpha)
        return jnp.where(ends, log_most, jnp.inf)
