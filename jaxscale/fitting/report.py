"""A fit as a small table: plain text, for a terminal, a notebook or a log."""

import textwrap
from typing import Any

import numpy as np

from jaxscale import _display
from jaxscale.fitting.certificate import STEEPNESS
from jaxscale.laws.fitted import fits_logarithm

WIDTH = 100


def table(fit: Any) -> str:
    """Coefficients with standard errors, and what certifies them."""
    law, names = type(fit.law), fit.names
    title = getattr(law, "equation", law.__name__)
    width = max(6, *(len(name) + 1 for name in names))
    rows = [f"  {name:<{width}}{_value(fit, name):>12}{_error(fit, name):>12}" for name in names]
    spread = spread_of(fit.residuals)
    shown = f"{spread:.2%}" if fits_logarithm(law) else f"{spread:.2g} nats"
    search, found = fit.search, fit.certificate
    agreed = f"{search.reached} of {search.kept} followed to the end agree"
    lines = [
        *textwrap.wrap(f"{title}, fitted to {len(fit.residuals)} runs", WIDTH),
        f"  {'':<{width}}{'':>12}{'std. error':>12}",
        *rows,
        f"  {type(fit.loss_function).__name__} {fit.objective:.10g}, spread of residuals {shown}",
        f"  best of {search.starts:,} starts; {agreed}",
        f"  {_gradient(found.steepness)}, condition {found.condition:.0e}, "
        f"{found.quadratic_runs} runs within delta",
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


def html(fit: Any) -> str:
    """The coefficients as an HTML table, what certifies them in its caption."""
    law = type(fit.law)
    rows = [(name, _value(fit, name), _error(fit, name)) for name in fit.names]
    title = (
        f"{getattr(law, 'equation', law.__name__)}: {len(fit.residuals)} runs; {fit.status.name}"
    )
    return _display.html(("", "value", "std. error"), rows, title=title)


def spread_of(residuals: np.ndarray) -> float:
    """The standard deviation of residuals: of ln loss, so about a share of the loss."""
    return float(np.std(residuals))


def largest_of(residuals: np.ndarray) -> float:
    """The residual that is farthest from 0, with its sign."""
    return float(residuals[np.argmax(np.abs(residuals))])


def _instead(fit: Any) -> list[str]:
    """What the runs do not identify, and what they tell instead."""
    known = fit.claims.combinations.items()
    said = [f"{name} = {value:.6g}, std. error {error:.3g}" for name, (value, error) in known]
    lines = [fit.claims.sentence, *said] if fit.claims.sentence else []
    return [f"  {line}" for each in lines for line in textwrap.wrap(each, WIDTH - 2)]


def _gradient(steepness: float) -> str:
    if steepness <= STEEPNESS:
        return "gradient at rounding level"
    return f"gradient {steepness:.0e} of what residuals allow"


def _value(fit: Any, name: str) -> str:
    if name in fit.claims.unidentified:
        return "not known"  # any other value would do as well
    return f"{float(getattr(fit.law, name)):.6g}"


def _error(fit: Any, name: str) -> str:
    return fit.claims.error_text(name, float(getattr(fit.standard_errors, name)))
