"""Laws written as their coefficients: `E=1.69,A=406.4,...`, or `Kaplan:N_c=..,D_c=..`."""

from collections.abc import Iterable
from typing import Any

from jaxscale._numerics.names import unknown
from jaxscale._schema import (
    DEFAULT_FAMILY,
    FAMILY,
    FINITE,
    NONNEGATIVE,
    POSITIVE,
    Refused,
    Rule,
    read_law,
)
from jaxscale._written import nonnegative, positive, signed
from jaxscale.laws._catalog import FAMILIES
from jaxscale.laws.fitted import coefficients_of

EXAMPLE = "E=1.69,A=406.4,B=410.7,alpha=.336,beta=.283"


def law_of_coefficients(text: str) -> Any:
    """The law of E=..,A=.., or of another family, as Kaplan:N_c=..,D_c=..; in any case.

    Raises ValueError that says what to write.
    """
    before, colon, listed = text.rpartition(":")
    family = _spelled(before.strip(), FAMILIES) if colon else DEFAULT_FAMILY
    if family not in FAMILIES:
        raise unknown("family", family, FAMILIES)
    known = coefficients_of(FAMILIES[family])
    found: dict[str, str] = {}
    for part in listed.split(","):
        given, _, value = part.partition("=")
        name = _spelled(given.strip(), known)
        if name in found:
            raise ValueError(f"{given.strip()!r} is given twice; write {_example(family)}")
        found[name] = value
    try:
        return read_law({FAMILY: family, **found}, _number)
    except Refused as error:
        blamed = f"{error.name!r} " if error.name in found else ""
        raise ValueError(f"{blamed}{error}; write {_example(family)}") from None


def _spelled(word: str, names: Iterable[str]) -> str:
    """The name that a word is in another case, if only one is; else the word."""
    alike = [name for name in names if name.lower() == word.lower()]
    return alike[0] if len(alike) == 1 else word


def _example(family: str) -> str:
    if family == DEFAULT_FAMILY:
        return EXAMPLE
    return f"{family}:{','.join(f'{name}=..' for name in coefficients_of(FAMILIES[family]))}"


def _number(name: str, text: str, rule: Rule) -> float:
    read = {FINITE: signed, NONNEGATIVE: nonnegative, POSITIVE: positive}[rule]
    try:
        return read(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
