"""Figures of published laws, allocations and counts of FLOPs, for slides and for a first look."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxscale import allocations, architectures, laws
from jaxscale.laws.protocol import TRAIN_FLOPS, caution_of, levers_of
from jaxscale.plots.allocation_chain import allocation_chain
from jaxscale.plots.budgets import data_constrained, overtraining
from jaxscale.plots.flops_by_size import flops_by_size
from jaxscale.plots.iso_loss import OptimalPath
from jaxscale.plots.laws_compared import LawPanel, laws_compared
from jaxscale.published import Entry
from jaxscale.solve import minimize_loss

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 160  # of a curve
SIDE = 90  # points along each side of a map
BUDGETS = np.geomspace(1e18, 1e25, 2 * POINTS)  # of compute-optimal paths
ROOM = 2.5  # factor around the paths on a map
COMPARED = ("sardana2024", "besiroglu2024", "kaplan2020")

REPEATED = "muennighoff2023_repeated"
UNIQUE = np.geomspace(1e9, 1e13, 2 * POINTS)
REPEATED_BUDGETS = np.array([1e20, 1e21, 1e22, 1e23, 1e24])
MAX_EPOCHS = 100.0  # beyond, the law finds next to nothing in a repeat

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
    """Where laws put equal losses, and where each would spend compute: a panel for each.

    Laws of params and tokens alone, by name, or entries of your own. Raises ValueError for an
    unknown name and for a law with levers, ImportError without matplotlib.

    Examples:
        >>> figure = js.plots.published_laws(["hoffmann2022", "besiroglu2024"])
    """
    entries = [name if isinstance(name, Entry) else laws.entry(name) for name in names]
    for entry in entries:
        if levers_of(entry.law):
            levers = ", ".join(levers_of(entry.law))
            raise ValueError(
                f"{entry.name} also depends on {levers}: it cannot be drawn over params alone"
            )
    plans = [minimize_loss(entry.law, BUDGETS) for entry in entries]
    params = _around(np.stack([plan.params for plan in plans]))
    tokens = _around(np.stack([plan.tokens for plan in plans]))
    panels = [_panel(*each, params, tokens) for each in zip(entries, plans, strict=True)]
    cautions = {entry.name: caution_of(entry.law) for entry in entries}
    return laws_compared(
        params,
        tokens,
        panels,
        title="Where laws put equal losses, and where each would spend compute",
        subtitle="; ".join(
            [
                "Losses of different laws are not comparable: data and tokenizers differ",
                *(f"{name}: {caution}" for name, caution in cautions.items() if caution),
            ]
        ),
    )


def _around(sizes: np.ndarray) -> np.ndarray:
    return np.geomspace(np.nanmin(sizes) / ROOM, np.nanmax(sizes) * ROOM, SIDE)


def _panel(entry: Entry, plan: Any, params: np.ndarray, tokens: np.ndarray) -> LawPanel:
    fitted = _fitted_range(entry, params)
    return LawPanel(
        entry.name,
        np.asarray(entry.law.loss(params, tokens[:, None])),
        OptimalPath(BUDGETS, np.asarray(plan.params), np.asarray(plan.tokens)),
        np.asarray(entry.in_range(plan)),
        fitted,
        "" if fitted else "fitted range not known",
    )


def _fitted_range(entry: Entry, params: np.ndarray) -> tuple[Any, Any, Any] | None:
    """Params, and the fewest and the most tokens of runs of each size."""
    if entry.params_range is None or entry.tokens_range is None:
        return None
    low, high = entry.params_range
    # Its own corners too, so that the range ends where it does.
    x = np.unique(np.concatenate([params, [low, high]]))
    x = x[(x >= low) & (x <= high)]
    fewest, most = (np.full(x.size, end) for end in entry.tokens_range)
    if entry.tokens_per_param_range is not None:
        fewest = np.maximum(fewest, entry.tokens_per_param_range[0] * x)
        most = np.minimum(most, entry.tokens_per_param_range[1] * x)
    return x, fewest, most


def published_repeats() -> "Figure":
    """The best plans where unique tokens are few, of Muennighoff et al. 2023.

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
    """Loss and error on tasks by tokens per param, of Gadre et al. 2024.

    Examples:
        >>> figure = js.plots.published_overtraining()
    """
    entry = laws.entry(OVERTRAINED)
    assert entry.tokens_per_param_range is not None  # the source gives it
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
        error=laws.downstream(OVERTRAINED).error,
        fitted=entry.tokens_per_param_range,
        title="What over-training costs at a budget, and gains at a size",
        subtitle=f"law {OVERTRAINED}: loss on C4, mean top-1 error of 17 tasks; "
        "its optimum lies outside the fitted range: choose no size by it",
    )


def published_allocations() -> "Figure":
    """How Kaplan's allocation becomes Chinchilla's, of Porian et al. 2024.

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
