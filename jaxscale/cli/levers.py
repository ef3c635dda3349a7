"""The option `--lever`: what a law needs besides params and tokens, and what is chosen."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jaxscale._compare import BEST, plain_levers
from jaxscale.cli.mistakes import Mistake, blamed_on, nearest
from jaxscale.cli.named_law import NamedLaw
from jaxscale.cli.quantities import count, nonnegative
from jaxscale.laws.protocol import levers_of

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
            problem = "is given twice" if name in given else "is no lever"
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
