"""A fit as a record: what is kept of it in a file, and what a program reads of it."""

import platform
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxscale._version import __version__
from jaxscale.fitting.diagnostics import diagnose
from jaxscale.fitting.report import largest_of, spread_of
from jaxscale.laws.fitted import coordinates_of
from jaxscale.laws.saved import numbers_of

LEVEL = 0.95  # of every interval
DRAWN_DIGITS = 9  # of the draws: far more than a resample knows, and a third of the bytes


def record_of(fit: Any, bootstrap: Any = None) -> dict[str, Any]:
    """Everything about a `Fit` but its law, in Python's types; None for what is not known."""
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
        "covariance_of": list(coordinates_of(type(fit.law))),
        "covariance": best.covariance.tolist() if known else None,
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


def draws_of(fit: Any, bootstrap: Any) -> Mapping[str, Any] | None:
    """The law of each resample, by coefficient; None where the runs leave some open."""
    if bootstrap is None or fit.claims.unidentified:
        return None
    columns = {name: np.ravel(getattr(bootstrap.law, name)) for name in fit.names}
    return {
        name: [float(f"{x:.{DRAWN_DIGITS}g}") for x in column] for name, column in columns.items()
    }


def ranges_of(runs: Any) -> dict[str, np.ndarray]:
    """Every quantity of the runs, by name."""
    names = ("params", "tokens", "tokens_per_param", "flops", "loss")
    return {name: getattr(runs, name) for name in names} | dict(runs.levers or {})


def errors_from(fit: Any, bootstrap: Any = None) -> str:
    """Where intervals and errors come from, in words."""
    if bootstrap is None:
        return f"the {fit.covariance_method}"
    what = "runs" if fit.runs.group is None else "whole groups of runs"
    return f"{bootstrap.objective.size:,} resamples of {what}"


def _quality(fit: Any) -> dict[str, Any]:
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


def _unidentified(fit: Any) -> dict[str, Any] | None:
    """What the runs leave open and why, what they tell instead, and what no run feels."""
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
        "directions": whole.tolist(),  # of what covariance_of names
    }
