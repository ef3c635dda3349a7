# pandas has no types:
# pyright: reportMissingTypeStubs=false
"""Tables in files: CSV with any separator, JSON, JSON lines and Parquet, plain or gzipped.

What a file is, its content says, not its name. Text is split by `csv` and `json`, because pandas
and pyarrow count no lines, fill short rows, and round numbers. pandas is imported late.
"""

import csv
import gzip
import io
import json
import os
import re
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeAlias, cast

import numpy as np

from jaxscale._numerics.quantities import parse
from jaxscale.fitting._suspicions.sheet import Suspicion
from jaxscale.fitting.cells import cells_of, mark_of, marks_in, numbers, typed

Frame: TypeAlias = Any  # a pandas.DataFrame
Records: TypeAlias = list[dict[str, Any]]

LISTED = 5  # rows that a message names
COMMENT = re.compile("[ \t]*#(?!N/A)")
SEPARATORS = (",", ";", "\t", "|", " ")
SAMPLE = 50  # rows from which the separator is told
ENCODINGS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
BOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # how files of spreadsheets begin


@dataclass(frozen=True)
class Table:
    """Cells as written, and the number of each row for messages."""

    source: str  # what messages call it
    row_label: str  # "line" or "row"
    row_numbers: np.ndarray  # lines of the file, or rows from 1
    cells: Frame
    separator: str = ""
    remarks: tuple[Suspicion, ...] = ()
    rows: np.ndarray | None = None  # positions of those that are selected
    known: dict[Any, Any] = field(default_factory=dict[Any, Any])  # what was found of columns

    @property
    def names(self) -> list[Any]:
        return list(self.cells.columns)

    def select(self, rows: np.ndarray) -> "Table":
        """The table of some rows, by mask or position."""
        positions = np.arange(len(self.cells)) if self.rows is None else self.rows
        return replace(self, row_numbers=self.row_numbers[rows], rows=positions[rows])

    def column(self, name: Any) -> list[Any]:
        """The cells of a column, None where one is missing."""
        cells = self._cells(name)
        return cells if self.rows is None else [cells[row] for row in self.rows]

    def numbers(
        self, name: Any, *, suffixes: bool, thousands: bool
    ) -> tuple[np.ndarray, dict[int, str]]:
        """The numbers in a column, and the faults of cells that hold none by their position."""
        cells, mark = self.column(name), self._mark(name)
        return numbers(cells, mark, suffixes=suffixes, thousands=thousands)

    def values(self, name: Any) -> np.ndarray:
        """A column of any kind, as an expression sees it."""
        return typed(self.column(name), self._mark(name))

    def _cells(self, name: Any) -> list[Any]:
        if ("cells", name) not in self.known:
            self.known["cells", name] = cells_of(self.cells[name])
        return self.known["cells", name]

    def _mark(self, name: Any) -> str:
        # Of all rows, lest a selection of rows change what a cell says.
        if ("mark", name) not in self.known:
            self.known["mark", name] = mark_of(self._cells(name), self._marks)
        return self.known["mark", name]

    def _marks(self) -> list[str]:
        """The decimal marks of the whole file."""
        at = range(len(self.names))
        cells = [cell for column in at for cell in cells_of(self.cells.iloc[:, column])]
        # Where a comma could not be decimal without quotes, people separate by semicolons.
        return marks_in(cells) or [","] * (self.separator == ";")


def pandas_module() -> Any:
    """The module pandas; ImportError says what to install."""
    try:
        import pandas
    except ImportError:
        raise ImportError("tables of runs need pandas: pip install 'jaxscale[all]'") from None
    return pandas


def frame_table(source: str, frame: Frame) -> Table:
    """The table of a data frame; rows are counted from 1."""
    return Table(source, "row", np.arange(1, len(frame) + 1), frame)


def read_table(source: Any) -> Table:
    """The table in a file: a path, "-" for standard input, or an open file.

    Raises OSError where it cannot be opened, ValueError with the line for what is no table.
    """
    name, content = _content(source)
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{name}: broken gzip: {one_line(error)}") from None
    if content.startswith(b"PAR1"):
        return frame_table(name, _parquet(name, content))
    if content.startswith(BOOKS):
        raise ValueError(
            f"{name}: a spreadsheet or an archive, not a table in text or Parquet: save it as CSV, "
            "or pass pandas.read_excel(path) to js.Runs.from_dataframe"
        )
    text = _text(name, content)
    is_json = text.lstrip().startswith(("{", "["))
    return _json_table(name, text) if is_json else _csv_table(name, text)


def _content(source: Any) -> tuple[str, bytes]:
    """What messages call the file, and its bytes."""
    if source == "-":
        return "standard input", sys.stdin.buffer.read()
    if hasattr(source, "read"):
        content, name = source.read(), getattr(source, "name", None)
        data = content.encode() if isinstance(content, str) else content
        return (name if isinstance(name, str) else "the file"), data
    path = cast(str, os.fspath(source))
    with open(path, "rb") as file:
        return path, file.read()


