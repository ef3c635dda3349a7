"""A data set summed up on the terminal: its axes, its fields, and what serving changes."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from jaxscale.cli import tables
from jaxscale.cli.pictures import RATIOS, conditions_in, demand_axis, field_names, unit_of
from jaxscale.cli.quantities import count
from jaxscale.cli.reductions import show_statuses
from jaxscale.cli.vocabulary import STATUS
from jaxscale.status import Status

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

MOST = 4_000_000  # scenarios that are held at once; of more, some are taken
SAMPLE = "scenario"  # the axis of a sample


def show_summary(data: "Dataset") -> None:
    """Print what a data set holds: as a table the axes, the fields and the ratios by demand."""
    tables.note(conditions_in(data), style="dim")
    tables.print_columns(("axis", "values", "from", "to", "unit"), map(_axis_row, _axes(data)))
    some = thinned(data).load()
    size, taken = (math.prod(each.sizes.values()) for each in (data, some))
    if taken < size:
        tables.note(f"Of {size:,} scenarios, {taken:,} spread evenly:", style="bold")
    if STATUS in some:
        _show_statuses(some[STATUS].values)
    rows = [_field_row(some[name]) for name in field_names(some)]
    if rows:
        tables.print_columns(("field", "5 %", "median", "95 %", "unit"), rows)
    _show_ratios(some)


def thinned(data: "Dataset", most: int = MOST) -> "Dataset":
    """At most so many scenarios, spread evenly, of which few chunks need be read.

    The first axes are thinned first, because chunks run along the last. Any part of a sample
    is one.
    """
    for name in map(str, data.sizes):
        size, total = data.sizes[name], math.prod(data.sizes.values())
        if total <= most:
            break
        kept = max(1, most * size // total)
        if name == SAMPLE:
            data = data.isel({name: slice(0, kept)})
        else:
            places = np.unique(np.linspace(0, size - 1, kept).round().astype(int))
            data = data.isel({name: places})
    return data


def _axes(data: "Dataset") -> "Iterator[tuple[str, int, DataArray | None]]":
    for name, size in data.sizes.items():
        yield str(name), size, data[name] if name in data.coords else None


def _axis_row(axis: "tuple[str, int, DataArray | None]") -> tuple[str, ...]:
    name, size, values = axis
    if values is None:
        return name, f"{size:,}", "", "", ""
    first, last = values.values[[0, -1]].tolist()
    return name, f"{size:,}", _written(first), _written(last), unit_of(values)


def _show_statuses(codes: np.ndarray) -> None:
    found, counts = np.unique(codes, return_counts=True)
    known = {int(each): Status(each).name for each in Status}
    by_name = {
        known.get(int(code), "not computed yet"): int(n)
        for code, n in zip(found, counts, strict=True)
    }
    ok = sum(n for name, n in by_name.items() if name in known.values() and Status[name].ok)
    show_statuses(codes.size, by_name, ok)


def _field_row(array: "DataArray") -> tuple[str, ...]:
    values = array.values[np.isfinite(array.values)].astype(float)
    quantiles = np.quantile(values, (0.05, 0.5, 0.95)).tolist() if values.size else ["-"] * 3
    return str(array.name), *map(_written, quantiles), unit_of(array)


def _show_ratios(data: "Dataset") -> None:
    """Print how the optimum moves with demand: the median, and where 90 % of scenarios lie."""
    demand = demand_axis(data)
    if not demand or not all(name in data for name in RATIOS):
        return
    tables.note(
        "The cheapest plan over the Chinchilla plan of equal loss: median (5 to 95 %)", style="bold"
    )
    header = (demand, "params ratio", "tokens ratio", "saving")
    tables.print_columns(header, list(_ratio_rows(data, demand)))


def _ratio_rows(data: "Dataset", demand: str) -> Iterator[tuple[str, ...]]:
    """One row for each decade of demand that has a scenario."""
    powers = np.log10(data[demand].values)
    # The end of the axis, a round number as a rule, is no decade of its own.
    decades = np.minimum(np.floor(powers + 1e-9), np.ceil(powers.max() - 1e-9) - 1)
    for decade in np.unique(decades):
        inside = data.isel({demand: decades == decade})
        saving = 100 * (1 - inside["cost_ratio"].values)
        yield (
            f"{count(10**decade, 1)}-{count(10 ** (decade + 1), 1)}",
            _range(inside["params_ratio"].values, "{:.2f}".format),
            _range(inside["tokens_ratio"].values, lambda x: count(x, 2)),
            _range(saving, "{:.0f}".format) + " %",
        )


def _range(values, write) -> str:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return "none"
    low, median, high = (write(float(x) + 0.0) for x in np.percentile(finite, (5, 50, 95)))
    return f"{median} ({low} to {high})"


def _written(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.4g}" if value == 0 or 1e-3 <= abs(value) < 1e4 else count(value)
