"""The catalogue of published fits: each with its source, its range and its known faults.

A law is a few numbers; what they were fitted to decides where they mean anything. That lives
here, beside the law and never inside it, so that a law stays a pytree of plain numbers.
Losses of different entries are not comparable: data and tokenizers differ.
"""

from typing import Any

from jaxscale._numerics.names import unknown
from jaxscale.laws import entries_chinchilla, entries_kaplan_to_gadre, entries_of_levers, saved
from jaxscale.laws.entries import Entry

_ENTRIES = (
    *entries_chinchilla.ENTRIES,
    *entries_kaplan_to_gadre.ENTRIES,
    *entries_of_levers.ENTRIES,
)


def catalog() -> tuple[Entry, ...]:
    """Every published fit that is known, by paper.

    Examples:
        >>> [entry.name for entry in js.laws.catalog()][:3]
        ['hoffmann2022', 'hoffmann2022_unrounded', 'sardana2024']
    """
    return _ENTRIES


def entry(name: str) -> Entry:
    """The published fit of that name or alias, case aside, or the one in a file `*.json`.

    Such files are written by `jaxscale fit`. Raises ValueError for an unknown name, with the
    nearest one and all names, and for a file that holds no fit.

    Examples:
        >>> entry = js.laws.entry("sardana2024")
        >>> print(entry.source)
        Sardana et al. 2024, arXiv 2401.00448, Appendix A, after De Vries 2023, 'Go smol or go home'
        >>> plan = js.evaluate(entry.law, 7e9, 2e11)
        >>> print(entry.in_range(plan))
        True
    """
    if saved.is_file_name(name):
        return saved.read(name)
    known = {each: found for found in _ENTRIES for each in (found.name, *found.aliases)}
    key = str(name).lower()
    if key in known:
        return known[key]
    raise unknown("law", name, (each.name for each in _ENTRIES), known)


def published(name: str) -> Any:
    """The law of that name or file, as Python floats: `entry(name).law`; raises as `entry`.

    What it needs besides params and tokens, if anything, is in its `levers`.

    Examples:
        >>> law = js.laws.published("hoffmann2022")
        >>> law
        Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
    """
    return entry(name).law
