"""`sweep` runs a scenario function over a space; `estimate` says what that would take."""

import dataclasses
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxscale._numerics.quantities import count
from jaxscale.sweeping import processes, results
from jaxscale.sweeping.engine import (
    empty_arrays,
    empty_totals,
    resolved,
    stored_fields,
    work,
    work_in,
    writer,
)
from jaxscale.sweeping.job import Job, prepare
from jaxscale.sweeping.reducers import StatusCounts
from jaxscale.sweeping.reducers.protocol import Reducer, Total
from jaxscale.sweeping.reducers.results import Shown, Statistics, Table
from jaxscale.sweeping.spaces import Scenario, Space
from jaxscale.sweeping.store import store as stores


def sweep(
    scenario: Scenario,
    space: Space,
    *,
    fields: Iterable[str] | Mapping[str, Mapping[str, str]] | None = None,
    reduce: Sequence[Reducer] | None = None,
    store: str | os.PathLike | None = None,
    dtype: Any = None,
    chunk: int | None = None,
    progress: bool | None = None,
    executor: Executor | None = None,
    process: tuple[int, int] | None = None,
) -> Any:
    """Results of `scenario` for every scenario of `space`, computed in chunks on all local devices.

    `scenario` is a function of named scalars, one for each axis or distribution of the space,
    to a dict of scalars; a field called `status` is counted by `js.Status`. What comes back:

    - by default an `xarray.Dataset` in memory (a dict of NumPy arrays without xarray);
    - with `store`, a path, the data set in a Zarr store there, opened lazily. Started again
      with the same call after it was killed, it goes on from what is done;
    - with `reduce`, a dict of statistics by reducer, `js.StatusCounts()` always among them.

    Args:
        scenario: ordinary code; its `attributes`, if it has any, label the results.
        space: a `js.Grid`, `js.Sample`, `js.Sobol` or `js.Saltelli`.
        fields: names of the results to keep, or a dict of names to `units` and `long_name`.
        reduce: reducers such as `js.Moments("total_cost")`.
        store: path of a Zarr store, created where there is none.
        dtype: "float32" or "float64"; by default as JAX's x64 switch says.
        chunk: the most scenarios in a chunk; by default a number that suits the device.
        progress: whether to show a bar; by default on a terminal.
        executor: any `concurrent.futures.Executor`, whose workers take the chunks.
        process: (rank, count) of this process among those that share a store; by default as
            SLURM, Kubernetes or JAX set the environment. The last one to finish returns the
            statistics of all.

    Raises:
        TypeError, ValueError: an argument has the wrong structure; before anything is computed.
        MemoryError: results would not fit in memory; before anything is computed.
        jaxscale.sweeping.StoreError: the store cannot be written, or belongs to another call.

    Examples:
        >>> law = js.laws.published("sardana2024")
        >>> def scenario(loss, served):
        ...     plan = js.minimize_cost(law, loss, js.Demand(served))
        ...     return {"params": plan.params, "total_cost": plan.total_cost, "status": plan.status}
        ...
        >>> space = js.Grid(loss=js.linspace(1.9, 2.3, 3), served=[1e11, 1e12])
        >>> data = js.sweep(scenario, space)
        >>> dict(data.sizes)
        {'loss': 3, 'served': 2}
    """
    job = prepare(
        scenario, space, fields=fields, reduce=reduce, store=store, dtype=dtype, chunk=chunk
    )
    rank, count = processes.ALONE if store is None and process is None else processes.share(process)
    if store is None and count > 1:
        raise ValueError(f"process {rank} of {count} needs a store to share with the others")
    numbers = range(rank, job.chunks.count, count)
    if store is not None:
        return _stored(job, numbers, bool(reduce), progress, executor, (rank, count))
    if reduce:
        totals = _run(job, numbers, None, (), progress, executor)
        return _statistics(job, totals)
    results.require_memory(job)
    arrays = empty_arrays(job)
    _run(job, numbers, arrays, (), progress, executor)
    return results.labelled(job, arrays.arrays)


def _stored(job: Job, numbers, reducing: bool, progress, executor, share) -> Any:
    written = begin(job)
    # A statistic covers all scenarios, so chunks that are written already are computed again.
    left = numbers if reducing else [each for each in numbers if each not in written]
    totals = _run(job, left, None, written, progress, executor)
    stores.tidy(job.store)
    if not reducing:
        return results.opened(job)
    return _statistics(job, processes.combined(job, totals, share))


def begin(job: Job) -> frozenset[int]:
    """Create the store, or check that it is this sweep's; the chunks that are written already."""
    stores.create(
        job.store,
        job.chunks,
        job.space.axes_names,
        stored_fields(job),
        job.space.coordinates(),
        job.attributes(),
        job.parts,
    )
    return frozenset(stores.done(job.store, job.digest))


