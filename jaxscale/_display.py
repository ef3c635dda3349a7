"""How results show themselves: a text table, an HTML table, and a pandas DataFrame.

A result class forwards its `__repr__`, `_repr_html_` and `to_dataframe` here, so that every one
of them looks alike, and none prints more than 30 lines.
"""

import html as markup
import importlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

ROWS = 25  # of a table; with a title, a header, a rule and a last line that is 29 lines
WIDTH = 60  # characters of a cell

Row = Sequence[str]


def table(header: Row, rows: Iterable[Row], *, title: str = "", total: int | None = None) -> str:
    """Rows of text under a header, columns of numbers aligned to the right.

    Only the first 25 rows are shown, and the number of the others is said. `total` is the number
    of all rows, where `rows` is only a part of them.

    >>> print(table(("law", "E"), [("sardana2024", "1.69"), ("kaplan2020", "0")]))
    law             E
    -----------------
    sardana2024  1.69
    kaplan2020      0
    """
    shown, missing = _shown(rows, total)
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


def dataframe(columns: Mapping[str, Any], index: Any = None) -> "DataFrame":
    """The columns as a pandas DataFrame; ImportError that names the extra without pandas."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError("a DataFrame needs pandas: pip install 'jaxscale[all]'") from error
    return pandas.DataFrame(dict(columns), index=index)


def figure(name: str, *results: Any) -> Any:
    """The picture of results by a name in `js.plots`, which is imported now."""
    return getattr(importlib.import_module("jaxscale.plots"), name)(*results)


def _shown(rows: Iterable[Row], total: int | None) -> tuple[Sequence[Row], int]:
    """The rows to show, cells cut to a width, and how many more there are."""
    rows = iter(rows)
    shown = [tuple(map(_short, row)) for row in islice(rows, ROWS)]
    return shown, max(0, len(shown) + sum(1 for _ in rows) if total is None else total) - len(shown)


def _short(cell: str) -> str:
    cell = " ".join(cell.split())
    return cell if len(cell) <= WIDTH else f"{cell[: WIDTH - 3]}..."


def _is_numeric(cells: Iterable[str]) -> bool:
    """Whether every cell that is not empty begins as a number does."""
    return all(cell.lstrip("-+$")[:1].isdigit() or cell in ("", "nan", "inf") for cell in cells)
