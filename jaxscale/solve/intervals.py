# pyright: reportUnknownMemberType=false
"""Intervals of plans over the resamples of a law."""

import numpy as np
from jax.typing import ArrayLike

from jaxscale.plan import NUMBERS, Plan

MOST_TIMED = 1000  # resamples, of each of which serving is timed
MOST_WITHOUT_PLAN = 0.01  # share of sampled laws, beyond which nothing is known of the tails


def plan_intervals(plans: Plan, *, level: float = 0.95) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Low and high ends of every number of a plan, over the plans of resampled laws.

    `plans` has the resamples on its first axis, as a solver returns it for `js.bootstrap(...).law`
    or the `draws` of a saved fit, and each end has the shape of the rest. Ends are quantiles of one
    number at a time: costs at the low ends do not add up to the low end of the total.

    Resamples without a plan, `(~plans.ok).sum(axis=0)` of them, are left out; where they are more
    than a hundredth, ends are NaN, because nothing is known of the tails. Works on the host. Raises
    ValueError for plans without an axis and for a level outside (0, 1).

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> boot = js.bootstrap(js.fit(js.laws.Chinchilla, runs), resamples=1000, key=1)
        >>> plans = js.minimize_loss(boot.law, 1e23, js.Demand(input_tokens=1e12))
        >>> low, high = js.plan_intervals(plans)["tokens"]
        >>> print(f"{low / 1e9:.0f}B to {high / 1e9:.0f}B tokens")
        706B to 848B tokens
    """
    tails = tails_of(level)
    if not np.ndim(getattr(plans, "status", 0)):
        raise ValueError(
            "plans must be a Plan with an axis of resamples, as a solver returns for boot.law; "
            f"got {plans!r}"
        )
    samples = {**plans.levers, **{name: getattr(plans, name) for name in NUMBERS}}
    return {name: ends_of(sample, tails) for name, sample in samples.items()}


def ends_of(sample: ArrayLike, tails: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles over the first axis, NaN where more than a hundredth of the sample is NaN."""
    sample = np.asarray(sample, np.float64)
    lost = np.isnan(sample)
    if not lost.any():
        low, high = np.quantile(sample, tails, axis=0)
        return low, high
    known = lost.mean(axis=0) <= MOST_WITHOUT_PLAN
    low, high = np.nanquantile(np.where(lost & ~known, 0.0, sample), tails, axis=0)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)


def tails_of(level: float) -> tuple[float, float]:
    """Levels of the ends of an interval; ValueError for a level outside (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1; got {level!r}")
    return (1 - level) / 2, (1 + level) / 2
