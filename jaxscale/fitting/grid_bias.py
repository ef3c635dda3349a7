"""The bias of parabolas on a grid of sizes: what they make of the losses of a law without noise.

Along a budget the loss of a law is no parabola. Where alpha is not beta the minimum of the fitted
one is off by a factor that is the same at all budgets if the sizes lie alike about each optimum,
and the further off the less the sizes are centred on it.

Source: Czech et al. 2026, arXiv 2603.22339.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxscale._numerics.interpreted import interpreted
from jaxscale._numerics.quantities import scientific
from jaxscale.fitting._fit import fit
from jaxscale.fitting.parabolas import Valley, valleys_of
from jaxscale.fitting.power_law import PowerLaw, line
from jaxscale.fitting.runs import Runs, checked
from jaxscale.laws.chinchilla import Chinchilla

# Within it the bias on the law of Hoffmann et al. 2022 is within 2 % of that of centred sizes.
OFF_CENTRE = 1.5
NARROW = 3.0  # reach of sizes: off the centre the bias is the larger, and noise outweighs the bend
FAR = 100.0  # factor beyond the sizes at which a law's own optimum is still looked for
GRIDS, POINTS = 6, 101  # each a fiftieth of the last: to rounding of the loss


@dataclass(frozen=True)
class GridBias:
    """How far parabolas on a grid of sizes miss the optimum of a law, on losses without noise."""

    law: Any
    params: PowerLaw  # the params that they find over the law's optimum, by training FLOPs
    tokens: PowerLaw  # the same of tokens
    centre: float  # the middle of the sizes over the optimum, of the median budget
    reach: float  # the largest size over the middle one, of the median budget
    most_flops: float  # the largest budget

    @property
    def is_off_centre(self) -> bool:
        """Whether the sizes are centred over a factor of 1.5 away from the optimum."""
        return abs(math.log(self.centre)) > math.log(OFF_CENTRE)

    @property
    def is_narrow(self) -> bool:
        """Whether the sizes reach less than a factor of 3 to either side."""
        return self.reach < NARROW

    @property
    def sentence(self) -> str:
        """The fault of the grid, if any, and its bias at the largest budget."""
        at = self.most_flops
        off = (
            "even without noise parabolas on these sizes miss the optimum of the fitted law by "
            f"{_share(self.params, at)} in params and {_share(self.tokens, at)} in tokens at "
            f"{scientific(at)} FLOPs."
        )
        return (
            f"The sizes {self._fault()}: {off}" if self._fault() else f"{off[0].upper()}{off[1:]}"
        )

    def _fault(self) -> str:
        factor, side = (1 / self.centre, "below") if self.centre < 1 else (self.centre, "above")
        off = f"are centred {factor:.2g}x {side} the optimum" if self.is_off_centre else ""
        narrow = f"reach only {self.reach:.2g}x to either side" if self.is_narrow else ""
        return " and ".join(filter(None, (off, narrow)))


def _share(law: PowerLaw, flops: float) -> str:
    return f"{100 * (float(law(flops)) - 1):+.1f} %"


class _Optimum(NamedTuple):
    """The optimum of a law at each budget, in natural logarithms; NaN where it has none near."""

    log_params: np.ndarray
    log_tokens: np.ndarray


def grid_bias(
    runs: Runs, flops: np.ndarray, usable: np.ndarray, reach: float, law: Any = None
) -> GridBias | None:
    """The bias of parabolas on the sizes of `usable` runs, whose budgets are `flops`.

    By `law`, or a Chinchilla law fitted to the runs. None where that is not identified, or where
    the law has no optimum near the sizes.
    """
    law = _fitted(runs) if law is None else law
    if law is None:
        return None
    runs, flops = runs.select(usable), flops[usable]
    exact = _losses(law, runs.params, runs.tokens)
    clean = replace(checked(runs), loss=exact)
    valleys = valleys_of(clean, flops, reach, np.ones((1, len(clean))))
    log_flops = np.log(np.unique(flops))
    optimum = _optimum(law, runs, flops, valleys)
    found = np.array([(each.log_params[0], each.log_tokens[0]) for each in valleys]).T
    off = found - optimum
    if not np.isfinite(off).all():
        return None
    params, tokens = (line(log_flops, each, np.ones_like(log_flops)) for each in off)
    middle = np.array([(each.low[0] + each.high[0]) / 2 for each in valleys])
    half = np.array([(each.high[0] - each.low[0]) / 2 for each in valleys])
    return GridBias(
        law=law,
        params=params,
        tokens=tokens,
        centre=float(np.exp(np.median(middle - optimum.log_params))),
        reach=float(np.exp(np.median(half))),
        most_flops=float(flops.max()),
    )


def _fitted(runs: Runs) -> Any:
    """A Chinchilla law fitted to the runs; None where they do not identify its optima."""
    try:
        made = fit(Chinchilla, runs)
    except ValueError:  # too few runs
        return None
    return made.law if made.claims.has_sizes else None


def _losses(law: Any, params: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(interpreted(law.loss, params, tokens), np.float64)


def _optimum(law: Any, runs: Runs, flops: np.ndarray, valleys: list[Valley]) -> _Optimum:
    """The law's own optimum at each budget, along which tokens are a power of params."""
    low = np.array([valley.low[0] for valley in valleys]) - math.log(FAR)
    high = np.array([valley.high[0] for valley in valleys]) + math.log(FAR)
    members = [flops == value for value in np.unique(flops)]
    logs = np.log(runs.params), np.log(runs.tokens)
    lines: list[np.ndarray] = [np.polyfit(logs[0][each], logs[1][each], 1) for each in members]
    slope, start = np.stack(lines, axis=1)
    lowest, highest = low, high
    best = low
    for _ in range(GRIDS):
        sizes = np.linspace(low, high, POINTS, axis=1)
        tokens = np.exp(start[:, None] + slope[:, None] * sizes)
        loss = _losses(law, np.exp(sizes), tokens)
        at = np.argmin(loss, axis=1)
        best = np.take_along_axis(sizes, at[:, None], axis=1)[:, 0]
        step = (high - low) / (POINTS - 1)
        low, high = best - step, best + step
    inside = (best > lowest) & (best < highest)
    return _Optimum(np.where(inside, best, np.nan), start + slope * best)
