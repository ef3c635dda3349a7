"""Sobol' indices: how much of a field's variance each argument explains, alone and with others.

All estimates follow from the sums of products of a few numbers of each point: the field at A and at
B about a shift near the mean, and its changes where one argument comes from the other draw.
These sums are gathered as one matrix for each of 64 blocks of consecutive points. A block is a
function of a point's number alone, so totals merge in any order, whatever the chunks.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxscale.sweeping.reducers.moments import LEAST, Moments
from jaxscale.sweeping.reducers.protocol import (
    Count,
    FieldReducer,
    Greatest,
    Group,
    Known,
    Lanes,
    Least,
    Locate,
    Parts,
    Products,
    Term,
    Total,
    added,
    check_real,
    where,
    whole,
)
from jaxscale.sweeping.reducers.results import OfField, Table
from jaxscale.sweeping.saltelli import BLOCKS

PRODUCTS = "products of "  # and the names of the arguments, as JSON
RESAMPLES = 1000
SEED = 20  # of the resamples
FEWEST = 8  # blocks that an interval needs
PAIRS = 5  # of arguments in a table


class Index(NamedTuple):
    """A Sobol' index with the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, repr=False)
class SobolIndicesResult(OfField):
    """Sobol' indices by argument; NaN where nothing counts or nothing varies."""

    mean: float
    variance: float
    first: dict[str, Index]  # share of variance that an argument explains alone
    total: dict[str, Index]  # share that is left when all other arguments are known
    second: dict[tuple[str, str], Index]  # share of a pair beyond that of its parts; may be empty
    confidence: float  # of the intervals

    def table(self) -> Table:
        rows = [(name, _text(self.first[name]), _text(self.total[name]), "") for name in self.first]
        pairs = sorted(self.second, key=lambda pair: -self.second[pair].value)[:PAIRS]
        rows += [(" and ".join(pair), "", "", _text(self.second[pair])) for pair in pairs]
        header = "", f"first order ({self.confidence:.0%} interval)", "total", "second order"
        width = len(header) if self.second else len(header) - 1
        return header[:width], [row[:width] for row in rows]

    def columns(self) -> dict[str, Any]:
        orders = {"first": self.first, "total": self.total}
        rows = [(order, name, "", *at) for order in orders for name, at in orders[order].items()]
        rows += [("second", *pair, *index) for pair, index in self.second.items()]
        names = "order", "argument", "other_argument", "value", "low", "high"
        return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


