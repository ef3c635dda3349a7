"""`jaxscale show` and `jaxscale verify`: the contents of a stored sweep, and its checksums."""

from shlex import quote

from jaxscale import sweeping
from jaxscale._written import counted
from jaxscale.cli import options, tables
from jaxscale.cli.files import checked_path
from jaxscale.cli.mistakes import Mistake, blamed_on, path_of
from jaxscale.cli.summary import record_of, show_summary
from jaxscale.cli.sweep import (
    draw,
    kept_when_stopped,
    one_line_errors,
    picture_beside,
    progress_record,
    say_what_was_written,
)
from jaxscale.sweeping import stored


def show(
    path: options.StoredPath,
    picture: options.Picture = None,
    as_json: options.Json = False,
) -> None:
    """Sum up any stored sweep, and draw it."""
    folder = path_of(path)
    with one_line_errors():
        data = stored.open_store(folder)
        progress = stored.progress_of(folder)
    beside = picture_beside(folder if folder.name else folder.resolve())
    target = checked_path("--picture", beside if picture is None else picture)
    if not as_json:
        on = f", not finished: go on with jaxscale resume {quote(path)}"
        state = "" if progress.done == progress.total else on
        tables.note(
            f"{path}: {counted(progress.scenarios, 'scenario')}, {progress.done:,} of "
            f"{counted(progress.total, 'chunk')} done{state}",
            style="bold",
        )
    with one_line_errors(), stored.explained_damage(folder):
        summary = sweeping.summarize(data)
        if not as_json:
            show_summary(summary)
        with tables.progress("drawing"):
            written = draw(data, target)
    if not as_json:
        say_what_was_written(written)
        return
    record = {"store": path, **progress_record(progress), "summary": record_of(summary)}
    tables.print_json("show", {**record, "written": written})


def verify(path: options.StoredPath, as_json: options.Json = False) -> None:
    """Check all files of a stored sweep; restore damaged metadata, compute bad chunks again."""
    folder = path_of(path)
    with one_line_errors(), tables.progress(f"reading {path}"):
        verification = sweeping.verify(folder)
    if not as_json:
        for sentence in verification.sentences():
            tables.note(sentence)
    if not verification.is_whole:
        with one_line_errors(), blamed_on("the environment"), kept_when_stopped(folder):
            sweeping.resume(folder)
            again = sweeping.verify(folder)
        if again.bad:
            bad = counted(len(again.bad), "chunk")
            raise Mistake(f"{path}: {bad} bad again: the disk may be failing")
        if not as_json:
            chunks = counted(again.checked, "chunk")
            tables.note(f"Computed again: {path} is whole, {chunks}.")
    if as_json:
        tables.print_json(
            "verify", {**record_of(verification), "computed_again": not verification.is_whole}
        )


SHOW_EXAMPLES = """\
jaxscale show sweep.zarr
jaxscale show sweep.zarr --picture figure.svg
"""
VERIFY_EXAMPLES = "jaxscale verify sweep.zarr\n"
