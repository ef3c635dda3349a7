"""Distributions that the arguments of a scenario are drawn from, checked when built.

A draw is the quantile of a point u in the open interval (0, 1), so the same distributions
serve random and Sobol' points.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtri

from jaxscale._numerics.arrays import is_concrete
from jaxscale.sweeping.axes import as_axis, digest, finite_number

# A float32 point takes 2^23 values, so each of so many rows has its share to one part in eight.
MAX_ROWS = 2**20
BINS = 64  # of equal chance


@runtime_checkable
class Distribution(Protocol):
    """The distribution of one argument of a sampled scenario."""

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Words for the numbers in `column`, where those are indices of labelled entries."""
        ...

    def quantile(self, u: Array) -> Any:
        """The draw at u in (0, 1), in u's dtype. Traced."""
        ...

    def column(self, u: Array) -> Array:
        """One number that tells draws apart in a table: the draw itself, or an int32 index."""
        ...

    def describe(self) -> dict[str, Any]:
        """Everything that decides the draws, in a form that JSON holds exactly."""
        ...


def uniform(low: float, high: float) -> Distribution:
    """Uniform on [low, high].

    Raises TypeError or ValueError for numbers that are not finite and in ascending order.

    Examples:
        >>> js.Sample(1000, jax.random.key(0), loss=js.uniform(1.9, 2.3)).size
        1000
    """
    low, high = finite_number("low", low), finite_number("high", high)
    _check_ascending(low, high)
    return Continuous(_uniform, {"low": low, "high": high})


def loguniform(low: float, high: float) -> Distribution:
    """Log-uniform on [low, high]: the logarithm is uniform.

    Raises as `uniform`; `low` must be above 0.

    Examples:
        >>> js.Sample(1000, jax.random.key(0), requests=js.loguniform(1e6, 1e12)).size
        1000
    """
    low, high = _positive("low", low), finite_number("high", high)
    _check_ascending(low, high)
    return Continuous(_loguniform, {"low": low, "high": high})


def normal(mean: float, std: float) -> Distribution:
    """Normal, with this mean and standard deviation.

    With mean 0 and std 1 a draw is within 3 eps, relative, of the exact quantile, in both
    dtypes and in all of (0, 1).

    Raises TypeError or ValueError for numbers that are not finite, and for `std` of 0 or less.

    Examples:
        >>> js.Sample(1000, jax.random.key(0), loss=js.normal(2.0, 0.1)).size
        1000
    """
    return Continuous(_normal, {"mean": finite_number("mean", mean), "std": _positive("std", std)})


def lognormal(median: float, sigma: float) -> Distribution:
    """Log-normal: `exp` of a normal draw of mean `log(median)` and standard deviation `sigma`.

    `sigma` is the standard deviation of the natural logarithm: two draws in three lie within
    a factor of exp(sigma) of the median.

    Raises TypeError or ValueError for numbers that are not finite and above 0.

    Examples:
        >>> js.Sample(1000, jax.random.key(0), price=js.lognormal(2.0, 0.5)).size
        1000
    """
    given = {"median": _positive("median", median), "sigma": _positive("sigma", sigma)}
    return Continuous(_lognormal, given)


def triangular(low: float, mode: float, high: float) -> Distribution:
    """Triangular: a density that rises linearly from `low` to `mode` and falls linearly to `high`.

    Raises TypeError or ValueError for numbers that are not finite or not in this order;
    `mode` may be one of the ends.

    Examples:
        >>> js.Sample(1000, jax.random.key(0), decode_mfu=js.triangular(0.005, 0.01, 0.05)).size
        1000
    """
    low, mode, high = (
        finite_number("low", low),
        finite_number("mode", mode),
        finite_number("high", high),
    )
    _check_ascending(low, high)
    if not low <= mode <= high:
        raise ValueError(f"mode must be {low!r} to {high!r}, as low and high are; got {mode!r}")
    return Continuous(_triangular, {"low": low, "mode": mode, "high": high})


def choice(values: Any, weights: Any = None) -> Distribution:
    """One of `values`: numbers, or a dict of labels to entries of one structure, such as laws.

    All have the same chance, or chances in proportion to positive `weights`. In float32 a chance is
    right to 2^-23.

    Raises TypeError or ValueError for values that are not finite numbers in one dimension or
    entries of one structure, more than 2^20 of them, and for weights of another length.

    Examples:
        >>> js.Sample(1000, jax.random.key(0), price=js.choice([1.5, 2.5], weights=[0.9, 0.1])).size
        1000
    """
    if isinstance(values, Mapping):
        entries = as_axis("values", values)
        leaves, labels = jax.tree.map(_frozen, entries.values), entries.labels
    else:
        leaves, labels = _frozen(_finite("values", values)), None
    size = _check_rows(leaves)
    return Rows(leaves, labels, None if weights is None else _edges(weights, size))


