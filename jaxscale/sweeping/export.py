"""Results of a sweep as a table for other programs: one row a scenario, written chunk by chunk."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxscale._labelled import STATUS
from jaxscale.status import Status
from jaxscale.sweeping.chunks import cut

if TYPE_CHECKING:
    from pandas import DataFrame
    from xarray import Dataset

ROWS = 2**18  # held at once


def write_csv(data: "Dataset", path: Path) -> None:
    """Write a header and one line for each scenario, coordinates first, statuses by name.

    OSError for a disk that refuses; a file that is there is then left as it was.

    Examples:
        >>> from pathlib import Path
        >>> data = js.sweep(lambda x: {"double": 2 * x}, js.Grid(x=[1.0, 2.0]))
        >>> js.sweeping.write_csv(data, Path("double.csv"))
        >>> print(Path("double.csv").read_text().split())
        ['x,double', '1.0,2.0', '2.0,4.0']
    """
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        for number, rows in enumerate(_tables(data)):
            rows.to_csv(file, index=False, header=number == 0)


def write_parquet(data: "Dataset", path: Path) -> None:
    """Write one row for each scenario, in row groups; as `write_csv`, and needs pyarrow.

    Examples:
        >>> from pathlib import Path
        >>> data = js.sweep(lambda x: {"double": 2 * x}, js.Grid(x=[1.0, 2.0]))
        >>> js.sweeping.write_parquet(data, Path("double.parquet"))
    """
    import pyarrow
    import pyarrow.parquet

    tables = (pyarrow.Table.from_pandas(rows, preserve_index=False) for rows in _tables(data))
    first = next(tables)
    with replacing(path) as partial, pyarrow.parquet.ParquetWriter(partial, first.schema) as file:
        file.write_table(first)
        for table in tables:
            file.write_table(table)


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
