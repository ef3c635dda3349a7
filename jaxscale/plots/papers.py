"""Figures of published laws, allocations and counts of FLOPs, for slides and for a first look."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxscale import allocations, architectures, laws
from jaxscale.laws.protocol import TRAIN_FLOPS
from jaxscale.plots._allocation_chain import allocation_chain
from jaxscale.plots._best_ratios import best_ratios
from jaxscale.plots._iso_loss import iso_loss
from jaxscale.plots.budgets import data_constrained, overtraining
from jaxscale.plots.frame import FRAME, INK, LINE, count_axis, dress, same_length, titled
from jaxscale.published import Entry
from jaxscale.solve import minimize_loss

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 160  # of a curve
COMPARED = ("sardana2024", "besiroglu2024", "kaplan2020")

OF_DENSE_MODELS = (
    *("hoffmann2022", "sardana2024", "besiroglu2024", "muennighoff2023"),
    *("kaplan2020", "gadre2024_redpajama"),
)

REPEATED = "muennighoff2023_repeated"
UNIQUE = np.geomspace(1e9, 1e13, 2 * POINTS)
REPEATED_BUDGETS = np.array([1e20, 1e21, 1e22, 1e23, 1e24])
MAX_EPOCHS = 100.0  # beyond this, repeats are worth next to nothing by the law

OVERTRAINED = "gadre2024_c4"
RATIOS = np.geomspace(1, 3000, POINTS)
OVERTRAINED_BUDGETS = np.array([1e18, 1e19, 1e20, 1e21, 1e22])
OVERTRAINED_SIZES = np.array([1e8, 4e8, 1.4e9, 6.9e9])

CHAIN_BUDGETS = np.geomspace(1e16, allocations.CHINCHILLA_FLOPS, POINTS)
PAPERS = {
    "Kaplan et al. 2020": "kaplan2020",
    "Hoffmann et al. 2022": "hoffmann2022_approach1",
}

SIZES = np.geomspace(1e7, 1e12, POINTS)
COUNTS = ("operations", "kaplan", "hoffmann", "palm", "kipply")


def published_laws(names: Sequence[str | Entry] = COMPARED) -> "Figure":
    """Contours of equal loss, and compute-optimal paths, of published laws: a panel for each.

    Laws of params and tokens alone, by name, or entries; `iso_loss` draws any. Raises ValueError
    for an unknown name and for a law with levers, ImportError without matplotlib.

    Examples:
        >>> figure = js.plots.published_laws(["hoffmann2022", "besiroglu2024"])
    """
    return iso_loss(names)


def published_ratios(names: Sequence[str | Entry] = OF_DENSE_MODELS) -> "Figure":
    """Best tokens per param against the training budget, by published laws of dense models.

    Laws as in `published_laws`, and raises as it does.

    Examples:
        >>> figure = js.plots.published_ratios(["hoffmann2022", "besiroglu2024"])
    """
    return best_ratios(
        names,
        subtitle="for training alone, at 6 N D FLOPs; each law has data and a count of params of "
        "its own",
    )


def published_repeats() -> "Figure":
    """The best plans where unique tokens are few, by Muennighoff et al. 2023.

    Examples:
        >>> figure = js.plots.published_repeats()
    """
    law: Any = laws.published(REPEATED)
    return data_constrained(
        UNIQUE,
        REPEATED_BUDGETS,
        minimize_loss(law, REPEATED_BUDGETS[:, None], levers={"unique_tokens": UNIQUE}),
        minimize_loss(law.base(), REPEATED_BUDGETS),
        max_epochs=MAX_EPOCHS,
        title="The best plan of a budget when tokens must be read again",
        subtitle=f"law {REPEATED}; lines end at {MAX_EPOCHS:g} epochs; the law knows waste, "
        "and no harm from repetition",
    )


def published_overtraining() -> "Figure":
    """Loss and error on tasks over tokens per param, by Gadre et al. 2024.

    Examples:
        >>> figure = js.plots.published_overtraining()
    """
    entry = laws.entry(OVERTRAINED)
    assert entry.tokens_per_param_range is not None  # the source gives it
    task = laws.task(OVERTRAINED)
    flops = TRAIN_FLOPS * OVERTRAINED_SIZES[:, None] ** 2 * RATIOS
    by_budget, by_size = (
        laws.loss_at_ratio(entry.law, each, RATIOS)
        for each in (OVERTRAINED_BUDGETS[:, None], flops)
    )
    return overtraining(
        RATIOS,
        (OVERTRAINED_BUDGETS, by_budget),
        (OVERTRAINED_SIZES, by_size),
        minimize_loss(entry.law, OVERTRAINED_BUDGETS),
        error=lambda loss: 1 - task.accuracy(loss),
        fitted=entry.tokens_per_param_range,
        title="What over-training costs at a budget, and gains at a size",
        subtitle=f"law {OVERTRAINED}: loss on C4, mean top-1 error of 17 tasks; "
        "its optimum lies outside the fitted range: choose no size by it",
    )


def published_allocations() -> "Figure":
    """The steps from Kaplan's allocation to Chinchilla's, by Porian et al. 2024.

    Examples:
        >>> figure = js.plots.published_allocations()
    """
    return allocation_chain(
        CHAIN_BUDGETS,
        {step.label: allocations.entry(step.name) for step in allocations.PORIAN_CHAIN},
        others={paper: allocations.entry(name) for paper, name in PAPERS.items()},
        title="From Kaplan's allocation to Chinchilla's, one correction at a time",
        subtitle="Porian et al. 2024, RefinedWeb; the last budget is Chinchilla's",
    )


def published_flops() -> "Figure":
    """FLOPs per training token over 6 N by five counts, for shapes like Chinchilla's.

    Examples:
        >>> figure = js.plots.published_flops()
    """
    family = architectures.CHINCHILLA
    shapes = family.architecture(SIZES)
    rule = shapes.train_flops("6n")
    return flops_by_size(
        SIZES,
        {name: np.asarray(shapes.train_flops(name) / rule) for name in COUNTS},
        title="What 6 N counts of a training token, and what it leaves out",
        subtitle="shapes of Hoffmann et al. 2022, Table A4; "
        f"context {family.context:,.0f}; vocabulary {family.vocabulary:,.0f}",
    )


FLOPS_SIZE = (7.2, 4.8)  # inches
# Of Okabe and Ito, darkest first, told apart by all readers.
COLORS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
ON_TOP = (0, (3.0, 2.6))  # dashes of a line that would hide another
HIDES = 0.01  # of the range of heights
NAME_HEIGHT = 0.038  # of the panel
NAME_WIDTH = 0.2  # of the panel, to the left of where lines begin
HEADROOM = 0.05  # of the range of heights, above and below


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
    figure = titled(FLOPS_SIZE, title, subtitle)
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
    room = HEADROOM * (high - low or 1)
    panel.set_ylim(low - room, high + room)
    panel.grid(color=FRAME, alpha=0.12, linewidth=0.5)


def _name_lines(panel: "Axes", begin: float, names: Mapping[str, tuple[float, str]]) -> None:
    """Each name beside the beginning of its line, moved up or down where two would meet."""
    low, high = panel.get_ylim()
    shown = [(height, name) for name, (height, _) in names.items() if math.isfinite(height)]
    shown.sort()
    positions = _spread([(height - low) / (high - low) for height, _ in shown])
    for (height, name), position in zip(shown, positions, strict=True):
        color = names[name][1]
        leader = {"arrowstyle": "-", "color": color, "linewidth": 0.7}
        panel.annotate(
            name,
            (begin, height),
            (NAME_WIDTH - 0.03, position),
            textcoords="axes fraction",
            ha="right",
            va="center",
            fontsize=8,
            fontweight="bold",
            color=color,
            arrowprops={**leader, "relpos": (1, 0.5), "shrinkA": 1, "shrinkB": 0},
        )


def _spread(positions: Sequence[float]) -> list[float]:
    """Rising positions with room for a name each, in groups that keep their middles if they can."""
    groups: list[list[float]] = []
    for position in positions:
        groups.append([position])
        while len(groups) > 1 and _lowest(groups[-1]) < _lowest(groups[-2]) + _tall(groups[-2]):
            last = groups.pop()
            groups[-1] += last
    return [
        _lowest(group) + NAME_HEIGHT * number for group in groups for number in range(len(group))
    ]


def _lowest(group: Sequence[float]) -> float:
    """Position of the lowest name of a group: inside the panel, and no higher than it must be."""
    inside = NAME_HEIGHT / 2, 1 + NAME_HEIGHT / 2 - _tall(group)
    middle = sum(group) / len(group) - (_tall(group) - NAME_HEIGHT) / 2
    return max(inside[0], min(inside[1], middle))


def _tall(group: Sequence[float]) -> float:
    return NAME_HEIGHT * len(group)
