"""Saltelli's design: the runs that Sobol' indices are estimated from.

Each point of a Sobol' sequence of twice as many dimensions as arguments gives two draws of every
argument, A and B. The scenario is run at A, at B, and at mixtures of them in which one argument
comes from the other draw. Points are made on the device from their numbers, as those of a sample.
"""

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
from jaxscale.sweeping.axes import Coordinate
from jaxscale.sweeping.chunks import Chunks
from jaxscale.sweeping.distributions import (
    Distribution,
    bin_count,
    bin_of,
    check_distributions,
)
from jaxscale.sweeping.points import MAX_DIMENSIONS, SOBOL, key_words
from jaxscale.sweeping.reducers.protocol import Locate

RUN, POINT = "run", "point"  # the axes of the results
BLOCKS = 64  # of consecutive points; the fewest points that a design has
MOST = MAX_DIMENSIONS // 2  # arguments


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Saltelli:
    """Runs for Sobol' indices, `js.SobolIndices`, at `points` scrambled Sobol' points.

    Every point is run at two draws of all arguments, A and B, and for each argument at "A with x
    of B" and, for second-order indices, at "B with x of A": 2 d + 2 runs of d arguments, or
    d + 2 with `second_order=False`. Results have the axes `run`, with these labels, and `point`.

    `key` and distributions are as in `js.Sample`; points are a power of two, 64 to 2^32, and
    arguments at most 32. Draws depend on the order of the arguments.

    Raises TypeError or ValueError naming the argument.

    Source: Saltelli 2002, "Making best use of model evaluations to compute sensitivity indices".

    Examples:
        >>> space = js.Saltelli(1024, jax.random.key(0), x=js.uniform(0, 1), y=js.uniform(0, 1))
        >>> space.size
        6144
        >>> data = js.sweep(lambda x, y: {"sum": x + y}, space)
        >>> data["run"].values.tolist()
        ['A', 'B', 'A with x of B', 'A with y of B', 'B with x of A', 'B with y of A']
    """

    kind: ClassVar[str] = "js.Saltelli"

    points: int
    distributions: Mapping[str, Distribution]
    words: Mapping[str, tuple[int, int]]  # of the key, by name
    second_order: bool

    def __init__(
        self, points: int, /, key: Any, *, second_order: bool = True, **distributions: Distribution
    ) -> None:
        _check(points, second_order, distributions)
        object.__setattr__(self, "points", int(points))
        object.__setattr__(self, "distributions", distributions)
        object.__setattr__(self, "words", {name: key_words(key, name) for name in distributions})
        object.__setattr__(self, "second_order", second_order)

    def _table(self) -> dict[str, Any]:
        rows = [(name, repr(each)) for name, each in self.distributions.items()]
        size = f"{counted(self.points, 'point')} of {counted(self.sizes[0], 'run')}"
        title = f"Saltelli design of {size}, {counted(self.size, 'scenario')}"
        return {"header": ("argument", "distribution"), "rows": rows, "title": title}

    def __repr__(self) -> str:
        return _display.table(**self._table())

    def _repr_html_(self) -> str:
        return _display.html(**self._table())

    @property
    def axes_names(self) -> tuple[str, ...]:
        """Axes of the results."""
        return (RUN, POINT)

    @property
    def names(self) -> tuple[str, ...]:
        """Arguments of the scenario function."""
        return tuple(self.distributions)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Runs of a point, and points."""
        return len(self._from_b), self.points

    @property
    def size(self) -> int:
        """Number of scenarios."""
        runs, points = self.sizes
        return runs * points

    @property
    def runs(self) -> tuple[str, ...]:
        """Labels of the runs of a point."""
        mixed = [f"A with {name} of B" for name in self.names]
        mixed += [f"B with {name} of A" for name in self.names] if self.second_order else []
        return ("A", "B", *mixed)

    @property
    def _from_b(self) -> np.ndarray:
        """Whether an argument comes from B: (runs, arguments)."""
        one = np.eye(len(self.names), dtype=bool)
        both = np.zeros((1, len(one)), bool)
        mixed = [one, ~one] if self.second_order else [one]
        return np.concatenate([both, ~both, *mixed])

    def coordinates(self) -> list[Coordinate]:
        """Values that label the axes of the results."""
        return [Coordinate(RUN, np.array(self.runs), {})]

    def cut(self, target: int) -> Chunks:
        """Chunks of all runs of a power of two of points, so that each lies in one block."""
        runs, points = self.sizes
        if target < runs:
            raise ValueError(f"chunk must hold the {runs} runs of a point; got {target}")
        length = min(1 << ((target // runs).bit_length() - 1), points // BLOCKS)
        return Chunks(self.sizes, (runs, length))

    def describe(self) -> dict[str, Any]:
        """Everything that decides the scenarios, in a form that JSON holds exactly."""
        return {
            "design": "saltelli",
            "size": self.points,
            "second_order": self.second_order,
            "order": list(self.names),
            "distributions": {
                name: {"key": list(self.words[name]), **each.describe()}
                for name, each in self._named()
            },
        }

    def check(self, dtype: str) -> None:
        """Accept any dtype: a draw that is out of range shows in the scenario's status."""
        del dtype

    def arguments(self, dtype: Any) -> dict[str, Any]:
        """Shapes and dtypes of the arguments of one scenario."""
        u = jax.ShapeDtypeStruct((), dtype)
        return {name: jax.eval_shape(each.quantile, u) for name, each in self._named()}

    def tables(self, chunks: Chunks, dtype: Any) -> Any:
        """A pytree of the arrays that the device needs for any chunk."""
        del chunks
        words = {(draw, name): self.words[name] for draw in "AB" for name in self.names}
        made = jnp.stack(list(SOBOL.tables(words).values()))  # pyright: ignore[reportArgumentType]
        # The number carries the dtype of the draws.
        return made.reshape(2, len(self.names), -1), jnp.zeros(1, dtype)

    def columns(self, dtype: str) -> dict[str, str]:
        """Dtypes of the arguments, which are kept like results."""
        u = jax.ShapeDtypeStruct((), np.dtype(dtype))
        return {name: jax.eval_shape(each.column, u).dtype.name for name, each in self._named()}

    def starts(self, chunks: Chunks, numbers: np.ndarray) -> np.ndarray:
        """The first point of each chunk: (chunks, 1)."""
        return chunks.starts(numbers)[:, 1:].astype(np.uint32)

    def bins(self) -> dict[str, int]:
        """Numbers of bins by argument, each of the same chance where draws are continuous."""
        return {name: bin_count(each) for name, each in self._named()}

    def evaluate(
        self, scenario: Callable[..., Any], tables: Any, start: Array, chunks: Chunks
    ) -> tuple[Any, dict[str, Array]]:
        """Results of `scenario` for a chunk, and the bin of each argument. Traced."""
        _, length = chunks.shape
        points = _points(tables, start[0] + lax.iota(jnp.uint32, length))
        draws = jax.vmap(self._draws, in_axes=-1)(points)

        def lane(from_b: Array, draws: Any) -> Any:
            drawn, columns, keys = self._mixed(from_b, draws)
            return {**scenario(**drawn), **columns}, keys

        of_points = jax.vmap(lane, in_axes=(None, 0))
        return jax.vmap(of_points, in_axes=(0, None))(jnp.array(self._from_b), draws)

    def lanes(self, tables: Any, start: Any, indices: Any, take: Any) -> Any:
        """Refused: a kernel takes scenarios one by one, without the runs of a point together."""
        del tables, start, indices, take
        raise NotImplementedError("the runs of a js.Saltelli have no form in a kernel")

    def of_lanes(self, scenario: Callable[..., Any], values: Any) -> Any:
        """Refused as `lanes`."""
        del scenario
        return self.lanes(None, None, None, values)

    def locator(self, dtype: str) -> Locate:
        """A function from a scenario's number to its run, its point and its arguments."""
        with jax.enable_x64(dtype == "float64"):
            tables = self.tables(Chunks(self.sizes, (1, 1)), np.dtype(dtype))
        # Draws of another precision would not be those that the scenario was given.
        column_of = jax.jit(
            lambda from_b, point: self._mixed(from_b, self._draws(_points(tables, point)))[1]
        )

        def locate(number: int) -> dict[str, Any]:
            run, point = divmod(number, self.points)
            with jax.enable_x64(dtype == "float64"):
                columns = jax.device_get(column_of(self._from_b[run], np.uint32(point)))
            # In the order of the arguments: a dict comes from the device sorted.
            found = {name: columns[name].item() for name in self.names}
            for name, each in self._named():
                if each.labels:
                    found[name] = each.labels[found[name]]
            return {RUN: self.runs[run], POINT: point, **found}

        return locate

    def _draws(self, points: Array) -> list[list[Any]]:
        """For A and for B, of each argument: its draw, its column in a table and its bin."""
        return [
            [
                (each.quantile(u), each.column(u), bin_of(each, u))
                for each, u in zip(self.distributions.values(), of_draw, strict=True)
            ]
            for of_draw in points
        ]

    def _mixed(self, from_b: Any, draws: Any) -> tuple[dict[str, Any], ...]:
        """Draws, columns and bins of a run, by name."""
        found = [
            jax.tree.map(lambda a, b, is_b=from_b[at]: jnp.where(is_b, b, a), of_a, of_b)
            for at, (of_a, of_b) in enumerate(zip(*draws, strict=True))
        ]
        return tuple(dict(zip(self.names, each, strict=True)) for each in zip(*found, strict=True))

    def _named(self):
        return self.distributions.items()


