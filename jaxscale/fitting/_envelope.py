"""The envelope of training curves: the best size at each number of FLOPs, and its power law.

Approach 1 of Hoffmann et al. 2022, section 3.1, with other points for the line to go through.
The best of K sizes over FLOPs is a staircase, and a line through all of it is too flat, by one
part in K^2 where the steps are whole and by more where data end within one. Here the line goes
through the points where a larger size takes over from a smaller one.
"""

from typing import Any, NamedTuple

import numpy as np

from jaxscale.fitting.optimal_sizes import (
    LEAST_POINTS,
    Optima,
    OptimalSizes,
    allocation,
    checked_level,
    draws,
)
from jaxscale.fitting.resampling import generator
from jaxscale.fitting.runs import FLOPS_PER_PARAM_TOKEN, Runs, checked

VALUES = 1500  # of FLOPs, evenly in their logarithm: Hoffmann et al. 2022, section 3.1
LEAST_CHECKPOINTS = 3
LEAST_CURVES = 3
SAME_PARAMS = 1e-6  # relative: one training has one size, but for rounding in a table
# Sizes less apart than this differ by their shape as much as by their size.
APART = np.log(1.25)


def envelope(
    runs: Runs, *, resamples: int = 1000, key: Any = 0, level: float = 0.95
) -> OptimalSizes:
    """Compute-optimal size and data from the lower envelope of training curves.

    The runs of one `group` are the checkpoints of one training of one size. Between them loss
    is linear in log(6 N D). The curve of the least loss at each of 1500 FLOP values wins, and
    where a larger size overtakes a smaller one the best size is the geometric mean of both.
    A curve that only begins or ends where the winner changes overtakes nothing, and a point
    counts only between two sizes, a factor of 1.25 apart, that are seen to be no better.
    Lines in logarithms through the points, one for each pair of sizes, are `params = k C^a`
    and `tokens = k' C^b`. Intervals come from drawing whole curves with replacement. Runs of
    weight 0 are left out; other weights do not count.

    A checkpoint in the middle of a learning rate schedule is worse than a training that ends
    there, and the envelope takes that for a property of its size.

    Raises ValueError for runs with bad numbers or without groups, and for fewer than three
    curves, or fewer than three points whose sizes are a factor of 1.25 apart.

    Source: Hoffmann et al. 2022, section 3.1; its Table 2 has 80% intervals.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> sizes, lengths = np.geomspace(1e8, 3e9, 6), np.geomspace(1e9, 3e11, 60)
        >>> params, tokens = (x.ravel() for x in np.meshgrid(sizes, lengths, indexing="ij"))
        >>> loss = np.asarray(law.loss(params, tokens))
        >>> curves = js.Runs(params, tokens, loss, group=params)  # a curve for each size
        >>> print(f"{js.fitting.envelope(curves).params.exponent:.1f}")
        0.5
    """
    level, runs = checked_level(level), checked(runs)
    if runs.group is None:
        raise ValueError("an envelope needs a group for each run: the training that it is part of")
    tracks, refused = _tracks(runs.select(runs.weights > 0))
    if len(tracks) < LEAST_CURVES:
        raise ValueError(
            f"an envelope needs {LEAST_CURVES} curves, one for each group; got {len(tracks)}"
            + "".join(f"; {fault}" for fault in refused)
        )
    drawn = draws(np.zeros(len(tracks)), resamples, generator(key)) > 0
    optima = _overtakings(_curves(tracks), np.vstack([np.ones((1, len(tracks)), bool), drawn]))
    apart = _apart(optima)
    if apart[0] < LEAST_POINTS:
        sizes = len({track.params for track in tracks})
        raise ValueError(
            f"an envelope needs {LEAST_POINTS} points, a factor of {np.exp(APART):.2f} apart in "
            f"size, where a larger size overtakes the best smaller one; got {apart[0]} among "
            f"{sizes} sizes"
        )
    weights = np.where(apart[:, None] >= LEAST_POINTS, optima.weights, 0)
    return allocation(
        "envelope",
        optima._replace(weights=weights),
        _lowest(tracks, optima.log_flops[0]),
        refused,
        level,
    )


# --- Curves ----------------------------------------------------------------------------------


class Track(NamedTuple):
    """The checkpoints of one training, in order."""

    params: float
    log_flops: np.ndarray
    loss: np.ndarray


class Curves(NamedTuple):
    """Loss of each curve at the FLOP values, NaN outside its checkpoints."""

    log_flops: np.ndarray  # the values
    loss: np.ndarray  # (curves, values)
    sizes: np.ndarray  # distinct params, in order
    size_of: np.ndarray  # the number of each curve's size


def _tracks(runs: Runs) -> tuple[list[Track], list[str]]:
    """The good curves, and what is wrong with the others."""
    tracks: list[Track] = []
    refused: list[str] = []
    for label in np.unique(runs.group):
        members = runs.select(runs.group == label)
        if fault := _fault(members):
            refused.append(f"group {label}: {fault}")
            continue
        order = np.argsort(members.flops)
        log_flops = np.log(members.flops[order])
        tracks.append(Track(float(members.params[0]), log_flops, members.loss[order]))
    return tracks, refused


