"""Runs from tables: columns, units and rows chosen, and each bad row named by its number.

A column is one of the table's, by its exact name, or an expression of them.
"""

import math
import warnings
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxscale._numerics.names import hint, question
from jaxscale.fitting import expressions
from jaxscale.fitting._suspicions import suspicions_of
from jaxscale.fitting._suspicions.sheet import Sheet, best_of_cell, words
from jaxscale.fitting.column_values import number_of
from jaxscale.fitting.files import (
    Frame,
    Table,
    frame_table,
    one_line,
    pandas_module,
    read_table,
    refuse,
)
from jaxscale.fitting.wide import long_table

RUN = ("params", "tokens", "loss")
PERPLEXITY = "perplexity"  # the unit of a column whose logarithm is the loss
BITS_PER_BYTE = "bits-per-byte"
NATS = {"nats": 1.0, "bits": math.log(2), PERPLEXITY: 1.0, BITS_PER_BYTE: math.log(2)}
NOT_NEGATIVE = ("weights", "step", "lr")
MISSING = " is missing"
# What people call the columns: only for the question after a name that is not there.
USUAL = {
    "params": ("N", "n_params", "num_params", "parameters", "n_parameters", "model_size", "size"),
    "tokens": ("D", "n_tokens", "num_tokens", "train_tokens", "training_tokens", "seen"),
    "loss": ("L", "final_loss", "val_loss", "eval_loss", "validation_loss", "train_loss"),
    "step": ("Step", "_step", "steps", "global_step", "iteration", "iter"),
    "lr": ("learning_rate", "train/learning_rate"),
}


@dataclass(frozen=True)
class Reading:
    """Columns and rows to read from a table: the keywords of `Runs.from_dataframe`."""

    params: Hashable = "params"
    tokens: Hashable = "tokens"
    loss: Hashable = "loss"
    weights: Hashable = None
    group: Hashable = None
    levers: tuple[str, ...] | Mapping[str, Hashable] = ()
    where: str | None = None
    params_unit: float = 1
    tokens_unit: float = 1
    loss_unit: str = "nats"
    bytes_per_token: float | None = None
    best_of_cell: bool = False

    def __post_init__(self) -> None:
        for name in ("params_unit", "tokens_unit", "bytes_per_token"):
            unit = getattr(self, name)
            if unit is None and name == "bytes_per_token":
                continue
            if not (isinstance(unit, (int, float, np.number)) and 0 < unit < math.inf):
                raise ValueError(f"{name} must be a finite number above 0; got {unit!r}")
        if self.loss_unit not in NATS:
            known = ", ".join(map(repr, NATS))
            raise ValueError(f"loss_unit must be one of {known}; got {self.loss_unit!r}")
        if (self.bytes_per_token is not None) != (self.loss_unit == BITS_PER_BYTE):
            raise ValueError(
                f"bytes_per_token belongs to the loss unit {BITS_PER_BYTE!r}, which needs it; got "
                f"{self.bytes_per_token!r} and {self.loss_unit!r}"
            )
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
        levers = self.levers if isinstance(self.levers, Mapping) else {x: x for x in self.levers}
        return {
            name: column
            for name, column in (asked | dict(levers)).items()
            if name in (*RUN, *levers) or column is not None
        }

    def unit(self, name: str) -> float:
        """The count, or the nats, of one unit of a column of numbers."""
        units = {"params": self.params_unit, "tokens": self.tokens_unit}
        loss = NATS[self.loss_unit] * (self.bytes_per_token or 1)
        return units.get(name, loss if name == "loss" else 1.0)


def from_file(source: Any, **how: Any) -> dict[str, Any]:
    """The columns of `Runs` from a file; takes the fields of `Reading`.

    Lines are counted as an editor does, blank ones and those inside quotes too. Raises ValueError
    as `Runs.read`.
    """
    return _columns(Reading(**how), read_table(source))


def from_dataframe(frame: Frame, *, columns: dict[str, Any], **how: Any) -> dict[str, Any]:
    """The columns of `Runs` from a data frame; rows are counted from 1.

    `columns` holds the column behind each name of `Runs`, `how` the other fields of `Reading`.
    Raises TypeError for anything but a data frame, ValueError as `Runs.read`.
    """
    return _columns(Reading(**columns, **how), table_of(frame))


