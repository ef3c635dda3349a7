"""Rows of a CSV file with their line numbers, and the numbers that cells hold."""

import csv
import math
import re
from collections.abc import Iterator
from typing import Any, TextIO

from jaxscale._numerics.quantities import POWERS

CONVERT = "convert it: pandas.{}.to_csv('runs.csv', index=False)"
# What separates columns where no comma does: its name, what to do.
SEPARATORS = {
    "\t": ("tabs", CONVERT.format("read_csv(path, sep='\\t')")),
    ";": (
        "semicolons, perhaps with decimal commas",
        CONVERT.format("read_csv(path, sep=';', decimal=',')"),
    ),
    "|": ("bars", "write commas"),
}


def csv_rows(source: str) -> tuple[list[str], list[int], list[list[str]]]:
    """The header, the line on which each row begins, and the cells of each row.

    Blank lines are skipped. Raises ValueError that names the line for what is no CSV file, and
    the cause where it is another format: semicolons, tabs, comment lines, JSON lines.
    """
    lines: list[int] = []
    rows: list[list[str]] = []
    line = 1
    with open(source, encoding="utf-8-sig", newline="") as file:
        try:
            # Strict, because an unclosed quote would silently swallow the rest of the file.
            reader = csv.reader(_checked(file, source), strict=True, skipinitialspace=True)
            for row in reader:
                if len(row) > 1 or any(map(str.strip, row)):
                    lines.append(line)
                    rows.append([cell.strip() for cell in row])
                line = reader.line_num + 1
        except UnicodeDecodeError:
            raise ValueError(f"{source}: not UTF-8 text, from line {line} or later") from None
        except csv.Error as error:
            raise ValueError(f"{source}: line {line}: {error}") from None
    if not rows:
        raise ValueError(f"{source}: empty; a header line and rows are expected")
    return rows[0], lines[1:], rows[1:]


def row_fault(row: list[str], columns: int) -> str:
    """The fault of a row that has more or fewer cells than the header."""
    if row[0].startswith("#"):
        return "is a comment: remove lines that begin with #"
    return f"has {len(row)} cells where the header has {columns}"


def _checked(file: TextIO, source: str) -> Iterator[str]:
    """The lines of a file; ValueError where the first with text is of another format."""
    begun = False
    for number, line in enumerate(file, start=1):
        problem = "" if begun else _other_format(line.strip())
        if problem:
            raise ValueError(f"{source}: line {number}: {problem}")
        begun = begun or bool(line.strip())
        yield line


def _other_format(header: str) -> str:
    """Why this line is not the header of a CSV file; empty where it may be one."""
    if header.startswith(("{", "[")):
        return f"JSON, not CSV: {CONVERT.format('read_json(path, lines=True)')}"
    if header.startswith("# ") or (header.startswith("#") and "," not in header):
        return "a comment where the header is expected: remove it, or the # before the names"
    for separator, (name, advice) in SEPARATORS.items():
        if separator in header and "," not in header:
            return f"columns are separated by {name}, not by commas: {advice}"
    return ""


# --- Numbers --------------------------------------------------------------------------------

NUMBER = re.compile(
    r"(?P<digits>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))"
    r"(?:e(?P<power>[+-]?[0-9]+)|(?P<suffix>[KMBT]))?",
    re.IGNORECASE,
)
PLAIN = r"[+-]?[0-9]+(?:\.[0-9]+)?"
# Ways of writing that are refused, with what to write instead. First match counts.
UNREADABLE = (
    (r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?", "thousands separators: leave the commas out"),
    (r"[+-]?[0-9]+,[0-9]+", "a decimal comma: write a point"),
    (r"[+-]?[0-9]+(?:_[0-9]+)+(?:\.[0-9]*)?", "underscores: leave them out"),
    (r"[+-]?[0-9]{1,3}(?:['\u2019\s][0-9]{3})+", "thousands separators: leave them out"),
    (rf"{PLAIN}\s+[KMBT]", "a space before its suffix: leave it out"),
    (rf"{PLAIN}\s*[\u00d7\u00b7x*]\s*10.*", "a power of ten: write 8e18"),
    (r"[$\u20ac\u00a3].*|.*%", "a currency or a percent sign: leave it out"),
)


def number(cell: Any, unit: float, *, suffixes: bool, least: str) -> float:
    """The number in a cell times its unit; ValueError says what is wrong.

    `suffixes` allows 7B, where `unit` is 1; `least` is "above 0", "0 or more", or "any".
    """
    text = str(cell).strip()
    written = NUMBER.fullmatch(text)
    suffix = written["suffix"] if written else None
    # Billions of millions are nobody's count.
    if not written or (suffix and (unit != 1 or not suffixes)):
        raise ValueError(f"is {cell!r}, not a plain number{_cause(text)}")
    power = written["power"] or POWERS[(suffix or "").upper()]
    value = float(f"{written['digits']}e{power}") * unit
    if (value < 0 and least != "any") or (value == 0 and least == "above 0"):
        raise ValueError(f"is {cell!r}, {'below' if least == '0 or more' else 'not above'} 0")
    if not math.isfinite(value):
        raise ValueError(f"is {cell!r}, not finite")
    return value


def _cause(text: str) -> str:
    for pattern, cause in UNREADABLE:
        if re.fullmatch(pattern, text, re.IGNORECASE):
            return f": it has {cause}"
    return ""
