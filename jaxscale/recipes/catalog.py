"""The published recipes by name."""

from jaxscale._numerics.names import unknown
from jaxscale.recipes import deepseek, kaplan, porian, step_law
from jaxscale.recipes.entries import RecipeEntry

_ENTRIES = (*step_law.ENTRIES, *deepseek.ENTRIES, *porian.ENTRIES, *kaplan.ENTRIES)


def catalog() -> tuple[RecipeEntry, ...]:
    """Every published recipe that is known.

    Examples:
        >>> [entry.name for entry in js.recipes.catalog()]
        ['steplaw2025', 'steplaw2025_medians', 'deepseek2024', 'porian2024', 'kaplan2020']
    """
    return _ENTRIES


def entry(name: str) -> RecipeEntry:
    """The published recipe of that name, case aside.

    Raises ValueError for an unknown name, with the nearest one and all names.

    Examples:
        >>> js.recipes.entry("steplaw2025").params_range
        (214663680, 1073741824)
    """
    known = {each.name: each for each in _ENTRIES}
    key = str(name).lower()
    if key in known:
        return known[key]
    raise unknown("recipe", name, known)
