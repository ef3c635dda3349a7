"""Maps of the loss of laws over params and tokens: one with its runs, or several side by side."""

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxscale.plots.frame import (
    FRAME,
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
    levels = round_losses(field.min(), field.max())
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


def round_losses(low: float, high: float) -> list[float]:
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


WIDE, HIGH = 3.55, 3.4  # inches of a panel
LONGEST = 34  # characters of a name in one line
MARGIN = 0.9  # inches for the title and the legend
KNOWN = "#56b4e9"  # of Okabe and Ito: apart from the path for all readers
OTHERS = "#e8b186"  # of the path, paler
EQUAL = "#5c636c"
LABELS = 0.93  # of the way across and up a panel, where losses stand
APART_ACROSS, APART_UP = 0.085, 0.035  # of a panel, between written losses lest they overlap
EDGE = 0.035  # of a panel, where a written loss would touch the frame
MARKED = 2  # powers of ten from one marked budget to the next
ON_PATH = {"color": PATH, "linewidth": 2.4, "solid_capstyle": "butt", "zorder": 4}
DASHES = (0, (2.2, 1.2))


class LawPanel(NamedTuple):
    """The contours, runs and optimal path of one law."""

    name: str
    loss: Any  # a row for each of the tokens, a column for each of the params
    path: OptimalPath
    inside: Any  # boolean: where on the path the law was fitted
    # Params, and the fewest and the most tokens at each, of the runs that it was fitted to.
    fitted: tuple[Any, Any, Any] | None = None
    note: str = ""
    scale: str = ""  # of the loss, where it is not nats per token: panels of one share contours


def laws_compared(
    params: ArrayLike,
    tokens: ArrayLike,
    laws: Sequence[LawPanel],
    *,
    title: str = "",
    subtitle: str = "",
) -> "Figure":
    """A panel for each law, on the same axes and with the same losses: its contours and its path.

    The compute-optimal path is dashed where the law was not fitted, and the paths of the other
    laws are drawn thin. Raises ValueError for arrays that do not fit, ImportError without
    matplotlib.
    """
    across, up = np.asarray(params), np.asarray(tokens)
    if not laws:
        raise ValueError("laws must hold at least one")
    for law in laws:
        if np.shape(law.loss) != (up.size, across.size):
            raise ValueError(
                f"loss of {law.name} must have shape {(up.size, across.size)}; "
                f"got {np.shape(law.loss)}"
            )
    columns = len(laws) if len(laws) < 4 else 2 if len(laws) == 4 else 3
    rows = math.ceil(len(laws) / columns)
    figure = titled((WIDE * columns + 0.4, HIGH * rows + MARGIN), title, subtitle)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    levels = {
        scale: _common_levels([law.loss for law in laws if law.scale == scale])
        for scale in {law.scale for law in laws}
    }
    for panel, law in zip(panels.ravel(), laws, strict=False):
        _draw_law(panel, across, up, law, levels[law.scale])
        for other in laws:
            if other is not law:
                panel.plot(other.path.params, other.path.tokens, **_THIN)
    for panel in panels.ravel()[len(laws) :]:
        panel.set_visible(False)
    _frame(panels, across, up)
    _explain(panels[0, 0], laws)
    legend_below(figure, panels[0, 0])
    return figure


_THIN = {"color": OTHERS, "linewidth": 1.1, "linestyle": "-", "zorder": 3}
_EQUAL = {"colors": EQUAL, "linewidths": 0.7, "linestyles": "solid"}
_SHADE = {"color": KNOWN, "alpha": 0.22, "linewidth": 0}


def _common_levels(fields: Sequence[Any]) -> list[float]:
    finite = np.concatenate([np.ravel(field) for field in fields])
    finite = finite[np.isfinite(finite)]
    return round_losses(float(finite.min()), float(finite.max())) if finite.size else []


def _draw_law(panel: "Axes", across: Any, up: Any, law: LawPanel, levels: list[float]) -> None:
    dress(panel, "\n".join(textwrap.wrap(law.name.replace(",", ", "), LONGEST)))
    panel.set(xscale="log", yscale="log")
    if law.fitted is not None:
        x, low, high = same_length(params=law.fitted[0], low=law.fitted[1], high=law.fitted[2])
        panel.fill_between(x, low, high, where=high > low, **_SHADE, zorder=0)
    points = label_points(across, up, np.asarray(law.loss, float), levels)
    if points:
        panel.contour(across, up, law.loss, sorted(points), **_EQUAL, zorder=1)
    for level, point in points.items():
        _name_level(panel, level, point)
    _draw_optima(panel, law)
    if law.note:
        # Without a path the contours may all rise, and their losses stand along the top.
        at_top = np.isfinite(np.asarray(law.path.params, float)).any()
        panel.text(
            0.03,
            0.97 if at_top else 0.03,
            law.note,
            transform=panel.transAxes,
            va="top" if at_top else "bottom",
            fontsize=7.5,
            color=INK,
            path_effects=halo(),
            zorder=6,
        )


def label_points(
    across: Any, up: Any, field: np.ndarray, levels: list[float]
) -> dict[float, tuple[float, float]]:
    """Where each loss is written: in a column at the right, else in a row at the top.

    A level that passes neither, cutting a corner, is left out, and one too close to the last.
    """
    column, row = (round(LABELS * (size - 1)) for size in (across.size, up.size))
    log_across, log_up = np.log(across), np.log(up)
    at_right = _where(field[:, column], log_up, levels)
    at_top = _where(field[row], log_across, levels)
    across_gap = APART_ACROSS * (log_across[-1] - log_across[0])
    up_gap = APART_UP * (log_up[-1] - log_up[0])
    points, last_y, last_x = {}, math.inf, math.inf
    # Both sizes fall as the loss rises.
    for level, y, x in zip(levels, at_right, at_top, strict=True):
        crosses_right = _is_inside(y, log_up, log_up[row])
        if crosses_right and last_y - y > up_gap:
            points[level], last_y = (float(across[column]), float(np.exp(y))), y
        elif (
            not crosses_right
            and _is_inside(x, log_across, log_across[column])
            and last_x - x > across_gap
        ):
            points[level], last_x = (float(np.exp(x)), float(up[row])), x
    return points


def _is_inside(log_size: float, logs: Any, highest: float) -> bool:
    return bool(logs[0] + EDGE * (logs[-1] - logs[0]) < log_size < highest)


def _where(losses: Any, logs: Any, levels: list[float]) -> np.ndarray:
    """The size at which the loss, which falls with size, has each level; NaN where it has none."""
    known = np.isfinite(losses)
    found = np.full(len(levels), np.nan)
    if known.any():
        falling, logs = losses[known][::-1], logs[known][::-1]
        found = np.interp(levels, falling, logs, left=np.nan, right=np.nan)
    return found


def _name_level(panel: "Axes", level: float, point: tuple[float, float]) -> None:
    panel.text(
        *point,
        f"{level:.8g}",
        ha="center",
        va="center",
        fontsize=7,
        color=INK,
        bbox={"boxstyle": "square,pad=0.12", "facecolor": "white", "linewidth": 0},
        zorder=2,
    )


def _draw_optima(panel: "Axes", law: LawPanel) -> None:
    flops, params, tokens = same_length(
        flops=law.path.flops, params=law.path.params, tokens=law.path.tokens
    )
    inside = np.asarray(law.inside, bool)
    panel.plot(params, tokens, linestyle=DASHES, **ON_PATH)
    panel.plot(np.where(inside, params, np.nan), tokens, **ON_PATH)
    known = np.isfinite(params) & np.isfinite(tokens)
    if not known.any():
        return
    flops, params, tokens = flops[known], params[known], tokens[known]
    first, last = (math.log10(x) for x in (flops[0], flops[-1]))
    for power in range(math.ceil(first), math.floor(last) + 1, MARKED):
        x, y = (
            float(np.exp(np.interp(power, np.log10(flops), np.log(size))))
            for size in (params, tokens)
        )
        panel.plot(x, y, marker="D", markersize=5, color=PATH, markeredgecolor="white", zorder=5)
        panel.annotate(
            f"1e{power}",
            (x, y),
            (6, -4),
            textcoords="offset points",
            va="top",
            fontsize=7,
            color=PATH,
            fontweight="bold",
            path_effects=halo(),
            zorder=6,
            annotation_clip=True,
        )


def _frame(panels: Any, across: Any, up: Any) -> None:
    for panel in panels.ravel():
        panel.set(xlim=(across.min(), across.max()), ylim=(up.min(), up.max()))
        count_axis(panel.xaxis, math.log10(across.max() / across.min()))
        count_axis(panel.yaxis, math.log10(up.max() / up.min()))
        panel.grid(color=FRAME, alpha=0.12, linewidth=0.5)
    for panel in panels[-1]:
        panel.set_xlabel("params", fontsize=9, color=INK)
    for panel in panels[:, 0]:
        panel.set_ylabel("training tokens", fontsize=9, color=INK)


def _explain(panel: "Axes", laws: Sequence[LawPanel]) -> None:
    """Entries of the legend for what is drawn in any panel."""
    if any(law.fitted is not None for law in laws):
        panel.fill([], [], **_SHADE, label="fitted range")
    panel.plot([], [], color=EQUAL, linewidth=0.7, label="equal loss (nats per token)")
    with_path = [law for law in laws if np.isfinite(np.asarray(law.path.params, float)).any()]
    if with_path:
        panel.plot([], [], **ON_PATH, label="compute-optimal, marked in FLOPs")
    if not all(np.all(law.inside) for law in with_path):
        panel.plot([], [], **ON_PATH, linestyle=DASHES, label="extrapolated")
    if with_path and len(laws) > 1:
        panel.plot([], [], **_THIN, label="of the other laws")
