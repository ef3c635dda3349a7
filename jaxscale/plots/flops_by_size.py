"""How much 6 N D leaves out: FLOPs of a training token by several counts, over 6 N."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxscale.plots.frame import FRAME, INK, LINE, count_axis, dress, same_length, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (7.2, 4.8)  # inches
# Of Okabe and Ito, darkest first, told apart by all readers.
COLORS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
ON_TOP = (0, (3.0, 2.6))  # dashes of a line that would hide another
HIDES = 0.01  # of the range of heights
NAME_HEIGHT = 0.038  # of the panel
NAME_WIDTH = 0.2  # of the panel, to the left of where lines begin
ROOM = 0.05  # of the range of heights, above and below


def flops_by_size(
    params: Any, over_six_n: Mapping[str, Any], *, title: str = "", subtitle: str = ""
) -> "Figure":
    """FLOPs per training token over 6 N, a line for each count, against rising params.

    `over_six_n` has the ratios of each count by its name, which stands where its line begins.
    Say in the subtitle for which shapes and for how long a context they hold. Raises ValueError
    for columns that do not fit, for none, and for fewer than two params; ImportError without
    matplotlib.

    Examples:
        >>> from jaxscale import plots
        >>> params = np.array([1e8, 1e9, 1e10])
        >>> figure = plots.flops_by_size(params, {"operations": np.array([1.5, 1.2, 1.05])})
    """
    if not over_six_n:
        raise ValueError("over_six_n must hold at least one count; got none")
    params, *heights = same_length(params=params, **over_six_n)
    if params.size < 2:
        raise ValueError(f"params must hold at least two sizes; got {params.size}")
    figure = titled(SIZE, title, subtitle)
    panel = figure.subplots()
    dress(panel, "")
    _frame(panel, params, np.concatenate([*heights, [1.0]]))
    panel.plot(params, np.ones_like(params), color=LINE, linewidth=0.9, zorder=2)
    names = {"6 N": (1.0, LINE)}
    for number, (name, height) in enumerate(zip(over_six_n, heights, strict=True)):
        color = COLORS[number % len(COLORS)]
        style = ON_TOP if _hides(height, heights[:number]) else "-"
        panel.plot(params, height, color=color, linestyle=style, linewidth=1.8, zorder=3)
        names[name] = _first_known(height), color
    _name_lines(panel, params[0], names)
    panel.set_xlabel("params", fontsize=9, color=INK)
    panel.set_ylabel("FLOPs per training token, over 6 N", fontsize=9, color=INK)
    return figure


def _hides(height: np.ndarray, others: Sequence[np.ndarray]) -> bool:
    """Whether a line lies on one that is drawn already."""
    least = HIDES * (np.nanmax(height) - np.nanmin(height)) if np.isfinite(height).any() else 0.0
    return any(np.nanmax(np.abs(height - other), initial=0.0) < least for other in others)


def _first_known(height: np.ndarray) -> float:
    known = height[np.isfinite(height)]
    return float(known[0]) if known.size else math.nan


def _frame(panel: "Axes", params: np.ndarray, heights: np.ndarray) -> None:
    """Limits that hold all lines, with room for their names on the left."""
    decades = math.log10(params[-1] / params[0])
    panel.set_xscale("log")
    panel.set_xlim(params[0] / 10 ** (decades * NAME_WIDTH / (1 - NAME_WIDTH)), params[-1])
    count_axis(panel.xaxis, decades)
    low, high = panel.get_xlim()
    ticks = [tick for tick in panel.get_xticks() if low <= tick <= high]
    panel.set_xticks([tick for tick in ticks if tick > params[0] * (1 - 1e-9)])
    low, high = np.nanmin(heights), np.nanmax(heights)
    room = ROOM * (high - low or 1)
    panel.set_ylim(low - room, high + room)
    panel.grid(color=FRAME, alpha=0.12, linewidth=0.5)


def _name_lines(panel: "Axes", begin: float, names: Mapping[str, tuple[float, str]]) -> None:
    """Each name beside the beginning of its line, moved up or down where two would meet."""
    low, high = panel.get_ylim()
    shown = [(height, name) for name, (height, _) in names.items() if math.isfinite(height)]
    shown.sort()
    places = _spread([(height - low) / (high - low) for height, _ in shown])
    for (height, name), place in zip(shown, places, strict=True):
        color = names[name][1]
        leader = {"arrowstyle": "-", "color": color, "linewidth": 0.7}
        panel.annotate(
            name,
            (begin, height),
            (NAME_WIDTH - 0.03, place),
            textcoords="axes fraction",
            ha="right",
            va="center",
            fontsize=8,
            fontweight="bold",
            color=color,
            arrowprops={**leader, "relpos": (1, 0.5), "shrinkA": 1, "shrinkB": 0},
        )


def _spread(places: Sequence[float]) -> list[float]:
    """Rising places with room for a name each, in groups that keep their middles if they can."""
    groups: list[list[float]] = []
    for place in places:
        groups.append([place])
        while len(groups) > 1 and _lowest(groups[-1]) < _lowest(groups[-2]) + _tall(groups[-2]):
            last = groups.pop()
            groups[-1] += last
    return [
        _lowest(group) + NAME_HEIGHT * number for group in groups for number in range(len(group))
    ]


def _lowest(group: Sequence[float]) -> float:
    """Where the lowest name of a group goes: inside the panel, or no higher than it must."""
    inside = NAME_HEIGHT / 2, 1 + NAME_HEIGHT / 2 - _tall(group)
    middle = sum(group) / len(group) - (_tall(group) - NAME_HEIGHT) / 2
    return max(inside[0], min(inside[1], middle))


def _tall(group: Sequence[float]) -> float:
    return NAME_HEIGHT * len(group)
