"""Points in (0, 1), one for each scenario and argument: random ones, and scrambled Sobol' points.

Each is a function of a key and the scenario's number alone. Nothing is carried from one scenario to
the next, so neither chunks nor devices nor, at random, the other arguments change what it draws.

A Sobol' point is a sum over GF(2) of direction numbers, one for each bit of its own number; in many
dimensions at once, they fill the cube evenly. They come in natural binary order, not in Gray code:
the two orders hold the same points in every aligned run of 2^k. Scrambling turns only the direction
numbers and one shift, on the host, once for each dimension.
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxscale._numerics.arrays import key_data

MAX_SCENARIOS = 10**18  # numbers of scenarios are exact in 64 bits
BITS = 32  # of a point, and of its number
MAX_DIMENSIONS = 64  # of Sobol' points: one, and those that joe_kuo.txt has lines for


class Points(NamedTuple):
    """A kind of points in (0, 1), one for each scenario and argument."""

    name: str
    max_size: int
    tables: Callable[[Mapping[str, tuple[int, int]]], Any]  # words of a key by name -> arrays
    point: Callable[[Any, Array, Array, Any], Array]  # of one argument: table, number, dtype


# Of Threefry 2x32.
ROTATIONS = (13, 15, 26, 6), (17, 29, 16, 24)
PARITY = 0x1BD11BDA

# --- Random points -------------------------------------------------------------------------------


def key_words(key: Any, name: str) -> tuple[int, int]:
    """Two words of 32 bits for the argument called `name`, from a key of any kind.

    They depend on nothing else, so other arguments may come and go. By a hash on the host:
    no two names meet, and generators whose bits differ between platforms do not matter.

    Raises TypeError for anything but one concrete key or whole number.
    """
    words = f"{key_data(key).tolist()} {name}"
    found = hashlib.sha256(words.encode()).digest()
    return int.from_bytes(found[:4], "little"), int.from_bytes(found[4:8], "little")


def bits(key_words: tuple[Any, Any], index_high: Array, index_low: Array) -> tuple[Array, Array]:
    """64 random bits for each scenario, in two words, from the two words of its number.

    Threefry 2x32 of 20 rounds, a bijection of the number: Salmon et al. 2011, "Parallel
    random numbers: as easy as 1, 2, 3".
    """
    first, second = (jnp.asarray(word, jnp.uint32) for word in key_words)
    keys = first, second, first ^ second ^ jnp.uint32(PARITY)
    high, low = index_high + keys[0], index_low + keys[1]
    for block in range(5):
        for turn in ROTATIONS[block % 2]:
            high = high + low
            low = (low << jnp.uint32(turn)) | (low >> jnp.uint32(32 - turn))
            low = high ^ low
        high = high + keys[(block + 1) % 3]
        low = low + keys[(block + 2) % 3] + jnp.uint32(block + 1)
    return high, low


def uniforms(words: tuple[Array, Array], dtype: Any) -> Array:
    """The point in the open interval (0, 1) of 64 random bits.

    The middle of one of 2^23 cells in float32 or 2^52 in float64, by the leading bits: both
    dtypes put a scenario at the same point. Neither end can be reached, and u and 1 - u are
    exact.
    """
    high, low = words
    if dtype == jnp.float32:
        return ((high >> jnp.uint32(9)).astype(dtype) + 0.5) * 2.0**-23
    tail = (low >> jnp.uint32(12)).astype(dtype) + 0.5
    return high.astype(dtype) * 2.0**-32 + tail * 2.0**-52


# --- Sobol' points -------------------------------------------------------------------------------


def directions(dimension: int, key_words: tuple[int, int]) -> tuple[np.ndarray, int]:
    """Scrambled direction numbers, uint32 of shape (32,), and the shift of a dimension from 0.

    Scrambled by a random lower triangular matrix over GF(2) and a shift of all digits: every
    point is uniform on its own, and every aligned run of 2^k points is as even as before.

    Source: Matousek 1998, "On the L2-discrepancy for anchored boxes".
    """
    plain = unscrambled(dimension)
    high, low = key_words
    # Raw words, because NumPy promises that they never change, unlike its distributions.
    generator = np.random.Philox(key=np.array([high << 32 | low, dimension], np.uint64))
    *rows, shift = (int(word) >> 32 for word in generator.random_raw(BITS + 1))
    scrambled = np.zeros(BITS, np.uint32)
    for index, row in enumerate(rows):
        # Digit `index` from the top becomes the parity of itself and a random set above it.
        digit = 1 << (BITS - 1 - index)
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
    _, degree, inner, *initial = _joe_kuo()[dimension - 1]
    found[:degree] = [m << (BITS - 1 - k) for k, m in enumerate(initial)]
    for k in range(degree, BITS):
        found[k] = found[k - degree] ^ found[k - degree] >> degree
        for j in range(1, degree):
            if inner >> (degree - 1 - j) & 1:
                found[k] ^= found[k - j]
    return np.array(found, np.uint32)


@cache
def _joe_kuo() -> list[list[int]]:
    """Lines of the file, for each dimension but the first."""
    text = resources.files("jaxscale.sweeping").joinpath("joe_kuo.txt").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [[int(number) for number in line.split()] for line in lines]


def sobol_point(
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


# --- Both as a sample asks for them --------------------------------------------------------------


def _random_tables(words):
    return {name: jnp.array(pair, jnp.uint32) for name, pair in words.items()}


def _random_point(table, high, low, dtype):
    return uniforms(bits((table[0], table[1]), high, low), dtype)


def _sobol_tables(words):
    made = {name: directions(at, pair) for at, (name, pair) in enumerate(words.items())}
    return {
        name: jnp.array([*v, np.uint32(shift)], jnp.uint32) for name, (v, shift) in made.items()
    }


def _sobol_point(table, high, low, dtype):
    del high  # always 0
    return sobol_point(low, table, table[BITS], dtype)


RANDOM = Points("random", MAX_SCENARIOS, _random_tables, _random_point)
SOBOL = Points("sobol", 2**32, _sobol_tables, _sobol_point)
