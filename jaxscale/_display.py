"""Display of results: a text table, an HTML table, and a pandas DataFrame.

A result class forwards its `__repr__`, `_repr_html_` and `to_dataframe` here, so that all results
look alike. None prints more than 30 lines, but for groups of rows: they are all asked for by name.
"""

import html as markup
import importlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import jax
import numpy as np
from jax import core

from jaxscale._numerics.quantities import count

if TYPE_CHECKING:
    from pandas import DataFrame

ROWS = 25  # of a table; with a title, a header, a rule and a last line that is 29 lines
WIDTH = 60  # characters of a cell

Row = Sequence[str]
Item = TypeVar("Item")


def table(
    header: Row,
    rows: Iterable[Row],
    *,
    title: str = "",
    total: int | None = None,
    most: int = ROWS,
) -> str:
    """Rows of text under a header, columns of numbers aligned to the right.

    Only the first 25 rows are shown, or `most`, and the number of the others is said. `total` is
    the number of all rows, where `rows` is only a part of them.

    >>> print(table(("law", "E"), [("sardana2024", "1.69"), ("kaplan2020", "0")]))
    law             E
    -----------------
    sardana2024  1.69
    kaplan2020      0
    """
    shown, missing = _shown(rows, total, most)
    columns = list(zip(*([header] if any(header) else []), *shown, strict=True))
    widths = [max(map(len, column)) for column in columns]
    to_right = [
        index > 0 and _is_numeric(row[index] for row in shown) for index in range(len(header))
    ]

    def line(cells: Row) -> str:
        aligned = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, to_right, strict=True)
        )
        return "  ".join(aligned).rstrip()

    head = [line(header), "-" * (sum(widths) + 2 * (len(widths) - 1))] if any(header) else []
    more = [f"... and {missing:,} more"] if missing else []
    return "\n".join([*([title] if title else []), *head, *map(line, shown), *more])


