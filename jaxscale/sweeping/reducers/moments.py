"""Mean, standard deviation, minimum and maximum of each chunk, merged on the host.

A chunk's mean is taken twice, the second time of the deviations from the first, so it has more
digits than its dtype holds. The host merges chunks in float64 (Chan, Golub, LeVeque 1983).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxscale.sweeping.reducers.protocol import (
    Chunk,
    FieldReducer,
    Group,
    Locate,
    Total,
    dtype_of,
    lanes,
    real,
)
from jaxscale.sweeping.reducers.results import OfField, Table, table_of

LEAST = -(2**20)  # exponent of an empty sum: below that of any number


@dataclass(frozen=True, repr=False)
class MomentsResult(OfField):
    """Moments of a field; NaN where no scenario counts."""

    mean: float
    std: float  # of the whole population, as `numpy.std`
    min: float
    max: float

    def table(self) -> Table:
        return table_of({name: [getattr(self, name)] for name in ("mean", "std", "min", "max")})

    def columns(self) -> dict[str, Any]:
        return {name: [number] for name, number in vars(self).items()}


class Summary(NamedTuple):
    """One chunk, or each chunk of a group. Sums are of values divided by `2 ** exponent`."""

    count: Array
    skipped: Array
    exponent: Array
    mean: Array
    left: Array  # sum of deviations from `mean`, 0 but for rounding
    squares: Array  # sum of squared deviations from `mean`
    min: Array
    max: Array


@dataclass(frozen=True)
class Moments(FieldReducer):
    """Count, mean, standard deviation, minimum and maximum of a field.

    The mean is right to 1e-6 of the mean magnitude, for any number of float32 scenarios.

    Examples:
        >>> moments = js.Moments("square")
        >>> space = js.Grid(x=js.linspace(0, 10, 11))
        >>> stats = js.sweep(lambda x: {"square": x * x}, space, reduce=[moments])
        >>> stats[moments].count, stats[moments].max
        (11, 100.0)
    """

    def start(self, group: Group, dtypes: Mapping[str, np.dtype]) -> Summary:
        whole = jnp.zeros(group.count, jnp.int32)
        real = jnp.zeros(group.count, dtype_of(self.field, dtypes))
        return Summary(whole, whole, whole, real, real, real, real, real)

    def update(self, state: Summary, chunk: Chunk, group: Group) -> Summary:
        del group
        found = summary(chunk, self.field)
        return jax.tree.map(lambda kept, new: kept.at[chunk.position].set(new), state, found)

    def total(self, state: Summary, starts: np.ndarray, group: Group) -> Total:
        del group
        parts = {name: _wide(leaf)[: len(starts)] for name, leaf in state._asdict().items()}
        left = parts.pop("left")
        mean_left = left / np.maximum(parts["count"], 1)
        parts["mean"] = parts["mean"] + mean_left
        parts["squares"] = parts["squares"] - left * mean_left
        return _merged(parts)

    def merge(self, one: Total, other: Total) -> Total:
        return _merged({name: np.stack([one[name], other[name]]) for name in one})

    def result(self, total: Total, locate: Locate) -> MomentsResult:
        del locate
        count, skipped = int(total["count"]), int(total["skipped"])
        if not count:
            return MomentsResult(count, skipped, *[np.nan] * 4)
        return MomentsResult(
            count,
            skipped,
            float(np.ldexp(total["mean"], total["exponent"])),
            float(np.ldexp(np.sqrt(total["squares"] / count), total["exponent"])),
            float(total["min"]),
            float(total["max"]),
        )


def summary(chunk: Chunk, field: str) -> Summary:
    """Moments of one chunk."""
    found = lanes(chunk, field)
    # Usually every lane counts, and masks would then be most of the cost.
    whole = found.count == found.good.size
    values = real(chunk.fields[field])
    measured = lax.cond(whole, _of_all, _of_good, values, found.good, found.count)
    return Summary(found.count, found.skipped, *measured)


def _of_all(values: Array, good: Array, count: Array) -> tuple[Array, ...]:
    """Exponent, mean, sum of deviations and of their squares, minimum and maximum of all lanes."""
    del good, count
    smallest, largest = values.min(), values.max()
    values, exponent = scaled(values, jnp.maximum(-smallest, largest))
    mean = values.mean()
    apart = values - mean
    left = pairwise_sum(apart.reshape(-1), 0)
    return exponent, mean, left, (apart * apart).sum(), smallest, largest


def _of_good(values: Array, good: Array, count: Array) -> tuple[Array, ...]:
    """The same of the lanes that count; of nothing where none does."""
    smallest = jnp.where(good, values, jnp.inf).min()
    largest = jnp.where(good, values, -jnp.inf).max()
    magnitude = jnp.where(count > 0, jnp.maximum(-smallest, largest), 0)
    values, exponent = scaled(jnp.where(good, values, 0), magnitude)
    mean = values.sum() / jnp.maximum(count, 1).astype(values.dtype)
    apart = jnp.where(good, values - mean, 0)
    left = pairwise_sum(apart.reshape(-1), 0)
    return exponent, mean, left, (apart * apart).sum(), smallest, largest


def _wide(leaf: Array) -> np.ndarray:
    on_host = np.asarray(leaf)
    return on_host.astype(np.int64 if on_host.dtype.kind == "i" else np.float64)


def _merged(parts: dict[str, np.ndarray]) -> Total:
    """One total of many, given with a leading axis."""
    counted = parts["count"] > 0
    parts = {name: part if name == "skipped" else part[counted] for name, part in parts.items()}
    count = parts["count"]
    exponent = parts["exponent"].max(initial=LEAST)
    scale = np.ldexp(1.0, parts["exponent"] - exponent)
    means = parts["mean"] * scale
    mean = (count * means).sum() / max(count.sum(), 1)
    squares = parts["squares"] * scale**2 + count * (means - mean) ** 2
    total = {
        "count": count.sum(dtype=np.int64),
        "skipped": parts["skipped"].sum(dtype=np.int64),
        "exponent": exponent,
        "mean": mean,
        "squares": np.maximum(squares.sum(), 0),
        "min": parts["min"].min(initial=np.inf),
        "max": parts["max"].max(initial=-np.inf),
    }
    return {name: np.asarray(value) for name, value in total.items()}


# --- Sums that neither lose digits nor overflow --------------------------------------------------

# Values are divided by a power of two near the largest of them, which is exact, so that squares of
# them and sums stay in range. Halves are added to halves, so that an error grows with the logarithm
# of their number (Higham 1993, "The accuracy of floating point summation").


class Scaled(NamedTuple):
    """`values * 2 ** exponent`, where the largest of the values is about 1."""

    values: Array
    exponent: Array  # int32, ()


def scaled(x: Array, magnitude: Array) -> Scaled:
    """Values divided by a power of two near `magnitude`, that of the largest; all finite."""
    exponent = jnp.frexp(magnitude)[1]
    # Beyond this the power itself, or its inverse, would not be a normal number. The largest
    # value is then between 1/8 and 8, which serves as well.
    limit = jnp.finfo(x.dtype).maxexp - 3
    exponent = exponent.astype(jnp.int32).clip(-limit, limit)
    return Scaled(x * power_of_two(-exponent, x.dtype), exponent)


def power_of_two(exponent: Array, dtype) -> Array:
    """The exact power; 0 below the normal range. No exponent may exceed that range."""
    limits = jnp.finfo(dtype)
    word = jnp.int64 if limits.bits == 64 else jnp.int32
    bits = (exponent.astype(word) + (limits.maxexp - 1)) << limits.nmant
    power = lax.bitcast_convert_type(bits, dtype)
    return jnp.where(exponent < limits.minexp, jnp.zeros_like(power), power)


def pairwise_sum(x: Array, axis: int) -> Array:
    """Sum along an axis, halves upon halves."""
    while (length := x.shape[axis]) > 1:
        half = length // 2
        low = lax.slice_in_dim(x, 0, half, axis=axis)
        high = lax.slice_in_dim(x, half, 2 * half, axis=axis)
        odd = lax.slice_in_dim(x, 2 * half, length, axis=axis)
        x = low + high
        x = x if length % 2 == 0 else jnp.concatenate([x, odd], axis)
    return x.squeeze(axis)


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """The rounded sum and its exact rounding error (Knuth 1969, section 4.2.2)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)
