"""`sweep`: a scenario function run over a space, in memory, into a store or into statistics."""

import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from jaxscale.sweeping import processes, results
from jaxscale.sweeping.engine import (
    empty_arrays,
    empty_totals,
    stored_fields,
    work,
    work_in,
    writer,
)
from jaxscale.sweeping.job import Job, prepare
from jaxscale.sweeping.reducers import StatusCounts
from jaxscale.sweeping.reducers.protocol import Reducer, Total
from jaxscale.sweeping.reducers.results import Statistics
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
        space: a `js.Grid`, `js.Sample` or `js.Sobol`.
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
    totals = empty_totals(job) if totals is None else totals
    locate = job.space.locator(job.dtype)
    pairs = zip(job.reducers, totals, strict=True)
    return Statistics((reducer, reducer.result(total, locate)) for reducer, total in pairs)


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
