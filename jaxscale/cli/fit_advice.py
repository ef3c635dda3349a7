"""What a colleague would say of a fit before anyone builds a plan on it.

What is odd about the table that it rests on, `jaxscale.fitting._suspicions` knows.

Every check looks at one thing and returns one sentence or none; thresholds are judgement, and
stand here with their reasons.
"""

from collections.abc import Callable, Mapping

import numpy as np

from jaxscale.cli.fit_outcome import Outcome
from jaxscale.cli.quantities import count, counted, scientific

LONG = 100  # tokens per param: where Sardana et al. 2024, Section 5, see the fits part
FEW_LONG = 10  # runs beyond, and at least this share of all
FEW_LONG_SHARE = 0.1
FEW_RUNS = 25  # five for each coefficient
FEW_GROUPS = 15
ONE_RATIO = 2.0  # largest over smallest tokens per param
TOGETHER = 0.95  # correlation of log params with log tokens
NARROW = 10.0  # largest over smallest params, or tokens
ALIKE = 0.3  # correlation of neighbours' residuals
FAR = 5.0  # robust standard deviations
SLIGHT = 5e-4  # of ln loss: an error that is printed as 0.0 % comes from rounding of the table
ROBUST = 1.4826  # standard deviation of a normal over its median absolute deviation
WIDE = 4.0  # upper over lower end of the interval of compute-optimal params
FEW_RESAMPLES = 1000


def suspicions(outcome: Outcome) -> dict[str, str]:
    """What is odd about the table, by what it is about."""
    said: dict[str, str] = {}
    for each in outcome.suspicions:
        said[each.about] = "; ".join(filter(None, (said.get(each.about), each.sentence)))
    return said


def advice(outcome: Outcome) -> dict[str, str]:
    """Sentences by what they are about, in the order of how much they matter."""
    found = {about: check(outcome) for about, check in CHECKS.items()}
    said = {about: text for about, text in found.items() if text}
    notes = {f"note {number}": text for number, text in enumerate(outcome.notes, start=1)}
    return said | notes


def _few_runs(outcome: Outcome) -> str:
    runs, free = len(outcome.runs), outcome.fit.problem.constraints.free_count
    if runs >= FEW_RUNS:
        return ""
    return (
        f"{runs} runs for {counted(free, 'coefficient')} are few: resampling understates the "
        "errors of so small a sample; hold what you know with --fix, or --tie-exponents"
    )


def _one_ratio(outcome: Outcome) -> str:
    ratio = outcome.runs.tokens_per_param
    if ratio.max() < ONE_RATIO * ratio.min():
        return (
            f"all runs have about {count(float(np.median(ratio)))} tokens per param: along one "
            "ratio the terms of params and tokens cannot be told apart; add runs of several "
            "ratios at one budget"
        )
    logs = np.log(outcome.runs.params), np.log(outcome.runs.tokens)
    if min(x.std() for x in logs) > 0:
        together = float(np.corrcoef(*logs)[0, 1])
        if together > TOGETHER:
            return (
                f"params and tokens rise together (correlation of logs {together:.2f}): their "
                "terms are hard to tell apart; vary tokens per param at one budget"
            )
    return ""


def _narrow(outcome: Outcome) -> str:
    for name in ("params", "tokens"):
        values = getattr(outcome.runs, name)
        factor = float(values.max() / values.min())
        if factor < NARROW:
            return (
                f"{name} span a factor of {factor:.2g} alone: their exponent trades off with E; "
                "two decades are usual"
            )
    return ""


def _long_training(outcome: Outcome) -> str:
    ratio = outcome.runs.tokens_per_param
    beyond = int((ratio > LONG).sum())
    if beyond >= max(FEW_LONG, FEW_LONG_SHARE * ratio.size):
        return ""
    those = "no run has" if not beyond else f"only {beyond} of {counted(ratio.size, 'run')} have"
    most = f" (at most {count(float(ratio.max()))})" if beyond else ""
    return (
        f"{those} over {LONG} tokens per param{most}: serving makes plans longer than that, and "
        "laws fitted to short trainings promise too much of more tokens (Sardana et al. 2024, "
        "Section 5)"
    )


