"""Summaries of the results of a sweep: axes, outcomes, fields, and the effect of demand."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxscale import _display
from jaxscale._labelled import (
    RATIOS,
    STATUS,
    check_data,
    conditions_of,
    demand_axis,
    field_names,
    has_ratios,
    unit_of,
)
from jaxscale._numerics.quantities import count
from jaxscale.status import Status
from jaxscale.sweeping.reducers.counts import StatusCountsResult
from jaxscale.sweeping.reducers.results import LINES, Table

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

MOST = 4_000_000  # scenarios that are held at once; of more, some are taken
SAMPLE = "scenario"  # the axis of a sample
LEVELS = (0.05, 0.5, 0.95)
Quantiles = tuple[float, float, float]  # at these levels


class AxisSummary(NamedTuple):
    """One axis; `first` and `last` are None where its scenarios are only numbered."""

    name: str
    size: int
    first: float | str | None
    last: float | str | None
    units: str


class FieldSummary(NamedTuple):
    """Quantiles of one field at 5, 50 and 95 %; None where no scenario has a number."""

    name: str
    quantiles: Quantiles | None
    units: str


class RatioSummary(NamedTuple):
    """The cheapest plan over the Chinchilla plan of equal loss, in one decade of demand."""

    demand: tuple[float, float]
    params_ratio: Quantiles | None
    tokens_ratio: Quantiles | None
    saving_percent: Quantiles | None


@dataclass(frozen=True, repr=False)
class Summary:
    """The results of a sweep in a few numbers; made by `js.sweeping.summarize`."""

    conditions: str  # common conditions of all scenarios, in words
    scenarios: int
    summarized: int  # of these, spread evenly
    axes: tuple[AxisSummary, ...]
    statuses: StatusCountsResult | None  # None without a status
    fields: tuple[FieldSummary, ...]
    demand: str  # the axis of the ratios, empty without ratios
    ratios: tuple[RatioSummary, ...]

    def axis_table(self) -> Table:
        """The axes as text."""
        rows = [
            (each.name, f"{each.size:,}", _text(each.first), _text(each.last), each.units)
            for each in self.axes
        ]
        return ("axis", "values", "from", "to", "unit"), rows

    def field_table(self) -> Table:
        """The fields as text."""
        rows = [
            (each.name, *(map(_text, each.quantiles) if each.quantiles else "---"), each.units)
            for each in self.fields
        ]
        return ("field", "5 %", "median", "95 %", "unit"), rows

    def ratio_table(self) -> Table:
        """A text table of how the optimum moves with demand: the median, and 5 to 95 %."""
        rows = [
            (
                f"{count(low, 1)}-{count(high, 1)}",
                _range(params, "{:.2f}".format),
                _range(tokens, lambda x: count(x, 2)),
                _range(saving, "{:.0f}".format) + " %",
            )
            for (low, high), params, tokens, saving in self.ratios
        ]
        return (self.demand, "params ratio", "tokens ratio", "saving"), rows

    @property
    def note(self) -> str:
        """The number of scenarios behind the quantiles, where some are left out; else empty."""
        if self.summarized == self.scenarios:
            return ""
        return f"Of {self.scenarios:,} scenarios, {self.summarized:,} spread evenly:"

    def __repr__(self) -> str:
        parts = [_display.table(*table, title=title) for title, table in self._tables()]
        lines = [*([self.statuses.title] if self.statuses else []), *"\n".join(parts).splitlines()]
        more = [f"... and {len(lines) - LINES + 1:,} more lines"] if len(lines) > LINES else []
        return "\n".join([*lines[: LINES - 1 if more else LINES], *more])

    def _repr_html_(self) -> str:
        return "".join(_display.html(*table, title=title) for title, table in self._tables())

    def _tables(self) -> list[tuple[str, Table]]:
        titled = [
            (self.conditions, self.axis_table()),
            (self.note, self.field_table()),
            (RATIO_TITLE, self.ratio_table()),
        ]
        return [(title, table) for title, table in titled if table[1]]

    def to_dataframe(self) -> Any:
        """The quantiles of the fields as a pandas DataFrame; ImportError without pandas."""
        quantiles = np.array([each.quantiles or [np.nan] * 3 for each in self.fields])
        columns: dict[str, Any] = {"field": [each.name for each in self.fields]}
        for index, level in enumerate(LEVELS):
            columns[f"{level:g}"] = quantiles.reshape(-1, len(LEVELS))[:, index]
        return _display.dataframe({**columns, "units": [each.units for each in self.fields]})


RATIO_TITLE = "The cheapest plan over the Chinchilla plan of equal loss: median (5 to 95 %)"


def summarize(data: "Dataset") -> Summary:
    """The axes, outcomes and quantiles of a data set, and how the optimum moves with demand.

    Of more than 4 million scenarios some are read, spread evenly. Raises TypeError for what is no
    data set, such as a path.

    Examples:
        >>> space = js.Grid(x=js.linspace(0, 1, 5), y=js.linspace(0, 10, 3))
        >>> js.sweeping.summarize(js.sweep(lambda x, y: {"sum": x + y}, space))
        axis  values  from  to  unit
        ----------------------------
        x          5     0   1
        y          3     0  10
        field    5 %  median   95 %  unit
        ---------------------------------
        sum    0.175     5.5  10.82
    """
    check_data(data)
    some = thinned(data).load()
    demand = demand_axis(some) if has_ratios(some) else None
    return Summary(
        conditions=conditions_of(data),
        scenarios=math.prod(data.sizes.values()),
        summarized=math.prod(some.sizes.values()),
        axes=tuple(_axes(data)),
        statuses=_statuses(some[STATUS].values) if STATUS in some else None,
        fields=tuple(
            FieldSummary(name, _quantiles(some[name].values), unit_of(some[name]))
            for name in field_names(some)
        ),
        demand=demand or "",
        ratios=tuple(_ratios(some, demand)) if demand else (),
    )


def thinned(data: "Dataset") -> "Dataset":
    """At most MOST scenarios, spread evenly, from few chunks.

    The first axes are thinned first, because chunks run along the last. Any part of a sample
    is one.
    """
    for name in map(str, data.sizes):
        size, total = data.sizes[name], math.prod(data.sizes.values())
        if total <= MOST:
            break
        kept = max(1, MOST * size // total)
        if name == SAMPLE:
            data = data.isel({name: slice(0, kept)})
        else:
            positions = np.unique(np.linspace(0, size - 1, kept).round().astype(int))
            data = data.isel({name: positions})
    return data


def _axes(data: "Dataset") -> Iterator[AxisSummary]:
    for name, size in data.sizes.items():
        if name in data.coords:
            values: DataArray = data[name]
            first, last = values.values[[0, -1]].tolist()
            yield AxisSummary(str(name), size, first, last, unit_of(values))
        else:
            yield AxisSummary(str(name), size, None, None, "")


def _statuses(codes: np.ndarray) -> StatusCountsResult:
    found, counts = np.unique(codes, return_counts=True)
    known = {int(status): status.name for status in Status}
    names = [known.get(int(code), "not computed yet") for code in found]
    by_name = {name: int(n) for name, n in zip(names, counts, strict=True)}
    ok = sum(n for name, n in by_name.items() if name in Status.__members__ and Status[name].ok)
    return StatusCountsResult(codes.size, ok, codes.size - ok, by_name)


def _ratios(data: "Dataset", demand: str) -> Iterator[RatioSummary]:
    """One summary for each decade of demand that has a scenario."""
    powers = np.log10(data[demand].values)
    # The end of the axis, usually a round number, does not make a decade of its own.
    decades = np.minimum(np.floor(powers + 1e-9), np.ceil(powers.max() - 1e-9) - 1)
    for decade in np.unique(decades).tolist():
        inside = data.isel({demand: decades == decade})
        cost, params, tokens = (inside[name].values for name in RATIOS)
        yield RatioSummary(
            (10**decade, 10 ** (decade + 1)),
            *map(_quantiles, (params, tokens, 100 * (1 - cost))),
        )


def _quantiles(values: np.ndarray) -> Quantiles | None:
    finite = values[np.isfinite(values)].astype(float)
    if not finite.size:
        return None
    low, median, high = np.quantile(finite, LEVELS).tolist()
    return low, median, high


def _range(quantiles: Sequence[float] | None, write: Any) -> str:
    if quantiles is None:
        return "none"
    low, median, high = (write(x + 0.0) for x in quantiles)
    return f"{median} ({low} to {high})"


def _text(value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:.4g}" if value == 0 or 1e-3 <= abs(value) < 1e4 else count(value)
