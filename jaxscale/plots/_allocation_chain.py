"""A chain of corrections to one fit: best params against the budget, and the exponents."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from jaxscale._numerics.quantities import short, short_scientific
from jaxscale.plots.frame import (
    DASHED,
    LINE,
    RING,
    SHADE,
    budget_color,
    count_axis,
    dress,
    grid,
    label,
    legend_below,
    line_of_budget,
    same_length,
    titled,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (11.6, 4.9)  # inches
WIDTHS = (1.2, 1.0)  # of the panels, one against the other
APART = 0.05  # of the panel's height, from one text to the next
ROOM = 0.12  # of the range of exponents, left free on each side
FIRST_ROW = -1.2  # of the panel of exponents: above it there is room for names of papers
DIGITS = 2  # of params written out: more would be lost in the exponents' own rounding
BAR = {"linewidth": 5, "alpha": 0.35, "solid_capstyle": "butt"}


def allocation_chain(
    flops: ArrayLike,
    steps: Mapping[str, Any],
    *,
    others: Mapping[str, Any] | None = None,
    title: str = "",
    subtitle: str = "",
) -> "Figure":
    """Best params over budgets in FLOPs, a line for each step; beside it each step's exponent.

    `steps` are entries of `js.allocations` by what each corrects, with an allocation, an interval
    of the exponent of params, and for the first the `flops_range` of its runs, outside which lines
    are dashed. The params at the last budget are written out. `others` are entries by the paper's
    name, of which the exponents are drawn. Raises ValueError without steps, ImportError without
    matplotlib.

    Examples:
        >>> from jaxscale import allocations, plots
        >>> chain = {step.label: allocations.entry(step.name) for step in allocations.PORIAN_CHAIN}
        >>> figure = plots.allocation_chain(np.geomspace(1e16, 1e24, 20), chain)
    """
    if not steps:
        raise ValueError("steps must hold at least one")
    params = {name: entry.allocation.params(flops) for name, entry in steps.items()}
    budgets, *sizes = same_length(flops=flops, **params)
    entries = list(steps.values())
    fitted, level = entries[0].flops_range, entries[0].params_interval.level
    figure = titled(SIZE, title, subtitle)
    left, right = figure.subplots(1, 2, width_ratios=WIDTHS)
    _draw_sizes(left, budgets, sizes, fitted)
    _name_ends(left, budgets, sizes, list(steps))
    _draw_exponents(right, steps, others or {})
    ends = " to ".join(map(short_scientific, fitted))
    left.fill([], [], **SHADE, label=f"fitted: {ends} FLOPs")
    left.plot([], [], color=LINE, linewidth=1.9, linestyle=DASHED, label="extrapolated")
    left.plot([], [], color=LINE, **BAR, label=f"{100 * level:g} % interval")
    legend_below(figure, left)
    return figure


def _draw_sizes(panel: "Axes", budgets: Any, sizes: Any, fitted: tuple[float, float]) -> None:
    dress(panel, "best params")
    panel.set(xscale="log", yscale="log")
    panel.axvspan(*fitted, **SHADE, zorder=0)
    inside = (budgets >= fitted[0]) & (budgets <= fitted[1])
    for row, params in enumerate(sizes):
        line_of_budget(panel, budgets, params, inside, budget_color(row, len(sizes)))
    panel.set_xlim(budgets[0], budgets[-1])
    label(panel, "training budget (FLOPs)")
    name_budgets(panel.xaxis)
    count_axis(panel.yaxis, float(np.ptp(np.log10(panel.get_ylim()))))
    grid(panel)


def name_budgets(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(base=100.0, numticks=10))
    axis.set_major_formatter(FuncFormatter(lambda x, _: short_scientific(x)))
    axis.set_minor_formatter(NullFormatter())


def _name_ends(panel: "Axes", budgets: Any, sizes: Any, names: list[str]) -> None:
    """The params of each step at the last budget, outside the panel and apart from each other."""
    beside: dict[str, Any] = {"xycoords": "axes fraction", "va": "center"}
    low, high = np.log(panel.get_ylim())
    ends = np.array([params[-1] for params in sizes])
    heights = apart((np.log(ends) - low) / (high - low))
    for row, (size, height) in enumerate(zip(ends, heights, strict=True)):
        color = budget_color(row, len(sizes))
        look: dict[str, Any] = {"markeredgecolor": color, "markeredgewidth": 1.6, "clip_on": False}
        panel.plot(budgets[-1], size, **RING, **look, zorder=5)
        text = short(float(f"{size:.{DIGITS}g}"))
        write(panel, text, (1, height), (9, 0), color=color, bold=True, **beside)
        write(panel, names[row], (1, height), (38, 0), color=color, **beside)
    heading = f"at {budgets[-1]:.3g} FLOPs".replace("e+", "e")
    write(panel, heading, (1, max(heights) + 1.4 * APART), (9, 0), color=LINE, **beside)


def apart(heights: np.ndarray) -> np.ndarray:
    """The heights, moved until texts beside them do not touch."""
    order = np.argsort(heights)
    steps = APART * np.arange(heights.size)
    # Rising heights at least APART from each other, half pushed up and half pushed down.
    free = heights[order] - steps
    up, down = np.maximum.accumulate(free), np.minimum.accumulate(free[::-1])[::-1]
    moved = np.empty_like(heights)
    moved[order] = (up + down) / 2 + steps
    return moved


def _draw_exponents(panel: "Axes", steps: Mapping[str, Any], others: Mapping[str, Any]) -> None:
    dress(panel, "exponent of compute")
    exponents = {name: each.exponents[0] for name, each in (*steps.items(), *others.items())}
    intervals = {name: each.params_interval[:2] for name, each in steps.items()}
    values = [*exponents.values(), *(end for ends in intervals.values() for end in ends)]
    low, high = min(values), max(values)
    room = ROOM * ((high - low) or abs(high) or 1)
    panel.set(xlim=(low - room, high + room), ylim=(len(steps) - 0.6, FIRST_ROW), yticks=[])
    for row, name in enumerate(steps):
        color, exponent, ends = budget_color(row, len(steps)), exponents[name], intervals[name]
        panel.plot(ends, (row, row), color=color, **BAR, zorder=3)
        panel.plot(exponent, row, "o", color=color, markersize=6, zorder=4)
        # Above the interval, towards the side that has room.
        leftward = exponent > (low + high) / 2
        at = (max(ends) if leftward else min(ends), row)
        look: dict[str, Any] = {
            "color": color,
            "bold": True,
            "rim": True,
            "ha": "right" if leftward else "left",
        }
        write(panel, f"{name}: {exponent:.3f}", at, (0, 8), **look)
    for number, name in enumerate(others):
        panel.axvline(exponents[name], color=LINE, linewidth=0.9, linestyle=":", zorder=1)
        leftward = exponents[name] > (low + high) / 2
        at = (exponents[name], FIRST_ROW + 0.1 + 0.25 * number)
        look = {"color": LINE, "ha": "right" if leftward else "left", "va": "top"}
        write(panel, f"{name}: {exponents[name]:.2f}", at, (-4 if leftward else 4, 0), **look)
    label(panel, "params grow as FLOPs to this power")
    grid(panel, axis="x")
