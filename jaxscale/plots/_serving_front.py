"""Speed against price of serving: the deployments that none beats in both."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxscale._numerics.quantities import sequences, short
from jaxscale.plots.frame import (
    FRAME,
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
from jaxscale.serving import Front, name_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (7.2, 4.4)  # inches
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
# Between points whose batch is written, as shares of the panel's sides; the text of the last is a
# long one.
APART, APART_FROM_LAST = 0.07, 0.22
# Around the points, for their batches: a factor, or a share of the decades that they span.
ROOM, SHARE_OF_ROOM = 1.25, 0.09
ABOVE: dict[str, Any] = {"offset": (-7, 0), "ha": "right", "va": "center"}
BELOW: dict[str, Any] = {"offset": (6, -8), "ha": "left", "va": "center"}


def serving_front(front: Front, *, title: str = "", subtitle: str = "") -> "Figure":
    """Tokens a second that a user sees against dollars per million tokens written.

    A colour and a marker for each deployment, and beside points the number of sequences that are
    decoded together. Points further right are faster, and lower ones cheaper. Raises TypeError for
    what is no front, ValueError for one without points, ImportError without matplotlib.

    Examples:
        >>> shape = js.architectures.published("llama-3-70b")
        >>> device, requests = js.accelerator("H100-SXM", price=2.0), js.serving.Requests(1024, 256)
        >>> figure = js.plots.serving_front(js.serving.front(shape, device, requests))
    """
    if not isinstance(front, Front):
        raise TypeError(f"front must come from js.serving.front; got {front!r}")
    if not len(front):
        raise ValueError(f"front has no points: {front.status.sentence}")
    speed = np.asarray(front.tokens_per_second_per_user, float)
    price = np.asarray(front.dollars_per_million_output_tokens, float)
    figure = titled(SIZE, title or "What speed costs", subtitle)
    panel = figure.subplots()
    dress(panel, "")
    panel.set(xscale="log", yscale="log")
    panel.plot(speed, price, color=FRAME, linewidth=0.8, alpha=0.5, zorder=2)
    # In the order of the front, the cheapest deployment first.
    for number, choice in enumerate(dict.fromkeys(reversed(front.choice.tolist()))):
        color, marker = LINES[number % len(LINES)], MARKERS[number % len(MARKERS)]
        points = front.choice == choice
        # A line joins the points of one deployment where no other lies between.
        y = np.where(points, price, np.nan)
        panel.plot(speed, y, color=color, linewidth=1.9, zorder=3)
        panel.plot(
            speed[points],
            price[points],
            color=color,
            marker=marker,
            markersize=6,
            markeredgecolor="white",
            markeredgewidth=0.7,
            linestyle="none",
            label=name_of(front.options[choice]),
            zorder=4,
        )
    _frame(panel, speed, price)
    _write_batches(panel, front, speed, price)
    legend_below(figure, panel)
    return figure


def _frame(panel: "Axes", speed: np.ndarray, price: np.ndarray) -> None:
    for axis, values, set_limits in (
        (panel.xaxis, speed, panel.set_xlim),
        (panel.yaxis, price, panel.set_ylim),
    ):
        room = max(ROOM, (values.max() / values.min()) ** SHARE_OF_ROOM)
        low, high = values.min() / room, values.max() * room
        set_limits(low, high)
        count_axis(axis, math.log10(high / low))
    panel.yaxis.set_major_formatter(lambda x, _: f"${short(x)}")
    grid(panel)
    label(panel, "tokens a second that a user sees", "price of a million tokens written")


def _write_batches(panel: "Axes", front: Front, speed: np.ndarray, price: np.ndarray) -> None:
    """The batch beside each point that is far enough from the others written, the ends first."""
    x, y = (_share(values) for values in (speed, price))
    last = len(front) - 1
    written: list[int] = []
    for index in dict.fromkeys((0, last, *range(1, last))):
        near = (
            abs(x[index] - x[i]) < (APART_FROM_LAST if i == last else APART)
            and abs(y[index] - y[i]) < APART
            for i in written
        )
        if not any(near):
            written.append(index)
            count = sequences(float(front.batch[index]))
            noun = "sequence" if count == "1" else "sequences"
            text = f"{count} {noun} at once" if index in (0, last) else count
            # To the left of the steep end, and else below the curve.
            look: dict[str, Any] = dict(ABOVE if index == 0 else BELOW)
            at = speed[index], price[index]
            write(panel, text, at, look.pop("offset"), color=LINE, size=7.5, rim=True, **look)


def _share(values: np.ndarray) -> np.ndarray:
    """Where each value lies between the least and the largest, by its logarithm."""
    logs = np.log(values)
    return (logs - logs.min()) / max(float(np.ptp(logs)), 1e-9)
