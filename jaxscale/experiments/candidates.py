"""Runs that may be trained next: as they are given, or sizes around the best of some budgets."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxscale._numerics.padded import padded
from jaxscale._numerics.quantities import scientific
from jaxscale.experiments._information import Information
from jaxscale.experiments.question import Question, host
from jaxscale.laws.protocol import levers_of
from jaxscale.solve import compute_optimal

REACH = 1.2  # decades of params around the best size of a budget
BEYOND_DRAWS = 0.6  # decades beyond the sizes that all but a hundredth of the resamples say
SIZES = 31  # of a budget
# Budgets of single runs, where only that of all together is given: half decades below it.
LEVELS = 10.0 ** np.arange(-3, 0.25, 0.5)
SAME = 1 - 1e-6


class Candidates(NamedTuple):
    """Runs that may be trained: columns of one length."""

    params: np.ndarray
    tokens: np.ndarray
    levers: dict[str, np.ndarray]

    def select(self, index: np.ndarray) -> "Candidates":
        levers = {name: column[index] for name, column in self.levers.items()}
        return Candidates(self.params[index], self.tokens[index], levers)


def candidates_of(law: Any, given: Any, levers: Mapping[str, float]) -> Candidates:
    """Columns of what a caller gives: runs, or (params, tokens).

    Raises TypeError for anything else, ValueError for columns that do not fit together.
    """
    if hasattr(given, "params") and hasattr(given, "tokens"):
        pair, own = (given.params, given.tokens), dict(getattr(given, "levers", None) or {})
    elif isinstance(given, Sequence | np.ndarray) and len(given) == 2:
        pair, own = tuple(given), {}
    else:
        raise TypeError(
            "candidates must have params and tokens, as js.Runs, or be a pair of columns; "
            f"got {type(given).__name__}"
        )
    values = {name: own.get(name, levers.get(name)) for name in levers_of(law)}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise ValueError(f"candidates need levers: {', '.join(missing)} has no value")
    try:
        columns = [np.asarray(x, np.float64) for x in (*pair, *values.values())]
        params, tokens, *rest = np.broadcast_arrays(*map(np.atleast_1d, columns))
    except (TypeError, ValueError):
        raise ValueError("candidates must be columns of numbers, all of one length") from None
    if params.ndim != 1 or not params.size:
        raise ValueError(f"candidates must be columns of numbers; got shape {params.shape}")
    return Candidates(params, tokens, dict(zip(values, rest, strict=True)))


def budgets_within(known: Information, flops: float) -> np.ndarray:
    """Budgets of single runs, from a thousandth of all that may be spent, by half decades.

    None below the smallest of the runs behind the fit, where nothing says that the law holds;
    ValueError where all are.
    """
    if flops < known.smallest * SAME:
        raise ValueError(
            f"budget, {scientific(flops)} FLOPs, does not pay for the smallest of the runs so far, "
            f"{scientific(known.smallest)} FLOPs: nothing says that the law holds below it"
        )
    budgets = flops * LEVELS
    return budgets[budgets >= known.smallest * SAME]


def around(known: Information, budgets: Any, levers: Mapping[str, float]) -> Candidates:
    """31 sizes for each budget of FLOPs, from a sixteenth of the best size to sixteen times it.

    Wider where the resamples disagree on the best size. Beyond that, laws fail at their edges.
    """
    flops = np.atleast_1d(np.asarray(budgets, np.float64))
    if flops.ndim != 1 or not flops.size or not (np.isfinite(flops) & (flops > 0)).all():
        raise ValueError(f"budgets must be FLOPs of single runs, above 0; got {budgets!r}")
    centre, low, high = _centres(known, flops, levers)
    with np.errstate(invalid="ignore"):
        low = np.minimum(centre * 10**-REACH, low * 10**-BEYOND_DRAWS)
        high = np.maximum(centre * 10**REACH, high * 10**BEYOND_DRAWS)
    # From -1 to 1, so that the middle is the best size itself.
    steps = np.linspace(-1, 1, SIZES)
    to_low, to_high = (np.abs(np.log(end / centre))[:, None] for end in (low, high))
    log_params = np.log(centre)[:, None] + np.where(steps < 0, to_low, to_high) * steps
    params = np.exp(log_params).ravel()
    question = Question(1.0, levers=levers)
    tokens = question.tokens_at(known.law, params, np.repeat(flops, SIZES))
    return Candidates(
        params, tokens, {name: np.full(len(params), float(x)) for name, x in levers.items()}
    )


def _centres(
    known: Information, flops: np.ndarray, levers: Mapping[str, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Best sizes by the law, and the range of those of nearly all resamples."""
    with jax.enable_x64(True):
        best = host(compute_optimal, known.law, flops=flops, levers=levers or None)
        centre = np.asarray(best.params)
        if not np.isfinite(centre).all():
            raise ValueError("the law has no compute-optimal size at some of the budgets")
        if known.laws is None:
            return centre, centre, centre
        laws = jax.tree.map(lambda x: np.reshape(x, (-1, 1)), known.laws)
        drawn = np.asarray(padded(compute_optimal)(laws, flops=flops, levers=levers or None).params)
    with np.errstate(invalid="ignore"):
        low, high = np.nanquantile(drawn, [0.01, 0.99], axis=0)
    return centre, low, high
