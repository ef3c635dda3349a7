"""The options `--accuracy` and `--task`: a target in accuracy, and the law that tells it."""

import math
from typing import Any, NamedTuple

import typer

import jaxscale as js
from jaxscale._numerics.interpreted import interpreted
from jaxscale._written import count, part
from jaxscale.cli.mistakes import Mistake, blamed_on
from jaxscale.cli.named_law import NamedLaw, read_law
from jaxscale.laws._tasks import entry_of_law
from jaxscale.published import Entry
from jaxscale.published.entry import NOT_STATED, by_name

OPTION = "--accuracy"
EXAMPLE = "mmlu=55%"
POINT = 0.01  # of accuracy, to show what one more costs


def percent(share: float) -> str:
    """An accuracy, `51.3 %`."""
    return f"{round(100 * share, 1):g} %"


def was_given(name: str, call: typer.Context) -> bool:
    """Whether the user gave the option, and not its default."""
    source = call.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


class Scored(NamedTuple):
    """A task with the law of its loss."""

    entry: Entry
    law: Entry

    @property
    def task(self) -> js.laws.Task:
        return self.entry.law

    @property
    def benchmark(self) -> str:
        return self.entry.benchmark if self.entry.benchmark != NOT_STATED else self.entry.name

    @property
    def loss_unit(self) -> str:
        return self.law.loss_scale.removeprefix("in ") or "nats per token"

    def accuracy(self, loss: Any) -> float:
        return float(interpreted(self.task.accuracy, loss))

    def loss(self, share: float) -> float:
        """NaN where no loss has that accuracy."""
        return float(interpreted(self.task.loss, share))

    def named(self, law: str, call: typer.Context, *, anyway: bool = False) -> NamedLaw:
        """The law of the task; a mistake where another was asked for."""
        named = NamedLaw(self.law.name, self.law.law, self.law)
        names = by_name([self.law])
        if was_given("law", call) and law.strip().lower() not in names:
            given = read_law(law, anyway=anyway)
            if given.law != named.law:
                raise Mistake(
                    f"--law: the accuracy on {self.benchmark} is known by the loss of "
                    f"{named.name}, {self.loss_unit}, not by that of {given.name}; leave --law out"
                )
        return named

    @property
    def caution(self) -> str:
        """A warning about the task, where the law has none of its own."""
        return "" if self.law.name == self.entry.name else self.entry.warning

    def predicted(self) -> float:
        """The accuracy of the model in the check."""
        check = self.entry.check
        assert check is not None
        return self.accuracy(float(interpreted(self.task.law.loss, check.params, check.tokens)))

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


def read_task(name: str, option: str = "--task") -> Scored:
    """The task of that name."""
    with blamed_on(option):
        entry = js.laws.task_entry(name)
    return Scored(entry, entry_of_law(entry))


def read_target(text: str) -> Target:
    """The accuracy that `--accuracy` asks for; a mistake where no model has it."""
    name, equals, value = (each.strip() for each in text.partition("="))
    if not (name and equals and value):
        raise Mistake(f"{OPTION}: {text!r} must be TASK=SHARE, such as {EXAMPLE}")
    scored = read_task(name, OPTION)
    with blamed_on(OPTION):
        share = part(value)
    low, high = map(float, interpreted(lambda: scored.task.reach))
    if not low < share < high:
        raise Mistake(f"{OPTION}: {_unreached(scored, share, low, high)}")
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
