# pyright: reportUnknownMemberType=false
"""Value, gradient and Hessian of an objective on the Chinchilla law, for many lanes at once.

Coordinates are (ln E, ln A, ln B, alpha, beta). With s_E, s_A and s_B the shares of the three
terms in the loss, a residual's derivatives are s_E, s_A, s_B, -x s_A and -y s_B, for
x = ln N and y = ln D, and its second derivatives are products of the same: everything is a moment
of a few arrays over 1, x, y, x^2, x y and y^2.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, cast

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxscale.fitting.chinchilla_claims import (
    ALPHA,
    BETA,
    COORDINATES,
    LN_A,
    LN_B,
    claims_of_chinchilla,
)
from jaxscale.fitting.claims import Claims, Design, Ending
from jaxscale.fitting.constraints import Asked, Constraints
from jaxscale.fitting.kernel import Centred, Columns, Numbers, Point, Prior, with_prior
from jaxscale.fitting.objectives import best_scale
from jaxscale.fitting.turns import Shear
from jaxscale.laws.chinchilla import Chinchilla

# Of each exponent: published ones lie well inside, and near 0 a term is a constant like E.
LEAST_EXPONENT, MOST_EXPONENT, EXPONENTS, FEW_EXPONENTS = 0.06, 1.5, 16, 6
LEAST_SHARE = 1e-3  # of the loss that each term begins with

# Which of three terms are present, the fullest first.
SUBSETS = np.array([s for s in itertools.product([1.0, 0.0], repeat=3) if any(s)])


Moments: TypeAlias = list[Array]  # of an array over one, x, y, x^2, x y and y^2: a value a lane


class Rows(NamedTuple):
    """The runs as the kernel reads them. Sizes are centred: less correlation, fewer steps."""

    log_params: Numbers  # runs
    log_tokens: Numbers
    target: Numbers  # log loss
    features: Numbers  # runs, 6: one, x, y, x^2, x y, y^2


# --- Starts: coordinates along the first axis -------------------------------------------------


def hoffmann_starts() -> np.ndarray:
    """The 4,500 starts of Hoffmann et al. 2022, D.2."""
    scales, rest, exponents = (
        np.arange(0, 26, 5.0),
        np.arange(-1, 1.25, 0.5),
        np.arange(0, 2.25, 0.5),
    )
    grid = itertools.product(rest, scales, scales, exponents, exponents)
    return np.array(list(grid)).T


def linear_starts(
    log_params: np.ndarray,
    log_tokens: np.ndarray,
    log_loss: np.ndarray,
    weights: np.ndarray,
    exponents: int = EXPONENTS,
) -> np.ndarray:
    """For each pair of exponents the E, A and B that fit best, by non-negative least squares.

    For given exponents the law is linear in the three; relative errors are squared, which is
    near enough to residuals of logarithms.
    """
    each = np.geomspace(LEAST_EXPONENT, MOST_EXPONENT, exponents)
    alpha, beta = (x.ravel() for x in np.meshgrid(each, each))
    loss = np.exp(log_loss)
    terms = np.stack(
        [
            np.ones((alpha.size, loss.size)),
            np.exp(-alpha[:, None] * log_params),
            np.exp(-beta[:, None] * log_tokens),
        ],
        axis=1,
    )
    scale = terms.max(axis=2)  # uncentred sizes make terms of 1e-12
    relative = terms / scale[:, :, None] / loss
    gram = np.einsum("sin,sjn,n->sij", relative, relative, weights)
    values = np.maximum(_nonnegative(gram, relative @ weights), LEAST_SHARE * loss.min())
    logs = np.log(values / scale)
    return np.stack([*logs.T, alpha, beta])


def _nonnegative(gram: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least squares with each unknown 0 or more: of all subsets of three, the best allowed."""
    ridge = 1e-12 * np.trace(gram, axis1=1, axis2=2)[:, None, None] * np.eye(3)
    best, least = np.zeros_like(target), np.full(len(target), np.inf)
    for subset in SUBSETS:
        chosen = (gram + ridge) * subset[:, None] * subset + np.diag(1 - subset)
        right = (target * subset)[..., None]
        values = cast(np.ndarray, np.linalg.solve(chosen, right))[..., 0]
        squares = cast(np.ndarray, np.einsum("si,sij,sj->s", values, gram, values))
        error = squares - 2 * (values * target).sum(axis=1)
        better = (values >= 0).all(axis=1) & (error < least)
        best, least = np.where(better[:, None], values, best), np.where(better, error, least)
    return best


# --- The kernel -------------------------------------------------------------------------------