def html(header: Row, rows: Iterable[Row], *, title: str = "", total: int | None = None) -> str:
    """The same rows as an HTML table with a caption, every text escaped."""
    shown, missing = _shown(rows, total)

    def line(tag: str, cells: Iterable[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{markup.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    caption = f"<caption>{markup.escape(title)}</caption>" if title else ""
    head = f"<thead>{line('th', header)}</thead>" if any(header) else ""
    body = "".join(line("td", cells) for cells in shown)
    more = f"<tfoot>{line('td', [f'... and {missing:,} more'])}</tfoot>" if missing else ""
    return f"<table>{caption}{head}<tbody>{body}</tbody>{more}</table>"


Groups = Mapping[str, Sequence[Row]]  # rows by the heading over them


def grouped(header: Row, groups: Groups, *, title: str, notes: Iterable[str] = ()) -> str:
    """All rows under one header, those of a group under its heading, and notes beneath.

    >>> print(grouped(("law", "E"), {"Web text": [("kaplan2020", "0")]}, title="Two laws"))
    Two laws
      law         E
    ---------------
    Web text
      kaplan2020  0
    """
    rows = [row for group in groups.values() for row in group]
    head, rule, *lines = table(header, rows, most=len(rows)).splitlines()
    rest = iter(lines)
    shown = [title, f"  {head}", f"--{rule}"]
    for heading, group in groups.items():
        shown += [heading, *(f"  {next(rest)}" for _ in group)]
    return "\n".join([*shown, *notes])


def grouped_html(header: Row, groups: Groups, *, title: str, notes: Iterable[str] = ()) -> str:
    """The same as an HTML table, with a body for each group."""

    def line(tag: str, cells: Iterable[str], span: int = 1) -> str:
        start = f'<{tag} colspan="{span}">' if span > 1 else f"<{tag}>"
        return "<tr>" + "".join(f"{start}{markup.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    width = len(header)
    bodies = "".join(
        f"<tbody>{line('th', [heading], width)}{''.join(line('td', row) for row in rows)}</tbody>"
        for heading, rows in groups.items()
    )
    feet = "".join(line("td", [note], width) for note in notes)
    return (
        f"<table><caption>{markup.escape(title)}</caption><thead>{line('th', header)}</thead>"
        f"{bodies}{f'<tfoot>{feet}</tfoot>' if feet else ''}</table>"
    )


Columns = Callable[[], Mapping[str, Any]]  # arrays of one shape, by name
Writers = Mapping[str, Callable[[Any], str]]  # how a cell is written, where not by `count`


def scenarios(result: Any, columns: Columns, write: Writers, numbers: Any = None) -> str:
    """A result of some scenarios: a table with a row for each, or one line for a single one.

    `numbers` is the part of the result that may be traced, all of it by default. What is traced
    prints as a dataclass does.
    """
    name = type(result).__name__
    if not are_concrete(result if numbers is None else numbers):
        return f"{name}({', '.join(f'{key}={x!r}' for key, x in vars(result).items())})"
    header, rows, shape = _of_scenarios(columns(), write)
    if shape:
        return table(header, rows, title=f"{name} of shape {shape}", total=math.prod(shape))
    (row,) = rows
    cells = zip(header[1:], row[1:], strict=True)
    return f"{name}({', '.join(f'{key}={cell}' for key, cell in cells)})"


def scenarios_html(
    result: Any, columns: Columns, write: Writers, numbers: Any = None
) -> str | None:
    """The same as an HTML table; None for what is traced."""
    if not are_concrete(result if numbers is None else numbers):
        return None
    header, rows, shape = _of_scenarios(columns(), write)
    name = type(result).__name__
    title = f"{name} of shape {shape}" if shape else name
    return html(header, rows, title=title, total=math.prod(shape))


def _of_scenarios(
    columns: Mapping[str, Any], write: Writers
) -> tuple[Row, list[Row], tuple[int, ...]]:
    """A header, cells of the first scenarios after their index, and the shape of all."""
    arrays = {name: np.asarray(x) for name, x in columns.items()}
    shape = next(iter(arrays.values())).shape
    rows = []
    for index in islice(np.ndindex(shape), ROWS):
        cells = (write.get(name, count)(x[index]) for name, x in arrays.items())
        rows.append([", ".join(map(str, index)), *cells])
    return ["", *arrays], rows, shape


def dataframe(columns: Mapping[str, Any], index: Any = None) -> "DataFrame":
    """The columns as a pandas DataFrame; ImportError that names the extra without pandas."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError("a DataFrame needs pandas: pip install 'jaxscale[all]'") from error
    return pandas.DataFrame(dict(columns), index=index)


def figure(name: str, *results: Any) -> Any:
    """The figure that `js.plots` draws under that name; plots are imported by this call."""
    return getattr(importlib.import_module("jaxscale.plots"), name)(*results)


def are_concrete(tree: Any) -> bool:
    """Whether all leaves are numbers of one shape: none is traced, or a placeholder of JAX."""
    kinds = (float, int, np.ndarray, np.generic, jax.Array)
    leaves = jax.tree.leaves(tree, is_leaf=lambda x: x is None)
    concrete = all(isinstance(x, kinds) and not isinstance(x, core.Tracer) for x in leaves)
    return concrete and len({np.shape(x) for x in leaves}) == 1


def _shown(rows: Iterable[Row], total: int | None, most: int = ROWS) -> tuple[Sequence[Row], int]:
    """The rows to show, cells cut to a width, and how many more there are."""
    rows = iter(rows)
    shown = [tuple(map(_short, row)) for row in islice(rows, most)]
    return shown, max(0, len(shown) + sum(1 for _ in rows) if total is None else total) - len(shown)


def _short(cell: str) -> str:
    cell = " ".join(cell.split())
    return cell if len(cell) <= WIDTH else f"{cell[: WIDTH - 3]}..."


def _is_numeric(cells: Iterable[str]) -> bool:
    """Whether every cell that is not empty begins as a number does."""
    return all(cell.lstrip("-+$")[:1].isdigit() or cell in ("", "nan", "inf") for cell in cells)


class Catalog(tuple[Item, ...], Generic[Item]):
    """A tuple of published entries that prints as a table.

    `columns` gives a value of each column for an item: text, a number, a (low, high) or None.

    Examples:
        >>> catalog = js.hardware.catalog()
        >>> len(catalog), catalog[0].name
        (41, 'V100')
        >>> list(catalog.to_dataframe().columns)[:3]
        ['accelerator', 'vendor', 'bf16_flops']
    """

    columns: Mapping[str, Callable[[Item], Any]]

    def __new__(
        cls, items: Iterable[Item], columns: Mapping[str, Callable[[Item], Any]]
    ) -> "Catalog[Item]":
        """The items with their columns; tuples need both when they are made."""
        self = super().__new__(cls, items)
        self.columns = columns
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied as a plain tuple."""
        return tuple, (tuple(self),)

    def __repr__(self) -> str:
        return table(self._header, self._cells())

    def _repr_html_(self) -> str:
        return html(self._header, self._cells())

    def to_dataframe(self) -> "DataFrame":
        """A row for each item; a range is a pair, and None where nothing is known."""
        return dataframe({name: [of(item) for item in self] for name, of in self.columns.items()})

    @property
    def _header(self) -> Row:
        return [name.replace("_", " ") for name in self.columns]

    def _cells(self) -> Iterable[Row]:
        return ([text(of(item)) for of in self.columns.values()] for item in self)


def text(value: Any) -> str:
    """A value in a cell: `41.6B`, `70M to 16B`, a name; empty for None."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return f"{count(value[0])} to {count(value[1])}"
    if isinstance(value, int):
        return f"{value:,}"
    return value if isinstance(value, str) else count(float(value))
