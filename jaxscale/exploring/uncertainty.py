"""Laws as their runs allow them: resamples of a fit, or draws from a published covariance."""

from dataclasses import fields
from typing import Any

import jax
import numpy as np

from jaxscale.published import Entry

DRAWS = 200  # laws behind an interval on the page


def draws_of(entry: Entry | None) -> Any:
    """Laws with a leading axis that the runs behind the entry allow; None where not known."""
    if entry is None:
        return None
    if entry.draws is not None:
        rows = len(jax.tree.leaves(entry.draws)[0])
        kept = np.linspace(0, rows - 1, min(DRAWS, rows)).astype(int)
        return jax.tree.map(lambda x: np.asarray(x)[kept], entry.draws)
    if entry.covariance is None:
        return None
    names = [each.name for each in fields(entry.law)]
    fitted = getattr(type(entry.law), "fitted", {})
    positive = np.array([name not in fitted or fitted[name].positive for name in names])
    center = np.array([float(getattr(entry.law, name)) for name in names])
    center[positive] = np.log(center[positive])
    rows = np.random.default_rng(0).multivariate_normal(center, entry.covariance, DRAWS)
    rows[:, positive] = np.exp(rows[:, positive])
    return type(entry.law)(**dict(zip(names, rows.T, strict=True)))
