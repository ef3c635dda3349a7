"""Time, memory and disk of a sweep, estimated from one group of its chunks."""

import dataclasses
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxscale._numerics.quantities import count
from jaxscale.sweeping._sweep import begin
from jaxscale.sweeping.engine import work, writer
from jaxscale.sweeping.job import Job, prepare
from jaxscale.sweeping.reducers.protocol import Reducer
from jaxscale.sweeping.reducers.results import Shown, Table
from jaxscale.sweeping.spaces import Scenario, Space

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
