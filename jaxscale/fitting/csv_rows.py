"""The rows of a CSV file with the lines they stand on, and why a file is none."""

import csv
from collections.abc import Iterator
from typing import TextIO

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
    places, rows, line = [], [], 1
    with open(source, encoding="utf-8-sig", newline="") as file:
        try:
            # Strict, because an unclosed quote would silently swallow the rest of the file.
            reader = csv.reader(_checked(file, source), strict=True, skipinitialspace=True)
            for row in reader:
                if len(row) > 1 or any(map(str.strip, row)):
                    places.append(line)
                    rows.append([cell.strip() for cell in row])
                line = reader.line_num + 1
        except UnicodeDecodeError:
            raise ValueError(f"{source}: not UTF-8 text, from line {line} or later") from None
        except csv.Error as error:
            raise ValueError(f"{source}: line {line}: {error}") from None
    if not rows:
        raise ValueError(f"{source}: empty; a header line and rows are expected")
    return rows[0], places[1:], rows[1:]


def row_fault(row: list[str], columns: int) -> str:
    """What is wrong with a row that has not as many cells as the header."""
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
    """Why this line is no header of a CSV file; empty where it may be one."""
    if header.startswith(("{", "[")):
        return f"JSON, not CSV: {CONVERT.format('read_json(path, lines=True)')}"
    if header.startswith("# ") or (header.startswith("#") and "," not in header):
        return "a comment where the header is expected: remove it, or the # before the names"
    for separator, (name, advice) in SEPARATORS.items():
        if separator in header and "," not in header:
            return f"columns are separated by {name}, not by commas: {advice}"
    return ""
