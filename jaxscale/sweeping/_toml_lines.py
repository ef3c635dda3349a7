"""TOML with the line of each key, so that an error can say where it is.

The standard library's parser forgets lines. They are found again by headers and keys at the
start of a line; an error in an inline table names the line of the table.
"""

import re
import tomllib
from dataclasses import dataclass
from typing import Any, NoReturn

_HEADER = re.compile(r"\s*\[\[?\s*(?P<path>[^\]]+?)\s*\]")
_KEY = re.compile(r"""\s*(?P<path>[\w."'-][\w."' -]*?)\s*=""")


@dataclass(frozen=True)
class TomlText:
    """A parsed text, called `name` in messages."""

    name: str
    tables: dict[str, Any]
    lines: dict[tuple[str, ...], int]  # by the path of a key, from 1

    def refuse(self, path: tuple[str, ...], problem: str) -> NoReturn:
        """Raise a ValueError that names the line, the key and the problem."""
        line = next(
            (self.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.lines), None
        )
        where = self.name if line is None else f"{self.name}, line {line}"
        raise ValueError(f"{where}: {'.'.join(path[-1:])}: {problem}")

    def fail(self, problem: str) -> NoReturn:
        """Raise a ValueError about the text as a whole."""
        raise ValueError(f"{self.name}: {problem}")


def parsed(name: str, text: str) -> TomlText:
    """The tables and lines of a text; ValueError where it is not TOML."""
    try:
        return TomlText(name, tomllib.loads(text), _lines(text))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{name}: not TOML: {error}") from None


def _lines(text: str) -> dict[tuple[str, ...], int]:
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _parts(header["path"])
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            path = (*table, *_parts(key["path"]))
            for length in range(len(table) + 1, len(path) + 1):
                lines.setdefault(path[:length], number)
    return lines


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in path.split("."))
