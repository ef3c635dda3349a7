"""A fit as a record: for `fit.json`, which is a law wherever one is named, and for machines."""

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxscale import __version__
from jaxscale.cli import tables
from jaxscale.cli.export import replacing
from jaxscale.cli.fit_advice import advice, suspicions
from jaxscale.cli.fit_outcome import LEVEL, Optimum, Outcome, exponent_of
from jaxscale.cli.mistakes import Mistake, check_file, path_of
from jaxscale.cli.named_law import COEFFICIENTS
from jaxscale.fitting.claims import Claims
from jaxscale.fitting.report import largest_of, spread_of
from jaxscale.laws.saved import FORMAT, SUFFIX

DRAWN_DIGITS = 9  # of the draws: far more than a resample knows, and a third of the bytes


def checked_output(text: str) -> Path:
    """Where the record goes, checked before any work: no file but an earlier fit is replaced."""
    path = path_of(text)
    if text and path.suffix.lower() != SUFFIX:
        raise Mistake(f"--output: {text!r} must end in {SUFFIX}")
    check_file("--output", text, path)
    if path.exists() and not _is_fit(path):
        raise Mistake(f"--output: {text!r} is there and is no fit; choose another name")
    return path


def _is_fit(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return f'"{FORMAT.rpartition(" ")[0]} '.encode() in file.read(100)
    except OSError:
        return False


def record_of(outcome: Outcome) -> dict[str, Any]:
    """Everything about a fit but its draws: numbers, strings, and null for what is not known."""
    fit, source = outcome.fit, outcome.source
    record = {
        "format": FORMAT,
        "family": "Chinchilla",
        "source": f"jaxscale fit, version {_versions()['jaxscale']}",
        "dataset": outcome.title,
        "params_convention": f"as in column {source.columns['params']} of {Path(source.path).name}",
        "law": tables.plain(fit.law),
        "standard_errors": tables.plain(outcome.errors),
        "intervals": {
            name: list(ends) if np.isfinite(ends).all() else None
            for name, ends in outcome.intervals.items()
        },
        "interval_level": LEVEL,
        "errors_from": outcome.errors_from,
        "covariance_of": ["ln E", "ln A", "ln B", "alpha", "beta"],
        "covariance": _all_finite(outcome.covariance.tolist()),
        "best_params_exponent": exponent_of(fit.law) if outcome.has_sizes else None,
        "ranges": {name: [float(x.min()), float(x.max())] for name, x in outcome.ranges.items()},
        "runs": {
            "count": len(fit.runs),
            "file": source.path,
            "where": source.where,
            "best_of_each": source.best_of_each,
            "columns": dict(source.columns),
            "units": dict(source.units),
        },
        "objective": {
            "name": outcome.request.objective,
            "delta": getattr(fit.loss_function, "delta", None),
            "value": fit.objective,
        },
        "constraints": {
            "fixed": dict(outcome.request.fixed),
            "tie_exponents": outcome.request.tie_exponents,
        },
        "status": {"name": fit.status.name, "sentence": fit.status.sentence},
        "unidentified": _unidentified(fit.claims),
        "quality": _quality(outcome),
        "resamples": {
            "count": 0 if outcome.bootstrap is None else outcome.bootstrap.objective.size,
            "seed": outcome.request.seed,
            "not_ok": outcome.bad_resamples,
        },
        "optima": [_optimum(each) for each in outcome.optima],
        "published": {named.name: tables.plain(named.law) for named in outcome.beside},
        "remarks": _remarks(outcome),
        "versions": _versions(),
    }
    return {name: _plain(value) for name, value in record.items()}


def write(outcome: Outcome, path: Path) -> None:
    """Write the record a line for each value, and the draws of the bootstrap below it."""
    record = {**record_of(outcome), "draws": _draws(outcome)}
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in record.items()]
    with replacing(path) as partial:
        partial.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def _draws(outcome: Outcome) -> dict[str, Any] | None:
    """The law of each resample, a column for each coefficient; None where some stand still."""
    if outcome.bootstrap is None or outcome.fit.claims.unidentified:
        return None
    drawn = outcome.bootstrap.law
    columns = {name: getattr(drawn, name).tolist() for name in COEFFICIENTS}
    return {
        name: [_plain(float(f"{x:.{DRAWN_DIGITS}g}")) for x in column]
        for name, column in columns.items()
    }


def _versions() -> dict[str, str]:
    python = platform.python_version()
    return {"jaxscale": __version__, "jax": jax.__version__, "python": python}


def _quality(outcome: Outcome) -> dict[str, Any]:
    fit = outcome.fit
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


def _unidentified(claims: Claims) -> dict[str, Any] | None:
    """What the runs leave open and why, what they tell instead, and what no run feels."""
    if not claims.unidentified:
        return None
    known = claims.combinations.items()
    return {
        "names": list(claims.unidentified),
        "reason": claims.reason,
        "known_instead": {
            name: {"value": value, "standard_error": error} for name, (value, error) in known
        },
        "directions": claims.directions.T.tolist(),  # of what covariance_of names
    }


def _optimum(each: Optimum) -> dict[str, Any]:
    intervals = {f"{name}_interval": list(ends) for name, ends in (each.intervals or {}).items()}
    return {
        "flops": each.flops,
        "params": each.params,
        "tokens": each.tokens,
        "tokens_per_param": each.tokens_per_param,
        "loss": each.loss,
        "beyond_runs": each.beyond,
        **intervals,
    }


def _remarks(outcome: Outcome) -> dict[str, str]:
    """What a reader of the law must know, in sentences by what they are about."""
    status = {} if outcome.fit.ok else {"status": outcome.fit.status.sentence}
    sentence = outcome.fit.claims.sentence
    open_ones = {"not identified": sentence} if sentence else {}
    return status | open_ones | suspicions(outcome) | advice(outcome)


def _all_finite(numbers: Any) -> Any:
    """The numbers as JSON has them; None where one of them is not known."""
    return numbers if np.isfinite(np.array(_leaves(numbers))).all() else None


def _leaves(numbers: Any) -> list[float]:
    return list(numbers.values()) if isinstance(numbers, dict) else np.ravel(numbers).tolist()


def _plain(value: Any) -> Any:
    """The value in the types of JSON, with null for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return bool(value) if isinstance(value, np.bool_) else value
