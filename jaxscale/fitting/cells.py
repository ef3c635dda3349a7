"""Numbers in the cells of a table, as people write them, and which decimal mark they use.

Cells of text are read by `quantities.parse`. `1,234` is a thousand or a bit more than one: its
column decides, then the other columns and the separator of the file; where neither does, the cell
is refused.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import numpy as np

from jaxscale._numerics.quantities import parse, suffix_advice
from jaxscale.fitting.column_values import NumberWord, values_of

OTHER = {".": ",", ",": "."}
NAMES = {".": "point", ",": "comma"}
TRUTHS = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
# What pandas, too, takes for a missing cell; and dashes.
MISSING = {"", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None"}
DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
CURRENCY = re.compile(r"[$\u20ac\u00a3].*|.*%")


def cells_of(column: Any) -> list[Any]:
    """The cells of a column of a data frame as Python values, None where one is missing."""
    return [
        None if missing or _says_missing(cell) else _item(cell)
        for cell, missing in zip(column, column.isna(), strict=True)
    ]


def _says_missing(cell: Any) -> bool:
    return isinstance(cell, str) and (cell in MISSING or not cell.strip(DASHES))


def _item(cell: Any) -> Any:
    return cast(Any, cell.item()) if isinstance(cell, np.generic) else cell


# --- Decimal marks ---------------------------------------------------------------------------


def marks_in(cells: Iterable[Any]) -> list[str]:
    """The decimal marks that numbers in the cells must have, the commoner first."""
    texts = [cell for cell in cells if isinstance(cell, str) and ("." in cell or "," in cell)]
    if not any("," in text or text.count(".") > 1 for text in texts):  # nearly everywhere
        return ["."] if any(_must_have(text) for text in texts) else []
    counts = Counter(mark for text in texts for mark in _must_have(text))
    return sorted(counts, key=lambda mark: (-counts[mark], mark == ","))


def _must_have(text: str) -> list[str]:
    able = [mark for mark in OTHER if parse(text, mark)]
    return able if len(able) == 1 else []


def mark_of(cells: Sequence[Any], of_file: Callable[[], list[str]]) -> str:
    """The decimal mark of a column; empty where its cells can be read in two ways.

    `of_file` gives the marks of the whole file, the commoner first.
    """
    own = marks_in(cells)
    if own == ["."]:
        return "."
    unclear = {mark for mark in OTHER for cell in cells if isinstance(cell, str) and mark in cell}
    if not unclear:
        return "."
    marks = of_file()
    if own:  # a comma among points is a mistake, and hardly a decimal one
        return own[0] if own[0] == marks[0] else "."
    if len(marks) == 1:
        return marks[0]
    # A point is read as one unless commas are decimal elsewhere.
    return "." if not marks and unclear == {"."} else ""


# --- Numbers ---------------------------------------------------------------------------------


def numbers(
    cells: Sequence[Any], mark: str, *, suffixes: bool, thousands: bool
) -> tuple[np.ndarray, dict[int, str]]:
    """The numbers in the cells, NaN where one is missing, and the faults of others by position.

    `suffixes` allows 7B. Without `thousands`, as in losses, `1,234` is refused where commas are
    not decimal: it was hardly meant so.
    """
    values = np.full(len(cells), math.nan)
    faults: dict[int, str] = {}
    for row, cell in enumerate(cells):
        try:
            if isinstance(cell, str):
                values[row] = _of_text(cell, mark, suffixes, thousands)
            elif cell is not None:
                values[row] = _of_item(cell)
        except ValueError as fault:
            faults[row] = str(fault)
    return values, faults


def _of_item(cell: Any) -> float:
    if isinstance(cell, bool | np.bool_) or not hasattr(cell, "__float__"):
        raise ValueError(f"is {cell!r}, not a plain number")
    try:
        return float(cell)
    except OverflowError:
        return math.inf


def _of_text(cell: str, mark: str, suffixes: bool, thousands: bool) -> float:
    found = parse(cell, mark or ".")
    is_unclear = not mark or (not thousands and OTHER[mark] in cell)
    if found and not is_unclear and (suffixes or not found.suffix):
        return found.value
    other = parse(cell, OTHER[mark or "."])
    if is_unclear and found and other and found.value != other.value:
        raise ValueError(
            f"is {cell!r}, which may be {found.value:g} or {other.value:g}: write it without "
            "separators of thousands, and with a decimal point"
        )
    cause = ""
    if CURRENCY.fullmatch(cell):
        cause = ": it has a currency or a percent sign: leave it out"
    elif mark and other and not found:
        cause = f": it has a decimal {NAMES[OTHER[mark]]}, where others have {NAMES[mark]}s"
    elif suffixes:
        cause = suffix_advice(cell, mark or ".")
    found = found or (None if mark else other)
    if found is None or (found.suffix and not suffixes):
        raise ValueError(f"is {cell!r}, not a plain number{cause}")
    return found.value


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
