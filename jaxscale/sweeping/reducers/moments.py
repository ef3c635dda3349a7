"""Mean, standard deviation, minimum and maximum, in one pass over each chunk.

Sums are of deviations from a shift that is known before a chunk is computed, the mean of a few
chunks, and of their squares: about a shift near the mean they keep their digits. A power of two,
known too, keeps squares in range; where it does not, the group is computed again with numbers of
its own. The host merges chunks in float64 (Chan, Golub, LeVeque 1983).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxscale.sweeping.reducers.protocol import (
    FieldReducer,
    Greatest,
    Group,
    Known,
    Lanes,
    Least,
    Locate,
    Parts,
    Sum,
    Term,
    Total,
    where,
)
from jaxscale.sweeping.reducers.results import OfField, Table, table_of

DIGITS = 1e-6  # of a variance that may be lost
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

    def known(self, total: Total | None, dtype: np.dtype) -> Known:
        """A shift near the mean, times a scale that brings deviations from it near 1."""
        if total is None or not total["count"]:
            return {"shift": 0.0, "scale": 1.0, "variance": 0.0}
        low, high = float(total["min"]), float(total["max"])
        with np.errstate(over="ignore"):
            mean = float(np.ldexp(total["mean"], total["exponent"]))
        # Where sums overflowed, a number between the ends keeps them in range, to find the mean.
        # A constant is its own mean.
        shift = min(max(mean, low), high) if math.isfinite(mean) else low / 2 + high / 2
        scale = inverse_power(max(high - shift, shift - low), dtype)
        squares = np.nan_to_num(total.get("squares", 0.0), posinf=0.0) / total["count"]
        with np.errstate(over="ignore", under="ignore"):
            variance = np.ldexp(squares, 2 * (total["exponent"] + math.frexp(scale)[1] - 1))
        return {"shift": shift * scale, "scale": scale, "variance": float(variance)}

    def terms(self, lanes: Lanes, known: Known) -> Mapping[str, Term]:
        x, good = lanes.real(self.field), lanes.good(self.field)
        apart = where(good, x * known["scale"] - known["shift"], 0)
        return self.counts(lanes) | {
            "sum": Sum(apart),
            "squares": Sum(apart * apart),
            "min": Least(where(good, x, jnp.inf)),
            "max": Greatest(where(good, x, -jnp.inf)),
        }

    def holds(self, parts: Parts, known: Known) -> bool:
        """Whether squares neither overflow, nor vanish, nor lose the variance to a bad shift."""
        count = parts["count"].sum()
        sums, squares = (
            np.float64(parts[name].sum(dtype=np.float64)) for name in ("sum", "squares")
        )
        if not count or not np.isfinite([sums, squares]).all():
            return not count
        least, most = parts["min"].min(), parts["max"].max()
        # A group may well vary less than the whole: then its own variance matters little.
        variance = max(squares - sums * sums / count, count * float(known["variance"]))
        lost = np.finfo(parts["sum"].dtype).eps * squares > DIGITS * variance
        return bool(least == most or not lost) and bool(squares > 0 or least == most)

    def total(self, parts: Parts, known: Known, starts: np.ndarray, group: Group) -> Total:
        del starts, group
        wide = {name: _wide(part) for name, part in parts.items()}
        with np.errstate(invalid="ignore", over="ignore"):  # where they do not hold
            apart = wide["sum"] / np.maximum(wide["count"], 1)
            squares = wide["squares"] - wide["sum"] * apart
            _, exponent = np.frexp(1 / np.float64(known["scale"]))
            return _merged(
                {
                    "count": wide["count"],
                    "skipped": wide["skipped"],
                    "exponent": np.full(wide["count"].shape, exponent - 1, np.int64),
                    "mean": np.float64(known["shift"]) + apart,
                    "squares": np.maximum(squares, 0),
                    "min": wide["min"],
                    "max": wide["max"],
                }
            )

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


def inverse_power(magnitude: float, dtype: np.dtype) -> float:
    """A power of two that brings a magnitude near 1, and is a normal number of the dtype."""
    if not magnitude > 0 or math.isinf(magnitude):
        return 1.0 if not magnitude > 0 else 2.0 ** -_reach(dtype)
    return 2.0 ** -min(max(math.frexp(magnitude)[1], -_reach(dtype)), _reach(dtype))


def _reach(dtype: np.dtype) -> int:
    return int(np.finfo(dtype).maxexp) - 3


def _wide(part: np.ndarray) -> np.ndarray:
    return part.astype(np.int64 if part.dtype.kind == "i" else np.float64)


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
