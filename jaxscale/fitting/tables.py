"""Tables of runs: columns chosen, units applied, and each bad row named by its line.

The cells of a CSV file are read as text, and as numbers only when needed, so that a message
shows a value as it stands in the file. pandas serves `where` and frames, and is imported late.
"""

import csv
import difflib
import io
import math
import os
import re
import warnings
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxscale.fitting import expressions
from jaxscale.fitting.column_values import values_of

if TYPE_CHECKING:
    import pandas

RUN = ("params", "tokens", "loss")
LISTED = 5  # rows that a message names
# What pandas, too, takes for a missing cell.
MISSING = {"", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None"}
NATS = {"nats": 1.0, "bits": math.log(2)}
POWERS = {"": 0, "K": 3, "M": 6, "B": 9, "T": 12}
NUMBER = re.compile(
    r"(?P<digits>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))"
    r"(?:e(?P<power>[+-]?[0-9]+)|(?P<suffix>[KMBT]))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Reading:
    """What to read from a table: the keywords of `Runs.from_dataframe`."""

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

    def __post_init__(self) -> None:
        for name in ("params_unit", "tokens_unit"):
            unit = getattr(self, name)
            if not (isinstance(unit, (int, float, np.number)) and 0 < unit < math.inf):
                raise ValueError(f"{name} must be a finite number above 0; got {unit!r}")
        if self.loss_unit not in NATS:
            raise ValueError(f"loss_unit must be 'nats' or 'bits'; got {self.loss_unit!r}")
        names = (*RUN, "weights", "group", *self.levers)
        if isinstance(self.levers, str) or len(set(names)) < len(names):
            raise ValueError(f"levers must be different names of levers; got {self.levers!r}")

    def columns(self) -> dict[str, Hashable]:
        """The column behind each name of `Runs` that is read."""
        asked = {name: getattr(self, name) for name in (*RUN, "weights", "group")}
        asked |= {name: name for name in self.levers}
        return {name: each for name, each in asked.items() if name in RUN or each is not None}

    def unit(self, name: str) -> float:
        """What one unit of a column of numbers counts: 1, or nats."""
        units = {"params": self.params_unit, "tokens": self.tokens_unit}
        return units.get(name, NATS[self.loss_unit] if name == "loss" else 1.0)


@dataclass(frozen=True)
class Table:
    """Cells, and where a person finds each row of them."""

    source: str  # what messages call it
    place: str  # "line" or "row"
    places: np.ndarray  # of each row
    cells: "pandas.DataFrame"  # as written
    typed: Callable[[], "pandas.DataFrame"]  # as `where` sees them


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


def from_dataframe(
    frame: "pandas.DataFrame", *, columns: dict[str, Any], **how: Any
) -> dict[str, Any]:
    """The columns of `Runs` from a data frame; rows are counted from 1.

    `columns` holds the column behind each name of `Runs`, `how` the other fields of `Reading`.
    Raises TypeError for what is no data frame, ValueError as `Runs.from_csv`.
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


def _frame_table(source: str, frame: "pandas.DataFrame") -> Table:
    return Table(source, "row", np.arange(1, len(frame) + 1), frame, lambda: frame)


def _csv_table(source: str) -> Table:
    pandas = _pandas()
    header, places, rows = _csv_rows(source)
    faults = {
        place: f"has {len(row)} cells where the header has {len(header)}"
        for place, row in zip(places, rows, strict=True)
        if len(row) != len(header)
    }
    _refuse(source, "line", faults, len(rows))
    cells = [[None if cell in MISSING else cell for cell in row] for row in rows]

    def typed() -> "pandas.DataFrame":
        # As pandas reads the file, but these very rows of it.
        text = io.StringIO()
        csv.writer(text).writerows([header, *cells])
        text.seek(0)
        return pandas.read_csv(text, skip_blank_lines=False, low_memory=False)

    frame = pandas.DataFrame(cells, columns=header, dtype=object)
    return Table(source, "line", np.array(places, np.int64), frame, typed)


def _csv_rows(source: str) -> tuple[list[str], list[int], list[list[str]]]:
    """The header, the line on which each row begins, and the cells of each row."""
    places, rows, line = [], [], 1
    with open(source, encoding="utf-8-sig", newline="") as file:
        # Strict, because an unclosed quote would silently swallow the rest of the file.
        reader = csv.reader(file, strict=True, skipinitialspace=True)
        try:
            for row in reader:
                if len(row) > 1 or any(map(str.strip, row)):
                    places.append(line)
                    rows.append([cell.strip() for cell in row])
                line = reader.line_num + 1
        except UnicodeDecodeError:
            raise ValueError(f"{source}: not UTF-8 text, from line {line} or later") from None
        except csv.Error as error:
            raise ValueError(f"{source}: line {line}: {error}") from None
    if not rows:
        raise ValueError(f"{source}: empty; a header line and rows are expected")
    return rows[0], places[1:], rows[1:]


# --- Columns ---------------------------------------------------------------------------------


def _columns(reading: Reading, table: Table) -> dict[str, Any]:
    """The columns of the rows that `where` keeps, all of them good.

    Public readers call this directly: the warning is of the user's line, three calls up.
    """
    columns = reading.columns()
    for name, column in columns.items():
        _check_column(table, name, column)
    kept = _kept(table, reading.where)
    places, cells = table.places[kept], table.cells[kept]
    found, faults = {}, {}
    for name, column in columns.items():
        values, wrong = _read(cells[column], name, reading.unit(name))
        found[name] = _labels(values) if name == "group" else np.array(values, np.float64)
        for row, fault in wrong.items():
            faults.setdefault(places[row], f"{column} {fault}")
    _refuse(table.source, table.place, faults, len(places))
    repeated = _pandas().DataFrame({name: found[name] for name in RUN}).duplicated()
    repeats = [str(place) for place in places[repeated]]
    if repeats:
        warnings.warn(
            f"{table.source}: rows with the params, tokens and loss of an earlier one: "
            f"{len(repeats)} ({table.place} {_listed(repeats, ', ')})",
            stacklevel=4,
        )
    levers = {name: found.pop(name) for name in reading.levers}
    return found | ({"levers": levers} if levers else {})


def _check_column(table: Table, name: str, column: Any) -> None:
    names = list(table.cells.columns)
    count = names.count(column)
    if count > 1:
        raise ValueError(f"{table.source}: {name} needs one column {column!r}; there are {count}")
    if not count:
        raise ValueError(
            f"{table.source}: no column {column!r} for {name}{_nearest(column, names)}; "
            f"the columns are {', '.join(map(str, names))}"
        )


def _nearest(word: Any, names: Iterable[Any]) -> str:
    spelled = {str(name).lower(): str(name) for name in names}
    near = difflib.get_close_matches(str(word).lower(), spelled, n=1, cutoff=0.5)
    return f" (did you mean {spelled[near[0]]!r}?)" if near else ""


def _kept(table: Table, where: str | None) -> np.ndarray:
    """A mask of the rows for which `where` holds, one at least."""
    count = len(table.places)
    if not count:
        raise ValueError(f"{table.source}: no rows")
    if where is None:
        return np.ones(count, bool)
    frame = table.typed()
    try:
        found = expressions.evaluate(where, *_named_columns(frame))
    except ValueError as error:
        raise ValueError(f"{table.source}: where={where!r} fails: {_line(error)}") from None
    kept = expressions.truth_of(found)
    if kept is None or kept.shape != (count,):
        raise ValueError(f"where={where!r} must be true or false of each row, as 'loss < 4' is")
    if not kept.any():
        raise ValueError(f"{table.source}: where={where!r} holds for none of {count} rows")
    return kept


def _named_columns(
    frame: "pandas.DataFrame",
) -> tuple[list[str], Callable[[str], np.ndarray]]:
    """What an expression may name, and the values behind a name."""
    names = [name for name in frame.columns if isinstance(name, str)]

    def values(name: str) -> np.ndarray:
        if names.count(name) > 1:
            raise ValueError("is there more than once")
        cells = frame[name]
        return values_of(cells.astype(object).where(cells.notna(), None))

    return names, values


# --- Cells, and what is said of them ---------------------------------------------------------


def _read(cells: Any, name: str, unit: float) -> tuple[list, dict[int, str]]:
    """What the cells hold, and what is wrong with those that are no good, by their number."""
    values, faults = [], {}
    for row, (cell, missing) in enumerate(zip(cells, cells.isna(), strict=True)):
        try:
            if missing:
                raise ValueError("is missing")
            cell = cell.item() if isinstance(cell, np.generic) else cell
            values.append(cell if name == "group" else _number(cell, name, unit))
        except ValueError as fault:
            values.append(math.nan)
            faults[row] = str(fault)
    return values, faults


def _number(cell: Any, name: str, unit: float) -> float:
    """The number in a cell times its unit; ValueError says what is wrong."""
    written = NUMBER.fullmatch(str(cell).strip())
    suffix = written["suffix"] if written else None
    # Billions of millions are nobody's count.
    if not written or (suffix and (name in ("loss", "weights") or unit != 1)):
        raise ValueError(f"is {cell!r}, not a plain number")
    power = written["power"] or POWERS[(suffix or "").upper()]
    number = float(f"{written['digits']}e{power}") * unit
    if (number < 0 and name in (*RUN, "weights")) or (number == 0 and name in RUN):
        raise ValueError(f"is {cell!r}, {'below' if name == 'weights' else 'not above'} 0")
    if not math.isfinite(number):
        raise ValueError(f"is {cell!r}, not finite")
    return number


def _labels(values: list) -> np.ndarray:
    if all(isinstance(value, int) and abs(value) < 2**63 for value in values):
        return np.array(values, np.int64)
    return np.array([str(value) for value in values])


def _refuse(source: str, place: str, faults: dict[int, str], count: int) -> None:
    """Raise where there are faults; their keys are the places of their rows."""
    if faults:
        listed = [f"{place} {each}: {faults[each]}" for each in sorted(faults)]
        raise ValueError(f"{source}: bad rows: {len(faults)} of {count} ({_listed(listed, '; ')})")


def _listed(items: list[str], separator: str) -> str:
    rest = len(items) - LISTED
    return separator.join(items[:LISTED] + ([f"and {rest} more"] if rest > 0 else []))


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
