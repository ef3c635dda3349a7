"""The error for a name that is not known."""

import difflib
from collections.abc import Iterable
from typing import Any


def unknown(kind: str, name: Any, known: Iterable[str], aliases: Iterable[str] = ()) -> ValueError:
    """An error that names what was given, the nearest name or alias, and all known names."""
    known = tuple(known)
    near = difflib.get_close_matches(str(name).lower(), (*known, *aliases), n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return ValueError(f"unknown {kind} {name!r}{hint}; known: {', '.join(known)}")
