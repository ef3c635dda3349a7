"""A law as a map of loss over params and tokens, with the runs that it was fitted to."""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

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

SIZE = (7.0, 5.6)  # inches
# Contours: each step is this share of what the loss exceeds a floor by, and the floor lies this
# share of the range below the least loss.
SPACING, FLATNESS = 0.25, 0.15
FLAT = 1e-6  # relative range of a law that has no contours
PALE = 0.45  # of the map's colours, so that the runs stand out before it
PATH = "#d55e00"  # of Okabe and Ito, as in `fields`: apart from blue and yellow for all readers


class OptimalPath(NamedTuple):
    """The compute-optimal sizes, an entry for each budget in rising order."""

    flops: Any  # of training
    params: Any
    tokens: Any
    low: tuple[Any, Any] | None = None  # params and tokens at one end of the interval
    high: tuple[Any, Any] | None = None


def iso_loss_map(
    params: ArrayLike,
    tokens: ArrayLike,
    loss: ArrayLike,
    *,
    runs: tuple[ArrayLike, ArrayLike, ArrayLike],
    path: OptimalPath,
    title: str = "",
    subtitle: str = "",
) -> "Figure":
    """Contours of `loss`, one row for each of `tokens` and one column for each of `params`.

    `runs` are params, tokens and observed loss, in the colours of the map: a run that matches
    its surroundings is explained. The path is dashed beyond the budget of the largest run.
    Raises ValueError for arrays that do not fit, ImportError without matplotlib.

    Examples:
        >>> from jaxscale import plots
        >>> law, flops = js.laws.published("sardana2024"), np.geomspace(1e20, 1e24, 5)
        >>> params, tokens = np.geomspace(1e8, 1e11, 20), np.geomspace(1e9, 1e13, 20)
        >>> loss = np.asarray(law.loss(params, tokens[:, None]))
        >>> best = js.allocations.from_law(law)
        >>> path = plots.OptimalPath(flops, best.params(flops), best.tokens(flops))
        >>> runs = ([1e9, 1e10], [1e11, 1e12], [2.3, 2.0])
        >>> figure = plots.iso_loss_map(params, tokens, loss, runs=runs, path=path)
    """
    across, up, field = np.asarray(params), np.asarray(tokens), np.asarray(loss)
    if field.shape != (up.size, across.size):
        raise ValueError(f"loss must have shape {(up.size, across.size)}; got {field.shape}")
    seen = same_length(params=runs[0], tokens=runs[1], loss=runs[2])
    figure = titled(SIZE, title, subtitle)
    panel = figure.subplots()
    dress(panel, "")
    panel.set(xscale="log", yscale="log")
    dots = _draw_map(panel, across, up, field, seen)
    _draw_path(panel, path, float((seen[0] * seen[1]).max()))
    panel.set(xlim=(across.min(), across.max()), ylim=(up.min(), up.max()))
    count_axis(panel.xaxis, np.log10(across.max() / across.min()))
    count_axis(panel.yaxis, np.log10(up.max() / up.min()))
    panel.set_xlabel("params", fontsize=9, color=INK)
    panel.set_ylabel("training tokens", fontsize=9, color=INK)
    color_bar(figure, dots, panel, "observed loss of runs, and in pale the law's (nats per token)")
    legend_below(figure, panel)
    return figure


def _draw_map(panel: "Axes", across: Any, up: Any, field: Any, seen: Any) -> Any:
    """Bands and labelled lines, and the runs in the same colours; the runs come back."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap, Normalize

    norm = Normalize(min(field.min(), seen[2].min()), seen[2].max())
    colors = colormaps["cividis_r"](np.linspace(0, 1, 256))
    # Mixed with white, not transparent: the seams between transparent bands show.
    pale = ListedColormap(1 - PALE * (1 - colors))
    panel.contourf(across, up, field, 64, cmap=pale, norm=norm, zorder=0)
    levels = _levels(field.min(), field.max())
    lines = panel.contour(across, up, field, levels, colors=LINE, linewidths=0.5, zorder=1)
    panel.clabel(
        lines, fmt=lambda level: f"{level:.8g}", fontsize=7.5, colors=INK, inline_spacing=3
    )
    return panel.scatter(
        seen[0],
        seen[1],
        c=seen[2],
        cmap="cividis_r",
        norm=norm,
        s=24,
        edgecolors=INK,
        linewidths=0.4,
        zorder=3,
        label="runs",
    )


def _levels(low: float, high: float) -> list[float]:
    """Round losses, the closer the flatter the surface: towards the least one."""
    floor, level, levels = low - FLATNESS * (high - low), low, []
    # Across less than this, rounded levels would be equal.
    while high - low > FLAT * abs(high):
        step = _round_down(SPACING * (level - floor))
        level = (math.floor(level / step + 1e-6) + 1) * step
        if level >= high:
            break
        levels.append(level)
    return levels


def _round_down(step: float) -> float:
    """The next of 1, 2 and 5 times a power of ten that is no larger."""
    power = 10.0 ** math.floor(math.log10(step))
    return max(digit * power for digit in (1, 2, 5) if digit * power <= step * (1 + 1e-9))


def _draw_path(panel: "Axes", path: OptimalPath, largest: float) -> None:
    """The compute-optimal sizes with their band and marks at powers of ten of FLOPs."""
    flops, params, tokens = same_length(flops=path.flops, params=path.params, tokens=path.tokens)
    if path.low is not None and path.high is not None:
        # Each end of an interval lies on the line of equal FLOPs, so the band is a polygon.
        x, y = (np.concatenate([a, b[::-1]]) for a, b in zip(path.low, path.high, strict=True))
        panel.fill(x, y, color=PATH, alpha=0.25, linewidth=0, zorder=2, label="95 % interval")
    known = params * tokens <= largest
    last = max(int(known.sum()), 1)
    line = {"color": PATH, "linewidth": 1.8, "zorder": 4}
    panel.plot(params[:last], tokens[:last], label="compute-optimal", **line)
    panel.plot(params[last - 1 :], tokens[last - 1 :], linestyle=(0, (3, 2)), **line)
    powers = np.arange(math.ceil(math.log10(flops[0])), math.floor(math.log10(flops[-1])) + 1)
    marks = [np.exp(np.interp(powers, np.log10(flops), np.log(x))) for x in (params, tokens)]
    for power, x, y in zip(powers, *marks, strict=True):
        _mark(panel, (x, y), f"1e{power} FLOPs", is_last=power == powers[-1])


def _mark(panel: "Axes", at: tuple[float, float], text: str, is_last: bool) -> None:
    panel.plot(*at, marker="D", markersize=5, color=PATH, markeredgecolor="white", zorder=5)
    panel.annotate(
        text,
        at,
        # The last one may lie at the right edge: its text goes to the other side.
        (-6, 5) if is_last else (6, -5),
        textcoords="offset points",
        ha="right" if is_last else "left",
        va="bottom" if is_last else "top",
        fontsize=7.5,
        color=INK,
        path_effects=halo(),
        zorder=6,
    )
