"""Figures with a line for each training budget: when data run out, and over-training."""

import math
from collections.abc import Callable
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
    titled,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# --- When data run out ----------------------------------------------------------------------

LIMITED_SIZE = (10.8, 4.1)  # inches
HEADROOM = 1.6  # factor, for texts above the highest line
EPOCHS = (1, 4, 16, 64)  # drawn as lines
MATTERS = 0.01  # of the loss: from here on repetition costs
FREE = {"linestyle": (0, (3, 2)), "linewidth": 1.0, "alpha": 0.75}
REPEATS = {**RING, "markersize": 5.5}
COSTS = {"marker": "D", "markersize": 5.5, "linestyle": "none", "markeredgecolor": "white"}
PANELS = {"params": "params", "tokens": "training tokens", "loss": "loss (nats per token)"}


def data_constrained(
    unique_tokens: ArrayLike,
    flops: ArrayLike,
    best: Any,
    unlimited: Any,
    *,
    max_epochs: float = math.inf,
    title: str = "",
    subtitle: str = "",
) -> "Figure":
    """Params, tokens and loss of the best plans where unique tokens are few, by budget.

    `best` is a plan with a row for each of the budgets `flops` and a column for each of
    `unique_tokens`, in rising order; `unlimited` has a plan for each budget where no token need be
    seen twice. Lines end where a plan takes more than `max_epochs`; NaN leaves a gap. Raises
    ValueError for plans of another shape, ImportError without matplotlib.

    Examples:
        >>> from jaxscale import plots
        >>> law = js.laws.published("muennighoff2023_repeated")
        >>> unique, flops = np.geomspace(1e9, 1e13, 320), np.geomspace(1e20, 1e24, 5)
        >>> best = js.minimize_loss(law, flops[:, None], levers={"unique_tokens": unique})
        >>> unlimited = js.minimize_loss(law.base(), flops)
        >>> figure = plots.data_constrained(unique, flops, best, unlimited)
    """
    unique, budgets = np.asarray(unique_tokens, float), np.asarray(flops, float)
    limited = _fields("best", best, (budgets.size, unique.size))
    free = _fields("unlimited", unlimited, (budgets.size,))
    seen = limited["tokens"] <= max_epochs * unique
    limited = {name: np.where(seen, x, np.nan) for name, x in limited.items()}
    figure = titled(LIMITED_SIZE, title, subtitle)
    panels = dict(zip(PANELS, figure.subplots(1, len(PANELS)), strict=True))
    for field, panel in panels.items():
        dress(panel, PANELS[field])
        panel.set(xscale="log", yscale="linear" if field == "loss" else "log")
        for row, budget in enumerate(budgets):
            color = budget_color(row, budgets.size)
            one, ideal = ({name: x[row] for name, x in each.items()} for each in (limited, free))
            _draw_plans(panel, field, unique, one, ideal, color)
            right: dict[str, Any] = {
                "xycoords": ("axes fraction", "data"),
                "ha": "right",
                "va": "bottom",
            }
            look: dict[str, Any] = {"color": color, "size": 7.5, "bold": True, "rim": True}
            write(panel, short_scientific(budget), (0.985, ideal[field]), (0, 2), **look, **right)
        _frame_of_unique(panel, unique)
    _draw_epochs(panels["tokens"])
    _explain_limits(panels["params"])
    legend_below(figure, panels["params"])
    return figure


