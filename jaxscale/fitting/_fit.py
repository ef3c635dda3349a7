# Optax has no types:
# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false
"""`fit`: a law of any family fitted to runs from many starts at once, to a certified minimum."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from functools import cached_property
from os import PathLike
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxscale._display import dataframe, figure
from jaxscale._numerics.arrays import is_concrete
from jaxscale.fitting import report, sensitivity
from jaxscale.fitting.certificate import (
    Certificate,
    FitStatus,
    Search,
    basis_of,
    best_lane,
    bound_status,
    certificate_of,
    equal_lanes,
    is_level,
    is_stationary,
    is_steep,
    judge,
    scaled_condition,
    search_of,
)
from jaxscale.fitting.claims import Claims, Design, Ending, without
from jaxscale.fitting.constraints import (
    Asked,
    Constraints,
    check_asked,
    constraints_of,
)
from jaxscale.fitting.covariance import covariance_of
from jaxscale.fitting.descent import Arrival
from jaxscale.fitting.diagnostics import Remarks, diagnose
from jaxscale.fitting.identified import Left, converged_by, left_of
from jaxscale.fitting.model import kernel_of
from jaxscale.fitting.objectives import Huber, Objective, check_objective, final_delta, unit_of
from jaxscale.fitting.problem import MANY_STARTS, Problem, approach, outcome, problem_of, ranked
from jaxscale.fitting.report import draws_of, record_of
from jaxscale.fitting.runs import Runs, Source, checked
from jaxscale.fitting.starts import starts_of
from jaxscale.laws import saved
from jaxscale.laws.fitted import coefficients_of, fits_logarithm, held_by
from jaxscale.laws.protocol import is_of_steps, levers_of

if TYPE_CHECKING:
    import optax

LARGEST_LOG = 700.0  # of what float64 holds
KEPT, KEPT_OF_MANY = 32, 64  # starts that go on from the valley to its floor

Intervals = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, eq=False, repr=False)
class Fit:
    """A law of any family fitted to runs, with its certificate. Prints itself as a table.

    Numbers are float64, whatever JAX's switch says. `covariance` is of the coefficients in the
    order of the law's fields, of the logarithms of those that the family says are positive: of
    Chinchilla (ln E, ln A, ln B, alpha, beta). It is 0 for what was held, and NaN for what is at a
    bound or not identified by the runs, which `claims` names. `standard_errors` are each
    coefficient's own, as a law. Nothing proves that no other start ends lower: `search` says of
    how many starts this is the best.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> fit = js.fit(js.laws.Chinchilla, runs)
        >>> print(fit.ok, fit.status.name, f"{fit.law.E:.2f}")
        True OK 1.82
    """

    law: Any
    objective: float
    residuals: np.ndarray  # runs: ln of the law's loss over the observed one, or their difference
    status: FitStatus
    covariance: np.ndarray
    covariance_method: str
    certificate: Certificate
    claims: Claims
    search: Search
    runs: Runs
    loss_function: Objective
    inverse_curvature: np.ndarray  # of the expected objective
    problem: Problem  # with what the runs do not identify held
    coordinates: np.ndarray  # of what the problem's kernel names

    @property
    def ok(self) -> bool:
        """Whether the fit is a certified minimum inside all bounds."""
        return self.status is FitStatus.OK

    @property
    def names(self) -> tuple[str, ...]:
        """The law's coefficients, in the order of its fields and of the covariance."""
        return tuple(coefficients_of(self.problem.kernel.law))

    @property
    def standard_errors(self) -> Any:
        """Standard errors of the coefficients, as a law; of positive ones by the delta method."""
        known = coefficients_of(self.problem.kernel.law).items()
        errors = np.sqrt(np.maximum(np.diag(self.covariance), 0))
        sizes = [getattr(self.law, name) if said.positive else 1.0 for name, said in known]
        named = zip(self.names, errors, sizes, strict=True)
        return type(self.law)(**{name: float(x * size) for name, x, size in named})

    @cached_property
    def sensitivity(self) -> sensitivity.Sensitivity:
        """Derivatives of the coordinates and the objective by weights, losses and delta."""
        return _sensitivity(self)

    def influence(self, fn: Callable[[Any], Any]) -> np.ndarray:
        """Derivative of `fn(law)` by the weight of each run: the infinitesimal jackknife.

        `fn` takes a law and returns one number: the best size for a budget, say. To leave a run
        out changes it by about minus its influence. Weights, not losses: where |residual| is
        above Huber's delta (201 of Besiroglu's 240 runs) a run's loss has no first-order effect
        at all, because its pull does not depend on how far off it is. NaN where `fn` depends on
        what the runs do not identify.
        """
        with jax.enable_x64(True):

            def value(coordinates: Array) -> Array:
                number = fn(self.problem.law(coordinates))
                if not isinstance(number, Array | float | int) or np.ndim(number):
                    raise TypeError(f"fn must return one number; got {type(number).__name__}")
                return jnp.asarray(number)

            slope = np.asarray(cast(Array, jax.grad(value)(jnp.asarray(self.coordinates))))
            if np.abs(slope @ self.claims.directions).max(initial=0) > 1e-8 * np.abs(slope).max():
                return np.full(len(self.runs), np.nan)
            return slope @ self.sensitivity.coordinates.weights

    def intervals(self, level: float = 0.95) -> dict[str, tuple[float, float]]:
        """An interval for each coefficient, as if coordinates were normal; NaN where not known.

        `bootstrap` gives intervals that need not be symmetric.
        """
        reach = _normal_reach(level) * np.sqrt(np.maximum(np.diag(self.covariance), 0))
        known = coefficients_of(self.problem.kernel.law).items()
        intervals: dict[str, tuple[float, float]] = {}
        for (name, said), far in zip(known, reach, strict=True):
            middle = float(getattr(self.law, name))
            if said.positive:
                factor = float(np.exp(min(far, LARGEST_LOG)))
                intervals[name] = (middle / factor, middle * factor)
            else:
                intervals[name] = (middle - float(far), middle + float(far))
        return intervals

    def diagnose(self, bootstrap: Any = None) -> Remarks:
        """Advice on the fit: what to know before planning with it, the gravest first.

        Each remark has what it is about, a severity ("problem", "warning" or "note"), a sentence
        and its numbers. `bootstrap` is of this fit, where there is one.

        Examples:
            >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 24, key=1)
            >>> remark = js.fit(js.laws.Chinchilla, runs).diagnose()[0]
            >>> print(remark.severity, remark.about, remark.numbers["runs"])
            warning number of runs 24
        """
        return diagnose(self, bootstrap)

    def save(self, path: str | PathLike[str], bootstrap: Any = None, **about: Any) -> None:
        """Write the fit to a file `*.json`, which is a law wherever one is named.

        `js.laws.load(path)` reads the law, and `js.laws.entry(path)` what is known of it too.

        Args:
            path: the file, which is replaced when the new one is whole.
            bootstrap: of this fit; its errors, intervals and draws are kept.
            about: what else a reader should know, as JSON has it: `dataset`, `tokenizer`,
                `params_convention`, `source` or any other name.

        Raises:
            TypeError: `about` holds what JSON does not.
            ValueError: the path does not end in .json, or the bootstrap is of another fit.
            OSError: the file cannot be written.
        """
        if not saved.is_file_name(path):
            raise ValueError(f"path must end in {saved.SUFFIX}; got {str(path)!r}")
        record = record_of(self, bootstrap) | about
        draws = {"draws": draws_of(self, bootstrap)} if bootstrap is not None else {}
        saved.write(str(path), self.law, record | draws)

    def plot(self, bootstrap: Any = None) -> Any:
        """A figure: predicted against observed loss, `js.plots.fit_quality`."""
        return figure("fit_quality", self, bootstrap)

    def __str__(self) -> str:
        return report.table(self)

    def __repr__(self) -> str:
        return report.table(self)

    def _repr_html_(self) -> str:
        return report.html(self)

    def to_dataframe(self) -> Any:
        """A pandas DataFrame with a row for each coefficient."""
        errors, ends = self.standard_errors, self.intervals()
        columns = {
            "value": [getattr(self.law, name) for name in self.names],
            "standard_error": [getattr(errors, name) for name in self.names],
            "low": [ends[name][0] for name in self.names],
            "high": [ends[name][1] for name in self.names],
        }
        return dataframe(columns, self.names)


