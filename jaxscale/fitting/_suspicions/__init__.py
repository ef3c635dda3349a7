"""What in a table of runs was probably not meant so: a sentence, and the rows it is about.

Thresholds are judgement: none speaks up on published tables that are what they seem.
"""

from typing import TYPE_CHECKING

import numpy as np

from jaxscale.fitting._suspicions.sheet import Sheet, Suspicion
from jaxscale.fitting._suspicions.trainings import checkpoints, flops, repeated, settings
from jaxscale.fitting._suspicions.units import losses, units

if TYPE_CHECKING:
    from jaxscale.fitting.runs import Runs

CHECKS = (units, losses, checkpoints, settings, flops, repeated)
FEWEST = 5  # rows whose medians and gaps say anything


def suspicions_of(sheet: Sheet) -> list[Suspicion]:
    """Everything that is odd about a table, gravest first."""
    checks = CHECKS if len(sheet) >= FEWEST else (repeated,)
    return [suspicion for check in checks for suspicion in check(sheet)]


def suspicions(runs: "Runs") -> list[Suspicion]:
    """What is odd about runs whose table is not at hand, rows counted from 1.

    Columns that `Runs` does not hold, such as steps or a learning rate, tell more: the readers of
    tables look at them too, and warn.

    Examples:
        >>> runs = js.Runs(params=[1e8, 1e8, 1e9], tokens=[2e9, 2e9, 2e10], loss=[3.6, 3.6, 2.9])
        >>> for suspicion in js.fitting.suspicions(runs):
        ...     print(suspicion.about, suspicion.rows)
        repeated rows (2,)
    """
    columns = {name: np.asarray(getattr(runs, name)) for name in ("params", "tokens", "loss")}
    columns |= {} if runs.group is None else {"group": np.asarray(runs.group)}
    levers = {name: np.asarray(column) for name, column in (runs.levers or {}).items()}
    columns |= levers
    return suspicions_of(
        Sheet(
            columns=columns,
            names={name: name for name in columns},
            units={"params": 1.0, "tokens": 1.0},
            others={},
            places=np.arange(1, len(runs) + 1),
            levers=tuple(levers),
        )
    )
