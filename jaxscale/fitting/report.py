"""A fit as a small table, in text or HTML, and as a record for a file or a program."""

import platform
import textwrap
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxscale import _display
from jaxscale._version import __version__
from jaxscale.fitting._noise import noise_of
from jaxscale.fitting.certificate import STEEPNESS
from jaxscale.fitting.diagnostics import Fitted, Resampled, check_resamples, diagnose
from jaxscale.fitting.runs import Runs
from jaxscale.laws.fitted import coordinates_of, fits_logarithm
from jaxscale.laws.saved import numbers_of

WIDTH = 100


def table(fit: Fitted) -> str:
    """Coefficients with standard errors, and the certificate."""
    law, names = fit.problem.kernel.law, fit.names
    title = getattr(law, "equation", law.__name__)
    width = max(6, *(len(name) + 1 for name in names))
    rows = [f"  {name:<{width}}{_value(fit, name):>12}{_error(fit, name):>12}" for name in names]
    spread = spread_of(fit.residuals)
    shown = f"{spread:.2%}" if fits_logarithm(law) else f"{spread:.2g} nats"
    search, certificate = fit.search, fit.certificate
    agreed = f"{search.reached} of {search.kept} followed to the end agree"
    lines = [
        *textwrap.wrap(f"{title}, fitted to {len(fit.residuals)} runs", WIDTH),
        f"  {'':<{width}}{'':>12}{'std. error':>12}",
        *rows,
        f"  {type(fit.loss_function).__name__} {fit.objective:.10g}, spread of residuals {shown}",
        f"  best of {search.starts:,} starts; {agreed}",
        f"  {_gradient(certificate.steepness)}, condition {certificate.condition:.0e}, "
        f"{certificate.quadratic_runs} runs within delta",
        f"  errors: {fit.covariance_method}",
        *_instead(fit),
        f"  {fit.status.name}: {fit.status.sentence}",
    ]
    if search.next_best:
        lines.insert(
            lines.index(f"  errors: {fit.covariance_method}"),
            f"  next local minima at {', '.join(f'{x:.6g}' for x in search.next_best)}",
        )
    return "\n".join(lines)


def html(fit: Fitted) -> str:
    """The coefficients as an HTML table."""
    law = fit.problem.kernel.law
    rows = [(name, _value(fit, name), _error(fit, name)) for name in fit.names]
    title = (
        f"{getattr(law, 'equation', law.__name__)}: {len(fit.residuals)} runs; {fit.status.name}"
    )
    return _display.html(("", "value", "std. error"), rows, title=title)


def spread_of(residuals: np.ndarray) -> float:
    """The standard deviation of residuals: of ln loss, so about a share of the loss."""
    return float(np.std(residuals))


def largest_of(residuals: np.ndarray) -> float:
    """The residual of largest size, with its sign."""
    return float(residuals[np.argmax(np.abs(residuals))])


def _instead(fit: Fitted) -> list[str]:
    """Coefficients that the runs do not identify, and combinations that they do."""
    known = fit.claims.combinations.items()
    said = [f"{name} = {value:.6g}, std. error {error:.3g}" for name, (value, error) in known]
    lines = [fit.claims.sentence, *said] if fit.claims.sentence else []
    return [f"  {line}" for each in lines for line in textwrap.wrap(each, WIDTH - 2)]


def _gradient(steepness: float) -> str:
    if steepness <= STEEPNESS:
        return "gradient at rounding level"
    return f"gradient {steepness:.0e} of what residuals allow"


def _value(fit: Fitted, name: str) -> str:
    if name in fit.claims.unidentified:
        return "not known"  # any other value would do as well
    return f"{float(getattr(fit.law, name)):.6g}"


def _error(fit: Fitted, name: str) -> str:
    return fit.claims.error_text(name, float(getattr(fit.standard_errors, name)))


# --- Records --------------------------------------------------------------------------------

LEVEL = 0.95  # of every interval
DRAWN_DIGITS = 9  # of the draws: far more than a resample is worth, and a third of the bytes


