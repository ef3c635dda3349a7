"""Output on the terminal: tables, notes, JSON, progress, and text in which nothing steers it."""

import json
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import rich.text
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from jaxscale._version import __version__


def visible(text: str, kept: str = "") -> str:
    r"""The text with escapes, such as `\x1b`, for controls and marks of direction.

    `kept` are characters to leave, such as line ends.
    """
    return "".join(
        char if char.isprintable() or char in kept else ascii(char)[1:-1] for char in text
    )


class Text(rich.text.Text):
    """Text of several lines in which brackets are not markup."""

    def __init__(self, text: str = "", *rest: Any, **style: Any) -> None:
        super().__init__(visible(text, kept="\n"), *rest, **style)


WIDEST = 10_000  # characters: more than any table has


def console() -> Console:
    """A console on the standard output of this moment, which leaves numbers uncoloured."""
    return Console(highlight=False)


def note(text: str, *, style: str = "") -> None:
    """Print a line unchanged, wrapped only in a terminal; nothing for an empty one."""
    output = console()
    if text:
        output.print(Text(text, style=style), soft_wrap=not output.is_terminal)


@contextmanager
def progress(text: str) -> Iterator[None]:
    """Show on stderr what is under way while it lasts, if stderr is a terminal."""
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

    Only `words` and headers take more lines on a narrow terminal: names and numbers stay whole,
    and a table that does not fit for them is wider than the terminal.
    """
    rows = [tuple(row) for row in rows]
    output = console()
    # Break headers over several lines only where the table does not fit.
    for pattern in ("", "(?= )", "(?= )|(?<=_)"):
        table = _columns(header, rows, emphasis, words, pattern)
        if not output.is_terminal or _size(output, table).minimum <= output.width:
            break
    _print(table)


def _columns(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    emphasis: Sequence[str],
    words: Sequence[str],
    pattern: str,
) -> Table:
    """A table whose header may be broken where the pattern matches."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", show_header=any(header))
    for index, (name, *cells) in enumerate(zip(header, *rows, strict=True)):
        written = index > 0 and name in words
        wraps = written and any(" " in cell for cell in cells)
        title = _folded(name, pattern, max(map(_width, cells), default=0))
        texts = (title, *cells)
        table.add_column(
            Text(title),
            justify="right" if index and not written else "left",
            overflow="fold",
            no_wrap=not wraps,
            min_width=max(map(_longest_word if wraps else _width, texts)),
        )
    for row in rows:
        table.add_row(*map(Text, row), style="bold" if row[0] in emphasis else "")
    return table


INDENT = "   "  # of rows under a heading


def print_groups(
    header: Sequence[str],
    groups: Mapping[str, Sequence[Sequence[str]]],
    marks: Mapping[str, str],
) -> bool:
    """Print rows under a header, those of a group under its heading.

    Numbers are to the right, the first column and the last, of phrases with commas between them,
    to the left. In a terminal too narrow for the phrases, those in `marks` become marks in the
    line, and the others go beneath it where they do not fit; names and numbers stay whole. Returns
    whether there are marks.
    """
    output = console()
    width = output.width if output.is_terminal else WIDEST
    *titles, last = (text.split("\n") for text in header)
    height = max(map(len, (*titles, last)))
    heads = [*zip(*([""] * (height - len(x)) + x for x in (*titles, last)), strict=True)]
    written = {name: [tuple(map(visible, row)) for row in rows] for name, rows in groups.items()}
    rows = [row for group in written.values() for row in group]
    *widths, _ = (max(map(cell_len, column)) for column in zip(*heads, *rows, strict=True))
    left = len(INDENT) + sum(widths) + 2 * len(widths)  # of the last column
    widest = left + max(cell_len(row[-1]) for row in (*heads, *rows))

    def lines(cells: Sequence[str]) -> Iterator[str]:
        first, *numbers, words = cells
        line = INDENT + first + " " * (widths[0] - cell_len(first))
        for number, space in zip(numbers, widths[1:], strict=True):
            line += "  " + " " * (space - cell_len(number)) + number
        if widest > width:
            phrases = words.split(", ")
            if mark := "".join(marks[phrase] for phrase in phrases if phrase in marks):
                line += f" {mark}"
                words = ", ".join(phrase for phrase in phrases if phrase not in marks)
        if cell_len(line) + 2 + cell_len(words) <= width:
            yield f"{line}  {words}".rstrip()
        else:
            yield line
            yield from textwrap.wrap(
                words, width, initial_indent=2 * INDENT, subsequent_indent=2 * INDENT
            )

    def show(text: str, style: str = "") -> None:
        output.print(Text(text, style=style), soft_wrap=True)

    for cells in heads:
        show(next(lines(cells)), "bold")
    show(" " + "─" * (min(width, widest) - 1))
    for heading, group in written.items():
        for text in textwrap.wrap(heading, width - 1):
            show(f" {text}", "bold")
        for row in group:
            for text in lines(row):
                show(text)
    show("")
    return widest > width