def checked_fit(function: str, fit: Any) -> Fit:
    """The argument of a function as a fit; TypeError where it is none."""
    if not isinstance(fit, Fit):
        raise TypeError(f"{function} needs a js.fitting.Fit; got {fit!r}")
    return fit


def _normal_reach(level: float) -> float:
    """Half the width of an interval, in standard errors."""
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1; got {level!r}")
    return NormalDist().inv_cdf((1 + level) / 2)


def fit(
    law: type,
    runs: Runs | Source,
    *,
    objective: Objective | None = None,
    starts: Any = None,
    fixed: Mapping[str, float] | None = None,
    tie: Sequence[Sequence[str]] = (),
    bounds: Intervals | None = None,
    prior: Intervals | None = None,
    optimizer: "optax.GradientTransformation | None" = None,
) -> Fit:
    """Fit a law to runs: the lowest objective over the residuals `ln L(N, D) - ln loss`.

    Many starts run at once, and the best ends at a certified minimum. For a family whose loss may
    be negative the residuals are `L - loss`.

    Computes in float64 on the host, whatever JAX's switch says, and cannot be jitted. `jax.grad`
    of anything made of `fit(...).law` or `.objective`, with respect to the runs' weights and losses
    and to delta, is that of the minimum, by the implicit function theorem.

    Source: Hoffmann et al. 2022, arXiv 2203.15556, eq. 11 and D.2.

    Args:
        law: a class, such as `js.laws.Chinchilla`, or one of your own: a frozen dataclass with a
            loss. Its levers are columns of the runs.
        runs: params, tokens and loss of finished trainings; of a law over steps, a
            `js.trajectories.Curve` or `Curves`.
        objective: `fitting.Huber(1e-3)` by default, as in Hoffmann et al. 2022, D.2; or
            `SquaredError`, `AbsoluteError` or `HuberLikelihood`.
        starts: a grid by default; or a law with arrays; for Chinchilla also "hoffmann2022", that
            paper's 4,500.
        fixed: values of the coefficients that are held.
        tie: groups of names, each of which is one number.
        bounds: pairs of (low, high) by name.
        prior: pairs of (value, deviation) by name, of the logarithm for coefficients that are
            positive; of Chinchilla these are E, A and B. One deviation costs what a run costs
            whose residual is delta (1e-3 where there is none; in a likelihood, half).
        optimizer: any Optax transformation, instead of our Newton steps.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: arguments do not fit together, or a row is one that no loss law can have.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> fit = js.fit(js.laws.Chinchilla, runs)
        >>> print(f"alpha = {fit.law.alpha:.3f}, standard error {fit.standard_errors.alpha:.3f}")
        alpha = 0.352, standard error 0.009
    """
    _check_law(law)
    objective = Huber() if objective is None else objective
    check_objective(objective)
    if optimizer is not None and not hasattr(optimizer, "update"):
        raise TypeError(f"optimizer must be an Optax transformation; got {optimizer!r}")
    asked = Asked(held_by(law) | dict(fixed or {}), tie, dict(bounds or {}), dict(prior or {}))
    check_asked(law, asked)
    if isinstance(runs, Source):
        runs = runs.runs_for(law, asked.fixed)
    request = _Request(law, objective, starts, asked, optimizer)
    if not all(map(is_concrete, jax.tree.leaves((runs, objective)))):
        return _fit_traced(runs, request)
    return _fit(checked_for(law, runs), request)


