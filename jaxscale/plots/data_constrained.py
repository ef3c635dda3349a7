"""The best plan of a budget when data run out: against the unique tokens there are."""

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
    halo,
    legend_below,
    scientific,
    titled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (10.8, 4.1)  # inches
HEADROOM = 1.6  # factor, for what is written above the highest line
EPOCHS = (1, 4, 16, 64)  # that are drawn as lines
MATTERS = 0.01  # of the loss: from here on repetition costs
FREE = {"linestyle": (0, (3, 2)), "linewidth": 1.0, "alpha": 0.75}
REPEATS = {"marker": "o", "markersize": 5.5, "linestyle": "none"}
COSTS = {"marker": "D", "markersize": 5.5, "linestyle": "none", "markeredgecolor": "white"}
PANELS = {"params": "params", "tokens": "training tokens", "loss": "loss (nats per token)"}


class BestPlans(NamedTuple):
    """Plans of the least loss: one for each budget, or a row for each."""

    params: Any
    tokens: Any  # seen, repeats counted
    loss: Any  # nats per token


def data_constrained(
    unique_tokens: Any,
    flops: Any,
    best: BestPlans,
    unlimited: BestPlans,
    *,
    title: str = "",
    subtitle: str = "",
) -> "Figure":
    """Params, tokens and loss of the best plans, a line for each budget of `flops`.

    `best` has a row for each budget and a column for each count of unique tokens, in rising
    order; `unlimited` has the plan of each budget where no token need be seen twice. NaN leaves
    a gap. Raises ValueError for arrays that do not fit, ImportError without matplotlib.

    Examples:
        >>> from jaxscale import plots
        >>> unique, flops = np.geomspace(1e9, 1e12, 4), np.array([1e22])
        >>> losses = np.array([[2.6, 2.5, 2.4, 2.3]])
        >>> best = plots.BestPlans(np.full((1, 4), 7e9), np.full((1, 4), 2e11), losses)
        >>> unlimited = plots.BestPlans(np.array([7e9]), np.array([2.4e11]), np.array([2.3]))
        >>> figure = plots.data_constrained(unique, flops, best, unlimited)
    """
    unique, budgets = np.asarray(unique_tokens, float), np.asarray(flops, float)
    _check("best", best, (budgets.size, unique.size))
    _check("unlimited", unlimited, (budgets.size,))
    figure = titled(SIZE, title, subtitle)
    panels = dict(zip(PANELS, figure.subplots(1, len(PANELS)), strict=True))
    for field, panel in panels.items():
        dress(panel, PANELS[field])
        panel.set_xscale("log")
        if field != "loss":
            panel.set_yscale("log")
        for row, budget in enumerate(budgets):
            one = BestPlans(*(np.asarray(x)[row] for x in best))
            free = BestPlans(*(float(np.asarray(x)[row]) for x in unlimited))
            _draw(panel, field, unique, one, free, budget_color(row, budgets.size))
            _name(panel, scientific(budget), getattr(free, field), budget_color(row, budgets.size))
        _frame(panel, unique)
        panel.set_xlabel("unique tokens", fontsize=9, color=INK)
    _draw_epochs(panels["tokens"])
    _explain(panels["params"])
    legend_below(figure, panels["params"])
    return figure


def _check(name: str, plans: BestPlans, shape: tuple[int, ...]) -> None:
    for field, values in plans._asdict().items():
        if np.shape(values) != shape:
            raise ValueError(f"{name}.{field} must have shape {shape}; got {np.shape(values)}")


def _draw(
    panel: "Axes", field: str, unique: Any, best: BestPlans, free: BestPlans, color: Any
) -> None:
    values, level = np.asarray(getattr(best, field), float), getattr(free, field)
    panel.plot(unique, values, color=color, linewidth=1.8, zorder=3)
    panel.axhline(level, color=color, zorder=2, **FREE)
    left, right = unique[0], unique[-1]
    if left <= free.tokens <= right:
        # With as many unique tokens as the unlimited plan reads, each is read once.
        panel.plot(
            free.tokens, level, **REPEATS, markerfacecolor="white", markeredgecolor=color, zorder=4
        )
    place = _where_it_costs(unique, np.asarray(best.loss, float), free.loss)
    if place is not None:
        known = np.isfinite(values)
        height = np.interp(np.log(place), np.log(unique[known]), values[known])
        panel.plot(place, height, color=color, **COSTS, zorder=5)


def _where_it_costs(unique: Any, loss: Any, free: float) -> float | None:
    """The unique tokens below which the loss is MATTERS above that of unlimited data."""
    known = np.isfinite(loss)
    log_unique, excess = np.log(unique[known]), loss[known] / free - 1 - MATTERS
    below = np.flatnonzero(excess > 0)
    if not below.size or below[-1] + 1 == excess.size:
        return None
    pair = slice(below[-1], below[-1] + 2)
    # Excess falls with unique tokens, and `interp` wants it rising.
    return float(np.exp(np.interp(0.0, excess[pair][::-1], log_unique[pair][::-1])))


def _name(panel: "Axes", text: str, height: float, color: Any) -> None:
    panel.annotate(
        text,
        (0.985, height),
        (0, 2),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=7.5,
        color=color,
        fontweight="bold",
        path_effects=halo(),
        zorder=6,
    )


def _frame(panel: "Axes", unique: Any) -> None:
    low, high = float(unique[0]), float(unique[-1])
    panel.set_xlim(low, high)
    count_axis(panel.xaxis, math.log10(high / low))
    if panel.get_yscale() == "log":
        bottom, top = panel.get_ylim()
        panel.set_ylim(bottom, HEADROOM * top)
        count_axis(panel.yaxis, math.log10(top / bottom))
    panel.grid(color=FRAME, alpha=0.12, linewidth=0.5)


def _draw_epochs(panel: "Axes") -> None:
    """Lines of equal epochs, each named where it leaves the panel."""
    (left, right), (bottom, top) = panel.get_xlim(), panel.get_ylim()
    for epochs in EPOCHS:
        panel.plot(
            [left, right],
            [epochs * left, epochs * right],
            color=LINE,
            linewidth=0.7,
            linestyle=":",
            zorder=1,
        )
        panel.annotate(
            f"{epochs} epochs" if epochs == EPOCHS[-1] else str(epochs),
            (top / epochs, top),
            (-5, -3),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=7,
            color=LINE,
            path_effects=halo(),
            zorder=6,
        )
    panel.set(xlim=(left, right), ylim=(bottom, top))


def _explain(panel: "Axes") -> None:
    panel.plot([], [], color=LINE, linewidth=1.8, label="best plan of a budget, in FLOPs")
    panel.plot([], [], color=LINE, label="data without limit", **FREE)
    repeats = {**REPEATS, "markerfacecolor": "white", "markeredgecolor": LINE}
    panel.plot([], [], **repeats, label="repetition begins")
    panel.plot([], [], color=LINE, **COSTS, label=f"it raises the loss by {100 * MATTERS:g} %")
