"""Families fitted to the same runs, side by side: what each predicts, and what it costs to fit.

A larger family always fits its runs better. Runs that it was not fitted to, and criteria that count
coefficients, say whether it also knows more.
"""

import math
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import jax
import numpy as np

from jaxscale._display import dataframe, html, table
from jaxscale._numerics.quantities import count, counted
from jaxscale.fitting._fit import Fit, checked_fit
from jaxscale.fitting.certificate import LEVEL_STEEPNESS, FitStatus
from jaxscale.fitting.claims import Design
from jaxscale.fitting.likelihood import log_likelihood, noise_in_words
from jaxscale.fitting.report import WIDTH, spread_of
from jaxscale.fitting.reweighting import refits
from jaxscale.fitting.runs import Runs
from jaxscale.laws.fitted import fits_logarithm

FOLDS = 5
# Of n / FOLDS runs, how far a cut between folds moves to the widest gap.
REACH = 0.5
SAME = 1e-9  # of ln size
NOISE = 2.0  # standard errors within which a difference is noise
# Of AICc: beyond, a model has considerably less support (Burnham and Anderson 2002, Section 2.6).
LESS_SUPPORT = 4.0
FEWEST = 3  # differences that have a standard error worth the name
SIZES = ("params", "tokens", "loss")  # of a plan
AT_A_MINIMUM = (FitStatus.OK, FitStatus.E_AT_ZERO, FitStatus.AT_BOUND)


