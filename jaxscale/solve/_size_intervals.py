"""Intervals of compute-optimal sizes, from laws that were fitted to resamples of the runs."""

from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from jaxscale.solve.frontier import compute_optimal

SIZES = ("params", "tokens", "tokens_per_param", "loss")  # of a plan
MOST_LOST = 0.01  # share of the laws without a plan from which on nothing is known of the tails


def size_intervals(
    laws: Any, flops: ArrayLike, *, level: float = 0.95
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Low and high ends of compute-optimal params, tokens, their ratio and the loss.

    `laws` is one law with a leading axis, as `js.bootstrap(...).law`, and each end has the shape of
    `flops`. NaN where more than a hundredth of the laws has no plan. Raises ValueError for a level
    outside (0, 1).

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> boot = js.bootstrap(js.fit(js.laws.Chinchilla, runs), resamples=1000, key=1)
        >>> low, high = js.size_intervals(boot.law, flops=1e23)["params"]
        >>> print(f"{low / 1e9:.0f}B to {high / 1e9:.0f}B")
        26B to 33B
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1; got {level!r}")
    budgets = np.asarray(flops, np.float64)
    with jax.enable_x64(True):
        lanes = jax.tree.map(lambda x: np.asarray(x).reshape(-1, *[1] * budgets.ndim), laws)
        plans = compute_optimal(lanes, flops=budgets)
        found = {name: np.asarray(getattr(plans, name)) for name in SIZES}
    tails = [(1 - level) / 2, (1 + level) / 2]
    return {name: _ends(drawn, tails) for name, drawn in found.items()}


def _ends(drawn: np.ndarray, tails: list[float]) -> tuple[np.ndarray, np.ndarray]:
    lost = np.isnan(drawn)
    known = lost.mean(axis=0) <= MOST_LOST
    filled = np.where(lost & ~known, 0.0, drawn)
    low, high = np.nanquantile(filled, tails, axis=0)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)