@dataclass(frozen=True)
class SobolIndices(FieldReducer):
    """First-order, second-order and total Sobol' indices of a field, from a `js.Saltelli`.

    With f the field less its mean and V its variance, both over A and B, and f(A x) the run
    at A with x of B:

    - first order: the mean of f(B) (f(A x) - f(A)) / V (Saltelli et al. 2010, Table 2, b);
    - total: the mean of (f(A x) - f(A))^2 / 2 V (Jansen 1999);
    - second order: the mean of (f(B y) - f(B)) (f(A x) - f(A)) / V, which is the estimate of
      Saltelli 2002, Theorem 2.

    Where the design has runs for second order, each is the average of two, with A and B
    exchanged. A point counts where all its runs are ok and finite; all runs of other points are
    skipped.

    Intervals are percentiles of 1,000 bootstrap resamples of 64 blocks of consecutive points, as
    if blocks were independent. Those of one Sobol' sequence complement each other, so the
    estimates are usually closer than that. NaN with fewer than 8 blocks that count.

    Examples:
        >>> indices = js.SobolIndices("product")
        >>> space = js.Saltelli(1024, 0, x=js.uniform(0, 1), y=js.uniform(0, 1))
        >>> stats = js.sweep(lambda x, y: {"product": x * y}, space, reduce=[indices])
        >>> print(f"{stats[indices].first['x'].value:.2f} {stats[indices].total['x'].value:.2f}")
        0.43 0.57
        >>> print(f"{stats[indices].second['x', 'y'].value:.2f}")  # 1 / 7
        0.14
    """

    confidence: float = 0.95
    words: ClassVar[str] = "Sobol' indices of"
    needs: ClassVar[str] = "js.Saltelli"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_real("confidence", self.confidence, 0, 1)

    def known(self, total: Total | None, dtype: np.dtype) -> Known:
        """A shift near the mean, times a scale that brings deviations from it near 1."""
        moments = Moments(self.field)
        if total is None:
            return moments.known(None, dtype)
        points = max(int(total["points"].sum()), 1)
        with np.errstate(invalid="ignore"):  # where sums overflowed
            sums = total[_products_of(total)].sum(axis=0)
            mean = total["shift"] + (sums[0, 1] + sums[0, 2]) / (2 * points)
        return moments.known({**total, "mean": mean}, dtype)

    def terms(self, lanes: Lanes, known: Known) -> Mapping[str, Term]:
        x, good, many = lanes.real(self.field), lanes.good(self.field), len(lanes.arguments)
        # Of all runs of a point, or of none.
        good = good if good is True else jnp.broadcast_to(jnp.all(good, axis=0), x.shape)
        apart = where(good, x * known["scale"] - known["shift"], 0)
        a, b, mixed_a, mixed_b = jnp.split(apart, [1, 2, 2 + many])
        one = where(good, jnp.ones_like(x), 0)[:1]
        return {
            "count": Count(good),
            "skipped": Count(False if good is True else ~jnp.asarray(good) & lanes.inside),
            "min": Least(where(good, x, jnp.inf)),
            "max": Greatest(where(good, x, -jnp.inf)),
            PRODUCTS + json.dumps(lanes.arguments): Products(
                jnp.concatenate([one, a, b, mixed_a - a, mixed_b - b])
            ),
        }

    def holds(self, parts: Parts, known: Known) -> bool:
        # From chunks without a scenario that counts nothing is known.
        is_known = known["shift"] != 0 or known["scale"] != 1 or not parts["count"].any()
        return bool(is_known and np.isfinite(parts[_products_of(parts)]).all())

    def total(self, parts: Parts, known: Known, starts: np.ndarray, group: Group) -> Total:
        name, (runs, points) = _products_of(parts), group.chunks.sizes
        blocks = starts[:, 1] // (points // BLOCKS)
        products = np.zeros((BLOCKS, *parts[name].shape[1:]))
        count = np.zeros(BLOCKS, np.int64)
        np.add.at(products, blocks, parts[name].astype(np.float64))
        np.add.at(count, blocks, parts["count"].astype(np.int64) // runs)
        _, exponent = np.frexp(1 / np.float64(known["scale"]))
        return {
            "count": whole(parts["count"]),
            "skipped": whole(parts["skipped"]),
            "min": np.asarray(parts["min"].min(initial=np.inf)).astype(np.float64),
            "max": np.asarray(parts["max"].max(initial=-np.inf)).astype(np.float64),
            "points": count,
            name: products,
            "shift": np.asarray(known["shift"], np.float64),  # in units of 2^exponent
            "exponent": np.asarray(exponent - 1 if count.any() else LEAST, np.int64),
        }

    def merge(self, one: Total, other: Total) -> Total:
        units = max(one, other, key=lambda each: (each["exponent"], each["shift"]))
        both = [_in_units_of(units, each) for each in (one, other)]
        return {
            **added(*both, "count", "skipped", "points", _products_of(one)),
            "min": np.minimum(one["min"], other["min"]),
            "max": np.maximum(one["max"], other["max"]),
            "shift": units["shift"],
            "exponent": units["exponent"],
        }

    def result(self, total: Total, locate: Locate) -> SobolIndicesResult:
        del locate
        names = json.loads(_products_of(total).removeprefix(PRODUCTS))
        products, points = total[_products_of(total)], total["points"]
        sums = _indices(products.sum(axis=0), np.asarray(points.sum()), len(names))
        counted = points > 0
        again = _indices(*_resampled(products[counted], points[counted]), len(names))
        tail = (1 - self.confidence) / 2
        enough = counted.sum() >= FEWEST
        ends = {
            name: np.quantile(each, [tail, 1 - tail], axis=0) if enough else np.nan + each[:2]
            for name, each in again.items()
        }

        def index(order: str, *at: int) -> Index:
            low, high = ends[order]
            return Index(float(sums[order][at]), float(low[at]), float(high[at]))

        pairs = [(i, j) for j in range(len(names)) for i in range(j)] if "second" in sums else []
        exponent = total["exponent"]
        with np.errstate(over="ignore"):
            variance = float(np.ldexp(np.ldexp(sums["variance"], exponent), exponent))
        return SobolIndicesResult(
            int(total["count"]),
            int(total["skipped"]),
            float(np.ldexp(total["shift"] + sums["mean"], exponent)),
            variance,
            {name: index("first", at) for at, name in enumerate(names)},
            {name: index("total", at) for at, name in enumerate(names)},
            {(names[i], names[j]): index("second", i, j) for i, j in sorted(pairs)},
            self.confidence,
        )


def _in_units_of(units: Total, total: Total) -> Total:
    """A total with the sums of products that it had with the shift and exponent of another."""
    if (total["exponent"], total["shift"]) == (units["exponent"], units["shift"]):
        return total  # as nearly all are
    name, scale = _products_of(total), np.ldexp(1.0, total["exponent"] - units["exponent"])
    change = np.eye(total[name].shape[-1])
    change[1:] *= scale
    change[1:3, 0] = total["shift"] * scale - units["shift"]
    return {**total, name: change @ total[name] @ change.T}


def _products_of(total: Mapping[str, Any]) -> str:
    """The key of the sums of products."""
    return next(name for name in total if name.startswith(PRODUCTS))


def _resampled(products: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums over blocks drawn with replacement, for each resample."""
    blocks = len(points)
    # Raw words, because NumPy promises that they never change, unlike its distributions.
    words = np.random.Philox(key=SEED).random_raw((RESAMPLES, blocks))
    drawn = (words % np.uint64(max(blocks, 1))).astype(np.int64)
    weights = np.zeros((RESAMPLES, blocks))
    np.add.at(weights, (np.arange(RESAMPLES)[:, None], drawn), 1)
    return np.tensordot(weights, products, 1), weights @ points


def _indices(sums: np.ndarray, points: np.ndarray, many: int) -> dict[str, np.ndarray]:
    """Mean, variance and indices of sums of products, (..., rows, rows), of so many arguments."""
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums / points[..., None, None]
        mean = (means[..., 0, 1] + means[..., 0, 2]) / 2
        variance = (means[..., 1, 1] + means[..., 2, 2]) / 2 - mean**2
        share = np.where(variance > 0, 1 / variance, math.nan)[..., None]
        of_a, of_b = slice(3, 3 + many), slice(3 + many, 3 + 2 * many)
        # A change of A is multiplied with B, and a change of B with A.
        sides = [(of_a, 2), (of_b, 1)] if sums.shape[-1] > 3 + many else [(of_a, 2)]
        first = [
            means[..., other, own] - mean[..., None] * means[..., 0, own] for own, other in sides
        ]
        squares = np.diagonal(means, axis1=-2, axis2=-1)
        found = {
            "mean": mean,
            "variance": variance,
            "first": share * sum(first) / len(sides),
            "total": share * sum(squares[..., own] for own, _ in sides) / (2 * len(sides)),
        }
        if len(sides) == 2:
            crossed = means[..., of_a, of_b]
            found["second"] = share[..., None] * (crossed + np.swapaxes(crossed, -1, -2)) / 2
    return found


def _text(index: Index) -> str:
    return f"{index.value:.3f} ({index.low:.3f} to {index.high:.3f})"
