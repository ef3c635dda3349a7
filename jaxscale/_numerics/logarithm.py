"""Logarithms that XLA vectorises, and weighted sums of them that keep their last digits.

XLA calls a scalar logarithm for float64 on a CPU: 2.2 ns an element where an exponential
takes 0.7, so three of them were more than half of a solve. The polynomial below takes 0.8.

A logarithm is kept as an integer exponent of two and a small rest. The optimum rests on
differences such as `log Q - log(B / r) / beta`, of two numbers near 70 that may agree to
the last digit. Rounded first and subtracted then, they cost N up to 30 epsilons where it
has none to spare; with exponents subtracted exactly the difference is as good as its size.
"""

import math
import operator
from collections.abc import Iterable
from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

# Minimax fit of (atanh(s) / s - 1) / s^2 for |s| <= 3 - 2 sqrt(2), error 1.1e-18, highest power
# first: `mpmath.chebyfit` of eight terms in s^2.
ATANH_SERIES = (
    0.06543383504974087,
    0.06634379834280306,
    0.07693120102906739,
    0.09090897815442377,
    0.11111111195900235,
    0.14285714285401616,
    0.2000000000000044,
    0.3333333333333333,
)


class _Format(NamedTuple):
    """Layout of a float, and the constants that follow from its width."""

    integer: type
    mantissa_bits: int
    sqrt_half_bits: int  # the float nearest to sqrt(1/2)
    series: tuple[float, ...]
    log_2: tuple[float, float]  # a sum: any exponent times the first is exact
    splitter: float  # Veltkamp: halves the digits of what it multiplies


_FORMATS = {
    np.dtype(np.float64): _Format(
        np.int64,
        52,
        0x3FE6A09E667F3BCD,
        ATANH_SERIES,
        (6.93147180369123816490e-01, 1.90821492927058770002e-10),
        2.0**27 + 1,
    ),
    np.dtype(np.float32): _Format(
        np.int32, 23, 0x3F3504F3, ATANH_SERIES[4:], (0.693359375, -2.12194440e-4), 2.0**12 + 1
    ),
}


class Log(NamedTuple):
    """A natural logarithm as `exponent * log(2) + rest`, the exponent a small integer."""

    exponent: Array
    rest: Array

    def value(self) -> Array:
        """The logarithm as one number, within an ulp and a half of the truth."""
        high, low = _FORMATS[self.rest.dtype].log_2
        return self.exponent * high + (self.rest + self.exponent * low)

    def minus(self, other: "Log") -> "Log":
        """Logarithm of the quotient of the two numbers, which is never formed.

        As exact as the logarithm of the quotient, also where the two nearly agree, and its
        derivatives never square a denominator, which would underflow in float32.
        """
        return Log(self.exponent - other.exponent, self.rest - other.rest)


@jax.custom_jvp
def split_log(x: Array) -> Log:
    """Logarithm of positive, not subnormal x; nonsense elsewhere, never a trap."""
    # A TPU emulates float64 and cannot look at its bits. Asked when traced: a kernel of Pallas has
    # no form for what depends on the platform.
    if x.dtype == np.float64 and jax.default_backend() == "tpu":
        return Log(jnp.zeros_like(x), jnp.log(x))
    return _split_log(x)


@split_log.defjvp
def _split_log_jvp(primals, tangents):
    (x,), (x_dot,) = primals, tangents
    log_x = split_log(x)
    unit = _unit(x)
    return log_x, Log(jnp.zeros_like(log_x.exponent), (x_dot / unit) * _units_per(x))


# The derivative of a division multiplies by the numerator before it divides twice: where that
# is a cost's derivative, and x is large, the product overflows float32.
@jax.custom_jvp
def _units_per(x):
    return _unit(x) / x


@_units_per.defjvp
def _units_per_jvp(primals, tangents):
    (x,), (x_dot,) = primals, tangents
    inverse = _units_per(x)
    return inverse, -(inverse * (x_dot / _unit(x))) * inverse


def _unit(x):
    """A number that keeps its quotient by x normal: the reciprocal of the largest x is not."""
    return jnp.where(x > 1, 4.0, 1.0).astype(x.dtype)


