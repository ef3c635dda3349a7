"""Levers on the command line: what a law needs besides params and tokens, and what is chosen.

A lever that is chosen is looked for on ever finer grids of its range: each is one batch of
plans, which takes no longer than a single plan, and nothing has to be compiled.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxscale as js
from jaxscale.cli.mistakes import Mistake, blamed_on, nearest
from jaxscale.cli.named_law import NamedLaw
from jaxscale.cli.quantities import count, nonnegative
from jaxscale.cli.reasons import Asked
from jaxscale.cli.solving import solved
from jaxscale.laws import vocabulary
from jaxscale.laws.protocol import levers_of

OPTION = "--lever"
BEST = "best"
# Two grids leave 8e-6 of the range: no cost tells a finer lever, flat as it is at its least.
GRIDS, PLACES = 2, 513
WIDE = 30.0  # ends of a range further apart than this factor are a grid in logarithms

Given = Mapping[str, float | None]  # None for the best value


class Levers(NamedTuple):
    """Values of a law's levers, and the name of the one that is chosen with the plan."""

    values: dict[str, float]
    chosen: str | None = None


def read_levers(texts: Sequence[str] | None) -> Given:
    """The levers that were given, by name; None for `best`."""
    given: dict[str, float | None] = {}
    for text in texts or ():
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name or name in given:
            problem = "is given twice" if name in given else "is no lever"
            raise Mistake(f"{OPTION}: {text!r} {problem}; write bits=8 or unique_tokens=25B")
        with blamed_on(f"{OPTION} {name}"):
            given[name] = None if value.lower() == BEST else nonnegative(value)
    return given


def levers_for(named: NamedLaw, given: Given) -> Levers:
    """The levers of one law; a mistake where one is unknown, missing or outside its range."""
    known = levers_of(named.law)
    for name, value in given.items():
        if name not in known:
            listed = ", ".join(known) or "none"
            raise Mistake(
                f"{OPTION}: {named.name} has no lever {name!r}{nearest(name, known)}; "
                f"its levers: {listed}"
            )
        low, high = known[name]
        if value is not None and not low <= value <= high:
            raise Mistake(f"{OPTION} {name}: {value:g} is outside its range, {_range(low, high)}")
    if set(known) - set(given):
        needed = "; ".join(
            f"{OPTION} {name}=VALUE, {_range(*known[name])}" for name in known if name not in given
        )
        raise Mistake(f"--law: {named.name} needs {needed}")
    chosen = [name for name in known if given[name] is None]
    if len(chosen) > 1:
        raise Mistake(f"{OPTION}: only one lever may be {BEST}; got {' and '.join(chosen)}")
    values = {name: value for name, value in given.items() if value is not None}
    return Levers(values, chosen[0] if chosen else None)


def without_levers(named: NamedLaw, option: str) -> NamedLaw:
    """The law; a mistake where it has levers, for a command that gives none a value."""
    needed = ", ".join(levers_of(named.law))
    if needed:
        raise Mistake(
            f"{option}: {named.name} needs {needed}: use jaxscale plan, estimate or compare"
        )
    return named


def of_model(levers: Levers, params: float) -> dict[str, float]:
    """Levers of a model that is to be matched: those given, and the plain value of the chosen."""
    if levers.chosen is None:
        return levers.values
    return {**levers.values, levers.chosen: _plain(levers.chosen, params)}


def _plain(lever: str, params: float) -> float:
    if lever == "vocabulary_params":
        return float(vocabulary.vocabulary_params_for(params))
    # Dense, of one expert, in experts as large as a layer, in 16 bits, on tokens that are all new.
    return {
        "sparsity": 0.0,
        "experts": 1.0,
        "granularity": 1.0,
        "bits": 16.0,
        "unique_tokens": 1e30,
    }[lever]


def cheapest(levers: Levers, law: Any, *question: Any) -> js.Plan:
    """`js.minimize_cost(law, *question)` on the host, over the chosen lever too.

    NoPlan where there is none.
    """
    asked = Asked(law, *question, levers=levers.values)
    if levers.chosen is None:
        return solved(js.minimize_cost(law, *question, levers=levers.values), asked)
    name, (low, high) = levers.chosen, levers_of(law)[levers.chosen]

    def look(start: float, end: float) -> _Look:
        places = np.linspace(start, end, PLACES)
        values = {**levers.values, name: _along(low, high, places)}
        plans = jax.device_get(js.minimize_cost(law, *question, levers=values))
        return _Look(places, plans, _lowest(plans))

    found = look(0.0, 1.0)
    for _ in range(GRIDS - 1):
        if found.plans.ok[found.lane]:
            found = look(*found.neighbours())
    plan = jax.tree.map(lambda x: x[found.lane], found.plans)
    at_end = plan.status == js.Status.OK and not 0 < found.places[found.lane] < 1
    status = js.Status.AT_LEVER_END if at_end else plan.status
    return solved(js.Plan(**{**vars(plan), "status": np.int8(status)}), asked)


class _Look(NamedTuple):
    """Plans at places along the range of a lever, and which of them is the cheapest."""

    places: np.ndarray
    plans: js.Plan
    lane: int

    def neighbours(self) -> tuple[float, float]:
        last = len(self.places) - 1
        return self.places[max(self.lane - 1, 0)], self.places[min(self.lane + 1, last)]


def _along(low: float, high: float, places: np.ndarray) -> np.ndarray:
    """Values of a lever at places from 0 to 1 of its range; the ends exactly."""
    inside = low + places * (high - low)
    if low > 0 and high > WIDE * low:
        inside = low * (high / low) ** places
    return np.where(places == 0, low, np.where(places == 1, high, inside))


def _lowest(plans: js.Plan) -> int:
    """The lane of the cheapest plan; without one, a lane of the status that most have."""
    if plans.ok.any():
        return int(np.nanargmin(plans.total_cost))
    return int(np.argmax(plans.status == np.bincount(plans.status).argmax()))


def _range(low: float, high: float) -> str:
    return f"{count(low)} to {count(high)}"
