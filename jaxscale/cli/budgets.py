"""`jaxscale plan --flops` and `--budget`: the best loss for a budget, or a table for several."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import typer

import jaxscale as js
from jaxscale._explain import Asked as Scenario
from jaxscale._explain import is_of_memory, sentence_of
from jaxscale._numerics.interpreted import interpreted
from jaxscale._schema import option_of
from jaxscale._written import count, counted, money, positive
from jaxscale.cli import intervals, plan_report, tables
from jaxscale.cli.intervals import Plans
from jaxscale.cli.mistakes import Mistake, blamed_on
from jaxscale.cli.named_law import Levers, NamedLaw
from jaxscale.cli.options import Prices, given_of
from jaxscale.cli.solving import loss_text, record_of_plan, status_of

if TYPE_CHECKING:
    from jaxscale.cli.plan import Question

PANEL = "Budget, instead of a quality: the plan of the lowest loss"
FLOPS, BUDGET = "--flops", "--budget"
SEVERAL = "1e22,1e23,1e24"
BETWEEN_DOLLARS = r"(?<=\$)\s*,|,(?=\s*\$)"  # of which each may have commas of its own
Flops = Annotated[
    list[str] | None,
    typer.Option(
        FLOPS,
        metavar="N",
        help="FLOPs of training and serving together; of training alone where no demand is given. "
        f"May be repeated, or a list such as {SEVERAL}: a table of sizes.",
        rich_help_panel=PANEL,
    ),
]
Budget = Annotated[
    list[str] | None,
    typer.Option(
        BUDGET,
        metavar="DOLLARS",
        help="The same in dollars, such as 5M$; needs --train-on and --serve-on.",
        rich_help_panel=PANEL,
    ),
]


class Asked(NamedTuple):
    """The budgets of an option."""

    option: str
    values: tuple[float, ...]

    def check(self, prices: Prices) -> None:
        """Refuse a budget in another unit than the prices."""
        if self.option == FLOPS and prices.train:
            raise Mistake(f"{FLOPS} is a budget in FLOPs; on accelerators give {BUDGET} in dollars")
        if self.option == BUDGET and not prices.train:
            raise Mistake(
                f"{BUDGET} is in dollars and needs --train-on and --serve-on; "
                f"{FLOPS} is a budget in FLOPs"
            )


class Answer(NamedTuple):
    """The best plan for each budget, along the last axis."""

    law: NamedLaw
    question: "Question"
    plans: Plans

    def rows(self) -> Iterator[tuple[float, Plans]]:
        """Each budget with its plans."""
        for index, budget in enumerate(self.question.budgets):
            fit, resampled = (intervals.at(x, (..., index)) for x in self.plans)
            yield budget, Plans(self.law.as_known(fit), resampled)


def read(flops: Sequence[str] | None, budget: Sequence[str] | None) -> Asked | None:
    """The budgets that are asked for; None without any."""
    given = {option: texts for option, texts in ((FLOPS, flops), (BUDGET, budget)) if texts}
    if len(given) > 1:
        raise Mistake(f"give either {FLOPS} or {BUDGET}, not both")
    for option, texts in given.items():
        read_one = positive if option == FLOPS else money
        with blamed_on(option):
            return Asked(option, tuple(read_one(part) for text in texts for part in _parts(text)))
    return None


def _parts(text: str) -> list[str]:
    """The numbers of a list; commas between thousands are of one number."""
    try:
        money(text)
    except ValueError:
        parts = re.split(BETWEEN_DOLLARS, text)
        return [part.strip() for part in (parts if len(parts) > 1 else text.split(","))]
    return [text]


def refuse_times(given: Mapping[str, Any]) -> None:
    """Refuse options on one plan where several budgets are asked for."""
    for name in given_of(given):
        raise Mistake(f"{option_of(name)} is about one plan: give one budget")


def solve(named: NamedLaw, levers: Levers, question: "Question") -> Answer:
    """The plans of the lowest loss, by the law and by each resample of its fit."""
    _, demand, prices, bounds, *_ = question
    laws = intervals.at(named.laws, (slice(None), None))
    choice = {"levers": levers.values, "over": levers.over}
    asked = laws, np.array(question.budgets), demand, prices.costs, bounds
    plans = Plans.of(interpreted(js.minimize_loss, *asked, **choice))
    answer = Answer(named, question, plans)
    statuses = [status_of(row.fit) for _, row in answer.rows()]
    if not any(status.ok for status in statuses):
        raise Mistake(_sentence(answer, question.budgets[0], statuses[0]))
    return answer


def _sentence(answer: Answer, budget: float, status: js.Status) -> str:
    from jaxscale.cli.plan import asked_of

    asked = asked_of(answer.law, answer.question._replace(budgets=(budget,)))
    return sentence_of(status, asked)


def show(answer: Answer) -> None:
    """Print a row for each budget, and what to know about them."""
    question, named = answer.question, answer.law
    tables.note(named.warning, style="bold yellow")
    what = counted(len(question.budgets), "budget")
    title = f"The lowest loss for {what}, {question.demand_in_words()}, law {named.name}"
    tables.note(title, style="bold")
    tables.note(question.over_time.describe() if question.over_time else "", style="dim")
    for line in question.prices.describe():
        tables.note(line, style="dim")
    levers = list(answer.plans.fit.levers)
    interval = [intervals.HEADER] * (named.resamples > 0)
    header = [f"budget,\n{question.prices.unit}", *(name.replace("_", " ") for name in levers)]
    for name in ("params", "tokens", "loss"):
        header += [name, *interval]
    rows = [_cells(answer, budget, plans, levers) for budget, plans in answer.rows()]
    noted = any(row[-1] for row in rows)
    if not noted:
        rows = [row[:-1] for row in rows]
    tables.print_columns([*header, "tokens\nper param", *["note"] * noted], rows, words=("note",))
    # Of the row that most resamples have no plan for, and that leaves the runs if any does.
    solved = (plans for _, plans in answer.rows() if plans.fit.ok)
    worst = max(solved, key=lambda plans: (plans.left_out, named.range_note(plans.fit)))
    tables.note(intervals.note_on(named, worst), style="dim")
    for line in _ranges(answer):
        tables.note(line, style="dim")


def _cells(answer: Answer, budget: float, plans: Plans, levers: Sequence[str]) -> tuple[str, ...]:
    prices, fit = answer.question.prices, plans.fit
    status = status_of(fit)
    cells = [prices.format(budget).removesuffix(" FLOPs")]
    cells += [count(float(fit.levers[name])) for name in levers]
    for name, write in (("params", count), ("tokens", count), ("loss", loss_text)):
        sample = getattr(plans.resampled, name)
        interval = [intervals.text(intervals.ends(sample), write)] if answer.law.resamples else []
        cells += [write(float(getattr(fit, name))), *interval]
    if not status.ok:
        cells[1:] = ["-"] * (len(cells) - 1)
    note = "" if status is js.Status.OK else status.name.lower().replace("_", " ")
    if is_of_memory(fit, Scenario(answer.law.law, bounds=answer.question.bounds)):
        note = "at max memory"
    if status.ok and answer.law.range_note(fit):
        note = ", ".join(filter(None, (note, "extrapolated")))
    ratio = count(float(fit.tokens_per_param)) if status.ok else "-"
    return (*cells, ratio, note)


def _ranges(answer: Answer) -> Iterator[str]:
    """On the range of the law, once."""
    notes = (answer.law.range_note(plans.fit) for _, plans in answer.rows() if plans.fit.ok)
    yield from dict.fromkeys(filter(None, notes))


def as_record(answer: Answer) -> dict[str, Any]:
    """The plans for machines."""
    return {
        "law": {"name": answer.law.name, **tables.plain(answer.law.law)},
        **plan_report.record_of(answer.question),
        "budgets": [_record(answer, budget, plans) for budget, plans in answer.rows()],
        "law_status": answer.law.warning,
    }


def _record(answer: Answer, budget: float, plans: Plans) -> dict[str, Any]:
    named, status = answer.law, status_of(plans.fit)
    ends = (
        {**intervals.head(named.resamples, plans.left_out), **plans.record()}
        if named.resamples
        else None
    )
    return {
        "budget": budget,
        "optimum": record_of_plan(plans.fit) if status.ok else None,
        "intervals": ends,
        "status": status.name,
        "status_sentence": _sentence(answer, budget, status),
        "note": named.range_note(plans.fit) if status.ok else "",
    }
