"""Advice that a colleague would give before anyone builds a plan on a fit.

Every check looks at one thing and returns one sentence or none. Thresholds are judgement, with
their reasons below. `_suspicions` checks the table of runs itself.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from jaxscale._display import dataframe, html
from jaxscale._numerics.quantities import count, counted, scientific
from jaxscale.fitting._suspicions import suspicions
from jaxscale.fitting._suspicions.trainings import may_be_checkpoints
from jaxscale.fitting.certificate import Certificate, FitStatus, Search
from jaxscale.fitting.claims import Claims
from jaxscale.fitting.objectives import Objective
from jaxscale.fitting.problem import Problem
from jaxscale.fitting.runs import Runs
from jaxscale.laws.fitted import fits_logarithm
from jaxscale.laws.protocol import is_of_steps

LONG = 100  # tokens per param: where Sardana et al. 2024, Section 5, see the fits part
FEW_LONG = 10  # runs beyond, and at least this share of all
FEW_LONG_SHARE = 0.1
FEW_RUNS_EACH = 5  # for each coefficient
FEW_GROUPS = 15
ONE_RATIO = 2.0  # largest over smallest tokens per param
TOGETHER = 0.95  # correlation of log params with log tokens
NARROW = 10.0  # largest over smallest params, or tokens
ALIKE = 0.3  # correlation of neighbours' residuals
FAR = 5.0  # robust standard deviations
SLIGHT = 5e-4  # of ln loss: an error that is printed as 0.0 % comes from rounding of the table
ROBUST = 1.4826  # standard deviation of a normal over its median absolute deviation
FEW_RESAMPLES = 1000
POOR = 1 / 3  # of a coefficient: its error

Severity = Literal["note", "warning", "problem"]
Pair = tuple[float, float]


class Fitted(Protocol):
    """The part of `Fit` that advice and reports read; they cannot import the class."""

    @property
    def law(self) -> Any: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def objective(self) -> float: ...
    @property
    def residuals(self) -> np.ndarray: ...
    @property
    def status(self) -> FitStatus: ...
    @property
    def ok(self) -> bool: ...
    @property
    def covariance(self) -> np.ndarray: ...
    @property
    def covariance_method(self) -> str: ...
    @property
    def standard_errors(self) -> Any: ...
    @property
    def certificate(self) -> Certificate: ...
    @property
    def claims(self) -> Claims: ...
    @property
    def search(self) -> Search: ...
    @property
    def runs(self) -> Runs: ...
    @property
    def loss_function(self) -> Objective: ...
    @property
    def problem(self) -> Problem: ...
    def intervals(self, level: float) -> dict[str, Pair]: ...


class Resampled(Protocol):
    """The part of `Bootstrap` that advice and reports read."""

    @property
    def law(self) -> Any: ...
    @property
    def objective(self) -> np.ndarray: ...
    @property
    def covariance(self) -> np.ndarray: ...
    @property
    def standard_errors(self) -> Any: ...
    @property
    def not_ok(self) -> dict[str, int]: ...
    def intervals(self, level: float) -> dict[str, Pair]: ...


class Remark(NamedTuple):
    """One piece of advice on a fit.

    A "problem" forbids some use of the law, a "warning" may change its numbers, and a "note" says
    how far they reach.
    """

    about: str
    severity: Severity
    sentence: str
    numbers: Mapping[str, float]  # those that the sentence rests on


class Remarks(tuple[Remark, ...]):
    """The advice on a fit: a tuple of remarks that shows itself a line for each."""

    def __repr__(self) -> str:
        return "\n".join(f"{each.severity}, {each.about}: {each.sentence}" for each in self)

    def _repr_html_(self) -> str:
        rows = [(each.severity, each.about, each.sentence) for each in self]
        return html(("", "about", "advice"), rows)

    def to_dataframe(self) -> Any:
        """A pandas DataFrame with a row for each remark."""
        names = ("about", "severity", "sentence")
        return dataframe({name: [getattr(each, name) for each in self] for name in names})


# A sentence and its numbers; None where there is nothing to say.
Said = tuple[str, dict[str, float]] | None


def check_resamples(fit: Fitted, bootstrap: Any) -> None:
    """Raises TypeError for what is no bootstrap, ValueError for one of another fit."""
    if bootstrap is None:
        return
    if not hasattr(bootstrap, "fit"):
        raise TypeError(f"bootstrap must be what js.bootstrap returns; got {bootstrap!r}")
    if bootstrap.fit is not fit:
        family = type(bootstrap.law).__name__
        raise ValueError(f"bootstrap must be of this fit; got resamples of another, of {family}")


def diagnose(fit: Fitted, bootstrap: Resampled | None = None) -> Remarks:
    """Remarks on a `Fit` and its `Bootstrap`, the gravest first."""
    check_resamples(fit, bootstrap)
    remarks = [Remark("status", "problem", fit.status.sentence, {})] * (not fit.ok)
    if fit.claims.unidentified:
        remarks.append(Remark("not identified", "problem", fit.claims.sentence, {}))
    of_steps = is_of_steps(fit.law)
    odd = () if of_steps else suspicions(fit.runs)
    remarks += [Remark(each.about, "warning", f"{each.sentence}.", {}) for each in odd]
    for about, (severity, check) in (CHECKS_OF_CURVES if of_steps else CHECKS).items():
        said = None if any(each.about == about for each in odd) else check(fit, bootstrap)
        if said is not None:
            sentence, numbers = said
            remarks.append(
                Remark(about, severity, f"{sentence[:1].upper()}{sentence[1:]}.", numbers)
            )
    return Remarks(remarks)


def _number_of_runs(fit: Fitted, _: Resampled | None) -> Said:
    runs, free = len(fit.runs), fit.problem.constraints.free_count
    if runs >= FEW_RUNS_EACH * free:
        return None
    said = (
        f"{runs} runs for {counted(free, 'coefficient')} are few: intervals are rough, and may be "
        "too narrow; hold what you know, or tie exponents"
    )
    return said, {"runs": runs, "coefficients": free}


def _one_ratio(fit: Fitted, _: Resampled | None) -> Said:
    ratio = fit.runs.tokens_per_param
    if ratio.max() < ONE_RATIO * ratio.min():
        said = (
            f"all runs have about {count(float(np.median(ratio)))} tokens per param: along one "
            "ratio the effects of params and tokens cannot be told apart; add runs of several "
            "ratios at one budget"
        )
        return said, {"tokens_per_param": float(np.median(ratio))}
    logs = np.log(fit.runs.params), np.log(fit.runs.tokens)
    if min(x.std() for x in logs) > 0:
        together = float(np.corrcoef(*logs)[0, 1])
        if together > TOGETHER:
            said = (
                f"params and tokens rise together (correlation of logs {together:.2f}): their "
                "effects are hard to tell apart; vary tokens per param at one budget"
            )
            return said, {"correlation": together}
    return None


def _narrow(fit: Fitted, _: Resampled | None) -> Said:
    for name in ("params", "tokens"):
        values = getattr(fit.runs, name)
        factor = float(values.max() / values.min())
        if 1 < factor < NARROW:  # one size alone is said to leave coefficients open
            said = (
                f"{name} span a factor of only {factor:.2g}, so that their exponent trades off "
                "with the irreducible loss; two decades are usual"
            )
            return said, {name: factor}
    return None


def _long_training(fit: Fitted, _: Resampled | None) -> Said:
    ratio = fit.runs.tokens_per_param
    beyond = int((ratio > LONG).sum())
    if beyond >= max(FEW_LONG, FEW_LONG_SHARE * ratio.size):
        return None
    those = "no run has" if not beyond else f"only {beyond} of {counted(ratio.size, 'run')} have"
    most = f" (at most {count(float(ratio.max()))})" if beyond else ""
    said = (
        f"{those} over {LONG} tokens per param{most}: serving makes plans longer than that, and "
        "laws fitted to short trainings promise too much of more tokens (Sardana et al. 2024, "
        "Section 5)"
    )
    return said, {"runs": beyond}


def _checkpoints(fit: Fitted, _: Resampled | None) -> Said:
    """Many lengths of each size, evenly spaced, of which neighbours err alike."""
    runs, residuals = fit.runs, fit.residuals - fit.residuals.mean()
    if runs.group is not None or not may_be_checkpoints(runs.params, runs.tokens):
        return None
    order = np.lexsort((runs.tokens, runs.params))
    same: np.ndarray = runs.params[order][1:] == runs.params[order][:-1]
    pairs = (residuals[order][:-1] * residuals[order][1:])[same]
    if not pairs.size or not residuals.any():
        return None
    alike = float(pairs.mean()) / float(np.square(residuals).mean())
    # Of so many independent pairs, chance gives less than this in 39 of 40 cases.
    if alike < max(ALIKE, 2 / np.sqrt(pairs.size)):
        return None
    said = (
        f"runs of one size and neighbouring lengths err alike (correlation {alike:.2f} over "
        f"{counted(pairs.size, 'pair')}): either the law's form does not suit them, or they are "
        "checkpoints of one training: if so give its column as the group, so that whole trainings "
        "are resampled"
    )
    return said, {"correlation": alike, "pairs": pairs.size}


def _groups(fit: Fitted, bootstrap: Resampled | None) -> Said:
    if fit.runs.group is None or bootstrap is None:
        return None
    groups = len(np.unique(fit.runs.group))
    if groups >= FEW_GROUPS:
        return None
    said = (
        f"the intervals rest on {groups} independent groups: how much so few differ is itself "
        "uncertain"
    )
    return said, {"groups": groups}


def _outliers(fit: Fitted, _: Resampled | None) -> Said:
    residuals = fit.residuals
    spread = ROBUST * float(np.median(np.abs(residuals - np.median(residuals))))
    far = np.flatnonzero(np.abs(residuals) > FAR * spread)
    if spread <= 0 or not far.size:
        return None
    worst = far[np.argmax(np.abs(residuals[far]))]
    if abs(residuals[worst]) < SLIGHT:
        return None
    runs = fit.runs
    logarithm = fits_logarithm(fit.law)
    off = (
        f"{100 * np.expm1(-residuals[worst]):+.1f} %" if logarithm else f"{-residuals[worst]:+.2g}"
    )
    which = (
        f"{count(float(runs.params[worst]))} params, {count(float(runs.tokens[worst]))} tokens, "
        f"loss {float(runs.loss[worst]):.4g}, {off}"
    )
    those = "1 run lies" if far.size == 1 else f"{far.size} runs lie"
    farthest = "" if far.size == 1 else "the farthest "
    said = (
        f"{those} over {FAR:g} robust deviations from the law, {farthest}with {which}: look "
        "whether it diverged or has not finished"
    )
    return said, {"runs": far.size, "row": float(worst), "residual": float(residuals[worst])}


def _resamples(_: Fitted, bootstrap: Resampled | None) -> Said:
    if bootstrap is None:
        said = "without resamples sizes have no intervals, and those of coefficients are symmetric"
        return said, {"resamples": 0}
    size = bootstrap.objective.size
    if size >= FEW_RESAMPLES:
        return None
    said = f"ends of intervals from {size:,} resamples are rough; 4,000 are usual"
    return said, {"resamples": size}


def _identification(fit: Fitted, _: Resampled | None) -> Said:
    certificate = fit.certificate
    if not certificate.is_weak:
        return None
    said = (
        f"the coefficients trade off against each other (condition {certificate.condition:.0e}): "
        "compare losses and sizes between fits, not single coefficients"
    )
    return said, {"condition": certificate.condition}


def _other_minima(fit: Fitted, _: Resampled | None) -> Said:
    near = [each for each in fit.search.next_best if each < 1.01 * fit.objective]
    if not near or fit.objective <= 0:
        return None
    worse = near[0] / fit.objective - 1
    said = f"another minimum is only {100 * worse:.2g} % worse: a few other runs might prefer it"
    return said, {"objective": near[0]}


def _extrapolation(fit: Fitted, _: Resampled | None) -> Said:
    largest = float(fit.runs.flops.max())
    said = (
        f"beyond {scientific(largest)} FLOPs, the largest run, every plan is extrapolated, and no "
        "interval knows whether the law's form still holds there"
    )
    return said, {"flops": largest}


Check = Callable[[Fitted, Resampled | None], Said]
CHECKS: Mapping[str, tuple[Severity, Check]] = {
    "number of runs": ("warning", _number_of_runs),
    "one ratio": ("warning", _one_ratio),
    "narrow range": ("warning", _narrow),
    "checkpoints": ("warning", _checkpoints),
    "groups": ("warning", _groups),
    "long training": ("note", _long_training),
    "outliers": ("warning", _outliers),
    "identification": ("note", _identification),
    "other minima": ("warning", _other_minima),
    "resamples": ("note", _resamples),
    "extrapolation": ("note", _extrapolation),
}


# --- Of laws over the steps of a training -------------------------------------------------------


def _few_curves(fit: Fitted, _: Resampled | None) -> Said:
    if fit.runs.group is None:
        return None
    curves = len(np.unique(fit.runs.group))
    if curves >= FEW_GROUPS:
        return None
    said = f"errors rest on {curves} curves, each of which errs as one: they are rough"
    return said, {"curves": curves}


def _beyond_the_curves(fit: Fitted, _: Resampled | None) -> Said:
    last = float(fit.runs.tokens.max())
    said = (
        f"beyond {last:,.0f} steps, the last of these curves, every loss is extrapolated, and no "
        "interval of the coefficients knows whether the law's form still holds there"
    )
    return said, {"steps": last}


def _poor_coefficients(fit: Fitted, _: Resampled | None) -> Said:
    """Coefficients whose error is a third of them, or more."""
    errors = fit.standard_errors
    poor = [
        name
        for name in fit.names
        if float(getattr(errors, name)) > POOR * abs(float(getattr(fit.law, name)))
    ]
    if not poor:
        return None
    said = (
        f"these curves barely identify {', '.join(poor)}: other values predict as well, so compare "
        "losses between fits, and see js.profile_likelihood for what the curves allow"
    )
    return said, {"coefficients": len(poor)}


CHECKS_OF_CURVES: Mapping[str, tuple[Severity, Check]] = {
    "barely identified": ("warning", _poor_coefficients),
    "number of curves": ("note", _few_curves),
    "identification": ("note", _identification),
    "other minima": ("warning", _other_minima),
    "extrapolation": ("note", _beyond_the_curves),
}
