"""The catalogue of published allocations: each with its source, its range and its known faults.

What is counted as a parameter and as compute differs between papers, and exponents with it:
`params_convention` and `flops_convention` of an entry say what its numbers mean.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from jaxscale import laws
from jaxscale.allocations.allocation import Allocation, from_params, from_tokens, frontier
from jaxscale.published import Entry, find, shipped


class Step(NamedTuple):
    """One step of a chain of corrections."""

    name: str  # of the entry
    label: str  # what this step changes


# From Kaplan's allocation to Hoffmann's, on RefinedWeb: Porian et al. 2024.
PORIAN_CHAIN = (
    Step("porian2024_refinedweb_kaplan", "Kaplan's runs again"),
    Step("porian2024_refinedweb_last_layer", "+ last layer counted"),
    Step("porian2024_refinedweb_warmup", "+ warm-up by size"),
    Step("porian2024_refinedweb_decay", "+ decay by budget"),
    Step("porian2024_refinedweb_tuned", "optimiser tuned by size"),
)


def _of_published(law: str) -> Allocation:
    """The allocation of a published law, in Python floats."""
    return frontier(laws.published(law), math)


# What makes an allocation of the numbers of an entry, by name.
FORMS: Mapping[str, Callable[..., Allocation]] = {
    "Allocation": Allocation,
    "from_params": from_params,
    "from_tokens": from_tokens,
    "from_law": _of_published,
}


def catalog() -> tuple[Entry, ...]:
    """Every published allocation that is known, by paper.

    Examples:
        >>> [entry.name for entry in js.allocations.catalog()][:3]
        ['kaplan2020', 'henighan2020', 'hoffmann2022_approach1']
    """
    return shipped("allocations")


def entry(name: str) -> Entry:
    """The published allocation of that name or alias, case aside.

    Raises ValueError for an unknown name, with the nearest one and all names.

    Examples:
        >>> js.allocations.entry("hoffmann2022_approach2").exponents
        (0.49, 0.51)
    """
    return find("allocation", catalog(), name)


def published(name: str) -> Allocation:
    """The allocation of that name, as Python floats: `entry(name).allocation`.

    Raises as `entry`, and ValueError where only exponents are published, with the names of
    those that have scales too.

    Examples:
        >>> allocation = js.allocations.published("kaplan2020")
        >>> print(f"{allocation.params(1e22):.2g} params")
        4.2e+10 params
    """
    found = entry(name)
    if found.allocation is not None:
        return found.allocation
    a, b = found.exponents
    names = ", ".join(each.name for each in catalog() if each.allocation is not None)
    raise ValueError(
        f"only exponents are published of {found.name}: params ~ C^{a:g}, tokens ~ C^{b:g}; "
        f"with scales: {names}"
    )
