"""IsoFLOP profiles: the best size at each budget from a parabola, and power laws through those.

Approach 2 of Hoffmann et al. 2022, section 3.2. All resamples go through the same arithmetic
at once, a row of weights each: a run drawn twice has a weight of 2, one left out a weight of 0.

Parabolas are biased, even without noise: by a fixed factor where alpha is not beta, and by more
where the sizes are not centred on the optimum (Czech et al. 2026, arXiv 2603.22339). The bias of
a grid is what the same method makes of the noise-free losses of a law at the same sizes.
"""

import itertools
from functools import partial
from typing import Any, Literal

import numpy as np

from jaxscale.fitting._small_samples import widening
from jaxscale.fitting.grid_bias import grid_bias
from jaxscale.fitting.optimal_sizes import (
    LEAST_POINTS,
    Optima,
    OptimalSizes,
    allocation,
    checked_level,
    draws,
)
from jaxscale.fitting.parabolas import LEAST_SIZES, Valley, parts_of, valleys_of
from jaxscale.fitting.resampling import checked_count, generator
from jaxscale.fitting.runs import Runs, checked
from jaxscale.laws.protocol import check_law, levers_of

LINE = 2  # coefficients, and the least budgets that have one

Resampled = Literal["budgets", "runs"]


def isoflop(
    runs: Runs,
    *,
    budgets: Any = None,
    tolerance: float = 0.1,
    reach: float = 10.0,
    resample: Resampled = "budgets",
    resamples: int = 1000,
    key: Any = 0,
    level: float = 0.95,
    law: Any = None,
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
    `refused` says so.

    Intervals come from drawing whole budgets with replacement, by `key`, a JAX key or a whole
    number, so that what moves all runs of a budget together counts, too. Budgets are few: draws are
    spread by `sqrt(n / (n - 2))` and the ratio of Student's t to a normal, for n budgets, and of
    three the interval is as wide as that deserves. With `resample="runs"` the runs of each budget
    are drawn instead, which sees their noise alone. Runs with a `group` are drawn by whole
    groups, over all budgets.

    Parabolas are biased even without noise. The result's `bias` says by how much, from the
    losses of `law` at the same sizes: a Chinchilla law fitted to the same runs unless given.

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
    if resample not in ("budgets", "runs"):
        raise ValueError(f"resample must be 'budgets' or 'runs'; got {resample!r}")
    checked_count("resamples", resamples, least=0)
    if law is not None:
        check_law(law)
        if levers_of(law):
            raise ValueError(f"law must have no levers; got one with {', '.join(levers_of(law))}")
    flops = _parted(runs, tolerance) if budgets is None else _named(budgets, len(runs))
    kept = runs.weights > 0
    runs, flops = runs.select(kept), flops[kept]
    by_budget = resample == "budgets" and runs.group is None
    counts = np.empty((0, len(runs))) if by_budget else _drawn(runs, flops, resamples, key)
    valleys = valleys_of(runs, flops, reach, np.vstack([np.ones((1, len(runs))), counts]))
    values = np.unique(flops)
    refused = _refused(values, valleys)
    if len(values) - len(refused) < LEAST_POINTS:
        raise ValueError(
            f"isoFLOP profiles need {LEAST_POINTS} budgets with a minimum; got "
            f"{len(values) - len(refused)} of {len(values)} ({'; '.join(refused)})"
        )
    optima = _optima(values, valleys)
    least, factor = LEAST_POINTS, 1.0
    if by_budget:
        optima = _with_drawn(optima, resamples, key)
        least, factor = LINE, widening(len(values) - len(refused), LINE, level)
    usable = np.isin(flops, values[optima.weights[0] > 0])
    return allocation(
        "isoflop",
        optima,
        np.array([valley.loss[0] for valley in valleys]),
        refused,
        level,
        least=least,
        widening=factor,
        bias_of=partial(grid_bias, runs, flops, usable, reach, law),
    )


def _drawn(runs: Runs, flops: np.ndarray, resamples: int, key: Any) -> np.ndarray:
    """How often each resample has each run: runs of a budget, or whole groups."""
    rng = generator(key)
    if runs.group is None:
        return draws(flops, resamples, rng)
    labels, member_of = np.unique(runs.group, return_inverse=True)
    return draws(np.zeros(labels.size), resamples, rng)[:, member_of]


def _optima(values: np.ndarray, valleys: list[Valley]) -> Optima:
    log_params, log_tokens, usable = (
        np.stack([getattr(valley, name) for valley in valleys], axis=1)
        for name in ("log_params", "log_tokens", "usable")
    )
    log_flops = np.broadcast_to(np.log(values), log_params.shape)
    return Optima(log_flops, log_params, log_tokens, usable.astype(np.float64))


def _with_drawn(optima: Optima, resamples: int, key: Any) -> Optima:
    """The optima of the runs as given, and a row of them for each draw of whole budgets."""
    usable = np.flatnonzero(optima.weights[0])
    rng, weights = generator(key), np.zeros((resamples, optima.weights.shape[1]))
    lines = np.zeros(resamples, bool)
    while not lines.all():  # a draw of one budget alone has no line
        lost = np.flatnonzero(~lines)
        weights[np.ix_(lost, usable)] = draws(np.zeros(usable.size), lost.size, rng)
        lines = (weights > 0).sum(axis=1) >= LINE
    weights = np.vstack([optima.weights, weights])
    logs = (np.broadcast_to(x, weights.shape) for x in optima[:3])
    log_flops, log_params, log_tokens = logs
    return Optima(log_flops, log_params, log_tokens, weights)


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
    parts = parts_of(logs, np.log1p(tolerance))
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
