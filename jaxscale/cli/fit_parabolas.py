"""What isoFLOP parabolas say beside a fit, where its runs part into budgets."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import jaxscale as js
from jaxscale._written import count, scientific
from jaxscale.cli import tables
from jaxscale.fitting.optimal_sizes import LEAST_POINTS
from jaxscale.fitting.parabolas import LEAST_SIZES

SIZES = ("params", "tokens")


class Parabolas(NamedTuple):
    """Compute-optimal sizes by parabolas at some budgets, and the bias of their grid."""

    sizes: js.fitting.OptimalSizes
    flops: np.ndarray

    def record(self) -> dict[str, Any]:
        bias = self.sizes.bias
        return {
            "optima": [self._optimum(at, bias) for at in self.flops],
            "budgets": self.sizes.points.flops.tolist(),
            "params_exponent": self.sizes.params.exponent,
            "params_exponent_interval": list(self.sizes.params_exponent_interval),
            "centre": None if bias is None else bias.centre,
            "reach": None if bias is None else bias.reach,
            "refused": list(self.sizes.refused),
            "sentence": None if bias is None else bias.sentence,
        }

    def _optimum(self, flops: float, bias: Any) -> dict[str, Any]:
        found: dict[str, Any] = {"flops": float(flops)}
        for name in SIZES:
            low, high = getattr(self.sizes, f"{name}_interval")(flops)
            found[name] = float(getattr(self.sizes, name)(flops))
            found[f"{name}_interval"] = [float(low), float(high)]
            share = None if bias is None else float(getattr(bias, name)(flops)) - 1
            found[f"{name}_bias"] = share
        return found


def parabolas_of(fit: js.fitting.Fit, flops: Sequence[float]) -> Parabolas | None:
    """The sizes at `flops` by parabolas; None where runs are no isoFLOP profiles.

    These are three budgets with a minimum inside their sizes, and three sizes at each.
    """
    if not flops or len(fit.runs) < LEAST_POINTS * LEAST_SIZES:
        return None
    try:
        sizes = js.fitting.isoflop(fit.runs, law=fit.law)
    except ValueError:
        return None
    return Parabolas(sizes, np.asarray(flops))


def show(found: Parabolas | None) -> None:
    """Print the sizes by parabolas, and what is known of their bias."""
    if found is None:
        return
    budgets = len(found.sizes.points.flops)
    tables.note(f"\nThe same by parabolas at {budgets} budgets (approach 2)", style="bold")
    header = ("FLOPs", "params", "95 % interval", "off", "tokens", "95 % interval", "off")
    tables.print_columns(header, map(_row, found.record()["optima"]))
    bias = found.sizes.bias
    if bias is None:
        return
    tables.note(
        f"{bias.sentence}\n", style="bold yellow" if bias.is_off_centre or bias.is_narrow else "dim"
    )


def _row(optimum: dict[str, Any]) -> tuple[str, ...]:
    cells = [scientific(optimum["flops"], 1)]
    for name in SIZES:
        share = optimum[f"{name}_bias"]
        cells += [
            count(optimum[name]),
            "-".join(map(count, optimum[f"{name}_interval"])),
            "" if share is None else f"{100 * share:+.1f} %",
        ]
    return tuple(cells)
