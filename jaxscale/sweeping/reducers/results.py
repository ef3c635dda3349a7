"""Results of reducers, one by one and of a whole sweep: tables, and DataFrames."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jaxscale import _display
from jaxscale._numerics.quantities import counted, number

if TYPE_CHECKING:
    from pandas import DataFrame

    from jaxscale.sweeping.reducers.protocol import Reducer

LINES = 30  # of a text, at most
Table = tuple[Sequence[str], Sequence[Sequence[str]]]  # a header, and rows


class Shown(ABC):
    """Something with a short table, shown as text and in a notebook, and longer as a DataFrame."""

    @property
    @abstractmethod
    def title(self) -> str:
        """The line above the table."""

    @abstractmethod
    def table(self) -> Table:
        """A header and rows of text."""

    @abstractmethod
    def columns(self) -> dict[str, Any]:
        """All numbers, by column."""

    def to_dataframe(self) -> "DataFrame":
        """All numbers as a pandas DataFrame; ImportError without pandas."""
        return _display.dataframe(self.columns())

    def __repr__(self) -> str:
        return _display.table(*self.table(), title=self.title)

    def _repr_html_(self) -> str:
        return _display.html(*self.table(), title=self.title)


@dataclass(frozen=True, repr=False)
class OfField(Shown):
    """A statistic of one field, with the number of scenarios that count."""

    count: int
    skipped: int  # scenarios that are not ok, or where the field is not finite

    @property
    def title(self) -> str:
        kind = type(self).__name__.removesuffix("Result")
        skipped = f", {self.skipped:,} skipped" if self.skipped else ""
        return f"{kind} of {counted(self.count, 'scenario')}{skipped}"


class Statistics(dict["Reducer", Any]):
    """The results of a sweep by reducer: a dict that prints as tables.

    Examples:
        >>> moments = js.Moments("square")
        >>> stats = js.sweep(
        ...     lambda x: {"square": x * x}, js.Grid(x=[1.0, 2.0, 3.0]), reduce=[moments]
        ... )
        >>> stats
        3 scenarios, all of them ok
        Moments of square, 3 scenarios
        mean   std  min  max
        --------------------
        4.667  3.3    1    9
    """

    def __init__(self, results: Any = (), *, ran: str = "") -> None:
        super().__init__(results)
        self.ran = ran
        """What computed them: one kernel, or a program of XLA, and on a GPU why no kernel did."""

    def titles(self) -> dict["Reducer", str]:
        """A line for each reducer, with its field; the outcomes of all scenarios first."""
        titles = {reducer: _title(reducer, result) for reducer, result in self.items()}
        return dict(sorted(titles.items(), key=lambda item: isinstance(self[item[0]], OfField)))

    def to_dataframe(self) -> "DataFrame":
        """One number a row, by statistic, field, row and quantity; ImportError without pandas."""
        rows = [
            (type(reducer).__name__, getattr(reducer, "field", ""), index, quantity, value)
            for reducer, result in self.items()
            if isinstance(result, Shown)
            for quantity, values in result.columns().items()
            for index, value in enumerate(values)
        ]
        names = ("statistic", "field", "row", "quantity", "value")
        columns = list(zip(*rows, strict=True)) or [()] * len(names)
        return _display.dataframe(dict(zip(names, columns, strict=True)))

    def __repr__(self) -> str:
        lines = [
            line
            for reducer, title in self.titles().items()
            for line in _text(title, self[reducer]).splitlines()
        ]
        more = [f"... and {len(lines) - LINES + 1:,} more lines"] if len(lines) > LINES else []
        return "\n".join([*lines[: LINES - 1 if more else LINES], *more])

    def _repr_html_(self) -> str:
        return "".join(
            _display.html(*self[reducer].table(), title=title)
            for reducer, title in self.titles().items()
            if isinstance(self[reducer], Shown)
        )


def _title(reducer: "Reducer", result: Any) -> str:
    if not isinstance(result, OfField):
        return result.title if isinstance(result, Shown) else repr(reducer)
    words = getattr(reducer, "words", f"{type(reducer).__name__} of")
    return f"{words} {getattr(reducer, 'field', '')}, {counted(result.count, 'scenario')}"


def _text(title: str, result: Any) -> str:
    """The text of one result; a reducer of the user's may give anything."""
    if isinstance(result, Shown):
        return _display.table(*result.table(), title=title)
    return f"{title}: {result!r}"


def table_of(columns: Mapping[str, Sequence[Any]]) -> Table:
    """The columns as text."""
    return tuple(columns), [tuple(map(written, row)) for row in zip(*columns.values(), strict=True)]


def located(values: Sequence[float], at: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Values and the coordinates of their scenarios, by column."""
    names = list(at[0]) if at else []
    return {
        "value": list(values),
        **{name: [coordinates[name] for coordinates in at] for name in names},
    }


def written(value: Any) -> str:
    """A number or a label of a table."""
    return value if isinstance(value, str) else number(float(value))
