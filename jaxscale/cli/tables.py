"""What the commands print: tables, notes and JSON. Nothing here computes."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from jaxscale.cli.visible import Text


def console() -> Console:
    """A console on the standard output of this moment, which leaves numbers uncoloured."""
    return Console(highlight=False)


def note(text: str, *, style: str = "") -> None:
    """Print a line as it is, wrapped in a terminal alone; nothing for an empty one."""
    output = console()
    if text:
        output.print(Text(text, style=style), soft_wrap=not output.is_terminal)


@contextmanager
def progress(text: str) -> Iterator[None]:
    """Say on stderr what is under way, as long as it is and where that is a terminal."""
    with Console(stderr=True).status(Text(f"{text} ...")):
        yield


def print_columns(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    emphasis: Sequence[str] = (),
    words: Sequence[str] = (),
) -> None:
    """Print rows under a header: numbers to the right, the first column and `words` to the left.

    On a narrow terminal cells take more lines; nothing is cut off.
    """
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", show_header=any(header))
    for index, name in enumerate(header):
        side = "right" if index and name not in words else "left"
        table.add_column(Text(name), justify=side, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row), style="bold" if row[0] in emphasis else "")
    console().print(table)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print named facts, one under the other; a name that repeats is said once."""
    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    previous = ""
    for name, fact in facts:
        table.add_row(Text("" if name == previous else name, style="bold"), Text(fact))
        previous = name
    console().print(table)


def print_json(record: dict[str, Any]) -> None:
    print(json.dumps(record, indent=2, allow_nan=False), flush=True)


def plain(numbers: Any) -> dict[str, float]:
    """The fields of a dataclass of numbers, as Python floats."""
    return {name: float(value) for name, value in asdict(numbers).items()}
