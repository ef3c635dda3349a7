"""Statistics and summaries of sweeps: `--reduce`, tables on the terminal, and JSON."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxscale.cli import tables
from jaxscale.cli.mistakes import Mistake, nearest
from jaxscale.status import Status
from jaxscale.sweeping import reducers
from jaxscale.sweeping.reducers.counts import StatusCountsResult
from jaxscale.sweeping.reducers.results import Statistics
from jaxscale.sweeping.summary import RATIO_TITLE, Summary

EXAMPLE = "moments:total_cost, quantiles:params:0.05,0.5,0.95 or lowest:total_cost:5"


class Kind(NamedTuple):
    """One kind of statistic: how it is made of a field and numbers."""

    make: Callable[[str, tuple[float, ...]], Any]
    numbers: str = ""  # the numbers that it takes, for messages; empty for none


def read_reductions(texts: Sequence[str], fields: Sequence[str]) -> list[Any]:
    """The reducers that the texts write, of fields among these; a mistake in `--reduce`."""
    return [_read(text, fields) for text in texts]


def _read(text: str, fields: Sequence[str]) -> Any:
    name, _, rest = text.partition(":")
    field, _, numbers = rest.partition(":")
    if name not in KINDS:
        known = ", ".join(KINDS)
        near = nearest(name, KINDS)
        raise Mistake(f"--reduce: no statistic {name!r}{near}; known: {known}; as in {EXAMPLE}")
    if field not in fields:
        problem = f"has no {field!r}{nearest(field, fields)}" if field else "needs a field"
        raise Mistake(f"--reduce: {text!r} {problem}; the fields are {', '.join(fields)}")
    kind = KINDS[name]
    if numbers and not kind.numbers:
        raise Mistake(f"--reduce: {text!r}: {name} takes a field alone")
    try:
        return kind.make(field, tuple(float(each) for each in numbers.split(",") if numbers))
    except (TypeError, ValueError) as error:
        raise Mistake(f"--reduce: {text!r}: {name} takes {kind.numbers}: {error}") from None


def show_statistics(statistics: Statistics) -> None:
    """Print the result of each reducer, the outcomes of all scenarios first."""
    for reducer, title in statistics.titles().items():
        result = statistics[reducer]
        if isinstance(result, StatusCountsResult):
            show_statuses(result)
        else:
            tables.note(title, style="bold")
            tables.print_columns(*result.table())


def show_statuses(statuses: StatusCountsResult) -> None:
    """Print how many scenarios are ok, and the statuses of all."""
    tables.note(f"{statuses.title}.")
    for name, number in statuses.counts.items() if statuses.ok < statuses.total else ():
        status = Status.__members__.get(name)
        sentence = "" if status in (None, Status.OK) else f": {status.sentence}"
        tables.note(f"  {number:,} {name}{sentence}")


def record_of_statistics(statistics: Statistics) -> list[dict[str, Any]]:
    """Each statistic for machines, with its kind and its field."""
    return [
        {"statistic": type(reducer).__name__, **vars(reducer), **vars(result)}
        for reducer, result in statistics.items()
    ]


def _best(lowest: bool) -> Callable[[str, tuple[float, ...]], Any]:
    def make(field: str, numbers: tuple[float, ...]) -> Any:
        if not numbers:
            return reducers.TopK(field, lowest=lowest)
        (number,) = numbers
        if number != int(number):
            raise ValueError(f"{number:g} is not a whole number")
        return reducers.TopK(field, int(number), lowest)

    return make


def _quantiles(field: str, numbers: tuple[float, ...]) -> Any:
    return reducers.Quantiles(field, numbers) if numbers else reducers.Quantiles(field)


KINDS: Mapping[str, Kind] = {
    "moments": Kind(lambda field, _: reducers.Moments(field)),
    "quantiles": Kind(_quantiles, "levels from 0 to 1"),
    "histogram": Kind(reducers.Histogram, "increasing edges"),
    "extremes": Kind(lambda field, _: reducers.Extremes(field)),
    "lowest": Kind(_best(True), "how many"),
    "highest": Kind(_best(False), "how many"),
    "effects": Kind(lambda field, _: reducers.MainEffects(field)),
}


def show_summary(summary: Summary) -> None:
    """Print tables of the axes, the fields, and how the optimum moves with demand."""
    tables.note(summary.conditions, style="dim")
    tables.print_columns(*summary.axis_table())
    tables.note(summary.note, style="bold")
    if summary.statuses:
        show_statuses(summary.statuses)
    if summary.fields:
        tables.print_columns(*summary.field_table())
    if summary.ratios:
        tables.note(RATIO_TITLE, style="bold")
        tables.print_columns(*summary.ratio_table())


def record_of(value: Any) -> Any:
    """A result as JSON holds it: records by name, lists, and null for what is not finite."""
    if isinstance(value, Mapping):
        return {str(name): record_of(each) for name, each in value.items()}
    if hasattr(value, "_asdict"):
        return record_of(value._asdict())
    if isinstance(value, np.ndarray | np.generic):
        return record_of(value.tolist())
    if isinstance(value, list | tuple):
        return [record_of(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return record_of(vars(value))