def _checkpoints(outcome: Outcome) -> str:
    """Neighbours in training length at one size whose errors are alike."""
    runs, residuals = outcome.runs, outcome.fit.residuals - outcome.fit.residuals.mean()
    if runs.group is not None or any(x.about == "checkpoints" for x in outcome.suspicions):
        return ""
    order = np.lexsort((runs.tokens, runs.params))
    same = np.diff(runs.params[order]) == 0
    pairs = (residuals[order][:-1] * residuals[order][1:])[same]
    if not pairs.size or not residuals.any():
        return ""
    alike = float(pairs.mean() / np.mean(residuals**2))
    # Of so many independent pairs, chance gives less than this in 39 of 40 cases.
    if alike < max(ALIKE, 2 / np.sqrt(pairs.size)):
        return ""
    return (
        f"runs of one size and neighbouring lengths err alike (correlation {alike:.2f} over "
        f"{counted(pairs.size, 'pair')}): if they are checkpoints of one training, name its column "
        "with --group, so that whole trainings are resampled; before its learning rate has decayed "
        "a checkpoint also has a higher loss than a run that ends there"
    )


def _groups(outcome: Outcome) -> str:
    if outcome.runs.group is None or outcome.bootstrap is None:
        return ""
    groups = len(np.unique(outcome.runs.group))
    if groups >= FEW_GROUPS:
        return ""
    return f"the intervals rest on {groups} independent groups: with so few they are too narrow"


def _outliers(outcome: Outcome) -> str:
    residuals = outcome.fit.residuals
    spread = ROBUST * float(np.median(np.abs(residuals - np.median(residuals))))
    far = np.flatnonzero(np.abs(residuals) > FAR * spread)
    if spread <= 0 or not far.size:
        return ""
    worst = far[np.argmax(np.abs(residuals[far]))]
    if abs(residuals[worst]) < SLIGHT:
        return ""
    runs = outcome.runs
    which = (
        f"{count(float(runs.params[worst]))} params, {count(float(runs.tokens[worst]))} tokens, "
        f"loss {float(runs.loss[worst]):.4g}, {100 * np.expm1(-residuals[worst]):+.1f} %"
    )
    those = "1 run lies" if far.size == 1 else f"{far.size} runs lie"
    farthest = "" if far.size == 1 else "the farthest "
    return (
        f"{those} over {FAR:g} robust deviations from the law, {farthest}with {which}: look "
        "whether it diverged or has not finished"
    )


def _resamples(outcome: Outcome) -> str:
    if outcome.bootstrap is None:
        return (
            "without --bootstrap sizes have no intervals, and those of coefficients are symmetric"
        )
    size = outcome.bootstrap.objective.size
    if size >= FEW_RESAMPLES:
        return ""
    return f"ends of intervals from {size:,} resamples are rough; 4,000 are usual"


def _identification(outcome: Outcome) -> str:
    found = outcome.fit.certificate
    if not found.is_weak:
        return ""
    return (
        f"the coefficients trade off against each other (condition {found.condition:.0e}): "
        "compare losses and sizes between fits, not A, B and exponents"
    )


def _other_minima(outcome: Outcome) -> str:
    fit = outcome.fit
    near = [each for each in fit.search.next_best if each < 1.01 * fit.objective]
    if not near or fit.objective <= 0:
        return ""
    return (
        f"another minimum is only {100 * (near[0] / fit.objective - 1):.2g} % worse: a few other "
        "runs might prefer it"
    )


def _extrapolation(outcome: Outcome) -> str:
    runs = outcome.runs
    largest = float(runs.flops.max())
    text = f"beyond {scientific(largest)} FLOPs, the largest run, every plan is extrapolated"
    beyond = [each for each in outcome.optima if each.beyond > 1 and each.intervals]
    if not beyond or beyond[-1].intervals is None:
        return text
    low, high = beyond[-1].intervals["params"]
    wide = f"a factor of {high / low:.2g}" if high < 100 * low else "over a factor of 100"
    width = f"at {scientific(beyond[-1].flops, 1)} the interval of compute-optimal params spans "
    weakly = ", too wide to choose a size by" if high > WIDE * low else ""
    return (
        f"{text}: {width}{wide}{weakly}, and no interval knows whether the law's form "
        "still holds there"
    )


CHECKS: Mapping[str, Callable[[Outcome], str]] = {
    "number of runs": _few_runs,
    "one ratio": _one_ratio,
    "narrow range": _narrow,
    "checkpoints": _checkpoints,
    "groups": _groups,
    "long training": _long_training,
    "outliers": _outliers,
    "identification": _identification,
    "other minima": _other_minima,
    "resamples": _resamples,
    "extrapolation": _extrapolation,
}