def _points(tables: Any, number: Array) -> Array:
    """Points in (0, 1) of A and B, of each argument: (2, arguments, ...)."""
    made, one = tables

    def of_argument(table: Array) -> Array:
        return SOBOL.point(table, jnp.zeros_like(number), number, one.dtype)

    # In a loop, because XLA would otherwise make a point again in each run that takes it: a sweep
    # took 1.6 times as long. All arguments at once, because 32 compiled for three times as long.
    return lax.map(jax.vmap(of_argument), made)


def _check(points: Any, second_order: Any, distributions: Mapping[str, Any]) -> None:
    if not isinstance(points, Integral) or isinstance(points, bool):
        raise TypeError(f"points must be a whole number; got {points!r}")
    if not BLOCKS <= int(points) <= SOBOL.max_size or int(points).bit_count() > 1:
        raise ValueError(
            f"points must be a power of two, {BLOCKS} to {SOBOL.max_size:,}; got {points:,}"
        )
    if not isinstance(second_order, bool):
        raise TypeError(f"second_order must be True or False; got {second_order!r}")
    check_distributions(distributions)
    for name in (RUN, POINT):
        if name in distributions:
            raise ValueError(f"{name!r} is an axis of the results; give the argument another name")
    if len(distributions) > MOST:
        raise ValueError(
            f"at most {MOST} arguments, because each takes two of the {MAX_DIMENSIONS} dimensions "
            f"of Sobol' points; got {len(distributions)}"
        )