@dataclass(frozen=True, eq=False)
class ComparedFit:
    """One fit of a comparison. Errors are root mean squares of ln loss: 0.01 is one percent.

    Of a family whose loss may be negative they are in nats. NaN stands for what a fit without a
    certified minimum does not tell.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> row = js.compare([js.fit(js.laws.Chinchilla, runs)]).rows[0]
        >>> print(f"{row.name}: {row.coefficients} coefficients, {row.held_out:.2%} off")
        Chinchilla: 5 coefficients, 0.43% off
    """

    name: str
    fit: Fit
    coefficients: int  # that were fitted
    held_errors: np.ndarray  # of the largest runs, by the fit to the others; NaN where none
    by_size: float  # error of runs left out with others of their params
    by_budget: float  # the same of their FLOPs
    log_likelihood: float  # of the residuals, at the likeliest scale of the noise
    aic: float
    aicc: float  # AIC, corrected for few runs
    bic: float
    weight: float  # Akaike's, of AICc: the share of evidence among the fits
    answer: Mapping[str, float]  # to the question that was asked

    @property
    def held_out(self) -> float:
        """Error of the largest runs, by the fit to the others."""
        return _size(self.held_errors)

    @property
    def spread(self) -> float:
        """Standard deviation of the residuals."""
        return spread_of(self.fit.residuals)


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Fits of several families to the same runs, a row each. Prints itself as a table.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> comparison = js.compare([js.fit(js.laws.Chinchilla, runs)])
        >>> print(comparison.advice)
        Chinchilla predicts the 48 largest runs best, 0.43 % off.
    """

    rows: tuple[ComparedFit, ...]
    runs: Runs
    held: np.ndarray  # numbers of the runs that are held out, the largest
    noise: str  # the density of residuals that AIC and BIC rest on, in words

    @property
    def best(self) -> ComparedFit | None:
        """The fit of fewest coefficients among those that nothing speaks against.

        These predict the largest runs as well as the best does, to two standard errors of the
        difference, and have an AICc at most 4 above the least among them. None where no fit is OK.
        """
        supported = [row for row in self._alike() if not self._has_less_support(row)]
        return min(supported, key=lambda row: row.coefficients, default=None)

    @property
    def criteria(self) -> str:
        """What the columns AICc and BIC are, with the noise that they rest on."""
        return f"AICc and BIC are above the least, for {self.noise}."

    @property
    def advice(self) -> str:
        """Which fit predicts the largest runs best, whether the difference is noise, and `best`."""
        ranked, best = self._ranked(), self.best
        if best is None:
            return "No fit is OK and predicts the largest runs: see the status of each."
        first, *others = ranked
        alike = [row for row in self._alike() if row is not first]
        worse = [row for row in others if row not in alike]
        many = counted(len(self.held), "largest run")
        said = [f"{first.name} predicts the {many} best, {self._error(first.held_out)} off"]
        if worse:
            said.append(f"{self._listed(worse)} worse by more than noise")
        if alike:
            said.append(f"{self._listed(alike)} within noise of it")
        text = "; ".join(said) + "."
        if best is first:
            return text
        if self._has_less_support(first):
            more = f"the AICc of {first.name} is {first.aicc - best.aicc:.1f} higher"
        else:
            more = f"it needs {counted(best.coefficients, 'coefficient')}, not {first.coefficients}"
        return f"{text} Prefer {best.name}: {more}."

    def __repr__(self) -> str:
        lines = (*textwrap.wrap(self.criteria, WIDTH), *textwrap.wrap(self.advice, WIDTH))
        return "\n".join([table(self._header, self._cells(), title=self._title), *lines])

    def _repr_html_(self) -> str:
        title = f"{self._title}. {self.criteria} {self.advice}"
        return html(self._header, self._cells(), title=title)

    def to_dataframe(self) -> Any:
        """A pandas DataFrame with a row for each fit."""
        names = ("coefficients", "spread", "held_out", "by_size", "by_budget", "log_likelihood")
        columns = {
            name: [getattr(row, name) for row in self.rows]
            for name in (*names, "aic", "aicc", "bic", "weight")
        }
        answers = {name: [row.answer.get(name) for row in self.rows] for name in self._asked}
        about = {
            "objective": [row.fit.objective for row in self.rows],
            "status": [row.fit.status.name for row in self.rows],
        }
        return dataframe(columns | answers | about, [row.name for row in self.rows])

    @property
    def _asked(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for row in self.rows for name in row.answer))

    @property
    def _title(self) -> str:
        fits, runs = counted(len(self.rows), "fit"), counted(len(self.runs), "run")
        return f"{fits} to {runs}, the {len(self.held)} largest of them held out"

    @property
    def _header(self) -> tuple[str, ...]:
        errors = ("spread", "held out", "by size", "by budget")
        return ("", "coefficients", *errors, "AICc", "BIC", "weight", *self._asked, "status")

    def _cells(self) -> Iterable[tuple[str, ...]]:
        aicc, bic = (_above([getattr(row, name) for row in self.rows]) for name in ("aicc", "bic"))
        for row, more_aicc, more_bic in zip(self.rows, aicc, bic, strict=True):
            errors = (row.spread, row.held_out, row.by_size, row.by_budget)
            yield (
                row.name,
                str(row.coefficients),
                *map(self._error, errors),
                *(f"{x:.1f}" for x in (more_aicc, more_bic)),
                f"{row.weight:.2f}",
                *(_number(name, row.answer.get(name, math.nan)) for name in self._asked),
                row.fit.status.name,
            )

    def _ranked(self) -> list[ComparedFit]:
        """Fits that are OK, by the error of the runs held out."""
        known = [row for row in self.rows if row.fit.ok and math.isfinite(row.held_out)]
        return sorted(known, key=lambda row: row.held_out)

    def _alike(self) -> list[ComparedFit]:
        """The fit that predicts the largest runs best, and those that may do so as well."""
        ranked = self._ranked()
        return [row for row in ranked if self._is_noise(ranked[0], row)]

    def _has_less_support(self, row: ComparedFit) -> bool:
        """Whether AICc is far above the least of fits that predict the largest runs alike.

        Not where runs are too few for it.
        """
        least = min((each.aicc for each in self._alike()), default=math.nan)
        return row.aicc > least + LESS_SUPPORT

    def _is_noise(self, first: ComparedFit, other: ComparedFit) -> bool:
        """Whether the sizes of two fits' errors differ by no more than chance would make them."""
        more = np.abs(other.held_errors) - np.abs(first.held_errors)
        if self.runs.group is not None:  # runs of one training err together
            _, member = np.unique(np.asarray(self.runs.group)[self.held], return_inverse=True)
            more = np.bincount(member, more)
        if not more.any():
            return True
        if more.size < FEWEST:
            return False
        return float(more.mean()) <= NOISE * float(more.std(ddof=1)) / math.sqrt(more.size)

    def _listed(self, rows: list[ComparedFit]) -> str:
        *first, last = (f"{row.name} ({self._error(row.held_out)})" for row in rows)
        return f"{', '.join(first)} and {last} are" if first else f"{last} is"

    def _error(self, error: float) -> str:
        if not math.isfinite(error):
            return "nan"
        return f"{100 * error:.2f} %" if fits_logarithm(self.rows[0].fit.law) else f"{error:.3g}"


