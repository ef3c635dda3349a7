"""How corrections to one fit move the best size: params against the budget, and the exponents."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxscale.plots.frame import (
    FRAME,
    INK,
    LINE,
    budget_color,
    count_axis,
    dress,
    halo,
    legend_below,
    same_length,
    scientific,
    short,
    titled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (11.6, 4.9)  # inches
WIDTHS = (1.2, 1.0)  # of the panels, one against the other
KNOWN = "#56b4e9"  # of Okabe and Ito
SHADE = {"color": KNOWN, "alpha": 0.18, "linewidth": 0}
DASHES = (0, (2.2, 1.2))
MARK = {"marker": "o", "markersize": 6, "markerfacecolor": "white", "linestyle": "none"}
APART = 0.05  # of the panel's height, from one text to the next
ROOM = 0.12  # of the range of exponents, left free on each side
FIRST_ROW = -1.2  # of the panel of exponents: above it there is room for names of papers
DIGITS = 2  # of params written out: more would be lost in the exponents' own rounding
BAR = {"linewidth": 5, "alpha": 0.35, "solid_capstyle": "butt"}


class ChainStep(NamedTuple):
    """The fit after one more correction."""

    label: str  # what the correction is
    params: Any  # best params at each of the flops
    exponent: float  # of compute
    interval: tuple[float, float]  # that the exponent lies in


def allocation_chain(
    flops: ArrayLike,
    steps: Sequence[ChainStep],
    *,
    fitted: tuple[float, float],
    known: Mapping[str, float] | None = None,
    level: float = 0.95,
    title: str = "",
    subtitle: str = "",
) -> "Figure":
    """Best params over budgets in FLOPs, a line a step; beside it each step's exponent.

    Lines are dashed outside the `fitted` budgets, and the params at the last budget are written
    out. `level` is that of the intervals, and `known` holds exponents of other papers by name.
    Raises ValueError for arrays that do not fit, ImportError without matplotlib.

    Examples:
        >>> from jaxscale import plots
        >>> flops = np.geomspace(1e18, 1e24, 10)
        >>> before, after = 0.02 * flops**0.6, 0.5 * flops**0.5
        >>> steps = [
        ...     plots.ChainStep("before", before, 0.6, (0.59, 0.61)),
        ...     plots.ChainStep("after", after, 0.5, (0.49, 0.51)),
        ... ]
        >>> figure = plots.allocation_chain(flops, steps, fitted=(1e18, 1e20))
    """
    if not steps:
        raise ValueError("steps must hold at least one")
    budgets, *sizes = same_length(flops=flops, **{each.label: each.params for each in steps})
    figure = titled(SIZE, title, subtitle)
    left, right = figure.subplots(1, 2, width_ratios=WIDTHS)
    _draw_sizes(left, budgets, sizes, fitted)
    _name_ends(left, budgets, sizes, [step.label for step in steps])
    _draw_exponents(right, steps, known or {})
    _explain(left, fitted, level)
    legend_below(figure, left)
    return figure


def _draw_sizes(panel: "Axes", budgets: Any, sizes: Any, fitted: tuple[float, float]) -> None:
    dress(panel, "best params")
    panel.set(xscale="log", yscale="log")
    panel.axvspan(*fitted, **SHADE, zorder=0)
    inside = (budgets >= fitted[0]) & (budgets <= fitted[1])
    for row, params in enumerate(sizes):
        look = {"color": budget_color(row, len(sizes)), "linewidth": 1.9, "zorder": 3}
        panel.plot(budgets, params, linestyle=DASHES, **look)
        panel.plot(budgets, np.where(inside, params, np.nan), **look)
    panel.set_xlim(budgets[0], budgets[-1])
    panel.set_xlabel("training budget (FLOPs)", fontsize=9, color=INK)
    _name_budgets(panel.xaxis)
    count_axis(panel.yaxis, float(np.ptp(np.log10(panel.get_ylim()))))
    panel.grid(color=FRAME, alpha=0.12, linewidth=0.5)


def _name_budgets(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(base=100.0, numticks=10))
    axis.set_major_formatter(FuncFormatter(lambda x, _: scientific(x)))
    axis.set_minor_formatter(NullFormatter())


def _name_ends(panel: "Axes", budgets: Any, sizes: Any, labels: Sequence[str]) -> None:
    """The params of each step at the last budget, outside the panel and apart from each other."""
    beside = {
        "xycoords": "axes fraction",
        "textcoords": "offset points",
        "va": "center",
        "fontsize": 8,
    }
    low, high = np.log(panel.get_ylim())
    ends = np.array([params[-1] for params in sizes])
    heights = _apart((np.log(ends) - low) / (high - low))
    for row, (size, height) in enumerate(zip(ends, heights, strict=True)):
        color = budget_color(row, len(sizes))
        look = {"markeredgecolor": color, "markeredgewidth": 1.6, "clip_on": False}
        panel.plot(budgets[-1], size, **MARK, **look, zorder=5)
        text = short(float(f"{size:.{DIGITS}g}"))
        bold = {"color": color, "fontweight": "bold", **beside}
        panel.annotate(text, (1, height), (9, 0), **bold)
        panel.annotate(labels[row], (1, height), (38, 0), color=color, **beside)
    heading = f"at {budgets[-1]:.3g} FLOPs".replace("e+", "e")
    panel.annotate(heading, (1, max(heights) + 1.4 * APART), (9, 0), color=LINE, **beside)


def _apart(heights: np.ndarray) -> np.ndarray:
    """The heights, moved until none is nearer to the next than texts can stand."""
    order = np.argsort(heights)
    steps = APART * np.arange(heights.size)
    # Rising heights that are never nearer than APART, half pushed up and half pushed down.
    free = heights[order] - steps
    up, down = np.maximum.accumulate(free), np.minimum.accumulate(free[::-1])[::-1]
    moved = np.empty_like(heights)
    moved[order] = (up + down) / 2 + steps
    return moved


def _draw_exponents(panel: "Axes", steps: Any, known: Mapping[str, float]) -> None:
    dress(panel, "exponent of compute")
    values = [x for step in steps for x in (*step.interval, step.exponent)] + [*known.values()]
    low, high = min(values), max(values)
    room = ROOM * ((high - low) or abs(high) or 1)
    panel.set(xlim=(low - room, high + room), ylim=(len(steps) - 0.6, FIRST_ROW), yticks=[])
    for row, step in enumerate(steps):
        color = budget_color(row, len(steps))
        panel.plot(step.interval, (row, row), color=color, **BAR, zorder=3)
        panel.plot(step.exponent, row, "o", color=color, markersize=6, zorder=4)
        _name_row(panel, row, step, color, leftward=step.exponent > (low + high) / 2)
    for number, (name, value) in enumerate(known.items()):
        panel.axvline(value, color=LINE, linewidth=0.9, linestyle=":", zorder=1)
        leftward = value > (low + high) / 2
        panel.annotate(
            f"{name}: {value:.2f}",
            (value, FIRST_ROW + 0.1 + 0.25 * number),
            (-4 if leftward else 4, 0),
            textcoords="offset points",
            ha="right" if leftward else "left",
            va="top",
            fontsize=8,
            color=LINE,
        )
    panel.set_xlabel("params grow as FLOPs to this power", fontsize=9, color=INK)
    panel.grid(axis="x", color=FRAME, alpha=0.12, linewidth=0.5)


def _name_row(panel: "Axes", row: int, step: ChainStep, color: Any, *, leftward: bool) -> None:
    """Above the interval, towards the side that has room."""
    panel.annotate(
        f"{step.label}: {step.exponent:.3f}",
        (max(step.interval) if leftward else min(step.interval), row),
        (0, 8),
        textcoords="offset points",
        ha="right" if leftward else "left",
        fontsize=8,
        fontweight="bold",
        color=color,
        path_effects=halo(),
        zorder=5,
    )


def _explain(panel: "Axes", fitted: tuple[float, float], level: float) -> None:
    ends = " to ".join(map(scientific, fitted))
    panel.fill([], [], **SHADE, label=f"fitted: {ends} FLOPs")
    panel.plot([], [], color=LINE, linewidth=1.9, linestyle=DASHES, label="extrapolated")
    panel.plot([], [], color=LINE, **BAR, label=f"{100 * level:g} % interval")
