"""Sets of scenarios that are never held in full: a grid of axes, a sample of distributions.

A space numbers its scenarios and makes any chunk of them on the device, from the number of its
first scenario. Only the axes, or a few words of a key, are sent to the device.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxscale import _display
from jaxscale._numerics.quantities import counted
from jaxscale.sweeping.axes import Axis, Coordinate, as_axis
from jaxscale.sweeping.chunks import Chunks, cut
from jaxscale.sweeping.distributions import Distribution, bin_count, bin_of, check_distributions
from jaxscale.sweeping.points import (
    MAX_DIMENSIONS,
    MAX_SCENARIOS,
    RANDOM,
    SOBOL,
    Points,
    key_words,
)
from jaxscale.sweeping.reducers.protocol import Locate
from jaxscale.sweeping.saltelli import Saltelli

SCENARIO = "scenario"  # the one axis of a sample

Take = Callable[[Any, Array], Array]  # numbers of a table at indices
Scenario = Callable[..., Any]  # named values of one scenario to a dict of scalars


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Grid:
    """Every combination of the values of some axes; the last axis varies fastest.

    Axes by name: `js.linspace`, `js.geomspace`, a sequence of distinct numbers, or a dict of
    labels to entries of one structure (laws, say), of which a scenario is given one. At most
    1e18 scenarios, of at most 2^24 values an axis.

    Raises TypeError or ValueError naming the axis.

    Examples:
        >>> js.Grid(loss=js.linspace(1.9, 2.3, 3), served=[1e11, 1e12])
        Grid of 6 scenarios
        axis    values    from      to  unit
        ------------------------------------
        loss         3     1.9     2.3
        served       2  100.0B  1.000T
    """

    kind: ClassVar[str] = "js.Grid"

    axes: Mapping[str, Axis]

    def __init__(self, /, **axes: Any) -> None:
        if not axes:
            raise ValueError("a grid needs at least one axis")
        object.__setattr__(
            self, "axes", {name: as_axis(name, given) for name, given in axes.items()}
        )
        _check_size(self.size)

    def _table(self) -> dict[str, Any]:
        rows = [(name, *axis.summary) for name, axis in self.axes.items()]
        title = f"Grid of {counted(self.size, 'scenario')}"
        return {"header": ("axis", "values", "from", "to", "unit"), "rows": rows, "title": title}

    def __repr__(self) -> str:
        return _display.table(**self._table())

    def _repr_html_(self) -> str:
        return _display.html(**self._table())

    @property
    def axes_names(self) -> tuple[str, ...]:
        """Axes of the results."""
        return tuple(self.axes)

    @property
    def names(self) -> tuple[str, ...]:
        """Arguments of the scenario function."""
        return tuple(self.axes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Scenarios along each axis of the results."""
        return tuple(axis.size for axis in self.axes.values())

    @property
    def size(self) -> int:
        """Number of scenarios."""
        return math.prod(self.sizes)

    def cut(self, target: int) -> Chunks:
        """Chunks of at most so many scenarios."""
        return cut(self.sizes, target)

    def coordinates(self) -> list[Coordinate]:
        """Values that label the axes of the results."""
        return [
            Coordinate(name, axis.coordinate, axis.attributes) for name, axis in self.axes.items()
        ]

    def describe(self) -> dict[str, Any]:
        """Everything that decides the scenarios, in a form that JSON holds exactly."""
        axes = {name: axis.describe() for name, axis in self.axes.items()}
        return {"order": list(self.axes), "axes": axes}

    def tables(self, chunks: Chunks, dtype: Any) -> Any:
        """A pytree of the arrays that the device needs for any chunk."""

        def padded(leaf, length):
            # A slice that would reach beyond an axis would be moved back, not cut off.
            missing = -len(leaf) % length
            return jnp.array(np.pad(leaf.astype(dtype), (0, missing), mode="edge"))

        return [
            jax.tree.map(lambda leaf, length=length: padded(leaf, length), axis.values)
            for axis, length in zip(self.axes.values(), chunks.shape, strict=True)
        ]

    def columns(self, dtype: str) -> dict[str, str]:
        """Dtypes of the arguments that are drawn, which are kept like results."""
        del dtype  # the arguments of a grid are coordinates
        return {}

    def starts(self, chunks: Chunks, numbers: np.ndarray) -> np.ndarray:
        """The first scenario of each chunk, in words of 32 bits: (chunks, words)."""
        return chunks.starts(numbers).astype(np.int32)

    def check(self, dtype: str) -> None:
        """Refuse values that a dtype does not hold, or does not tell apart."""
        for name, axis in self.axes.items():
            axis.check(name, dtype)

    def arguments(self, dtype: Any) -> dict[str, Any]:
        """Shapes and dtypes of the arguments of one scenario."""
        # Whole numbers too: a 32-bit integer would overflow silently.
        scalar = jax.ShapeDtypeStruct((), dtype)
        return {
            name: jax.tree.map(lambda leaf: scalar, axis.values) for name, axis in self.axes.items()
        }

    def bins(self) -> dict[str, int]:
        """Numbers of bins by argument: none, because scenarios lie on axes."""
        return {}

    def evaluate(
        self, scenario: Scenario, tables: Any, start: Array, chunks: Chunks
    ) -> tuple[Any, dict[str, Array]]:
        """Results of `scenario` for a chunk, each of the chunk's shape, and no bins. Traced."""
        values = [
            jax.tree.map(
                lambda leaf, at=start[axis], length=length: lax.dynamic_slice_in_dim(
                    leaf, at, length
                ),
                table,
            )
            for axis, (table, length) in enumerate(zip(tables, chunks.shape, strict=True))
        ]

        def mapped(*arguments):
            return scenario(**dict(zip(self.names, arguments, strict=True)))

        # One axis at a time: what depends on one axis alone is computed once for each of its
        # values, not once for each scenario.
        for axis in reversed(range(len(values))):
            along = [0 if other == axis else None for other in range(len(values))]
            mapped = jax.vmap(mapped, in_axes=along)
        return mapped(*values), {}

    def lanes(self, tables: Any, start: Any, indices: Any, take: Take) -> Any:
        """Arguments of the scenarios at these indices in a chunk. Traced in a kernel."""
        return [
            jax.tree.map(lambda table, at=first + index: take(table, at), leaves)
            for leaves, first, index in zip(tables, start, indices, strict=True)
        ]

    def of_lanes(self, scenario: Scenario, values: Any) -> Any:
        """Results of `scenario` for each of some scenarios. Traced in a kernel."""
        return jax.vmap(lambda *given: scenario(**dict(zip(self.names, given, strict=True))))(
            *values
        )

    def locator(self, dtype: str) -> Locate:
        """A function from a scenario's number to its arguments, or their labels."""
        del dtype  # coordinates keep the values of the axes as given
        coordinates = {name: axis.coordinate for name, axis in self.axes.items()}

        def locate(number: int) -> dict[str, Any]:
            indices = np.unravel_index(number, self.sizes)
            return {
                name: values[index].item()
                for (name, values), index in zip(coordinates.items(), indices, strict=True)
            }

        return locate


