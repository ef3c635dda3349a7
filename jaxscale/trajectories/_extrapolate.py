"""The rest of a loss curve from its start, with an interval that the start itself has earned.

Errors of neighbouring losses are alike, so stretches of them are resampled. That says how well the
coefficients are known, and nothing of how far the law's form holds. Hindcasts do: the law is fitted
to earlier starts, and its errors on the rest of what is known, per e-fold of steps, are carried on.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import jax
import numpy as np

from jaxscale._display import dataframe, figure
from jaxscale.fitting import Fit, FitStatus, fit
from jaxscale.fitting._bootstrap import resampled_laws
from jaxscale.fitting.resampling import generator
from jaxscale.laws.fitted import coefficients_of, held_by
from jaxscale.trajectories.curves import Curve
from jaxscale.trajectories.early_power import EarlyPower
from jaxscale.trajectories.law import check_reads_schedules
from jaxscale.trajectories.momentum import Momentum

RESAMPLES = 400
BLOCKS = 12  # of neighbouring losses: each is long enough for its errors to be of their own
SHARES = (0.5, 0.6, 0.7, 0.8)  # of the known steps: hindcasts start there
LAST = 5  # a hindcast's error is that over the last fifth of what it predicts
FEW_EACH = 4  # losses for each coefficient, for a fit or a hindcast
# Of a C that is taken from other curves: at 25M, 100M and 400M of Luo et al. 2025 it is 0.35, 0.44
# and 0.52.
HELD_ERROR = 0.2
SHOWN = 200  # steps of the prediction


@dataclass(frozen=True, eq=False, repr=False)
class Extrapolation:
    """Losses to come of one training, with a pointwise interval.

    `steps` run from the first known loss to the end; `loss`, `low` and `high` belong to them.
    `drift` is the error of hindcasts per e-fold of steps, in ln loss: None where there are too few
    losses for any.
    """

    curve: Curve
    fit: Fit
    steps: np.ndarray
    loss: np.ndarray
    low: np.ndarray
    high: np.ndarray
    level: float
    drift: float | None

    @property
    def status(self) -> FitStatus:
        """That of the fit."""
        return self.fit.status

    @property
    def ok(self) -> bool:
        """Whether the fit is a certified minimum."""
        return self.fit.ok

    @property
    def end(self) -> tuple[float, float, float]:
        """Loss at the last step, and the ends of its interval."""
        return float(self.loss[-1]), float(self.low[-1]), float(self.high[-1])

    def __repr__(self) -> str:
        loss, low, high = self.end
        return (
            f"loss {loss:.4f} at step {self.steps[-1]:,}, {100 * self.level:g} % interval "
            f"{low:.4f} to {high:.4f}; {type(self.fit.law).__name__} fitted to "
            f"{len(self.curve)} losses up to step {self.curve.steps[-1]:,}"
        )

    def to_dataframe(self) -> Any:
        """A pandas DataFrame with a row for each step of the prediction."""
        names = ("steps", "loss", "low", "high")
        return dataframe({name: getattr(self, name) for name in names})

    def plot(self) -> Any:
        """A figure: the curve, the law and its interval, `js.plots.extrapolation`."""
        return figure("extrapolation", self)


def extrapolate(
    curve: Curve,
    steps: int | None = None,
    *,
    law: type | None = None,
    fixed: Mapping[str, float] | None = None,
    level: float = 0.95,
    key: Any = 0,
) -> Extrapolation:
    """The loss at the end of a training from the losses of its start.

    Args:
        curve: the start, with the schedule of the whole training.
        steps: where to predict; by default the schedule's last step.
        law: a law over steps; by default `EarlyPower` where the rate never falls up to that step,
            and `Momentum` where it does.
        fixed: coefficients that are held. A curve whose rate has not fallen yet does not tell what
            its fall will gain: hold C of `Momentum` at what other curves have. The
            interval takes a held C to be right within a fifth.
        level: of the interval.
        key: of the resamples: a JAX key or a whole number.

    Raises:
        TypeError: the curve is no `Curve`, or the law reads no schedules.
        ValueError: the curve is too short, ends after `steps`, or does not tell what a fall gains.

    Examples:
        >>> schedule = js.trajectories.Schedule.constant(9_000, 3e-4)
        >>> steps, law = np.arange(500, 3001, 50), js.trajectories.EarlyPower(3.0, 0.5, 0.5)
        >>> noise = 0.001 * np.random.default_rng(0).standard_normal(steps.size)
        >>> loss = np.asarray(law.loss(schedule, steps)) * np.exp(noise)
        >>> curve = js.trajectories.Curve(steps, loss, schedule)
        >>> loss, low, high = js.trajectories.extrapolate(curve).end
        >>> print(low < float(law.loss(schedule, 9_000)) < high)
        True
    """
    if not isinstance(curve, Curve):
        raise TypeError(f"extrapolate needs a js.trajectories.Curve; got {curve!r}")
    end = int(curve.schedule.checked_steps(curve.schedule.steps if steps is None else steps))
    if end < curve.steps[-1]:
        raise ValueError(f"steps must be at or after the last loss, at {curve.steps[-1]:,}")
    law = _default(curve, end) if law is None else law
    check_reads_schedules(law)
    fixed = dict(fixed or {})
    _check(curve, law, fixed, end)
    fitted = fit(law, curve, fixed=fixed)
    at = _shown(curve, end)
    with jax.enable_x64(True):
        return _with_interval(curve, fitted, at, level, key)


def _with_interval(
    curve: Curve, fitted: Fit, at: np.ndarray, level: float, key: Any
) -> Extrapolation:
    # Resamples are of single losses here, whose numbers each stretch has.
    alone = replace(fitted, runs=replace(fitted.runs, group=None))
    laws = resampled_laws(alone, RESAMPLES, None, _stretches(len(curve), key)).law
    logs = np.log(np.asarray(laws.loss(curve.schedule, at)))
    loss = np.asarray(fitted.law.loss(curve.schedule, at))
    drift = _drift(curve, alone)
    beyond = np.maximum(np.log(at / curve.steps[-1]), 0)
    noise = float(np.std(fitted.residuals))
    variance = np.nanvar(logs, axis=0) + ((drift or 0.0) * beyond) ** 2 + noise**2
    variance += (HELD_ERROR * _held_gain(curve, fitted, at) / loss) ** 2
    reach = NormalDist().inv_cdf((1 + level) / 2) * np.sqrt(variance)
    low, high = loss * np.exp(-reach), loss * np.exp(reach)
    return Extrapolation(curve, fitted, at, loss, low, high, level, drift)


def _held_gain(curve: Curve, fitted: Fit, at: np.ndarray) -> np.ndarray:
    """What the falls to come gain by a C that was held."""
    if not isinstance(fitted.law, Momentum) or "C" not in fitted.problem.asked.fixed:
        return np.zeros(len(at))
    momenta = curve.schedule.momenta(float(fitted.law.decay))
    to_come = momenta[at] - momenta[curve.steps[-1]]
    return np.where(at > curve.steps[-1], float(fitted.law.C) * to_come, 0.0)


def _stretches(count: int, key: Any) -> np.ndarray:
    """Numbers of losses: a resample a row, of stretches that start anywhere."""
    length = -(-count // BLOCKS)
    pieces = -(-count // length)
    starts = generator(key).integers(count - length + 1, size=(RESAMPLES, pieces))
    return (starts[..., None] + np.arange(length)).reshape(RESAMPLES, -1)[:, :count]


def _drift(curve: Curve, fitted: Fit) -> float | None:
    """Root mean square of the errors of hindcasts, per e-fold of steps."""
    steps, errors = curve.steps, list[float]()
    least = FEW_EACH * fitted.problem.constraints.free_count
    for share in SHARES:
        early = int((steps <= share * steps[-1]).sum())
        if early < least or early == len(steps):
            continue
        law = resampled_laws(fitted, 2, None, np.arange(early)[None]).law
        late = slice(early + (len(steps) - early) * (LAST - 1) // LAST, None)
        predicted = np.asarray(law.loss(curve.schedule, steps[late]))[0]
        error = float(np.mean(np.log(predicted / curve.loss[late])))
        ahead = math.log(float(np.mean(steps[late])) / steps[early - 1])
        errors.append(error / ahead)
    return math.sqrt(float(np.mean(np.square(errors)))) if errors else None


def _shown(curve: Curve, end: int) -> np.ndarray:
    first = int(curve.steps[0])
    return np.unique(np.linspace(first, end, SHOWN).round().astype(np.int64))


def _default(curve: Curve, end: int) -> type:
    return Momentum if _falls(curve, int(curve.steps[0]), end) else EarlyPower


def _falls(curve: Curve, first: int, last: int) -> bool:
    """Whether the rate falls after one step and up to another."""
    return bool((curve.schedule.drops[first:last] > 0).any())


def _check(curve: Curve, law: type, fixed: Mapping[str, float], end: int) -> None:
    free = len(coefficients_of(law)) - len({*held_by(law), *fixed})
    if len(curve) < FEW_EACH * free:
        raise ValueError(
            f"{len(curve)} losses are too few to fit {free} coefficients of {law.__name__}: "
            f"give {FEW_EACH * free} or more"
        )
    if fixed.get("L0", 0.0) >= curve.loss.min():
        raise ValueError(
            f"L0 is held at {fixed['L0']:g}, which is not below the least loss, "
            f"{curve.loss.min():.4g}"
        )
    last = int(curve.steps[-1])
    untold = law is Momentum and "C" not in fixed and not _falls(curve, int(curve.steps[0]), last)
    if untold and _falls(curve, last, end):
        raise ValueError(
            f"the rate has not fallen up to step {last:,}, so these losses do not tell what its "
            "fall will gain: hold C at what the momentum law has on other curves, as by fixed= or "
            "--fix C=0.5"
        )
