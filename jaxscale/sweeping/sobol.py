"""Scrambled Sobol' points: places in (0, 1) that fill it evenly in many dimensions at once.

A point is a sum over GF(2) of direction numbers, one for each bit of its own number, so any
point is made on the device from its number alone. Points come in natural binary order, not
in Gray code: the two orders hold the same points in every aligned run of 2^k. Scrambling
turns only the direction numbers and one shift, on the host, once for each dimension.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxscale.sweeping._joe_kuo import LINES

BITS = 32  # of a point, and of its number
MAX_DIMENSIONS = 1 + len(LINES)


def directions(dimension: int, key_words: tuple[int, int]) -> tuple[np.ndarray, int]:
    """Scrambled direction numbers, uint32 of shape (32,), and the shift of a dimension from 0.

    Scrambled by a random lower triangular matrix over GF(2) and a shift of all digits: every
    point is uniform on its own, and every aligned run of 2^k points is as even as before.

    Source: Matousek 1998, "On the L2-discrepancy for anchored boxes".
    """
    plain = unscrambled(dimension)
    high, low = key_words
    # Raw words, because NumPy promises that they never change; of its distributions it does not.
    generator = np.random.Philox(key=np.array([high << 32 | low, dimension], np.uint64))
    *rows, shift = (int(word) >> 32 for word in generator.random_raw(BITS + 1))
    scrambled = np.zeros(BITS, np.uint32)
    for place, row in enumerate(rows):
        # Digit `place` from the top becomes the parity of itself and a random set above it.
        digit = 1 << (BITS - 1 - place)
        mask = np.uint32(row & -digit | digit)
        parity = np.bitwise_count(plain & mask) & 1
        scrambled |= np.where(parity == 1, np.uint32(digit), np.uint32(0))
    return scrambled, shift


def unscrambled(dimension: int) -> np.ndarray:
    """Direction numbers of a dimension from 0: uint32 of shape (32,), bit 0 of a number first.

    Source: Joe and Kuo 2008 by the recurrence of Bratley and Fox 1988, Algorithm 659.
    """
    found = [1 << (BITS - 1 - k) for k in range(BITS)]
    if dimension == 0:  # van der Corput's points
        return np.array(found, np.uint32)
    _, degree, inner, *initial = map(int, LINES[dimension - 1].split())
    found[:degree] = [m << (BITS - 1 - k) for k, m in enumerate(initial)]
    for k in range(degree, BITS):
        found[k] = found[k - degree] ^ found[k - degree] >> degree
        for j in range(1, degree):
            if inner >> (degree - 1 - j) & 1:
                found[k] ^= found[k - j]
    return np.array(found, np.uint32)


def point(
    index_low: Array, directions: Array | np.ndarray, shift: Array | int, dtype: Any
) -> Array:
    """Point of a number in one dimension, in the open interval (0, 1). Traced.

    The middle of one of 2^32 cells in float64, or of 2^23 in float32.
    """
    found = jnp.asarray(shift, jnp.uint32)
    for k in range(BITS):
        bit = (index_low >> jnp.uint32(k)) & jnp.uint32(1)
        found = found ^ bit * directions[k]
    if dtype == jnp.float32:
        return ((found >> jnp.uint32(9)).astype(dtype) + 0.5) * 2.0**-23
    return (found.astype(dtype) + 0.5) * 2.0**-32
