"""Error of laws fitted to chosen runs, against the share of all cost that was spent on them."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxscale._numerics.quantities import short
from jaxscale.plots.frame import LINE, LINES, dress, grid, label, legend_below, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT, TOP = 2.75, 2.35, 0.75  # inches, of a panel, and of the title and the legend
COLUMNS = 4
LOOKS: dict[str, dict[str, Any]] = {
    "V": {"color": LINES[0], "linestyle": "-", "marker": "o", "zorder": 5},
    "D": {"color": LINES[1], "linestyle": "--", "marker": "s", "zorder": 4},
    "random": {"color": LINES[2], "linestyle": "-.", "marker": "", "zorder": 3},
}
NAMES = {"V": "V-optimal", "D": "D-optimal", "random": "random"}
LEAST = -0.25  # of the axis: what predicts worse than that is on its edge

Points = Mapping[str, Sequence[tuple[float, float]]]


def replays(
    sets: Mapping[str, Sequence[Any]],
    *,
    published: Mapping[str, Points] | None = None,
    whole: Mapping[str, float] | None = None,
    title: str = "",
    subtitle: str = "",
) -> "Figure":
    """R2 on the target runs against the share of the cost spent, a panel for each set of runs.

    Args:
        sets: replays of each set, by the title of its panel. Of several replays by one rule, such
            as "random" with several keys, the line is the median and the band reaches from the
            least to the most.
        published: points (share, R2) by set and rule, drawn as open markers.
        whole: R2 with all runs, by set: a grey line.
        title: of the figure.
        subtitle: below it.

    Raises:
        TypeError: a set holds anything but replays.
        ValueError: there is no set.
        ImportError: matplotlib is not installed.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> runs = js.fitting.simulate(law, 60, key=1)
        >>> order = np.argsort(runs.flops)
        >>> pool, target = runs.select(order[:-6]), runs.select(order[-6:])
        >>> made = [
        ...     js.experiments.replay(pool, target, type(law), method=method, shares=[0.05, 0.5])
        ...     for method in ("V", "random")
        ... ]
        >>> figure = js.plots.replays({"simulated": made})
    """
    if not sets:
        raise ValueError("sets must have at least one set of replays")
    columns = min(COLUMNS, len(sets))
    rows = math.ceil(len(sets) / columns)
    size = max(4.2, WIDTH * columns), HEIGHT * rows + TOP
    figure = titled(size, title or "What chosen runs predict", subtitle)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, (name, made) in zip(panels, sets.items(), strict=False):
        _draw(panel, name, made)
        _mark(panel, (published or {}).get(name, {}))
        if name in (whole or {}):
            panel.axhline((whole or {})[name], color=LINE, linewidth=0.9, linestyle=":", zorder=2)
            panel.plot([], [], color=LINE, linewidth=0.9, linestyle=":", label="all runs")
    for panel in panels[len(sets) :]:
        panel.set_visible(False)
    for panel in panels[::columns]:
        label(panel, panel.get_xlabel(), "R\N{SUPERSCRIPT TWO} on the target runs")
    for panel in panels[len(sets) - columns : len(sets)]:
        label(panel, "share of the cost of all runs", panel.get_ylabel())
    legend_below(figure, max(panels, key=lambda panel: len(panel.get_legend_handles_labels()[1])))
    return figure


def _draw(panel: "Axes", name: str, made: Sequence[Any]) -> None:
    """The lines of the rules, and the band of those that were replayed several times."""
    dress(panel, name)
    for rule, look in LOOKS.items():
        replayed = [each for each in made if _checked(each).method == rule]
        if not replayed:
            continue
        r2 = np.maximum([each.r2 for each in replayed], LEAST)
        shares = replayed[0].shares
        if len(replayed) > 1:
            low, high = r2.min(axis=0), r2.max(axis=0)
            panel.fill_between(shares, low, high, color=look["color"], alpha=0.15, linewidth=0)
        panel.plot(
            shares,
            np.median(r2, axis=0),
            **look,
            linewidth=1.9,
            markersize=4,
            label=NAMES[rule],
            clip_on=False,
        )
    panel.set_xscale("log")
    panel.set_ylim(LEAST, 1)
    ticks = np.unique(np.concatenate([each.shares for each in made]))
    panel.set_xticks(ticks, [f"{short(100 * x)}%" for x in ticks])
    panel.minorticks_off()
    grid(panel)


def _mark(panel: "Axes", published: Points) -> None:
    for rule, points in published.items():
        shares, r2 = np.transpose(points)
        look = {**LOOKS[rule], "linestyle": "none", "marker": LOOKS[rule]["marker"] or "^"}
        panel.plot(
            shares,
            np.maximum(r2, LEAST),
            **look,
            markersize=6,
            markerfacecolor="white",
            label=f"{NAMES[rule]}, published",
            clip_on=False,
        )


def _checked(made: Any) -> Any:
    if getattr(made, "method", None) not in LOOKS or not hasattr(made, "r2"):
        raise TypeError(f"sets must hold replays of js.experiments.replay; got {made!r}")
    return made