def _fields(name: str, plans: Any, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Params, tokens and loss of plans, as float arrays of that shape."""
    arrays = {field: np.asarray(getattr(plans, field), float) for field in PANELS}
    for field, values in arrays.items():
        if values.shape != shape:
            raise ValueError(f"{name}.{field} must have shape {shape}; got {values.shape}")
    return arrays


def _draw_plans(
    panel: "Axes", field: str, unique: Any, best: dict[str, Any], free: dict[str, Any], color: Any
) -> None:
    values, level = best[field], free[field]
    panel.plot(unique, values, color=color, linewidth=1.8, zorder=3)
    panel.axhline(level, color=color, zorder=2, **FREE)
    if unique[0] <= free["tokens"] <= unique[-1]:
        # Where unique tokens are as many as the unlimited plan reads, each is read once.
        panel.plot(free["tokens"], level, **REPEATS, markeredgecolor=color, zorder=4)
    point = _where_it_costs(unique, best["loss"], free["loss"])
    if point is not None:
        known = np.isfinite(values)
        height = np.interp(np.log(point), np.log(unique[known]), values[known])
        panel.plot(point, height, color=color, **COSTS, zorder=5)


def _where_it_costs(unique: Any, loss: Any, free: float) -> float | None:
    """The unique tokens below which the loss is MATTERS above that of unlimited data."""
    known = np.isfinite(loss)
    log_unique, excess = np.log(unique[known]), loss[known] / free - 1 - MATTERS
    below = np.flatnonzero(excess > 0)
    if not below.size or below[-1] + 1 == excess.size:
        return None
    pair = slice(below[-1], below[-1] + 2)
    # Excess falls with unique tokens, and `interp` needs rising values.
    return float(np.exp(np.interp(0.0, excess[pair][::-1], log_unique[pair][::-1])))


def _frame_of_unique(panel: "Axes", unique: Any) -> None:
    low, high = float(unique[0]), float(unique[-1])
    panel.set_xlim(low, high)
    count_axis(panel.xaxis, math.log10(high / low))
    if panel.get_yscale() == "log":
        bottom, top = panel.get_ylim()
        panel.set_ylim(bottom, HEADROOM * top)
        count_axis(panel.yaxis, math.log10(top / bottom))
    grid(panel)
    label(panel, "unique tokens")


def _draw_epochs(panel: "Axes") -> None:
    """Lines of equal epochs, each named where it leaves the panel."""
    (left, right), (bottom, top) = panel.get_xlim(), panel.get_ylim()
    dotted = {"color": LINE, "linewidth": 0.7, "linestyle": ":", "zorder": 1}
    for epochs in EPOCHS:
        panel.plot([left, right], [epochs * left, epochs * right], **dotted)
        text = f"{epochs} epochs" if epochs == EPOCHS[-1] else str(epochs)
        look: dict[str, Any] = {"color": LINE, "size": 7, "rim": True, "ha": "right", "va": "top"}
        write(panel, text, (top / epochs, top), (-5, -3), **look)
    panel.set(xlim=(left, right), ylim=(bottom, top))


def _explain_limits(panel: "Axes") -> None:
    panel.plot([], [], color=LINE, linewidth=1.8, label="best plan of a budget, in FLOPs")
    panel.plot([], [], color=LINE, label="data without limit", **FREE)
    panel.plot([], [], **REPEATS, markeredgecolor=LINE, label="repetition begins")
    panel.plot([], [], color=LINE, **COSTS, label=f"it raises the loss by {100 * MATTERS:g} %")


# --- Over-training --------------------------------------------------------------------------

OVERTRAINING_SIZE = (9.6, 4.6)  # inches
OF_SIZE = {"color": "#8a9099", "linewidth": 0.9, "zorder": 2}
OUTSIDE: dict[str, Any] = {
    "size": 7.5,
    "va": "center",
    "annotation_clip": False,
}  # beside the ends of lines
LABELS = {"loss": "loss (nats per token)", "error": "error on tasks (%)"}


def overtraining(
    tokens_per_param: ArrayLike,
    by_budget: tuple[ArrayLike, ArrayLike],
    by_size: tuple[ArrayLike, ArrayLike],
    best: Any,
    *,
    error: Callable[[Any], Any],
    fitted: tuple[float, float],
    title: str = "",
    subtitle: str = "",
) -> "Figure":
    """Loss and error on tasks over tokens per parameter: at fixed budgets, and at fixed sizes.

    `by_budget` are budgets in FLOPs and their losses, a row for each and a column for each of the
    tokens per parameter; `by_size` is the same for params. `best` is the plan of the lowest loss
    of each budget, and `error` gives the error, a fraction, of a loss. Lines of budgets are dashed
    outside the `fitted` tokens per parameter, which are shaded; those of sizes are thin. Raises
    ValueError for losses of another shape, ImportError without matplotlib.

    Examples:
        >>> from jaxscale import plots
        >>> entry, task = js.laws.entry("gadre2024_c4"), js.task("gadre2024_c4")
        >>> ratio = np.geomspace(1, 1000, 20)
        >>> flops, params = np.array([1e20, 1e21]), np.array([1e9])
        >>> loss = js.laws.loss_at_ratio
        >>> figure = plots.overtraining(
        ...     ratio,
        ...     (flops, loss(entry.law, flops[:, None], ratio)),
        ...     (params, loss(entry.law, 6 * params[:, None] ** 2 * ratio, ratio)),
        ...     js.minimize_loss(entry.law, flops),
        ...     error=lambda loss: 1 - task.accuracy(loss),
        ...     fitted=entry.tokens_per_param_range,
        ... )
    """
    ratio = np.asarray(tokens_per_param, float)
    budgets, losses = _lines("by_budget", by_budget, ratio.size)
    sizes, losses_of_sizes = _lines("by_size", by_size, ratio.size)
    figure = titled(OVERTRAINING_SIZE, title, subtitle)
    panels = dict(zip(LABELS, figure.subplots(1, len(LABELS)), strict=True))
    inside = (ratio >= fitted[0]) & (ratio <= fitted[1])
    for field, panel in panels.items():
        dress(panel, LABELS[field])
        panel.set_xscale("log")
        panel.axvspan(*fitted, **SHADE, zorder=0)
        heights, of_sizes, bests = (
            100 * np.asarray(error(x), float) if field == "error" else x
            for x in (losses, losses_of_sizes, np.asarray(best.loss, float))
        )
        for row, (budget, height) in enumerate(zip(budgets, heights, strict=True)):
            color = budget_color(row, budgets.size)
            line_of_budget(panel, ratio, height, inside, color)
            end = ratio[-1], height[-1]
            write(panel, short_scientific(budget), end, (4, 0), color=color, bold=True, **OUTSIDE)
        for size, height in zip(sizes, of_sizes, strict=True):
            panel.plot(ratio, height, **OF_SIZE)
            write(panel, short(size), (ratio[-1], height[-1]), (4, 0), color=LINE, **OUTSIDE)
        _frame_of_ratios(panel, ratio, np.concatenate([np.ravel(heights), of_sizes[:, -1]]))
        for row, (x, y) in enumerate(zip(np.asarray(best.tokens_per_param), bests, strict=True)):
            color = budget_color(row, budgets.size)
            panel.plot(x, y, **RING, markeredgecolor=color, markeredgewidth=1.6, zorder=5)
    _explain_overtraining(panels["loss"], fitted)
    legend_below(figure, panels["loss"])
    return figure


def _lines(name: str, values: Any, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Budgets or sizes, and a row of losses for each."""
    sizes, losses = (np.asarray(x, float) for x in values)
    if losses.shape != (sizes.size, count):
        raise ValueError(
            f"loss of {name} must have shape {(sizes.size, count)}; got {losses.shape}"
        )
    return sizes, losses


def _frame_of_ratios(panel: "Axes", ratio: Any, heights: np.ndarray) -> None:
    """Limits that hold the lines of budgets, and the right ends of all."""
    panel.set_xlim(ratio[0], ratio[-1])
    count_axis(panel.xaxis, math.log10(ratio[-1] / ratio[0]))
    low, high = np.nanmin(heights), np.nanmax(heights)
    room = 0.05 * (high - low or high)
    panel.set_ylim(low - room, high + room)
    grid(panel)
    label(panel, "training tokens per param")


def _explain_overtraining(panel: "Axes", fitted: tuple[float, float]) -> None:
    panel.fill([], [], **SHADE, label=f"fitted: {fitted[0]:g} to {fitted[1]:g} tokens per param")
    panel.plot([], [], color=LINE, linewidth=1.9, label="one budget, in FLOPs")
    panel.plot([], [], color=LINE, linewidth=1.9, linestyle=DASHED, label="extrapolated")
    panel.plot([], [], **OF_SIZE, label="one size, in params")
    panel.plot([], [], **RING, markeredgecolor=LINE, label="best of the budget")
