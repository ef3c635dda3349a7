"""The catalogue of published allocations: each with its source, its range and its known faults.

What is counted as a parameter and as compute differs between papers, and exponents with it:
`params_convention` and `flops_convention` of an entry say what its numbers mean.
"""

from jaxscale._numerics.names import unknown
from jaxscale.allocations import (
    entries_kaplan_and_hoffmann,
    entries_of_exponents,
    entries_of_models,
    entries_porian,
)
from jaxscale.allocations.allocation import Allocation
from jaxscale.allocations.entries import Entry

_ENTRIES = (
    *entries_kaplan_and_hoffmann.ENTRIES,
    *entries_porian.ENTRIES,
    *entries_of_models.ENTRIES,
    *entries_of_exponents.ENTRIES,
)


def catalog() -> tuple[Entry, ...]:
    """Every published allocation that is known, by paper.

    Examples:
        >>> [entry.name for entry in js.allocations.catalog()][:3]
        ['kaplan2020', 'henighan2020', 'hoffmann2022_approach1']
    """
    return _ENTRIES


def entry(name: str) -> Entry:
    """The published allocation of that name or alias, case aside.

    Raises ValueError for an unknown name, with the nearest one and all names.

    Examples:
        >>> js.allocations.entry("hoffmann2022_approach2").exponents
        (0.49, 0.51)
    """
    known = {each: found for found in _ENTRIES for each in (found.name, *found.aliases)}
    key = str(name).lower()
    if key in known:
        return known[key]
    raise unknown("allocation", name, (each.name for each in _ENTRIES), known)


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
    names = ", ".join(each.name for each in _ENTRIES if each.allocation is not None)
    raise ValueError(
        f"only exponents are published of {found.name}: params ~ C^{a:g}, tokens ~ C^{b:g}; "
        f"with scales: {names}"
    )