def compare(
    fits: Iterable[Fit] | Mapping[str, Fit],
    *,
    question: Callable[[Any], Any] | None = None,
    fraction: float = 0.2,
) -> Comparison:
    """Which of several families to believe, of fits to the same runs.

    Each fit is made again without the largest runs, and without each of five parts of the runs by
    params and by FLOPs, with the same objective and constraints; the runs left out are then
    predicted.

    AIC, AICc and BIC are of the fit to all runs. The noise that they rest on is that whose
    likelihood the objective is: residuals are independent, with the density `exp(-rho(r) / s) / Z`,
    where rho is what the objective sums and s is one free scale, counted as a coefficient. Of
    squared errors that is normal noise, of absolute ones Laplace's, of Huber's normal within delta
    and exponential beyond. So the minimum of the objective is the likeliest law, and a family that
    holds another is at least as likely. Weights of runs are scaled to a mean of 1. Checkpoints of
    one training are not independent: criteria then claim too much, and cross-validation keeps
    groups of runs whole.

    A fit that is not at a certified minimum gets NaN for errors, criteria and answers, and has no
    part in the weights. Errors are NaN, too, where a fit without those runs is at none.

    Args:
        fits: of `js.fit` to the same runs by one kind of objective, or a dict of them by name.
        question: what to ask each law, as `lambda law: js.compute_optimal(law, flops=1e24)`: it
            returns a plan, a number, or a dict of numbers.
        fraction: the share of the runs, the largest by FLOPs, to hold out.

    Raises:
        TypeError: something is no fit.
        ValueError: fits are of different runs, objectives or kinds of residual.

    Source: Burnham and Anderson 2002, *Model Selection and Multimodel Inference*, Sections 2.4 and
    2.9; Schwarz 1978.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> free = js.fit(js.laws.Chinchilla, runs)
        >>> tied = js.fit(js.laws.Chinchilla, runs, tie=[("alpha", "beta")])
        >>> comparison = js.compare({"free": free, "tied": tied})
        >>> print(comparison.best.name, f"{comparison.rows[1].weight:.2f}")
        tied 0.38
    """
    named = _named(fits)
    runs = _shared_runs(named)
    largest = _largest(runs, fraction)
    folds = [_folds(runs, "params"), _folds(runs, "flops")]
    rows = [_compared(name, each, largest, folds, question) for name, each in named.items()]
    weights = _akaike([row.aicc for row in rows])
    rows = [replace(row, weight=weight) for row, weight in zip(rows, weights, strict=True)]
    return Comparison(tuple(rows), runs, largest, noise_in_words(rows[0].fit.loss_function))


# --- The fits --------------------------------------------------------------------------------