def _parquet(name: str, content: bytes) -> Frame:
    pandas = pandas_module()
    try:
        return pandas.read_parquet(io.BytesIO(content))
    except ImportError:
        raise ImportError("Parquet files need pyarrow: pip install 'jaxscale[all]'") from None
    except (ValueError, OSError) as error:
        raise ValueError(f"{name}: no Parquet file: {one_line(error)}") from None


def _text(name: str, content: bytes) -> str:
    """The text of the file, in UTF-8 or UTF-16; ValueError names the line of what is neither."""
    encoding = next((ENCODINGS[mark] for mark in ENCODINGS if content.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in content[:2]:  # UTF-16 without its mark
        encoding = "utf-16-be" if content.startswith(b"\0") else "utf-16-le"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{name}: line {line}: not {error.encoding.upper()} text") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{name}: line {line}: a null character; this is no table in text")
    return text


# --- CSV -------------------------------------------------------------------------------------


def _csv_table(name: str, text: str) -> Table:
    separator = _separator(text)
    comments: dict[int, str] = {}
    try:
        # Strict, because an unclosed quote would silently swallow the rest of the file.
        numbered = list(_rows(text, separator, comments, strict=True))
    except csv.Error as error:
        raise ValueError(f"{name}: {error}") from None
    lines, rows = [line for line, _ in numbered], [row for _, row in numbered]
    if separator == "|":
        rows = _unframed(rows)
        kept = [
            at for at, row in enumerate(rows) if not all(re.fullmatch(":?-+:?", x) for x in row)
        ]
        lines, rows = [lines[at] for at in kept], [rows[at] for at in kept]
    if not rows:
        raise ValueError(f"{name}: empty; a header line and rows are expected")
    commented = {line: _cells_of_comment(each, separator) for line, each in comments.items()}
    header_line = _commented_header(rows, commented)
    if header_line:
        header = commented[header_line]
    else:
        header_line, header, lines, rows = lines[0], rows[0], lines[1:], rows[1:]
    faults = {
        line: f"has {len(row)} cells where the header has {len(header)}"
        for line, row in zip(lines, rows, strict=True)
        if len(row) != len(header)
    }
    refuse(name, "line", faults, len(rows))
    frame = pandas_module().DataFrame(rows, columns=header, dtype=object)
    dropped = [
        line
        for line, row in commented.items()
        if line > header_line and len(row) == len(header) > 1
    ]
    remarks = [_remark_on_comments(name, dropped)] if dropped else []
    return Table(name, "line", np.array(lines, np.int64), frame, separator, tuple(remarks))


def _remark_on_comments(name: str, lines: list[int]) -> Suspicion:
    sentence = (
        f"lines that begin with # are left out, and {len(lines)} of them may be rows "
        f"(line {_listed([*map(str, lines)], ', ')})"
    )
    return Suspicion("comments", sentence, tuple(lines), name)


def _rows(
    text: str, separator: str, comments: dict[int, str], *, strict: bool
) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the line on which it begins.

    Lines that begin with # go to `comments`, unless they are inside quotes.
    """
    first, line = 0, 0  # of the row under way; 0 between rows

    def physical() -> Iterator[str]:
        nonlocal first, line
        for line, each in enumerate(io.StringIO(text, newline=""), start=1):
            if not first and COMMENT.match(each):
                comments[line] = each
                continue
            first = first or line
            yield each

    reader = csv.reader(physical(), delimiter=separator, strict=strict, skipinitialspace=True)
    try:
        for row in reader:
            if len(row) > 1 or any(map(str.strip, row)):
                yield first, [cell.strip() for cell in row]
            first = 0
    except csv.Error as error:
        raise csv.Error(f"line {first or line}: {error}") from None


def _separator(text: str) -> str:
    """What separates the cells: most rows are as long as the header, and that is the longest."""
    best, most = SEPARATORS[0], (False, 1)
    for separator in SEPARATORS:
        rows = [row for _, row in islice(_rows(text, separator, {}, strict=False), SAMPLE)]
        width = len(rows[0]) if rows else 0
        alike = 2 * sum(len(row) == width for row in rows) > len(rows)
        is_last_resort = separator == " " and most[1] > 1
        if width > 1 and (alike, width) > most and not is_last_resort:
            best, most = separator, (alike, width)
    return best


def _unframed(rows: list[list[str]]) -> list[list[str]]:
    """The rows of a table in Markdown without the empty cells outside of its bars."""
    framed = all(len(row) > 2 and not row[0] and not row[-1] for row in rows)
    return [row[1:-1] for row in rows] if framed else rows


def _cells_of_comment(comment: str, separator: str) -> list[str]:
    rows = csv.reader([comment.strip(" \t#\r\n")], delimiter=separator, skipinitialspace=True)
    return [cell.strip() for row in rows for cell in row]


def _commented_header(rows: Sequence[Sequence[str]], commented: dict[int, list[str]]) -> int | None:
    """The comment line that holds the header, as NumPy writes it, where rows are all numbers."""
    if not all(parse(cell) for cell in rows[0]):
        return None
    return next((line for line, row in commented.items() if len(row) == len(rows[0])), None)


# --- JSON ------------------------------------------------------------------------------------


def _json_table(name: str, text: str) -> Table:
    try:
        records, lines = _records(name, json.loads(text)), None
    except json.JSONDecodeError as error:
        lines = _json_lines(name, text, error)
        records = list(lines.values())
    pandas = pandas_module()
    frame = pandas.json_normalize(records)
    if lines is None:
        return frame_table(name, frame)
    return Table(name, "line", np.array([*lines], np.int64), frame)


def _json_lines(name: str, text: str, problem: json.JSONDecodeError) -> dict[int, Any]:
    """The objects of the lines by their number; ValueError for what is neither these nor JSON."""
    records: dict[int, dict[str, Any]] = {}
    for line, each in enumerate(io.StringIO(text, newline=""), start=1):
        if not each.strip():
            continue
        try:
            record = json.loads(each)
        except json.JSONDecodeError as error:
            whole = problem if not records else error
            line = problem.lineno if not records else line
            raise ValueError(f"{name}: line {line}: not JSON: {whole.msg}") from None
        if not isinstance(record, dict):
            raise ValueError(f"{name}: line {line}: not a JSON object, as each run is")
        records[line] = cast(dict[str, Any], record)
    return records


def _records(name: str, value: Any) -> Records:
    """A list of objects, one a row, from the ways in which JSON holds tables."""
    found = _of_object(cast(dict[str, Any], value)) if isinstance(value, dict) else value
    if isinstance(found, list):
        rows = cast(list[Any], found)
        if rows and all(isinstance(row, list) for row in rows):  # the first is the header
            longer = [at for at, row in enumerate(rows) if len(row) > len(rows[0])]
            faults = {at: f"has {len(rows[at])} cells for {len(rows[0])} columns" for at in longer}
            refuse(name, "row", faults, len(rows) - 1)
            rows = [dict(zip(map(str, rows[0]), row, strict=False)) for row in rows[1:]]
        if rows and all(isinstance(row, dict) for row in rows):
            return rows
    raise ValueError(f"{name}: no table: a list of objects, one a run, or of columns is expected")


def _of_object(value: dict[str, Any]) -> Any:
    """The rows of an object of columns, of rows, or of one list of rows; None of another."""
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        return [value["columns"], *value["data"]]  # as pandas splits it
    lists: dict[str, list[Any]] = {k: x for k, x in value.items() if isinstance(x, list)}
    objects: dict[str, dict[str, Any]] = {k: x for k, x in value.items() if isinstance(x, dict)}
    of_rows = [x for x in lists.values() if x and all(isinstance(row, dict) for row in x)]
    if len(of_rows) == 1:
        return of_rows[0]
    if len(lists) == len(value):
        is_even = len({len(x) for x in lists.values()}) == 1
        columns = zip(*lists.values(), strict=True) if is_even else ()
        return [dict(zip(value, row, strict=True)) for row in columns]
    if len(objects) < len(value):
        return None if lists else [value]
    inner = next(iter(objects.values()))
    if len(objects) == 1 and any(isinstance(x, list) for x in inner.values()):
        return _of_object(inner)  # as in {"data": {"runs": [..]}}
    keys = list(dict.fromkeys(key for each in objects.values() for key in each))
    if all(key.isdigit() for key in keys):  # columns by row, as pandas writes them
        return [{column: x.get(key) for column, x in objects.items()} for key in keys]
    return [{"run": key, **each} for key, each in objects.items()]


# --- What is said of rows --------------------------------------------------------------------


def refuse(
    source: str, row_label: str, faults: dict[int, str], count: int, advice: str = ""
) -> None:
    """Raise ValueError if there are faults, whose keys are numbers of rows."""
    if faults:
        listed = [f"{row_label} {each}: {faults[each]}" for each in sorted(faults)]
        bad = f"{len(faults)} of {count} ({_listed(listed, '; ')})"
        raise ValueError(f"{source}: bad rows: {bad}{advice}")


def _listed(items: list[str], separator: str) -> str:
    rest = len(items) - LISTED
    return separator.join(items[:LISTED] + ([f"and {rest} more"] if rest > 0 else []))


def one_line(error: Exception) -> str:
    """The message of an error in one line."""
    return " ".join(str(error).split()) or type(error).__name__
