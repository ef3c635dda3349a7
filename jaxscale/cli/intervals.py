"""Intervals of a command's numbers, by the resamples in the file of a fit."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxscale as js
from jaxscale._explain import Asked
from jaxscale.cli.named_law import NamedLaw
from jaxscale.cli.solving import solved
from jaxscale.plan import NUMBERS
from jaxscale.solve.intervals import MOST_WITHOUT_PLAN, ends_of, tails_of
from jaxscale.status import is_ok

LEVEL = 0.95
HEADER = f"{100 * LEVEL:g} % interval"
SAME = 1e-9  # relative: an interval that is narrower is a number

Ends = tuple[float, float]  # NaN where they are not known


class Plans(NamedTuple):
    """The plan by a law, and those by the resamples of its fit, on a leading axis if any."""

    fit: js.Plan
    resampled: js.Plan

    @classmethod
    def of(cls, plans: js.Plan) -> "Plans":
        """From plans by `NamedLaw.laws`, of which the first is that of the fit."""
        return cls(at(plans, 0), at(plans, slice(1, None)))

    def solved(self, asked: Asked) -> "Plans":
        """The same; a mistake where the fit itself has no plan."""
        return self._replace(fit=solved(self.fit, asked))

    def record(self) -> dict[str, list[float] | None]:
        """Ends of every number for machines."""
        names = (*self.resampled.levers, *NUMBERS)
        return {name: listed(ends(number(self.resampled, name))) for name in names}

    @property
    def left_out(self) -> int:
        """Number of resamples without a plan."""
        return int(np.sum(~np.asarray(is_ok(self.resampled.status))))


def at(tree: Any, index: Any) -> Any:
    """A part of arrays along their first axis."""
    return jax.tree.map(lambda x: x[index], tree)


def number(plan: js.Plan, name: str) -> Any:
    """A number or a lever of plans, by name."""
    return plan.levers[name] if name in plan.levers else getattr(plan, name)


def ends(sample: Any) -> Ends:
    """Low and high end over the resamples."""
    low, high = ends_of(sample, tails_of(LEVEL))
    return float(low), float(high)


def text(pair: Ends, write: Callable[[float], str]) -> str:
    """An interval as `26.3B to 33.6B`; empty where its ends are written alike."""
    low, high = pair
    if not math.isfinite(low + high):
        return "not known"
    if high - low <= SAME * max(abs(low), abs(high)):
        return ""
    low_text, high_text = (write(x).removesuffix(" FLOPs") for x in pair)
    return "" if low_text == high_text else f"{low_text} to {high_text}"


def listed(pair: Ends) -> list[float] | None:
    """An interval for machines; null where it is not known."""
    return list(pair) if math.isfinite(sum(pair)) else None


def head(resamples: int, left_out: int) -> dict[str, Any]:
    """What intervals rest on, for machines."""
    return {"level": LEVEL, "resamples": resamples, "left_out": left_out}


def note_on(named: NamedLaw, plans: Plans, what: str = "have no plan") -> str:
    """A line on what intervals of a plan rest on; empty for a law that is no fit in a file."""
    if not named.resamples:
        return f"No intervals: {named.name} holds no resamples." if named.is_fit else ""
    return note(named.resamples, plans.left_out, named.range_note(plans.fit) != "", what)


def note(count: int, left_out: int, extrapolated: bool, what: str = "have no plan") -> str:
    """A line on what intervals rest on, and what they do not know."""
    lost = f"{left_out:,} of {count:,} resamples of the runs {what}"
    if left_out > MOST_WITHOUT_PLAN * count:
        return f"No interval is known: {lost}."
    said = f"Intervals from {count:,} resamples of the runs"
    if left_out:
        said = f"Intervals from the other resamples: {lost}"
    beyond = "; they do not count that the law may fail beyond the runs"
    return f"{said}{beyond * extrapolated}."