def record_of(fit: Fitted, bootstrap: Resampled | None = None) -> dict[str, Any]:
    """Everything about a `Fit` but its law, in Python types; None for what is not known."""
    check_resamples(fit, bootstrap)
    best = fit if bootstrap is None else bootstrap
    known = np.isfinite(best.covariance).all()
    return {
        "source": f"jaxscale {__version__}",
        "dataset": f"{len(fit.runs):,} runs",
        "standard_errors": numbers_of(best.standard_errors),
        "intervals": {
            name: list(ends) if np.isfinite(ends).all() else None
            for name, ends in best.intervals(LEVEL).items()
        },
        "interval_level": LEVEL,
        "errors_from": errors_from(fit, bootstrap),
        "covariance_of": list(coordinates_of(fit.problem.kernel.law)),
        "covariance": best.covariance.tolist() if known else None,
        "noise": _noise(fit, bootstrap),
        "ranges": {
            name: [float(np.min(x)), float(np.max(x))] for name, x in ranges_of(fit.runs).items()
        },
        "objective": {
            "name": type(fit.loss_function).__name__,
            "delta": getattr(fit.loss_function, "delta", None),
            "value": fit.objective,
        },
        "constraints": {
            "fixed": dict(fit.problem.asked.fixed),
            "tie": [list(group) for group in fit.problem.asked.tie],
        },
        "status": {"name": fit.status.name, "sentence": fit.status.sentence},
        "unidentified": _unidentified(fit),
        "quality": _quality(fit),
        "resamples": {
            "count": 0 if bootstrap is None else bootstrap.objective.size,
            "not_ok": {} if bootstrap is None else bootstrap.not_ok,
        },
        "remarks": {each.about: each.sentence for each in diagnose(fit, bootstrap)},
        "versions": {
            "jaxscale": __version__,
            "jax": jax.__version__,
            "python": platform.python_version(),
        },
    }


def draws_of(fit: Fitted, bootstrap: Resampled | None) -> Mapping[str, Any] | None:
    """The law of each resample, by coefficient; None where the runs leave some open."""
    if bootstrap is None or fit.claims.unidentified:
        return None
    columns = {name: np.ravel(getattr(bootstrap.law, name)) for name in fit.names}
    return {
        name: [float(f"{x:.{DRAWN_DIGITS}g}") for x in column] for name, column in columns.items()
    }


def ranges_of(runs: Runs) -> dict[str, np.ndarray]:
    """Every quantity of the runs, by name."""
    names = ("params", "tokens", "tokens_per_param", "flops", "loss")
    return {name: getattr(runs, name) for name in names} | dict(runs.levers or {})


def errors_from(fit: Fitted, bootstrap: Resampled | None = None) -> str:
    """The source of intervals and errors, in words."""
    if bootstrap is None:
        return f"the {fit.covariance_method}"
    what = "runs" if fit.runs.group is None else "whole groups of runs"
    return f"{bootstrap.objective.size:,} resamples of {what}"


def _noise(fit: Fitted, bootstrap: Resampled | None) -> dict[str, float] | None:
    """The noise of one run, a factor of the covariance, and the number of runs.

    None where nothing is identified.
    """
    if fit.claims.unidentified:
        return None
    noise = noise_of(fit)
    factor = noise.factor if bootstrap is None else 1.0
    return {"sd": noise.sd, "factor": factor, "runs": len(fit.runs)}


def _quality(fit: Fitted) -> dict[str, Any]:
    return {
        "residual_spread": spread_of(fit.residuals),
        "largest_residual": abs(largest_of(fit.residuals)),
        "starts": fit.search.starts,
        "starts_name": fit.search.starts_name,
        "followed": fit.search.kept,
        "agreed": fit.search.reached,
        "next_best": list(fit.search.next_best),
        **fit.certificate._asdict(),
    }


def _unidentified(fit: Fitted) -> dict[str, Any] | None:
    """Unidentified coefficients and the reason, identified combinations, and null directions."""
    claims = fit.claims
    if not claims.unidentified:
        return None
    known = claims.combinations.items()
    index = [fit.names.index(name) for name in fit.problem.kernel.names]
    whole = np.zeros((claims.directions.shape[1], len(fit.names)))
    whole[:, index] = claims.directions.T
    return {
        "names": list(claims.unidentified),
        "reason": claims.reason,
        "known_instead": {
            name: {"value": value, "standard_error": error} for name, (value, error) in known
        },
        "directions": whole.tolist(),  # of the coordinates in covariance_of
    }
