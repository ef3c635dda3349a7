"""Laws that the runs behind a law allow: resamples of a fit, or draws from its covariance."""

from functools import cache
from statistics import NormalDist
from typing import Any

import jax
import numpy as np

from jaxscale._numerics.quantities import percent
from jaxscale.laws.fitted import coefficients_of
from jaxscale.plan import Plan
from jaxscale.published import Entry
from jaxscale.solve.intervals import MOST_WITHOUT_PLAN

# Laws behind an interval while a slider moves, and of a covariance at all. Drawn by strata, they
# leave the ends of besiroglu2024's intervals within 2 to 5 % of the width (root mean square); as
# many independent draws, 3 to 8 %.
DRAWS = 200


def draws_of(entry: Entry | None, most: int = DRAWS) -> Any:
    """Laws with a leading axis that the runs behind the entry allow; None where not known.

    `most` is of the resamples of a fit; from a covariance always `DRAWS` are drawn.
    """
    if entry is None:
        return None
    if entry.draws is not None:
        rows = resamples_of(entry)
        kept = np.linspace(0, rows - 1, min(most, rows)).astype(int)
        return jax.tree.map(lambda x: np.asarray(x)[kept], entry.draws)
    if entry.covariance is None:
        return None
    form = type(entry.law)
    coefficients = coefficients_of(form)
    center = np.array([float(getattr(entry.law, name)) for name in coefficients])
    positive = np.array([each.positive for each in coefficients.values()])
    center[positive] = np.log(center[positive])
    variances, axes = np.linalg.eigh(np.asarray(entry.covariance))
    scales = np.sqrt(np.maximum(variances, 0))
    rows = center + (_strata(len(center)) * scales) @ axes.T
    rows[:, positive] = np.exp(rows[:, positive])
    return form(**dict(zip(coefficients, rows.T, strict=True)))


def resamples_of(entry: Entry | None) -> int:
    """How many resamples of its runs a fit has; none of a law without."""
    draws = None if entry is None else entry.draws
    return 0 if draws is None else len(jax.tree.leaves(draws)[0])


@cache
def _strata(axes: int) -> np.ndarray:
    """Standard normal numbers, one in each stratum of equal weight along each axis.

    A Latin hypercube (McKay et al. 1979), the same at each call: intervals must not jump as a
    slider moves.
    """
    normal, rng = NormalDist(), np.random.default_rng(0)
    strata = np.array([normal.inv_cdf((i + 0.5) / DRAWS) for i in range(DRAWS)])
    return np.stack([rng.permutation(strata) for _ in range(axes)], axis=-1)


def interval_note(name: str, entry: Entry | None, resampled: Plan | None) -> str:
    """What the intervals of a plan rest on, or why there are none, in a sentence.

    `resampled` are the plans by `draws_of(entry)`.
    """
    if entry is None:
        return "No intervals: the law is given by its coefficients alone."
    if resampled is None and draws_of(entry) is not None:
        return "The intervals are being computed."
    if resampled is None and entry.source.startswith("jaxscale "):
        return f"No intervals: {name} holds neither resamples nor a covariance."
    if resampled is None:
        return f"No intervals: the uncertainty of {name} is not published."
    count = len(resampled.status)
    origin = f"{count} {'resamples' if entry.draws is not None else 'draws'}"
    behind = "of the runs" if entry.draws is not None else f"from the covariance of {name}"
    lost = int(np.sum(~np.asarray(resampled.ok)))
    if lost > MOST_WITHOUT_PLAN * count:
        share = percent(lost / count)
        return f"No intervals: of {origin} {behind}, {lost} ({share}) have no plan."
    without = f", without the {lost} that have no plan" if lost else ""
    beyond = "; they do not count that the law may fail beyond its runs"
    outside = "" if bool(np.all(entry.in_range(resampled))) else beyond
    return f"Intervals hold 95 % of {origin} {behind}{without}{outside}."
