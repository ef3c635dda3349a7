"""Compute-optimal training with no demand: the one size that belongs to the other.

At the lowest loss for a training budget a step in size and one in data that cost the same
FLOPs lower the loss equally. For the Chinchilla law that is `alpha A / N^alpha = beta B / D^beta`
(Hoffmann et al. 2022, eq. 4).
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxscale.laws import Chinchilla
from jaxscale.laws.protocol import TRAIN_FLOPS, flops_of, has_own_flops, levers_of, loss_from_logs

LARGEST = 230.0  # logarithm of 1e100: sizes beyond mean nothing, and cannot be drawn
SMALLEST_SIZE, LARGEST_SIZE = 0.0, 69.0  # logarithms of 1 and 1e30, between which sizes are sought
GRIDS, PLACES = 5, 513  # leave 3e-14 of that distance

NO_LEVERS: Mapping[str, float] = {}
NO_OPTIMUM = "the law has no compute-optimal plan of that size"


def optimal_tokens(law: Any, params: float, levers: Mapping[str, float] = NO_LEVERS) -> float:
    """Training tokens that make `params` the best size for the FLOPs; ValueError without any."""
    if isinstance(law, Chinchilla):
        return _other(params, (law.A, law.alpha), (law.B, law.beta))
    return _root(
        lambda log_tokens: -_lead_of_size(law, math.log(params), log_tokens, levers), NO_OPTIMUM
    )


def optimal_params(law: Any, tokens: float, levers: Mapping[str, float] = NO_LEVERS) -> float:
    """Params that make `tokens` the best training length for the FLOPs; ValueError without any."""
    if isinstance(law, Chinchilla):
        return _other(tokens, (law.B, law.beta), (law.A, law.alpha))
    return _root(
        lambda log_params: _lead_of_size(law, log_params, math.log(tokens), levers), NO_OPTIMUM
    )


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


def _lead_of_size(law, log_params, log_tokens, levers):
    """How much more the loss falls by a step in tokens than by one in params that costs the same.

    Positive where the model is too large for its data.
    """
    log_params, log_tokens = jnp.broadcast_arrays(
        *(jnp.asarray(x, float) for x in (log_params, log_tokens))
    )
    values = {name: jnp.asarray(levers[name], float) for name in levers_of(law)}

    def loss(*logs):
        return loss_from_logs(law, *logs, **values)

    def bill(*logs):
        return jnp.log(flops_of(law, *map(jnp.exp, logs), **values).train)

    def slopes(surface):
        one, zero = jnp.ones_like(log_params), jnp.zeros_like(log_params)
        ways = ((one, zero), (zero, one))
        return [jax.jvp(surface, (log_params, log_tokens), way)[1] for way in ways]

    (loss_by_size, loss_by_data), (bill_by_size, bill_by_data) = slopes(loss), slopes(bill)
    return loss_by_size * bill_by_data - loss_by_data * bill_by_size


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


def _other(size, known, other):
    (known_scale, known_exponent), (other_scale, other_exponent) = known, other
    log_slope = _log(other_scale) + _log(other_exponent) - _log(known_scale) - _log(known_exponent)
    log_size = (log_slope + known_exponent * _log(size)) / other_exponent
    if not abs(log_size) < math.log(1e300):
        raise ValueError("the compute-optimal plan is beyond the range of float64")
    return math.exp(log_size)


def _log(x) -> float:
    return math.log(float(x))


def optimal_sizes(coefficients: np.ndarray, flops: ArrayLike) -> dict[str, np.ndarray]:
    """Params, tokens and their ratio at the lowest loss for each of `flops`, the last axis.

    `coefficients` are (ln A, ln B, ln E, alpha, beta) along the first axis. Sizes beyond 1e100
    and below 1e-100 are these: a resampled law may have no sensible optimum.
    """
    ln_a, ln_b, _, alpha, beta = (np.asarray(x, float)[..., None] for x in coefficients)
    log_product = np.log(np.asarray(flops, float) / TRAIN_FLOPS)
    slope = ln_a + np.log(alpha) - ln_b - np.log(beta)
    log_params = (slope + beta * log_product) / (alpha + beta)
    log_tokens = log_product - log_params
    logs = {
        "params": log_params,
        "tokens": log_tokens,
        "tokens_per_param": log_tokens - log_params,
    }
    return {name: np.exp(np.clip(x, -LARGEST, LARGEST)) for name, x in logs.items()}


def logs_of(law: Chinchilla) -> np.ndarray:
    """(ln A, ln B, ln E, alpha, beta) of a law of numbers; ln E is minus infinity where E is 0."""
    with np.errstate(divide="ignore"):
        scales = np.log([float(law.A), float(law.B), float(law.E)])
    return np.append(scales, [float(law.alpha), float(law.beta)])
