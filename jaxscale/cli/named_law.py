"""A law as the command line names it, and how its fitted range is told."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import jaxscale as js
from jaxscale import _schema as schema
from jaxscale._numerics.names import unknown
from jaxscale._schema import (
    DEFAULT_FAMILY,
    FAMILY,
    FINITE,
    NONNEGATIVE,
    POSITIVE,
    Refused,
    Rule,
)
from jaxscale.cli.mistakes import Mistake, blamed_on
from jaxscale.cli.quantities import nonnegative, positive, signed
from jaxscale.laws._catalog import FAMILIES
from jaxscale.laws.fitted import coefficients_of
from jaxscale.published import Entry

EXAMPLE = "E=1.69,A=406.4,B=410.7,alpha=.336,beta=.283"


class NamedLaw(NamedTuple):
    name: str
    law: Any
    entry: Entry | None  # None for a law given by its coefficients

    @property
    def warning(self) -> str:
        """What must be said first of a fit that is no certified minimum; else empty."""
        said = self.entry.warning if self.entry else ""
        return f"{self.name}: {said}" if said else ""

    def need_sizes(self) -> None:
        """Refuse a fit whose runs do not identify what sizes rest on."""
        if self.entry is not None and not self.entry.tells_sizes:
            raise Mistake(f"--law: {self.warning} Nothing at other sizes can rest on it")

    def need_all(self) -> None:
        """Refuse a fit whose runs leave a coefficient open, of whatever size."""
        if self.entry is not None and self.entry.unidentified:
            raise Mistake(f"--law: {self.warning} So losses at other sizes are not known")

    def as_known(self, plan: js.Plan) -> js.Plan:
        """A plan on the host, with NaN for a loss that the runs of the law do not tell."""
        sizes = float(plan.params), float(plan.tokens)
        if self.entry is None or self.entry.tells_loss(*sizes):
            return plan
        return js.Plan(**{**vars(plan), "loss": math.nan})

    def need_loss(self, params: float, tokens: float) -> None:
        """Refuse a fit whose runs do not tell the loss at this size."""
        if self.entry is not None and not self.entry.tells_loss(params, tokens):
            raise Mistake(f"--law: {self.warning} So the loss at this size is not known")

    def range_note(self, plan: js.Plan) -> str:
        """A line where the plan leaves the range that the law was fitted in; else empty."""
        return "" if self.entry is None else self.entry.range_note(plan)


def read_law(text: str) -> NamedLaw:
    """The law that `--law` names, or the one whose coefficients it lists."""
    if "=" in text:
        return NamedLaw("".join(text.split()), _from_coefficients(text), None)
    with blamed_on("--law"):
        entry = js.laws.entry(text.strip())
    return NamedLaw(entry.name, entry.law, entry)


def _from_coefficients(text: str) -> Any:
    """The law of E=..,A=.., or of another family, as Kaplan:N_c=..,D_c=..; in any case."""
    before, colon, listed = text.rpartition(":")
    family = _spelled(before.strip(), FAMILIES) if colon else DEFAULT_FAMILY
    if family not in FAMILIES:
        raise Mistake(f"--law: {unknown('family', family, FAMILIES)}")
    known = coefficients_of(FAMILIES[family])
    found: dict[str, str] = {}
    for part in listed.split(","):
        given, _, value = part.partition("=")
        name = _spelled(given.strip(), known)
        if name in found:
            raise Mistake(f"--law: {given.strip()!r} is given twice; write {_example(family)}")
        found[name] = value
    try:
        return schema.read_law({FAMILY: family, **found}, _number)
    except Refused as error:
        blamed = f"{error.name!r} " if error.name in found else ""
        raise Mistake(f"--law: {blamed}{error}; write {_example(family)}") from None


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
    with blamed_on(f"--law: {name}"):
        return read(text)
