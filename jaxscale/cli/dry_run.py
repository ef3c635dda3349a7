"""What a sweep would take, from one chunk of it that is computed, written and thrown away."""

import dataclasses
import importlib.util
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxscale.cli import tables
from jaxscale.cli.quantities import count
from jaxscale.cli.scenarios import labels_of, scenario_of, space_of
from jaxscale.cli.spec import Spec
from jaxscale.sweeping._sweep import begin
from jaxscale.sweeping.engine import work, writer
from jaxscale.sweeping.job import Job, prepare

DAY = 86400.0


class Estimate(NamedTuple):
    """Size and demands of a sweep."""

    job: Job
    seconds: float
    memory: int  # bytes, of this process at its peak; 0 where the system does not say
    disk: int  # bytes, compressed; 0 where nothing is kept


def estimate(spec: Spec, store: Path | None, reducers: list[Any]) -> Estimate:
    """Time and disk of one group of chunks from the middle, times how many there are."""
    job = prepare(
        scenario_of(spec),
        space_of(spec),
        fields=labels_of(spec) if store or not reducers else None,
        reduce=reducers or None,
        store=store,
        dtype=None,
        chunk=None,
    )
    if store is None:
        seconds, disk = _timed(job, None), 0
    else:
        with tempfile.TemporaryDirectory(prefix=f".{store.name}.", dir=store.parent) as folder:
            job = dataclasses.replace(job, store=str(Path(folder) / store.name))
            seconds, disk = _timed_with_store(job)
    return Estimate(job, seconds, _peak_memory(), disk)


def show_estimate(found: Estimate) -> None:
    """Print what a sweep would take."""
    job = found.job
    facts = [
        ("scenarios", f"{job.size:,}"),
        ("chunks", f"{job.chunks.count:,} of {job.chunks.length:,} scenarios"),
        ("time", f"{_duration(found.seconds)}, from one chunk here, compiling left out"),
    ]
    if found.memory:
        facts.append(("memory", f"{_bytes(found.memory)}, whatever the size"))
    if found.disk:
        facts.append(("disk", f"{_bytes(found.disk)}, {_bytes(job.field_bytes())} uncompressed"))
    tables.print_facts(facts)
    tables.note("Nothing was kept.", style="dim")


def _timed_with_store(job: Job) -> tuple[float, int]:
    begin(job)
    before = _size_on_disk(Path(str(job.store)))
    with writer(job) as sink:
        seconds = _timed(job, sink)
    written = _size_on_disk(Path(str(job.store))) - before
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


def _peak_memory() -> int:
    if importlib.util.find_spec("resource") is None:  # on Windows
        return 0
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
