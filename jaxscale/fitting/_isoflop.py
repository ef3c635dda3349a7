"""IsoFLOP profiles: the best size at each budget from a parabola, and power laws through those.

Approach 2 of Hoffmann et al. 2022, section 3.2. All resamples go through the same arithmetic
at once, a row of weights each: a run drawn twice has a weight of 2, one left out a weight of 0.
"""

import itertools
from typing import Any, NamedTuple, cast

import numpy as np

from jaxscale.fitting.power_law import (
    LEAST_POINTS,
    Optima,
    OptimalSizes,
    allocation,
    checked_level,
    draws,
)
from jaxscale.fitting.resampling import generator
from jaxscale.fitting.runs import Runs, checked

LEAST_SIZES = 3  # of a parabola
# Sizes closer than one percent are one size: a curve through such a pair would follow noise.
SAME_SIZE = 0.01
# Below this rise over half the range, relative to the loss, a curve is flat to rounding.
FLAT = 1e-12


def isoflop(
    runs: Runs,
    *,
    budgets: Any = None,
    tolerance: float = 0.1,
    reach: float = 10.0,
    resamples: int = 1000,
    key: Any = 0,
    level: float = 0.95,
) -> OptimalSizes:
    """Compute-optimal size and data from runs at a few FLOP budgets, many sizes at each.

    At each budget a parabola of loss in log params has its minimum at the best size; log
    tokens, as another parabola, give the data there. Lines in logarithms through the minima
    are `params = k C^a` and `tokens = k' C^b`. The true curve is a parabola only near its
    minimum, so sizes further than a factor of `reach` from that of the least loss are left
    out; infinite, all take part, as in the paper.

    `budgets` are the FLOPs of each run; without them, runs are parted where their 6 N D, in
    order, leave a gap of more than `tolerance` (relative). A budget with fewer than three
    sizes, a curve that does not open upwards or a minimum outside its sizes is left out, and
    `refused` says so. Intervals come from drawing the runs of each budget with replacement, by
    `key`, a JAX key or a whole number;
    runs with a `group` are drawn by whole groups, over all budgets.

    Raises ValueError for runs with bad numbers, for FLOPs that do not part into budgets, and
    where fewer than three budgets are left.

    Source: Hoffmann et al. 2022, section 3.2; its Table 2 has 80% intervals.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> flops, ratio = np.meshgrid(np.geomspace(1e19, 1e21, 4), np.geomspace(2, 200, 9))
        >>> params = np.sqrt(flops / (6 * ratio)).ravel()
        >>> tokens = params * ratio.ravel()
        >>> runs = js.Runs(params, tokens, np.asarray(law.loss(params, tokens)))
        >>> allocation = js.fitting.isoflop(runs)
        >>> print(f"{allocation.params.exponent:.2f}")
        0.51
    """
    level, runs = checked_level(level), checked(runs)
    if not reach > 1:
        raise ValueError(f"reach must be a factor above 1, as 10 is; got {reach!r}")
    flops = _parted(runs, tolerance) if budgets is None else _named(budgets, len(runs))
    kept = runs.weights > 0
    runs, flops = runs.select(kept), flops[kept]
    weights = runs.weights * _drawn(runs, flops, resamples, key)
    values = np.unique(flops)
    valleys = [_valley(runs, weights, flops == value, reach) for value in values]
    refused = _refused(values, valleys)
    if len(values) - len(refused) < LEAST_POINTS:
        raise ValueError(
            f"isoFLOP profiles need {LEAST_POINTS} budgets with a minimum; got "
            f"{len(values) - len(refused)} of {len(values)} ({'; '.join(refused)})"
        )
    log_params, log_tokens, loss, usable = (
        np.stack([getattr(valley, name) for valley in valleys], axis=1)
        for name in ("log_params", "log_tokens", "loss", "usable")
    )
    log_flops = np.broadcast_to(np.log(values), log_params.shape)
    optima = Optima(log_flops, log_params, log_tokens, usable.astype(np.float64))
    return allocation("isoflop", optima, loss[0], refused, level)


def _drawn(runs: Runs, flops: np.ndarray, resamples: int, key: Any) -> np.ndarray:
    """Weights of the runs: all 1 in row 0, then a row of counts for each resample."""
    rng = generator(key)
    if runs.group is None:
        counts = draws(flops, resamples, rng)
    else:
        labels, member_of = np.unique(runs.group, return_inverse=True)
        counts = draws(np.zeros(labels.size), resamples, rng)[:, member_of]
    return np.vstack([np.ones((1, len(runs))), counts])


# --- Budgets ---------------------------------------------------------------------------------


def _named(budgets: Any, count: int) -> np.ndarray:
    """The budget of each run, as given."""
    flops = np.asarray(budgets, np.float64)
    if flops.shape != (count,):
        raise ValueError(f"budgets must be one for each of {count} runs; got shape {flops.shape}")
    if not (np.isfinite(flops) & (flops > 0)).all():
        raise ValueError("budgets must be finite and above 0")
    return flops


