"""Runs made from a law with noise, so that everything can be tried without data."""

import math
from typing import Any

import jax
import numpy as np

from jaxscale.fitting.resampling import generator
from jaxscale.fitting.runs import FLOPS_PER_PARAM_TOKEN, Runs


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
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"count must be a whole number, at least 1; got {count!r}")
    if not 0 <= noise < 1:
        raise ValueError(f"noise must be 0 or more and below 1; got {noise!r}")
    random = generator(key)
    budget = _loguniform(random, "flops", flops, count)
    ratio = _loguniform(random, "tokens_per_param", tokens_per_param, count)
    params = np.sqrt(budget / (FLOPS_PER_PARAM_TOKEN * ratio))
    with jax.enable_x64(True):
        exact = np.asarray(law.loss(params, params * ratio))
    return Runs(params, params * ratio, exact * np.exp(noise * random.standard_normal(count)))


def _loguniform(random, name, limits, count):
    low, high = limits
    if not 0 < low <= high < math.inf:
        raise ValueError(f"{name} must be finite, above 0 and ascending; got {limits!r}")
    return np.exp(random.uniform(math.log(low), math.log(high), count))
