"""Results as a person wants them: a labelled data set, or plain arrays without xarray."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np

from jaxscale.sweeping.job import Job

HEADROOM = 0.8  # share of the free memory that results may take


def labelled(job: Job, arrays: dict[str, np.ndarray]) -> Any:
    """An `xarray.Dataset` of the arrays; without xarray, a dict of them and the coordinates."""
    coordinates = job.space.coordinates()
    if importlib.util.find_spec("xarray") is None:
        return {each.name: each.values for each in coordinates} | arrays
    import xarray

    dimensions = job.space.axes_names
    return xarray.Dataset(
        {name: (dimensions, array, dict(job.fields[name])) for name, array in arrays.items()},
        {each.name: (each.name, each.values, dict(each.attributes)) for each in coordinates},
        job.attributes(),
    )


def opened(path: str) -> Any:
    """The data set in a store, read as it is asked for."""
    import xarray

    return xarray.open_zarr(path, consolidated=False)


def require_memory(job: Job) -> None:
    """Refuse results that would not fit in memory; MemoryError says what to do instead."""
    needed, free = job.field_bytes(), free_memory()
    if needed > HEADROOM * free:
        raise MemoryError(
            f"{job.size:,} scenarios of {len(job.fields)} fields take {_gibibytes(needed)}, and "
            f"{_gibibytes(free)} of memory are free: give store= to write them to disk, reduce= "
            "for statistics alone, or fewer fields"
        )


def free_memory() -> int:
    """Bytes that this process may still take, as far as the system says."""
    free = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            free.append(int(line.split()[1]) * 1024)
    limit, used = (_lines(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if limit and used and limit[0].isdigit():
        free.append(int(limit[0]) - int(used[0]))
    return max(0, min(free))


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _gibibytes(size: int) -> str:
    return f"{size / 2**30:,.3g} GiB"
