"""From runs to a law: all starts at once, to a true minimum, with what is known of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, overload

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxscale._numerics.arrays import is_concrete
from jaxscale.fitting import report, sensitivity
from jaxscale.fitting.certificate import (
    Certificate,
    FitStatus,
    basis_of,
    bound_status,
    certificate_of,
    is_level,
    is_stationary,
    is_steep,
    judge,
    scaled_condition,
)
from jaxscale.fitting.checks import check_objective, checked, is_traced
from jaxscale.fitting.chinchilla_claims import claims_of_chinchilla
from jaxscale.fitting.chinchilla_kernel import NAMES
from jaxscale.fitting.claims import Claims, Place, without
from jaxscale.fitting.constraints import constraints_of
from jaxscale.fitting.covariance import covariance_of
from jaxscale.fitting.design import Design
from jaxscale.fitting.freedom import Asked
from jaxscale.fitting.identified import converged_by, left_of
from jaxscale.fitting.law_fit import LawFit, fit_law
from jaxscale.fitting.objectives import Huber, Objective, final_delta, unit_of
from jaxscale.fitting.optax_path import search_with
from jaxscale.fitting.problem import (
    Problem,
    approach,
    outcome,
    problem_of,
    ranked,
    slopes_of,
    thinned,
)
from jaxscale.fitting.runs import Runs
from jaxscale.fitting.search import Search, best_lane, equal_lanes, search_of
from jaxscale.fitting.starts import HOFFMANN, starts_of
from jaxscale.laws.chinchilla import Chinchilla

KEPT, KEPT_OF_HOFFMANN = 32, 64  # starts that go on from the valley to its floor

Intervals = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Fit:
    """A law fitted to runs, with what certifies it. Prints itself as a table.

    Numbers are float64, whatever JAX's switch says. `covariance` is of (ln A, ln B, ln E, alpha,
    beta), and `standard_errors` are each coefficient's own, as a law: 0 for what was held, NaN for
    what the runs do not identify, which `claims` names, and for what is at a bound. Nothing
    proves that no other start ends lower: `search` says of how many starts this is the best.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> fit = js.fit(js.laws.Chinchilla, runs)
        >>> print(fit.ok, fit.status.name, f"{fit.law.E:.2f}")
        True OK 1.82
    """

    law: Chinchilla
    objective: float
    residuals: np.ndarray  # runs: ln of the law's loss over the observed one
    status: FitStatus
    covariance: np.ndarray
    covariance_method: str
    inverse_curvature: np.ndarray = field(repr=False)  # of the expected objective
    certificate: Certificate
    claims: Claims
    search: Search
    runs: Runs
    loss_function: Objective
    problem: Problem = field(repr=False)  # with what the runs do not identify held
    coefficients: np.ndarray = field(repr=False)  # (ln A, ln B, ln E, alpha, beta)

    @property
    def ok(self) -> bool:
        """Whether the fit is a certified minimum inside all bounds."""
        return self.status is FitStatus.OK

    @property
    def standard_errors(self) -> Chinchilla:
        """Of each coefficient alone; those of A, B and E by the delta method."""
        errors = np.sqrt(np.maximum(np.diag(self.covariance), 0))
        scale = np.append(np.exp(self.coefficients[:3]), [1, 1])
        return law_of_numbers(errors * scale)

    @cached_property
    def sensitivity(self) -> sensitivity.Sensitivity:
        """Derivatives of the coefficients and the objective by weights, losses and delta."""
        return _sensitivity(self)

    def influence(self, fn: Any) -> np.ndarray:
        """What each run's weight does to `fn(law)`: the infinitesimal jackknife, one per run.

        `fn` takes a law and returns one number: the best size for a budget, say. To leave a run
        out changes it by about minus its influence. Weights, not losses: where |residual| is
        above Huber's delta (201 of Besiroglu's 240 runs) a run's loss has no first-order effect
        at all, because its pull does not depend on how far off it is. NaN where `fn` depends on
        what the runs do not identify.
        """
        with jax.enable_x64(True):
            slope = jax.grad(lambda x: fn(law_of(x)))(jnp.asarray(self.coefficients))
            slope = np.asarray(slope)
            if np.abs(slope @ self.claims.directions).max(initial=0) > 1e-8 * np.abs(slope).max():
                return np.full(len(self.runs), np.nan)
            return slope @ self.sensitivity.coefficients.weights

    def __str__(self) -> str:
        return report.table(self)


@overload
def fit(  # pyright: ignore[reportOverlappingOverload]: the first of the two that holds
    law: type[Chinchilla],
    runs: Runs,
    *,
    objective: Objective | None = None,
    starts: str | Chinchilla | None = None,
    fixed: Mapping[str, float] | None = None,
    tie_exponents: bool = False,
    tie: Sequence[Sequence[str]] = (),
    bounds: Intervals | None = None,
    prior: Intervals | None = None,
    optimizer: optax.GradientTransformation | None = None,
) -> Fit: ...


@overload
def fit(
    law: type[object],
    runs: Runs,
    *,
    objective: Objective | None = None,
    starts: Any = None,
    fixed: Mapping[str, float] | None = None,
    tie: Sequence[Sequence[str]] = (),
    bounds: Intervals | None = None,
    prior: Intervals | None = None,
) -> LawFit: ...


def fit(
    law: type[object],
    runs: Runs,
    *,
    objective: Objective | None = None,
    starts: Any = None,
    fixed: Mapping[str, float] | None = None,
    tie_exponents: bool = False,
    tie: Sequence[Sequence[str]] = (),
    bounds: Intervals | None = None,
    prior: Intervals | None = None,
    optimizer: optax.GradientTransformation | None = None,
) -> Fit | LawFit:
    """Fit a law to runs: the lowest objective over the residuals `ln L(N, D) - ln loss`.

    Many starts run at once, and the best ends at a certified minimum. For a family whose loss may
    be negative the residuals are `L - loss`.

    Computes in float64 on the host, whatever JAX's switch says, and cannot be jitted. `jax.grad`
    of anything made of `fit(...).law` or `.objective`, with respect to the runs' weights and losses
    and to delta, is that of the minimum, by the implicit function theorem.

    Source: Hoffmann et al. 2022, arXiv 2203.15556, eq. 11 and D.2.

    Args:
        law: a class, such as `js.laws.Chinchilla`, whose fit can be resampled and differentiated.
            The levers of another family are columns of the runs.
        runs: params, tokens and loss of finished trainings.
        objective: `fitting.Huber(1e-3)` by default, as in Hoffmann et al. 2022, D.2; or
            `SquaredError`, `AbsoluteError` or `HuberLikelihood`.
        starts: a grid by default; for Chinchilla "hoffmann2022", that paper's 4,500, or a law with
            arrays.
        fixed: values of the coefficients that are held.
        tie_exponents: whether alpha and beta of Chinchilla are one number.
        tie: groups of names, each of which is one number.
        bounds: pairs of (low, high) by name.
        prior: pairs of (value, deviation) by name, of the logarithm for A, B and E and for all
            positive coefficients of other families. One deviation costs what a run costs whose
            residual is delta (1e-3 where there is none; in a likelihood, half).
        optimizer: any Optax transformation, instead of our Newton steps, for Chinchilla.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: arguments do not fit together, or a row is one that no loss law can have.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> fit = js.fit(js.laws.Chinchilla, runs)
        >>> print(f"alpha = {fit.law.alpha:.3f}, standard error {fit.standard_errors.alpha:.3f}")
        alpha = 0.352, standard error 0.009
    """
    objective = Huber() if objective is None else objective
    if law is not Chinchilla:
        if optimizer is not None or tie_exponents:
            raise TypeError("optimizer and tie_exponents are for js.laws.Chinchilla; use tie")
        asked = Asked(fixed or {}, tie, bounds or {}, prior or {})
        return fit_law(law, runs, objective, starts, asked)
    check_objective(objective)
    tie_exponents |= _ties_exponents(tie)
    options = dict(
        starts=starts,
        optimizer=optimizer,
        constraints=dict(fixed=fixed, tie_exponents=tie_exponents, bounds=bounds, prior=prior),
    )
    if is_traced(runs, objective):
        return _fit_traced(runs, objective, options)
    return _fit(checked(runs, levers=()), objective, **options)


def _ties_exponents(tie):
    if any({*group} != {"alpha", "beta"} for group in tie):
        raise ValueError(f"of Chinchilla alpha and beta alone can be tied; got {tie!r}")
    return bool(tie)


def need_chinchilla(found: Any, work: str) -> None:
    """Raises TypeError where `work` is asked of anything but a fit of Chinchilla."""
    if not isinstance(found, Fit):
        kind = f"one of {type(found.law).__name__}" if isinstance(found, LawFit) else repr(found)
        raise TypeError(f"{work} needs a fit of js.laws.Chinchilla; got {kind}")


def _fit(runs, objective, starts, optimizer, constraints) -> Fit:
    with jax.enable_x64(True):
        known = constraints_of(float(runs.loss.min()), unit_of(objective), **constraints)
        problem = problem_of(runs, objective, known)
        some = thinned(problem)
        chosen = starts_of(starts, some.rows, some.weights)
        begun = chosen.coefficients if starts is None else problem.centred(chosen.coefficients)
        begun = problem.constraints.start(begun)
        keep = KEPT_OF_HOFFMANN if chosen.name == HOFFMANN else KEPT
        near = approach(problem, begun)
        best = near.coefficients[:, ranked(near)[:keep]]
        slopes_at = _slopes_of(objective)
        left, is_open = left_of(problem, begun, best, slopes_at)
        if optimizer is None:
            left, found = converged_by(problem, left, best, slopes_at)
        else:
            found = search_with(optimizer, left, begun)
        values = np.where(np.isfinite(found.value), found.value, np.inf)
        found = found._replace(value=values)
        seen = search_of(begun.shape[1], values, is_stationary(left, found), chosen.name)
        fixed = {name: float(x) for name, x in (constraints["fixed"] or {}).items()}
        return _fit_at(problem.constraints, left, is_open, runs, objective, found, seen, fixed)


def _slopes_of(objective):
    def slopes_at(problem: Problem, place: np.ndarray) -> np.ndarray:
        seen = outcome(objective, place[:, None], problem.rows, problem.weights[None])
        return slopes_of(problem, seen)

    return slopes_at


def _fit_at(asked, problem, is_open, runs, objective, found, looked, fixed) -> Fit:
    """Everything about the place where the best lane arrived."""
    lane = best_lane(found.value, is_stationary(problem, found))
    centred, hessian = found.coefficients[:, lane], found.hessian[..., lane]
    basis = basis_of(problem.constraints, centred)
    condition = scaled_condition(hessian, basis)
    weights = problem.weights[: problem.count]
    seen = outcome(objective, centred[:, None], problem.rows, problem.weights[None])
    residuals = np.asarray(seen.residuals)[0, : problem.count]
    slopes = slopes_of(problem, seen)
    converged = is_stationary(problem, found)[lane] or is_level(found)[lane]
    design = Design(runs)
    bound = FitStatus(int(bound_status(problem._replace(constraints=asked), centred[:, None])[0]))
    covariance = covariance_of(
        slopes, residuals, weights, runs.group, basis, objective, asked.prior.precision
    )
    equals = found.coefficients[:, equal_lanes(found.value)]
    place = Place(
        coefficients=centred,
        slopes=slopes,
        weights=weights,
        hessian=hessian,
        condition=condition,
        asked=asked,
        left=problem.constraints,
        equals=equals,
        open=is_open,
        covariance=covariance.matrix,
    )
    middle = [float(each[: problem.count].mean()) for each in problem.rows[:2]]
    claims = claims_of_chinchilla(place, middle, tuple(fixed), design)
    directions = problem.uncentred(claims.directions)
    return Fit(
        law=replace(law_of_numbers(_natural(problem.uncentred(centred))), **fixed),
        objective=float(seen.value[0]),
        residuals=residuals,
        status=judge(
            bound,
            design.different,
            asked.free_count,
            steep=bool(is_steep(problem, found)[lane]),
            converged=bool(converged),
            unidentified=bool(claims.unidentified),
        ),
        covariance=without(_uncentred_matrix(problem, covariance.matrix), NAMES, claims),
        covariance_method=covariance.method,
        inverse_curvature=_uncentred_matrix(problem, covariance.inverse_bread),
        certificate=certificate_of(found, lane, condition, residuals, weights, objective),
        claims=claims._replace(directions=directions),
        search=looked,
        runs=runs,
        loss_function=objective,
        problem=problem,
        coefficients=problem.uncentred(centred),
    )


def _uncentred_matrix(problem, matrix):
    turn = problem.uncentred(np.eye(5))
    return turn @ matrix @ turn.T


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


def _sensitivity(found: Fit) -> sensitivity.Sensitivity:
    with jax.enable_x64(True):
        problem = found.problem
        count = problem.count
        rows = type(problem.rows)(*(np.asarray(x)[:count] for x in problem.rows))
        centred = problem.centred(found.coefficients)
        inputs = sensitivity.Inputs(
            problem.weights[:count],
            np.asarray(found.runs.loss, float),
            float(final_delta(found.loss_function)),
        )
        basis = basis_of(problem.constraints, centred)
        moved = sensitivity.sensitivity(
            centred, basis, rows, inputs, found.loss_function, problem.constraints.prior
        )
        turn = problem.uncentred(np.eye(5))
        uncentred = sensitivity.Inputs(*(turn @ each for each in moved.coefficients))
        return moved._replace(coefficients=uncentred)


def _fit_traced(runs, objective, options) -> Fit:
    """A fit whose law and objective carry derivatives by the weights, the losses and delta."""
    if runs.weights is None:
        runs = replace(runs, weights=np.ones(np.shape(runs.loss)[0]))
    given = sensitivity.Inputs(runs.weights, runs.loss, final_delta(objective))
    # What is not differentiated keeps its own precision.
    traced = {name: x for name, x in given._asdict().items() if not is_concrete(x)}
    dtype = jnp.result_type(*traced.values())
    made: list[Fit] = []

    def fitted(traced):
        inputs = given._replace(**traced)
        known = checked(replace(runs, weights=inputs.weights, loss=inputs.loss))
        made[:] = [_fit(known, sensitivity.with_own_delta(objective, inputs.delta), **options)]
        return jnp.asarray(made[0].coefficients, dtype), jnp.asarray(made[0].objective, dtype)

    solve = jax.custom_jvp(fitted)

    @solve.defjvp
    def _(primals, tangents):
        values = fitted(*primals)
        moved = made[0].sensitivity
        changes = (
            sensitivity.directional(moved.coefficients, tangents[0]),
            sensitivity.directional(moved.value, tangents[0]),
        )
        return values, changes

    coefficients, value = solve(traced)
    return replace(made[0], law=law_of(coefficients), objective=value)
