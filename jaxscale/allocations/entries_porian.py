"""Porian et al. 2024: five fits that lead from Kaplan's allocation to Hoffmann's, on two datasets.

Each step keeps the corrections before it, but for the last, whose rate is constant. Exponents,
scales and intervals are those of the released results, data/summary_df*.pickle.xz: bootstrap
medians, and 2.5 and 97.5 percentiles.
"""

from typing import NamedTuple

from jaxscale.allocations.allocation import Allocation, from_params
from jaxscale.allocations.entries import Entry, Interval

_HEADED = "last layer counted, embeddings at the input not"
_DATASETS = {"refinedweb": "RefinedWeb", "owt2": "OpenWebText2"}


class Step(NamedTuple):
    """One step of a chain of corrections."""

    name: str  # of the entry
    label: str  # what this step changes


# The end of a name; what it changes; exponent of params, its interval and the scale of N*, for
# each of the datasets.
_STEPS = (
    (
        "kaplan",
        "Kaplan's runs again",
        ((0.8353, (0.824, 0.846), 4.23197e-8), (0.8635, (0.819, 0.897), 1.285e-8)),
    ),
    (
        "last_layer",
        "+ last layer counted",
        ((0.7065, (0.691, 0.717), 1.27018e-5), (0.6985, (0.664, 0.724), 1.73345e-5)),
    ),
    (
        "warmup",
        "+ warm-up by size",
        ((0.6020, (0.591, 0.617), 1.43092e-3), (0.6032, (0.570, 0.629), 1.31769e-3)),
    ),
    (
        "decay",
        "+ decay by budget",
        ((0.5715, (0.560, 0.589), 4.76929e-3), (0.5743, (0.542, 0.606), 4.36583e-3)),
    ),
    (
        "tuned",
        "optimiser tuned by size",
        ((0.4969, (0.491, 0.505), 0.118926), (0.5185, (0.493, 0.541), 4.69353e-2)),
    ),
)

_NOTES = {
    "kaplan": "The last layer is left out of params and of compute, which small models feel "
    "most; params are of the same kind in D* = C / (6 N*).",
    "last_layer": "The warm-up still has one length for all sizes.",
    "warmup": "The decay of the learning rate still ends at one number of tokens for all budgets.",
    "decay": "Matching the decay to the budget changes least: the explanation that Hoffmann et "
    "al. 2022 gave is not the cause.",
    "tuned": "Learning rate, batch and beta_2 are tuned for each size, at a constant learning "
    "rate: without the decay of the step before.",
}


def _entry(step: str, dataset: str, fit: tuple[float, tuple[float, float], float]) -> Entry:
    exponent, (low, high), scale = fit
    name = f"porian2024_{dataset}_{step}"
    last = name == "porian2024_refinedweb_tuned"
    # The one step whose own fit of D* is known.
    allocation = (
        Allocation(scale, exponent, 1.40143, 0.503105) if last else from_params(scale, exponent)
    )
    counted = "last layer and embeddings at the input not counted" if step == "kaplan" else _HEADED
    return Entry(
        name=name,
        allocation=allocation,
        exponents=(exponent, 0.503105 if last else round(1 - exponent, 4)),
        source="Porian et al. 2024, arXiv 2406.19146, formll/resolving-scaling-law-discrepancies, "
        f"data, on {_DATASETS[dataset]}",
        params_convention=counted,
        flops_convention="6 N D of these params, attention left out",
        flops_range=(1.25e16, 2.56e19),
        params_interval=Interval(low, high, 0.95),
        errata=(
            _NOTES[step],
            "D* is a fit of its own." if last else "Only N* is fitted: D* is C / (6 N*).",
        ),
        aliases=("porian2024",) if last else (),
    )


ENTRIES = tuple(
    _entry(step, dataset, fits[number])
    for number, dataset in enumerate(_DATASETS)
    for step, _, fits in _STEPS
)

# From Kaplan's allocation to Hoffmann's, on RefinedWeb.
PORIAN_CHAIN = tuple(Step(f"porian2024_refinedweb_{step}", label) for step, label, _ in _STEPS)
