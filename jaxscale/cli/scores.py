"""The options `--accuracy` and `--task`: a target in accuracy, and the law that tells it."""

import typer

from jaxscale import _scores
from jaxscale._scores import Scored as Scored
from jaxscale._scores import Target as Target
from jaxscale._scores import percent as percent
from jaxscale.cli.mistakes import Mistake, blamed_on
from jaxscale.cli.named_law import NamedLaw, read_law
from jaxscale.published.entry import by_name

OPTION = "--accuracy"


def was_given(name: str, call: typer.Context) -> bool:
    """Whether the user gave the option, and not its default."""
    source = call.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def law_of(scored: Scored, law: str, call: typer.Context, *, anyway: bool = False) -> NamedLaw:
    """The law of the task; a mistake where another was asked for."""
    named = NamedLaw(scored.law.name, scored.law.law, scored.law)
    names = by_name([scored.law])
    if was_given("law", call) and law.strip().lower() not in names:
        given = read_law(law, anyway=anyway)
        if given.law != named.law:
            raise Mistake(
                f"--law: the accuracy on {scored.benchmark} is known by the loss of "
                f"{named.name}, {scored.loss_unit}, not by that of {given.name}; leave --law out"
            )
    return named


def read_task(name: str, option: str = "--task") -> Scored:
    """The task of that name."""
    with blamed_on(option):
        return _scores.task_of(name)


def read_target(text: str) -> Target:
    """The accuracy that `--accuracy` asks for; a mistake where no model has it."""
    with blamed_on(OPTION):
        return _scores.read_target(text)
