"""Cost against time: what a training costs that must be ready sooner, and on how many devices."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxscale._numerics.quantities import counted, short
from jaxscale.economics import PricedTraining
from jaxscale.plots.frame import (
    DASHED,
    LINE,
    LINES,
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

SIZE = (7.2, 4.4)  # inches
ROOM = 1.15  # around the line, as a factor
MOST = 20.0  # of the fewest dollars: near the fewest days the line goes up without end
MARKS = 5  # points whose devices are written, evenly spaced along the line
LAST = 0.85  # of the panel's width, to the right of which a text goes to the left
DAY = 86400.0  # seconds
CAPTION = "The plan itself, trained at the critical batch, costs twice the fewest dollars"


def deadlines(priced: PricedTraining, *, title: str = "", subtitle: str = "") -> "Figure":
    """Dollars of a training against the days until it is ready, with its devices beside points.

    Dashed lines are the fewest days, which more and more devices approach, and the fewest dollars,
    which fewer and fewer devices approach: half of what the plan costs by its own tokens, which are
    those of the critical batch. `priced` comes from `js.economics.deadlines` and has one axis;
    deadlines that no number of devices meets, or that cost more than 20 times the fewest dollars,
    are left out. Raises TypeError for anything but a `PricedTraining`, ValueError for another shape
    or fewer than two points, and ImportError without matplotlib.

    Examples:
        >>> plan = js.evaluate(js.laws.published("sardana2024"), params=70e9, tokens=15e12)
        >>> priced = js.economics.deadlines(
        ...     plan,
        ...     js.accelerator("H100-SXM", price=2.0),
        ...     seconds=np.linspace(20, 200, 100) * 86400.0,
        ...     mfu=0.4,
        ...     critical_batch=js.training_recipe(plan, "kaplan2020").batch_tokens,
        ...     tokens_per_device=2475.0,
        ... )
        >>> figure = js.plots.deadlines(priced)
    """
    days, dollars, devices, compute = _points(priced)
    figure = titled(SIZE, title or "What a deadline costs", subtitle or CAPTION)
    panel = figure.subplots()
    dress(panel, "")
    panel.set(xscale="log", yscale="log")
    panel.plot(days, dollars, color=LINES[0], linewidth=1.9, zorder=3, label="cost")
    least = float(np.nanmin(np.asarray(priced.least_seconds, float))) / DAY
    fewest = float(np.min(dollars / compute))
    look: dict[str, Any] = {"linestyle": DASHED, "linewidth": 1.2, "zorder": 2}
    name = f"fewest days, {short(round(least, 1))}: ever more devices"
    panel.axvline(least, color=LINES[1], label=name, **look)
    name = f"fewest dollars, ${short(float(f'{fewest:.2g}'))}: ever fewer devices"
    panel.axhline(fewest, color=LINES[2], label=name, **look)
    _frame(panel, np.append(days, least), np.append(dollars, fewest))
    _write_devices(panel, days, dollars, devices)
    legend_below(figure, panel)
    return figure


def _points(priced: PricedTraining) -> tuple[np.ndarray, ...]:
    """Days, dollars, devices and FLOPs over the fewest of all that is ok, the shortest first."""
    if not isinstance(priced, PricedTraining):
        raise TypeError(f"priced must come from js.economics.deadlines; got {priced!r}")
    ok = np.asarray(priced.ok & (priced.relative_compute <= MOST))
    if ok.ndim != 1 or np.count_nonzero(ok) < 2:
        met = f"got shape {ok.shape}, {np.count_nonzero(ok)} of them"
        raise ValueError(
            f"priced must have one axis, with two deadlines or more that can be met for at most "
            f"{MOST:g} times the fewest dollars; {met}"
        )
    columns = priced.days, priced.dollars, priced.devices, priced.relative_compute
    order = np.argsort(np.asarray(priced.days, float)[ok])
    days, dollars, devices, compute = (np.asarray(x, float)[ok][order] for x in columns)
    return days, dollars, devices, compute


def _frame(panel: "Axes", days: np.ndarray, dollars: np.ndarray) -> None:
    for axis, values, set_limits in (
        (panel.xaxis, days, panel.set_xlim),
        (panel.yaxis, dollars, panel.set_ylim),
    ):
        low, high = values.min() / ROOM, values.max() * ROOM
        set_limits(low, high)
        count_axis(axis, math.log10(high / low))
    panel.yaxis.set_major_formatter(lambda x, _: f"${short(x)}")
    grid(panel)
    label(panel, "days until the model is trained", "cost of the training")


def _write_devices(
    panel: "Axes", days: np.ndarray, dollars: np.ndarray, devices: np.ndarray
) -> None:
    """The number of devices beside points that are evenly spaced along the line."""
    steps = [np.diff(np.log(x)) / max(np.ptp(np.log(x)), 1e-9) for x in (days, dollars)]
    along = np.append(0, np.cumsum(np.hypot(*steps)))
    marks = np.linspace(0.08, 0.92, MARKS) * along[-1]
    chosen = list(dict.fromkeys(int(np.argmin(abs(along - mark))) for mark in marks))
    panel.plot(days[chosen], dollars[chosen], "o", color=LINES[0], markersize=5, zorder=4)
    low, high = panel.get_xlim()
    for i in chosen:
        is_last = math.log(days[i] / low) > LAST * math.log(high / low)
        look: dict[str, Any] = {"offset": (4, 6), "ha": "right"} if is_last else {"offset": (6, 5)}
        count = counted(round(float(f"{devices[i]:.2g}")), "device")
        write(panel, count, (days[i], dollars[i]), color=LINE, size=7.5, rim=True, **look)
