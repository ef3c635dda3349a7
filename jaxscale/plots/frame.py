"""What all pictures share: a titled sheet, panels with quiet frames, numbers written short."""

import math
import re
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150  # dots per inch
HEADING, SUBTITLE_LINE = 0.34, 0.15  # inches: down to the subtitle, and each line of it
SUBTITLE_CHARACTERS = 15  # of an inch
INK, LINE, FRAME = "#22262b", "#474d55", "#6a7079"


def titled(size: tuple[float, float], title: str, subtitle: str) -> "Figure":
    """An empty figure under a title, and under small lines that say what it holds for."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    # What stands between two semicolons belongs on one line.
    together = re.sub("(?<!;) ", "\N{NO-BREAK SPACE}", subtitle)
    lines = textwrap.wrap(together, width=int(size[0] * SUBTITLE_CHARACTERS))
    heading = (HEADING + SUBTITLE_LINE * len(lines)) if lines else 0.0  # inches
    height = size[1] + (heading - HEADING if lines else 0.0)
    layout = ConstrainedLayoutEngine(wspace=0.06, rect=(0, 0, 1, 1 - heading / height))
    figure = Figure(figsize=(size[0], height), dpi=DPI, layout=layout)
    if not lines:
        figure.suptitle(title, fontsize=11, color=INK, parse_math=False)
        return figure
    # The layout makes room for one text; under a place of their own there is room for both.
    # Two dollar signs are two prices here, and no formula.
    plain = {"va": "top", "parse_math": False}
    figure.suptitle(title, y=1 - 0.1 / height, fontsize=11, color=INK, **plain)
    below = 1 - HEADING / height
    figure.text(0.5, below, "\n".join(lines), ha="center", fontsize=8, color=LINE, **plain)
    return figure


def dress(panel: "Axes", name: str) -> None:
    """Give a panel its title, small ticks and a quiet frame."""
    panel.set_title(name, fontsize=10, fontweight="bold", color=INK)
    panel.tick_params(labelsize=8, colors=INK, length=3, width=0.6)
    panel.tick_params(which="minor", length=0)
    for spine in panel.spines.values():
        spine.set(linewidth=0.6, color=FRAME)


def count_axis(axis: Any, decades: float = math.inf) -> None:
    """Write the ticks of a logarithmic axis as counts; more of them where it spans few decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 3 else (1,), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda x, _: short(x)))
    axis.set_minor_formatter(NullFormatter())


def short(x: float) -> str:
    """A count in few characters: 10B, 1T; 1e21 where no suffix reaches."""
    for power, suffix in ((15, "Q"), (12, "T"), (9, "B"), (6, "M"), (3, "K")):
        if 10**power <= abs(x) < 10**18:
            return f"{x / 10**power:g}{suffix}"
    return f"{x:g}".replace("e+", "e")
