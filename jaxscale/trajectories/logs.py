"""What a table says of trainings: the losses and the rates of each, by ascending steps."""

from collections.abc import Hashable, Mapping
from typing import NamedTuple

import numpy as np

from jaxscale.fitting._suspicions.sheet import Suspicion
from jaxscale.fitting.files import Table, refuse
from jaxscale.fitting.tables import MISSING, Reading, read_columns
from jaxscale.fitting.wide import COLUMN_A_RUN, RUN

LISTED = 3  # trainings that a message names


class Log(NamedTuple):
    """The steps that have a loss, and those that have a rate."""

    steps: np.ndarray
    loss: np.ndarray
    rated: np.ndarray
    rates: np.ndarray


def logs_of(
    table: Table, columns: Mapping[str, Hashable], reading: Reading
) -> tuple[dict[str, Log], tuple[Suspicion, ...]]:
    """The log of each training by its name, in the order of the table, and remarks on that.

    `columns` are those of step and loss, and of lr and group where these are to be read: without a
    group all rows are of one training, whose name is empty. Cells may be missing, since trackers
    log one thing at some steps and another at others; no law holds at step 0, before training.
    Raises ValueError for other faults, by row, and for rows of several trainings in one.
    """
    table, read, faults = read_columns(table, columns, reading)
    wrong: dict[int, str] = {}
    for name, each in faults.items():
        for row, fault in each.items():
            if name == "group" or not fault.endswith(MISSING):
                wrong.setdefault(int(table.row_numbers[row]), fault)
    steps = read["step"]
    for row in np.flatnonzero(np.isfinite(steps) & (steps % 1 != 0)):
        said = f"{columns['step']} is {steps[row]:g}, not a whole number"
        wrong.setdefault(int(table.row_numbers[row]), said)
    refuse(table.source, table.row_label, wrong, len(steps))
    if "group" not in columns and any(each.about == COLUMN_A_RUN for each in table.remarks):
        _check_one(table)
    names = read["group"].astype(str) if "group" in columns else np.full(len(steps), "")
    rates = read.get("lr", np.full(len(steps), np.nan))
    logs: dict[str, Log] = {}
    for name in dict.fromkeys(names.tolist()):
        rows = np.flatnonzero(names == name)
        rows = rows[np.argsort(steps[rows], kind="stable")]
        lossy = rows[(steps[rows] > 0) & ~np.isnan(read["loss"][rows])]
        rated = rows[(steps[rows] >= 0) & ~np.isnan(rates[rows])]
        if not lossy.size:
            of = f" of {name!r}" if name else ""
            raise ValueError(
                f"{table.source}: no row{of} has both a {columns['step']} above 0 and a "
                f"{columns['loss']}"
            )
        _check_ascending(table, lossy, steps)
        logs[name] = Log(steps[lossy], read["loss"][lossy], steps[rated], rates[rated])
    return logs, table.remarks


def _check_one(table: Table) -> None:
    names = list(dict.fromkeys(map(str, table.column(RUN))))
    if len(names) > 1:
        shown = ", ".join(map(repr, names[:LISTED])) + ", .." * (len(names) > LISTED)
        raise ValueError(
            f"{table.source}: {len(names)} trainings ({shown}), where one is expected: keep one, "
            f'as by where="{RUN} == {names[0]!r}"'
        )


def _check_ascending(table: Table, rows: np.ndarray, steps: np.ndarray) -> None:
    again = np.flatnonzero(np.diff(steps[rows]) == 0)
    if again.size:
        first, second = table.row_numbers[rows[again[0] : again[0] + 2]]
        raise ValueError(
            f"{table.source}: {table.row_label}s {first} and {second} both have step "
            f"{steps[rows[again[0]]]:,.0f}: keep the rows of one training, by where"
        )
