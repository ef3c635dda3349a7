"""What jaxscale sets out to reach on a CPU, and what was measured."""

from typing import NamedTuple

from benchmarks import rows, sweep_rows


class Aim(NamedTuple):
    """`row` solves `factor` times the scenarios a second that the fastest of `others` does."""

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


def measured(aims: list[Aim], records: dict[str, dict]) -> list[dict]:
    """Each aim with its value and whether it is met; None for both where a row is missing."""
    return [_measured(aim, records) for aim in aims]


def _measured(aim, records):
    present = [name for name in aim.others if name in records]
    fastest = max(present, key=lambda name: _speed(records, name), default=None)
    value = met = None
    if fastest:
        value = _speed(records, aim.row) / _speed(records, fastest)
        met = value >= aim.factor
    return {
        "row": aim.row,
        "against": fastest or aim.others[0],
        "at_least": aim.factor,
        "stretch": aim.stretch,
        "value": value,
        "met": met,
    }


def _speed(records, name):
    return records[name]["scenarios_per_second"]
