"""`jaxscale show` and `jaxscale verify`: what a stored sweep holds, and whether it still does."""

from pathlib import Path

from jaxscale.cli import options, stored, tables
from jaxscale.cli.mistakes import Mistake
from jaxscale.cli.pictures import checked_path, draw
from jaxscale.cli.summary import show_summary
from jaxscale.cli.sweep import one_line_errors, picture_beside, run, stored_work
from jaxscale.sweeping import store

NAMED = 10  # chunks that are listed by number


def show(path: options.StoredPath, picture: options.Picture = None) -> None:
    """Sum up a stored sweep, however it was made, and draw it."""
    target = checked_path("--picture", picture or picture_beside(Path(path)))
    with one_line_errors():
        store.read(path)
    progress, data = stored.progress_of(Path(path)), stored.opened(Path(path))
    state = "" if progress.done == progress.total else ", not finished: go on with jaxscale resume"
    tables.note(
        f"{path}: {progress.scenarios:,} scenarios, {progress.done:,} of {progress.total:,} "
        f"chunks done{state}",
        style="bold",
    )
    show_summary(data)
    with tables.progress("drawing"):
        draw(data, target)
    tables.note(f"Wrote {target}.")


def verify(path: options.StoredPath) -> None:
    """Read every chunk of a stored sweep against its checksum, and compute bad ones again."""
    with one_line_errors(), tables.progress(f"reading {path}"):
        verdict = store.verify(path)
    left = f"; {len(verdict.missing):,} not computed yet" if verdict.missing else ""
    if not verdict.bad:
        tables.note(f"{verdict.checked:,} chunks read, all of them whole{left}.")
        return
    named = ", ".join(map(str, verdict.bad[:NAMED])) + ", ..." * (len(verdict.bad) > NAMED)
    tables.note(f"{verdict.checked:,} chunks read, {len(verdict.bad):,} bad: {named}{left}.")
    with one_line_errors():
        store.forget(path, verdict.bad)
    work = stored_work(Path(path))
    run(work, None)
    with one_line_errors():
        again = store.verify(path)
    if again.bad:
        raise Mistake(f"{path}: {len(again.bad):,} chunks are bad again: the disk may be failing")
    tables.note(f"Computed again: {path} is whole, {again.checked:,} chunks.")


SHOW_EXAMPLES = """\
jaxscale show sweep.zarr
jaxscale show sweep.zarr --picture figure.svg
"""
VERIFY_EXAMPLES = "jaxscale verify sweep.zarr\n"