def _check_law(law: Any) -> None:
    if not (isinstance(law, type) and is_dataclass(law) and hasattr(law, "loss")):
        raise TypeError(
            "law must be the class js.laws.Chinchilla, or another frozen dataclass with a loss; "
            f"got {law!r}"
        )


def checked_for(law: type, runs: Runs) -> Runs:
    """The runs as float64 columns, with the levers of the law and losses that it can have."""
    return checked(
        runs, levers_of(law), positive_loss=fits_logarithm(law), vectors=is_of_steps(law)
    )


class _Request(NamedTuple):
    """The arguments of `fit` except the runs, checked."""

    law: type
    objective: Objective
    starts: Any
    asked: Asked
    optimizer: "optax.GradientTransformation | None"


def _fit(runs: Runs, request: _Request) -> Fit:
    objective, asked = request.objective, request.asked
    with jax.enable_x64(True):
        kernel = kernel_of(request.law, asked.fixed)
        constraints = constraints_of(kernel, unit_of(objective), asked, runs.loss)
        problem = problem_of(kernel, runs, objective, constraints, asked)
        starts = starts_of(problem, request.starts)
        begun = constraints.start(starts.coordinates)
        keep = KEPT_OF_MANY if begun.shape[1] > MANY_STARTS else KEPT
        near = approach(problem, begun)
        best = ranked(near)
        best = best[np.isfinite(near.value[best])][:keep]
        if not best.size:
            raise ValueError(
                f"the loss of {request.law.__name__} is not finite at any of {begun.shape[1]} "
                "starts; give others as starts"
            )

        def slopes_at(problem: Problem, coordinates: np.ndarray) -> np.ndarray:
            return outcome(problem, objective, coordinates).slopes

        best = near.coordinates[:, best]
        left, is_open = left_of(problem, begun, best, slopes_at)
        if request.optimizer is None:
            left, arrival = converged_by(problem, left, best, slopes_at)
        else:
            from jaxscale.fitting.optax_path import search_with  # few fits need Optax

            arrival = search_with(request.optimizer, left, begun)
        arrival = arrival._replace(
            value=np.where(np.isfinite(arrival.value), arrival.value, np.inf)
        )
        search = search_of(begun.shape[1], arrival.value, is_stationary(left, arrival), starts.name)
        return fit_at(constraints, Left(left, is_open), runs, objective, arrival, search)


