"""Fits to a part of the runs: the largest held out and predicted, or only short trainings."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jax import Array

from jaxscale._display import dataframe, html
from jaxscale.fitting._bootstrap import Bootstrap, resampled_laws
from jaxscale.fitting._fit import Fit, checked_for, fit
from jaxscale.fitting.resampling import key_words
from jaxscale.fitting.runs import Runs
from jaxscale.laws.chinchilla import Chinchilla
from jaxscale.laws.fitted import fits_logarithm

Size = Literal["params", "tokens", "flops"]


@dataclass(frozen=True, eq=False, repr=False)
class Holdout:
    """Predictions of the larger runs by a law fitted to the smaller ones. Prints as a table."""

    fit: Fit
    bootstrap: Bootstrap
    held: Runs
    by: str
    predicted: np.ndarray  # loss of each held run, nats per token
    low: np.ndarray  # ends of its predictive interval
    high: np.ndarray
    level: float

    @property
    def errors(self) -> np.ndarray:
        """Logarithm of predicted over observed loss, one for each held run.

        Of a family whose loss may be negative their difference, in nats per token.
        """
        if fits_logarithm(self.fit.law):
            return np.log(self.predicted / self.held.loss)
        return self.predicted - self.held.loss

    @property
    def error(self) -> float:
        """Root mean square of the errors: 0.01 is one percent of the loss."""
        return float(np.sqrt(np.mean(np.square(self.errors))))

    @property
    def coverage(self) -> float:
        """Share of the held runs inside their intervals; `level` of them should be."""
        inside: np.ndarray = (self.held.loss >= self.low) & (self.held.loss <= self.high)
        return float(inside.mean())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        title, *lines = str(self).splitlines()
        return html(("", ""), [line.strip().rsplit("  ", 1) for line in lines], title=title)

    def to_dataframe(self) -> Any:
        """A pandas DataFrame with a row for each run that was held out."""
        held = {"params": self.held.params, "tokens": self.held.tokens, "loss": self.held.loss}
        return dataframe(held | {"predicted": self.predicted, "low": self.low, "high": self.high})

    def __str__(self) -> str:
        within = float(np.sqrt(np.mean(np.square(self.fit.residuals))))
        write = "{:8.3%}" if fits_logarithm(self.fit.law) else "{:8.3g} nats"
        signed = write.replace(":", ":+")
        return "\n".join(
            [
                f"{len(self.held)} runs held out by {self.by}, {len(self.fit.runs)} fitted",
                f"  error of the fitted runs     {write.format(within)}",
                f"  error of those held out      {write.format(self.error)}",
                f"  mean of their errors         {signed.format(self.errors.mean())}",
                f"  inside their {self.level:.0%} intervals   {self.coverage:8.1%}",
            ]
        )


def holdout(
    runs: Runs,
    law: type = Chinchilla,
    *,
    by: Size = "flops",
    fraction: float = 0.2,
    key: Any = 0,
    resamples: int = 1000,
    level: float = 0.95,
    **options: Any,
) -> Holdout:
    """How well the smaller runs predict the larger ones.

    Fits all but the largest `fraction` of the runs, and predicts those. An interval is made of the
    resampled laws' predictions, each with a residual of its own fit drawn at random: a run may miss
    its law by as much as others do.

    Args:
        runs: params, tokens and loss of finished trainings.
        law: the family to fit, as in `fit`.
        by: what makes a run large: "params", "tokens" or "flops" (6 N D).
        fraction: the share of runs to predict.
        key: a JAX key or a whole number.
        resamples: how many resampled laws make the intervals.
        level: how often intervals should hold the loss.
        options: keywords of `fit`.

    Raises:
        ValueError: the fraction leaves no run on one side; and as `fit`.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 300, key=1)
        >>> check = js.holdout(runs, by="flops")
        >>> print(f"{check.error:.1%} off, {check.coverage:.0%} inside their intervals")
        0.5% off, 93% inside their intervals
    """
    known = checked_for(law, runs)
    if by not in ("params", "tokens", "flops"):
        raise ValueError(f"by must be 'params', 'tokens' or 'flops'; got {by!r}")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1; got {level!r}")
    count = round(fraction * len(known)) if 0 < fraction < 1 else 0
    if not 0 < count < len(known):
        raise ValueError(
            f"fraction must leave runs on both sides of {len(known)}, between 0 and 1; "
            f"got {fraction!r}"
        )
    order = np.argsort(getattr(known, by), kind="stable")
    smaller, held = known.select(order[:-count]), known.select(order[-count:])
    fitted = fit(law, smaller, **options)
    resampled = resampled_laws(fitted, resamples, key)
    low, high = _predicted(resampled, held, key, level)
    with jax.enable_x64(True):
        predicted = np.asarray(fitted.law.loss(held.params, held.tokens, **(held.levers or {})))
    return Holdout(fitted, resampled, held, by, predicted, low, high, level)


def _predicted(
    resampled: Bootstrap, held: Runs, key: Any, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the predictive interval of each held run."""
    levers = held.levers or {}
    with jax.enable_x64(True):

        def loss(law: Any) -> Array:
            return law.loss(held.params, held.tokens, **levers)

        drawn = np.asarray(jax.vmap(loss)(resampled.law))
    words = key_words(key)
    noise = np.random.Generator(np.random.Philox(key=words, counter=[0, 0, 0, 1]))
    missed = noise.choice(resampled.fit.residuals, size=drawn.shape)
    predicted = drawn * np.exp(-missed) if fits_logarithm(resampled.fit.law) else drawn - missed
    low, high = np.quantile(predicted, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


# --- Cut-offs on tokens per parameter -------------------------------------------------------

CUTOFFS = (100.0, 250.0, 500.0, np.inf)  # Sardana et al. 2024, Table 1


class Subset(NamedTuple):
    """The fit to the runs with at most `most_tokens_per_param`."""

    most_tokens_per_param: float
    runs: int
    fit: Fit

    def __repr__(self) -> str:
        law = ", ".join(f"{name} {getattr(self.fit.law, name):.4g}" for name in self.fit.names)
        return (
            f"Subset(to {self.most_tokens_per_param:g} tokens per param, {self.runs} runs: {law})"
        )


def fit_by_ratio(
    runs: Runs, cutoffs: tuple[float, ...] = CUTOFFS, *, law: type = Chinchilla, **options: Any
) -> tuple[Subset, ...]:
    """A fit for each cut-off on tokens per parameter, side by side.

    `law` and `options` go to `fit`.

    Raises ValueError for a cut-off that no run keeps.

    Source: Sardana et al. 2024, Section 5, Table 1 and Figure 5.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> (subset,) = js.fitting.fit_by_ratio(runs, cutoffs=(500.0,))
        >>> print(f"{subset.runs} runs, beta = {subset.fit.law.beta:.2f}")
        240 runs, beta = 0.37
    """
    known = checked_for(law, runs)
    subsets: list[Subset] = []
    for cutoff in cutoffs:
        # A ratio of two rounded counts may miss the cut-off that it was meant to be.
        kept = known.select(known.tokens_per_param <= cutoff * (1 + 1e-9))
        if not len(kept):
            least = known.tokens_per_param.min()
            raise ValueError(f"no run has at most {cutoff:g} tokens per param; least: {least:g}")
        subsets.append(Subset(float(cutoff), len(kept), fit(law, kept, **options)))
    return tuple(subsets)
