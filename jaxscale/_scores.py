"""Accuracy on a task as a target: the loss that has it, and what is known of how well it holds."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jaxscale._numerics.interpreted import interpreted
from jaxscale._written import count, part
from jaxscale.laws._tasks import Task, entry_of_law, task_entry
from jaxscale.published import Entry
from jaxscale.published.entry import NOT_STATED

EXAMPLE = "mmlu=55%"
POINT = 0.01  # of accuracy, to show what one more costs


def percent(share: float) -> str:
    """An accuracy, `51.3 %`."""
    return f"{round(100 * share, 1):g} %"


class Scored(NamedTuple):
    """A task with the law of its loss."""

    entry: Entry
    law: Entry

    @property
    def task(self) -> Task:
        return self.entry.law

    @property
    def benchmark(self) -> str:
        return self.entry.benchmark if self.entry.benchmark != NOT_STATED else self.entry.name

    @property
    def loss_unit(self) -> str:
        return self.law.loss_scale.removeprefix("in ") or "nats per token"

    def accuracy(self, loss: Any) -> float:
        return _number(self.task.accuracy, loss)

    def loss(self, share: float) -> float:
        """NaN where no loss has that accuracy."""
        return _number(self.task.loss, share)

    @property
    def caution(self) -> str:
        """A warning about the task, where the law has none of its own."""
        return "" if self.law.name == self.entry.name else self.entry.warning

    def predicted(self) -> float:
        """The accuracy of the model in the check."""
        check = self.entry.check
        assert check is not None
        return self.accuracy(_number(self.task.law.loss, check.params, check.tokens))

    @property
    def check_note(self) -> str:
        """What was predicted and measured for a model much larger than those of the fit."""
        check = self.entry.check
        if check is None:
            known = "how well this predicts the accuracy of much larger models"
            return f"It is not known {known}."
        model = f"{count(check.params)} params on {count(check.tokens)} tokens"
        return (
            f"Of {model} it predicts {percent(self.predicted())} on {self.benchmark}; "
            f"{percent(check.measured)} was measured."
        )

    def record(self) -> dict[str, Any]:
        """The task for machines."""
        check = self.entry.check
        return {
            "task": self.entry.name,
            "benchmark": self.benchmark,
            "loss_unit": self.loss_unit,
            "check": check and {**check._asdict(), "predicted": self.predicted()},
            "note": " ".join(filter(None, (self.caution, self.check_note))),
        }


class Target(NamedTuple):
    """An accuracy to reach on a task."""

    scored: Scored
    share: float

    @property
    def loss(self) -> float:
        return self.scored.loss(self.share)

    @property
    def loss_of_a_point_more(self) -> float:
        """The loss at an accuracy one point higher; 0, which no model has, where none has that."""
        loss = self.scored.loss(self.share + POINT)
        return 0.0 if math.isnan(loss) else loss

    @property
    def title(self) -> str:
        loss = f"{self.loss:.5g} {self.scored.loss_unit}"
        return f"Accuracy {percent(self.share)} on {self.scored.benchmark} (loss {loss})"

    def record(self, loss: float) -> dict[str, Any]:
        """For machines, with the accuracy at the loss of a plan."""
        known = {"target": self.share, "optimum": self.scored.accuracy(loss)}
        return {**self.scored.record(), **known}


def _number(function: Callable[..., Any], *arguments: float) -> float:
    """In float64, which a notebook may have turned off."""
    with jax.enable_x64(True):
        return float(interpreted(function, *arguments))


def task_of(name: str) -> Scored:
    """The task of that name; ValueError for an unknown one."""
    entry = task_entry(name)
    return Scored(entry, entry_of_law(entry))


def read_target(text: str) -> Target:
    """The accuracy that `mmlu=55%` asks for; ValueError where no model has it."""
    name, equals, value = (each.strip() for each in text.partition("="))
    if not (name and equals and value):
        raise ValueError(f"{text!r} must be TASK=SHARE, such as {EXAMPLE}")
    scored = task_of(name)
    share = part(value)
    low, high = (_number(lambda i=i: scored.task.reach[i]) for i in range(2))
    if not low < share < high:
        raise ValueError(_unreached(scored, share, low, high))
    return Target(scored, share)


def _unreached(scored: Scored, share: float, low: float, high: float) -> str:
    # Rounded inwards, so that either end is one to give.
    least, most = math.ceil(1000 * low) / 10, math.floor(1000 * high) / 10
    sentence = (
        f"by {scored.law.name} no model has {100 * share:.6g} % on {scored.benchmark}; give an "
        f"accuracy between {least:g} % and {most:g} %"
    )
    check = scored.entry.check
    if check is not None and check.measured > high:
        model = f"{count(check.params)} params on {count(check.tokens)} tokens"
        sentence += f" (yet {model} had {percent(check.measured)}: the law errs there)"
    return sentence