def _fault(members: Runs) -> str:
    """Why the runs of a group are not a training curve; empty if they are."""
    low, high = members.params.min(), members.params.max()
    if high > low * (1 + SAME_PARAMS):
        return f"its sizes differ, {low:.6g} to {high:.6g} params"
    if np.unique(members.tokens).size < len(members):
        return "two checkpoints at the same tokens"
    if len(members) < LEAST_CHECKPOINTS:
        return f"checkpoints: {len(members)}, and a curve needs {LEAST_CHECKPOINTS}"
    return ""


def _curves(tracks: list[Track]) -> Curves:
    ends = [track.log_flops[[0, -1]] for track in tracks]
    log_flops = np.linspace(float(np.min(ends)), float(np.max(ends)), VALUES)
    sizes, size_of = np.unique([track.params for track in tracks], return_inverse=True)
    return Curves(log_flops, _interpolated(tracks, log_flops), sizes, size_of)


def _interpolated(tracks: list[Track], log_flops: np.ndarray) -> np.ndarray:
    """Loss of each curve, shape (curves, values); NaN outside its checkpoints."""
    return np.stack(
        [np.interp(log_flops, each.log_flops, each.loss, np.nan, np.nan) for each in tracks]
    )


def _lowest(tracks: list[Track], log_flops: np.ndarray) -> np.ndarray:
    return np.nan_to_num(_interpolated(tracks, log_flops), nan=np.inf).min(axis=0)


# --- Points where a larger size takes over ---------------------------------------------------


def _overtakings(curves: Curves, present: np.ndarray) -> Optima:
    """Optima for each row of `present`, which says what curves take part: a column for a pair.

    A pair of sizes that, by noise, overtake each other more than once has the mean of its points.
    """
    row, point, smaller, larger = _points(curves, present)
    pairs, column = np.unique(np.stack([smaller, larger]), axis=1, return_inverse=True)
    shape = len(present), pairs.shape[1]
    cell = row * shape[1] + column.ravel()
    count = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    total = np.bincount(cell, point, minlength=shape[0] * shape[1]).reshape(shape)
    with np.errstate(invalid="ignore"):  # 0 / 0
        log_flops = total / count
    log_params = np.broadcast_to(np.log(curves.sizes)[pairs].mean(axis=0), shape)
    log_tokens = log_flops - np.log(FLOPS_PER_PARAM_TOKEN) - log_params
    return Optima(log_flops, log_params, log_tokens, (count > 0).astype(np.float64))


def _points(curves: Curves, present: np.ndarray) -> tuple[np.ndarray, ...]:
    """Row, log FLOPs, and indices of the smaller and larger size of each overtaking."""
    # The winner is the first in order that is present. Unseen curves are last, as NaN sorts.
    orders = np.argsort(curves.loss, axis=0).T
    winner = np.stack([order[present[:, order].argmax(axis=1)] for order in orders], axis=1)
    row, at = np.nonzero(np.diff(curves.size_of[winner], axis=1) > 0)
    old, new = winner[row, at], winner[row, at + 1]
    behind = curves.loss[new, at] - curves.loss[old, at]
    ahead = curves.loss[old, at + 1] - curves.loss[new, at + 1]
    step = curves.log_flops[1] - curves.log_flops[0]
    point = curves.log_flops[at] + step * behind / (behind + ahead)
    # Resamples share most of their overtakings.
    events, event = np.unique(np.stack([at, old, new]), axis=1, return_inverse=True)
    below, above = _worse(curves, *events)
    takes_part, event = present[row], event.ravel()
    counts = (takes_part & below[event]).any(axis=1) & (takes_part & above[event]).any(axis=1)
    counts &= np.isfinite(point)  # both are seen, before and after
    sizes = curves.size_of[old[counts]], curves.size_of[new[counts]]
    return row[counts], point[counts], *sizes


def _worse(
    curves: Curves, at: np.ndarray, old: np.ndarray, new: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which curves show that a smaller size is worse where one overtakes, and that a larger is.

    A smaller curve that ended before counts if it was worse when it ended, and a larger one
    that has not begun if it is worse when it begins. Shape (overtakings, curves), both.
    """
    seen, values = np.isfinite(curves.loss), np.arange(VALUES)
    last = np.maximum.accumulate(np.where(seen, values, 0), axis=1)[:, at].T
    first = np.where(seen, values, VALUES - 1)[:, ::-1]
    first = np.minimum.accumulate(first, axis=1)[:, ::-1][:, at + 1].T
    log_params = np.log(curves.sizes)[curves.size_of]
    middle = (log_params[old] + log_params[new])[:, None] / 2
    every = np.arange(len(curves.loss))
    below = curves.loss[old[:, None], last] <= curves.loss[every, last]
    above = curves.loss[new[:, None], first] <= curves.loss[every, first]
    below &= log_params <= middle - APART / 2
    above &= log_params >= middle + APART / 2
    return below, above


def _apart(optima: Optima) -> np.ndarray:
    """Number of sizes of each row that lie apart, counted from the smallest."""
    count = np.zeros(len(optima.weights), np.int64)
    last = np.full(len(optima.weights), -np.inf)
    for column in np.argsort(optima.log_params[0]):
        size = optima.log_params[0, column]
        counts = (optima.weights[:, column] > 0) & (size >= last + APART)
        count, last = count + counts, np.where(counts, size, last)
    return count