def _run(job: Job, numbers, sink, written, progress, executor):
    """Totals of these chunks; without a sink, fields go to the job's store where it has one."""
    scenarios = min(job.size, len(numbers) * job.chunks.length)
    with shown(job, scenarios, progress) as advance:
        if executor is not None:
            return work_in(executor, job, numbers, sink, written, advance)
        if not job.store:
            return work(job, numbers, sink, written, advance)
        with writer(job) as sink:
            return work(job, numbers, sink, written, advance)


def _statistics(job: Job, totals) -> Statistics:
    totals = resolved(job, empty_totals(job) if totals is None else totals)
    locate = job.space.locator(job.dtype)
    pairs = zip(job.reducers, totals, strict=True)
    results = ((reducer, reducer.result(total, locate)) for reducer, total in pairs)
    return Statistics(results, ran=job.ran)


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


DAY = 86400.0  # seconds


@dataclass(frozen=True, repr=False)
class Estimate(Shown):
    """The size of a sweep, and the time, memory and disk that it would take."""

    scenarios: int
    chunks: int
    chunk_scenarios: int  # at most, in each chunk
    seconds: float  # of this process alone, compiling left out
    memory_bytes: int | None  # of this process at its peak; None where the system does not say
    disk_bytes: int | None  # compressed; None where nothing is stored
    field_bytes: int  # of all fields that are kept, uncompressed

    @property
    def title(self) -> str:
        return ""

    def table(self) -> Table:
        chunks = f"{self.chunks:,} of {self.chunk_scenarios:,} scenarios"
        time = f"{_duration(self.seconds)}, from one chunk here, compiling left out"
        facts = [("scenarios", f"{self.scenarios:,}"), ("chunks", chunks), ("time", time)]
        if self.memory_bytes is not None:
            facts.append(("memory", f"{_bytes(self.memory_bytes)}, whatever the size"))
        if self.disk_bytes is not None:
            kept = f"{_bytes(self.disk_bytes)}, {_bytes(self.field_bytes)} uncompressed"
            facts.append(("disk", kept))
        return ("", ""), facts

    def columns(self) -> dict[str, Any]:
        return {name: [value] for name, value in vars(self).items()}


def estimate(
    scenario: Scenario,
    space: Space,
    *,
    fields: Iterable[str] | Mapping[str, Mapping[str, str]] | None = None,
    reduce: Sequence[Reducer] | None = None,
    store: str | os.PathLike | None = None,
    dtype: Any = None,
    chunk: int | None = None,
) -> Estimate:
    """The time, memory and disk of `js.sweep(scenario, space, ...)`, of which nothing is kept.

    One group of chunks from the middle of the space is computed twice and the second run timed;
    with `store`, in a temporary store beside that path.

    Arguments and errors are those of `js.sweep`.

    Examples:
        >>> space = js.Grid(x=js.linspace(0, 1, 1000), y=js.linspace(0, 1, 1000))
        >>> estimate = js.sweeping.estimate(lambda x, y: {"product": x * y}, space)
        >>> estimate.scenarios, estimate.chunks * estimate.chunk_scenarios >= estimate.scenarios
        (1000000, True)
    """
    job = prepare(
        scenario, space, fields=fields, reduce=reduce, store=store, dtype=dtype, chunk=chunk
    )
    if store is None:
        seconds, disk = _timed(job, None), None
    else:
        path = Path(job.store)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            job = dataclasses.replace(job, store=str(Path(folder) / path.name))
            seconds, disk = _timed_with_store(job)
    return Estimate(
        scenarios=job.size,
        chunks=job.chunks.count,
        chunk_scenarios=job.chunks.length,
        seconds=seconds,
        memory_bytes=_peak_memory(),
        disk_bytes=disk,
        field_bytes=job.field_bytes(),
    )


def _timed_with_store(job: Job) -> tuple[float, int]:
    """Seconds and bytes on disk for the whole sweep."""
    begin(job)
    before = _size_on_disk(Path(job.store))
    with writer(job) as sink:
        seconds = _timed(job, sink)
    written = _size_on_disk(Path(job.store)) - before
    return seconds, round(written * job.size / _scenarios(job))


def _timed(job: Job, sink: Any) -> float:
    """Seconds for the whole sweep, from the second run of one group of chunks."""
    numbers = _sample(job)
    work(job, numbers, sink)  # compiles
    start = time.perf_counter()
    work(job, numbers, sink)
    return (time.perf_counter() - start) * job.size / _scenarios(job)


def _sample(job: Job) -> list[int]:
    middle = job.chunks.count // 2
    return list(range(middle, min(middle + job.group.count, job.chunks.count)))


def _scenarios(job: Job) -> int:
    return job.chunks.scenarios_in(np.array(_sample(job)))


def _size_on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _peak_memory() -> int | None:
    if importlib.util.find_spec("resource") is None:  # on Windows
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _bytes(size: int) -> str:
    return f"{count(float(size))}B"


def _duration(seconds: float) -> str:
    for unit, length in (("days", DAY), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.2g} seconds"
