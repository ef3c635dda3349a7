"""How well a law explains its runs: observed against predicted loss, and what is left over."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from jaxscale.plots.frame import INK, LINE, color_bar, count_axis, dress, same_length, short, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (6.5, 6.2)  # inches
# Residuals beyond so many robust spreads are drawn at the edge, lest they flatten all others.
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
    figure = titled(SIZE, title, subtitle)
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
    """How far the axis of residuals reaches."""
    largest = float(np.abs(percent).max())
    usual = REACH * ROBUST * float(np.median(np.abs(percent)))
    edge = min(largest, usual) if usual > 0 else largest
    return edge if edge > 0 else 1.0