@dataclass(frozen=True, eq=False, repr=False)
class Draws:
    """Scenarios drawn from distributions, with the methods of `Grid`."""

    size: int
    distributions: Mapping[str, Distribution]
    words: Mapping[str, tuple[int, int]]  # of the key, by name
    points: Points

    def _table(self) -> dict[str, Any]:
        rows = [(name, repr(each)) for name, each in self.distributions.items()]
        kind = {"js.Sample": "Sample", "js.Sobol": "Sobol' sample"}[self.kind]
        title = f"{kind} of {counted(self.size, 'scenario')}"
        return {"header": ("argument", "distribution"), "rows": rows, "title": title}

    def __repr__(self) -> str:
        return _display.table(**self._table())

    def _repr_html_(self) -> str:
        return _display.html(**self._table())

    @property
    def kind(self) -> str:
        return {"random": "js.Sample", "sobol": "js.Sobol"}[self.points.name]

    @property
    def axes_names(self) -> tuple[str, ...]:
        return (SCENARIO,)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.distributions)

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.size,)

    def cut(self, target: int) -> Chunks:
        return cut(self.sizes, target)

    def coordinates(self) -> list[Coordinate]:
        return []

    def describe(self) -> dict[str, Any]:
        return {
            "points": self.points.name,
            "size": self.size,
            "order": list(self.names),
            "distributions": {
                name: {"key": list(self.words[name]), **each.describe()}
                for name, each in self.distributions.items()
            },
        }

    def check(self, dtype: str) -> None:
        del dtype  # a draw that is out of range shows in the scenario's status

    def arguments(self, dtype: Any) -> dict[str, Any]:
        point = jax.ShapeDtypeStruct((), dtype)
        return {
            name: jax.eval_shape(each.quantile, point) for name, each in self.distributions.items()
        }

    def tables(self, chunks: Chunks, dtype: Any) -> Any:
        del chunks
        # The number carries the dtype of the draws.
        return self.points.tables(self.words), jnp.zeros(1, dtype)

    def columns(self, dtype: str) -> dict[str, str]:
        point = jax.ShapeDtypeStruct((), np.dtype(dtype))
        return {name: jax.eval_shape(each.column, point).dtype.name for name, each in self._named()}

    def starts(self, chunks: Chunks, numbers: np.ndarray) -> np.ndarray:
        first = chunks.starts(numbers)
        return np.concatenate([first >> 32, first & (2**32 - 1)], axis=1).astype(np.uint32)

    def bins(self) -> dict[str, int]:
        """Numbers of bins by argument, each of the same chance where draws are continuous."""
        return {name: bin_count(each) for name, each in self._named()}

    def evaluate(
        self, scenario: Scenario, tables: Any, start: Array, chunks: Chunks
    ) -> tuple[Any, dict[str, Array]]:
        """Results of `scenario` for a chunk, and the bin of each argument. Traced."""
        (length,) = chunks.shape
        return self._at(scenario, tables, *_words(start, lax.iota(jnp.uint32, length)))

    def lanes(self, tables: Any, start: Any, indices: Any, take: Take) -> Any:
        (offset,) = indices
        by_name, one = tables
        # Number by number, because a kernel reads no table but at an index.
        read = {
            name: [table[at] for at in range(table.shape[0])] for name, table in by_name.items()
        }
        return (read, one[0]), *_words(start, offset.astype(jnp.uint32))

    def of_lanes(self, scenario: Scenario, values: Any) -> Any:
        return self._at(scenario, *values)[0]

    def _at(self, scenario: Scenario, tables: Any, high: Array, low: Array) -> tuple[Any, Any]:
        """Results of scenarios by the words of their numbers, and the bin of each argument."""

        def lane(high, low):
            points = self._points_of(tables, high, low)
            drawn = {name: each.quantile(points[name]) for name, each in self._named()}
            keys = {name: bin_of(each, points[name]) for name, each in self._named()}
            return {**scenario(**drawn), **self._columns(points)}, keys

        return jax.vmap(lane)(high, low)

    def locator(self, dtype: str) -> Locate:
        with jax.enable_x64(dtype == "float64"):
            tables = self.tables(Chunks(self.sizes, (1,)), np.dtype(dtype))
        # Draws of another precision would not be those that the scenario was given.
        drawn = jax.jit(lambda high, low: self._columns(self._points_of(tables, high, low)))

        def locate(number: int) -> dict[str, Any]:
            with jax.enable_x64(dtype == "float64"):
                words = np.uint32(number >> 32), np.uint32(number & (2**32 - 1))
                columns = jax.device_get(drawn(*words))
            found = {name: column.item() for name, column in columns.items()}
            for name, each in self._named():
                if each.labels:
                    found[name] = each.labels[found[name]]
            return {SCENARIO: number, **found}

        return locate

    def _points_of(self, tables, high, low):
        by_name, number = tables
        return {
            name: self.points.point(by_name[name], high, low, number.dtype) for name in self.names
        }

    def _columns(self, points):
        return {name: each.column(points[name]) for name, each in self._named()}

    def _named(self):
        return self.distributions.items()