def _parted(runs: Runs, tolerance: float) -> np.ndarray:
    """The budget of each run: the geometric mean of 6 N D between two clear gaps."""
    if not 0 < tolerance < np.inf:
        raise ValueError(f"tolerance must be a finite number above 0; got {tolerance!r}")
    logs = np.log(runs.flops)
    parts = _parts(logs, np.log1p(tolerance))
    members = [logs[parts == part] for part in range(parts.max() + 1)]
    widest = max(np.ptp(each) for each in members)
    gaps = [after.min() - before.max() for before, after in itertools.pairwise(members)]
    if widest >= min(gaps, default=0):
        raise ValueError(
            f"the FLOPs of these runs do not part into budgets: with tolerance {tolerance:g} one "
            f"would reach over a factor of {np.exp(widest):.3g} and the next lie a factor of "
            f"{np.exp(min(gaps, default=0)):.3g} away; give budgets, one for each run"
        )
    return np.exp(np.array([each.mean() for each in members]))[parts]


def _parts(values: np.ndarray, gap: float) -> np.ndarray:
    """A number for each value, from 0: those after a gap in the sorted values have the next."""
    order = np.argsort(values)
    parts = np.empty(len(values), np.int64)
    parts[order] = np.cumsum(np.diff(values[order], prepend=values[order[0]]) > gap)
    return parts


# --- Parabolas -------------------------------------------------------------------------------


class Valley(NamedTuple):
    """The minimum at one budget, an entry for each row of weights. Logarithms are natural."""

    log_params: np.ndarray
    log_tokens: np.ndarray
    loss: np.ndarray
    sizes: np.ndarray  # how many
    opens_upwards: np.ndarray
    low: np.ndarray  # of log params of the runs that have a weight
    high: np.ndarray

    @property
    def inside(self) -> np.ndarray:
        return (self.log_params >= self.low) & (self.log_params <= self.high)

    @property
    def usable(self) -> np.ndarray:
        return (self.sizes >= LEAST_SIZES) & self.opens_upwards & self.inside


def _valley(runs: Runs, weights: np.ndarray, members: np.ndarray, reach: float) -> Valley:
    """Minima of the parabolas through the loss of a budget's members."""
    log_params, weights = np.log(runs.params[members]), weights[:, members]
    log_tokens, loss = np.log(runs.tokens[members]), runs.loss[members]
    lowest = log_params[np.where(weights > 0, loss, np.inf).argmin(axis=1)]
    weights = weights * (abs(log_params - lowest[:, None]) <= np.log(reach))
    present = weights > 0
    size = _parts(log_params, SAME_SIZE)
    sizes = sum((present[:, size == each].any(axis=1) for each in np.unique(size)), 0)
    # Centred and of range two, so that the normal equations lose few digits.
    centre = (log_params.max() + log_params.min()) / 2
    half = max(np.ptp(log_params) / 2, SAME_SIZE)
    x = (log_params - centre) / half
    values = np.stack([loss, log_tokens], axis=1)
    c0, c1, c2 = _parabolas(x, values, weights, np.asarray(sizes) >= LEAST_SIZES)
    opens_upwards = c2[:, 0] > FLAT * loss.max()
    best = -c1[:, 0] / np.where(opens_upwards, 2 * c2[:, 0], np.nan)
    at_best = c0 + best[:, None] * (c1 + best[:, None] * c2)
    return Valley(
        log_params=centre + half * best,
        log_tokens=at_best[:, 1],
        loss=at_best[:, 0],
        sizes=np.asarray(sizes),
        opens_upwards=opens_upwards,
        low=np.where(present, log_params, np.inf).min(axis=1),
        high=np.where(present, log_params, -np.inf).max(axis=1),
    )


def _parabolas(
    x: np.ndarray, values: np.ndarray, weights: np.ndarray, solvable: np.ndarray
) -> np.ndarray:
    """Coefficients of 1, x and x^2 that fit each column of values, shape (3, rows, columns)."""
    powers = x ** np.arange(3)[:, None]
    normal = np.einsum("rn,in,jn->rij", weights, powers, powers)
    normal[~solvable] = np.eye(3)
    right = np.einsum("rn,in,nk->rik", weights, powers, values)
    return np.moveaxis(cast(np.ndarray, np.linalg.solve(normal, right)), 1, 0)


def _refused(values: np.ndarray, valleys: list[Valley]) -> list[str]:
    faults = [_fault(valley) for valley in valleys]
    return [f"{at:.3g} FLOPs: {fault}" for at, fault in zip(values, faults, strict=True) if fault]


def _fault(valley: Valley) -> str:
    """Why the runs as given have no minimum; empty where they have."""
    if valley.usable[0]:
        return ""
    if valley.sizes[0] < LEAST_SIZES:
        return f"{valley.sizes[0]} distinct sizes, and a parabola needs {LEAST_SIZES}"
    if not valley.opens_upwards[0]:
        return "loss over log params does not curve upwards"
    best, low, high = (f"{np.exp(x[0]):.3g}" for x in (valley.log_params, valley.low, valley.high))
    return f"the minimum, {best} params, lies outside the sizes tried, {low} to {high}"
