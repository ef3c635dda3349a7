"""Checks for likely mistakes in a table of runs; a finding is a sentence and its rows.

Thresholds are judgement: no check reports anything in a sound published table.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxscale.fitting._suspicions._losses import diverged, losses
from jaxscale.fitting._suspicions._units import units
from jaxscale.fitting._suspicions.sheet import Sheet, Suspicion
from jaxscale.fitting._suspicions.trainings import checkpoints, flops, is_sweep, repeated, settings

CHECKS = (checkpoints, settings, flops, repeated)
FEWEST = 5  # rows whose medians and gaps say anything


def suspicions_of(sheet: Sheet) -> list[Suspicion]:
    """All suspicions about a table, the gravest first."""
    if len(sheet) < FEWEST:
        return list(repeated(sheet))
    # What is expected of sizes in wrong units says nothing of losses, nor losses in wrong units of
    # single runs.
    wrong = list(units(sheet)) or list(losses(sheet))
    single = [] if wrong or is_sweep(sheet) else list(diverged(sheet))
    return [*wrong, *single, *(each for check in CHECKS for each in check(sheet))]


def suspicions(runs: Any) -> list[Suspicion]:
    """Likely mistakes in runs, rows counted from 1.

    Columns that `Runs` does not hold, such as steps or a learning rate, tell more: `Runs.read`
    and the other readers of tables check them too, and warn.

    Examples:
        >>> runs = js.Runs(params=[1e8, 1e8, 1e9], tokens=[2e9, 2e9, 2e10], loss=[3.6, 3.6, 2.9])
        >>> for suspicion in js.fitting.suspicions(runs):
        ...     print(suspicion.about, suspicion.rows)
        repeated rows (2,)
    """
    columns: dict[str, np.ndarray] = {
        name: np.asarray(getattr(runs, name)) for name in ("params", "tokens", "loss")
    }
    columns |= {} if runs.group is None else {"group": np.asarray(runs.group)}
    given: Mapping[str, Any] = runs.levers or {}
    levers = {name: np.asarray(column) for name, column in given.items()}
    columns |= levers
    return suspicions_of(
        Sheet(
            columns=columns,
            names={name: name for name in columns},
            units={"params": 1.0, "tokens": 1.0},
            others={},
            row_numbers=np.arange(1, len(runs) + 1),
            levers=tuple(levers),
        )
    )