def fit_at(
    asked: Constraints,
    left: Left,
    runs: Runs,
    objective: Objective,
    arrival: Arrival,
    search: Search,
) -> Fit:
    """The fit at the end of the best lane; `asked` are all constraints, with nothing left out."""
    problem, kernel = left.problem, left.problem.kernel
    lane = best_lane(arrival.value, is_stationary(problem, arrival))
    point, hessian = arrival.coordinates[:, lane], arrival.hessian[..., lane]
    slopes, residuals, value = outcome(problem, objective, point)
    basis = basis_of(problem.constraints, point)
    condition = scaled_condition(hessian, basis)
    weights = problem.weights[: problem.run_count]
    covariance = covariance_of(
        slopes, residuals, weights, runs.group, basis, objective, asked.prior.precision
    )
    converged = is_stationary(problem, arrival)[lane] or is_level(arrival)[lane]
    ending = Ending(
        coordinates=point,
        slopes=slopes,
        weights=weights,
        hessian=hessian,
        condition=condition,
        asked=asked,
        left=problem.constraints,
        equals=arrival.coordinates[:, equal_lanes(arrival.value)],
        open=left.open,
        covariance=covariance.matrix,
    )
    design = Design(runs.select(weights > 0), of_steps=is_of_steps(kernel.law))
    claims: Claims = kernel.claims(ending, problem.rows, problem.asked, design)
    bound = bound_status(problem._replace(constraints=asked), runs.loss, point[:, None])[0]
    coordinates = problem.uncentred(point)
    known = without(_turned(problem, point, covariance.matrix), kernel.names, claims)
    return Fit(
        law=jax.tree.map(float, problem.laws(coordinates)),
        objective=value,
        residuals=residuals,
        status=judge(
            FitStatus(int(bound)),
            design.different,
            asked.free_count,
            steep=bool(is_steep(problem, arrival)[lane]),
            converged=bool(converged),
            unidentified=bool(claims.unidentified),
        ),
        covariance=_among_all(problem, known),
        covariance_method=covariance.method,
        certificate=certificate_of(arrival, lane, condition, residuals, weights, objective),
        claims=claims._replace(directions=problem.turned(point, claims.directions)),
        search=search,
        runs=runs,
        loss_function=objective,
        inverse_curvature=_turned(problem, point, covariance.inverse_bread),
        problem=problem,
        coordinates=coordinates,
    )


