"""Compute-optimal sizes as power laws of training FLOPs, with the error that resampling shows.

Approaches 1 and 2 of Hoffmann et al. 2022 both find the best size at several numbers of FLOPs
and then fit a line in logarithms. All of it is NumPy in float64.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from jaxscale._display import dataframe, html, table
from jaxscale.fitting.grid_bias import GridBias
from jaxscale.fitting.power_law import PowerLaw, line

MOST_REFUSED = 10  # sentences that are shown
LEAST_POINTS = 3  # two points lie on a line whatever the truth is


class Points(NamedTuple):
    """Optima that power laws were fitted to, a row each."""

    flops: np.ndarray  # of training
    params: np.ndarray
    tokens: np.ndarray
    loss: np.ndarray  # nats per token


def _no_bias() -> None:
    return None


@dataclass(frozen=True, repr=False)
class OptimalSizes:
    """Compute-optimal `params` and `tokens`, and how far resampled runs move them.

    Each entry of `resampled_params` and `resampled_tokens` is the law of one resample, NaN
    where the method would have refused it. Intervals are percentiles of the others. They are
    NaN if over half were refused, because those left are then a choice of lucky ones.
    """

    method: str  # "isoflop" or "envelope"
    params: PowerLaw
    tokens: PowerLaw
    points: Points
    resampled_params: PowerLaw
    resampled_tokens: PowerLaw
    refused: tuple[str, ...]  # sentences: what was left out, and why
    level: float  # of intervals for which no other is asked
    bias_of: Callable[[], GridBias | None] = _no_bias

    @cached_property
    def bias(self) -> GridBias | None:
        """How far parabolas on these sizes miss an optimum without noise; made on first use.

        None for an envelope, and where the runs identify no law to tell it by.
        """
        return self.bias_of()

    @property
    def params_exponent_interval(self) -> tuple[float, float]:
        """Ends of the interval of a in `params = k flops^a`."""
        low, high = _interval(self.resampled_params, self.level)
        return float(low), float(high)

    @property
    def tokens_exponent_interval(self) -> tuple[float, float]:
        """Ends of the interval of b in `tokens = k flops^b`."""
        low, high = _interval(self.resampled_tokens, self.level)
        return float(low), float(high)

    def params_interval(self, flops: Any, level: float | None = None) -> tuple[Any, Any]:
        """Ends of the interval of compute-optimal params, each of the shape of `flops`.

        `level` is that of the result unless given; ValueError outside (0, 1).
        """
        return _interval(self.resampled_params, self._level(level), flops)

    def tokens_interval(self, flops: Any, level: float | None = None) -> tuple[Any, Any]:
        """Ends of the interval of compute-optimal tokens; otherwise as `params_interval`."""
        return _interval(self.resampled_tokens, self._level(level), flops)

    def __repr__(self) -> str:
        text = table(*self._rows(), title=self._title())
        bias = [] if self.bias is None else [self.bias.sentence]
        return "\n".join([text, *(f"{each}." for each in self.refused[:MOST_REFUSED]), *bias])

    def _repr_html_(self) -> str:
        return html(*self._rows(), title=self._title())

    def to_dataframe(self) -> Any:
        """A pandas DataFrame with a row for each optimum that the power laws were fitted to."""
        return dataframe(self.points._asdict())

    def _title(self) -> str:
        count = len(np.ravel(self.resampled_params.exponent))
        return f"{self.method}: {len(self.points.flops)} optima, {count:,} resamples"

    def _rows(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        ends = {"params": self.params_exponent_interval, "tokens": self.tokens_exponent_interval}
        rows = [
            (name, *(f"{x:.4g}" for x in (law.coefficient, law.exponent, *ends[name])))
            for name, law in (("params", self.params), ("tokens", self.tokens))
        ]
        tails = [f"{50 * (1 + sign * self.level):g} %" for sign in (-1, 1)]
        return ("k FLOPs^a", "k", "a", *tails), rows

    def _level(self, level: float | None) -> float:
        return self.level if level is None else checked_level(level)


def _interval(law: PowerLaw, level: float, flops: Any = None) -> tuple[Any, Any]:
    """Ends of the central interval of a resampled law's sizes, or exponents without `flops`."""
    fitted = np.isfinite(law.exponent)
    kept = PowerLaw(law.coefficient[fitted], law.exponent[fitted])
    values = kept.exponent if flops is None else kept(np.asarray(flops)[..., None])
    if 2 * fitted.sum() < fitted.size or not fitted.any():
        nothing = np.full(values.shape[:-1], np.nan)
        return nothing, nothing.copy()
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=-1)
    return low, high


# --- What the approaches share ---------------------------------------------------------------


class Optima(NamedTuple):
    """Best sizes in natural logarithms: a row for the runs as given, then one for each resample.

    A column is a number of FLOPs, or whatever else has one optimum; weight 0 where it has none.
    """

    log_flops: np.ndarray
    log_params: np.ndarray
    log_tokens: np.ndarray
    weights: np.ndarray


def allocation(
    method: str,
    optima: Optima,
    loss: np.ndarray,
    refused: list[str],
    level: float,
    *,
    least: int = LEAST_POINTS,
    widening: float = 1.0,
    bias_of: Callable[[], GridBias | None] = _no_bias,
) -> OptimalSizes:
    """Fit power laws to each row of the optima; `loss` is that of each column, as given.

    A resample needs `least` optima, and its law goes `widening` times as far from the fitted one.
    """
    usable = (optima.weights > 0).sum(axis=1) >= least
    weights = np.where(usable[:, None], optima.weights, 0)
    params = line(optima.log_flops, optima.log_params, weights)
    tokens = line(optima.log_flops, optima.log_tokens, weights)
    resamples, failed = usable.size - 1, int(usable.size - usable.sum())
    if failed:
        so = ", and so there are no intervals" if 2 * failed > resamples else ""
        fault = f"{failed} of {resamples} resamples have fewer than {least} optima{so}"
        refused = [*refused, fault]
    used = weights[0] > 0
    logs = (optima.log_flops, optima.log_params, optima.log_tokens)
    flops, best_params, best_tokens = (np.exp(log[0, used]) for log in logs)
    return OptimalSizes(
        method=method,
        params=PowerLaw(float(params.coefficient[0]), float(params.exponent[0])),
        tokens=PowerLaw(float(tokens.coefficient[0]), float(tokens.exponent[0])),
        points=Points(flops, best_params, best_tokens, loss[used]),
        resampled_params=_resampled(params, widening),
        resampled_tokens=_resampled(tokens, widening),
        refused=tuple(refused),
        level=level,
        bias_of=bias_of,
    )


def _resampled(law: PowerLaw, widening: float) -> PowerLaw:
    """The laws of all rows but the first, each `widening` times as far from that one."""
    log_coefficient = np.log(law.coefficient)
    logs, exponents = (x[0] + widening * (x[1:] - x[0]) for x in (log_coefficient, law.exponent))
    return PowerLaw(np.exp(logs), exponents)


def draws(strata: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each resample has each item, shape (resamples, items).

    Items of one stratum, which share a label, are drawn with replacement from each other.
    """
    counts = np.empty((resamples, len(strata)), np.int64)
    for label in np.unique(strata):
        members = np.flatnonzero(strata == label)
        share = np.full(members.size, 1 / members.size)
        counts[:, members] = rng.multinomial(members.size, share, size=resamples)
    return counts


def checked_level(level: float) -> float:
    """The level of an interval; ValueError outside (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, as 0.95 does; got {level!r}")
    return float(level)
