"""Random numbers by key: the weights of each resample, and runs simulated from a law.

Resample i is the same however resamples are chunked.
"""

import math
from collections.abc import Iterator
from numbers import Integral
from typing import Any

import jax
import numpy as np

from jaxscale._numerics.arrays import key_data
from jaxscale.fitting.runs import FLOPS_PER_PARAM_TOKEN, Runs

BLOCK = 64  # resamples of one counter


def key_words(key: Any) -> np.ndarray:
    """128 bits for a NumPy generator from a JAX key or a whole number; TypeError for others."""
    words = key_data(key).astype(np.uint64)
    return np.array([words[1] | words[0] << np.uint64(32), words[2:].sum()], np.uint64)


def generator(key: Any) -> np.random.Generator:
    """NumPy's generator of a key."""
    return np.random.Generator(np.random.Philox(key=key_words(key)))


def weighed(units: int, resamples: int, key: np.ndarray) -> Iterator[np.ndarray]:
    """Chunks of resamples: rows of random weights of units, exponential and of mean one.

    The Bayesian bootstrap of Rubin 1981, "The Bayesian bootstrap", eq. 2.1.
    """
    for block in range(0, resamples, BLOCK):
        bits = np.random.Philox(key=key, counter=[0, 0, block // BLOCK, 0])
        rows = np.random.Generator(bits).standard_exponential((BLOCK, units))
        rows /= rows.mean(axis=1, keepdims=True)
        yield rows[: resamples - block]


def multiplicities(rows: np.ndarray, units: int) -> np.ndarray:
    """Counts of each unit in each row, of shape (rows, units)."""
    offset = np.arange(len(rows))[:, None] * units
    return np.bincount((rows + offset).ravel(), minlength=len(rows) * units).reshape(-1, units)


def checked_count(name: str, number: Any, least: int) -> int:
    """The number of resamples or runs, checked; ValueError for anything but a positive number."""
    if isinstance(number, bool) or not isinstance(number, Integral) or number < least:
        raise ValueError(f"{name} must be a whole number, at least {least}; got {number!r}")
    return int(number)


def checked_indices(indices: Any, units: int, kind: str) -> np.ndarray:
    """A row of numbers of units for each resample; ValueError for a wrong shape or number."""
    table = np.asarray(indices)
    if table.ndim != 2 or table.dtype.kind not in "iu" or not table.size:
        raise ValueError(
            f"indices must be whole numbers, one row a resample; got dtype {table.dtype} "
            f"and shape {table.shape}"
        )
    if table.min() < 0 or table.max() >= units:
        wrong = table.min() if table.min() < 0 else table.max()
        raise ValueError(f"indices must be numbers of {units} {kind}, from 0 on; got {wrong}")
    return table


# --- Simulated runs -------------------------------------------------------------------------


def simulate(
    law: Any,
    count: int,
    *,
    key: Any,
    noise: float = 0.005,
    flops: tuple[float, float] = (1e19, 1e22),
    tokens_per_param: tuple[float, float] = (5, 500),
) -> Runs:
    """Runs of a law: budgets and tokens per parameter even in logarithms, losses with noise.

    `noise` is the standard deviation of the logarithm of a loss, normal. `key` is a JAX key or a
    whole number. Raises ValueError for numbers that are not finite, positive and ascending.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1, noise=0.01)
        >>> runs.loss.shape
        (240,)
    """
    checked_count("count", count, least=1)
    if not 0 <= noise < 1:
        raise ValueError(f"noise must be 0 or more and below 1; got {noise!r}")
    random = generator(key)
    budget = _loguniform(random, "flops", flops, count)
    ratio = _loguniform(random, "tokens_per_param", tokens_per_param, count)
    params = np.sqrt(budget / (FLOPS_PER_PARAM_TOKEN * ratio))
    with jax.enable_x64(True):
        exact = np.asarray(law.loss(params, params * ratio))
    return Runs(params, params * ratio, exact * np.exp(noise * random.standard_normal(count)))


def _loguniform(
    random: np.random.Generator, name: str, limits: tuple[float, float], count: int
) -> np.ndarray:
    low, high = limits
    if not 0 < low <= high < math.inf:
        raise ValueError(f"{name} must be finite, above 0 and ascending; got {limits!r}")
    return np.exp(random.uniform(math.log(low), math.log(high), count))