def _turned(problem: Problem, point: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return problem.turned(point, problem.turned(point, matrix).T).T


def _among_all(problem: Problem, matrix: np.ndarray) -> np.ndarray:
    """The matrix of the kernel's coordinates among all coefficients, with 0 for the others."""
    order = list(coefficients_of(problem.kernel.law))
    index = [order.index(name) for name in problem.kernel.names]
    whole = np.zeros((len(order), len(order)))
    whole[np.ix_(index, index)] = matrix
    return whole


# --- Derivatives -----------------------------------------------------------------------------


def _sensitivity(fit: Fit) -> sensitivity.Sensitivity:
    with jax.enable_x64(True):
        problem = fit.problem

        def unpadded(column: np.ndarray) -> np.ndarray:
            return column[: problem.run_count]

        rows = jax.tree.map(unpadded, problem.rows)
        centred = problem.centred(fit.coordinates)
        inputs = sensitivity.Inputs(
            problem.weights[: problem.run_count],
            np.asarray(fit.runs.loss, float),
            float(final_delta(fit.loss_function)),
        )
        basis = basis_of(problem.constraints, centred)
        moved = sensitivity.sensitivity(
            problem.kernel,
            centred,
            basis,
            rows,
            inputs,
            fit.loss_function,
            problem.constraints.prior,
        )
        turned = sensitivity.Inputs(*(problem.turned(centred, x) for x in moved.coordinates))
        return moved._replace(coordinates=turned)


def _fit_traced(runs: Runs, request: _Request) -> Fit:
    """A fit whose law and objective carry derivatives by the weights, the losses and delta."""
    if runs.weights is None:
        runs = replace(runs, weights=np.ones(np.shape(runs.loss)[0]))
    given = sensitivity.Inputs(runs.weights, runs.loss, final_delta(request.objective))
    # Inputs that are not differentiated keep their own precision.
    traced = {name: x for name, x in given._asdict().items() if not is_concrete(x)}
    dtype = jnp.result_type(*traced.values())
    made: list[Fit] = []

    def fitted(traced: dict[str, Array]) -> tuple[Array, Array]:
        inputs = given._replace(**traced)
        known = replace(runs, weights=inputs.weights, loss=inputs.loss)
        objective = sensitivity.with_own_delta(request.objective, inputs.delta)
        made[:] = [_fit(checked_for(request.law, known), request._replace(objective=objective))]
        return jnp.asarray(made[0].coordinates, dtype), jnp.asarray(made[0].objective, dtype)

    solve = jax.custom_jvp(fitted)

    @solve.defjvp
    def _(
        primals: tuple[dict[str, Array]], tangents: tuple[dict[str, Array]]
    ) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        values = fitted(*primals)
        moved = made[0].sensitivity
        changes = (
            sensitivity.directional(moved.coordinates, tangents[0]),
            sensitivity.directional(moved.value, tangents[0]),
        )
        return values, changes

    coordinates, value = solve(traced)
    return replace(made[0], law=made[0].problem.law(coordinates), objective=value)
