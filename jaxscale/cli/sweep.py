"""`jaxscale sweep` and `jaxscale resume`: every scenario of a specification, planned and kept."""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

import jaxscale as js
from jaxscale.cli import options, stored, tables
from jaxscale.cli.dry_run import estimate, show_estimate
from jaxscale.cli.export import checked_table, write_csv, write_parquet
from jaxscale.cli.mistakes import Mistake, Stopped, blamed_on, path_of
from jaxscale.cli.named_law import read_law
from jaxscale.cli.pictures import checked_path, draw, draw_in_flops
from jaxscale.cli.quantities import count, counted
from jaxscale.cli.reductions import read_reductions, show_statistics
from jaxscale.cli.scenarios import SPECIFICATION, labels_of, scenario_of, space_of
from jaxscale.cli.spec import Spec, default_text, read_spec
from jaxscale.cli.summary import show_summary
from jaxscale.cli.vocabulary import LAW
from jaxscale.sweeping.store.store import StoreError, read

STORE = "sweep.zarr"
WORTH_A_RATE = 100_000  # scenarios; with fewer, compiling takes most of the time


class Work(NamedTuple):
    """A sweep as the options ask for it."""

    spec: Spec
    store: Path | None  # None for statistics alone
    reducers: list[Any]
    process: tuple[int, int] | None


class Outputs(NamedTuple):
    """What is made of a finished store."""

    picture: Path
    csv: Path | None = None
    parquet: Path | None = None


def sweep(
    specification: options.Specification = None,
    store: options.Store = None,
    reduce: options.Reduce = None,
    csv: options.Csv = None,
    parquet: options.Parquet = None,
    picture: options.Picture = None,
    dry_run: options.DryRun = False,
    scheduler: options.Scheduler = None,
    process: options.Process = None,
) -> None:
    """Plan every scenario of a specification: a grid of losses, demands, prices, laws, devices.

    Without a specification, a million scenarios of the dollar problem. Results go to a Zarr
    store that xarray opens; stopped at any moment and started again, the same command goes on
    from what is done. With --reduce, statistics are gathered instead and nothing is kept,
    unless --store says where.
    """
    for option, text in {"--store": store, "--picture": picture}.items():
        if text == "":
            raise Mistake(f"{option}: the path is empty")
    spec = load(specification)
    reducers = read_reductions(reduce or [], spec.fields)
    path = read_store(store or STORE) if store or not reducers else None
    work = Work(spec, path, reducers, read_process(process))
    say_warnings(spec)
    outputs = read_outputs(work, picture, csv, parquet)
    if dry_run:
        with one_line_errors():
            show_estimate(estimate(work.spec, work.store, work.reducers))
        return
    with kept_when_stopped(path), workers(scheduler) as executor:
        finish(work, outputs, executor)


def resume(path: options.StoredPath) -> None:
    """Go on with a stored sweep that was stopped, from what is done."""
    work = stored_work(path_of(path))
    say_warnings(work.spec)
    outputs = Outputs(checked_path("PATH", picture_beside(path_of(path))))
    with kept_when_stopped(work.store):
        finish(work, outputs, None)


SWEEP_EXAMPLES = """\
jaxscale sweep
jaxscale sweep spec.toml --store grid.zarr --csv grid.csv
jaxscale sweep spec.toml --reduce quantiles:params --reduce lowest:total_cost:5
jaxscale sweep spec.toml --dry-run
jaxscale sweep spec.toml --store grid.zarr --process 0/8
"""
RESUME_EXAMPLES = "jaxscale resume sweep.zarr\n"


def load(specification: str | None) -> Spec:
    """The specification in a file, or the default one."""
    if specification is None:
        return read_spec("the default specification", default_text())
    path = path_of(specification)
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise Mistake(f"cannot read the specification {specification!r}: {reason}") from None
    return read_spec(str(path), text)


def say_warnings(spec: Spec) -> None:
    """Say first which of the laws are fits that are no certified minimum."""
    names = [name for name in spec.names(LAW) if isinstance(name, str)]
    for named in map(read_law, names):
        tables.note(named.warning, style="bold yellow")


def read_store(text: str) -> Path:
    """Where a store goes, its folder checked before any work is done."""
    path = path_of(text)
    if not path.name:
        raise Mistake(f"--store: {text!r} has no name of its own; give one, such as {STORE}")
    if not path.parent.is_dir():
        raise Mistake(f"--store: {text!r} lies in a folder that does not exist")
    full = os.path.abspath(path)
    if os.sep == "/" and "\\" in full:
        raise Mistake(f"--store: {full!r} has a backslash, which no store may have")
    return path


def read_process(text: str | None) -> tuple[int, int] | None:
    """Rank and count as `--process` writes them, `3/8`."""
    if text is None:
        return None
    rank, slash, total = text.partition("/")
    if not (slash and rank.isdecimal() and total.isdecimal() and int(rank) < int(total)):
        raise Mistake(f"--process: {text!r} must be RANK/COUNT, such as 0/8, with RANK below COUNT")
    return int(rank), int(total)


