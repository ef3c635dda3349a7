"""A loss curve, the law fitted to its start, and the interval of what is to come."""

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxscale._numerics.quantities import short
from jaxscale.plots.frame import (
    DASHED,
    INK,
    LINE,
    LINES,
    SHADE,
    dress,
    grid,
    label,
    legend_below,
    titled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (7.2, 4.4)  # inches
MOST_POINTS = 400
STEEP = 0.1  # of the steps shown: the fall before that sets no limit of the panel


def extrapolation(curve: Any, *, later: Any = None, title: str = "") -> "Figure":
    """Losses of the start of a training, the fitted law, and the interval of the rest.

    `curve` comes from `js.trajectories.extrapolate`; `later` is the whole `Curve`, where it is
    known by now. Raises TypeError for anything else, and ImportError without matplotlib.

    Examples:
        >>> schedule = js.trajectories.Schedule.constant(9_000, 3e-4)
        >>> steps, law = np.arange(500, 3001, 50), js.trajectories.EarlyPower(3.0, 0.5, 0.5)
        >>> noise = 0.001 * np.random.default_rng(0).standard_normal(steps.size)
        >>> loss = np.asarray(law.loss(schedule, steps)) * np.exp(noise)
        >>> start = js.trajectories.Curve(steps, loss, schedule)
        >>> figure = js.plots.extrapolation(js.trajectories.extrapolate(start))
    """
    if not hasattr(curve, "drift"):
        raise TypeError(f"curve must come from js.trajectories.extrapolate; got {curve!r}")
    start = curve.curve
    figure = titled(SIZE, title or "How the training will end", _subtitle(curve))
    panel = figure.subplots()
    dress(panel, "")
    if later is not None:
        rest = later.steps > start.steps[-1]
        look: dict[str, Any] = {"color": LINES[1], "linewidth": 1.0, "zorder": 2.5}
        panel.plot(*_thinned(later.steps[rest], later.loss[rest]), label="what came", **look)
    panel.fill_between(
        curve.steps, curve.low, curve.high, label=f"{100 * curve.level:g} % interval", **SHADE
    )
    points: dict[str, Any] = {"color": LINE, "markersize": 2.5, "zorder": 3, "linestyle": "none"}
    panel.plot(
        *_thinned(start.steps, start.loss), marker="o", label="losses of the start", **points
    )
    panel.plot(curve.steps, curve.loss, color=LINES[0], linewidth=1.9, zorder=4, label="the law")
    _mark(panel, curve)
    _frame(panel, curve)
    legend_below(figure, panel)
    return figure


def _subtitle(curve: Any) -> str:
    law = type(curve.fit.law)
    return f"{law.equation}; fitted to {len(curve.curve)} losses; {curve.fit.status.name}"


def _thinned(steps: np.ndarray, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    every = -(-len(steps) // MOST_POINTS)
    return steps[::every], loss[::every]


def _mark(panel: "Axes", curve: Any) -> None:
    """The step up to which losses are known, and the end in words."""
    look: dict[str, Any] = {"color": LINE, "linewidth": 1.0, "linestyle": DASHED, "zorder": 2}
    cut = float(curve.curve.steps[-1])
    panel.axvline(cut, **look)
    loss, low, high = curve.end
    panel.plot([curve.steps[-1]], [loss], "o", color=LINES[0], markersize=6, zorder=5)
    said = f"step {curve.steps[-1]:,}: {loss:.3f}\n{low:.3f} to {high:.3f}"
    # Curves fall, so that nothing is drawn in this corner.
    corner: dict[str, Any] = {"transform": panel.transAxes, "ha": "right", "va": "top"}
    panel.text(0.98, 0.96, said, color=INK, fontsize=9, linespacing=1.5, **corner)


def _frame(panel: "Axes", curve: Any) -> None:
    """Limits without the steep fall of the first steps."""
    first, last = float(curve.steps[0]), float(curve.steps[-1])
    early = first + STEEP * (last - first)
    start = curve.curve
    shown = start.loss[start.steps >= min(early, float(np.median(start.steps)))]
    top = max(float(shown.max()), float(curve.high[-1]))
    bottom = min(float(curve.low.min()), float(start.loss.min()))
    panel.set_ylim(bottom - 0.05 * (top - bottom), top + 0.12 * (top - bottom))
    panel.xaxis.set_major_formatter(lambda x, _: short(x))
    grid(panel)
    label(panel, "training steps", "loss, nats per token")
