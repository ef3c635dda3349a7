"""A bar on a terminal: scenarios done, a second and to go, and how many of them failed."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from jaxscale.sweeping.job import Job
from jaxscale.sweeping.reducers import StatusCounts
from jaxscale.sweeping.reducers.protocol import Total


@contextmanager
def shown(
    job: Job, scenarios: int, wanted: bool | None
) -> Iterator[Callable[[int, list[Total]], None] | None]:
    """A function to call with scenarios done and their totals; None if nothing is to be shown.

    Shown on a terminal, or wherever it is `wanted`; without rich nothing is.
    """
    wanted = sys.stderr.isatty() if wanted is None else wanted
    if not wanted or importlib.util.find_spec("rich") is None:
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[speed]} scenarios/s"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]}"),
    )
    counts = next(at for at, each in enumerate(job.reducers) if isinstance(each, StatusCounts))
    reducer, gathered = job.reducers[counts], []
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=scenarios, speed="-", failed="")

        def advance(done: int, totals: list[Total]) -> None:
            gathered[:] = [
                reducer.merge(gathered[0], totals[counts]) if gathered else totals[counts]
            ]
            found = reducer.result(gathered[0], lambda number: {})
            speed = bar.tasks[task].speed
            bar.update(
                task,
                advance=done,
                speed=f"{speed:,.3g}" if speed else "-",
                failed=f"{found.not_ok:,} not ok" if found.not_ok else "",
            )

        yield advance