def read_outputs(
    work: Work, picture: str | None, csv: str | None, parquet: str | None
) -> Outputs | None:
    """Where pictures and tables go, checked; None where only statistics are asked for."""
    if work.store is None:
        given = {"--csv": csv, "--parquet": parquet, "--picture": picture}
        for option in (option for option, text in given.items() if text is not None):
            raise Mistake(f"{option} needs the results kept: give --store beside --reduce")
        return None
    return Outputs(
        checked_path("--picture", picture or picture_beside(work.store)),
        checked_table("--csv", csv),
        checked_table("--parquet", parquet),
    )


def picture_beside(store: Path) -> str:
    return str(store.with_name(f"{store.name.removesuffix('.zarr')}.png"))


def stored_work(path: Path) -> Work:
    """What a store was begun with; a mistake where that was no specification."""
    with one_line_errors():
        attributes, _ = read(path)
    text = attributes.get(SPECIFICATION)
    if not isinstance(text, str):
        raise Mistake(
            f"{str(path)!r} was not begun by this command: make the same call of jaxscale.sweep "
            "again, and it goes on from what is done"
        )
    return Work(read_spec(f"the specification in {path}", text), path, [], None)


def finish(work: Work, outputs: Outputs | None, executor: Executor | None) -> None:
    """Run a sweep, or what is left of it, and show what it gave."""
    before = stored.progress_of(work.store)
    start = time.perf_counter()
    found = run(work, executor)
    seconds = time.perf_counter() - start
    if work.reducers:
        show_statistics(found)
    if work.store is None or outputs is None:
        return
    after = stored.progress_of(work.store)
    if after.done < after.total:
        tables.note(
            f"This process has done its share; {work.store} holds {after.done:,} of "
            f"{after.total:,} chunks until the others have done theirs."
        )
        return
    say_what_was_done(work.store, before, after, seconds)
    data = stored.opened(work.store)
    with stored.said_of_damage(work.store):
        if not work.reducers:
            show_summary(data)
        write(work.spec, data, outputs, new=before.done < after.done)


def run(work: Work, executor: Executor | None) -> Any:
    """The data set or the statistics of a sweep, every error of the user's in one line."""
    with one_line_errors(), blamed_on("--process" if work.process else "the environment"):
        return js.sweep(
            scenario_of(work.spec),
            space_of(work.spec),
            fields=labels_of(work.spec) if work.store or not work.reducers else None,
            reduce=work.reducers or None,
            store=work.store,
            executor=executor,
            process=work.process,
        )


def say_what_was_done(
    store: Path, before: stored.Progress, after: stored.Progress, seconds: float
) -> None:
    if before.done == after.done:
        tables.note(f"{store} was finished already: nothing was computed again.", style="bold")
        return
    new = after.scenarios * (after.done - before.done) / after.total
    kept = f"; {counted(before.done, 'chunk')} kept" if before.done else ""
    rate = f", {count(new / seconds)} a second" if new >= WORTH_A_RATE else ""
    tables.note(
        f"{counted(after.scenarios, 'scenario')} in {store}: "
        f"{seconds:.2f} s with compiling{rate}{kept}",
        style="bold",
    )


def write(spec: Spec, data: Any, outputs: Outputs, new: bool) -> None:
    """Draw the pictures and write the tables that are asked for.

    The picture in FLOPs has to be computed: one that is there serves again, unless `new`.
    """
    beside = outputs.picture.with_stem(f"{outputs.picture.stem}-flops")
    with tables.progress("drawing"):
        written = draw(data, outputs.picture)
        if new or not beside.exists():
            written += draw_in_flops(spec, data, beside)
    for path, writer in ((outputs.csv, write_csv), (outputs.parquet, write_parquet)):
        if path is not None:
            with tables.progress(f"writing {path}"):
                writer(data, path)
            written.append(path)
    say_what_was_written(written)


def say_what_was_written(paths: Sequence[Path]) -> None:
    tables.note(f"Wrote {', '.join(map(str, paths))}." if paths else "")


@contextmanager
def workers(scheduler: str | None) -> Iterator[Executor | None]:
    """An executor on the dask cluster at an address; None for this process alone."""
    if scheduler is None:
        yield None
        return
    try:
        from dask.distributed import Client
    except ImportError:
        raise Mistake("--scheduler needs: pip install 'jaxscale[cluster]'") from None
    try:
        client = Client(scheduler, timeout="10s")
    except (OSError, ValueError, TimeoutError):
        raise Mistake(f"--scheduler: no dask scheduler answers at {scheduler!r}") from None
    with client:
        yield client.get_executor()


@contextmanager
def kept_when_stopped(store: Path | None) -> Iterator[None]:
    """Say after Ctrl-C, or another signal that ends a process, what is left of the work."""
    try:
        yield
    except KeyboardInterrupt:
        if store is None or not store.exists():
            raise Stopped("nothing is kept") from None
        command = f"jaxscale resume {quote(str(store))}"
        raise Stopped(f"what is done is kept; go on with: {command}") from None


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what the disk refuses into a mistake."""
    try:
        yield
    except StoreError as error:
        raise Mistake(str(error)) from None
