"""Intervals of compute-optimal sizes, from laws that were fitted to resamples of the runs."""

from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike

from jaxscale.solve.frontier import compute_optimal

SIZES = ("params", "tokens", "tokens_per_param", "loss")  # of a plan
LENGTH = 128  # budgets
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
    found = sizes_at(jax.tree.map(lambda x: np.ravel(x)[:, None], laws), flops)
    tails = [(1 - level) / 2, (1 + level) / 2]
    return {name: _ends(drawn, tails) for name, drawn in found.items()}


def sizes_at(law: Any, flops: ArrayLike) -> dict[str, np.ndarray]:
    """Compute-optimal sizes and their loss on the host, budgets along the last axes.

    A law with a leading axis has an axis of one after it. Budgets are padded to one of a few
    lengths, because each compiles anew.
    """
    budgets = np.asarray(flops, np.float64)
    length = -(-max(budgets.size, 1) // LENGTH) * LENGTH
    with jax.enable_x64(True):
        plans = compute_optimal(law, flops=np.resize(budgets.ravel(), length))
        found = {name: np.asarray(getattr(plans, name))[..., : budgets.size] for name in SIZES}
    return {name: x.reshape(*x.shape[:-1], *budgets.shape) for name, x in found.items()}


def _ends(drawn: np.ndarray, tails: list[float]) -> tuple[np.ndarray, np.ndarray]:
    lost = np.isnan(drawn)
    if not lost.any():
        low, high = np.quantile(drawn, tails, axis=0)
        return low, high
    known = lost.mean(axis=0) <= MOST_LOST
    low, high = np.nanquantile(np.where(lost & ~known, 0.0, drawn), tails, axis=0)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)
