"""A law as the command line names it, and how its fitted range is told."""

import math
from typing import Any, NamedTuple

import jaxscale as js
from jaxscale.cli.mistakes import Mistake, blamed_on
from jaxscale.cli.quantities import nonnegative, positive
from jaxscale.laws import Chinchilla
from jaxscale.published import Entry

COEFFICIENTS = ("E", "A", "B", "alpha", "beta")
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


def _from_coefficients(text: str) -> Chinchilla:
    known = {name.lower(): name for name in COEFFICIENTS}
    found: dict[str, float] = {}
    for part in text.split(","):
        given, _, value = part.partition("=")
        name = known.get(given.strip().lower())
        if name is None or name in found:
            problem = "is given twice" if name in found else "is no coefficient"
            raise Mistake(f"--law: {given.strip()!r} {problem}; write {EXAMPLE}")
        with blamed_on(f"--law: {name}"):
            found[name] = (nonnegative if name == "E" else positive)(value)
    missing = [name for name in COEFFICIENTS if name not in found]
    if missing:
        raise Mistake(f"--law: {', '.join(missing)} missing; write {EXAMPLE}")
    return Chinchilla(**found)