def rows(tree: Any) -> Distribution:
    """One row of a pytree whose leaves share a leading axis, such as a bootstrapped law.

    The leaves of a row stay together, and all rows have the same chance. A row that holds NaN is
    drawn like any other.

    Raises TypeError or ValueError for leaves that are not numbers or differ in length, and
    for more than 2^20 rows.

    Examples:
        >>> laws = js.laws.Chinchilla(*np.ones((5, 2)))  # two laws, as a bootstrap has thousands
        >>> js.Sample(1000, jax.random.key(0), law=js.rows(laws)).size
        1000
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    if not leaves:
        raise ValueError(f"tree must hold arrays; got {tree!r}")
    arrays = [_rows_of("tree" + jax.tree_util.keystr(path), leaf) for path, leaf in leaves]
    stacked = jax.tree.unflatten(structure, arrays)
    _check_rows(stacked)
    return Rows(stacked, None, None)


# --- Classes -----------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Continuous:
    """A distribution of one real number, by its quantile function and its parameters."""

    inverse: Callable[..., Array]  # of u, and of the parameters by name
    parameters: Mapping[str, float]
    labels = None

    def __repr__(self) -> str:
        numbers = ", ".join(f"{name}={value:g}" for name, value in self.parameters.items())
        return f"{self.inverse.__name__.strip('_')}({numbers})"

    def quantile(self, u: Array) -> Array:
        return self.inverse(u, **self.parameters)

    def column(self, u: Array) -> Array:
        return self.quantile(u)

    def describe(self) -> dict[str, Any]:
        parameters = {name: value.hex() for name, value in self.parameters.items()}
        return {"distribution": self.inverse.__name__.strip("_"), **parameters}


@dataclass(frozen=True, eq=False, repr=False)
class Rows:
    """One of several rows, which may have labels and weights."""

    values: Any  # a pytree of arrays, all of one leading axis
    labels: tuple[str, ...] | None
    edges: np.ndarray | None  # points where one row ends and the next begins; None: evenly

    def __repr__(self) -> str:
        weighted = "" if self.edges is None else ", weighted"
        return f"one of {self.size:,} rows{weighted}"

    @property
    def size(self) -> int:
        return len(jax.tree.leaves(self.values)[0])

    def quantile(self, u: Array) -> Any:
        index = self.index(u)
        return jax.tree.map(
            lambda leaf: jnp.take(_on_device(leaf, u.dtype), index, axis=0, mode="clip"),
            self.values,
        )

    def column(self, u: Array) -> Array:
        numbers = self.labels is None and isinstance(self.values, np.ndarray)
        numbers = numbers and self.values.ndim == 1
        return self.quantile(u) if numbers else self.index(u)

    def describe(self) -> dict[str, Any]:
        return {
            "distribution": "rows",
            "size": self.size,
            "values": digest(self.values),
            "edges": None if self.edges is None else digest(self.edges),
            "labels": list(self.labels or ()),
        }

    def index(self, u: Array) -> Array:
        """The number of the row at u, int32."""
        if self.edges is not None:
            edges = _on_device(self.edges, u.dtype)
            # Unrolled, a search costs a third of what a loop does.
            found = jnp.searchsorted(edges, u, side="right", method="scan_unrolled")
            return found.astype(jnp.int32)
        # The product may be rounded up to the number of rows.
        return jnp.minimum(jnp.floor(u * self.size).astype(jnp.int32), self.size - 1)


# --- Bins of a distribution ------------------------------------------------------------------


def bin_count(distribution: Distribution) -> int:
    """Number of bins: one for each row where there are few, else 64 of equal chance."""
    rows = distribution.size if isinstance(distribution, Rows) else BINS
    return min(rows, BINS)


def bin_of(distribution: Distribution, u: Array) -> Array:
    """The bin, int32 from 0, of the draw at u. Traced."""
    if isinstance(distribution, Rows) and distribution.size <= BINS:
        return distribution.index(u)
    return jnp.minimum(jnp.floor(u * BINS).astype(jnp.int32), BINS - 1)


# --- Quantiles -------------------------------------------------------------------------------


def _uniform(u: Array, low: float, high: float) -> Array:
    return jnp.clip(low + (high - low) * u, low, high)


def _loguniform(u: Array, low: float, high: float) -> Array:
    # From the middle, because a ratio of the ends may overflow where its root does not.
    reach = (math.log(high) - math.log(low)) / 2
    middle = math.sqrt(low) * math.sqrt(high)
    return jnp.clip(middle * jnp.exp(reach * (2 * u - 1)), low, high)


def _normal(u: Array, mean: float, std: float) -> Array:
    return mean + std * ndtri(u)


def _lognormal(u: Array, median: float, sigma: float) -> Array:
    return median * jnp.exp(sigma * ndtri(u))


def _triangular(u: Array, low: float, mode: float, high: float) -> Array:
    width = high - low
    rising = (mode - low) / width  # the probability below the mode
    falling = (high - mode) / width
    below = low + width * jnp.sqrt(u * rising)
    above = high - width * jnp.sqrt((1 - u) * falling)
    return jnp.clip(jnp.where(u < rising, below, above), low, high)


# --- Checks ----------------------------------------------------------------------------------


def check_distributions(distributions: Mapping[str, Any]) -> None:
    """Refuse none at all, and what is not a distribution; ValueError or TypeError."""
    if not distributions:
        raise ValueError("a sample needs at least one distribution")
    for name, each in distributions.items():
        if not isinstance(each, Distribution):
            raise TypeError(f"{name} must be a distribution such as js.uniform; got {each!r}")


def _positive(name: str, given: Any) -> float:
    number = finite_number(name, given)
    if number <= 0:
        raise ValueError(f"{name} must be above 0; got {given!r}")
    return number


def _check_ascending(low: float, high: float) -> None:
    if low >= high:
        raise ValueError(f"low must be below high; got {low!r} and {high!r}")
    if not math.isfinite(high - low):
        raise ValueError(f"high - low must be finite; got {low!r} and {high!r}")


def _finite(name: str, given: Any) -> np.ndarray:
    """Finite numbers in one dimension, at least one of them."""
    allowed = f"{name} must be finite numbers in one dimension"
    if not is_concrete(given):
        raise TypeError(f"{allowed}, known when the distribution is built; got {given!r}")
    try:
        numbers = np.array(given)
    except ValueError:  # lists of unequal lengths
        raise ValueError(f"{allowed}; got {given!r}") from None
    if numbers.ndim != 1 or numbers.dtype.kind not in "iuf" or not numbers.size:
        raise ValueError(f"{allowed}; got dtype {numbers.dtype} and shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise ValueError(f"{allowed}; got {numbers[~np.isfinite(numbers)][0]} among them")
    return numbers


def _edges(given: Any, size: int) -> np.ndarray | None:
    """Cumulative shares of all rows but the last; None for equal weights."""
    weights = _finite("weights", given).astype(np.float64)
    if weights.size != size:
        raise ValueError(f"weights must be {size}, one for each value; got {weights.size}")
    if (weights <= 0).any():
        raise ValueError(f"weights must be above 0; got {weights[weights <= 0][0]} among them")
    if (weights == weights[0]).all():
        return None
    shares = weights / weights.max()  # so that no sum overflows
    return np.cumsum(shares)[:-1] / shares.sum()


def _rows_of(name: str, leaf: Any) -> np.ndarray:
    if not is_concrete(leaf):
        raise TypeError(f"{name} must be known when the distribution is built; got {leaf!r}")
    array = np.asarray(leaf)
    if array.dtype.kind not in "iuf" or not array.ndim:
        raise TypeError(f"{name} must be an array of numbers with a leading axis; got {leaf!r}")
    return _frozen(array)


def _check_rows(tree: Any) -> int:
    """The one length of all leaves."""
    lengths = {len(leaf) for leaf in jax.tree.leaves(tree)}
    if len(lengths) > 1:
        raise ValueError(f"leaves must share a leading axis; got lengths {sorted(lengths)}")
    (size,) = lengths
    if not 1 <= size <= MAX_ROWS:
        raise ValueError(f"there must be 1 to {MAX_ROWS:,} rows; got {size:,}")
    return size


def _frozen(array: np.ndarray) -> np.ndarray:
    """A copy in float64, whole numbers too: equal draws, equal bytes."""
    copy = np.array(array, np.float64)
    copy.flags.writeable = False
    return copy


def _on_device(array: np.ndarray, dtype: Any) -> Array:
    return jnp.asarray(array, dtype)
