"""`jaxscale show` and `jaxscale verify`: what a stored sweep holds, and whether it still does."""

from pathlib import Path
from shlex import quote

from jaxscale.cli import options, stored, tables
from jaxscale.cli.mistakes import Mistake, path_of
from jaxscale.cli.pictures import checked_path, draw
from jaxscale.cli.quantities import counted
from jaxscale.cli.summary import show_summary
from jaxscale.cli.sweep import (
    kept_when_stopped,
    one_line_errors,
    picture_beside,
    run,
    say_what_was_written,
    stored_work,
)
from jaxscale.sweeping.store import copies, shares, store

NAMED = 10  # chunks that are listed by number


def show(path: options.StoredPath, picture: options.Picture = None) -> None:
    """Sum up a stored sweep, however it was made, and draw it."""
    folder = path_of(path)
    with one_line_errors():
        store.read(folder)
    beside = (
        picture_beside(folder if folder.name else folder.resolve()) if picture is None else picture
    )
    target = checked_path("--picture", beside)
    progress = stored.progress_of(folder)
    on = f", not finished: go on with jaxscale resume {quote(path)}"
    state = "" if progress.done == progress.total else on
    tables.note(
        f"{path}: {counted(progress.scenarios, 'scenario')}, {progress.done:,} of "
        f"{counted(progress.total, 'chunk')} done{state}",
        style="bold",
    )
    data = stored.opened(folder)
    with stored.said_of_damage(folder):
        show_summary(data)
        with tables.progress("drawing"):
            written = draw(data, target)
    say_what_was_written(written)


def verify(path: options.StoredPath) -> None:
    """Check all that a stored sweep holds; put back what was written, compute bad chunks again."""
    folder = path_of(path)
    records = put_back(path, folder)
    with one_line_errors(), tables.progress(f"reading {path}"):
        verdict = store.verify(folder)
    left = f"; {len(verdict.missing):,} not computed yet" if verdict.missing else ""
    read = f"{counted(verdict.checked, 'chunk')} read"
    if not verdict.bad and not records:
        tables.note(f"{read}, all of them whole{left}.")
        return
    named = ", ".join(map(str, verdict.bad[:NAMED])) + ", ..." * (len(verdict.bad) > NAMED)
    tables.note(f"{read}, {len(verdict.bad):,} bad{named and f': {named}'}{left}.")
    with one_line_errors():
        store.forget(folder, verdict.bad)
    with kept_when_stopped(folder):
        run(stored_work(folder), None)
    with one_line_errors():
        again = store.verify(folder)
    if again.bad:
        bad = counted(len(again.bad), "chunk")
        raise Mistake(f"{path}: {bad} bad again: the disk may be failing")
    tables.note(f"Computed again: {path} is whole, {counted(again.checked, 'chunk')}.")


def put_back(path: str, folder: Path) -> int:
    """Mend metadata, coordinates and journal, and say so; damaged records of the journal."""
    with one_line_errors():
        found = store.mend(folder)
        statistics = shares.remove_damaged(folder)
    if found.lost:
        raise Mistake(
            f"{path}: {', '.join(found.lost)} damaged, and so is what was kept to put it back; "
            f"{_last_resort(folder, found.lost)}"
        )
    if found.mended:
        tables.note(f"Put back as written: {', '.join(found.mended)}.")
    if not copies.exist(folder):  # made by an earlier version
        tables.note(
            f"Metadata and coordinates have no copy: jaxscale resume {quote(path)} makes them anew."
        )
    if statistics:
        tables.note(
            f"Removed damaged statistics: {', '.join(statistics)}. Start their processes again."
        )
    if found.records:
        tables.note(
            f"{counted(found.records, 'record')} of the journal damaged: their chunks are "
            "computed again."
        )
    return found.records


def _last_resort(folder: Path, lost: tuple[str, ...]) -> str:
    if "zarr.json" in lost:  # which holds the plan
        return "restore it from a backup, or make the sweep again at another path"
    return f"delete {copies.path_in(folder)}, and the same call makes them anew"


SHOW_EXAMPLES = """\
jaxscale show sweep.zarr
jaxscale show sweep.zarr --picture figure.svg
"""
VERIFY_EXAMPLES = "jaxscale verify sweep.zarr\n"
