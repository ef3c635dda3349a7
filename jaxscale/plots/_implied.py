"""The demand that explains the size of each released model, in order of release."""

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxscale._numerics.quantities import count
from jaxscale.economics import ReleasesExplained
from jaxscale.plots.frame import (
    FRAME,
    INK,
    LINE,
    LINES,
    RING,
    count_axis,
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

WIDTH, ROW, REST = 7.2, 0.2, 1.3  # inches, of which REST is for what is not a row
ROOM = 3.0  # on both sides of the numbers, as a factor


def implied_demand(
    explained: ReleasesExplained, *, title: str = "", subtitle: str = ""
) -> "Figure":
    """The demand that explains the size of each released model, by date, on a logarithmic axis.

    Beside it, a ring for the tokens of its training. A model that is larger than what is cheapest
    to train has no such demand: a cross at the left edge. Raises TypeError for anything but the
    result of `js.economics.implied_by_releases`, ValueError for no models, and ImportError without
    matplotlib.

    Examples:
        >>> law = js.laws.published("besiroglu2024")
        >>> figure = js.plots.implied_demand(js.economics.implied_by_releases(law))
    """
    if not isinstance(explained, ReleasesExplained):
        kind = type(explained).__name__
        raise TypeError(f"explained must come from js.economics.implied_by_releases; got a {kind}")
    if not explained.releases:
        raise ValueError("explained has no models")
    dates = [entry.release.date for entry in explained.releases]
    order = sorted(range(len(dates)), key=dates.__getitem__)
    models = [explained.releases[i] for i in order]
    demand = np.asarray(explained.implied.tokens, float)[order]
    trained = np.array([entry.release.tokens for entry in models])
    figure = titled(
        (WIDTH, REST + ROW * len(models)), title or "What makers seem to expect", subtitle
    )
    panel = figure.subplots()
    dress(panel, "")
    rows = np.arange(len(models))
    _frame(panel, np.concatenate([trained, demand[demand > 0]]), len(models))
    _years(panel, [entry.release.date[:4] for entry in models])
    panel.set_yticks(rows, [entry.release.title for entry in models], fontsize=8)
    _draw(panel, rows, demand, trained)
    legend_below(figure, panel)
    return figure


def _frame(panel: "Axes", values: np.ndarray, count_of_rows: int) -> None:
    panel.set(xscale="log", xlim=(values.min() / ROOM, values.max() * ROOM))
    panel.set_ylim(count_of_rows - 0.4, -0.6)
    count_axis(panel.xaxis)
    grid(panel, axis="x")
    label(panel, "tokens")
    panel.tick_params(axis="y", length=0)


def _draw(panel: "Axes", rows: np.ndarray, demand: np.ndarray, trained: np.ndarray) -> None:
    explained = demand > 0
    for row in rows[explained]:
        ends = trained[row], demand[row]
        panel.plot(ends, (row, row), color=LINES[0], linewidth=1.2, alpha=0.35, zorder=2)
        text = count(float(demand[row]), 2)
        # On the far side of the ring, so that neither covers the other.
        to_right = demand[row] >= trained[row]
        look: dict[str, Any] = {"ha": "left" if to_right else "right", "va": "center"}
        write(
            panel, text, (demand[row], row), (7 if to_right else -7, 0), color=INK, size=7, **look
        )
    marks: dict[str, Any] = {"markersize": 5, "linestyle": "none", "zorder": 4}
    panel.plot(trained, rows, **{**RING, "markersize": 4}, color=LINE, label="training tokens")
    left = np.full(len(rows), panel.get_xlim()[0] * 1.35)
    kinds: list[tuple[str, np.ndarray, np.ndarray, dict[str, Any]]] = [
        ("demand that explains the size", explained, demand, {"marker": "o", "color": LINES[0]}),
        ("too large for any demand", demand < 0, left, {"marker": "X", "color": LINES[1]}),
        ("no demand explains the size", np.isnan(demand), left, {"marker": "_", "color": FRAME}),
    ]
    for label_of, which, x, look in kinds:
        if which.any():  # a legend must not explain a mark that is not there
            panel.plot(x[which], rows[which], label=label_of, **look, **marks)


def _years(panel: "Axes", years: list[str]) -> None:
    """A line between the years, and each year at the right edge."""
    for row, year in enumerate(years):
        if row == 0 or years[row - 1] != year:
            if row:
                panel.axhline(row - 0.5, color=FRAME, linewidth=0.5, alpha=0.4, zorder=1)
            at = panel.get_xlim()[1], row
            write(panel, year, at, (-4, 0), color=LINE, size=7.5, ha="right", va="center")
