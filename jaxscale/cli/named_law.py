"""The options `--law` and `--lever`: a law by name, file or coefficients, and its levers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jaxscale as js
from jaxscale._compare import BEST, plain_levers
from jaxscale.cli.mistakes import Mistake, blamed_on, nearest
from jaxscale.cli.quantities import count, nonnegative, positive
from jaxscale.laws import Chinchilla
from jaxscale.laws.protocol import levers_of
from jaxscale.published import Entry

COEFFICIENTS = ("E", "A", "B", "alpha", "beta")
EXAMPLE = "E=1.69,A=406.4,B=410.7,alpha=.336,beta=.283"


class NamedLaw(NamedTuple):
    name: str
    law: Any
    entry: Entry | None  # None for a law given by its coefficients

    @property
    def warning(self) -> str:
        """The warning about a fit that is not a certified minimum; else empty."""
        said = self.entry.warning if self.entry else ""
        return f"{self.name}: {said}" if said else ""

    def need_sizes(self) -> None:
        """Refuse a fit whose runs do not identify what sizes rest on."""
        if self.entry is not None and not self.entry.tells_sizes:
            raise Mistake(f"--law: {self.warning} Nothing at other sizes can rest on it")

    def need_all(self) -> None:
        """Refuse a fit whose runs leave any coefficient open."""
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
            problem = "is given twice" if name in found else "is not a coefficient"
            raise Mistake(f"--law: {given.strip()!r} {problem}; write {EXAMPLE}")
        with blamed_on(f"--law: {name}"):
            found[name] = (nonnegative if name == "E" else positive)(value)
    missing = [name for name in COEFFICIENTS if name not in found]
    if missing:
        raise Mistake(f"--law: {', '.join(missing)} missing; write {EXAMPLE}")
    return Chinchilla(**found)


OPTION = "--lever"

Given = Mapping[str, float | str]  # a value, or BEST


class Levers(NamedTuple):
    """Values of a law's levers, and the names of those that are chosen with the plan."""

    values: dict[str, float]
    chosen: tuple[str, ...] = ()

    def of_model(self, params: float) -> dict[str, float]:
        """Levers of a model to match: those given, and plain values of the chosen ones."""
        return {**self.values, **plain_levers(self.chosen, params)}


def read_levers(texts: Sequence[str] | None) -> Given:
    """The levers that were given, by name."""
    given: dict[str, float | str] = {}
    for text in texts or ():
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name or name in given:
            problem = "is given twice" if name in given else "is not a lever"
            raise Mistake(f"{OPTION}: {text!r} {problem}; write bits=8 or unique_tokens=25B")
        with blamed_on(f"{OPTION} {name}"):
            given[name] = BEST if value.lower() == BEST else nonnegative(value)
    return given


def levers_for(named: NamedLaw, given: Given) -> Levers:
    """The levers of one law; a mistake where one is unknown, missing or outside its range."""
    known = levers_of(named.law)
    values = {name: float(value) for name, value in given.items() if not isinstance(value, str)}
    for name in given:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise Mistake(
                f"{OPTION}: {named.name} has no lever {name!r}{nearest(name, known)}; "
                f"its levers: {listed}"
            )
    for name, value in values.items():
        low, high = known[name]
        if not low <= value <= high:
            raise Mistake(f"{OPTION} {name}: {value:g} is outside its range, {_range(low, high)}")
    if set(known) - set(given):
        needed = "; ".join(
            f"{OPTION} {name}=VALUE, {_range(*known[name])}" for name in known if name not in given
        )
        raise Mistake(f"--law: {named.name} needs {needed}")
    return Levers(values, tuple(name for name in known if given[name] == BEST))


def without_levers(named: NamedLaw, option: str) -> NamedLaw:
    """The law; a mistake where it has levers, for a command that gives none a value."""
    needed = ", ".join(levers_of(named.law))
    if needed:
        raise Mistake(
            f"{option}: {named.name} needs {needed}: use jaxscale plan, estimate or compare"
        )
    return named


def _range(low: float, high: float) -> str:
    return f"{count(low)} to {count(high)}"
