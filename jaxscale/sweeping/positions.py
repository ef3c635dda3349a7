"""Random places in the interval (0, 1), each a function of a key and a scenario's number.

Nothing is carried from one scenario to the next, so neither chunks nor devices nor the
other arguments of a scenario change what it draws.
"""

import hashlib
from typing import Any

import jax.numpy as jnp
from jax import Array

from jaxscale._numerics.keys import key_data


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
    # Here, because it brings Pallas, a fifth of the time that importing jaxscale would take.
    from jax.extend.random import threefry_2x32

    first, second = (jnp.asarray(word, jnp.uint32) for word in key_words)
    # The hash takes the first half of what it is given for high words, the second for low ones.
    high, low = threefry_2x32((first, second), jnp.stack([index_high, index_low]))
    return high, low


def uniforms(words: tuple[Array, Array], dtype: Any) -> Array:
    """The place in the open interval (0, 1) that 64 random bits mean.

    The middle of one of 2^23 cells in float32 or 2^52 in float64, by the leading bits: both
    dtypes put a scenario in the same place. Neither end can be reached, and u and 1 - u are
    exact.
    """
    high, low = words
    if dtype == jnp.float32:
        return ((high >> jnp.uint32(9)).astype(dtype) + 0.5) * 2.0**-23
    tail = (low >> jnp.uint32(12)).astype(dtype) + 0.5
    return high.astype(dtype) * 2.0**-32 + tail * 2.0**-52