def print_reasons(reasons: Iterable[tuple[str, str, str]]) -> None:
    """Print a line for each triple of names, a reason and a shorter one.

    In a terminal the shorter one stands for a reason that does not fit in the line.
    """
    output = console()
    width = output.width if output.is_terminal else WIDEST
    for names, reason, shorter in reasons:
        line = f"  {names}: {reason}"
        fits = cell_len(line) <= width
        text = visible(line if fits else f"  {names}: {shorter}")
        for part in textwrap.wrap(text, width, subsequent_indent=2 * INDENT):
            output.print(Text(part), soft_wrap=True)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print named facts, one under the other; a name that repeats is said once."""
    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    previous = ""
    for name, fact in facts:
        table.add_row(Text("" if name == previous else name, style="bold"), Text(fact))
        previous = name
    _print(table)


def _print(table: Table) -> None:
    """Print a table as wide as its content; in a terminal no wider than that, where it can."""
    output = console()
    size = _size(output, table)
    output.width = max(output.width, size.minimum) if output.is_terminal else size.maximum
    output.print(table)


def _size(output: Console, table: Table) -> Measurement:
    return Measurement.get(output, output.options.update(max_width=WIDEST), table)


def _width(text: str) -> int:
    return max(map(cell_len, text.split("\n")))


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _folded(title: str, pattern: str, width: int) -> str:
    """A header in as many lines as it has parts, those together that fit the cells."""
    if not pattern:
        return title
    if "\n" in title:
        return "\n".join(_folded(line, pattern, width) for line in title.split("\n"))
    first, *rest = re.split(pattern, title)
    width = max(width, *(_width(part.strip()) for part in (first, *rest)))
    lines = [first]
    for part in rest:
        if _width(lines[-1] + part) <= width:
            lines[-1] += part
        else:
            lines.append(part.strip())
    return "\n".join(lines)


def print_json(command: str, record: dict[str, Any]) -> None:
    """Print a command's results as one object, which begins with the command and our version."""
    head = {"command": command, "version": __version__}
    print(json.dumps(head | record, indent=2, allow_nan=False), flush=True)


def finite(numbers: Mapping[str, float]) -> dict[str, float | None]:
    """Numbers by name, with null for unknown ones."""
    return {name: x if math.isfinite(x) else None for name, x in numbers.items()}


def plain(numbers: Any) -> dict[str, float]:
    """The fields of a dataclass that are numbers, as Python floats."""
    fields = asdict(numbers).items()
    return {name: float(value) for name, value in fields if not isinstance(value, dict | tuple)}


Advance = Callable[[int], None]
Begin = Callable[[str, int | None], Advance]


@contextmanager
def steps() -> Iterator[Begin]:
    """`begin(text, total)` starts the next step and returns a function to call with work done.

    The step before counts as finished. A total of None is not known: its bar only moves.
    """
    # Imported here: few commands show a bar, and it takes as long as all other tables together.
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<24}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[of]}"),
    )
    shown = Progress(
        *columns,
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with shown as bar:

        def begin(text: str, total: int | None = None) -> Advance:
            for earlier in bar.tasks:
                bar.update(earlier.id, total=earlier.total or 1, completed=earlier.total or 1)
                bar.stop_task(earlier.id)
            task = bar.add_task(text, total=total, of="")

            def advance(done: int) -> None:
                bar.advance(task, done)
                completed = round(bar.tasks[task].completed)
                bar.update(task, of=f"{completed:,} of {total:,}" if total else "")

            return advance

        yield begin
