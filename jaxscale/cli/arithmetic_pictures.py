"""Pictures of how papers count and split compute: what each is handed, and where it goes."""

from pathlib import Path

import numpy as np

from jaxscale import allocations, architectures, plots
from jaxscale.cli.allocations import CHINCHILLA
from jaxscale.cli.pictures import save

CHAIN_BUDGETS = np.geomspace(1e16, CHINCHILLA, 160)
PAPERS = {
    "Kaplan et al. 2020": "kaplan2020",
    "Hoffmann et al. 2022": "hoffmann2022_approach1",
}

SIZES = np.geomspace(1e7, 1e12, 160)
COUNTS = ("operations", "kaplan", "hoffmann", "palm", "kipply")


def draw_allocation_chain(path: Path) -> None:
    """Write a picture of how Kaplan's allocation becomes Chinchilla's (Porian et al. 2024)."""
    chain = {step.label: allocations.entry(step.name) for step in allocations.PORIAN_CHAIN}
    figure = plots.allocation_chain(
        CHAIN_BUDGETS,
        chain,
        others={paper: allocations.entry(name) for paper, name in PAPERS.items()},
        title="From Kaplan's allocation to Chinchilla's, one correction at a time",
        subtitle="Porian et al. 2024, RefinedWeb; the last budget is Chinchilla's",
    )
    save(figure, path)


def draw_flops_by_size(path: Path) -> None:
    """Write a picture of FLOPs per training token over 6 N, for shapes like Chinchilla's."""
    family = architectures.CHINCHILLA
    shapes = family.architecture(SIZES)
    rule = shapes.train_flops("6n")
    ratios = {name: np.asarray(shapes.train_flops(name) / rule) for name in COUNTS}
    save(
        plots.flops_by_size(
            SIZES,
            ratios,
            title="What 6 N counts of a training token, and what it leaves out",
            subtitle="shapes of Hoffmann et al. 2022, Table A4; "
            f"context {family.context:,.0f}; vocabulary {family.vocabulary:,.0f}",
        ),
        path,
    )
