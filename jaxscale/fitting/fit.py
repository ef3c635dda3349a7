"""From runs to a law: all starts at once, to a true minimum, with what is known of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxscale._arrays import is_concrete
from jaxscale.fitting import implicit, report
from jaxscale.fitting.certificate import (
    Certificate,
    FitStatus,
    basis_of,
    is_stationary,
    judge,
    scaled_condition,
)
from jaxscale.fitting.checks import check_objective, checked, is_traced
from jaxscale.fitting.constraints import constraints_of
from jaxscale.fitting.covariance import covariance_of
from jaxscale.fitting.gradient_descent import search_with
from jaxscale.fitting.objectives import Huber, Objective, final_delta, unit_of
from jaxscale.fitting.problem import Problem, outcome, problem_of, search, slopes_of, thinned
from jaxscale.fitting.runs import Runs
from jaxscale.fitting.starts import HOFFMANN, starts_of
from jaxscale.fitting.surface import NAMES
from jaxscale.laws.chinchilla import Chinchilla

KEPT, KEPT_OF_HOFFMANN = 32, 64  # starts that go on from the valley to its floor
SAME_OBJECTIVE = 1e-9  # relative: the same minimum
SAME_ROUNDING = 1e-24  # absolute: runs that the law explains exactly
MINIMA_SHOWN = 3

Intervals = Mapping[str, tuple[float, float]]


class Search(NamedTuple):
    """How the minimum was looked for."""

    starts: int
    kept: int  # that were followed to the end
    reached: int  # of those, how many ended at the reported minimum
    next_best: tuple[float, ...]  # objectives of the next local minima, the best first
    starts_name: str


@dataclass(frozen=True, eq=False)
class Fit:
    """A law fitted to runs, with what certifies it. Prints itself as a table.

    Numbers are float64, whatever JAX's switch says. `covariance` is of (ln A, ln B, ln E, alpha,
    beta), and `standard_errors` are each coefficient's own, as a law. Nothing proves that no
    other start ends lower: `search` says of how many starts this is the best.
    """

    law: Chinchilla
    objective: float
    residuals: np.ndarray  # runs: ln of the law's loss over the observed one
    status: FitStatus
    covariance: np.ndarray
    covariance_method: str
    inverse_curvature: np.ndarray = field(repr=False)  # of the expected objective
    certificate: Certificate
    search: Search
    runs: Runs
    loss_function: Objective
    problem: Problem = field(repr=False)
    coefficients: np.ndarray = field(repr=False)  # (ln A, ln B, ln E, alpha, beta)

    @property
    def ok(self) -> bool:
        """Whether the fit is a certified minimum inside all bounds."""
        return self.status is FitStatus.OK

    @property
    def standard_errors(self) -> Chinchilla:
        """Of each coefficient alone; those of A, B and E by the delta method."""
        errors = np.sqrt(np.clip(np.diag(self.covariance), 0, None))
        scale = np.append(np.exp(self.coefficients[:3]), [1, 1])
        return law_of_numbers(errors * scale)

    @cached_property
    def sensitivity(self) -> implicit.Sensitivity:
        """Derivatives of the coefficients and the objective by weights, losses and delta."""
        return _sensitivity(self)

    def influence(self, fn: Any) -> np.ndarray:
        """What each run's weight does to `fn(law)`: the infinitesimal jackknife, one per run.

        `fn` takes a law and returns one number: the best size for a budget, say. To leave a run
        out changes it by about minus its influence. Weights, not losses: where |residual| is
        above Huber's delta (201 of Besiroglu's 240 runs) a run's loss has no first-order effect
        at all, because its pull does not depend on how far off it is.
        """
        with jax.enable_x64(True):
            slope = jax.grad(lambda x: fn(law_of(x)))(jnp.asarray(self.coefficients))
            return np.asarray(slope) @ self.sensitivity.coefficients.weights

    def __str__(self) -> str:
        return report.table(self)


def fit(
    law: type[Chinchilla],
    runs: Runs,
    *,
    objective: Objective | None = None,
    starts: str | Chinchilla | None = None,
    fixed: Mapping[str, float] | None = None,
    tie_exponents: bool = False,
    bounds: Intervals | None = None,
    prior: Intervals | None = None,
    optimizer: optax.GradientTransformation | None = None,
) -> Fit:
    """The law that explains the runs best: the least objective of `ln L(N, D) - ln loss`.

    `objective` defaults to `fitting.Huber(1e-3)`, the sum of Hoffmann et al. 2022, D.2; also
    `SquaredError`, `AbsoluteError` and `HuberLikelihood`. `starts` are a grid over the exponents
    by default, "hoffmann2022" for that paper's 4,500, or a law with arrays. `fixed` holds
    coefficients at values, `tie_exponents` makes alpha and beta one, `bounds` are pairs of (low,
    high). A `prior` is a pair of (value, deviation), of the logarithm for A, B and E; one
    deviation costs what a run costs whose residual is delta (1e-3 where there is none; in a
    likelihood, half). `optimizer` is any optax transformation, to take the place of our
    Newton steps.

    Host-level: computes in float64 whatever JAX's switch says, and cannot be jitted. `jax.grad`
    of anything made of `fit(...).law` or `.objective`, by the runs' weights and losses and by
    delta, is that of the minimum, by the implicit function theorem.

    Raises TypeError or ValueError for wrong structure, and for rows that no loss law can have.

    Source: Hoffmann et al. 2022, arXiv 2203.15556, eq. 11 and D.2.
    """
    if law is not Chinchilla:
        raise TypeError(f"law must be the class js.laws.Chinchilla; got {law!r}")
    objective = Huber() if objective is None else objective
    check_objective(objective)
    options = dict(
        starts=starts,
        optimizer=optimizer,
        constraints=dict(fixed=fixed, tie_exponents=tie_exponents, bounds=bounds, prior=prior),
    )
    if is_traced(runs, objective):
        return _fit_traced(runs, objective, options)
    return _fit(checked(runs), objective, **options)


def _fit(runs, objective, starts, optimizer, constraints) -> Fit:
    with jax.enable_x64(True):
        known = constraints_of(float(runs.loss.min()), unit_of(objective), **constraints)
        problem = problem_of(runs, objective, known)
        some = thinned(problem)
        chosen = starts_of(starts, some.rows, some.weights)
        begun = chosen.coefficients if starts is None else problem.centred(chosen.coefficients)
        begun = problem.constraints.start(begun)
        keep = KEPT_OF_HOFFMANN if chosen.name == HOFFMANN else KEPT
        if optimizer is None:
            found = search(problem, begun, keep)
        else:
            found = search_with(optimizer, problem, begun)
        values = np.where(np.isfinite(found.value), found.value, np.inf)
        best = int(np.argmin(values))
        settled = is_stationary(found.steepness, found.decrement, found.value)
        seen = _search_of(begun.shape[1], values, settled, best, chosen.name)
        fixed = {name: float(x) for name, x in (constraints["fixed"] or {}).items()}
        return _fit_at(problem, runs, objective, found, best, seen, fixed)


def _search_of(starts, values, settled, best, name):
    near = max(SAME_OBJECTIVE * abs(values[best]), SAME_ROUNDING)
    others = np.sort(values[settled & (values > values[best] + near)])
    distinct = others[np.diff(others, prepend=-np.inf) > near]
    reached = int((values <= values[best] + near).sum())
    return Search(starts, values.size, reached, tuple(distinct[:MINIMA_SHOWN].tolist()), name)


def _fit_at(problem, runs, objective, found, lane, looked, fixed) -> Fit:
    """Everything about the place where one lane arrived."""
    centred, hessian = found.coefficients[:, lane], found.hessian[..., lane]
    basis = basis_of(problem.constraints, centred)
    condition = scaled_condition(hessian, basis)
    weights = problem.weights[: problem.count]
    seen = outcome(objective, centred[:, None], problem.rows, problem.weights[None])
    residuals = np.asarray(seen.residuals)[0, : problem.count]
    settled = is_stationary(found.steepness[lane], found.decrement[lane], found.value[lane])
    sizes = len(np.unique(np.stack([runs.params, runs.tokens]), axis=1).T)
    status = judge(problem, sizes, centred, bool(settled), condition)
    covariance = covariance_of(
        slopes_of(problem, seen),
        residuals,
        weights,
        runs.group,
        basis,
        objective,
        problem.constraints.prior.precision,
    )
    return Fit(
        law=replace(law_of_numbers(_natural(problem.uncentred(centred))), **fixed),
        objective=float(seen.value[0]),
        residuals=residuals,
        status=status,
        covariance=_uncentred_matrix(problem, covariance.matrix),
        covariance_method=covariance.method,
        inverse_curvature=_uncentred_matrix(problem, covariance.inverse_bread),
        certificate=Certificate(
            gradient=float(np.abs(found.gradient[:, lane]).max()),
            steepness=float(found.steepness[lane]),
            decrement=_share(found.decrement[lane], found.value[lane]),
            condition=condition,
            quadratic_runs=_quadratic_runs(residuals, weights, objective),
            is_positive_definite=bool(np.isfinite(found.decrement[lane])),
        ),
        search=looked,
        runs=runs,
        loss_function=objective,
        problem=problem,
        coefficients=problem.uncentred(centred),
    )


def _share(decrement, value):
    return float(decrement / max(abs(value), 1e-300)) if np.isfinite(value) else np.inf


def _uncentred_matrix(problem, matrix):
    turn = problem.uncentred(np.eye(5))
    return turn @ matrix @ turn.T


def _quadratic_runs(residuals, weights, objective):
    delta = float(final_delta(objective))
    scale = getattr(objective, "scale", None)
    size = float(scale(residuals, weights)) if scale else 1.0
    return int(((np.abs(residuals) <= delta * size) & (weights > 0)).sum())


# --- Coefficients and laws -------------------------------------------------------------------


def law_of(coefficients: Any) -> Chinchilla:
    """The law of (ln A, ln B, ln E, alpha, beta), along the first axis. Traceable."""
    ln_a, ln_b, ln_e, alpha, beta = coefficients
    return Chinchilla(E=jnp.exp(ln_e), A=jnp.exp(ln_a), B=jnp.exp(ln_b), alpha=alpha, beta=beta)


def _natural(coefficients: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # where what was held leaves no minimum
        return np.concatenate([np.exp(coefficients[:3]), coefficients[3:]])


def law_of_numbers(numbers: np.ndarray) -> Chinchilla:
    """(A, B, E, alpha, beta) as a law of Python floats."""
    return Chinchilla(**{name: float(x) for name, x in zip(NAMES, numbers, strict=True)})


# --- Derivatives -----------------------------------------------------------------------------


def _sensitivity(found: Fit) -> implicit.Sensitivity:
    with jax.enable_x64(True):
        problem = found.problem
        count = problem.count
        rows = type(problem.rows)(*(np.asarray(x)[:count] for x in problem.rows))
        centred = problem.centred(found.coefficients)
        inputs = implicit.Inputs(
            problem.weights[:count],
            np.asarray(found.runs.loss, float),
            float(final_delta(found.loss_function)),
        )
        basis = basis_of(problem.constraints, centred)
        moved = implicit.sensitivity(
            centred, basis, rows, inputs, found.loss_function, problem.constraints.prior
        )
        turn = problem.uncentred(np.eye(5))
        uncentred = implicit.Inputs(*(turn @ each for each in moved.coefficients))
        return moved._replace(coefficients=uncentred)


def _fit_traced(runs, objective, options) -> Fit:
    """A fit whose law and objective carry derivatives by the weights, the losses and delta."""
    if runs.weights is None:
        runs = replace(runs, weights=np.ones(np.shape(runs.loss)[0]))
    given = implicit.Inputs(runs.weights, runs.loss, final_delta(objective))
    # What is not differentiated keeps its own precision.
    traced = {name: x for name, x in given._asdict().items() if not is_concrete(x)}
    dtype = jnp.result_type(*traced.values())
    made: list[Fit] = []

    def fitted(traced):
        inputs = given._replace(**traced)
        known = checked(replace(runs, weights=inputs.weights, loss=inputs.loss))
        made[:] = [_fit(known, implicit.with_own_delta(objective, inputs.delta), **options)]
        return jnp.asarray(made[0].coefficients, dtype), jnp.asarray(made[0].objective, dtype)

    solve = jax.custom_jvp(fitted)

    @solve.defjvp
    def _(primals, tangents):
        values = fitted(*primals)
        moved = made[0].sensitivity
        changes = (
            implicit.directional(moved.coefficients, tangents[0]),
            implicit.directional(moved.value, tangents[0]),
        )
        return values, changes

    coefficients, value = solve(traced)
    return replace(made[0], law=law_of(coefficients), objective=value)
