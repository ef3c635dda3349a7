"""A fit as a small table: plain text, for a terminal, a notebook or a log."""

from typing import TYPE_CHECKING

import numpy as np

from jaxscale.fitting.certificate import STEEPNESS
from jaxscale.fitting.surface import NAMES

if TYPE_CHECKING:
    from jaxscale.fitting.fit import Fit


def table(fit: "Fit") -> str:
    """Coefficients with standard errors, and what certifies them."""
    rows = [
        f"  {name:<6}{float(getattr(fit.law, name)):>12.6g}{_error(fit, name):>12}"
        for name in NAMES
    ]
    search, found = fit.search, fit.certificate
    agreed = f"{search.reached} of {search.kept} followed to the end agree"
    lines = [
        f"L(N, D) = E + A / N^alpha + B / D^beta, fitted to {len(fit.residuals)} runs",
        f"  {'':<6}{'':>12}{'std. error':>12}",
        *rows,
        f"  {type(fit.loss_function).__name__} {fit.objective:.10g}, "
        f"spread of residuals {np.std(fit.residuals):.2%}",
        f"  best of {search.starts:,} starts; {agreed}",
        f"  {_gradient(found.steepness)}, condition {found.condition:.0e}, "
        f"{found.quadratic_runs} runs within delta",
        f"  errors: {fit.covariance_method}",
        f"  {fit.status.name}: {fit.status.sentence}",
    ]
    if search.next_best:
        lines.insert(
            -2, f"  next local minima at {', '.join(f'{x:.6g}' for x in search.next_best)}"
        )
    return "\n".join(lines)


def _gradient(steepness: float) -> str:
    if steepness <= STEEPNESS:
        return "gradient at rounding level"
    return f"gradient {steepness:.0e} of what residuals allow"


def _error(fit: "Fit", name: str) -> str:
    error = float(getattr(fit.standard_errors, name))
    return f"{error:.3g}" if error > 0 else "held"
