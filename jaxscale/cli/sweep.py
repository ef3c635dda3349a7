"""`jaxscale sweep` and `jaxscale resume`: solve and store every scenario of a specification."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

import jaxscale as js
from jaxscale import plots, sweeping
from jaxscale._labelled import LOSS, demand_axis, has_ratios
from jaxscale._numerics.interpreted import interpreted
from jaxscale._written import count, counted
from jaxscale.cli import options, tables
from jaxscale.cli.files import WRITERS, checked_path, checked_table, disk_errors, save
from jaxscale.cli.mistakes import Mistake, Stopped, blamed_on, path_of
from jaxscale.cli.summary import (
    read_reductions,
    record_of,
    record_of_statistics,
    show_statistics,
    show_summary,
)
from jaxscale.sweeping import stored
from jaxscale.sweeping.chunks import Chunks
from jaxscale.sweeping.job import prepare
from jaxscale.sweeping.results import labelled
from jaxscale.sweeping.spec import Specification

STORE = "sweep.zarr"
FEW = 2**16  # scenarios that NumPy runs before XLA has compiled
WORTH_A_RATE = 100_000  # scenarios; with fewer, compiling takes most of the time
Record = dict[str, Any]  # what is printed as JSON


class Outputs(NamedTuple):
    """Files that are made of a finished store."""

    picture: Path
    tables: dict[str, Path]  # by option


class Work(NamedTuple):
    """The sweep that the options ask for."""

    spec: Specification
    store: Path | None  # None for statistics alone
    outputs: Outputs | None  # None without a store
    reducers: list[Any]
    process: tuple[int, int] | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """Those of `js.sweep`."""
        keeps = self.store or not self.reducers
        fields = self.spec.labels if keeps else None
        return {"fields": fields, "reduce": self.reducers or None, "store": self.store}


def sweep(
    specification: options.Specification = None,
    store: options.Store = None,
    reduce: options.Reduce = None,
    csv: options.Csv = None,
    parquet: options.Parquet = None,
    picture: options.Picture = None,
    anyway: options.Anyway = False,
    dry_run: options.DryRun = False,
    scheduler: options.Scheduler = None,
    process: options.Process = None,
    as_json: options.Json = False,
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
    spec = load(specification, anyway)
    reducers = read_reductions(reduce or [], spec.fields)
    path = read_store(store or STORE) if store or not reducers else None
    rank = read_process(process)
    if not as_json:
        say_warnings(spec)
    outputs = read_outputs(path, {"--picture": picture, "--csv": csv, "--parquet": parquet})
    work = Work(spec, path, outputs, reducers, rank)
    if dry_run:
        with one_line_errors():
            estimate = sweeping.estimate(spec.scenario, spec.space, **work.arguments)
        if as_json:
            tables.print_json("sweep", {"estimate": record_of(estimate)})
        else:
            tables.print_facts((name, fact) for name, fact in estimate.table()[1])
            tables.note("Nothing was kept.", style="dim")
        return
    with kept_when_stopped(path), workers(scheduler) as executor:
        record = finish(work, executor, as_json)
    if as_json:
        tables.print_json("sweep", record)


def resume(path: options.StoredPath, as_json: options.Json = False) -> None:
    """Continue a stored sweep that was stopped."""
    store = path_of(path)
    with one_line_errors(), blamed_on(path):
        spec = stored.specification_of(store)
    if not as_json:
        say_warnings(spec)
    work = Work(spec, store, read_outputs(store, {}, "PATH"), [])
    with kept_when_stopped(store):
        record = finish(work, None, as_json)
    if as_json:
        tables.print_json("resume", record)


SWEEP_EXAMPLES = """\
jaxscale sweep
jaxscale sweep spec.toml --store grid.zarr --csv grid.csv
jaxscale sweep spec.toml --reduce quantiles:params --reduce lowest:total_cost:5
jaxscale sweep spec.toml --dry-run
jaxscale sweep spec.toml --store grid.zarr --process 0/8
"""
RESUME_EXAMPLES = "jaxscale resume sweep.zarr\n"


# --- Options -------------------------------------------------------------------------------------


def load(specification: str | None, anyway: bool = False) -> Specification:
    """The specification in a file, or the default one; a mistake for any fault in it."""
    path = None if specification is None else path_of(specification)
    try:
        spec = sweeping.spec.read(path, anyway=anyway)
    except (OSError, ValueError) as error:
        raise Mistake(str(error)) from None
    with blamed_on("the axes"):  # too many combinations
        _ = spec.space
    return spec


def say_warnings(spec: Specification) -> None:
    """Warn of laws that are fits without a certified minimum."""
    for warning in spec.warnings:
        tables.note(warning, style="bold yellow")


def read_store(text: str) -> Path:
    """The path of a store, its folder checked before any work is done."""
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
    store: Path | None, texts: dict[str, str | None], blamed: str = "--picture"
) -> Outputs | None:
    """The paths of pictures and tables, checked; None where only statistics are asked for."""
    if store is None:
        for option in (option for option, text in texts.items() if text is not None):
            raise Mistake(f"{option} needs the results kept: give --store beside --reduce")
        return None
    picture = checked_path(blamed, texts.get("--picture") or picture_beside(store))
    paths = {option: checked_table(option, texts.get(option)) for option in WRITERS}
    return Outputs(picture, {option: path for option, path in paths.items() if path})


def picture_beside(store: Path) -> str:
    """The path of the picture that belongs to a store."""
    return str(store.with_name(f"{store.name.removesuffix('.zarr')}.png"))


# --- The work ------------------------------------------------------------------------------------


def finish(work: Work, executor: Executor | None, quietly: bool) -> Record:
    """Run a sweep, or the rest of it; return the record of it, and print it unless `quietly`."""
    before = progress_before(work.store)
    start = time.perf_counter()
    results = run(work, executor)
    seconds = time.perf_counter() - start
    record: Record = {"seconds": seconds, "warnings": list(work.spec.warnings)}
    if work.reducers:
        record["statistics"] = record_of(record_of_statistics(results))
        if not quietly:
            show_statistics(results)
    if work.store is None or work.outputs is None:
        return record
    after = stored.progress_of(work.store)
    record |= {"store": str(work.store), "chunks_before": before.done, **progress_record(after)}
    if not quietly:
        tables.note(said_of(work.store, before, after, seconds), style="bold")
    if after.done < after.total:
        return record
    with one_line_errors():
        data = stored.open_store(work.store)
        with stored.explained_damage(work.store):
            if not work.reducers:
                summary = sweeping.summarize(data)
                record["summary"] = record_of(summary)
                if not quietly:
                    show_summary(summary)
            record["written"] = write(work, data, new=before.done < after.done)
    if not quietly:
        say_what_was_written(record["written"])
    return record


def run(work: Work, executor: Executor | None) -> Any:
    """The data set or the statistics of a sweep, every error of the user's in one line."""
    with one_line_errors(), blamed_on("--process" if work.process else "the environment"):
        return js.sweep(
            work.spec.scenario,
            work.spec.space,
            executor=executor,
            process=work.process,
            **work.arguments,
        )