def _named(fits: Any) -> dict[str, Fit]:
    """Fits by name: their classes, with a number where one comes twice."""
    if isinstance(fits, Mapping):
        given = cast(Mapping[Any, Any], fits)
        named = {str(name): checked_fit("compare", each) for name, each in given.items()}
    elif isinstance(fits, Fit) or not isinstance(fits, Iterable):
        raise TypeError(f"fits must be a list of fits, or a dict of them by name; got {fits!r}")
    else:
        named = dict[str, Fit]()
        for each in cast(Iterable[Any], fits):
            name = first = type(checked_fit("compare", each).law).__name__
            number = 1
            while name in named:
                number += 1
                name = f"{first} {number}"
            named[name] = each
    if not named:
        raise ValueError("fits is empty: give two fits or more")
    return named


def _shared_runs(named: Mapping[str, Fit]) -> Runs:
    """The runs of all fits; ValueError where fits cannot be compared."""
    (first, one), *others = named.items()
    for name, other in others:
        for column in ("params", "tokens", "loss", "weights", "group"):
            ours, theirs = (np.asarray(getattr(each.runs, column)) for each in (one, other))
            if not np.array_equal(ours, theirs):
                raise ValueError(f"fits must be of the same runs: {column} of {first} and {name}")
        if one.loss_function != other.loss_function:
            kinds = f"{one.loss_function!r} and {other.loss_function!r}"
            raise ValueError(f"fits must have one objective: {first} and {name} have {kinds}")
        if fits_logarithm(one.law) != fits_logarithm(other.law):
            raise ValueError(
                f"{first} and {name} cannot be compared: one has residuals of ln loss, the other "
                "of loss"
            )
    return one.runs


def _compared(
    name: str,
    each: Fit,
    largest: np.ndarray,
    folds: list[list[np.ndarray]],
    question: Callable[[Any], Any] | None,
) -> ComparedFit:
    free, number = _free_count(each), int(np.count_nonzero(each.runs.weights))
    log_likely, parts = math.nan, [largest, *folds[0], *folds[1]]
    errors = [np.full(rows.size, np.nan) for rows in parts]
    if _is_minimum(each):
        log_likely = log_likelihood(each.loss_function, each.residuals, each.runs.weights)
        errors = _errors(each, parts)
    known = [x[each.runs.weights[rows] > 0] for x, rows in zip(errors, parts, strict=True)]
    by_size, by_budget = known[1 : 1 + len(folds[0])], known[1 + len(folds[0]) :]
    told = free + 1  # with the scale of the noise
    aic = 2 * told - 2 * log_likely
    left = number - told - 1
    return ComparedFit(
        name=name,
        fit=each,
        coefficients=free,
        held_errors=errors[0],
        by_size=_size(np.concatenate([*by_size, np.empty(0)])),
        by_budget=_size(np.concatenate([*by_budget, np.empty(0)])),
        log_likelihood=log_likely,
        aic=aic,
        aicc=aic + 2 * told * (told + 1) / left if left > 0 else math.nan,
        bic=told * math.log(number) - 2 * log_likely,
        weight=math.nan,  # which is known when all rows are
        answer=_answer(question, each),
    )


def _free_count(each: Fit) -> int:
    """Number of coefficients that a fit was free to choose, also those it could not tell."""
    asked = each.problem.asked
    tied = sum(len(group) - 1 for group in asked.tie)
    return len(each.names) - len(asked.fixed) - tied


def _is_minimum(each: Fit) -> bool:
    """Whether a fit is at a minimum that the runs identify, inside its bounds or at one."""
    flat = each.certificate.steepness <= LEVEL_STEEPNESS
    return each.ok or (each.status in AT_A_MINIMUM and flat and not each.claims.unidentified)


def _answer(question: Callable[[Any], Any] | None, each: Fit) -> dict[str, float]:
    """What a law answers, by name; NaN where the runs do not identify the law."""
    if question is None:
        return {}
    with jax.enable_x64(True):
        said = question(each.law)
        if all(hasattr(said, name) for name in SIZES):
            said = {name: getattr(said, name) for name in SIZES}
        answers = cast(Mapping[str, Any], said if isinstance(said, Mapping) else {"answer": said})
        for name, value in answers.items():
            if np.ndim(value):
                raise ValueError(f"question must return single numbers; got {name} = {value!r}")
        known = _is_minimum(each)
        return {name: float(value) if known else math.nan for name, value in answers.items()}


