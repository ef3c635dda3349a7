"""Numbers in the cells of a table, as people write them, and which decimal mark they use.

Cells of text are read by `quantities.parse`. `1,234` is a thousand or a bit more than one: its
column decides, then the other columns and the separator of the file; where neither does, the cell
is refused.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import numpy as np

from jaxscale._numerics.quantities import parse
from jaxscale.fitting.column_values import NumberWord, values_of

OTHER = {".": ",", ",": "."}
NAMES = {".": "point", ",": "comma"}
TRUTHS = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
# What pandas, too, takes for a missing cell; and dashes.
MISSING = {"", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None"}
DASHES = re.compile("[-\u2010-\u2015\u2212]+")
CURRENCY = re.compile(r"[$\u20ac\u00a3].*|.*%")


def cells_of(column: Any) -> list[Any]:
    """The cells of a column of a data frame as Python values, None where one is missing."""
    return [
        None if missing or _says_missing(cell) else _item(cell)
        for cell, missing in zip(column, column.isna(), strict=True)
    ]


def _says_missing(cell: Any) -> bool:
    return isinstance(cell, str) and (cell in MISSING or DASHES.fullmatch(cell) is not None)


def _item(cell: Any) -> Any:
    return cast(Any, cell.item()) if isinstance(cell, np.generic) else cell


# --- Decimal marks ---------------------------------------------------------------------------


def marks_in(cells: Iterable[Any]) -> list[str]:
    """The decimal marks that numbers in the cells must have, the commoner first."""
    counts = {mark: 0 for mark in OTHER}
    for cell in cells:
        if isinstance(cell, str) and ("." in cell or "," in cell):
            able = [mark for mark in OTHER if parse(cell, mark)]
            if len(able) == 1:
                counts[able[0]] += 1
    return sorted((mark for mark in counts if counts[mark]), key=lambda mark: -counts[mark])


def mark_of(cells: Sequence[Any], elsewhere: Callable[[], list[str]], *, has_counts: bool) -> str:
    """The decimal mark of a column; empty where its cells can be read in two ways.

    `elsewhere` gives the marks of the whole file. Without `has_counts`, as of losses, nobody
    separates thousands.
    """
    marks = marks_in(cells)
    if marks:
        return marks[0]
    unclear = {mark for mark in OTHER for cell in cells if isinstance(cell, str) and mark in cell}
    if not unclear:
        return "."
    marks = elsewhere()
    if len(marks) == 1 and (has_counts or unclear == {*marks}):
        return marks[0]
    # A point is read as one unless commas are decimal elsewhere.
    return "." if not marks and unclear == {"."} else ""


# --- Numbers ---------------------------------------------------------------------------------


def numbers(
    cells: Sequence[Any], mark: str, *, suffixes: bool
) -> tuple[np.ndarray, dict[int, str]]:
    """The numbers in the cells, None where one is missing, and the faults of others by position."""
    values = np.full(len(cells), math.nan)
    faults: dict[int, str] = {}
    for row, cell in enumerate(cells):
        try:
            values[row] = math.nan if cell is None else number(cell, mark, suffixes=suffixes)
        except ValueError as fault:
            faults[row] = str(fault)
    return values, faults


def number(cell: Any, mark: str, *, suffixes: bool) -> float:
    """The number in a cell; ValueError says what is wrong. `suffixes` allows 7B."""
    if isinstance(cell, str):
        return _of_text(cell, mark, suffixes)
    if isinstance(cell, bool | np.bool_) or not hasattr(cell, "__float__"):
        raise ValueError(f"is {cell!r}, not a plain number")
    try:
        value = float(cell)
    except OverflowError:
        value = math.inf
    if math.isnan(value):
        raise ValueError("is missing")
    return value


def _of_text(cell: str, mark: str, suffixes: bool) -> float:
    found = parse(cell, mark or ".")
    other = parse(cell, OTHER[mark or "."])
    if not mark and found and other and found.value != other.value:
        raise ValueError(
            f"is {cell!r}, which may be {found.value:g} or {other.value:g}: write it without "
            "separators"
        )
    if not mark:
        found = found or other
    if found is None or (found.suffix and not suffixes):
        raise ValueError(f"is {cell!r}, not a plain number{_cause(cell, mark, other is not None)}")
    return found.value


def _cause(cell: str, mark: str, has_other_mark: bool) -> str:
    if CURRENCY.fullmatch(cell):
        return ": it has a currency or a percent sign: leave it out"
    if mark and has_other_mark and parse(cell, mark) is None:
        return f": it has a decimal {NAMES[OTHER[mark]]}, where the column has {NAMES[mark]}s"
    return ""


# --- Columns of any kind ---------------------------------------------------------------------


def typed(cells: Sequence[Any], mark: str) -> np.ndarray:
    """A column as an expression sees it: numbers, truths, dates or words.

    Words that all write numbers are numbers; with suffixes they stay words, as names of models
    are, and count as numbers where arithmetic or a comparison with one asks for that.
    """
    words = [cell for cell in cells if isinstance(cell, str)]
    if not words or not mark:
        return values_of(cells)
    if all(word in TRUTHS for word in words):
        return values_of([TRUTHS.get(cell, cell) for cell in cells])
    read: dict[str, Any] = {}
    has_suffix = False
    for word in dict.fromkeys(words):
        found = parse(word, mark)
        if found is None:
            return values_of(cells)
        has_suffix = has_suffix or bool(found.suffix)
        # Labels of runs may be exact above 2**53.
        read[word] = int(word) if word.isdigit() and len(word) < 19 else found.value
    if has_suffix:
        read = {word: NumberWord.of(word, value) for word, value in read.items()}
    return values_of([read[cell] if isinstance(cell, str) else cell for cell in cells])