def progress_before(store: Path | None) -> stored.Progress:
    """How far a sweep is before it is begun or continued."""
    try:
        return stored.progress_of(store) if store else NOTHING
    except sweeping.StoreError:
        return NOTHING


NOTHING = stored.Progress(done=0, total=0, scenarios=0)


def progress_record(progress: stored.Progress) -> Record:
    """Progress of a stored sweep, for machines."""
    return {
        "scenarios": progress.scenarios,
        "chunks": progress.total,
        "chunks_done": progress.done,
    }


def said_of(store: Path, before: stored.Progress, after: stored.Progress, seconds: float) -> str:
    """One line about the work of this process."""
    if after.done < after.total:
        return (
            f"This process has done its share; {store} holds {after.done:,} of "
            f"{after.total:,} chunks until the others have done theirs."
        )
    if before.done == after.done:
        return f"{store} was finished already: nothing was computed again."
    new = after.scenarios * (after.done - before.done) / after.total
    kept = f"; {counted(before.done, 'chunk')} kept" if before.done else ""
    rate = f", {count(new / seconds)} a second" if new >= WORTH_A_RATE else ""
    scenarios = counted(after.scenarios, "scenario")
    return f"{scenarios} in {store}: {seconds:.2f} s with compiling{rate}{kept}"


def write(work: Work, data: Any, new: bool) -> list[str]:
    """Draw the pictures and write the tables that are asked for; the paths written.

    The picture in FLOPs has to be computed: one that is there serves again, unless `new`.
    """
    assert work.outputs is not None
    path = work.outputs.picture
    beside = path.with_stem(f"{path.stem}-flops")
    with tables.progress("drawing"):
        written = draw(data, path)
        if new or not beside.exists():
            written += draw_in_flops(work.spec, data, beside)
    for option, table in work.outputs.tables.items():
        with tables.progress(f"writing {table}"), disk_errors(table):
            WRITERS[option](data, table)
        written.append(str(table))
    return written


def draw(data: Any, path: Path) -> list[str]:
    """Write the picture of a data set, if it has one; the paths written."""
    figure = plots.sweep_figure(data)
    if figure is None:
        return []
    save(figure, path)
    return [str(path)]


def draw_in_flops(spec: Specification, data: Any, path: Path) -> list[str]:
    """For ratios in dollars, draw them also with every FLOP costing one; the paths written."""
    demand = demand_axis(data)
    if not (spec.in_dollars and demand and LOSS in data.dims and has_ratios(data)):
        return []
    bare = spec.in_flops().at_middle(keep=(LOSS, demand))
    return draw(_data_of(bare), path)


def _data_of(spec: Specification) -> Any:
    """The results of a specification, by NumPy where there are too few to compile for."""
    if spec.space.size > FEW:
        return js.sweep(spec.scenario, spec.space, fields=spec.labels, progress=False)
    job = prepare(spec.scenario, spec.space, fields=spec.labels)
    whole = Chunks(spec.space.sizes, spec.space.sizes)
    start = jnp.asarray(np.zeros(len(whole.shape), np.int32))
    tables = job.space.tables(whole, job.dtype)
    fields, _ = interpreted(job.space.evaluate, job.scenario, tables, start, whole)
    return labelled(job, {name: fields[name].astype(job.dtypes[name]) for name in job.fields})


def say_what_was_written(paths: list[str]) -> None:
    """Name the files that were written."""
    tables.note(f"Wrote {', '.join(paths)}." if paths else "")


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
    """Say how to go on after Ctrl-C, or another signal that ends a process."""
    try:
        yield
    except KeyboardInterrupt:
        if store is None or not store.exists():
            raise Stopped("nothing is kept") from None
        command = f"jaxscale resume {quote(str(store))}"
        raise Stopped(f"what is done is kept; go on with: {command}") from None


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn the errors of stores into mistakes."""
    try:
        yield
    except sweeping.StoreError as error:
        raise Mistake(str(error)) from None
