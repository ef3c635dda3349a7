"""Value, gradient and Hessian of an objective on the Chinchilla law, for many lanes at once.

Coefficients are (ln A, ln B, ln E, alpha, beta). With s_A, s_B and s_E the shares of the three
terms in the loss, a residual's derivatives are s_A, s_B, s_E, -x s_A and -y s_B, for
x = ln N and y = ln D, and its second derivatives are products of the same: everything is a moment
of a few arrays over 1, x, y, x^2, x y and y^2.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxscale.fitting.objectives import best_scale

LN_A, LN_B, LN_E, ALPHA, BETA = COEFFICIENTS = range(5)
NAMES = ("A", "B", "E", "alpha", "beta")

# Of JAX inside a program and of NumPy outside: a type checker has no name for what is both.
Numbers: TypeAlias = Any


class Rows(NamedTuple):
    """The runs as the kernel reads them. Sizes are centred: less correlation, fewer steps."""

    log_params: Numbers  # runs
    log_tokens: Numbers
    log_loss: Numbers
    features: Numbers  # runs, 6: one, x, y, x^2, x y, y^2


class Prior(NamedTuple):
    """A quadratic added to the objective: half of `precision (coefficient - mean)^2`."""

    mean: Numbers  # coefficients
    precision: Numbers


class Point(NamedTuple):
    """The objective about one place in each lane; lanes are the last axis of all fields."""

    value: Numbers
    gradient: Numbers  # coefficients
    hessian: Numbers  # coefficients, coefficients
    diagonal: Numbers  # of the Gauss-Newton matrix: what a step is measured by
    energy: Numbers  # sum of weight, slope and residual: no gradient is larger than its root allows


# What `evaluate` below is for the Chinchilla law: any objective with its derivatives.
Evaluate: TypeAlias = Callable[..., Point]


def rows_of(log_params: np.ndarray, log_tokens: np.ndarray, log_loss: np.ndarray) -> Rows:
    """The runs with their products of sizes."""
    x, y = log_params, log_tokens
    features = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    return Rows(log_params, log_tokens, log_loss, features)


def shares(coefficients: Array, rows: Rows) -> tuple[Array, Array, Array, Array]:
    """Shares of the three terms in the loss, and residuals: lanes, runs."""
    ln_a, ln_b, ln_e, alpha, beta = (each[:, None] for each in coefficients)
    size = jnp.exp(ln_a - alpha * rows.log_params[None])
    data = jnp.exp(ln_b - beta * rows.log_tokens[None])
    rest = jnp.exp(ln_e)
    total = size + data + rest
    inverse = 1 / total
    return size * inverse, data * inverse, rest * inverse, jnp.log(total) - rows.log_loss[None]


def residuals_at(coefficients: Array, rows: Rows) -> Array:
    """`ln L(N, D) - ln loss`: lanes, runs."""
    return shares(coefficients, rows)[3]


def evaluate(
    coefficients: Array,
    rows: Rows,
    weights: Array,
    delta: Array,
    newton: Array,
    prior: Prior,
    scaled: Array | None = None,
) -> Point:
    """The objective and its derivatives at `coefficients`, of shape (5, lanes).

    `weights` has one row for each lane. Without `newton` the Hessian is that of iteratively
    reweighted least squares, which is positive definite. Where `scaled` is given and holds,
    the objective is the likelihood with a free scale, in whose units `delta` then is.
    """
    size, data, rest, residuals = shares(coefficients, rows)
    scale = jnp.ones_like(residuals[:, 0])
    if scaled is not None:
        scale = jnp.where(scaled, best_scale(residuals, weights, delta), scale)
        delta = jnp.where(scaled, delta * scale, delta)[:, None]
    slope = jnp.clip(residuals, -delta, delta)
    one = rows.features[:, 0]
    value = (weights * slope * (residuals - slope / 2)) @ one
    energy = (weights * slope * residuals) @ one
    small = slope == residuals
    force = weights * slope
    reweighted = force / jnp.where(residuals == 0, 1, residuals)
    bend = jnp.where(small, weights, 0)
    curvature = jnp.where(newton, bend - force, reweighted)

    # Products with vectors: a product with all six columns computes the ones that nobody reads,
    # and a sum that is none is computed again in every loop that wants it.
    def moments(array):
        return [array @ each for each in rows.features.T]

    along_size, along_data, along_rest = (moments(force * share) for share in (size, data, rest))
    gradient = _first(along_size, along_data, along_rest)
    hessian = _second(
        moments(curvature * size * size),
        moments(curvature * size * data),
        moments(curvature * size * rest),
        moments(curvature * data * data),
        moments(curvature * data * rest),
        moments(curvature * rest * rest),
    )
    hessian = hessian + jnp.where(newton, 1, 0) * _curved(along_size, along_data, along_rest)
    size2, data2, rest2 = (moments(reweighted * share * share) for share in (size, data, rest))
    diagonal = jnp.stack([size2[0], data2[0], rest2[0], size2[3], data2[5]])
    if scaled is not None:
        # The scale is at its own optimum, so only second derivatives know that it moves.
        moved = -force - bend * residuals
        by_scale = _first(*(moments(moved * share) for share in (size, data, rest)))
        square = jnp.sum(force * residuals + bend * residuals**2, axis=1)
        square = jnp.where(square > 0, square, 1)[None, None]
        reduced = hessian - by_scale[:, None] * by_scale[None] / square
        hessian = jnp.where(scaled, reduced, hessian)
        unit = scale**-2
        total = jnp.sum(weights, axis=1)
        value = value * unit + jnp.where(scaled, total * jnp.log(scale), 0)
        gradient, diagonal = gradient * unit[None], diagonal * unit[None]
        hessian = hessian * unit[None, None]
        energy = energy * unit
    point = Point(value, gradient, hessian, diagonal, energy)
    return with_prior(point, coefficients, prior)


def _first(size, data, rest):
    """Sums over runs of a force times first derivatives."""
    return jnp.stack([size[0], data[0], rest[0], -size[1], -data[2]])


def _second(size2, size_data, size_rest, data2, data_rest, rest2):
    """Sums over runs of a weight times products of two first derivatives."""
    upper = [
        [size2[0], size_data[0], size_rest[0], -size2[1], -size_data[2]],
        [data2[0], data_rest[0], -size_data[1], -data2[2]],
        [rest2[0], -size_rest[1], -data_rest[2]],
        [size2[3], size_data[4]],
        [data2[5]],
    ]
    return jnp.stack(
        [jnp.stack([upper[min(i, j)][abs(i - j)] for j in COEFFICIENTS]) for i in COEFFICIENTS]
    )


def _curved(size, data, rest):
    """Sums over runs of a force times second derivatives of a term with its own share alone."""
    zero = jnp.zeros_like(size[0])
    rows = [
        [size[0], zero, zero, -size[1], zero],
        [zero, data[0], zero, zero, -data[2]],
        [zero, zero, rest[0], zero, zero],
        [-size[1], zero, zero, size[3], zero],
        [zero, -data[2], zero, zero, data[5]],
    ]
    return jnp.stack([jnp.stack(row) for row in rows])


def with_prior(point: Point, coefficients: Array, prior: Prior) -> Point:
    """The point with the prior's quadratic; lanes are the last axis."""
    precision = prior.precision[:, None]
    off = coefficients - prior.mean[:, None]
    return Point(
        point.value + jnp.sum(precision * off * off, axis=0) / 2,
        point.gradient + precision * off,
        point.hessian + jnp.diag(prior.precision)[:, :, None],
        point.diagonal + precision,
        point.energy + jnp.sum(precision * off * off, axis=0),
    )
