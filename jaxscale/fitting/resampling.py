"""Which runs each resample holds: resample i is the same however resamples are chunked."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxscale._numerics.keys import key_data

BLOCK = 64  # resamples drawn from one counter


def key_words(key: Any) -> np.ndarray:
    """128 bits for a NumPy generator from a JAX key or a whole number; TypeError for others."""
    words = key_data(key).astype(np.uint64)
    return np.array([words[1] | words[0] << np.uint64(32), words[2:].sum()], np.uint64)


def generator(key: Any) -> np.random.Generator:
    """NumPy's generator of a key."""
    return np.random.Generator(np.random.Philox(key=key_words(key)))


def drawn(units: int, resamples: int, key: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks of rows of `units` places each, drawn with replacement among as many units."""
    for block in range(0, resamples, BLOCK):
        bits = np.random.Philox(key=key, counter=[0, 0, block // BLOCK, 0])
        rows = np.random.Generator(bits).integers(units, size=(BLOCK, units))
        yield rows[: resamples - block]


def multiplicities(rows: np.ndarray, units: int) -> np.ndarray:
    """How often each unit stands in each row: rows, units."""
    offset = np.arange(len(rows))[:, None] * units
    return np.bincount((rows + offset).ravel(), minlength=len(rows) * units).reshape(-1, units)


def checked_indices(indices: Any, units: int, kind: str) -> np.ndarray:
    """A table of places among the units; ValueError for another shape or places outside."""
    table = np.asarray(indices)
    if table.ndim != 2 or table.dtype.kind not in "iu" or not table.size:
        raise ValueError(
            f"indices must be whole numbers, one row a resample; got dtype {table.dtype} "
            f"and shape {table.shape}"
        )
    if table.min() < 0 or table.max() >= units:
        wrong = table.min() if table.min() < 0 else table.max()
        raise ValueError(f"indices must be places among {units} {kind}, from 0 on; got {wrong}")
    return table
