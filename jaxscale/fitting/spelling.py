"""The name that a user probably meant."""

import difflib
from collections.abc import Iterable


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The name spelled most like the word, capitals aside; None where none is alike."""
    spelled = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), spelled, n=1, cutoff=0.5)
    return spelled[near[0]] if near else None
