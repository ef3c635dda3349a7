"""Panels of the figures of a fit: loss against prediction, isoFLOP curves, and optimal sizes."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxscale._numerics.quantities import short, short_scientific
from jaxscale.plots.fields import DASHES, LINES
from jaxscale.plots.frame import (
    INK,
    LINE,
    color_bar,
    count_axis,
    dress,
    halo,
    legend_below,
    same_length,
    titled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

QUALITY_SIZE = (6.5, 6.2)  # inches
# Residuals beyond so many robust spreads are drawn at the edge: they would flatten the others.
REACH = 8.0
ROBUST = 1.4826  # of a normal distribution: standard deviation over median absolute deviation
DOT = {"s": 22, "edgecolors": INK, "linewidths": 0.35, "zorder": 3}
ONE_RATIO = 1.1  # runs whose tokens per param differ less have one colour
MARGIN = 0.02  # of the axis of losses, on each side


def observed_and_predicted(
    observed: ArrayLike,
    predicted: ArrayLike,
    tokens_per_param: ArrayLike,
    *,
    title: str = "",
    subtitle: str = "",
) -> "Figure":
    """Observed loss over predicted loss, and below it by how many percent they differ.

    One entry a run; colour is its tokens per param. The shaded band holds one standard
    deviation to each side. Raises ValueError for arrays that do not fit, ImportError without
    matplotlib.

    Examples:
        >>> from jaxscale import plots
        >>> figure = plots.observed_and_predicted(
        ...     observed=[2.9, 2.6], predicted=[2.8, 2.6], tokens_per_param=[20, 200]
        ... )
    """
    from matplotlib.colors import LogNorm

    seen, said, ratio = same_length(
        observed=observed, predicted=predicted, tokens_per_param=tokens_per_param
    )
    figure = titled(QUALITY_SIZE, title, subtitle)
    panels = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
    low, high = ratio.min(), ratio.max()
    low, high = (low, high) if high > ONE_RATIO * low else (low / 2, high * 2)
    look = {"c": ratio, "cmap": "cividis", "norm": LogNorm(low, high), **DOT}
    dots = _draw_losses(panels[0], seen, said, look)
    _draw_residuals(panels[1], said, 100 * (seen / said - 1), look)
    bar = color_bar(figure, dots, panels, "tokens per param")
    count_axis(bar.ax.yaxis, math.log10(high / low))
    return figure


def _draw_losses(panel: "Axes", seen: Any, said: Any, look: dict[str, Any]) -> Any:
    dress(panel, "")
    ends = min(seen.min(), said.min()) * (1 - MARGIN), max(seen.max(), said.max()) * (1 + MARGIN)
    panel.plot(ends, ends, color=LINE, linewidth=0.8, zorder=1)
    dots = panel.scatter(said, seen, **look)
    panel.set_ylim(*ends)
    panel.set_xlim(said.min() * (1 - MARGIN), said.max() * (1 + MARGIN))
    panel.grid(color=LINE, alpha=0.15, linewidth=0.6)
    panel.set_ylabel("observed loss (nats per token)", fontsize=9, color=INK)
    return dots


def _draw_residuals(panel: "Axes", said: Any, percent: Any, look: dict[str, Any]) -> None:
    dress(panel, "")
    spread = float(np.std(percent))
    panel.axhspan(-spread, spread, color=LINE, alpha=0.12, linewidth=0, zorder=0)
    panel.axhline(0, color=LINE, linewidth=0.8, zorder=1)
    edge = _edge(percent)
    inside = np.abs(percent) <= edge
    for chosen, marker in ((inside, "o"), (percent > edge, "^"), (percent < -edge, "v")):
        shown = {**look, "c": look["c"][chosen], "marker": marker}
        panel.scatter(said[chosen], np.clip(percent[chosen], -edge, edge), **shown)
    panel.set_ylim(-1.12 * edge, 1.12 * edge)
    panel.grid(color=LINE, alpha=0.15, linewidth=0.6)
    panel.set_xlabel("predicted loss (nats per token)", fontsize=9, color=INK)
    panel.set_ylabel("observed over\npredicted (%)", fontsize=9, color=INK)
    notes = [f"one standard deviation: {spread:.2g} %"]
    if not inside.all():
        farthest = percent[np.argmax(np.abs(percent))]
        notes.append(f"{(~inside).sum()} beyond the frame, up to {short(round(farthest, 1))} %")
    panel.set_title("; ".join(notes), loc="right", fontsize=8, color=INK)


def _edge(percent: np.ndarray) -> float:
    """The end of the axis of residuals."""
    largest = float(np.abs(percent).max())
    usual = REACH * ROBUST * float(np.median(np.abs(percent)))
    edge = min(largest, usual) if usual > 0 else largest
    return edge if edge > 0 else 1.0


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
    _frame_curves(panel, order)
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
    point = budget.best_params, budget.best_loss
    if not (left < point[0] < right and bottom < point[1] < top):
        if not np.size(budget.run_params):
            return
        point = budget.run_params[-1], budget.run_loss[-1]
    # Minima move down and to the right as budgets grow, so there is room on the left.
    panel.annotate(
        f"{short_scientific(budget.flops)} FLOPs",
        point,
        (-4, -6),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=8,
        color=INK,
        path_effects=halo(),
        zorder=6,
    )


def _frame_curves(panel: "Axes", budgets: Sequence[BudgetCurve]) -> None:
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


SIZES_SIZE = (10.0, 3.7)  # inches
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
    figure = titled(SIZES_SIZE, title, subtitle)
    panels = figure.subplots(1, len(fitted), squeeze=False)[0]
    for panel, (label, curve) in zip(panels, fitted.items(), strict=True):
        others = {law: curves[label] for law, curves in (published or {}).items()}
        band = (bands or {}).get(label)
        dress(panel, label)
        panel.set(xscale="log", yscale="log")
        panel.axvspan(*runs_flops, color=LINE, alpha=0.1, linewidth=0, label="budgets of the runs")
        _draw_curves(panel, flops, {name: curve, **others}, band)
        _frame_sizes(panel, flops)
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


def _frame_sizes(panel: "Axes", flops: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = np.min(flops), np.max(flops)
    panel.set_xlim(low, high)
    decades = max(1, math.ceil(math.log10(high / low) / 5))
    panel.xaxis.set_major_locator(LogLocator(base=10.0**decades, numticks=8))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short_scientific(x)))
    panel.xaxis.set_minor_formatter(NullFormatter())
    bottom, top = panel.get_ylim()
    short_by = FEWEST_DECADES - math.log10(top / bottom)
    if short_by > 0:  # a nearly flat line would look jagged on an axis that fits it closely
        panel.set_ylim(bottom / 10 ** (short_by / 2), top * 10 ** (short_by / 2))
        bottom, top = panel.get_ylim()
    count_axis(panel.yaxis, math.log10(top / bottom))
    panel.grid(color=LINE, alpha=0.15, linewidth=0.6)
