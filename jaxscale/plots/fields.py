"""Figures of any field of a sweep: a map over two axes, a line along one, or histograms.

Scales are logarithmic where positive numbers span two orders of magnitude. The colour map,
cividis, looks the same to colour-blind readers and fades evenly in grey.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from jaxscale._numerics.quantities import short
from jaxscale.plots.frame import DASHES, FILL, INK, LINE, LINES, count_axis, dress, label, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SPAN = 100  # from here on a scale is logarithmic
MAP_SIZE, LINE_SIZE, SPREAD_SIZE = (6.5, 4.4), (6.0, 3.6), (3.2, 2.4)  # inches; the last, each
BINS = 60
MOST_LINES = len(LINES)
MOST_LEVELS = 12  # lines of a map


def field_map(
    x: ArrayLike,
    y: ArrayLike,
    values: ArrayLike,
    *,
    title: str = "",
    subtitle: str = "",
    x_label: str = "",
    y_label: str = "",
) -> "Figure":
    """One field over two axes: `values` has one row for each y and one column for each x.

    NaN stays white. Raises ValueError for a shape that does not fit, ImportError without
    matplotlib.

    Examples:
        >>> from jaxscale import plots
        >>> figure = plots.field_map(np.arange(3), np.arange(2), np.ones((2, 3)))
    """
    across, up, field = np.asarray(x), np.asarray(y), np.asarray(values)
    if field.shape != (up.size, across.size):
        raise ValueError(f"values must have shape {(up.size, across.size)}; got {field.shape}")
    figure = titled(MAP_SIZE, title, subtitle)
    panel = figure.subplots()
    dress(panel, "")
    _scale(panel, "x", across)
    _scale(panel, "y", up)
    label(panel, x_label, y_label)
    levels = _levels(field[np.isfinite(field)])
    if levels.size > 1:
        _draw_levels(figure, panel, across, up, field, levels)
    else:
        panel.set(xlim=(across.min(), across.max()), ylim=(up.min(), up.max()))
        _say_if_flat(panel, field)
    return figure


def field_line(
    x: ArrayLike,
    values: ArrayLike,
    *,
    names: ArrayLike = (),
    title: str = "",
    subtitle: str = "",
    x_label: str = "",
) -> "Figure":
    """One field along one axis of numbers, or over names; NaN leaves a gap.

    With `names` of several lines, at most MOST_LINES, `values` has one row for each.

    Examples:
        >>> from jaxscale import plots
        >>> figure = plots.field_line(np.arange(3), np.arange(3) ** 2, title="squares")
        >>> figure.savefig("squares.png")
    """
    across, field = np.asarray(x), np.atleast_2d(np.asarray(values, float))
    figure = titled(LINE_SIZE, title, subtitle)
    panel = figure.subplots()
    dress(panel, "")
    by_name = across.dtype.kind not in "iuf"
    colors = LINES if len(field) > 1 else (FILL,)
    positions = np.arange(across.size) if by_name else across
    for row, color, dashes in zip(field, colors, DASHES, strict=False):
        marker, line = ("o", "") if by_name else ("", dashes)
        panel.plot(positions, row, color=color, marker=marker, linestyle=line)
    if np.size(names):
        panel.legend(
            list(panel.lines),
            list(map(str, np.asarray(names))),
            fontsize=8,
            frameon=False,
            labelcolor=INK,
        )
    panel.grid(color=LINE, alpha=0.15, linewidth=0.6)
    if by_name:
        panel.set_xticks(positions, list(map(str, across)))
        panel.margins(x=0.5 / across.size)
    else:
        _scale(panel, "x", across)
    _scale(panel, "y", field)
    label(panel, x_label)
    if not np.isfinite(field).any():
        panel.set(xlim=(positions.min(), positions.max()), yticks=[])
        _say_if_flat(panel, field)
    return figure


def field_histograms(
    fields: Mapping[str, ArrayLike], *, title: str = "", subtitle: str = ""
) -> "Figure":
    """Histograms of fields: one panel for each, three to a row.

    Examples:
        >>> from jaxscale import plots
        >>> figure = plots.field_histograms({"params": np.geomspace(1e8, 1e10, 50)})
    """
    columns = min(3, len(fields))
    rows = math.ceil(len(fields) / columns)
    figure = titled((SPREAD_SIZE[0] * columns, SPREAD_SIZE[1] * rows + 0.4), title, subtitle)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, (name, given) in zip(panels, fields.items(), strict=False):
        _draw_spread(panel, name, np.asarray(given, float))
    for panel in panels[len(fields) :]:
        panel.set_visible(False)
    panels[0].set_ylabel("scenarios", fontsize=9, color=INK)
    return figure


def _draw_spread(panel: "Axes", name: str, values: np.ndarray) -> None:
    values = values[np.isfinite(values)]
    dress(panel, "")
    panel.set_xlabel(name, fontsize=8.5, color=INK)
    if not values.size:
        _say_if_flat(panel, values)
        return
    low, high = values.min(), values.max()
    bins = max(5, min(BINS, math.isqrt(values.size)))
    if _is_logarithmic(values):
        panel.hist(values, np.geomspace(low, high, bins + 1), color=FILL)
    else:
        # A single value has bins of its own size: rounding leaves no room for narrower ones.
        around = (low, high) if high > low else (low - (abs(low) or 1), high + (abs(high) or 1))
        panel.hist(values, bins, range=around, color=FILL)
        panel.locator_params(axis="x", nbins=5)
    _scale(panel, "x", values)


def _draw_levels(
    figure: "Figure", panel: "Axes", x: Any, y: Any, field: Any, levels: np.ndarray
) -> None:
    from matplotlib.colors import BoundaryNorm
    from matplotlib.ticker import FuncFormatter

    colors = BoundaryNorm(levels, 256)
    bands = panel.contourf(x, y, field, levels, cmap="cividis", norm=colors)
    panel.contour(x, y, field, levels[1:-1], colors=LINE, linewidths=0.4)
    bar = figure.colorbar(
        bands, ax=panel, ticks=levels, format=FuncFormatter(lambda value, _: short(value))
    )
    bar.ax.tick_params(labelsize=8, colors=INK, length=0)
    bar.outline.set_visible(False)


def _say_if_flat(panel: "Axes", values: np.ndarray) -> None:
    """Say why a panel is empty: no number to draw, or only one."""
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() < finite.max():
        return
    message = f"{short(float(finite[0]))} everywhere" if finite.size else "no scenario has a number"
    panel.text(0.5, 0.5, message, transform=panel.transAxes, ha="center", fontsize=9, color=LINE)


def _levels(values: np.ndarray) -> np.ndarray:
    """Round numbers from below the smallest value to above the largest."""
    from matplotlib.ticker import MaxNLocator

    if not values.size or values.min() == values.max():
        return np.empty(0)
    low, high = values.min(), values.max()
    if not _is_logarithmic(values):
        return np.asarray(MaxNLocator(MOST_LEVELS).tick_values(low, high))
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for digits in ((1, 2, 5), (1,)):
        levels = np.array(
            [digit * 10.0**power for power in range(first, last + 1) for digit in digits]
        )
        below, above = np.searchsorted(levels, low, "right") - 1, np.searchsorted(levels, high)
        levels = levels[max(0, below) : above + 1]
        if levels.size <= MOST_LEVELS + 2:
            return levels
    return levels[:: math.ceil(levels.size / MOST_LEVELS)]


def _is_logarithmic(values: np.ndarray) -> bool:
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0 and finite.max() >= SPAN * finite.min())


def _scale(panel: "Axes", which: str, values: np.ndarray) -> None:
    axis = panel.xaxis if which == "x" else panel.yaxis
    if _is_logarithmic(values):
        panel.set(**{f"{which}scale": "log"})
        finite = values[np.isfinite(values)]
        count_axis(axis, math.log10(finite.max() / finite.min()))
        return
    from matplotlib.ticker import FuncFormatter

    if np.abs(values[np.isfinite(values)]).max(initial=0) >= 1000:
        axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
