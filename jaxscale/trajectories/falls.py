"""The falls of a learning rate as a law over steps sums them, in few terms.

A sum over steps k of `fall_k f(rate_k, sum of rates since k)` becomes, for each step where a loss
is asked for, one of some twenty terms for each piece: a run of steps where the rate falls, or
rises. The terms are Gauss's rule for these very falls, which is exact for polynomials of degree
2 POINTS - 1, in a coordinate where a law's terms are smooth. Where the rate is constant nothing
falls, and falls that are few are their own terms.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from jaxscale.trajectories.schedules import Schedule

POINTS = 20  # of a rule: the sum is then within 1e-8 of a loss, as `_is_close` sees to
NEAR = 8  # last steps of a warm-up
LEAST_RATE = 1e-30  # of a rate that is 0, for its logarithm
# Falls at least so many steps back are read in groups of so many, as two points each: of a group's
# share of the distance only the fourth power matters, 6e-8.
FAR, GROUP = 512, 8
# Share of the largest rate that a rule may miss, at terms like those of published laws.
TOLERANCE = 1e-7
TYPICAL = ((0.1, 0.6, 0.6), (1.0, 0.2, 0.9))  # C, beta, gamma, of rates over the largest
MOST_TERMS = 4096


class Falls(NamedTuple):
    """Terms of the sum: of one step, or rows of them, where a fall of 0 fills a row."""

    falls: np.ndarray
    log_rates: np.ndarray  # of the rate fallen to
    log_since: np.ndarray  # of the sum of rates since, with that one


class _Steps(NamedTuple):
    """Falls at some moments of a schedule, which need not be whole steps."""

    falls: np.ndarray
    log_rates: np.ndarray
    before: np.ndarray  # sum of the rates before

    def part(self, chosen: slice) -> "_Steps":
        return _Steps(*(x[chosen] for x in self))

    def seen_from(self, total: float) -> Falls:
        """The terms at a step where the sum of rates is `total`."""
        since = np.log(np.maximum(total - self.before, LEAST_RATE))
        return Falls(self.falls, self.log_rates, since)


class _Piece(NamedTuple):
    """A run of steps whose rates fall, or rise."""

    first: int
    stop: int
    steps: _Steps
    groups: _Steps  # two points each; of rises none
    whole: _Steps  # the rule of all of it, for steps that are far beyond

    @property
    def length(self) -> int:
        return self.stop - self.first


def falls_of(schedule: Schedule, steps: np.ndarray) -> Falls:
    """The terms of a schedule at some steps.

    Raises ValueError where the rate goes up and down too often to be summed in few terms.
    """
    sums = schedule.sums()
    pieces = list(_pieces(schedule, sums))
    rows = [np.stack(_terms(pieces, sums, int(step))) for step in steps]
    most = max(1, max(row.shape[1] for row in rows))
    if most > MOST_TERMS:
        raise ValueError(
            f"the schedule's rate turns up or down {len(pieces):,} times: smooth it, or fit "
            "the momentum law, which needs no sum over its falls"
        )
    return Falls(*np.stack([np.pad(row, ((0, 0), (0, most - row.shape[1]))) for row in rows], 1))


def _terms(pieces: list[_Piece], sums: np.ndarray, step: int) -> Falls:
    started = [piece for piece in pieces if piece.first < step]
    terms = [_seen(piece, sums, step) for piece in started] or [Falls(*np.zeros((3, 0)))]
    return Falls(*(np.concatenate(parts) for parts in zip(*terms, strict=True)))


def _seen(piece: _Piece, sums: np.ndarray, step: int) -> Falls:
    """The terms of a piece, or of what of it has passed."""
    if step >= piece.stop + piece.length:
        return piece.whole.seen_from(sums[step])
    return _rule(_passed(piece, step).seen_from(sums[step]))


def _passed(piece: _Piece, step: int) -> _Steps:
    """What of a piece has passed: in groups, and the last steps one by one."""
    stop = min(piece.stop, step) - piece.first
    groups = max(0, min(step - FAR - piece.first, stop) // GROUP)
    if not piece.groups.falls.size:
        return piece.steps.part(slice(0, stop))
    parts = piece.groups.part(slice(0, 2 * groups)), piece.steps.part(slice(groups * GROUP, stop))
    return _Steps(*(np.concatenate(x) for x in zip(*parts, strict=True)))


# --- Pieces ----------------------------------------------------------------------------------


def _pieces(schedule: Schedule, sums: np.ndarray) -> Iterator[_Piece]:
    rates = np.log(np.maximum(schedule.rates[1:], LEAST_RATE))
    steps = _Steps(schedule.drops, rates, sums[:-1])
    # A fall to a rate of 0 has no neighbours: the logarithm of its rate is infinite.
    sign = np.sign(schedule.drops) * np.where(schedule.rates[1:] > 0, 1, 2)
    starts = np.flatnonzero(np.diff(sign, prepend=0) != 0).tolist()
    for start, stop in pairwise([*starts, len(sign)]):
        if sign[start]:
            yield from _split(steps, sums, start, stop)


def _split(steps: _Steps, sums: np.ndarray, first: int, stop: int) -> Iterator[_Piece]:
    """A piece, in halves for as long as a rule does not sum it closely, as at a kink."""
    piece = _piece(steps.part(slice(first, stop)), first)
    if piece.length <= POINTS or _is_close(steps, sums, piece):
        yield piece
        return
    middle = (first + stop) // 2
    yield from _split(steps, sums, first, middle)
    yield from _split(steps, sums, middle, stop)


def _piece(steps: _Steps, first: int) -> _Piece:
    # Rises are not grouped: they begin at a rate of almost 0, which changes its logarithm fast.
    size = GROUP if steps.falls[0] > 0 else 0
    return _Piece(first, first + steps.falls.size, steps, _in_groups(steps, size), _whole(steps))


def _in_groups(steps: _Steps, size: int) -> _Steps:
    """Two points for each group of steps, with its mean and variance."""
    count = steps.falls.size // size if size else 0
    if not count:
        return steps.part(slice(0, 0))
    falls = steps.falls[: count * size].reshape(count, size)
    total, at = falls.sum(axis=1), np.arange(size)
    mean = falls @ at / total
    spread = np.sqrt(np.maximum(falls @ at**2 / total - mean**2, 0))
    middle = mean + size * np.arange(count)
    moments = np.stack([middle - spread, middle + spread], 1).ravel()
    every = np.arange(steps.falls.size)
    others = (np.interp(moments, every, x) for x in steps[1:])
    return _Steps(np.repeat(total / 2, 2), *others)


def _whole(steps: _Steps) -> _Steps:
    """The rule of all steps, in a coordinate that no later step changes."""
    if steps.falls.size <= POINTS:
        return steps
    along = steps.before if steps.falls[0] > 0 else steps.log_rates
    points, weights = gauss(along, steps.falls)
    return _Steps(weights, *(_between(points, along, x) for x in steps[1:]))


def _rule(terms: Falls) -> Falls:
    """Gauss's rule for terms of one sign; the terms themselves where they are few."""
    if terms.falls.size <= POINTS:
        return terms
    if terms.falls[0] > 0:
        return _gauss_rule(terms, terms.log_since)
    # A warm-up begins at a rate of almost 0, where terms are smooth in the logarithm of that. Its
    # last steps are terms themselves: between them too much changes to be interpolated.
    early, late = (Falls(*(x[part] for x in terms)) for part in (slice(-NEAR), slice(-NEAR, None)))
    rule = _gauss_rule(early, early.log_since - early.log_rates)
    return Falls(*(np.concatenate(pair) for pair in zip(rule, late, strict=True)))


