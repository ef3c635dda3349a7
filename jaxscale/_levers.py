"""Levers of one law as a person gives them: a value, several to choose from, or the best."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxscale._compare import BEST, FORMAT, names_of, plain_levers, read_format
from jaxscale._schema import Refused
from jaxscale._written import count, nonnegative
from jaxscale.laws.protocol import levers_of

# A value, BEST, or several values, which are words of a format.
Value = float | str | tuple[float, ...] | tuple[str, ...]
Given = Mapping[str, Value]


class Levers(NamedTuple):
    """Values of a law's levers, and the names of those that are chosen with the plan."""

    values: dict[str, float]
    chosen: tuple[str, ...] = ()
    lists: Mapping[str, tuple[float, ...]] = {}  # of those that are chosen among some values
    # The same of levers that go together.
    joint: Mapping[tuple[str, ...], tuple[tuple[float, ...], ...]] = {}
    best: tuple[str, ...] = ()  # of those that are chosen over their whole range

    @property
    def over(self) -> dict[Any, Any]:
        """What solvers choose, as their `over`."""
        alone = (name for name in self.chosen if name not in names_of(self.joint))
        return {**self.joint, **{name: self.lists.get(name) for name in alone}}

    def of_model(self, params: float) -> dict[str, float]:
        """Levers of a model to match: those given, and plain values of the chosen ones."""
        return {**self.values, **plain_levers(self.chosen, params)}

    def missing(self, law: Any) -> list[str]:
        """The levers of the law that have no value and none to choose from."""
        chosen = (*self.lists, *self.best, *names_of(self.joint))
        return [name for name in levers_of(law) if name not in (*self.values, *chosen)]


def read_lever(name: str, text: str) -> Value:
    """What is given for a lever: `8`, `4,8,16` or `best`; words for the format of numbers."""
    if text.lower() == BEST:
        return BEST
    if name == FORMAT:
        return tuple(word.strip() for word in text.split(","))
    return tuple(map(nonnegative, text.split(","))) if "," in text else nonnegative(text)


def levers_of_texts(law: Any, given: Given) -> Levers:
    """The levers of a law that has all that are given; see `Levers.missing` for others.

    Raises Refused, with the name of the lever, for a value outside its range.
    """
    known = levers_of(law)
    try:
        given, joint = read_format(law, given)
    except ValueError as error:
        raise Refused(str(error)) from None
    lists = {name: value for name, value in given.items() if isinstance(value, tuple)}
    values = {name: float(x) for name, x in given.items() if isinstance(x, int | float)}
    listed = [(name, value) for name, several in lists.items() for value in several]
    for name, value in [*values.items(), *listed]:
        low, high = known[name]
        if not low <= value <= high:
            raise Refused(f"{value:g} is outside its range, {range_text(low, high)}", name)
    best = tuple(name for name, value in given.items() if value == BEST)
    return Levers(values, tuple(name for name in known if name not in values), lists, joint, best)


def range_text(low: float, high: float) -> str:
    """A range of a lever: `4.00 to 16.0`."""
    return f"{count(low)} to {count(high)}"
