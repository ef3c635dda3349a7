"""Progress on stderr where that is a terminal: a bar for each step of a command."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

Advance = Callable[[int], None]
Begin = Callable[[str, int | None], Advance]


@contextmanager
def steps() -> Iterator[Begin]:
    """`begin(text, total)` starts the next step and returns a function to call with work done.

    The step before counts as finished. A total of None is not known: its bar only moves.
    """
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