def _gauss_rule(terms: Falls, along: np.ndarray) -> Falls:
    """Gauss's rule in a coordinate that descends along the steps."""
    points, weights = gauss(along, terms.falls)
    others = (_between(points, along[::-1], x[::-1]) for x in terms[1:])
    return Falls(weights, *others)


def _is_close(steps: _Steps, sums: np.ndarray, piece: _Piece) -> bool:
    """Whether the rules of a piece give its sums at its middle and end and far beyond."""
    middle, last = (piece.first + piece.stop + 1) // 2, len(sums) - 1
    seen = {middle, piece.stop, min(piece.stop + piece.length, last), last}
    peak = float(steps.log_rates.max())

    def missed(step: int) -> float:
        exact = steps.part(slice(piece.first, min(piece.stop, step))).seen_from(sums[step])
        rule = _seen(piece, sums, step)
        errors = [_sum(rule, peak, each) - _sum(exact, peak, each) for each in TYPICAL]
        return float(np.abs(errors).max() / np.exp(peak))

    return max(map(missed, sorted(seen))) <= TOLERANCE


def _sum(terms: Falls, peak: float, typical: tuple[float, float, float]) -> float:
    scale, beta, gamma = typical
    scaled = scale * np.exp(terms.log_since - peak - gamma * (terms.log_rates - peak))
    return float(np.sum(terms.falls * -np.expm1(-beta * np.log1p(scaled))))


# --- Gauss's rule ------------------------------------------------------------------------------


def gauss(x: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights of Gauss's rule for weights of one sign at x, by Lanczos's recurrence.

    Source: Golub and Welsch 1969; Gautschi 2004, Section 2.2.
    """
    total = float(weights.sum())
    middle, half = (x.max() + x.min()) / 2, (x.max() - x.min()) / 2
    scaled = (x - middle) / half
    vector, before = np.sqrt(weights / total), np.zeros_like(x)
    diagonal, beside = np.zeros(POINTS), np.zeros(POINTS)
    for i in range(POINTS):
        ahead = scaled * vector
        diagonal[i] = _dot(ahead, vector)
        ahead -= diagonal[i] * vector + beside[i - 1] * before
        beside[i] = np.sqrt(_dot(ahead, ahead))
        before, vector = vector, ahead / beside[i]
    matrix = np.diag(diagonal) + np.diag(beside[:-1], 1) + np.diag(beside[:-1], -1)
    points, vectors = np.linalg.eigh(matrix)
    return middle + half * points, total * vectors[0] ** 2


def _dot(x: np.ndarray, y: np.ndarray) -> float:
    # Not BLAS, whose threads wait for each other longer than this takes.
    return float(np.einsum("i,i->", x, y))


def _between(points: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Values at points between ascending x, by the cubic through the four that are nearest."""
    first = np.clip(np.searchsorted(x, points) - 2, 0, len(x) - 4)
    near = first[:, None] + np.arange(4)
    off = points[:, None] - x[near]
    value = np.zeros_like(points)
    for i in range(4):
        others = [j for j in range(4) if j != i]
        share = [off[:, j] / (x[near[:, j]] - x[near[:, i]]) for j in others]
        value += y[near[:, i]] * -np.prod(share, axis=0)
    return value
