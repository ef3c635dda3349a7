"""A stored sweep as a table for other programs: one row a scenario, written chunk by chunk."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxscale.cli.mistakes import Mistake, check_file, path_of
from jaxscale.cli.vocabulary import STATUS
from jaxscale.status import Status
from jaxscale.sweeping.chunks import cut

if TYPE_CHECKING:
    from pandas import DataFrame
    from xarray import Dataset

ROWS = 2**18  # held at once
NEEDS = {"--csv": "pandas", "--parquet": "pyarrow"}


def checked_table(option: str, text: str | None) -> Path | None:
    """Where a table goes, checked before any work is done."""
    if text is None:
        return None
    path = path_of(text)
    check_file(option, text, path)
    if importlib.util.find_spec(NEEDS[option]) is None:
        raise Mistake(f"{option} needs: pip install {NEEDS[option]}")
    return path


def write_csv(data: "Dataset", path: Path) -> None:
    """Write a header and one line for each scenario."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        for number, rows in enumerate(_tables(data)):
            rows.to_csv(file, index=False, header=number == 0)


def write_parquet(data: "Dataset", path: Path) -> None:
    """Write one row for each scenario, in row groups."""
    import pyarrow
    import pyarrow.parquet

    tables = (pyarrow.Table.from_pandas(rows, preserve_index=False) for rows in _tables(data))
    first = next(tables)
    with replacing(path) as partial, pyarrow.parquet.ParquetWriter(partial, first.schema) as file:
        file.write_table(first)
        for table in tables:
            file.write_table(table)


def _tables(data: "Dataset") -> "Iterator[DataFrame]":
    """Coordinates and fields of contiguous scenarios, statuses by name."""
    names = {int(status): status.name for status in Status}
    chunks = cut(tuple(data.sizes.values()), ROWS)
    for number in range(chunks.count):
        places: Any = dict(zip(data.sizes, chunks.slices(number), strict=True))
        rows = data.isel(places).to_dataframe(dim_order=list(data.sizes)).reset_index()
        if STATUS in rows:
            codes = rows[STATUS].to_numpy(np.int64)
            rows[STATUS] = [names.get(code, str(code)) for code in codes.tolist()]
        yield rows


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` that takes its place when it is whole."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise Mistake(f"cannot write {str(path)!r}: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)
