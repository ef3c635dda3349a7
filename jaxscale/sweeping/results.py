"""Results as a labelled data set or plain arrays, and as tables for other programs."""

import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxscale import _display
from jaxscale._labelled import STATUS, check_data
from jaxscale.status import Status
from jaxscale.sweeping.chunks import cut
from jaxscale.sweeping.job import Job
from jaxscale.sweeping.reducers.results import Table
from jaxscale.sweeping.store import store
from jaxscale.sweeping.store.layout import field_names, quiet_labels

if TYPE_CHECKING:
    from pandas import DataFrame
    from xarray import Dataset

HEADROOM = 0.8  # share of the free memory that results may take


class PlainResults(dict[str, np.ndarray]):
    """Coordinates and fields by name, where xarray is missing: a dict that prints as a table."""

    def __init__(self, arrays: Mapping[str, np.ndarray], fields: Sequence[str]) -> None:
        super().__init__(arrays)
        self.fields = fields

    def table(self) -> Table:
        """The shape and dtype of each array."""
        rows = [
            (name, " x ".join(map(str, array.shape)), array.dtype.name)
            for name, array in self.items()
        ]
        return ("array", "shape", "dtype"), rows

    def to_dataframe(self) -> Any:
        """One row a scenario: coordinates, then fields; ImportError without pandas."""
        axes = [array for name, array in self.items() if name not in self.fields]
        coordinates = np.meshgrid(*axes, indexing="ij") if axes else []
        named = dict(zip(self, coordinates, strict=False))
        fields = {name: self[name] for name in self.fields}
        columns = {name: np.ravel(array) for name, array in {**named, **fields}.items()}
        return _display.dataframe(columns)

    def __repr__(self) -> str:
        return _display.table(*self.table())

    def _repr_html_(self) -> str:
        return _display.html(*self.table())


def labelled(job: Job, arrays: dict[str, np.ndarray]) -> Any:
    """An `xarray.Dataset` of the arrays; without xarray, a dict of them and the coordinates."""
    coordinates = job.space.coordinates()
    if importlib.util.find_spec("xarray") is None:
        return PlainResults({each.name: each.values for each in coordinates} | arrays, list(arrays))
    import xarray

    dimensions = job.space.axes_names
    return xarray.Dataset(
        {name: (dimensions, array, dict(job.fields[name])) for name, array in arrays.items()},
        {each.name: (each.name, each.values, dict(each.attributes)) for each in coordinates},
        job.attributes(),
    )


def open_store(path: str | os.PathLike) -> Any:
    """The data set in a store, read as it is asked for; fields in the order asked for."""
    import xarray

    with quiet_labels():
        data = xarray.open_zarr(path, consolidated=False, zarr_format=3)
    return data[field_names(data.attrs)]


def opened(job: Job) -> Any:
    """The data set in the job's store; marked where it has gaps."""
    data = open_store(job.store)[list(job.fields)]
    done = len(store.done(job.store, job.digest))
    if done < job.chunks.count:
        data.attrs["chunks_done"] = f"{done} of {job.chunks.count}"
    return data


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
    """Bytes of memory that are still free to this process, as far as the system says."""
    free = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            free.append(int(line.split()[1]) * 1024)
    limit, used = (_lines(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if limit and used and limit[0].isdigit():
        # The system frees pages of cached files on demand.
        pages = [line for line in _lines("/sys/fs/cgroup/memory.stat") if "inactive_file" in line]
        cached = sum(int(line.split()[1]) for line in pages)
        free.append(int(limit[0]) - int(used[0]) + cached)
    return max(0, min(free))


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _gibibytes(size: int) -> str:
    return f"{size / 2**30:,.3g} GiB"


ROWS = 2**18  # held at once


def write_csv(data: "Dataset", path: str | os.PathLike) -> None:
    """Write a header and one line for each scenario, coordinates first, statuses by name.

    Raises TypeError for what is no data set or no path, and OSError for a disk that refuses; a
    file that is there is then left as it was.

    Examples:
        >>> from pathlib import Path
        >>> data = js.sweep(lambda x: {"double": 2 * x}, js.Grid(x=[1.0, 2.0]))
        >>> js.sweeping.write_csv(data, "double.csv")
        >>> print(Path("double.csv").read_text().split())
        ['x,double', '1.0,2.0', '2.0,4.0']
    """
    check_data(data)
    target = checked_path(path)
    with replacing(target) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        for number, rows in enumerate(_tables(data)):
            rows.to_csv(file, index=False, header=number == 0)


def write_parquet(data: "Dataset", path: str | os.PathLike) -> None:
    """Write one row for each scenario, in row groups; as `write_csv`, and needs pyarrow.

    Examples:
        >>> data = js.sweep(lambda x: {"double": 2 * x}, js.Grid(x=[1.0, 2.0]))
        >>> js.sweeping.write_parquet(data, "double.parquet")
    """
    check_data(data)
    target = checked_path(path)
    import pyarrow
    import pyarrow.parquet

    tables = (pyarrow.Table.from_pandas(rows, preserve_index=False) for rows in _tables(data))
    first = next(tables)
    with replacing(target) as partial, pyarrow.parquet.ParquetWriter(partial, first.schema) as file:
        file.write_table(first)
        for table in tables:
            file.write_table(table)


def checked_path(path: Any) -> Path:
    """The path; TypeError for what is none."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be a path; got {path!r} ({type(path).__name__})")
    return Path(path)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` that replaces it when it is whole, and is removed where it is not."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _tables(data: "Dataset") -> "Iterator[DataFrame]":
    """Coordinates and fields of contiguous scenarios, statuses by name."""
    names = {int(status): status.name for status in Status}
    chunks = cut(tuple(data.sizes.values()), ROWS)
    for number in range(chunks.count):
        slices: Any = dict(zip(data.sizes, chunks.slices(number), strict=True))
        rows = data.isel(slices).to_dataframe(dim_order=list(data.sizes)).reset_index()
        if STATUS in rows:
            codes = rows[STATUS].to_numpy(np.int64)
            rows[STATUS] = [names.get(code, str(code)) for code in codes.tolist()]
        yield rows
