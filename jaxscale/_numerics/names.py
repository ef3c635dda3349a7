"""Spelling: the known name nearest to a word, and the error for an unknown one."""

import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import Any


def nearest(
    word: Any,
    names: Iterable[str],
    key: Callable[[str], str] = str.lower,
    cutoff: float = 0.5,
) -> str | None:
    """The name most similar to the word, compared by `key`; None where none is similar.

    `cutoff` is the smallest share of letters in common, 0 for any name.
    """
    spelled = {key(name): name for name in names}
    near = difflib.get_close_matches(key(str(word)), spelled, n=1, cutoff=cutoff)
    return spelled[near[0]] if near else None


def hint(
    word: Any,
    names: Iterable[str],
    key: Callable[[str], str] = str.lower,
    written: Callable[[str], str] = str,
) -> str:
    """A question after an unknown word, such as ` (did you mean bf16?)`; empty if none is near."""
    near = nearest(word, names, key)
    return "" if near is None else question([written(near)])


def question(names: Iterable[str]) -> str:
    """` (did you mean this or that?)`; empty without names."""
    names = " or ".join(names)
    return f" (did you mean {names}?)" if names else ""


def check_keywords(name: str, given: Iterable[str], function: Callable[..., Any]) -> None:
    """Raise TypeError for a keyword that the function lacks, with the nearest that it has.

    `name` is what the caller wrote, for calls that hand their keywords on.
    """
    parameters = inspect.signature(function).parameters.values()
    known = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
    for keyword in given:
        if keyword not in known:
            raise TypeError(
                f"{name}() got an unexpected keyword argument {keyword!r}"
                f"{hint(keyword, known)}; known: {', '.join(known)}"
            )


def unknown(
    kind: str,
    name: Any,
    known: Iterable[str],
    aliases: Iterable[str] = (),
    key: Callable[[str], str] = str.lower,
) -> ValueError:
    """An error that names the given word, the nearest name or alias, and all known names."""
    known = tuple(known)
    near = hint(name, (*known, *aliases), key)
    return ValueError(f"unknown {kind} {name!r}{near}; known: {', '.join(known)}")
