"""Profile likelihood: how far the objective rises as one coefficient is held elsewhere."""

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax.scipy.special import ndtri

from jaxscale.fitting._bootstrap import laws_of
from jaxscale.fitting._fit import Fit, need_chinchilla
from jaxscale.fitting.certificate import is_stationary
from jaxscale.fitting.chinchilla_kernel import NAMES
from jaxscale.fitting.constraints import LOGARITHMIC
from jaxscale.fitting.descent import Found
from jaxscale.fitting.objectives import HuberLikelihood
from jaxscale.fitting.problem import newton, outcome, problem_of, reweighted, run
from jaxscale.laws.chinchilla import Chinchilla

VALUES, REACH = 41, 3.5  # of the default grid: places, and standard errors to each side


@dataclass(frozen=True, eq=False)
class Profile:
    """The least objective at each value of one coefficient, all others fitted again."""

    name: str
    values: np.ndarray
    objective: np.ndarray
    law: Chinchilla  # with a leading axis, one law for each value
    converged: np.ndarray  # whether each is a certified minimum
    unit: float  # rise of the objective that is one half in a likelihood, times two
    fit: Fit = field(repr=False)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Where the objective has risen by what a likelihood allows; infinite beyond the values.

        The rise allowed is half a chi-squared quantile of one degree of freedom. Where the
        objective is no likelihood it is scaled until a rise of one half is one standard
        error of the fit.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must be between 0 and 1; got {level!r}")
        reach = float(ndtri((1 + level) / 2))
        root = np.sqrt(np.clip(2 * (self.objective - self.fit.objective) / self.unit, 0, None))
        centre = float(getattr(self.fit.law, self.name))
        signed = np.where(self.values < centre, -root, root)
        inside = np.append(self.values, centre), np.append(signed, 0.0)
        order = np.argsort(inside[0])
        values, signed = inside[0][order], np.maximum.accumulate(inside[1][order])
        return tuple(
            float(np.interp(edge, signed, values))
            if signed[0] <= edge <= signed[-1]
            else math.copysign(math.inf, edge)
            for edge in (-reach, reach)
        )  # pyright: ignore[reportReturnType]


def profile_likelihood(fit: Fit, name: str, values: Any = None) -> Profile:
    """The objective along one coefficient: "A", "B", "E", "alpha" or "beta".

    `values` default to 41 within 3.5 standard errors of the fit. Host-level, in float64
    whatever JAX's switch says. Raises ValueError for an unknown name, a coefficient that the fit
    held or tied, and values that are not finite and above 0.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> profile = js.profile_likelihood(js.fit(js.laws.Chinchilla, runs), "beta")
        >>> low, high = profile.interval()
        >>> print(f"{low:.2f} to {high:.2f}")
        0.34 to 0.40
    """
    need_chinchilla(fit, "profile_likelihood")
    if name not in NAMES:
        raise ValueError(f"name must be one of {', '.join(NAMES)}; got {name!r}")
    place = NAMES.index(name)
    if name in fit.claims.unidentified:
        raise ValueError(f"{name} has no profile: {fit.claims.sentence}")
    if name in fit.claims.at_bound:
        raise ValueError(f"{name} has no profile: it is at a bound")
    if fit.problem.constraints.projection[place, place] < 1:
        raise ValueError(f"{name} was held or tied in this fit: it has no profile")
    grid = _grid(fit, place) if values is None else np.asarray(values, np.float64)
    if grid.ndim != 1 or not grid.size or not ((grid > 0) & np.isfinite(grid)).all():
        raise ValueError(f"values must be finite, above 0 and in one dimension; got {values!r}")
    with jax.enable_x64(True):
        return _profile(fit, name, place, grid)


def _grid(fit, place):
    error = math.sqrt(max(fit.covariance[place, place], 0.0))
    grid = fit.coefficients[place] + error * np.linspace(-REACH, REACH, VALUES)
    return np.exp(grid) if place in LOGARITHMIC else grid[grid > 0]


def _profile(fit, name, place, grid):
    held = np.log(grid) if place in LOGARITHMIC else grid
    problem = problem_of(fit.runs, fit.loss_function, _holding(fit.problem.constraints, place))
    starts = problem.centred(_guesses(fit, place, held))
    weights = np.broadcast_to(problem.weights, (held.size, problem.weights.size))
    near = run(problem, starts, weights, reweighted(problem))
    ends = [run(problem, x, weights, newton(problem)) for x in (starts, near.coefficients)]
    lower = ends[1].value < ends[0].value
    found = Found(*(np.where(lower, second, first) for first, second in zip(*ends, strict=True)))
    return Profile(
        name,
        grid,
        np.asarray(outcome(fit.loss_function, found.coefficients, problem.rows, weights).value),
        laws_of(problem.uncentred(found.coefficients)),
        is_stationary(problem, found),
        _unit(fit, place),
        fit,
    )


def _holding(constraints, place):
    """The same constraints with one coefficient held, wherever a lane starts with it."""
    projection, low, high = (np.array(x) for x in constraints[0:1] + constraints[2:4])
    projection[place], projection[:, place] = 0, 0
    low[place], high[place] = -np.inf, np.inf
    return constraints._replace(projection=projection, low=low, high=high)


def _guesses(fit, place, held):
    """Where the others go, as far as the curvature at the fit can tell."""
    along = fit.inverse_curvature[:, place] / fit.inverse_curvature[place, place]
    moved = fit.coefficients[:, None] + np.outer(along, held - fit.coefficients[place])
    moved[place] = held
    low, high = fit.problem.constraints.low, fit.problem.constraints.high
    return np.clip(moved, np.maximum(low, -1e3)[:, None], np.minimum(high, 1e3)[:, None])


def _unit(fit, place):
    if isinstance(fit.loss_function, HuberLikelihood):
        return 1.0
    return float(fit.covariance[place, place] / fit.inverse_curvature[place, place])
