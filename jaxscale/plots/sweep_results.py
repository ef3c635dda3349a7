"""The figure of a sweep: maps of ratios to the Chinchilla plan, or the fields that it kept."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxscale._labelled import (
    LOSS,
    RATIOS,
    check_data,
    conditions_of,
    demand_axis,
    field_names,
    has_ratios,
    label_of,
    long_name_of,
    unit_of,
)
from jaxscale._numerics.quantities import cents, count, short
from jaxscale.plots.fields import MOST_LINES, field_histograms, field_line, field_map
from jaxscale.plots.frame import INK, LINE, count_axis, dress, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from xarray import DataArray, Dataset

SIZE = (10.0, 3.5)  # inches

BELOW_ONE = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99)
ABOVE_ONE = (1.01, 1.1, 1.25, 1.5, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
EDGE = 0.07  # share of the diagonal in which a label would meet the frame
GAP = 0.04  # share of the diagonal between two labels, so that they do not touch
MODEL_SIZES = (1, 2, 5)  # of each decade, on the axis of model sizes


class Look(NamedTuple):
    """The style of one panel: colours from no change to the strongest."""

    levels: Sequence[float]
    colors: Sequence[str]


# Evenly darker from step to step, and light enough throughout for dark ink.
LOOKS = (
    Look(BELOW_ONE, ("#f7fcf9", "#d3ece0", "#a6d8c8", "#74bfb1", "#43a09b")),
    Look(BELOW_ONE, ("#fbfafd", "#e4e1f2", "#c8c3e4", "#aaa3d5", "#8b82c4")),
    Look(ABOVE_ONE, ("#fffbf5", "#fde6ca", "#fbca98", "#f2a66b", "#e08048")),
)


def ratio_panels(
    demand_tokens: ArrayLike,
    loss: ArrayLike,
    cost_ratio: ArrayLike,
    params_ratio: ArrayLike,
    tokens_ratio: ArrayLike,
    *,
    chinchilla_params: ArrayLike | None = None,
    title: str = "",
    subtitle: str = "",
    demand_label: str = "inference demand (tokens)",
    loss_label: str = "loss (nats per token)",
    panel_titles: Sequence[str] = ("total cost", "params", "training tokens"),
) -> "Figure":
    """Three maps of ratios to the Chinchilla plan, as in Figure 2 of Sardana et al. 2024.

    Each ratio has one row for each loss and one column for each demand. `chinchilla_params`,
    one for each loss, adds an axis with the model that has that loss. `subtitle` says, small
    under the title, what else the scenarios have in common.

    Scenarios that are NaN stay white. Raises ValueError for shapes that do not fit and for a
    demand of zero, ImportError without matplotlib.

    Examples:
        >>> from jaxscale import plots
        >>> served, loss = np.geomspace(1e10, 1e13, 5), np.linspace(1.9, 2.3, 4)
        >>> ones = np.ones((4, 5))
        >>> figure = plots.ratio_panels(served, loss, 0.8 * ones, 0.5 * ones, 2.0 * ones)
    """
    demand, losses = np.asarray(demand_tokens), np.asarray(loss)
    ratios = [np.asarray(ratio) for ratio in (cost_ratio, params_ratio, tokens_ratio)]
    for name, ratio in zip(("cost_ratio", "params_ratio", "tokens_ratio"), ratios, strict=True):
        _check_shape(name, ratio, (losses.size, demand.size))
    if not (demand > 0).all():
        raise ValueError("demand_tokens must be above zero: their axis is logarithmic")

    figure = titled(SIZE, title, subtitle)
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    for panel, ratio, name, look in zip(panels, ratios, panel_titles, LOOKS, strict=True):
        _draw_map(panel, demand, losses, ratio, look)
        dress(panel, name)
        count_axis(panel.xaxis)
    panels[0].set_ylabel(loss_label, fontsize=9, color=INK)
    panels[1].set_xlabel(demand_label, fontsize=9, color=INK)
    if chinchilla_params is not None:
        sizes = np.asarray(chinchilla_params)
        _check_shape("chinchilla_params", sizes, losses.shape)
        _add_model_axis(panels[2], losses, sizes)
    return figure


def _check_shape(name: str, array: Any, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, one row a loss; got {array.shape}")


def _draw_map(panel: "Axes", demand: Any, losses: Any, ratio: Any, look: Look) -> None:
    """Bands of colour between levels, with lines and labels at the levels."""
    from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap

    values = ratio[np.isfinite(ratio)]
    low, high = values.min(initial=np.inf), values.max(initial=-np.inf)
    inside = [level for level in look.levels if low < level < high]
    # The outermost bands end where the data end, or at no change.
    edges = sorted({min(low, 1.0) * 0.999, *inside, max(high, 1.0) * 1.001})
    falls = look.levels is BELOW_ONE
    colors = LinearSegmentedColormap.from_list("ratio", look.colors[:: -1 if falls else 1])
    norm = BoundaryNorm(edges, colors.N)
    panel.set_xscale("log")
    panel.contourf(demand, losses, ratio, edges, cmap=colors, norm=norm)
    if not inside:
        return
    lines = panel.contour(demand, losses, ratio, inside, colors=LINE, linewidths=0.5)
    panel.clabel(
        lines,
        fmt=lambda level: f"{level:g}\N{MULTIPLICATION SIGN}",
        fontsize=7.5,
        colors=INK,
        inline_spacing=2,
        manual=_diagonal_crossings(demand, losses, ratio, inside),
    )


def _diagonal_crossings(
    demand: Any, losses: Any, ratio: Any, levels: Sequence[float]
) -> list[tuple[float, float]]:
    """Points where levels meet the diagonal of the map; labels there do not overlap."""
    along = np.linspace(0, 1, 500)
    row = np.rint(along * (losses.size - 1)).astype(int)
    column = np.rint(along * (demand.size - 1)).astype(int)
    values = ratio[row, column]
    spots, taken = [], []
    for level in levels:
        found = np.flatnonzero(np.diff(values > level))
        if not found.size or not EDGE < along[found[0]] < 1 - EDGE:
            continue
        if all(abs(along[found[0]] - other) > GAP for other in taken):
            taken.append(along[found[0]])
            spots.append((float(demand[column[found[0]]]), float(losses[row[found[0]]])))
    return spots


def _add_model_axis(panel: "Axes", losses: Any, sizes: Any) -> None:
    """A second axis of y, with model sizes where the loss is theirs."""
    order = np.argsort(sizes)
    decades = np.arange(np.floor(np.log10(sizes.min())), np.ceil(np.log10(sizes.max())) + 1)
    ticks = np.array([digit * 10.0**decade for decade in decades for digit in MODEL_SIZES])
    ticks = ticks[(ticks >= sizes.min()) & (ticks <= sizes.max())]
    axis = panel.secondary_yaxis("right")
    axis.set_yticks(
        np.interp(np.log(ticks), np.log(sizes[order]), losses[order]), map(short, ticks)
    )
    axis.set_ylabel("params of the Chinchilla plan", fontsize=9, color=INK)
    axis.tick_params(labelsize=8, colors=INK, length=3, width=0.6)


FAVOURITES = ("total_cost", "params", "cost_ratio")  # drawn where one field must do
SPREADS = 6  # fields of a sample that are drawn


def sweep_figure(data: "Dataset") -> "Figure | None":
    """The figure that suits the results of a sweep, a labelled data set.

    Ratios to the Chinchilla plan over demand and loss where there are such, else one field over two
    axes or one. Axes that a figure has no room for are taken at their middle, as its title says; of
    a sample, the spread of each field is drawn. None for a single scenario, and for no field
    of numbers. Raises TypeError for what is no data set, ImportError without matplotlib.

    Examples:
        >>> from jaxscale import plots
        >>> space = js.Grid(x=js.linspace(0, 1, 5), y=js.linspace(0, 10, 3))
        >>> figure = plots.sweep_figure(js.sweep(lambda x, y: {"sum": x + y}, space))
    """
    check_data(data)
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
    x, y = sorted(
        longest, key=lambda name: name == LOSS
    )  # loss on the vertical axis, by convention
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
        shown, units = cents(value), f"an {units[8:]}"
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