@dataclass(frozen=True)
class ChinchillaKernel:
    """The kernel of all five coefficients; those that are held are left out by a projection."""

    law: type = Chinchilla
    names: tuple[str, ...] = ("E", "A", "B", "alpha", "beta")
    positive: tuple[bool, ...] = (True, True, True, False, False)
    logarithm: bool = True
    ends: tuple[float, float] = (0.0, np.inf)

    has_cheap_value: bool = False
    grid_name: str = "grid of exponents"

    @property
    def named_starts(self) -> Mapping[str, Callable[[], np.ndarray]]:
        return {"hoffmann2022": hoffmann_starts}

    def centred(self, columns: Columns, constraints: Constraints) -> Centred:
        """Log sizes less their means, unless something is said of A or B alone."""
        if constraints.is_said_of([LN_A, LN_B]):
            return Centred(self, columns, None)
        x, y = columns.log_params.mean(), columns.log_tokens.mean()
        turn = np.eye(5)
        turn[LN_A, ALPHA], turn[LN_B, BETA] = x, y
        moved = columns._replace(
            log_params=columns.log_params - x, log_tokens=columns.log_tokens - y
        )
        return Centred(self, moved, Shear(turn))

    def rows(self, columns: Columns, held: dict[str, float]) -> Rows:
        del held  # coordinates like the others
        return rows_of(*columns[:3])

    def grid(self, rows: Rows, weights: np.ndarray, *, few: bool) -> np.ndarray:
        return linear_starts(*rows[:3], weights, FEW_EXPONENTS if few else EXPONENTS)

    def claims(self, ending: Ending, rows: Rows, asked: Asked, design: Design) -> Claims:
        count = len(ending.weights)
        middle = [float(column[:count].mean()) for column in (rows.log_params, rows.log_tokens)]
        return claims_of_chinchilla(ending, middle, tuple(asked.fixed), design)

    def residuals(self, coordinates: Array, rows: Rows) -> Array:
        return shares(coordinates[:, None], rows)[3][0]

    def slopes(self, coordinates: Array, rows: Rows) -> tuple[Array, Array]:
        size, data, rest, residuals = (x[0] for x in shares(coordinates[:, None], rows))
        along_size, along_data = -rows.log_params * size, -rows.log_tokens * data
        return jnp.stack([rest, size, data, along_size, along_data], axis=1), residuals

    def __call__(
        self,
        coordinates: Array,
        rows: Rows,
        weights: Array,
        delta: Array,
        newton: Array,
        prior: Prior,
        scaled: Array | None = None,
    ) -> Point:
        size, data, rest, residuals = shares(coordinates, rows)
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

        # Products with single columns: one with all six computes entries that nobody reads, and XLA
        # would repeat a plain sum in every loop that reads it.
        def moments(array: Array) -> list[Array]:
            return [array @ column for column in rows.features.T]

        forces = [moments(force * share) for share in (size, data, rest)]
        gradient = _first(*forces)
        hessian = _second(
            moments(curvature * size * size),
            moments(curvature * size * data),
            moments(curvature * size * rest),
            moments(curvature * data * data),
            moments(curvature * data * rest),
            moments(curvature * rest * rest),
        )
        hessian = hessian + jnp.where(newton, 1, 0) * _curved(*forces)
        size2, data2, rest2 = (moments(reweighted * share * share) for share in (size, data, rest))
        diagonal = jnp.stack([rest2[0], size2[0], data2[0], size2[3], data2[5]])
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
        return with_prior(point, coordinates, prior)

    def value(
        self,
        coordinates: Array,
        rows: Rows,
        weights: Array,
        delta: Array,
        prior: Prior,
        scaled: Array | None = None,
    ) -> Array:
        newton = jnp.bool_(False)
        return self(coordinates, rows, weights, delta, newton, prior, scaled).value


def rows_of(log_params: np.ndarray, log_tokens: np.ndarray, log_loss: np.ndarray) -> Rows:
    """The runs with their products of sizes."""
    x, y = log_params, log_tokens
    features = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    return Rows(log_params, log_tokens, log_loss, features)


def shares(coordinates: Array, rows: Rows) -> tuple[Array, Array, Array, Array]:
    """Shares of the three terms in the loss, and residuals: lanes, runs.

    The target may have a row for each lane.
    """
    ln_e, ln_a, ln_b, alpha, beta = (row[:, None] for row in coordinates)
    size = jnp.exp(ln_a - alpha * rows.log_params[None])
    data = jnp.exp(ln_b - beta * rows.log_tokens[None])
    rest = jnp.exp(ln_e)
    total = size + data + rest
    inverse = 1 / total
    residuals = jnp.log(total) - jnp.atleast_2d(rows.target)
    return size * inverse, data * inverse, rest * inverse, residuals


def _first(size: Moments, data: Moments, rest: Moments) -> Array:
    """Sums over runs of a force times first derivatives."""
    return jnp.stack([rest[0], size[0], data[0], -size[1], -data[2]])


def _second(
    size2: Moments,
    size_data: Moments,
    size_rest: Moments,
    data2: Moments,
    data_rest: Moments,
    rest2: Moments,
) -> Array:
    """Sums over runs of a weight times products of two first derivatives."""
    upper = [
        [rest2[0], size_rest[0], data_rest[0], -size_rest[1], -data_rest[2]],
        [size2[0], size_data[0], -size2[1], -size_data[2]],
        [data2[0], -size_data[1], -data2[2]],
        [size2[3], size_data[4]],
        [data2[5]],
    ]
    return jnp.stack(
        [jnp.stack([upper[min(i, j)][abs(i - j)] for j in COORDINATES]) for i in COORDINATES]
    )


def _curved(size: Moments, data: Moments, rest: Moments) -> Array:
    """Sums over runs of a force times second derivatives of a term with its own share alone."""
    zero = jnp.zeros_like(size[0])
    rows = [
        [rest[0], zero, zero, zero, zero],
        [zero, size[0], zero, -size[1], zero],
        [zero, zero, data[0], zero, -data[2]],
        [zero, -size[1], zero, size[3], zero],
        [zero, zero, -data[2], zero, data[5]],
    ]
    return jnp.stack([jnp.stack(row) for row in rows])
