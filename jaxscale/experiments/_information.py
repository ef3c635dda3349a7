"""What some runs tell of a law: the covariance of its coordinates, and of anything made of them."""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxscale.fitting import Bootstrap, Fit, gradients, jacobian, noise_of
from jaxscale.fitting._noise import SEED_NOISE, known_names
from jaxscale.laws import entry
from jaxscale.laws.fitted import coefficients_of
from jaxscale.published.entry import TRAIN_FLOPS, tells_sizes

FEW_RUNS = 8  # below this a weak prior joins them
MOST_CONDITION = 1e12  # of the scaled information, which float64 inverts to four digits
# Deviations of the weak prior: a factor of 20 in a positive coefficient, and half an exponent.
LOG_WIDTH, WIDTH = 3.0, 0.5
DRAWS = 64  # resamples over which gains are averaged
LEAST_SQUARES = "SquaredError"


@dataclass(frozen=True, repr=False)
class Information:
    """What is known of a law: its coordinates are normal around those of `law`.

    `names` are the coefficients that are uncertain, by whose coordinates the covariance goes:
    logarithms of those that the family says are positive. `noise` is the standard deviation of the
    ln loss of one run (of the loss, in a family whose loss may be negative). `laws` are resamples
    of the law with a leading axis, where there are any. `unknown` are coefficients that the runs
    leave open: nothing that depends on them is known.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> runs = js.fitting.simulate(law, 40, key=1)
        >>> known = js.experiments.information(law, runs, noise=0.005)
        >>> print(f"{known.sd(lambda law: law.beta / (law.alpha + law.beta))[0]:.4f}")
        0.0218
    """

    law: Any
    names: tuple[str, ...]
    covariance: np.ndarray
    noise: float
    laws: Any = None
    unknown: tuple[str, ...] = ()
    smallest: float = 0.0  # FLOPs, 6 N D, of the runs

    def __repr__(self) -> str:
        return (
            f"Information({type(self.law).__name__}, {len(self.names)} coefficients, "
            f"noise {self.noise:.2%})"
        )

    def jacobian(
        self, params: Any, tokens: Any, levers: Mapping[str, Any] | None = None
    ) -> np.ndarray:
        """Derivatives of ln loss by the uncertain coordinates: (runs, coordinates)."""
        return jacobian(self.law, params, tokens, levers, names=self.names)

    def gradients(self, fn: Callable[[Any], Any]) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of `fn(law)`, and a row of derivatives by the uncertain coordinates for each.

        Raises ValueError where a number depends on a coefficient that the runs leave open.
        """
        values, slopes = gradients(fn, self.law, (*self.names, *self.unknown))
        count = len(self.names)
        most = np.abs(slopes).max(axis=-1, initial=0)
        rests = np.abs(slopes[:, count:]).max(axis=-1, initial=0) > 1e-8 * most
        if rests.any():
            raise ValueError(
                f"the goal depends on {', '.join(self.unknown)}, which the runs do not identify"
            )
        return values, slopes[:, :count]

    def sd(self, fn: Callable[[Any], Any]) -> np.ndarray:
        """The standard deviation of each number of `fn(law)`, linearised."""
        slopes = self.gradients(fn)[1]
        return np.sqrt(np.einsum("ti,ij,tj->t", slopes, self.covariance, slopes))


def information_matrix(
    law: Any,
    params: Any,
    tokens: Any,
    noise: Any,
    levers: Mapping[str, Any] | None = None,
    *,
    names: Sequence[str] | None = None,
) -> np.ndarray:
    """`sum_i j_i j_i^T / noise^2`, where j are the derivatives of a run's ln loss by coordinates.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> runs = js.fitting.simulate(law, 40, key=1)
        >>> matrix = js.experiments.information_matrix(law, runs.params, runs.tokens, 0.005)
        >>> matrix.shape
        (5, 5)
    """
    slopes = jacobian(law, params, tokens, levers, names=names)
    scaled = slopes / np.broadcast_to(noise, len(slopes))[:, None]
    return scaled.T @ scaled


def information(
    law: Any, runs: Any, noise: float, *, names: Sequence[str] | None = None
) -> Information:
    """What runs of a law would tell, before any of them is trained, or after.

    Below eight runs, and where they leave some direction open, a weak prior joins them: a standard
    deviation of 3 in the logarithm of a positive coefficient, and of 0.5 in any other.

    Args:
        law: one law of any family.
        runs: anything with `params` and `tokens`, and `levers` where the law has some; losses are
            not looked at.
        noise: standard deviation of the ln loss of one run.
        names: the coefficients that are uncertain, all by default.

    Raises:
        ValueError: the noise is not above 0, or the law has no loss at a run.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> runs = js.fitting.simulate(law, 40, key=1)
        >>> js.experiments.information(law, runs, noise=0.005)
        Information(Chinchilla, 5 coefficients, noise 0.50%)
    """
    noise = checked_noise(noise)
    known = coefficients_of(type(law))
    chosen = tuple(known) if names is None else tuple(names)
    levers = getattr(runs, "levers", None)
    matrix = information_matrix(law, runs.params, runs.tokens, noise, levers, names=chosen)
    if not np.isfinite(matrix).all():
        raise ValueError(f"{type(law).__name__} has no loss at some of the runs")
    if np.size(runs.params) < FEW_RUNS or not scaled_condition(matrix) < MOST_CONDITION:
        matrix = matrix + np.diag(prior_widths(type(law), chosen) ** -2.0)
    return Information(law, chosen, inverse(matrix), noise, smallest=_smallest(runs))


def prior_widths(family: type, names: Sequence[str]) -> np.ndarray:
    """Standard deviations of the weak prior, by coordinate."""
    known = coefficients_of(family)
    return np.array([LOG_WIDTH if known[name].positive else WIDTH for name in names])


def with_prior(known: Information) -> Information:
    """What is known once the weak prior has joined: an observation of each coordinate."""
    covariance = known.covariance
    for row, width in zip(
        np.eye(len(covariance)), prior_widths(type(known.law), known.names), strict=True
    ):
        moved = covariance @ row
        covariance = covariance - np.outer(moved, moved) / (width**2 + row @ moved)
    return replace(known, covariance=covariance)


def scaled_condition(matrix: np.ndarray) -> float:
    """Condition number with coordinates scaled to a diagonal of ones; infinite where singular."""
    diagonal = np.diag(matrix)
    if not (diagonal > 0).all():
        return np.inf
    values = np.linalg.eigvalsh(matrix / np.sqrt(np.outer(diagonal, diagonal)))
    return float(values[-1] / values[0]) if values[0] > 0 else np.inf


def inverse(matrix: np.ndarray) -> np.ndarray:
    """The inverse of a positive definite matrix, by Cholesky of the scaled one."""
    scale = 1 / np.sqrt(np.diag(matrix))
    scaled = matrix * np.outer(scale, scale)
    half = np.linalg.solve(np.linalg.cholesky(scaled), np.eye(len(matrix)))
    return np.outer(scale, scale) * (half.T @ half)


# --- Of fits ---------------------------------------------------------------------------------


def information_of(fit: Any, noise: float | None = None) -> Information:
    """What a fit tells of its law: a fit, the bootstrap of one, or a file of either.

    Raises TypeError for anything else, ValueError where the runs do not identify sizes of plans.
    """
    if isinstance(fit, str | os.PathLike):
        fit = read_information(fit)
    if isinstance(fit, Information):
        return fit if noise is None else replace(fit, noise=checked_noise(noise))
    if isinstance(fit, Bootstrap):
        known = _of_fit(fit.fit, noise, fit.covariance)
        return replace(known, laws=_some(fit.law, np.flatnonzero(fit.ok)))
    if isinstance(fit, Fit):
        return _of_fit(fit, noise)
    raise TypeError(
        "fit must be a js.fitting.Fit, the bootstrap of one, the name of a file of one, or "
        f"js.experiments.information; got {type(fit).__name__}"
    )


def _of_fit(fit: Fit, noise: float | None, resampled: np.ndarray | None = None) -> Information:
    """`resampled` is the covariance of a bootstrap, which needs no factor."""
    if not fit.claims.has_sizes:
        raise ValueError(_refusal(fit.claims.sentence))
    names = known_names(fit)
    at = [fit.names.index(name) for name in names]
    told = noise_of(fit)
    covariance = told.factor * fit.covariance if resampled is None else resampled
    known = Information(
        fit.law,
        names,
        covariance[np.ix_(at, at)],
        told.sd if noise is None else checked_noise(noise),
        unknown=tuple(fit.claims.unidentified),
        smallest=_smallest(fit.runs),
    )
    return with_prior(known) if len(fit.runs) < FEW_RUNS else known


def read_information(name: Any, family: type | None = None) -> Information:
    """What the fit in a file tells of its law, as `Fit.save` and `jaxscale fit` write it.

    A class of your own is given as `family`. Raises ValueError where the file holds no fit, none of
    whose errors are known, or one whose runs do not identify the sizes of plans.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 60, key=1)
        >>> fit = js.fit(js.laws.Chinchilla, runs)
        >>> fit.save("ours.json")
        >>> js.experiments.read_information("ours.json")
        Information(Chinchilla, 5 coefficients, noise 0.78%)
    """
    saved = entry(str(name), family)
    record = json.loads(Path(os.path.expanduser(name)).read_text("utf-8"))
    if not tells_sizes(saved.unidentified):
        raise ValueError(_refusal(f"{name}: {saved.warning}"))
    known = coefficients_of(type(saved.law))
    laws, covariance = saved.draws, saved.covariance
    if covariance is None and laws is None:
        raise ValueError(
            f"{name} has no covariance: what a further run tells is not known. Fit again with "
            "resamples"
        )
    matrix = np.asarray(covariance) if covariance is not None else _spread(laws)
    names = tuple(name for name, x in zip(known, np.diag(matrix), strict=True) if x > 0)
    at = [list(known).index(name) for name in names]
    sd, factor, few = _noise(str(name), record)
    told = Information(
        saved.law,
        names,
        factor * matrix[np.ix_(at, at)],
        sd,
        laws=None if laws is None else _some(laws, np.arange(_length(laws))),
        unknown=saved.unidentified,
        smallest=float((record["ranges"].get("flops") or [0.0])[0]),
    )
    return with_prior(told) if few else told


def _smallest(runs: Any) -> float:
    return float(np.min(TRAIN_FLOPS * np.asarray(runs.params, float) * np.asarray(runs.tokens)))


def _refusal(sentence: str) -> str:
    return (
        f"{sentence} What a further run tells is not known before they do: train a first set of "
        "runs of several sizes and budgets"
    )


def _spread(laws: Any) -> np.ndarray:
    """Covariance of the coordinates of resamples."""
    known = coefficients_of(type(laws))
    with np.errstate(divide="ignore"):
        rows = [
            np.log(getattr(laws, name)) if said.positive else getattr(laws, name)
            for name, said in known.items()
        ]
    still = np.array([np.ptp(row) == 0 if np.isfinite(row).all() else True for row in rows])
    matrix = np.cov(np.where(still[:, None], 0.0, np.stack(rows)))
    return np.where(still[:, None] | still, 0.0, matrix)


def _noise(name: str, record: Mapping[str, Any]) -> tuple[float, float, bool]:
    """The noise of a run, the factor of the covariance, and whether runs are few.

    Older files have residuals alone.
    """
    try:
        told = record.get("noise")
        if told:
            few = int(told.get("runs", FEW_RUNS)) < FEW_RUNS
            return checked_noise(told["sd"]), float(told["factor"]), few
        spread = float(record["quality"]["residual_spread"])
        kind = record["objective"]["name"]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError(
            f"{name} does not say how far its runs are from the law: fit again with this release"
        ) from None
    felt = 1.0 if kind == LEAST_SQUARES else math.sqrt(math.pi / 2)
    return max(felt * spread, SEED_NOISE), 1.0, False


def checked_noise(noise: Any) -> float:
    """The noise as a float; ValueError where it is not above 0 and finite."""
    if not (isinstance(noise, int | float | np.floating) and 0 < noise < math.inf):
        raise ValueError(f"noise must be above 0 and finite; got {noise!r}")
    return float(noise)


def _some(laws: Any, good: np.ndarray) -> Any:
    """An even choice of the resamples with these numbers, with one leading axis."""
    at = good[np.linspace(0, len(good) - 1, min(DRAWS, len(good))).astype(int)]
    return jax.tree.map(lambda x: np.ravel(x)[at], laws)


def _length(laws: Any) -> int:
    return max(np.size(x) for x in jax.tree.leaves(laws))
