"""Fits to runs of ever longer training: how a law depends on the tokens per parameter it saw."""

from typing import Any, NamedTuple

import numpy as np

from jaxscale.fitting._fit import Fit, checked_for, fit
from jaxscale.fitting.runs import Runs
from jaxscale.laws.chinchilla import Chinchilla

CUTOFFS = (100.0, 250.0, 500.0, np.inf)  # Sardana et al. 2024, Table 1


class Subset(NamedTuple):
    """The fit to the runs with at most so many tokens for each parameter."""

    most_tokens_per_param: float
    runs: int
    fit: Fit


def fit_by_ratio(
    runs: Runs, cutoffs: tuple[float, ...] = CUTOFFS, *, law: type = Chinchilla, **options: Any
) -> tuple[Subset, ...]:
    """A fit for each cut-off on tokens per parameter, side by side.

    `law` and `options` go to `fit`.

    Raises ValueError for a cut-off that no run keeps.

    Source: Sardana et al. 2024, Section 5, Table 1 and Figure 5.

    Examples:
        >>> runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
        >>> (subset,) = js.fitting.fit_by_ratio(runs, cutoffs=(500.0,))
        >>> print(f"{subset.runs} runs, beta = {subset.fit.law.beta:.2f}")
        240 runs, beta = 0.37
    """
    known = checked_for(law, runs)
    found = []
    for cutoff in cutoffs:
        # A ratio of two rounded counts may miss the cut-off that it was meant to be.
        kept = known.select(known.tokens_per_param <= cutoff * (1 + 1e-9))
        if not len(kept):
            least = known.tokens_per_param.min()
            raise ValueError(f"no run has at most {cutoff:g} tokens per param; least: {least:g}")
        found.append(Subset(float(cutoff), len(kept), fit(law, kept, **options)))
    return tuple(found)
