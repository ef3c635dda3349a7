# pandas has no types:
# pyright: reportMissingTypeStubs=false
"""Reading runs from tables: columns, units and rows chosen, and each bad row named by its line.

The cells of a CSV file are read as text, and as numbers only when needed, so that messages show
values as they are in the file. pandas is imported late.
"""

import csv
import io
import math
import os
import warnings
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np

from jaxscale._numerics.names import hint
from jaxscale.fitting import expressions
from jaxscale.fitting._suspicions import suspicions_of
from jaxscale.fitting._suspicions.sheet import Sheet, best_of_cell, words
from jaxscale.fitting.cells import csv_rows, number, row_fault
from jaxscale.fitting.column_values import values_of

Frame: TypeAlias = Any  # a pandas.DataFrame

RUN = ("params", "tokens", "loss")
LISTED = 5  # rows that a message names
# What pandas, too, takes for a missing cell.
MISSING = {"", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None"}
PERPLEXITY = "perplexity"  # the unit of a column whose logarithm is the loss
NATS = {"nats": 1.0, "bits": math.log(2), PERPLEXITY: 1.0}


@dataclass(frozen=True)
class Reading:
    """Columns and rows to read from a table: the keywords of `Runs.from_dataframe`."""

    params: Hashable = "params"
    tokens: Hashable = "tokens"
    loss: Hashable = "loss"
    weights: Hashable = None
    group: Hashable = None
    levers: tuple[str, ...] = ()
    where: str | None = None
    params_unit: float = 1
    tokens_unit: float = 1
    loss_unit: str = "nats"
    best_of_cell: bool = False

    def __post_init__(self) -> None:
        for name in ("params_unit", "tokens_unit"):
            unit = getattr(self, name)
            if not (isinstance(unit, (int, float, np.number)) and 0 < unit < math.inf):
                raise ValueError(f"{name} must be a finite number above 0; got {unit!r}")
        if self.loss_unit not in NATS:
            known = ", ".join(map(repr, NATS))
            raise ValueError(f"loss_unit must be one of {known}; got {self.loss_unit!r}")
        if _is_perplexity(self.loss) and self.loss_unit != PERPLEXITY:
            raise ValueError(
                f"column {self.loss!r} is named for perplexities, not for losses: give the loss "
                f"unit {PERPLEXITY!r}, and their logarithms are taken; or rename the column"
            )
        names = (*RUN, "weights", "group", *self.levers)
        if isinstance(self.levers, str) or len(set(names)) < len(names):
            raise ValueError(f"levers must be different names of levers; got {self.levers!r}")

    def columns(self) -> dict[str, Hashable]:
        """The column behind each name of `Runs` that is read."""
        asked = {name: getattr(self, name) for name in (*RUN, "weights", "group")}
        asked |= {name: name for name in self.levers}
        return {name: each for name, each in asked.items() if name in RUN or each is not None}

    def unit(self, name: str) -> float:
        """The count, or the nats, of one unit of a column of numbers."""
        units = {"params": self.params_unit, "tokens": self.tokens_unit}
        return units.get(name, NATS[self.loss_unit] if name == "loss" else 1.0)


@dataclass(frozen=True)
class Table:
    """Cells, and the number of each row for messages."""

    source: str  # what messages call it
    row_label: str  # "line" or "row"
    row_numbers: np.ndarray  # lines of the file, or rows from 1
    cells: Frame  # as written
    typed: Callable[[], Frame]  # as `where` sees them


def from_csv(path: str | os.PathLike[str], **how: Any) -> dict[str, Any]:
    """The columns of `Runs` from a CSV file: UTF-8, commas, a header line.

    Takes the fields of `Reading`. Lines are counted as an editor does, blank ones and those
    inside quotes too. Raises ValueError as `Runs.from_csv`.
    """
    return _columns(Reading(**how), _csv_table(os.fspath(path)))


def from_parquet(path: str | os.PathLike[str], **how: Any) -> dict[str, Any]:
    """The columns of `Runs` from a Parquet file; takes and raises what `from_csv` does."""
    reading, source, pandas = Reading(**how), os.fspath(path), _pandas()
    try:
        frame = pandas.read_parquet(source)
    except ImportError:
        raise ImportError("Parquet files need pyarrow: pip install 'jaxscale[all]'") from None
    except ValueError as error:
        raise ValueError(f"{source}: no Parquet file: {_line(error)}") from None
    return _columns(reading, _frame_table(source, frame))


def from_dataframe(frame: Frame, *, columns: dict[str, Any], **how: Any) -> dict[str, Any]:
    """The columns of `Runs` from a data frame; rows are counted from 1.

    `columns` holds the column behind each name of `Runs`, `how` the other fields of `Reading`.
    Raises TypeError for anything but a data frame, ValueError as `Runs.from_csv`.
    """
    if not isinstance(frame, _pandas().DataFrame):
        raise TypeError(f"frame must be a pandas.DataFrame; got {type(frame).__name__}")
    return _columns(Reading(**columns, **how), _frame_table("the data frame", frame))


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise ImportError("tables of runs need pandas: pip install 'jaxscale[all]'") from None
    return pandas


# --- Rows ------------------------------------------------------------------------------------


def _frame_table(source: str, frame: Frame) -> Table:
    return Table(source, "row", np.arange(1, len(frame) + 1), frame, lambda: frame)


def _csv_table(source: str) -> Table:
    pandas = _pandas()
    header, lines, rows = csv_rows(source)
    faults = {
        line: row_fault(row, len(header))
        for line, row in zip(lines, rows, strict=True)
        if len(row) != len(header)
    }
    _refuse(source, "line", faults, len(rows))
    cells = [[None if cell in MISSING else cell for cell in row] for row in rows]

    def typed() -> Frame:
        # As pandas reads the file, but the same rows as above.
        text = io.StringIO()
        csv.writer(text).writerows([header, *cells])
        text.seek(0)
        frame = pandas.read_csv(text, skip_blank_lines=False, low_memory=False)
        frame.columns = header  # pandas calls the second of two columns of one name another
        return frame

    frame = pandas.DataFrame(cells, columns=header, dtype=object)
    return Table(source, "line", np.array(lines, np.int64), frame, typed)


# --- Columns ---------------------------------------------------------------------------------


def _columns(reading: Reading, table: Table) -> dict[str, Any]:
    """The columns of the rows that `where` keeps, all of them good.

    Public readers call this directly: warnings are of the user's line, three calls up.
    """
    columns = reading.columns()
    for name, column in columns.items():
        _check_column(table, name, column)
    kept = _kept(table, reading.where)
    row_numbers, cells = table.row_numbers[kept], table.cells[kept]
    read: dict[str, np.ndarray] = {}
    faults: dict[int, str] = {}
    for name, column in columns.items():
        values, wrong = _read(cells[column], name, reading)
        read[name] = _labels(values) if name == "group" else np.array(values, np.float64)
        for row, fault in wrong.items():
            faults.setdefault(row_numbers[row], f"{column} {fault}")
    _refuse(table.source, table.row_label, faults, len(row_numbers))
    others = table.typed()[kept].drop(columns=list({*columns.values()}), errors="ignore")
    if reading.best_of_cell:
        sizes = [read[name] for name in ("params", "tokens", *reading.levers)]
        rows = best_of_cell(read["loss"], sizes)
        read = {name: column[rows] for name, column in read.items()}
        row_numbers, others = row_numbers[rows], others.iloc[rows]
    sheet = Sheet(
        columns=read,
        names={name: str(column) for name, column in columns.items()},
        units={name: reading.unit(name) for name in RUN},
        others={str(name): np.asarray(column) for name, column in others.items()},
        row_numbers=row_numbers,
        row_label=table.row_label,
        source=table.source,
        levers=reading.levers,
    )
    for suspicion in suspicions_of(sheet):
        warnings.warn(suspicion, stacklevel=4)
    levers = {name: read.pop(name) for name in reading.levers}
    return read | ({"levers": levers} if levers else {})


def _check_column(table: Table, name: str, column: Any) -> None:
    names = list(table.cells.columns)
    count = names.count(column)
    if count > 1:
        raise ValueError(f"{table.source}: {name} needs one column {column!r}; there are {count}")
    if not count:
        near = hint(column, map(str, names), written=repr)
        raise ValueError(
            f"{table.source}: no column {column!r} for {name}{near}; "
            f"the columns are {', '.join(map(str, names))}"
        )


def _kept(table: Table, where: str | None) -> np.ndarray:
    """A mask of the rows for which `where` holds, at least one."""
    count = len(table.row_numbers)
    if not count:
        raise ValueError(f"{table.source}: no rows")
    if where is None:
        return np.ones(count, bool)
    frame = table.typed()
    try:
        value = expressions.evaluate(where, *_named_columns(frame))
    except ValueError as error:
        raise ValueError(f"{table.source}: where={where!r} fails: {_line(error)}") from None
    kept = expressions.truth_of(value)
    if kept is None or kept.shape != (count,):
        raise ValueError(f"where={where!r} must be true or false of each row, as 'loss < 4' is")
    if not kept.any():
        raise ValueError(f"{table.source}: where={where!r} holds for none of {count} rows")
    return kept


def _named_columns(
    frame: Frame,
) -> tuple[list[str], Callable[[str], np.ndarray]]:
    """The columns that an expression may name, and a function that gives their values."""
    names = [name for name in frame.columns if isinstance(name, str)]

    def values(name: str) -> np.ndarray:
        if names.count(name) > 1:
            raise ValueError("is there more than once")
        cells = frame[name]
        return values_of(cells.astype(object).where(cells.notna(), None))

    return names, values


# --- Cells, and what is said of them ---------------------------------------------------------


def _read(cells: Any, name: str, reading: Reading) -> tuple[list[Any], dict[int, str]]:
    """The values of the cells, and the faults of bad ones by their row."""
    values: list[Any] = []
    faults: dict[int, str] = {}
    for row, (cell, missing) in enumerate(zip(cells, cells.isna(), strict=True)):
        try:
            if missing:
                raise ValueError("is missing")
            values.append(_item(cell) if name == "group" else _value(_item(cell), name, reading))
        except ValueError as fault:
            values.append(math.nan)
            faults[row] = str(fault)
    return values, faults


def _item(cell: Any) -> Any:
    """The cell as a Python value."""
    return cast(Any, cell.item()) if isinstance(cell, np.generic) else cell


def _value(cell: Any, name: str, reading: Reading) -> float:
    least = "above 0" if name in RUN else "0 or more" if name == "weights" else "any"
    suffixes = name not in ("loss", "weights")
    value = number(cell, reading.unit(name), suffixes=suffixes, least=least)
    if name != "loss" or reading.loss_unit != PERPLEXITY:
        return value
    if value <= 1:
        raise ValueError(f"is {cell!r}, no perplexity above 1")
    return math.log(value)


def _is_perplexity(column: Hashable) -> bool:
    said = words(str(column))
    return bool(said & {"perplexity", "ppl"}) and not said & {"log", "ln"}


def _labels(values: list[Any]) -> np.ndarray:
    if all(isinstance(value, int) and abs(value) < 2**63 for value in values):
        return np.array(values, np.int64)
    return np.array([str(value) for value in values])


def _refuse(source: str, row_label: str, faults: dict[int, str], count: int) -> None:
    """Raise ValueError if there are faults, whose keys are numbers of rows."""
    if faults:
        listed = [f"{row_label} {each}: {faults[each]}" for each in sorted(faults)]
        raise ValueError(f"{source}: bad rows: {len(faults)} of {count} ({_listed(listed, '; ')})")


def _listed(items: list[str], separator: str) -> str:
    rest = len(items) - LISTED
    return separator.join(items[:LISTED] + ([f"and {rest} more"] if rest > 0 else []))


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
