"""Best tokens per param of several laws against the budget."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from jaxscale._numerics.quantities import short
from jaxscale.plots._allocation_chain import apart, name_budgets
from jaxscale.plots._iso_loss import BUDGETS, LawLike, named_laws
from jaxscale.plots.frame import (
    DASHED,
    LINE,
    LINES,
    count_axis,
    dress,
    grid,
    label,
    legend_below,
    line_of_budget,
    titled,
    write,
)
from jaxscale.solve import minimize_loss

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (9.2, 5.0)  # inches
ROOM = 1.6  # factor above and below all lines
TITLE = "The best tokens per param, by law"


def best_ratios(
    laws: LawLike | Iterable[LawLike] | Mapping[str, LawLike],
    *,
    levers: Mapping[str, float] | None = None,
    title: str = TITLE,
    subtitle: str = "",
) -> "Figure":
    """Compute-optimal tokens per param against training FLOPs, a line for each law.

    Lines are solid where the plan lies within the runs behind the law, and dashed where it does
    not or where their sizes are not known. `laws` and `levers` are as in `iso_loss`. A law of
    another loss scale may stand beside the others: sizes are comparable where losses are not.

    Raises TypeError or ValueError naming the argument, ImportError without matplotlib.

    Examples:
        >>> figure = js.plots.best_ratios(["sardana2024", "besiroglu2024", "kaplan2020"])
    """
    named = named_laws(laws, levers or {})
    figure = titled(SIZE, title, subtitle)
    panel = figure.subplots()
    dress(panel, "")
    panel.set(xscale="log", yscale="log")
    ends = {}
    for number, each in enumerate(named):
        plans = minimize_loss(each.law, BUDGETS, levers=each.levers)
        ratios = np.asarray(plans.tokens_per_param)
        inside = np.full(BUDGETS.size, each.entry is None)
        if each.entry is not None:
            inside = np.asarray(each.entry.in_range(plans))
        line_of_budget(panel, BUDGETS, ratios, inside, LINES[number % len(LINES)])
        known = ratios[np.isfinite(ratios)]
        if known.size:
            ends[each.name] = (known[-1], LINES[number % len(LINES)])
    panel.set_xlim(BUDGETS[0], BUDGETS[-1])
    low, high = panel.get_ylim()
    panel.set_ylim(low / ROOM, high * ROOM)
    _name_ends(panel, ends)
    label(panel, "training budget (FLOPs)", "best tokens per param")
    name_budgets(panel.xaxis)
    count_axis(panel.yaxis, float(np.ptp(np.log10(panel.get_ylim()))))
    grid(panel)
    panel.plot([], [], color=LINE, linewidth=1.9, label="within the runs behind the law")
    panel.plot([], [], color=LINE, linewidth=1.9, linestyle=DASHED, label="extrapolated")
    legend_below(figure, panel)
    return figure


def _name_ends(panel: "Axes", ends: Mapping[str, tuple[float, str]]) -> None:
    """The name and last value of each line, outside the panel and apart from each other."""
    if not ends:
        return
    low, high = np.log(panel.get_ylim())
    values = np.array([value for value, _ in ends.values()])
    heights = apart((np.log(values) - low) / (high - low))
    for (name, (value, color)), height in zip(ends.items(), heights, strict=True):
        text = f"{name}  {short(float(f'{value:.2g}'))}"
        write(panel, text, (1, height), (6, 0), color=color, xycoords="axes fraction", va="center")
