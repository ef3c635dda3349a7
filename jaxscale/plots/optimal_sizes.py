"""Compute-optimal sizes against the training budget: a fitted law beside published ones."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from jaxscale.plots.fields import DASHES, LINES
from jaxscale.plots.frame import (
    INK,
    LINE,
    count_axis,
    dress,
    legend_below,
    same_length,
    scientific,
    titled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (10.0, 3.7)  # inches
FEWEST_DECADES = 0.7  # of the upward axis
Curves = Mapping[str, ArrayLike]  # by the title of the panel


def optimal_size_panels(
    flops: ArrayLike,
    fitted: Curves,
    *,
    bands: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    published: Mapping[str, Curves] | None = None,
    runs_flops: tuple[float, float],
    name: str = "fit",
    title: str = "",
    subtitle: str = "",
) -> "Figure":
    """A panel for each of the curves, by its title: params, tokens and their ratio, say.

    `bands` are ends of intervals, `published` holds other laws' curves by name, and the budgets
    of the runs are shaded. Raises ValueError for arrays that do not fit, ImportError without
    matplotlib.

    Examples:
        >>> from jaxscale import plots
        >>> flops = np.geomspace(1e20, 1e24, 5)
        >>> best = js.allocations.published("hoffmann2022_approach2")
        >>> curves = {"params": best.params(flops), "training tokens": best.tokens(flops)}
        >>> figure = plots.optimal_size_panels(flops, curves, runs_flops=(1e19, 1e22))
    """
    figure = titled(SIZE, title, subtitle)
    panels = figure.subplots(1, len(fitted), squeeze=False)[0]
    for panel, (label, curve) in zip(panels, fitted.items(), strict=True):
        others = {law: curves[label] for law, curves in (published or {}).items()}
        band = (bands or {}).get(label)
        dress(panel, label)
        panel.set(xscale="log", yscale="log")
        panel.axvspan(*runs_flops, color=LINE, alpha=0.1, linewidth=0, label="budgets of the runs")
        _draw_curves(panel, flops, {name: curve, **others}, band)
        _frame(panel, flops)
    middle = panels[len(panels) // 2]
    middle.set_xlabel("training budget (FLOPs)", fontsize=9, color=INK)
    legend_below(figure, panels[0])
    return figure


def _draw_curves(panel: "Axes", flops: Any, curves: Mapping[str, Any], band: Any) -> None:
    for number, (name, curve) in enumerate(curves.items()):
        x, y = same_length(flops=flops, curve=curve)
        look = {"color": LINES[number % len(LINES)], "linestyle": DASHES[number % len(DASHES)]}
        # Where laws agree, the thin dashes of others show on the thick line of the fit.
        (line,) = panel.plot(x, y, linewidth=1.2 if number else 2.4, zorder=3 + number)
        line.set(label=name, **look)
        if number == 0 and band is not None:
            low, high = (same_length(flops=flops, end=end)[1] for end in band)
            panel.fill_between(
                x, low, high, color=LINES[0], alpha=0.25, linewidth=0, label="95 % interval"
            )


def _frame(panel: "Axes", flops: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = np.min(flops), np.max(flops)
    panel.set_xlim(low, high)
    decades = max(1, math.ceil(math.log10(high / low) / 5))
    panel.xaxis.set_major_locator(LogLocator(base=10.0**decades, numticks=8))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: scientific(x)))
    panel.xaxis.set_minor_formatter(NullFormatter())
    bottom, top = panel.get_ylim()
    short_by = FEWEST_DECADES - math.log10(top / bottom)
    if short_by > 0:  # a nearly level line would wobble over an axis that fits it closely
        panel.set_ylim(bottom / 10 ** (short_by / 2), top * 10 ** (short_by / 2))
        bottom, top = panel.get_ylim()
    count_axis(panel.yaxis, math.log10(top / bottom))
    panel.grid(color=LINE, alpha=0.15, linewidth=0.6)
