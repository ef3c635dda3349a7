"""Statistics as `--reduce` writes them, `KIND:FIELD[:NUMBERS]`, and how they are printed."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jaxscale.cli import tables
from jaxscale.cli.mistakes import Mistake, nearest
from jaxscale.cli.quantities import count, counted, percent
from jaxscale.status import Status
from jaxscale.sweeping import reducers

EXAMPLE = "moments:total_cost, quantiles:params:0.05,0.5,0.95 or lowest:total_cost:5"


class Kind(NamedTuple):
    """One kind of statistic: how it is made of a field and numbers."""

    make: Callable[[str, tuple[float, ...]], Any]
    numbers: str = ""  # which numbers it takes, for messages; empty for none


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


def show_statistics(statistics: Mapping[Any, Any]) -> None:
    """Print the result of each reducer, what became of the scenarios first."""
    for reducer, result in statistics.items():
        if isinstance(reducer, reducers.StatusCounts):
            show_statuses(result.total, result.counts, result.ok)
    for reducer, result in statistics.items():
        if type(reducer) in _TABLES:
            tables.note(f"{_title(reducer)}, {counted(result.count, 'scenario')}", style="bold")
            _TABLES[type(reducer)](result)


def show_statuses(total: int, counts: Mapping[str, int], ok: int) -> None:
    """Print how many scenarios have numbers, and what is wrong with the others."""
    if ok == total:
        tables.note(f"{counted(total, 'scenario')}, all of them ok.")
        return
    tables.note(f"{counted(total, 'scenario')}, {f'{ok:,}' if ok else 'none'} of them ok.")
    for name, number in counts.items():
        status = Status.__members__.get(name)
        sentence = "" if status in (None, Status.OK) else f": {status.sentence}"
        tables.note(f"  {number:,} {name}{sentence}")


def _title(reducer: Any) -> str:
    if isinstance(reducer, reducers.TopK):
        return f"The {'lowest' if reducer.lowest else 'highest'} {reducer.field}"
    words = {"MainEffects": "Main effects on"}
    return f"{words.get(type(reducer).__name__, f'{type(reducer).__name__} of')} {reducer.field}"


def _show_moments(result: Any) -> None:
    header = ("", "mean", "std", "min", "max")
    numbers = (result.mean, result.std, result.min, result.max)
    tables.print_columns(header, [("", *map(_written, numbers))])


def _show_quantiles(result: Any) -> None:
    rows = [
        (f"{100 * level:g} %", _written(value))
        for level, value in zip(result.levels, result.values, strict=True)
    ]
    tables.print_columns(("share of scenarios", "at or below"), rows)


def _show_histogram(result: Any) -> None:
    names = [
        f"{_written(low)} to {_written(high)}"
        for low, high in zip(result.edges, result.edges[1:], strict=False)
    ]
    counts = [int(each) for each in result.counts]
    rows = [("below", result.below), *zip(names, counts, strict=True), ("above", result.above)]
    written = [(name, f"{n:,}", percent(n / max(1, result.count))) for name, n in rows if n]
    tables.print_columns(("between", "scenarios", "share"), written)


def _show_extremes(result: Any) -> None:
    ends = {"min": (result.min, result.min_at), "max": (result.max, result.max_at)}
    _show_places([(name, value, at) for name, (value, at) in ends.items()])


def _show_best(result: Any) -> None:
    found = zip(result.values, result.at, strict=True)
    _show_places([(str(rank), value, at) for rank, (value, at) in enumerate(found, start=1)])


def _show_places(rows: Sequence[tuple[str, float, Mapping[str, Any]]]) -> None:
    """Print values, each with the coordinates of its scenario."""
    names = list(rows[0][2]) if rows else []
    written = [
        (name, _written(value), *(_written(at[each]) for each in at)) for name, value, at in rows
    ]
    tables.print_columns(("", "value", *names), written)


def _show_effects(result: Any) -> None:
    rows = [
        (name, f"{result.indices[name]:.3f}", _written(means[0]), _written(means[-1]))
        for name, means in result.effects.items()
    ]
    header = ("axis", "share of variance", "mean at its start", "at its end")
    tables.print_columns(header, rows)


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    if math.isnan(value):
        return "-"
    return count(value, 4) if not 1e-3 < abs(value) < 1e4 else f"{value:.4g}"


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
_TABLES: Mapping[type, Callable[[Any], None]] = {
    reducers.Moments: _show_moments,
    reducers.Quantiles: _show_quantiles,
    reducers.Histogram: _show_histogram,
    reducers.Extremes: _show_extremes,
    reducers.TopK: _show_best,
    reducers.MainEffects: _show_effects,
}
