"""Sizes that belong to a number of training FLOPs."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxscale.laws.protocol import TRAIN_FLOPS, flops_of, has_own_flops

SMALLEST_SIZE, LARGEST_SIZE = 0.0, 69.0  # logarithms of 1 and 1e30, between which sizes are sought
GRIDS, PLACES = 5, 513  # leave 3e-14 of that distance

NO_LEVERS: Mapping[str, float] = {}


def params_of_flops(
    law: Any, flops: float, tokens: float, levers: Mapping[str, float] = NO_LEVERS
) -> float:
    """Params whose training on `tokens` tokens takes `flops` FLOPs; ValueError without any."""
    if not has_own_flops(law):
        return flops / (TRAIN_FLOPS * tokens)

    def above(log_params):
        params = jnp.exp(log_params)
        return flops_of(law, params, jnp.full_like(params, tokens), **levers).train - flops  # pyright: ignore[reportArgumentType]

    return _root(above, "no size of model takes that many FLOPs")


def train_flops(law: Any, params: float, tokens: float, levers: Mapping[str, float]) -> float:
    """FLOPs of a training, as the law counts them."""
    sizes = jnp.asarray(float(params)), jnp.asarray(float(tokens))
    return float(flops_of(law, *sizes, **levers).train)  # pyright: ignore[reportArgumentType]


def _root(rising: Callable[[jax.Array], jax.Array], otherwise: str) -> float:
    """The size at whose logarithm a rising function is 0; ValueError(otherwise) without."""
    low, high = SMALLEST_SIZE, LARGEST_SIZE
    for _ in range(GRIDS):
        grid = np.linspace(low, high, PLACES)
        # What overflows, or is too small to compute with, is no place to stop at.
        signs = np.sign(np.nan_to_num(np.asarray(rising(jnp.asarray(grid)))))
        rises = np.flatnonzero((signs[:-1] < 0) & (signs[1:] >= 0))
        if not rises.size:
            raise ValueError(otherwise)
        low, high = grid[rises[0]], grid[rises[0] + 1]
    return math.exp((low + high) / 2)