def exponent(x: Array) -> Array:
    """Integer nearest to the logarithm of x to base 2, as a float; x positive, not subnormal."""
    return lax.stop_gradient(split_log(x).exponent)


def log(x: Array) -> Array:
    """Natural logarithm of positive, not subnormal x, as one number."""
    return split_log(x).value()


class Weight(NamedTuple):
    """A weight to twice its precision: a head of half the digits, and all that it leaves."""

    head: Array | float
    tail: Array | float


def weight(numerator: Array | float, *denominator: Array) -> Weight:
    """The quotient of a number and the sum of one or two, to twice their precision."""
    return _weight(jnp.asarray(numerator, denominator[0].dtype), denominator)


# Differentiated as the quotient that it is: the derivative of the splitting is a large number
# less itself, and larger still in a second derivative.
@jax.custom_jvp
def _weight(numerator, denominator):
    total, error = denominator[0], 0.0
    if len(denominator) == 2:  # Knuth's two-sum: what the rounded total leaves out
        first, second = denominator
        total = first + second
        kept = total - first
        error = (first - (total - kept)) + (second - kept)
    quotient = numerator / total
    product, product_error = _exact_product(quotient, total)
    remainder = (numerator - product) - product_error - quotient * error
    head = _head(quotient)
    return Weight(head, (quotient - head) + remainder / total)


@_weight.defjvp
def _weight_jvp(primals, tangents):
    (_, denominator), (numerator_dot, denominator_dot) = primals, tangents
    quotient = _weight(*primals)
    value = quotient.head + quotient.tail
    slope = (numerator_dot - value * _total(denominator_dot)) / _total(denominator)
    return quotient, Weight(slope, jnp.zeros_like(slope))


def weighted_sum(*terms: tuple[Weight, Log]) -> Array:
    """Sum of weights times logarithms, as exact as its own size allows."""
    # Heads have half the digits and exponents eleven bits: these products and sums are exact.
    exponents = _total(weight.head * log.exponent for weight, log in terms)
    exponents += _total(weight.tail * log.exponent for weight, log in terms)
    rests = _total((weight.head + weight.tail) * log.rest for weight, log in terms)
    return exponents * math.log(2) + rests


def _total(terms: Iterable[Array]) -> Array:
    return reduce(operator.add, terms)


def _head(x):
    scaled = x * _FORMATS[x.dtype].splitter
    return scaled - (scaled - x)


def _exact_product(x, y):
    """Product of x and y, and what its rounding left out (Dekker 1971)."""
    product = x * y
    x_head, y_head = _head(x), _head(y)
    x_tail, y_tail = x - x_head, y - y_head
    error = x_head * y_head - product + x_head * y_tail + x_tail * y_head + x_tail * y_tail
    return product, error


def _split_log(x: Array) -> Log:
    form = _FORMATS[x.dtype]
    one = int(np.array(1, x.dtype).view(form.integer))
    mask = (1 << form.mantissa_bits) - 1
    # x = 2^exponent * mantissa with the mantissa in [sqrt(1/2), sqrt(2)).
    shifted = lax.bitcast_convert_type(x, form.integer) + (one - form.sqrt_half_bits)
    mantissa = lax.bitcast_convert_type((shifted & mask) + form.sqrt_half_bits, x.dtype)
    # In 32 bits, which every processor converts. Not by adding to 2^52 bitwise and subtracting
    # it as a float: XLA would merge that constant with the next, and round the next away.
    power = (shifted >> form.mantissa_bits).astype(np.int32) - (one >> form.mantissa_bits)
    exponent = power.astype(x.dtype)

    f = mantissa - 1
    s = f / (mantissa + 1)
    square = s * s
    double = jnp.full_like(s, 2 * form.series[0])
    for coefficient in form.series[1:]:
        double = double * square + 2 * coefficient
    # log(mantissa) = 2 atanh(s) = f - s (f - s^2 double): the small term is rounded, f is not.
    return Log(exponent, f - s * (f - square * double))