def table_of(frame: Frame) -> Table:
    """The table of a user's data frame; TypeError for anything else."""
    if not isinstance(frame, pandas_module().DataFrame):
        raise TypeError(f"frame must be a pandas.DataFrame; got {type(frame).__name__}")
    return frame_table("the data frame", frame)


def _columns(reading: Reading, table: Table) -> dict[str, Any]:
    """The columns of the rows that `where` keeps, all of them good.

    Public readers call this directly: warnings are of the user's line, three calls up.
    """
    columns = reading.columns()
    table, read, wrong = read_columns(table, columns, reading)
    faults: dict[int, str] = {}
    for each in wrong.values():
        for row, fault in each.items():
            faults.setdefault(table.row_numbers[row], fault)
    refuse(table.source, table.row_label, faults, len(table.row_numbers), _advice(faults))
    if reading.best_of_cell:
        rows = best_of_cell(
            read["loss"], [read[name] for name in ("params", "tokens", *reading.levers)]
        )
        read, table = {name: column[rows] for name, column in read.items()}, table.select(rows)
    others = [name for name in table.names if name not in columns.values()]
    sheet = Sheet(
        columns=read,
        names={name: str(column) for name, column in columns.items()},
        units={name: reading.unit(name) for name in RUN},
        others={str(name): _other(table, name) for name in others if others.count(name) == 1},
        row_numbers=table.row_numbers,
        row_label=table.row_label,
        source=table.source,
        levers=tuple(reading.levers),
    )
    for suspicion in (*table.remarks, *suspicions_of(sheet)):
        warnings.warn(suspicion, stacklevel=4)
    levers = {name: read.pop(name) for name in reading.levers}
    return read | ({"levers": levers} if levers else {})


def read_columns(
    table: Table, columns: Mapping[str, Hashable], reading: Reading
) -> tuple[Table, dict[str, np.ndarray], dict[str, dict[int, str]]]:
    """The rows that `where` keeps, their values in each column, and the faults of each by row.

    A row is a position here, and a faulty one has any value.
    """
    table = long_table(table, columns.values())
    table = table.select(_kept(table, reading.where))
    read: dict[str, np.ndarray] = {}
    faults: dict[str, dict[int, str]] = {}
    for name, column in columns.items():
        read[name], faults[name] = _read(table, name, column, reading)
    return table, read, faults


def _other(table: Table, name: Any) -> np.ndarray:
    """A column that is not read, for checks that may know what it is."""
    try:
        return table.values(name)
    except ValueError:  # lists, or numbers and words
        return np.array([str(cell) for cell in table.column(name)])


def _kept(table: Table, where: str | None) -> np.ndarray:
    """A mask of the rows for which `where` holds, at least one."""
    count = len(table.row_numbers)
    if not count:
        raise ValueError(f"{table.source}: no rows")
    if where is None:
        return np.ones(count, bool)
    value = _evaluated(table, "where", where, table.values)
    kept = expressions.truth_of(value)
    if kept is None or kept.shape != (count,):
        raise ValueError(f"where={where!r} must be true or false of each row, as 'loss < 4' is")
    if not kept.any():
        raise ValueError(f"{table.source}: where={where!r} holds for none of {count} rows")
    return kept


def _evaluated(
    table: Table, name: str, text: str, column: Callable[[str], np.ndarray]
) -> expressions.Value:
    """The value of an expression; ValueError that names the keyword."""
    names = [each for each in table.names if isinstance(each, str)]

    def values(name: str) -> np.ndarray:
        if names.count(name) > 1:
            raise ValueError("is there more than once")
        return column(name)

    try:
        return expressions.evaluate(text, names, values)
    except ValueError as error:
        raise ValueError(f"{table.source}: {name}={text!r} fails: {one_line(error)}") from None


# --- Columns ---------------------------------------------------------------------------------


