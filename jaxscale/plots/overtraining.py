"""What over-training costs and gains: loss and error on tasks against tokens per parameter."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxscale.plots.frame import (
    FRAME,
    INK,
    LINE,
    budget_color,
    count_axis,
    dress,
    legend_below,
    scientific,
    short,
    titled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (9.6, 4.6)  # inches
KNOWN = "#56b4e9"  # of Okabe and Ito
SHADE = {"color": KNOWN, "alpha": 0.18, "linewidth": 0}
DASHES = (0, (2.2, 1.2))
BEST = {"marker": "o", "markersize": 6, "markerfacecolor": "white", "linestyle": "none"}
SIZES = {"color": "#8a9099", "linewidth": 0.9, "zorder": 2}
LABELS = {"loss": "loss (nats per token)", "error": "error on tasks (%)"}


class Outcomes(NamedTuple):
    """What models reach, a row for each line and a column for each of the tokens per parameter."""

    loss: Any  # nats per token
    error: Any  # a fraction


class Optima(NamedTuple):
    """The best plan of each budget."""

    tokens_per_param: Any
    loss: Any
    error: Any


def overtraining(
    tokens_per_param: Any,
    by_budget: tuple[Any, Outcomes],
    by_size: tuple[Any, Outcomes],
    optima: Optima,
    *,
    fitted: tuple[float, float],
    title: str = "",
    subtitle: str = "",
) -> "Figure":
    """Loss and error over tokens per parameter: at budgets in FLOPs, and at sizes in params.

    Lines of budgets are dashed outside the `fitted` tokens per parameter, which are shaded; those
    of sizes are thin. Raises ValueError for arrays that do not fit, ImportError without
    matplotlib.
    """
    ratio = np.asarray(tokens_per_param, float)
    for name, (values, outcomes) in {"by_budget": by_budget, "by_size": by_size}.items():
        _check(name, outcomes, (np.size(values), ratio.size))
    figure = titled(SIZE, title, subtitle)
    panels = dict(zip(LABELS, figure.subplots(1, len(LABELS)), strict=True))
    inside = (ratio >= fitted[0]) & (ratio <= fitted[1])
    for field, panel in panels.items():
        dress(panel, LABELS[field])
        panel.set_xscale("log")
        panel.axvspan(*fitted, **SHADE, zorder=0)
        scale = 100 if field == "error" else 1
        heights = scale * np.asarray(getattr(by_budget[1], field), float)
        bests = scale * np.asarray(getattr(optima, field), float)
        of_sizes = scale * np.asarray(getattr(by_size[1], field), float)
        _draw_budgets(panel, ratio, by_budget[0], heights, inside)
        _draw_sizes(panel, ratio, by_size[0], of_sizes)
        _frame(panel, ratio, heights, of_sizes[:, -1])
        for row, place in enumerate(zip(optima.tokens_per_param, bests, strict=True)):
            color = budget_color(row, len(bests))
            panel.plot(*place, **BEST, markeredgecolor=color, markeredgewidth=1.6, zorder=5)
        panel.set_xlabel("training tokens per param", fontsize=9, color=INK)
    _explain(panels["loss"], fitted)
    legend_below(figure, panels["loss"])
    return figure


def _check(name: str, outcomes: Outcomes, shape: tuple[int, int]) -> None:
    for field, values in outcomes._asdict().items():
        if np.shape(values) != shape:
            raise ValueError(f"{field} of {name} must have shape {shape}; got {np.shape(values)}")


def _draw_budgets(panel: "Axes", ratio: Any, flops: Any, heights: Any, inside: Any) -> None:
    for row, (budget, height) in enumerate(zip(flops, heights, strict=True)):
        color = budget_color(row, len(heights))
        look = {"color": color, "linewidth": 1.9, "zorder": 3}
        panel.plot(ratio, height, linestyle=DASHES, **look)
        panel.plot(ratio, np.where(inside, height, np.nan), **look)
        _name(panel, scientific(float(budget)), (ratio[-1], height[-1]), color, "bold")


def _draw_sizes(panel: "Axes", ratio: Any, params: Any, heights: Any) -> None:
    for size, height in zip(params, heights, strict=True):
        panel.plot(ratio, height, **SIZES)
        _name(panel, short(float(size)), (ratio[-1], height[-1]), LINE, "normal")


def _name(panel: "Axes", text: str, end: tuple[float, float], color: Any, weight: str) -> None:
    """Beside the end of a line, outside the panel."""
    panel.annotate(
        text,
        end,
        (4, 0),
        textcoords="offset points",
        va="center",
        fontsize=7.5,
        color=color,
        fontweight=weight,
        annotation_clip=False,
    )


def _frame(panel: "Axes", ratio: Any, heights: Any, ends: Any) -> None:
    """Limits that hold the lines of budgets, and the right ends of all."""
    panel.set_xlim(ratio[0], ratio[-1])
    count_axis(panel.xaxis, math.log10(ratio[-1] / ratio[0]))
    shown = np.concatenate([np.ravel(heights), ends])
    low, high = np.nanmin(shown), np.nanmax(shown)
    room = 0.05 * (high - low or high)
    panel.set_ylim(low - room, high + room)
    panel.grid(color=FRAME, alpha=0.12, linewidth=0.5)


def _explain(panel: "Axes", fitted: tuple[float, float]) -> None:
    panel.fill([], [], **SHADE, label=f"fitted: {fitted[0]:g} to {fitted[1]:g} tokens per param")
    panel.plot([], [], color=LINE, linewidth=1.9, label="one budget, in FLOPs")
    panel.plot([], [], color=LINE, linewidth=1.9, linestyle=DASHES, label="extrapolated")
    panel.plot([], [], **SIZES, label="one size, in params")
    panel.plot([], [], **BEST, markeredgecolor=LINE, label="best of the budget")
