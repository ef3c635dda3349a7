"""Profile likelihood: how far the objective rises as one coefficient is held elsewhere."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.scipy.special import ndtri

from jaxscale._display import dataframe, html
from jaxscale.fitting._fit import Fit, checked_fit
from jaxscale.fitting.certificate import is_stationary
from jaxscale.fitting.constraints import Constraints
from jaxscale.fitting.descent import Arrival
from jaxscale.fitting.objectives import HuberLikelihood
from jaxscale.fitting.problem import newton, objectives, problem_of, reweighted, run

VALUES, REACH = 41, 3.5  # of the default grid: points, and standard errors to each side


@dataclass(frozen=True, eq=False, repr=False)
class Profile:
    """The least objective at each value of one coefficient, all others fitted again."""

    name: str
    values: np.ndarray
    objective: np.ndarray
    law: Any  # with a leading axis, one law for each value
    converged: np.ndarray  # whether each is a certified minimum
    unit: float  # rise of the objective that is one half in a likelihood, times two
    fit: Fit

    def __repr__(self) -> str:
        low, high = self.interval()
        ends = f"{self.values.min():.5g} to {self.values.max():.5g}"
        interval = f"95 % interval {low:.5g} to {high:.5g}"
        return f"Profile of {self.name}: {self.values.size} values from {ends}; {interval}"

    def _repr_html_(self) -> str:
        rows = [(f"{x:.5g}", f"{y:.10g}") for x, y in zip(self.values, self.objective, strict=True)]
        return html((self.name, "objective"), rows, title=repr(self))

    def to_dataframe(self) -> Any:
        """A pandas DataFrame with a row for each value."""
        columns = {self.name: self.values, "objective": self.objective}
        return dataframe(columns | {"converged": self.converged})

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Ends where the objective has risen as a likelihood allows; infinite beyond the values.

        The rise allowed is half a chi-squared quantile of one degree of freedom. Where the
        objective is not a likelihood it is scaled until a rise of one half is one standard
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
        low, high = (
            float(np.interp(edge, signed, values))
            if signed[0] <= edge <= signed[-1]
            else math.copysign(math.inf, edge)
            for edge in (-reach, reach)
        )
        return low, high


def profile_likelihood(fit: Fit, name: str, values: Any = None) -> Profile:
    """The objective along one coefficient of the law, all others fitted again at each value.

    `values` default to 41 within 3.5 standard errors of the fit. Host-level, in float64
    whatever JAX's switch says. Raises ValueError for an unknown name, a coefficient that the fit
    held or tied, and values that are not finite, or not above 0 for a coefficient that must be.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> profile = js.profile_likelihood(js.fit(js.laws.Chinchilla, runs), "beta")
        >>> low, high = profile.interval()
        >>> print(f"{low:.2f} to {high:.2f}")
        0.34 to 0.40
    """
    fit = checked_fit("profile_likelihood", fit)
    kernel = fit.problem.kernel
    if name not in fit.names:
        raise ValueError(f"name must be one of {', '.join(fit.names)}; got {name!r}")
    if name in fit.claims.unidentified:
        raise ValueError(f"{name} has no profile: {fit.claims.sentence}")
    if name in fit.claims.at_bound:
        raise ValueError(f"{name} has no profile: it is at a bound")
    at = kernel.names.index(name) if name in kernel.names else None
    if at is None or fit.problem.constraints.projection[at, at] < 1:
        raise ValueError(f"{name} was held or tied in this fit: it has no profile")
    grid = _grid(fit, at) if values is None else np.asarray(values, np.float64)
    signed = not kernel.positive[at] and fit.problem.constraints.low[at] < 0
    if grid.ndim != 1 or not grid.size or not (np.isfinite(grid) & (signed | (grid > 0))).all():
        rule = "finite" if signed else "finite, above 0"
        raise ValueError(f"values must be {rule} and in one dimension; got {values!r}")
    with jax.enable_x64(True):
        return _profile(fit, name, at, grid)


def _grid(fit: Fit, at: int) -> np.ndarray:
    error = math.sqrt(max(_variance(fit, at), 0.0))
    grid = fit.coordinates[at] + error * np.linspace(-REACH, REACH, VALUES)
    if fit.problem.kernel.positive[at]:
        return np.exp(grid)
    low, high = (x[at] for x in fit.problem.constraints[2:4])
    return grid[(grid >= low) & (grid <= high)]


def _variance(fit: Fit, at: int) -> float:
    index = fit.names.index(fit.problem.kernel.names[at])
    return float(fit.covariance[index, index])


def _profile(fit: Fit, name: str, at: int, grid: np.ndarray) -> Profile:
    kernel, asked = fit.problem.kernel, fit.problem.asked
    held = np.log(grid) if kernel.positive[at] else grid
    constraints = _holding(fit.problem.constraints, at)
    problem = problem_of(kernel, fit.runs, fit.loss_function, constraints, asked)
    starts = problem.centred(_guesses(fit, at, held))
    weights = np.broadcast_to(problem.weights, (held.size, problem.weights.size))
    near = run(problem, starts, weights, reweighted(problem))
    ends = [run(problem, x, weights, newton(problem)) for x in (starts, near.coordinates)]
    lower = ends[1].value < ends[0].value
    arrival = Arrival(
        *(np.where(lower, second, first) for first, second in zip(*ends, strict=True))
    )
    return Profile(
        name,
        grid,
        objectives(problem, fit.loss_function, arrival.coordinates),
        problem.laws(problem.uncentred(arrival.coordinates)),
        is_stationary(problem, arrival),
        _unit(fit, at),
        fit,
    )


def _holding(constraints: Constraints, at: int) -> Constraints:
    """The same constraints with one coordinate held at its value in each lane's start."""
    projection, low, high = (np.array(x) for x in constraints[0:1] + constraints[2:4])
    projection[at], projection[:, at] = 0, 0
    low[at], high[at] = -np.inf, np.inf
    return constraints._replace(projection=projection, low=low, high=high)


def _guesses(fit: Fit, at: int, held: np.ndarray) -> np.ndarray:
    """Starts for the other coefficients, by the curvature at the fit."""
    along = fit.inverse_curvature[:, at] / fit.inverse_curvature[at, at]
    moved = fit.coordinates[:, None] + np.outer(along, held - fit.coordinates[at])
    moved[at] = held
    low, high = fit.problem.constraints.low, fit.problem.constraints.high
    return np.clip(moved, np.maximum(low, -1e3)[:, None], np.minimum(high, 1e3)[:, None])


def _unit(fit: Fit, at: int) -> float:
    if isinstance(fit.loss_function, HuberLikelihood):
        return 1.0
    return _variance(fit, at) / float(fit.inverse_curvature[at, at])
