"""Sums of many floats that neither lose digits nor overflow.

Values are divided by a power of two near the largest of them, which is exact, so that squares
of them and sums stay in range. Halves are added to halves, so that an error grows with the
logarithm of their number (Higham 1993, "The accuracy of floating point summation").
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax


class Scaled(NamedTuple):
    """`values * 2 ** exponent`, where the largest of the values is about 1."""

    values: Array
    exponent: Array  # int32, ()


def scaled(x: Array, magnitude: Array) -> Scaled:
    """Values divided by a power of two near `magnitude`, that of the largest; all finite."""
    exponent = jnp.frexp(magnitude)[1]
    # Beyond this the power itself, or its inverse, would not be a normal number. The largest
    # value is then between 1/8 and 8, which serves as well.
    limit = jnp.finfo(x.dtype).maxexp - 3
    exponent = exponent.astype(jnp.int32).clip(-limit, limit)
    return Scaled(x * power_of_two(-exponent, x.dtype), exponent)


def power_of_two(exponent: Array, dtype) -> Array:
    """Exactly; 0 where it would be below the normal range, which no exponent may exceed."""
    limits = jnp.finfo(dtype)
    word = jnp.int64 if limits.bits == 64 else jnp.int32
    bits = (exponent.astype(word) + (limits.maxexp - 1)) << limits.nmant
    power = lax.bitcast_convert_type(bits, dtype)
    return jnp.where(exponent < limits.minexp, jnp.zeros_like(power), power)


def pairwise_sum(x: Array, axis: int) -> Array:
    """Sum along an axis, halves upon halves."""
    while (length := x.shape[axis]) > 1:
        half = length // 2
        low = lax.slice_in_dim(x, 0, half, axis=axis)
        high = lax.slice_in_dim(x, half, 2 * half, axis=axis)
        odd = lax.slice_in_dim(x, 2 * half, length, axis=axis)
        x = low + high
        x = x if length % 2 == 0 else jnp.concatenate([x, odd], axis)
    return x.squeeze(axis)


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """The rounded sum and exactly what the rounding lost (Knuth 1969, section 4.2.2)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)
