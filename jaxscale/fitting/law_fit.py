"""From runs to a law of any family: the same search and the same proof as for Chinchilla."""

import math
from dataclasses import dataclass, is_dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxscale._numerics.compiled import compiled
from jaxscale.fitting import report
from jaxscale.fitting.certificate import (
    Certificate,
    FitStatus,
    at_bounds,
    basis_of,
    certificate_of,
    is_level,
    is_stationary,
    is_steep,
    judge,
    scaled_condition,
)
from jaxscale.fitting.checks import check_objective, checked, is_traced
from jaxscale.fitting.claims import Claims, Place, claims_of_law, without
from jaxscale.fitting.constraints import LEAST_E_SHARE
from jaxscale.fitting.covariance import covariance_of
from jaxscale.fitting.design import Design
from jaxscale.fitting.freedom import (
    Asked,
    at_ends,
    check_asked,
    constraints_of_law,
    least_of_e,
    starts_of_law,
)
from jaxscale.fitting.identified import converged_by, left_of
from jaxscale.fitting.model import AnyLaw, Rows
from jaxscale.fitting.objectives import HuberLikelihood, Objective, final_delta, unit_of
from jaxscale.fitting.problem import Problem, approach, padded_length, ranked
from jaxscale.fitting.runs import Runs
from jaxscale.fitting.search import Search, best_lane, equal_lanes, search_of
from jaxscale.fitting.split import is_unguided, splits
from jaxscale.laws.fitted import coefficients_of, fits_logarithm, held_by
from jaxscale.laws.protocol import levers_of

KEPT = 32  # starts that go on from the valley to its floor


@dataclass(frozen=True, eq=False)
class LawFit:
    """A law of any family fitted to runs, with what certifies it. Prints itself as a table.

    Numbers are float64, whatever JAX's switch says. `covariance` is of the coefficients in the
    order of the law's fields, of the logarithms of those that its family says are positive. It
    is 0 for what was held, and NaN for what is at a bound or what the runs do not identify, which
    `claims` names. `standard_errors` are each coefficient's own, as a law. Nothing proves that
    no other start ends lower: `search` says of how many starts this is the best.
    """

    law: Any
    objective: float
    residuals: np.ndarray  # runs: ln of the law's loss over the observed one, or their difference
    status: FitStatus
    covariance: np.ndarray
    covariance_method: str
    standard_errors: Any
    certificate: Certificate
    claims: Claims
    search: Search
    runs: Runs
    loss_function: Objective

    @property
    def ok(self) -> bool:
        """Whether the fit is a certified minimum inside all bounds."""
        return self.status is FitStatus.OK

    def __str__(self) -> str:
        law = type(self.law)
        title = getattr(law, "equation", law.__name__)
        return report.table(self, title, tuple(coefficients_of(law)), fits_logarithm(law))


def fit_law(law: type, runs: Runs, objective: Objective, starts: Any, asked: Asked) -> LawFit:
    """`fit` for a law of any family; raises what it does."""
    if not (isinstance(law, type) and is_dataclass(law) and hasattr(law, "loss")):
        raise TypeError(
            f"law must be the class js.laws.Chinchilla, or another frozen dataclass with a loss; "
            f"got {law!r}"
        )
    check_objective(objective)
    if is_traced(runs, objective):
        raise TypeError(f"a fit of {law.__name__} has no derivatives: only one of Chinchilla has")
    known = coefficients_of(law)
    asked = asked._replace(fixed=held_by(law) | dict(asked.fixed))
    check_asked(asked, known)
    free = tuple(name for name in known if name not in asked.fixed)
    positive = tuple(known[name].positive for name in free)
    form = AnyLaw(law, free, positive, fits_logarithm(law))
    runs = checked(runs, levers_of(law), positive_loss=form.logarithm)
    with jax.enable_x64(True):
        constraints = constraints_of_law(form, known, unit_of(objective), asked, runs.loss)
        problem = _problem(form, runs, objective, constraints, asked.fixed)
        chosen = starts_of_law(form, known, starts)
        begun = constraints.start(chosen.coefficients)
        near = approach(problem, begun)
        best = ranked(near)
        best = best[np.isfinite(near.value[best])][:KEPT]
        if not best.size:
            raise ValueError(
                f"the loss of {law.__name__} is not finite at any of {begun.shape[1]} starts; "
                "give others as starts"
            )
        near = near.coefficients[:, best]
        slopes_at = _slopes_of(form, objective)
        left, is_open = left_of(problem, begun, near, slopes_at)
        left, found = converged_by(problem, left, near, slopes_at)
        found = found._replace(value=np.where(np.isfinite(found.value), found.value, np.inf))
        still = is_stationary(left, found)
        looked = search_of(begun.shape[1], found.value, still, chosen.name)
        return _fit_at(form, constraints, left, is_open, runs, objective, found, looked, asked)


def _slopes_of(form, objective):
    def slopes_at(problem: Problem, place: np.ndarray) -> np.ndarray:
        seen = _outcome(form, objective, place, problem.rows, problem.weights)
        return np.asarray(seen.slopes)[: problem.count]

    return slopes_at


