"""The noise of one run, as a fit's residuals and its errors tell it.

Under Huber's objective a run of normal noise says less than under least squares: where delta is
small, as little as one with pi / 2 times the variance. So the noise is the one at which the
information of the runs and the covariance of the fit agree on the variance of the predictions at
the runs. Small samples have it too small, whence two floors: the spread of residuals with the
degrees of freedom removed, which outliers do not move, and the noise that another seed alone gives.
"""

from typing import Any, NamedTuple

import numpy as np

from jaxscale.fitting._jacobian import jacobian
from jaxscale.fitting.diagnostics import Fitted
from jaxscale.fitting.objectives import SquaredError
from jaxscale.laws.fitted import fits_logarithm

# Of the loss, between runs that differ in their seed alone: 0.2 to 0.5 %.
SEED_NOISE = 0.002
NORMAL_MAD = 1.4826  # standard deviations in a median absolute deviation, of normal noise


class Noise(NamedTuple):
    """The noise of a run, and the factor that its floors put on the covariance.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1, noise=0.01)
        >>> noise = js.fitting.noise_of(js.fit(js.laws.Chinchilla, runs))
        >>> print(f"{noise.sd:.3f} {noise.factor:.2f}")
        0.013 1.00
    """

    sd: float  # of ln loss; of the loss, in a family whose loss may be negative
    factor: float  # at least 1


def known_names(fit: Fitted) -> tuple[str, ...]:
    """The coefficients of which a fit has a variance: neither held, nor at a bound, nor open."""
    variances = np.diag(fit.covariance)
    return tuple(name for name, x in zip(fit.names, variances, strict=True) if x > 0)


def noise_of(fit: Fitted) -> Noise:
    """The standard deviation of one run's ln loss, as it bears on the fit's own errors.

    Where residuals are smaller than seeds alone make them, or runs few, the fit's covariance is too
    small as well: `factor` is what to multiply it by.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> fit = js.fit(js.laws.Chinchilla, runs, objective=js.fitting.SquaredError())
        >>> print(f"{js.fitting.noise_of(fit).sd:.4f}")
        0.0051
    """
    names, runs = known_names(fit), fit.runs
    weights: Any = np.ones(len(runs)) if runs.weights is None else np.asarray(runs.weights, float)
    counted = weights > 0
    residuals, weights = fit.residuals[counted], weights[counted] / weights[counted].mean()
    logarithm = fits_logarithm(fit.problem.kernel.law)
    unit = 1.0 if logarithm else float(np.median(np.abs(np.asarray(runs.loss)[counted])))
    least = max(_spread(fit, residuals, len(names)), SEED_NOISE * unit)
    felt = 0.0
    if names:
        levers: Any = runs.levers
        slopes = jacobian(fit.law, runs.params, runs.tokens, levers, names=names)[counted]
        at = [fit.names.index(name) for name in names]
        known = fit.covariance[np.ix_(at, at)]
        predicted = np.einsum("ni,ij,nj->n", slopes, known, slopes)
        rank = max(1, int(np.linalg.matrix_rank(fit.problem.constraints.projection)))
        felt = float(np.sqrt(weights @ predicted / min(rank, len(names))))
    if not felt > 0:
        return Noise(least, 1.0)
    return Noise(max(felt, least), max(1.0, (least / felt) ** 2))


def _spread(fit: Fitted, residuals: np.ndarray, coefficients: int) -> float:
    """Standard deviation of the noise by residuals, with the degrees of freedom removed."""
    free = max(1, len(residuals) - coefficients)
    if isinstance(fit.loss_function, SquaredError):
        return float(np.sqrt(residuals @ residuals / free))
    # A fit of this kind goes through about as many runs as it has coefficients.
    largest = np.sort(np.abs(residuals))[-min(len(residuals), free + 1) :]
    return NORMAL_MAD * float(np.median(largest))
