"""Profit over loss: what models of each loss earn and cost, and the best one with its sizes."""

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxscale._numerics.quantities import count, dollars, short
from jaxscale.economics import ProfitCurve
from jaxscale.plots.frame import (
    DASHED,
    INK,
    LINE,
    LINES,
    dress,
    grid,
    label,
    legend_below,
    titled,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (7.2, 4.4)  # inches
ROOM = 1.12  # above what the best plan earns and costs, as a factor
LEAST = -0.12  # profit at the bottom of the panel, as a share of its height: cost rises without end
EARNED, COST, PROFIT = LINES[2], LINES[1], LINES[0]


def profit_over_loss(
    curve: ProfitCurve,
    *,
    title: str = "",
    subtitle: str = "",
    loss_unit: str = "nats per token",
) -> "Figure":
    """What models earn, cost and leave as profit over their loss, in dollars, with the best marked.

    `curve` comes from `js.economics.profit_curve` and has one axis, of two losses with plans or
    more, in `loss_unit`. Raises TypeError for anything else, ValueError for another shape, and
    ImportError without matplotlib.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> h100 = js.accelerator("H100-SXM", price=2.0)
        >>> costs = js.Costs.on(train=h100, serve=h100, decode_mfu=0.1)
        >>> market = js.economics.Market(8e12, 2e12, at_loss=2.0, at_price=1e-6, per_nat=2.0)
        >>> losses = np.linspace(1.93, 2.3, 100)
        >>> curve = js.economics.profit_curve(law, None, market, costs, losses=losses, price=1e-6)
        >>> figure = js.plots.profit_over_loss(curve)
    """
    loss, earned, cost, name = _lines(curve)
    figure = titled(SIZE, title or "How good a model earns most", subtitle)
    panel = figure.subplots()
    dress(panel, "")
    profit = earned - cost
    lines: dict[str, Any] = {"linewidth": 1.9, "zorder": 3}
    panel.plot(loss, earned, color=EARNED, linestyle="-.", label=name, **lines)
    panel.plot(loss, cost, color=COST, linestyle="--", label="training and serving", **lines)
    panel.plot(loss, profit, color=PROFIT, label="profit", **{**lines, "linewidth": 2.4})
    gain = profit >= 0
    panel.fill_between(loss, 0, profit, where=gain.tolist(), color=PROFIT, alpha=0.12, linewidth=0)
    panel.axhline(0, color=LINE, linewidth=0.8, zorder=2)
    _frame(panel, loss, earned, cost, _best_of(curve))
    across = f"loss, {loss_unit} (better models to the left)"
    label(panel, across, "dollars over the life of the model")
    _mark(panel, curve)
    legend_below(figure, panel)
    return figure


def _lines(curve: ProfitCurve) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Losses in rising order, what is earned and paid there, and a name for what is earned."""
    if not isinstance(curve, ProfitCurve):
        raise TypeError(f"curve must come from js.economics.profit_curve; got {curve!r}")
    points = curve.points
    ok = np.asarray(points.ok)
    if ok.ndim != 1 or np.count_nonzero(ok) < 2:
        raise ValueError(
            "curve must have one axis, of at least two losses that have plans; "
            f"got shape {ok.shape}, {np.count_nonzero(ok)} of them"
        )
    columns = points.plan.loss, points.value, points.revenue, points.plan.total_cost
    order = np.argsort(np.asarray(points.plan.loss, float)[ok])
    loss, value, revenue, cost = (np.asarray(x, float)[ok][order] for x in columns)
    kinds = {"value": value, "revenue": revenue}
    name = " and ".join(kind for kind, x in kinds.items() if np.any(x != 0))
    return loss, value + revenue, cost, name or "value"


def _best_of(curve: ProfitCurve) -> tuple[float, float]:
    """Loss and profit of the best plan; NaN where there is none or there are several."""
    best = curve.best
    if np.ndim(best.status) or not bool(best.ok):
        return np.nan, np.nan
    return float(best.plan.loss), float(best.profit)


def _frame(
    panel: "Axes",
    loss: np.ndarray,
    earned: np.ndarray,
    cost: np.ndarray,
    best: tuple[float, float],
) -> None:
    """Limits about what is of interest: a low loss costs without end."""
    top = ROOM * float(np.max(np.maximum(earned, 0)))
    if not np.isnan(best[0]):
        at_best = (np.interp(best[0], loss, x) for x in (earned, cost))
        top = ROOM * float(max(*at_best, np.max(earned[earned >= cost], initial=0)))
    bottom = LEAST * top
    shown = (earned - cost >= bottom) & (cost <= top / ROOM)
    if np.count_nonzero(shown) >= 2:
        panel.set_xlim(loss[shown].min(), loss[shown].max())
    panel.set_ylim(bottom, top)
    panel.yaxis.set_major_formatter(lambda x, _: f"{'-' if x < 0 else ''}${short(abs(x))}")
    grid(panel)


def _mark(panel: "Axes", curve: ProfitCurve) -> None:
    """The best plan: a dot, a line at its loss, and its sizes in words."""
    loss, profit = _best_of(curve)
    if np.isnan(loss):
        return
    plan = curve.best.plan
    look: dict[str, Any] = {"color": LINE, "linewidth": 1.0, "linestyle": DASHED, "zorder": 2}
    panel.axvline(loss, **look)
    panel.plot([loss], [profit], "o", color=PROFIT, markersize=7, zorder=5)
    low, high = panel.get_xlim()
    to_right = loss - low < 0.6 * (high - low)
    side: dict[str, Any] = {"ha": "left" if to_right else "right", "va": "center"}
    offset = 8 if to_right else -8
    lines = [
        f"{dollars(profit)} profit at loss {loss:.3f}",
        f"{count(float(plan.params))} params, {count(float(plan.tokens))} tokens",
    ]
    price = 1e6 * float(curve.best.price)
    if price > 0:
        lines.append(f"{dollars(price)} per million tokens")
    # In the middle of the profit, where no line is near.
    at = loss, profit / 2
    write(panel, "\n".join(lines), at, (offset, 0), color=INK, size=8, rim=True, **side)