def _problem(form, runs, objective, constraints, fixed) -> Problem:
    count = len(runs)
    rows = Rows(
        np.log(runs.params),
        np.log(runs.tokens),
        np.log(runs.loss) if form.logarithm else runs.loss,
        dict(runs.levers or {}),
        {name: np.full(count, float(value)) for name, value in fixed.items()},
    )
    # More of the last run, without weight: zeros might have no loss, and 0 times NaN is NaN.
    more = padded_length(count) - count
    rows = jax.tree.map(lambda x: np.concatenate([x, np.repeat(x[-1:], more)]), rows)
    weights = np.concatenate([runs.weights, np.zeros(more)])
    likelihood = isinstance(objective, HuberLikelihood)
    delta = float(final_delta(objective))
    return Problem(rows, weights, count, (0.0, 0.0), constraints, delta, likelihood, form)


class _Outcome(NamedTuple):
    values: Any  # of the free coefficients, by name
    slopes: Any  # runs, coefficients
    residuals: Any
    objective: Any


@partial(compiled, static=1)
def _outcome(
    form: AnyLaw, objective: Objective, place: jax.Array, rows: Rows, weights: jax.Array
) -> _Outcome:
    slopes, residuals = form.slopes(place, rows)
    return _Outcome(form.values(place), slopes, residuals, objective.value(residuals, weights))


def _fit_at(form, constraints, problem, is_open, runs, objective, found, looked, asked) -> LawFit:
    """Everything about the place where the best lane arrived; `constraints` are those asked for."""
    lane = best_lane(found.value, is_stationary(problem, found))
    place = found.coefficients[:, lane]
    at = _outcome(form, objective, place, problem.rows, problem.weights)
    slopes, residuals = (np.asarray(x)[: len(runs)] for x in (at.slopes, at.residuals))
    basis = basis_of(problem.constraints, place)
    hessian = found.hessian[..., lane]
    condition = scaled_condition(hessian, basis)
    precision = constraints.prior.precision
    covariance = covariance_of(
        slopes, residuals, runs.weights, runs.group, basis, objective, precision
    )
    converged = is_stationary(problem, found)[lane] or is_level(found)[lane]
    design = Design(runs)
    bound = _bound_status(form, constraints, place, runs)
    equals = found.coefficients[:, equal_lanes(found.value)]
    held = {name: float(x) for name, x in asked.fixed.items()}
    ended = Place(
        coefficients=place,
        slopes=slopes,
        weights=runs.weights,
        hessian=hessian,
        condition=condition,
        asked=constraints,
        left=problem.constraints,
        equals=equals,
        open=is_open,
        covariance=covariance.matrix,
    )
    more = at_ends(form, place) | _is_gone(form, constraints, place, slopes)
    if design.is_line and is_unguided(constraints, asked):
        more |= splits(form, place, problem.rows)
    positive = np.array(form.positive)
    claims = claims_of_law(ended, form.free, positive, tuple(held), design, more)
    values = {name: float(x) for name, x in at.values.items()}
    for first, *others in asked.tie:  # to the last digit, which rounding parts
        values |= dict.fromkeys(others, values[first])
    matrix = without(covariance.matrix, form.free, claims)
    return LawFit(
        law=form.law(**values, **held),
        objective=float(at.objective),
        residuals=residuals,
        status=judge(
            bound,
            design.different,
            constraints.free_count,
            steep=bool(is_steep(problem, found)[lane]),
            converged=bool(converged),
            unidentified=bool(claims.unidentified),
        ),
        covariance=_among_all(form, matrix),
        covariance_method=covariance.method,
        standard_errors=_errors(form, values, held, matrix),
        certificate=certificate_of(found, lane, condition, residuals, runs.weights, objective),
        claims=claims,
        search=looked,
        runs=runs,
        loss_function=objective,
    )


def _errors(form, values, held, covariance) -> Any:
    """Each coefficient's own standard error, as a law; of a logarithm by the delta method."""
    errors = np.sqrt(np.maximum(np.diag(covariance), 0))
    named = zip(form.free, form.positive, errors, strict=True)
    free = {name: float(x) * (values[name] if positive else 1.0) for name, positive, x in named}
    return form.law(**free, **dict.fromkeys(held, 0.0))


def _among_all(form, matrix: np.ndarray) -> np.ndarray:
    """The matrix of what is free among all coefficients, with 0 for those that are held."""
    order = list(coefficients_of(form.law))
    places = [order.index(name) for name in form.free]
    whole = np.zeros((len(order), len(order)))
    whole[np.ix_(places, places)] = matrix
    return whole


def _is_gone(form, constraints, place, slopes) -> np.ndarray:
    """Which terms have vanished without a bound: of every loss they are a ten-millionth."""
    gone = np.array(form.positive) & (np.abs(slopes).max(axis=0) < LEAST_E_SHARE)
    return gone & ~at_bounds(constraints, place)


def _bound_status(form, constraints, place, runs) -> FitStatus:
    """Which bound that was asked for decides, or whether E has vanished; OK for neither."""
    bound = at_bounds(constraints, place) & ~at_ends(form, place)
    least = least_of_e(form, runs.loss)
    if least is not None:
        of_e = form.free.index("E")
        if bound[of_e] and place[of_e] < least + math.log(2):
            return FitStatus.E_AT_ZERO
    return FitStatus.AT_BOUND if bound.any() else FitStatus.OK
