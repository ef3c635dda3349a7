"""Value, gradient and Hessian of an objective on any law, by automatic differentiation.

The mathematics is that of one run and one lane; `vmap` makes the rest. Coefficients that are
held are columns like the sizes of the runs: they cost no derivative, and may be 0.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxscale.fitting.kernel import Columns, Numbers, Point, Prior, values_of, with_prior
from jaxscale.fitting.objectives import best_scale
from jaxscale.laws.protocol import loss_from_logs

# Of a coefficient that is positive. A term that the runs do not want falls for ever, and no family
# needs a number beyond these.
LEAST, MOST = 1e-30, 1e30
LEAST_DIAGONAL = 1e-8  # of the largest, in a measure of steps


class Rows(NamedTuple):
    """The runs as the kernel reads them: columns of one length."""

    log_params: Numbers
    log_tokens: Numbers
    target: Numbers  # the loss, or its logarithm
    levers: dict[str, Numbers]
    held: dict[str, Numbers]  # coefficients that are not fitted, the same in every row


@dataclass(frozen=True)
class AnyLaw:
    """The kernel of some coefficients of any family; the others are held as columns of the runs."""

    law: type
    names: tuple[str, ...]
    positive: tuple[bool, ...]  # of each of these
    logarithm: bool
    ends: tuple[float, float] = (LEAST, MOST)

    def centred(self, columns: Columns, constraints: Any) -> tuple[Columns, None]:
        del constraints
        return columns, None

    def rows(self, columns: Columns, held: dict[str, float]) -> Rows:
        constant = np.ones_like(columns.target)
        return Rows(*columns, {name: value * constant for name, value in held.items()})

    def residual(self, coordinates: Array, row: Rows) -> Array:
        """Of one run in one lane."""
        law = self.law(**values_of(self, coordinates), **row.held)
        loss = loss_from_logs(law, row.log_params, row.log_tokens, **row.levers)
        return (jnp.log(loss) if self.logarithm else loss) - row.target

    def residuals(self, coordinates: Array, rows: Rows) -> Array:
        return jax.vmap(self.residual, in_axes=(None, 0))(coordinates, rows)

    def slopes(self, coordinates: Array, rows: Rows) -> tuple[Array, Array]:
        """Derivatives of residuals, of shape (runs, coefficients), and the residuals."""

        def twice(x):
            residuals = self.residuals(x, rows)
            return residuals, residuals

        return jax.jacfwd(twice, has_aux=True)(coordinates)

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
        point = partial(self._point, rows, delta, newton, scaled)
        lanes = jax.vmap(point, in_axes=(1, 0), out_axes=-1)(coordinates, weights)
        return with_prior(lanes, coordinates, prior)

    def value(
        self,
        rows: Rows,
        weights: Array,
        delta: Array,
        prior: Prior,
        scaled: Array | None,
        coordinates: Array,
    ) -> Array:
        """The objective alone, for a fraction of the time; arguments as of a call."""

        def lane(x, weights):
            residuals = self.residuals(x, rows)
            scale, clipped = _clipped(residuals, weights, delta, scaled)
            return _value(residuals, clipped, weights, scale, scaled)

        values = jax.vmap(lane, in_axes=(1, 0))(coordinates, weights)
        off = coordinates - prior.mean[:, None]
        return values + jnp.sum(prior.precision[:, None] * off * off, axis=0) / 2

    def _point(self, rows, delta, newton, scaled, coordinates, weights):
        slopes, residuals = self.slopes(coordinates, rows)
        scale, clipped = _clipped(residuals, weights, delta, scaled)
        force = weights * clipped
        bend = jnp.where(clipped == residuals, weights, 0)
        reweighted = force / jnp.where(residuals == 0, 1, residuals)
        squares = _moment(reweighted, slopes)

        def exact():
            return _moment(bend, slopes) + self._curved(coordinates, rows, force)

        value = _value(residuals, clipped, weights, scale, scaled)
        hessian = lax.cond(newton, exact, lambda: squares)
        energy = jnp.sum(force * residuals)
        # Where a coefficient does nothing yet, as where no token is seen twice, steps in it are
        # measured by the others: 0 would leave the matrix singular however damped.
        diagonal = jnp.diag(squares)
        diagonal = jnp.maximum(diagonal, LEAST_DIAGONAL * jnp.max(diagonal))
        point = Point(value, force @ slopes, hessian, diagonal, energy)
        if scaled is None:
            return point
        # The scale is at its own optimum, so only second derivatives know that it moves.
        moved = (-force - bend * residuals) @ slopes
        square = energy + jnp.sum(bend * residuals**2)
        moved = jnp.where(scaled, moved / jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
        point = point._replace(hessian=hessian - jnp.outer(moved, moved))
        return Point(value, *(each * scale**-2 for each in point[1:]))

    def _curved(self, coordinates, rows, force):
        """Sum over runs of a force times second derivatives of residuals."""
        size = len(self.names)
        upper = np.triu_indices(size)
        directions = jnp.eye(size)

        def slope(x, direction):
            return jax.jvp(lambda y: self.residuals(y, rows), (x,), (direction,))[1]

        def along(one, other):
            return force @ jax.jvp(lambda x: slope(x, one), (coordinates,), (other,))[1]

        # Of pairs, forwards twice: a tenth of the time of a Hessian backwards, half to compile.
        found = jax.vmap(along)(directions[upper[0]], directions[upper[1]])
        half = jnp.zeros((size, size)).at[upper].set(found)
        return half + half.T - jnp.diag(jnp.diag(half))


def _clipped(residuals, weights, delta, scaled):
    """The scale of residuals, which is 1 but in a likelihood, and residuals within the bound."""
    scale = jnp.ones_like(delta)
    if scaled is not None:
        scale = jnp.where(scaled, best_scale(residuals, weights, delta), scale)
    bound = delta * scale
    return scale, jnp.clip(residuals, -bound, bound)


def _value(residuals, clipped, weights, scale, scaled):
    value = jnp.sum(weights * clipped * (residuals - clipped / 2))
    if scaled is None:
        return value
    return value * scale**-2 + jnp.where(scaled, jnp.sum(weights) * jnp.log(scale), 0)


def _moment(weight, slopes):
    return slopes.T @ (weight[:, None] * slopes)
