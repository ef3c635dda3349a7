"""Elements of all figures: titles, panels, axes of counts, legends, colours."""

import math
import re
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxscale._numerics.quantities import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150  # dots per inch
HEADING, SUBTITLE_LINE = 0.34, 0.15  # inches: down to the subtitle, and each line of it
SUBTITLE_CHARACTERS = 15  # of an inch
LEGEND_MARK = 6  # characters that the mark before a label is as wide as
INK, LINE, FRAME = "#22262b", "#474d55", "#6a7079"
# Okabe and Ito's colours, distinct to colour-blind readers; in print the dashes are distinct.
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
DASHES = ("-", "--", "-.", ":", "-", "--", "-.")
FILL = "#5b8db8"
SHADE = {"color": LINES[4], "alpha": 0.18, "linewidth": 0}  # of a fitted range
DASHED = (0, (2.2, 1.2))  # outside it
RING = {"marker": "o", "markersize": 6, "markerfacecolor": "white", "linestyle": "none"}


def titled(size: tuple[float, float], title: str, subtitle: str) -> "Figure":
    """An empty figure with a title, and a small subtitle that says what it holds for."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    from jaxscale.plots._figure import ShownFigure

    # Words between two semicolons stay on one line.
    together = re.sub("(?<!;) ", "\N{NO-BREAK SPACE}", subtitle)
    lines = textwrap.wrap(together, width=int(size[0] * SUBTITLE_CHARACTERS))
    heading = (HEADING + SUBTITLE_LINE * len(lines)) if lines else 0.0  # inches
    height = size[1] + (heading - HEADING if lines else 0.0)
    layout = ConstrainedLayoutEngine(wspace=0.06, rect=(0, 0, 1, 1 - heading / height))
    figure = ShownFigure(figsize=(size[0], height), dpi=DPI, layout=layout)
    if not lines:
        figure.suptitle(title, fontsize=11, color=INK, parse_math=False)
        return figure
    # The layout makes room for one text alone; both have positions of their own.
    # Two dollar signs are two prices here, not a formula.
    plain = {"va": "top", "parse_math": False}
    figure.suptitle(title, y=1 - 0.1 / height, fontsize=11, color=INK, **plain)
    below = 1 - HEADING / height
    figure.text(0.5, below, "\n".join(lines), ha="center", fontsize=8, color=LINE, **plain)
    return figure


def dress(panel: "Axes", name: str) -> None:
    """Give a panel its title, small ticks and a quiet frame."""
    panel.set_title(name, fontsize=10, fontweight="bold", color=INK)
    panel.tick_params(labelsize=8, colors=INK, length=3, width=0.6)
    panel.tick_params(which="minor", length=0)
    for spine in panel.spines.values():
        spine.set(linewidth=0.6, color=FRAME)


def label(panel: "Axes", x: str = "", y: str = "") -> None:
    """Name the axes of a panel."""
    panel.set_xlabel(x, fontsize=9, color=INK)
    panel.set_ylabel(y, fontsize=9, color=INK)


def grid(panel: "Axes", **options: Any) -> None:
    """Faint lines at the ticks."""
    panel.grid(color=FRAME, alpha=0.12, linewidth=0.5, **options)


def line_of_budget(panel: "Axes", x: Any, y: Any, inside: Any, color: Any) -> None:
    """A line that is solid where `inside` holds and dashed elsewhere."""
    look = {"color": color, "linewidth": 1.9, "zorder": 3}
    panel.plot(x, y, linestyle=DASHED, **look)
    panel.plot(x, np.where(inside, y, np.nan), **look)


def same_length(**columns: Any) -> tuple[np.ndarray, ...]:
    """The columns as float arrays of one dimension; ValueError where lengths differ."""
    arrays = {name: np.asarray(column, float) for name, column in columns.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    first = next(iter(shapes.values()))
    if len(first) != 1 or not first[0] or len(set(shapes.values())) > 1:
        given = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"columns must have one dimension and one length, at least 1; got {given}")
    return tuple(arrays.values())


def color_bar(figure: "Figure", colors: Any, panels: Any, label: str) -> Any:
    """A slim colour bar beside the panels."""
    bar = figure.colorbar(colors, ax=panels, aspect=35, pad=0.02)
    bar.set_label(label, fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=8, colors=INK, length=3, width=0.6)
    bar.ax.tick_params(which="minor", length=0)
    bar.outline.set_visible(False)
    return bar


def legend_below(figure: "Figure", panel: "Axes") -> None:
    """The legend of a panel under the figure, where it hides no data: in one row if that fits."""
    handles, labels = panel.get_legend_handles_labels()
    room = figure.get_figwidth() * SUBTITLE_CHARACTERS
    widths = [len(label) + LEGEND_MARK for label in labels]
    fits = sum(widths) <= room
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=len(labels) if fits else max(1, int(room / max(widths))),
        fontsize=8,
        frameon=False,
        labelcolor=INK,
    )


def count_axis(axis: Any, decades: float = math.inf) -> None:
    """Write the ticks of a logarithmic axis as counts; more of them where it spans few decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    digits = (1, 1.5, 2, 3, 4, 5, 7) if decades < 1 else (1, 2, 5) if decades < 3 else (1,)
    axis.set_major_locator(LogLocator(subs=digits, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda x, _: short(x)))
    axis.set_minor_formatter(NullFormatter())


def write(
    panel: "Axes",
    text: str,
    at: tuple[Any, Any],
    offset: tuple[float, float],
    *,
    color: Any,
    size: float = 8.0,
    bold: bool = False,
    rim: bool = False,
    **options: Any,
) -> None:
    """A text beside a point of the panel, at an offset in points; `rim` draws a white one."""
    look = {"fontsize": size, "color": color, "fontweight": "bold" if bold else "normal"}
    over = {"path_effects": halo(), "zorder": 6} if rim else {}
    panel.annotate(text, at, offset, textcoords="offset points", **look, **over, **options)


def halo() -> list[Any]:
    """Path effects that give a text a white rim, readable on lines and colours."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2, foreground="white")]


def budget_color(number: int, count: int) -> Any:
    """The colour of one of `count` budgets in rising order, distinct to colour-blind readers."""
    from matplotlib import colormaps

    # The pale end of the colour map vanishes on white.
    return colormaps["viridis"](0.76 * number / max(1, count - 1))
