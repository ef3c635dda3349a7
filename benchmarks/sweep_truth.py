"""What sweeps of the grid must come to: the solver alone, checked against the true answers."""

from collections.abc import Iterator
from functools import lru_cache

import jax
import numpy as np

from benchmarks import ours
from benchmarks.problem import (
    CHECKED,
    SEED,
    TOLERANCE,
    grid_axes,
    require_agreement,
    true_plans,
)

ROWS_AT_ONCE = 1024  # a million scenarios


@lru_cache(maxsize=2)
def stored(rows: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """N and D of every scenario, in order."""
    params, tokens = zip(*_parts(rows, dtype), strict=True)
    return np.concatenate(params), np.concatenate(tokens)


def sums(rows: int, dtype: str) -> tuple[float, float]:
    """Sums of N and of D."""
    parts = [[x.sum(dtype=np.float64) for x in part] for part in _parts(rows, dtype)]
    params, tokens = np.sum(parts, axis=0)
    return params, tokens


def truth(rows: int, dtype: str) -> float:
    """How far off the truth the solver is in a sample of the grid; Disagreement if too far."""
    loss, demand = _axes(rows, dtype)
    draw = np.random.default_rng(SEED)
    inputs = tuple(axis[draw.integers(0, axis.size, CHECKED)] for axis in (loss, demand))
    found = jax.device_get(ours.params_and_tokens(*inputs))
    return require_agreement(f"solver, {dtype}", found, true_plans(*inputs), TOLERANCE[dtype])


def _parts(rows: int, dtype: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    loss, demand = _axes(rows, dtype)
    for start in range(0, rows, ROWS_AT_ONCE):
        here = loss[start : start + ROWS_AT_ONCE, None]
        yield tuple(x.ravel() for x in jax.device_get(ours.params_and_tokens(here, demand)))


def _axes(rows, dtype):
    """The axes as a sweep in `dtype` has them."""
    return tuple(axis.astype(dtype) for axis in grid_axes(rows))