# --- Runs left out ---------------------------------------------------------------------------


def _largest(runs: Runs, fraction: float) -> np.ndarray:
    """Numbers of the largest runs by FLOPs, as `holdout` has them; of runs that count."""
    known = np.flatnonzero(runs.weights > 0)
    number = round(fraction * known.size) if 0 < fraction < 1 else 0
    if not 0 < number < known.size:
        raise ValueError(
            f"fraction must leave runs on both sides of {known.size}, between 0 and 1; "
            f"got {fraction!r}"
        )
    return known[np.argsort(runs.flops[known], kind="stable")[-number:]]


def _folds(runs: Runs, by: str) -> list[np.ndarray]:
    """Numbers of the runs in each of at most five parts, contiguous in a size.

    Cuts lie at the widest gap near even ones, so that runs of one size, or of one isoFLOP budget,
    stay together. So do runs of one group, which are as large as the largest of them.
    """
    sizes = np.log(getattr(runs, by))
    if runs.group is not None:
        _, member = np.unique(runs.group, return_inverse=True)
        largest = np.full(member.max() + 1, -np.inf)
        np.maximum.at(largest, member, sizes)
        sizes = largest[member]
        order = np.lexsort((member, sizes))
        gaps = np.where(np.diff(member[order]) == 0, 0, np.maximum(np.diff(sizes[order]), SAME))
    else:
        order = np.argsort(sizes, kind="stable")
        gaps = np.diff(sizes[order])
    total, cuts = len(order), set[int]()
    reach = int(REACH * total / FOLDS)
    for middle in np.arange(1, FOLDS) * total // FOLDS:
        near = np.arange(max(1, middle - reach), min(total, middle + reach + 1))
        if near.size:
            widest = near[np.argmax(gaps[near - 1])]
            if gaps[widest - 1] >= SAME:
                cuts.add(int(widest))
    parts = np.split(order, sorted(cuts))
    return parts if len(parts) > 1 else []


def _errors(each: Fit, parts: list[np.ndarray]) -> list[np.ndarray]:
    """Errors of the runs of each part, by the fit to the others.

    NaN where that is at no certified minimum.
    """
    weights = np.tile(each.runs.weights, (len(parts), 1))
    for row, left_out in zip(weights, parts, strict=True):
        row[left_out] = 0
    enough = np.array([_is_enough(each, row) for row in weights])
    made = refits(each, weights[enough]) if enough.any() else iter(())
    return [
        _predicted(next(made), left_out) if known else np.full(left_out.size, np.nan)
        for known, left_out in zip(enough, parts, strict=True)
    ]


def _is_enough(each: Fit, weights: np.ndarray) -> bool:
    """Whether the runs with a weight are of more sizes than there are coefficients."""
    known = each.runs.select(weights > 0)
    return bool(len(known)) and Design(known).different > _free_count(each)


def _predicted(again: Fit, rows: np.ndarray) -> np.ndarray:
    return again.residuals[rows] if _is_minimum(again) else np.full(rows.size, np.nan)


# --- Numbers ---------------------------------------------------------------------------------


def _size(errors: np.ndarray) -> float:
    """Root mean square; NaN of none."""
    return float(np.sqrt(np.mean(np.square(errors)))) if errors.size else math.nan


def _above(values: list[float]) -> np.ndarray:
    """How far each is above the least that is known."""
    numbers = np.array(values, float)
    return numbers - np.min(numbers[np.isfinite(numbers)], initial=np.inf)


def _akaike(criteria: list[float]) -> list[float]:
    """Akaike's weights; NaN for what has no criterion."""
    above = _above(criteria)
    shares = np.exp(-above / 2)
    return (shares / np.nansum(shares)).tolist()


def _number(name: str, value: float) -> str:
    return f"{value:.3f}" if name == "loss" else count(value)
