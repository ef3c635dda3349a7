"""A TOML text with the lines on which its keys stand, so that a mistake can be pointed at.

The standard library's parser forgets lines. They are found again by headers and keys at the
start of a line; a key inside an inline table is blamed on the line of the table.
"""

import re
import tomllib
from dataclasses import dataclass
from typing import Any, NoReturn

from jaxscale.cli.mistakes import Mistake

_HEADER = re.compile(r"\s*\[\[?\s*(?P<path>[^\]]+?)\s*\]")
_KEY = re.compile(r"""\s*(?P<path>[\w."'-][\w."' -]*?)\s*=""")


@dataclass(frozen=True)
class TomlText:
    """A parsed text, called `name` in messages."""

    name: str
    tables: dict[str, Any]
    lines: dict[tuple[str, ...], int]  # by the path of a key, from 1

    def refuse(self, path: tuple[str, ...], problem: str) -> NoReturn:
        """Raise a mistake that names the line, the key and the problem."""
        line = next(
            (self.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.lines), None
        )
        place = self.name if line is None else f"{self.name}, line {line}"
        raise Mistake(f"{place}: {'.'.join(path[-1:])}: {problem}")


def parsed(name: str, text: str) -> TomlText:
    """The tables and lines of a text; a mistake where it is not TOML."""
    try:
        return TomlText(name, tomllib.loads(text), _lines(text))
    except tomllib.TOMLDecodeError as error:
        raise Mistake(f"{name}: not TOML: {error}") from None


def _lines(text: str) -> dict[tuple[str, ...], int]:
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _parts(header["path"])
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            path = (*table, *_parts(key["path"]))
            for length in range(len(table) + 1, len(path) + 1):
                found.setdefault(path[:length], number)
    return found


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in path.split("."))
