"""IsoFLOP curves: loss over params at a few budgets, with the runs nearest to each."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxscale.plots.frame import INK, LINE, count_axis, dress, halo, same_length, scientific, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (7.0, 4.8)  # inches
FAR = 10.0  # factor beyond the runs from which on a minimum is left out
HEADROOM = 0.06  # of the range of losses shown
MARKERS = "osD^vP*X"


class BudgetCurve(NamedTuple):
    """The curve of one training budget, its minimum, and the runs whose FLOPs are near."""

    flops: float
    params: Any  # of the curve
    loss: Any
    best_params: float
    best_loss: float
    interval: tuple[float, float] | None  # of the best params
    run_params: Any
    run_loss: Any


def iso_flop_curves(
    budgets: Sequence[BudgetCurve], *, title: str = "", subtitle: str = ""
) -> "Figure":
    """Loss over params, a curve for each budget; bars are intervals of the best size.

    Raises ValueError where there is no budget or arrays do not fit, ImportError without
    matplotlib.

    Examples:
        >>> from jaxscale import plots
        >>> law, params = js.laws.published("sardana2024"), np.geomspace(1e8, 1e10, 30)
        >>> loss = np.asarray(law.loss(params, 1e21 / (6 * params)))
        >>> best = js.minimize_loss(law, 1e21)
        >>> run_params, run_loss = [1e9], [2.4]
        >>> curve = plots.BudgetCurve(
        ...     1e21, params, loss, best.params, best.loss, None, run_params, run_loss
        ... )
        >>> figure = plots.iso_flop_curves([curve])
    """
    if not budgets:
        raise ValueError("budgets must hold at least one")
    figure = titled(SIZE, title, subtitle)
    panel = figure.subplots()
    dress(panel, "")
    panel.set_xscale("log")
    order = sorted(budgets, key=lambda budget: budget.flops)
    for number, budget in enumerate(order):
        _draw_budget(panel, budget, _color(number, len(order)), MARKERS[number % len(MARKERS)])
    panel.plot(
        [budget.best_params for budget in order],
        [budget.best_loss for budget in order],
        color=INK,
        linestyle="--",
        linewidth=0.9,
        zorder=2,
    )
    _frame(panel, order)
    for budget in order:
        _name(panel, budget)
    panel.grid(color=LINE, alpha=0.15, linewidth=0.6)
    panel.set_xlabel("params", fontsize=9, color=INK)
    panel.set_ylabel("loss (nats per token)", fontsize=9, color=INK)
    return figure


def _color(number: int, count: int) -> Any:
    from matplotlib import colormaps

    # The pale end of the map would not be seen on white.
    return colormaps["cividis"](0.86 * number / max(1, count - 1))


def _draw_budget(panel: "Axes", budget: BudgetCurve, color: Any, marker: str) -> None:
    params, loss = same_length(params=budget.params, loss=budget.loss)
    panel.plot(params, loss, color=color, linewidth=1.3, zorder=2)
    panel.scatter(
        budget.run_params,
        budget.run_loss,
        color=color,
        marker=marker,
        s=20,
        edgecolors="white",
        linewidths=0.4,
        zorder=3,
    )
    best = budget.best_params, budget.best_loss
    if budget.interval is not None:
        panel.plot(budget.interval, [best[1]] * 2, color=INK, linewidth=1.6, zorder=4)
    panel.plot(*best, marker="o", markersize=6, color="white", markeredgecolor=INK, zorder=5)


def _name(panel: "Axes", budget: BudgetCurve) -> None:
    """The budget beside its minimum, or beside a run where the minimum is out of sight."""
    (left, right), (bottom, top) = panel.get_xlim(), panel.get_ylim()
    place = budget.best_params, budget.best_loss
    if not (left < place[0] < right and bottom < place[1] < top):
        if not np.size(budget.run_params):
            return
        place = budget.run_params[-1], budget.run_loss[-1]
    # The minima lie ever further down and to the right: to the left there is room.
    panel.annotate(
        f"{scientific(budget.flops)} FLOPs",
        place,
        (-4, -6),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=8,
        color=INK,
        path_effects=halo(),
        zorder=6,
    )


def _frame(panel: "Axes", budgets: Sequence[BudgetCurve]) -> None:
    """Limits that hold all runs, and the minima that are not far from any."""
    sizes = np.concatenate([np.ravel(budget.run_params) for budget in budgets])
    losses = np.concatenate([np.ravel(budget.run_loss) for budget in budgets])
    for budget in budgets:
        if not sizes.size or sizes.min() / FAR < budget.best_params < sizes.max() * FAR:
            sizes = np.append(sizes, budget.best_params)
            losses = np.append(losses, budget.best_loss)
    low, high = sizes.min() / 1.6, sizes.max() * 1.6
    bottom, top = losses.min(), losses.max()
    room = HEADROOM * (top - bottom or top)
    panel.set(xlim=(low, high), ylim=(bottom - room, top + room))
    count_axis(panel.xaxis, math.log10(high / low))