def _words(start: Any, offset: Array) -> tuple[Array, Array]:
    """The two words of the numbers of scenarios at these offsets from a start."""
    low = start[1] + offset
    return start[0] + (low < offset).astype(jnp.uint32), low  # where the low word wrapped


Space = Grid | Draws | Saltelli


def Sample(size: int, /, key: Any, **distributions: Distribution) -> Draws:
    """`size` scenarios drawn at random, each named argument from its own distribution.

    `key` is a JAX key or a whole number. Scenario i is a function of the key, the name and i alone:
    the same whatever the chunks, devices and processes, and whatever else is drawn. At most
    1e18 scenarios.

    Raises TypeError or ValueError naming the argument.

    Examples:
        >>> space = js.Sample(1000, jax.random.key(0), loss=js.uniform(1.9, 2.3))
        >>> data = js.sweep(lambda loss: {"twice": 2 * loss}, space)
        >>> dict(data.sizes)
        {'scenario': 1000}
    """
    return _draws(size, key, distributions, RANDOM)


def Sobol(size: int, /, key: Any, **distributions: Distribution) -> Draws:
    """`size` scenarios at scrambled Sobol' points: averages converge faster than at random.

    As `Sample`, of at most 2^32 scenarios and 64 arguments, and even where the size is a
    power of two. Points depend on the order of the arguments.

    Source: Joe and Kuo 2008 (direction numbers); Matousek 1998 (linear scrambling).

    Examples:
        >>> space = js.Sobol(1024, jax.random.key(0), x=js.uniform(0, 1), y=js.uniform(0, 1))
        >>> mean = js.Moments("product")
        >>> stats = js.sweep(lambda x, y: {"product": x * y}, space, reduce=[mean])
        >>> print(f"{stats[mean].mean:.3f}")
        0.250
    """
    if len(distributions) > MAX_DIMENSIONS:
        raise ValueError(f"at most {MAX_DIMENSIONS} arguments; got {len(distributions)}")
    return _draws(size, key, distributions, SOBOL)


def _draws(size, key, distributions, points):
    _check_size(size, points.max_size)
    check_distributions(distributions)
    if SCENARIO in distributions:
        raise ValueError(f"{SCENARIO!r} numbers the scenarios; give the argument another name")
    words = {name: key_words(key, name) for name in distributions}
    return Draws(int(size), dict(distributions), words, points)


def _check_size(size: Any, largest: int = MAX_SCENARIOS) -> None:
    if not isinstance(size, Integral) or isinstance(size, bool):
        raise TypeError(f"size must be a whole number of scenarios; got {size!r}")
    if not 1 <= int(size) <= largest:
        raise ValueError(f"a space has 1 to {largest:,} scenarios; got {size:,}")