def _read(
    table: Table, name: str, column: Any, reading: Reading
) -> tuple[np.ndarray, dict[int, str]]:
    """The values of a column, by name or by expression, and the faults of bad ones by their row."""
    has_counts = name not in ("loss", "weights", "lr")
    # Billions of millions are nobody's count.
    how = dict(suffixes=has_counts and reading.unit(name) == 1, thousands=has_counts)
    count = table.names.count(column)
    if count > 1:
        raise ValueError(f"{table.source}: {name} needs one column {column!r}; there are {count}")
    if count and name == "group":
        return _labels(table.column(column), f"{column}{MISSING}")
    if count:
        values, wrong = table.numbers(column, **how)
        faults = {row: f"{column} {fault}" for row, fault in wrong.items()}
        cells = table.column(column)
    elif name == "group" or not expressions.could_be(column, table.names):
        raise _no_column(table, name, column)
    else:
        values, faults = _expressed(table, name, column, how)
        cells = values.tolist()
    values, wrong = _checked(values, cells, name, reading)
    return values, {row: f"{column} {fault}" for row, fault in wrong.items()} | faults


def _no_column(table: Table, name: str, column: Any) -> ValueError:
    usual = [each for each in USUAL.get(name, ()) if each in table.names]
    near = hint(column, map(str, table.names), written=repr) or question(map(repr, usual))
    listed = ", ".join(map(str, table.names))
    return ValueError(
        f"{table.source}: no column {column!r} for {name}{near}; the columns are {listed}"
    )


def _expressed(
    table: Table, name: str, text: str, how: dict[str, bool]
) -> tuple[np.ndarray, dict[int, str]]:
    """The numbers that an expression gives, and what is wrong with the cells that it reads."""
    faults: dict[int, str] = {}
    gaps: dict[int, str] = {}

    def column(name: str) -> np.ndarray:
        values, wrong = table.numbers(name, **how)
        cells = table.column(name)
        if len(wrong) == len(cells) - cells.count(None):  # no number at all
            return table.values(name)
        faults.update({row: f"{name} {fault}" for row, fault in wrong.items()})
        gaps.update({row: f"{name}{MISSING}" for row, cell in enumerate(cells) if cell is None})
        return values

    value = _evaluated(table, name, text, column)
    try:
        numbers = np.array(np.broadcast_to(number_of(value), len(table.row_numbers)))
    except ValueError as error:
        raise ValueError(f"{table.source}: {name}={text!r} fails: {one_line(error)}") from None
    empty = {row: gap for row, gap in gaps.items() if np.isnan(numbers[row])}
    return numbers, empty | faults


def _checked(
    values: np.ndarray, cells: list[Any], name: str, reading: Reading
) -> tuple[np.ndarray, dict[int, str]]:
    """The values in counts or nats, and the faults of those out of range by their row."""
    is_perplexity = name == "loss" and reading.loss_unit == PERPLEXITY
    least = "above 0" if name in RUN else "0 or more" if name in NOT_NEGATIVE else "any"
    with np.errstate(all="ignore"):
        values = values * reading.unit(name)
        below = (values < 0) & (least != "any") | (values == 0) & (least == "above 0")
        tests = {
            "missing": np.array([cell is None for cell in cells]),
            f"{{}}, {'below' if least == '0 or more' else 'not above'} 0": below,
            "{}, not finite": ~np.isfinite(values),
            "{}, no perplexity above 1": is_perplexity & (values <= 1),
        }
        faults: dict[int, str] = {}
        for fault, rows in tests.items():
            for row in np.flatnonzero(rows):
                faults.setdefault(int(row), "is " + fault.format(repr(cells[row])))
        return (np.log(values) if is_perplexity else values), faults


def _advice(faults: Mapping[int, str]) -> str:
    """How to leave out rows of which nothing is wrong but missing cells."""
    names = {fault.removesuffix(MISSING): None for fault in faults.values()}
    if any(not fault.endswith(MISSING) for fault in faults.values()):
        return ""
    tests = " and ".join(f"notna({expressions.written(name)})" for name in names)
    return f'; leave them out by where="{tests}"'


def _is_perplexity(column: Hashable) -> bool:
    said = words(str(column))
    return bool(said & {"perplexity", "ppl"}) and not said & {"log", "ln", "log2"}


def _labels(cells: list[Any], fault: str) -> tuple[np.ndarray, dict[int, str]]:
    faults = {row: fault for row, cell in enumerate(cells) if cell is None}
    if all(isinstance(cell, int) and abs(cell) < 2**63 for cell in cells):
        return np.array(cells, np.int64), faults
    return np.array([str(cell) for cell in cells]), faults
