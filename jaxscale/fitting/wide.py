# pandas has no types:
# pyright: reportMissingTypeStubs=false
"""Exports of trackers with a column a run, as Weights & Biases writes them, made long."""

from collections.abc import Collection, Hashable
from dataclasses import replace
from typing import Any

import numpy as np

from jaxscale.fitting._suspicions.sheet import Suspicion
from jaxscale.fitting.cells import cells_of
from jaxscale.fitting.files import Table, pandas_module

BETWEEN = " - "  # a run and its metric
TWINS = ("__MIN", "__MAX")
OTHERS = 2  # columns beside those of runs, such as the step and the tokens
LISTED = 3  # names of runs in a remark
COLUMN_A_RUN = "a column a run"  # the subject of a remark
RUN = "run"  # the column that tells the rows of runs apart
ROW = "\0row"  # the name of no column


def long_table(table: Table, asked: Collection[Hashable]) -> Table:
    """The table with a row for each run, where it has a column for each; else the table itself.

    `asked` are the columns that will be read: a table that has them all is left as it is.
    """
    names = [str(name) for name in table.names]
    twins = {name for name in names if name.endswith(TWINS) and name[: -len(TWINS[0])] in names}
    runs: dict[str, dict[str, int]] = {}  # columns by run and metric
    for position, name in enumerate(names):
        run, between, metric = name.rpartition(BETWEEN)
        if between and name not in twins:
            runs.setdefault(run, {})[metric] = position
    metrics = list(dict.fromkeys(metric for each in runs.values() for metric in each))
    of_runs = {position for each in runs.values() for position in each.values()}
    rest = [at for at in range(len(names)) if at not in of_runs and names[at] not in twins]
    if {*asked, None} <= {*table.names, None}:
        return table
    if not runs or len(rest) > OTHERS or not (twins or len(runs) > 1):
        return table
    parts: list[Any] = []
    for run, each in runs.items():
        part = table.cells.iloc[:, rest].assign(**{RUN: run})
        for metric in metrics:
            part[metric] = table.cells.iloc[:, each[metric]] if metric in each else None
        columns = [cells_of(part[metric]) for metric in metrics]
        held = [any(cell is not None for cell in row) for row in zip(*columns, strict=True)]
        parts.append(part.assign(**{ROW: table.row_numbers})[held])
    long = pandas_module().concat(parts, ignore_index=True)
    row_numbers = long.pop(ROW).to_numpy(np.int64)
    shown = ", ".join(map(repr, [*runs][:LISTED])) + ", .." * (len(runs) > LISTED)
    remark = Suspicion(
        COLUMN_A_RUN,
        f"{len(runs)} runs ({shown}) have a column each: read as a row for each run and "
        f"{' and '.join(names[at] for at in rest)}; the columns are {', '.join(long.columns)}",
        (),
        table.source,
    )
    return replace(
        table, row_numbers=row_numbers, cells=long, known={}, remarks=(*table.remarks, remark)
    )
