"""The figure that suits a sweep, at the middle of the axes that it has no room for."""

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxscale._labelled import (
    LOSS,
    RATIOS,
    conditions_of,
    demand_axis,
    field_names,
    has_ratios,
    label_of,
    long_name_of,
    unit_of,
)
from jaxscale._numerics.quantities import count
from jaxscale.plots.fields import MOST_LINES, field_histograms, field_line, field_map
from jaxscale.plots.ratios import ratio_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from xarray import DataArray, Dataset

FAVOURITES = ("total_cost", "params", "cost_ratio")  # drawn where one field must do
SPREADS = 6  # fields of a sample that are drawn


def sweep_figure(data: "Dataset") -> "Figure | None":
    """The figure that suits the results of a sweep, a labelled data set.

    Ratios to the Chinchilla plan over demand and loss where there are such, else one field over two
    axes or one. Axes that a figure has no room for are taken at their middle, as its title says; of
    a sample, the spread of each field is drawn. None for a single scenario, and for no field
    of numbers.

    Examples:
        >>> from jaxscale import plots
        >>> space = js.Grid(x=js.linspace(0, 1, 5), y=js.linspace(0, 10, 3))
        >>> figure = plots.sweep_figure(js.sweep(lambda x, y: {"sum": x + y}, space))
    """
    demand = demand_axis(data)
    if demand and LOSS in data.dims and has_ratios(data):
        return _ratios(data, demand)
    fields = field_names(data)
    if not fields or max(data.sizes.values()) == 1:
        return None
    field = next(name for name in (*FAVOURITES, *fields) if name in fields)
    axes, catalogues = _axes(data, "iuf"), _axes(data, "U")
    if len(axes) > 1:
        return _map(data, field, axes)
    if axes or catalogues:
        return _line(data, field, *[*axes, *catalogues][:2])
    return _spreads(data)


def _ratios(data: "Dataset", demand: str) -> "Figure":
    here, where = _middle(data, (LOSS, demand))
    sizes = None
    if "params" in here:
        # The Chinchilla plan has no demand: any column gives its size.
        sizes = _first_numbers((here["params"] / here["params_ratio"]).transpose(LOSS, demand))
    known = sizes is not None and np.isfinite(sizes).all()
    units = unit_of(data["total_cost"]) if "total_cost" in data else ""
    currency = f"costs in {units}" if units else "costs as given"
    return ratio_panels(
        here[demand].values,
        here[LOSS].values,
        *(here[name].transpose(LOSS, demand).values for name in RATIOS),
        chinchilla_params=sizes if known else None,
        title=f"The cheapest plan over the Chinchilla plan of equal loss, {currency}",
        subtitle=_subtitle(data, where),
        demand_label=label_of(data[demand]),
    )


def _map(data: "Dataset", field: str, axes: list[str]) -> "Figure":
    longest = sorted(axes, key=lambda name: -data.sizes[name])[:2]
    x, y = sorted(longest, key=lambda name: name == LOSS)  # loss upwards, as is the custom
    here, where = _middle(data, (x, y))
    return field_map(
        here[x].values,
        here[y].values,
        here[field].transpose(y, x).values,
        title=label_of(data[field]),
        subtitle=_subtitle(data, where),
        x_label=label_of(data[x]),
        y_label=label_of(data[y]),
    )


def _line(data: "Dataset", field: str, axis: str, each: str | None = None) -> "Figure":
    """A field along an axis, a line for each entry of a catalogue unless these are many."""
    lines = each if each and data.sizes[each] <= MOST_LINES else None
    kept = (axis,) if lines is None else (axis, lines)
    here, where = _middle(data, kept)
    return field_line(
        here[axis].values,
        here[field].transpose(*reversed(kept)).values,
        names=() if lines is None else here[lines].values,
        title=label_of(data[field]),
        subtitle=_subtitle(data, where),
        x_label=label_of(data[axis]),
    )


def _spreads(data: "Dataset") -> "Figure":
    names = field_names(data)[:SPREADS]
    return field_histograms(
        {label_of(data[name]): data[name].values.ravel() for name in names},
        title="How the fields spread over all scenarios",
        subtitle=_subtitle(data, ""),
    )


def _middle(data: "Dataset", kept: tuple[str, ...]) -> tuple["Dataset", str]:
    """The data set along the axes kept, loaded, and in words where on the others."""
    others = {str(name): size // 2 for name, size in data.sizes.items() if name not in kept}
    here = data.isel(others).load()
    return here, "; ".join(_position(here[name]) for name in others if name in here.coords)


def _position(coordinate: "DataArray") -> str:
    value = coordinate.values.item()
    if isinstance(value, str):
        return f"{coordinate.name} {value}"
    shown = f"{value:.4g}" if value == 0 or 1e-3 <= abs(value) < 1e4 else count(value)
    units = unit_of(coordinate)
    if units.startswith("dollars/"):
        shown, units = f"${value:.2f}", f"an {units[8:]}"
    return f"{long_name_of(coordinate)} {shown}{units and f' {units}'}"


def _subtitle(data: "Dataset", where: str) -> str:
    return "; ".join(filter(None, (conditions_of(data), where)))


def _axes(data: "Dataset", kinds: str) -> list[str]:
    """Axes longer than one value whose coordinates are of these kinds."""
    return [
        str(name)
        for name, size in data.sizes.items()
        if size > 1 and name in data.coords and _kind(data[name]) in kinds
    ]


def _kind(array: "DataArray") -> str:
    """NumPy's letter for a type of numbers; "U" for names, however they are kept."""
    return "U" if array.dtype.kind in "OTSU" else array.dtype.kind


def _first_numbers(sizes: "DataArray") -> Any:
    """The first finite number of each row."""
    values = sizes.values
    first = np.isfinite(values).argmax(axis=1)
    return np.take_along_axis(values, first[:, None], axis=1)[:, 0]
