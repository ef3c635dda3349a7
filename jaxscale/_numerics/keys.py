"""Random keys: a JAX key, or a whole number that stands for `jax.random.key` of it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxscale._numerics.arrays import is_concrete

ALLOWED = "one JAX key, such as jax.random.key(0), or a whole number from 0"


def key_data(key: Any) -> np.ndarray:
    """The words of 32 bits of a key, typed or raw, or of a whole number below 2^64.

    Raises TypeError for anything but one concrete key.
    """
    if isinstance(key, (int, np.integer)) and not isinstance(key, bool) and 0 <= key < 2**64:
        return np.array([int(key) >> 32, int(key) % 2**32], np.uint32)
    if not isinstance(key, (jax.Array, np.ndarray)) or not is_concrete(key):
        raise TypeError(f"key must be {ALLOWED}; got {key!r}")
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    words = np.asarray(jax.random.key_data(key) if typed else key)
    if words.dtype != np.uint32 or words.ndim != 1 or words.size < 2:
        raise TypeError(f"key must be {ALLOWED}; got shape {key.shape} of {key.dtype}")
    return words
