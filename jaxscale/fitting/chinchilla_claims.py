"""Claims of a Chinchilla fit: which terms are not identified, and which combinations are.

More is known of the terms of this law than of others: an exponent of almost 0 makes a second
constant, at one ratio of tokens to params the two powers may swap, and runs of one size identify
the constant E + A / N^alpha although not its parts.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxscale.fitting.claims import Claims, Design, Ending, claims_of, open_at
from jaxscale.fitting.constraints import LEAST_E_SHARE, Constraints
from jaxscale.laws.chinchilla import LEAST_EXPONENT, MOST_EXPONENT

# Of the kernel, in the order of the law's fields.
LN_E, LN_A, LN_B, ALPHA, BETA = COORDINATES = range(5)
NAMES = ("E", "A", "B", "alpha", "beta")
ALONG = 1e-5  # relative: the most that an identified combination changes along a null direction
PAIR = [LN_A, LN_B, ALPHA, BETA]


class Term(NamedTuple):
    """A power of a size."""

    scale: int
    exponent: int
    constant: str  # with E, as it is written
    flat: str  # the reason where it explains nothing


SIZE = Term(LN_A, ALPHA, "E + A/N^alpha", "larger models are not better in these runs")
DATA = Term(LN_B, BETA, "E + B/D^beta", "longer trainings are not better in these runs")


def claims_of_chinchilla(
    ending: Ending, middle: Sequence[float], held: Sequence[str], design: Design
) -> Claims:
    """The claims at centred coefficients; `middle` are the means of centred log sizes."""
    unknown, directions = open_at(ending, np.arange(5) < ALPHA)
    reason = ""
    for term in (SIZE, DATA):
        if ending.open[term.exponent] or not _is_flat(ending, term):
            continue  # no run depends on the exponent, so that its value means nothing
        more = _flat_directions(ending, term)
        directions = np.concatenate([directions, more], axis=1)
        unknown |= (more != 0).any(axis=1)
        reason = reason or term.flat
    if design.is_line and _may_swap(ending.asked):
        if not unknown[PAIR].all():
            directions = np.concatenate([directions, np.eye(5)[:, PAIR]], axis=1)
        unknown[PAIR] = True
    free = np.diag(ending.asked.projection) > 0
    for term in (SIZE, DATA):  # scales are terms at 1 param or 1 token, far from the runs
        unknown[term.scale] |= unknown[term.exponent] and free[term.scale]
    combinations = _known_instead(ending, middle, unknown, directions, design)
    return claims_of(ending, NAMES, held, design, unknown, reason, combinations, directions)


def _is_flat(ending: Ending, term: Term) -> bool:
    """Whether a term has vanished, or its exponent is at an end where it says nothing."""
    free, value = ending.asked.projection, ending.coordinates[term.exponent]
    if free[term.exponent, term.exponent] == 0:
        return False
    gone = np.abs(ending.slopes[:, term.scale]).max() < LEAST_E_SHARE
    gone &= bool(free[term.scale, term.scale] > 0)
    return bool(gone or value <= LEAST_EXPONENT or value >= MOST_EXPONENT)


def _flat_directions(ending: Ending, term: Term) -> np.ndarray:
    """Directions without effect on the runs: the exponent, and the scale traded with E."""
    exponent = np.eye(5)[:, term.exponent]
    free = np.diag(ending.asked.projection) > 0
    steep = ending.coordinates[term.exponent] >= MOST_EXPONENT
    trade = np.zeros(5)
    if free[term.scale]:
        trade[term.scale] = 1
    if free[term.scale] and free[LN_E] and not steep:
        # A power of almost 0 is one more constant. The trade is not quite 0, so that E is named.
        share, rest = (np.abs(ending.slopes[:, each]).mean() for each in (term.scale, LN_E))
        trade[LN_E] = -max(float(share / max(rest, 1e-300)), 1e-300)
    return np.stack([exponent, trade], axis=1)


def _may_swap(asked: Constraints) -> bool:
    """Whether no constraint tells one term from the other."""
    free = np.diag(asked.projection)[PAIR] == 1
    bounds = np.isfinite(asked.low[PAIR[:2]]) | np.isfinite(asked.high[PAIR[:2]])
    alike = asked.low[ALPHA] == asked.low[BETA] and asked.high[ALPHA] == asked.high[BETA]
    return bool(free.all() and not bounds.any() and alike and not asked.prior.precision[PAIR].any())


def _known_instead(
    ending: Ending,
    middle: Sequence[float],
    unknown: np.ndarray,
    directions: np.ndarray,
    design: Design,
) -> Mapping[str, tuple[float, float]]:
    """Value and standard error of combinations that are identified although their parts are not."""
    rest, at_size, at_data = np.exp(ending.coordinates[[LN_E, LN_A, LN_B]])
    alpha, beta = ending.coordinates[[ALPHA, BETA]]
    size, data = at_size * np.exp(-alpha * middle[0]), at_data * np.exp(-beta * middle[1])
    by_rest = np.array([rest, 0, 0, 0, 0])
    by_size = np.array([0, size, 0, -middle[0] * size, 0])
    by_data = np.array([0, 0, data, 0, -middle[1] * data])
    one_cell = max(design.params, design.tokens) == 1
    said: dict[str, tuple[float, np.ndarray]] = {}
    if one_cell:
        said["E + A/N^alpha + B/D^beta"] = size + data + rest, by_size + by_data + by_rest
    elif unknown[ALPHA] and (design.params == 1 or (unknown[LN_E] and _is_flat(ending, SIZE))):
        said[SIZE.constant] = size + rest, by_size + by_rest
    elif unknown[BETA] and (design.tokens == 1 or (unknown[LN_E] and _is_flat(ending, DATA))):
        said[DATA.constant] = data + rest, by_data + by_rest
    elif design.is_line and design.ratios == 1 and abs(alpha - beta) < ALONG:
        both = size + data
        along = np.array([0, 0, 0, size, data]) / both
        said["exponent along the one ratio"] = (size * alpha + data * beta) / both, along
    known: dict[str, tuple[float, float]] = {}
    for name, (value, slope) in said.items():
        change = np.abs(slope @ directions).max(initial=0)
        if change <= ALONG * np.abs(slope).max():
            error = float(np.sqrt(max(slope @ ending.covariance @ slope, 0)))
            known[name] = float(value), error
    return known
