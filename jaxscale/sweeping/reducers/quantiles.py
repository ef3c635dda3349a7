"""Quantiles from counts of nearly equal values: DDSketch, Masson et al. 2019.

DDSketch counts values in buckets whose ends have a fixed ratio. Here the values of a bucket share
sign, exponent and leading bits of the mantissa, so that its number is the bit pattern
shifted, with no logarithm, and any two sketches merge by adding counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxscale.sweeping.reducers.protocol import (
    Count,
    FieldReducer,
    Group,
    Known,
    Lanes,
    Locate,
    Parts,
    Tally,
    Term,
    Total,
    as_floats,
    check_real,
    where,
    whole,
)
from jaxscale.sweeping.reducers.results import OfField, Table, written


@dataclass(frozen=True, repr=False)
class QuantilesResult(OfField):
    """Quantiles of a field; NaN where no scenario counts."""

    levels: np.ndarray
    values: np.ndarray

    def table(self) -> Table:
        rows = [
            (f"{100 * level:g} %", written(value))
            for level, value in zip(self.levels, self.values, strict=True)
        ]
        return ("share of scenarios", "at or below"), rows

    def columns(self) -> dict[str, Any]:
        return {"level": self.levels, "value": self.values}


@dataclass(frozen=True)
class Quantiles(FieldReducer):
    """Values below which given shares of the scenarios lie.

    At level q it is the value of rank `floor(q (n - 1))` among n, counted from 0, to within
    `relative_error` (0.001 to 0.5) of it, for both signs. Values below the normal range of the
    dtype count as 0. On the device a float64 field takes 1 MiB at 1 %, a float32 field 128 KiB.

    Examples:
        >>> median = js.Quantiles("square", levels=(0.5,))
        >>> space = js.Grid(x=js.linspace(0, 10, 11))
        >>> stats = js.sweep(lambda x: {"square": x * x}, space, reduce=[median])
        >>> print(f"{stats[median].values[0]:.0f}")
        25
    """

    levels: tuple[float, ...] = (0.05, 0.25, 0.5, 0.75, 0.95)
    relative_error: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        levels = as_floats("levels", self.levels)
        if not levels:
            raise ValueError("levels must hold at least one number from 0 to 1; it is empty")
        for level in levels:
            check_real("levels", level, 0.0, 1.0)
        check_real("relative_error", self.relative_error, 0.001, 0.5)
        object.__setattr__(self, "levels", levels)

    def terms(self, lanes: Lanes, known: Known) -> Mapping[str, Term]:
        del known
        x, good = lanes.real(self.field), lanes.good(self.field)
        keys = _bucket(where(good, x, 0), self._leading_bits)
        size = 1 << (1 + np.finfo(x.dtype).nexp + self._leading_bits)
        return {
            "counts": Tally(good, keys, size),
            "skipped": Count(lanes.skipped(self.field)),
        }

    def total(self, parts: Parts, known: Known, starts: np.ndarray, group: Group) -> Total:
        del known, starts, group
        counts = parts["counts"]
        buckets = np.flatnonzero(counts)
        # The number of buckets tells the dtype: there are two of them.
        dtype = np.float32 if counts.size < 1 << (12 + self._leading_bits) else np.float64
        values = _representatives(buckets, self._leading_bits, dtype)
        return _gathered(values, counts[buckets].astype(np.int64), whole(parts["skipped"]))

    def merge(self, one: Total, other: Total) -> Total:
        values = np.concatenate([one["values"], other["values"]])
        counts = np.concatenate([one["counts"], other["counts"]])
        return _gathered(values, counts, one["skipped"] + other["skipped"])

    def result(self, total: Total, locate: Locate) -> QuantilesResult:
        del locate
        levels, values = np.array(self.levels), total["values"]
        up_to = np.cumsum(total["counts"])
        count = int(up_to[-1]) if up_to.size else 0
        if count:
            ranks = np.floor(levels * (count - 1)).astype(np.int64)
            found = values[np.searchsorted(up_to, ranks, side="right")]
        else:
            found = np.full(levels.shape, np.nan)
        return QuantilesResult(count, int(total["skipped"]), levels, found)

    @property
    def _leading_bits(self) -> int:
        """The fewest bits of the mantissa that keep a bucket's middle near enough to its ends."""
        return next(bits for bits in range(10) if 1 / (2 ** (bits + 1) + 1) <= self.relative_error)


def _bucket(x: Array, leading_bits: int) -> Array:
    limits = np.finfo(x.dtype)
    word = jnp.int32 if limits.bits == 32 else jnp.int64
    pattern = lax.bitcast_convert_type(x, word)
    shift = jnp.full_like(pattern, limits.nmant - leading_bits)
    return lax.shift_right_logical(pattern, shift).astype(jnp.int32)


def _representatives(buckets: np.ndarray, leading_bits: int, dtype) -> np.ndarray:
    """The value of each bucket that has the same relative error at both ends: float64."""
    limits = np.finfo(dtype)
    exponent = (buckets >> leading_bits) & ((1 << limits.nexp) - 1)
    parts = 1 << leading_bits
    low = 1 + (buckets & (parts - 1)) / parts
    high = low + 1 / parts
    sizes = np.ldexp(2 * low * high / (low + high), exponent + (limits.minexp - 1))
    signs = np.where(buckets >> (leading_bits + limits.nexp), -1.0, 1.0)
    return np.where(exponent == 0, 0.0, signs * sizes)


def _gathered(values: np.ndarray, counts: np.ndarray, skipped: np.ndarray) -> Total:
    """A total with the counts of equal values added, in the order of the values."""
    distinct, inverse = np.unique(values, return_inverse=True)
    together = np.zeros(distinct.size, np.int64)
    np.add.at(together, inverse, counts)
    return {"values": distinct, "counts": together, "skipped": np.asarray(skipped)}
