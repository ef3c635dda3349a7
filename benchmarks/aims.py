"""What jaxscale sets out to reach on a CPU, and what was measured."""

from typing import NamedTuple

from benchmarks import fit_rows, laws_problem, laws_rows, rows, sweep_rows


class Aim(NamedTuple):
    """`row` has `factor` times the speed that the fastest of `others` has."""

    row: str
    factor: float
    others: tuple[str, ...]
    stretch: bool = False


SOLVE = [
    Aim(rows.OURS_BLOCKS, 10_000, (rows.LOOP,)),
    Aim(rows.OURS_BLOCKS, 15, (rows.ARRAY, rows.FIND_ROOT)),
    Aim(rows.OURS_BLOCKS, 5, (rows.NUMPY, rows.NUMPY_WHOLE)),
    Aim(rows.OURS_BLOCKS, 3, (rows.OPTIMISTIX,)),
    Aim(rows.OURS_BLOCKS, 0.5, (rows.FLOOR,)),
    Aim(rows.OURS_REDUCED, 1, (rows.FLOOR_REDUCED,)),
    Aim(rows.OURS32_BLOCKS, 2, (rows.OURS_BLOCKS,)),
    Aim(rows.OURS_BLOCKS, 8, (rows.NUMPY, rows.NUMPY_WHOLE), stretch=True),
    Aim(rows.OURS_BLOCKS, 0.8, (rows.FLOOR,), stretch=True),
]
SWEEP = [
    Aim(sweep_rows.REDUCE, 0.8, (sweep_rows.KERNEL,)),
    Aim(sweep_rows.REDUCE32, 0.8, (sweep_rows.KERNEL32,)),
    Aim(sweep_rows.REDUCE, 10, (sweep_rows.DASK,)),
]
FIT = [
    Aim(fit_rows.OURS, 200, (fit_rows.LEAST_SQUARES,)),
    Aim(fit_rows.OURS_HOFFMANN, 40, (fit_rows.LEAST_SQUARES,)),
    Aim(fit_rows.OURS_BOOTSTRAP, 20, (fit_rows.LEAST_SQUARES_AGAIN,)),
]
LAWS = [
    Aim(laws_problem.ONLY_LOSS, 0.2, (laws_problem.CHINCHILLA,)),
    Aim(laws_problem.LOGS, 0.2, (laws_problem.CHINCHILLA,)),
    Aim(laws_problem.ONLY_LOSS, 1000, (laws_rows.SLSQP,)),
    Aim(laws_problem.MUENNIGHOFF, 1000, (laws_rows.SLSQP_REPEATED,)),
    Aim(laws_problem.OVER_VOCABULARY, 1000, (laws_rows.SLSQP_LEVER,)),
    Aim(laws_problem.ONLY_LOSS, 10, (laws_rows.GOLDEN,)),
    Aim(laws_problem.MUENNIGHOFF, 10, (laws_rows.GOLDEN_REPEATED,)),
    Aim(laws_problem.OVER_VOCABULARY, 10, (laws_rows.GOLDEN_LEVER,)),
]
COLD_FIT_SECONDS = 4.0  # of a new process, importing and compiling counted


def measured(
    aims: list[Aim], records: dict[str, dict], speed: str = "scenarios_per_second"
) -> list[dict]:
    """Each aim with its value and whether it is met; None for both where a row is missing.

    `speed` is the field of a record that is compared.
    """
    return [_measured(aim, records, speed) for aim in aims]


def cold_fit(seconds: float) -> dict:
    """The aim for the time from the start of a process to a fit."""
    return {
        "row": "a new process with its first js.fit",
        "against": "1 s",
        "at_most": COLD_FIT_SECONDS,
        "stretch": False,
        "value": seconds,
        "met": seconds <= COLD_FIT_SECONDS,
    }


def _measured(aim, records, speed):
    present = [name for name in aim.others if name in records]
    fastest = max(present, key=lambda name: records[name][speed], default=None)
    value = met = None
    if fastest and aim.row in records:
        value = records[aim.row][speed] / records[fastest][speed]
        met = value >= aim.factor
    return {
        "row": aim.row,
        "against": fastest or aim.others[0],
        "at_least": aim.factor,
        "stretch": aim.stretch,
        "value": value,
        "met": met,
    }
