# pyright: reportUnknownMemberType=false
"""The kernel of any law: value, gradient and Hessian of an objective, differentiated automatically.

The mathematics is that of one run and one lane; `vmap` makes the rest. Coefficients that are
held are columns like the sizes of the runs: they cost no derivative, and may be 0.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxscale._numerics.typed import cond
from jaxscale.fitting.certificate import at_bounds
from jaxscale.fitting.chinchilla_kernel import ChinchillaKernel
from jaxscale.fitting.claims import Claims, Design, Ending, claims_of_law
from jaxscale.fitting.constraints import LEAST_E_SHARE, Asked, Constraints, at_ends
from jaxscale.fitting.kernel import (
    Centred,
    Columns,
    Kernel,
    Numbers,
    Point,
    Prior,
    coordinates_of,
    values_of,
    with_prior,
)
from jaxscale.fitting.objectives import best_scale
from jaxscale.fitting.turns import Reshaped
from jaxscale.laws.chinchilla import Chinchilla
from jaxscale.laws.fitted import coefficients_of, fits_logarithm, searched_as
from jaxscale.laws.protocol import loss_from_logs

# Of a positive coefficient. A term that the runs do not need falls without end, and no family needs
# a number beyond these.
LEAST, MOST = 1e-30, 1e30
LEAST_DIAGONAL = 1e-8  # of the largest, in the measure of a step
MOST_STARTS, FEW_STARTS = 512, 36  # of a grid: enough for all families here, a millisecond each
SHARED_RUNS = 16  # enough to see that the share of params in a slope changes
SAME_SHARE = 1e-9  # change of that share, for a step of one in a coordinate


class Rows(NamedTuple):
    """The runs as the kernel reads them: columns of one length."""

    log_params: Numbers
    log_tokens: Numbers
    target: Numbers  # the loss, or its logarithm
    levers: dict[str, Numbers]
    held: dict[str, Numbers]  # coefficients that are not fitted, the same in every row


@dataclass(frozen=True)
class AnyLaw:
    """The kernel of some coefficients of any family; others are held, as columns of the runs."""

    law: type
    names: tuple[str, ...]
    positive: tuple[bool, ...]  # of each of these
    logarithm: bool
    ends: tuple[float, float] = (LEAST, MOST)

    has_cheap_value: bool = True
    grid_name: str = "grid of starts"

    searched: Any = None  # the family whose coefficients are the coordinates, if another

    def centred(self, columns: Columns, constraints: Constraints) -> Centred:
        """Coordinates of the family that this one is searched as, unless something is said."""
        searched = searched_as(self.law)
        whole = len(self.names) == len(coefficients_of(self.law))
        if searched is None or not whole or constraints.is_said_of(range(len(self.names))):
            return Centred(self, columns, None)
        middle = {
            "middle_params": float(columns.log_params.mean()),
            "middle_tokens": float(columns.log_tokens.mean()),
        }
        return Centred(replace(self, searched=searched), columns, Reshaped(searched, middle))

    def rows(self, columns: Columns, held: dict[str, float]) -> Rows:
        constant = np.ones_like(columns.target)
        return Rows(*columns, {name: value * constant for name, value in held.items()})

    @property
    def named_starts(self) -> Mapping[str, Callable[[], np.ndarray]]:
        return {}

    def grid(self, rows: Rows, weights: np.ndarray, *, few: bool) -> np.ndarray:
        """The product of each coefficient's own starts; of too many, some at random.

        The same ones each time.
        """
        del rows, weights
        if self.searched is None:
            known = coefficients_of(self.law)
            starts = [np.asarray(known[name].starts, float) for name in self.names]
        else:
            starts = [np.asarray(each.starts, float) for each in self.searched.fitted.values()]
        sizes, most = [len(values) for values in starts], FEW_STARTS if few else MOST_STARTS
        chosen = np.arange(math.prod(sizes))
        if chosen.size > most:
            chosen = np.random.default_rng(0).choice(chosen.size, most, replace=False)
        index = np.unravel_index(chosen, sizes)
        return coordinates_of(self, np.stack([x[i] for x, i in zip(starts, index, strict=True)]))

    def claims(self, ending: Ending, rows: Rows, asked: Asked, design: Design) -> Claims:
        positive = np.array(self.positive)
        # A term that has vanished without a bound is a ten-millionth of every loss.
        vanished = np.abs(ending.slopes).max(axis=0) < LEAST_E_SHARE
        vanished &= positive & ~at_bounds(ending.asked, ending.coordinates)
        more = at_ends(self, ending.coordinates) | vanished
        if design.is_line and asked.is_empty:
            more |= self._shared(ending.coordinates, rows)
        if self.searched is None:
            return claims_of_law(ending, self.names, positive, tuple(asked.fixed), design, more)
        # All coordinates of a search are logarithms of terms and of sizes.
        claims = claims_of_law(ending, self.names, ~positive, (), design, more)
        is_open = np.isin(self.names, claims.unidentified)
        turn = Reshaped(self.searched, {name: float(x[0]) for name, x in rows.held.items()})
        moved = np.abs(turn.slopes(ending.coordinates)) @ is_open > 0
        names = tuple(name for name, moves in zip(self.names, moved, strict=True) if moves)
        return claims._replace(unidentified=names)

    def _law(self, coordinates: Array, row: Rows) -> Any:
        if self.searched is None:
            return self.law(**values_of(self, coordinates), **row.held)
        return self.searched(*coordinates, **row.held)

    def _shared(self, coordinates: np.ndarray, rows: Rows) -> np.ndarray:
        """Which coefficients decide how the slope of the loss is shared by params and tokens.

        Runs along one ratio of tokens to params, or along any one line through their logarithms,
        do not identify these: of two powers, for one, either may be that of params.
        """

        def first(column: Numbers) -> Array:
            return jnp.asarray(column[:SHARED_RUNS])

        def share(coordinates: Array, row: Rows) -> Array:
            law = self._law(coordinates, row)

            def loss(logs: Array) -> Array:
                return loss_from_logs(law, logs[0], logs[1], **row.levers)

            logs = jnp.stack([row.log_params, row.log_tokens])
            slope = cast(Array, jax.grad(loss)(logs))
            total = jnp.sum(jnp.abs(slope))
            return jnp.where(total > 0, slope[0] / jnp.where(total > 0, total, 1), 0)

        slopes = jax.vmap(cast(Callable[..., Array], jax.jacfwd(share)), in_axes=(None, 0))
        change = slopes(jnp.asarray(coordinates), jax.tree.map(first, rows))
        return np.asarray(jnp.max(jnp.abs(change), axis=0) > SAME_SHARE)

    def residual(self, coordinates: Array, row: Rows) -> Array:
        """The residual of one run in one lane."""
        law = self._law(coordinates, row)
        loss = loss_from_logs(law, row.log_params, row.log_tokens, **row.levers)
        return (jnp.log(loss) if self.logarithm else loss) - row.target

    def residuals(self, coordinates: Array, rows: Rows) -> Array:
        return jax.vmap(self.residual, in_axes=(None, 0))(coordinates, rows)

    def slopes(self, coordinates: Array, rows: Rows) -> tuple[Array, Array]:
        """Derivatives of residuals, of shape (runs, coefficients), and the residuals."""

        def twice(x: Array) -> tuple[Array, Array]:
            residuals = self.residuals(x, rows)
            return residuals, residuals

        return cast(tuple[Array, Array], jax.jacfwd(twice, has_aux=True)(coordinates))

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
        point = partial(self._point, delta, newton, scaled)
        axes = _lanes_of(rows), 1, 0
        lanes = jax.vmap(point, in_axes=axes, out_axes=-1)(rows, coordinates, weights)
        return with_prior(lanes, coordinates, prior)

    def value(
        self,
        coordinates: Array,
        rows: Rows,
        weights: Array,
        delta: Array,
        prior: Prior,
        scaled: Array | None = None,
    ) -> Array:
        """The objective alone, for a fraction of the time; arguments as of a call."""

        def lane(rows: Rows, x: Array, weights: Array) -> Array:
            residuals = self.residuals(x, rows)
            scale, clipped = _clipped(residuals, weights, delta, scaled)
            return _value(residuals, clipped, weights, scale, scaled)

        values = jax.vmap(lane, in_axes=(_lanes_of(rows), 1, 0))(rows, coordinates, weights)
        off = coordinates - prior.mean[:, None]
        return values + jnp.sum(prior.precision[:, None] * off * off, axis=0) / 2

    def _point(
        self,
        delta: Array,
        newton: Array,
        scaled: Array | None,
        rows: Rows,
        coordinates: Array,
        weights: Array,
    ) -> Point:
        """The objective in one lane."""
        slopes, residuals = self.slopes(coordinates, rows)
        scale, clipped = _clipped(residuals, weights, delta, scaled)
        force = weights * clipped
        bend = jnp.where(clipped == residuals, weights, 0)
        reweighted = force / jnp.where(residuals == 0, 1, residuals)
        squares = _moment(reweighted, slopes)

        def exact() -> Array:
            return _moment(bend, slopes) + self._curved(coordinates, rows, force)

        value = _value(residuals, clipped, weights, scale, scaled)
        hessian = cond(newton, exact, lambda: squares)
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
        return Point(value, *(part * scale**-2 for part in point[1:]))

    def _curved(self, coordinates: Array, rows: Rows, force: Array) -> Array:
        """Sum over runs of a force times second derivatives of residuals."""
        size = len(self.names)
        upper = np.triu_indices(size)
        directions = jnp.eye(size)

        def residuals(x: Array) -> Array:
            return self.residuals(x, rows)

        def along(one: Array, other: Array) -> Array:
            def slope(x: Array) -> Array:
                return jax.jvp(residuals, (x,), (one,))[1]

            return force @ jax.jvp(slope, (coordinates,), (other,))[1]

        # Of pairs, forwards twice: a tenth of the time of a Hessian backwards, half to compile.
        entries = jax.vmap(along)(directions[upper[0]], directions[upper[1]])
        half = jnp.zeros((size, size)).at[upper].set(entries)
        return half + half.T - jnp.diag(jnp.diag(half))


def _lanes_of(rows: Rows) -> Rows:
    """The axis of lanes in each column: only the target may have a row for each lane."""
    axes: tuple[Any, ...] = (None, None, 0 if rows.target.ndim == 2 else None, None, None)
    return Rows(*axes)


def _clipped(
    residuals: Array, weights: Array, delta: Array, scaled: Array | None
) -> tuple[Array, Array]:
    """The scale of residuals, which is 1 but in a likelihood, and residuals within the bound."""
    scale = jnp.ones_like(delta)
    if scaled is not None:
        scale = jnp.where(scaled, best_scale(residuals, weights, delta), scale)
    bound = delta * scale
    return scale, jnp.clip(residuals, -bound, bound)


def _value(
    residuals: Array, clipped: Array, weights: Array, scale: Array, scaled: Array | None
) -> Array:
    value = jnp.sum(weights * clipped * (residuals - clipped / 2))
    if scaled is None:
        return value
    return value * scale**-2 + jnp.where(scaled, jnp.sum(weights) * jnp.log(scale), 0)


def _moment(weight: Array, slopes: Array) -> Array:
    return slopes.T @ (weight[:, None] * slopes)


# --- The kernel of a family ------------------------------------------------------------------

BY_HAND: Mapping[type, Kernel] = {Chinchilla: ChinchillaKernel()}


def kernel_of(law: type, fixed: Mapping[str, float]) -> Kernel:
    """The kernel that fits a family with some coefficients held.

    A kernel written by hand needs the logarithm of every positive coefficient, so that a term
    that is held at 0 takes the kernel of any law.
    """
    if law in BY_HAND and all(value > 0 for value in fixed.values()):
        return BY_HAND[law]
    known = coefficients_of(law)
    names = tuple(name for name in known if name not in fixed)
    positive = tuple(known[name].positive for name in names)
    return AnyLaw(law, names, positive, fits_logarithm(law))
