"""What a fit gave, with everything that its tables, pictures, files and advice have in common."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxscale.cli.named_law import COEFFICIENTS, NamedLaw
from jaxscale.cli.optimal import logs_of, optimal_sizes
from jaxscale.fitting import Bootstrap, Fit, FitStatus, Runs, Suspicion
from jaxscale.laws import Chinchilla

LEVEL = 0.95  # of every interval
LARGEST_LOG = 700.0  # of what float64 holds
NORMAL = 1.959964  # standard errors from the middle to each end of it
LOGARITHMIC = ("A", "B", "E")  # whose errors are those of their logarithms
PLACES = {"E": 0, "A": 1, "B": 2, "alpha": 3, "beta": 4}  # in coefficients and covariance
SIZES = ("params", "tokens", "tokens_per_param", "loss")  # at an optimum
NAMES = {"tokens_per_param": "tokens per param", "flops": "training FLOPs"}
MOST_INSIDE, BEYOND = 4, 2  # budgets that are shown within the runs, and decades past them


class Source(NamedTuple):
    """Where runs came from."""

    path: str
    where: str | None
    columns: Mapping[str, str]  # by the names of `Runs`
    units: Mapping[str, Any]
    best_of_each: bool = False  # of the runs of one size

    @property
    def label(self) -> str:
        """The file, and which of its rows."""
        best = ", the best of each size" * self.best_of_each
        return Path(self.path).name + (f" where {self.where}" if self.where else "") + best


class Request(NamedTuple):
    """How a fit was asked for."""

    objective: str  # as the option spells it
    fixed: Mapping[str, float]
    tie_exponents: bool
    resamples: int
    seed: int


class Optimum(NamedTuple):
    """Compute-optimal sizes at a budget, with ends of their intervals where there are any."""

    flops: float
    params: float
    tokens: float
    tokens_per_param: float
    loss: float
    intervals: Mapping[str, tuple[float, float]] | None  # by the names of the fields above
    beyond: float  # the largest factor by which budget, params or tokens leave those of the runs


@dataclass(frozen=True, eq=False)
class Outcome:
    source: Source
    request: Request
    fit: Fit
    bootstrap: Bootstrap | None
    beside: tuple[NamedLaw, ...]  # published laws
    suspicions: tuple[Suspicion, ...]  # of the table
    notes: tuple[str, ...]  # what else the library warned of

    @property
    def runs(self) -> Runs:
        return self.fit.runs

    @property
    def objective(self) -> str:
        """The objective in words."""
        delta = getattr(self.fit.loss_function, "delta", None)
        return type(self.fit.loss_function).__name__ + (f", delta {delta:g}" if delta else "")

    @cached_property
    def ranges(self) -> dict[str, np.ndarray]:
        """Every quantity of the runs, by name."""
        runs = self.runs
        return {
            "params": runs.params,
            "tokens": runs.tokens,
            "tokens_per_param": runs.tokens_per_param,
            "flops": runs.flops,
            "loss": runs.loss,
        }

    @property
    def errors(self) -> Chinchilla:
        """Standard errors: of the resamples where there are any, else those of the fit."""
        return (self.bootstrap or self.fit).standard_errors

    @property
    def covariance(self) -> np.ndarray:
        """Of (ln E, ln A, ln B, alpha, beta), from where the errors come from."""
        return (self.bootstrap or self.fit).covariance

    @property
    def errors_from(self) -> str:
        """Where intervals and errors come from, in words."""
        if self.bootstrap is None:
            return f"the {self.fit.covariance_method}"
        what = "runs" if self.runs.group is None else "whole groups of runs"
        return f"{self.bootstrap.objective.size:,} resamples of {what}"

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Of each coefficient: percentiles of the resamples, or 1.96 standard errors."""
        if self.bootstrap is not None:
            return self.bootstrap.intervals(LEVEL)
        return {name: self._normal_interval(name) for name in COEFFICIENTS}

    def _normal_interval(self, name: str) -> tuple[float, float]:
        place = PLACES[name]
        reach = NORMAL * math.sqrt(max(float(self.fit.covariance[place, place]), 0.0))
        middle = float(self.fit.coordinates[place])
        ends = middle - reach, middle + reach
        if name in LOGARITHMIC:
            return tuple(float(np.exp(min(end, LARGEST_LOG))) for end in ends)  # pyright: ignore[reportReturnType]
        return ends

    @property
    def varied(self) -> tuple[str, ...]:
        """The coefficients that were fitted, each once."""
        names = [name for name in COEFFICIENTS if name not in self.request.fixed]
        return tuple(names[:-1] if self.request.tie_exponents else names)

    @cached_property
    def bad_resamples(self) -> dict[str, int]:
        """How many resamples did not end at a certified minimum inside all bounds, by status."""
        if self.bootstrap is None:
            return {}
        found = [FitStatus(int(each)).name for each in self.bootstrap.status]
        return {name: found.count(name) for name in sorted(set(found)) if name != "OK"}

    @property
    def has_sizes(self) -> bool:
        """Whether the runs identify what compute-optimal sizes rest on."""
        return self.fit.claims.has_sizes

    def sizes(self, flops: Any) -> dict[str, np.ndarray]:
        """Compute-optimal sizes of the fit and their loss at each budget, NaN where not known."""
        return self._as_known(_with_loss(self.fit.coordinates, flops))

    def size_intervals(self, flops: Any) -> dict[str, tuple[np.ndarray, np.ndarray]] | None:
        """Ends of the intervals of those; None without resamples."""
        if self.bootstrap is None:
            return None
        drawn = self._as_known(_with_loss(self.bootstrap.coordinates, flops))
        tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
        return {name: tuple(np.quantile(x, tails, axis=0)) for name, x in drawn.items()}  # pyright: ignore[reportReturnType]

    def _as_known(self, sizes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if not self.fit.claims.unidentified:
            return sizes
        return {**sizes, "loss": np.full_like(sizes["loss"], np.nan)}

    @cached_property
    def optima(self) -> tuple[Optimum, ...]:
        """Compute-optimal sizes at round budgets within the runs and somewhat beyond.

        Empty where the runs do not identify them.
        """
        if not self.has_sizes:
            return ()
        flops = np.array(budgets_of(self.runs.flops))
        sizes, intervals = self.sizes(flops), self.size_intervals(flops)
        return tuple(
            Optimum(
                float(each),
                *(float(sizes[name][at]) for name in SIZES),
                intervals=None
                if intervals is None
                else {
                    name: (float(low[at]), float(high[at]))
                    for name, (low, high) in intervals.items()
                },
                beyond=self._beyond(each, sizes["params"][at], sizes["tokens"][at]),
            )
            for at, each in enumerate(flops)
        )

    def _beyond(self, flops: float, params: float, tokens: float) -> float:
        runs = self.runs
        above = flops / runs.flops.max(), params / runs.params.max(), tokens / runs.tokens.max()
        below = runs.params.min() / params, runs.tokens.min() / tokens
        return float(max(*above, *below))

    @property
    def title(self) -> str:
        return f"{len(self.runs):,} runs of {self.source.label}"

    @property
    def law_text(self) -> str:
        """The law in words."""
        law = self.fit.law
        return ", ".join(f"{name} = {float(getattr(law, name)):.4g}" for name in COEFFICIENTS)


def budgets_of(flops: np.ndarray) -> list[float]:
    """Powers of ten within the runs, a few if they are many, and the next ones beyond."""
    low, high = math.log10(flops.min()), math.log10(flops.max())
    inside = list(range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1))
    if len(inside) > MOST_INSIDE:
        chosen = np.linspace(0, len(inside) - 1, MOST_INSIDE).round().astype(int)
        inside = [inside[place] for place in chosen]
    first = math.floor(high + 1e-9) + 1
    beyond = list(range(first, first + BEYOND))
    return [float(f"1e{power}") for power in (*inside, *beyond)]


def _with_loss(coefficients: np.ndarray, flops: Any) -> dict[str, np.ndarray]:
    """Compute-optimal sizes and their loss, of one law or of many along a last axis."""
    sizes = optimal_sizes(coefficients, flops)
    ln_e, ln_a, ln_b, alpha, beta = (np.asarray(x)[..., None] for x in coefficients)
    log_terms = ln_a - alpha * np.log(sizes["params"]), ln_b - beta * np.log(sizes["tokens"])
    terms = (np.exp(np.minimum(x, LARGEST_LOG)) for x in log_terms)
    return {**sizes, "loss": np.exp(ln_e) + sum(terms)}


def exponent_of(law: Chinchilla) -> float:
    """The power of the budget that compute-optimal params grow with: beta / (alpha + beta)."""
    return float(law.beta) / (float(law.alpha) + float(law.beta))


def published_sizes(law: NamedLaw, flops: Any) -> dict[str, np.ndarray]:
    """Compute-optimal sizes of a published law at each budget."""
    return optimal_sizes(logs_of(law.law), flops)
