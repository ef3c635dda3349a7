"""Entries by name."""

from collections.abc import Callable, Iterable
from typing import Any

from jaxscale._numerics.names import unknown
from jaxscale.published.entry import Entry


def by_name(entries: Iterable[Entry], key: Callable[[str], str] = str.lower) -> dict[str, Entry]:
    """Each entry under the keys of its name and its aliases."""
    return {key(name): entry for entry in entries for name in (entry.name, *entry.aliases)}


def find(kind: str, entries: Iterable[Entry], name: Any) -> Entry:
    """The entry of that name or alias, case aside.

    Raises ValueError for an unknown name, with the nearest one and all names; `kind` is the word
    for what was looked for.

    Examples:
        >>> entries = js.published.shipped("laws")
        >>> js.published.find("law", entries, "DeVries2023").name
        'sardana2024'
    """
    entries = tuple(entries)
    spellings = by_name(entries)
    key = str(name).lower()
    if key in spellings:
        return spellings[key]
    aliases = (alias for entry in entries for alias in entry.aliases)
    raise unknown(kind, name, (entry.name for entry in entries), aliases)
