"""`jaxscale show` and `jaxscale verify`: what a stored sweep holds, and whether it still does."""

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
from jaxscale.sweeping import store

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
    progress, data = stored.progress_of(folder), stored.opened(folder)
    state = "" if progress.done == progress.total else ", not finished: go on with jaxscale resume"
    tables.note(
        f"{path}: {counted(progress.scenarios, 'scenario')}, {progress.done:,} of "
        f"{counted(progress.total, 'chunk')} done{state}",
        style="bold",
    )
    show_summary(data)
    with tables.progress("drawing"):
        written = draw(data, target)
    say_what_was_written(written)


def verify(path: options.StoredPath) -> None:
    """Read every chunk of a stored sweep against its checksum, and compute bad ones again."""
    folder = path_of(path)
    with one_line_errors(), tables.progress(f"reading {path}"):
        verdict = store.verify(folder)
    left = f"; {len(verdict.missing):,} not computed yet" if verdict.missing else ""
    read = f"{counted(verdict.checked, 'chunk')} read"
    if not verdict.bad:
        tables.note(f"{read}, all of them whole{left}.")
        return
    named = ", ".join(map(str, verdict.bad[:NAMED])) + ", ..." * (len(verdict.bad) > NAMED)
    tables.note(f"{read}, {len(verdict.bad):,} bad: {named}{left}.")
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


SHOW_EXAMPLES = """\
jaxscale show sweep.zarr
jaxscale show sweep.zarr --picture figure.svg
"""
VERIFY_EXAMPLES = "jaxscale verify sweep.zarr\n"
