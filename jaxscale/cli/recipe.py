"""`jaxscale recipe`: how to train a plan, and what a larger batch saves and costs."""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple

import jax
import typer

import jaxscale as js
from jaxscale import recipes
from jaxscale.cli import options, tables
from jaxscale.cli.levers import without_levers
from jaxscale.cli.mistakes import Mistake, blamed_on
from jaxscale.cli.named_law import NamedLaw, read_law
from jaxscale.cli.quantities import count, scientific
from jaxscale.cli.reasons import Asked
from jaxscale.cli.solving import one_scenario, solved
from jaxscale.laws.kaplan import CRITICAL_BATCH, minimum_compute, minimum_steps
from jaxscale.published import Entry
from jaxscale.recipes import Recipe

SEQUENCE = 2048  # tokens
SHARES = {"1/4": 0.25, "1": 1.0, "4": 4.0}  # of Kaplan's critical batch

EXTRAPOLATED = "extrapolated"
NO_RATE = "no learning rate"
MEANINGS = {
    EXTRAPOLATED: "the plan lies outside the runs that the recipe was fitted to",
    NO_RATE: "the recipe's rate is not positive at this size",
}

Loss = Annotated[
    float | None,
    options.number_option(
        "--loss", "NATS", "Loss that is reached, in nats per token, instead of the law's."
    ),
]
Name = Annotated[
    str | None,
    typer.Option("--recipe", metavar="NAME", help="One recipe, with its source and notes."),
]


class Size(NamedTuple):
    """What is trained."""

    params: float
    tokens: float
    loss: float


class Trade(NamedTuple):
    """What training to the same loss takes at a share of the critical batch."""

    share: str
    batch_tokens: float
    steps: float
    tokens: float
    relative_time: float  # steps, of their least
    relative_compute: float  # tokens, of their least


class Answer(NamedTuple):
    """What one recipe says."""

    entry: Entry
    recipe: Recipe

    @property
    def note(self) -> str:
        extrapolated = EXTRAPOLATED * (not self.recipe.in_range)
        no_rate = NO_RATE * math.isnan(self.recipe.learning_rate)
        return ", ".join(filter(None, (no_rate, extrapolated)))


def recipe(
    params: options.Params = None,
    tokens: options.Tokens = None,
    loss: Loss = None,
    law: options.Law = options.DEFAULT_LAW,
    name: Name = None,
    as_json: options.Json = False,
) -> None:
    """Learning rate, batch and steps for a model, by every published recipe.

    Below them, what a smaller and a larger batch than Kaplan's critical one save and cost. The
    loss, which Kaplan's batch depends on, is that of the law at this size.
    """
    if params is None or tokens is None:
        raise Mistake("give --params and --tokens")
    with blamed_on("--recipe"):
        entries = recipes.catalog() if name is None else (recipes.entry(name),)
    named = None
    with one_scenario():
        if loss is None:
            named = without_levers(read_law(law), "--law")
            named.need_loss(params, tokens)
            asked = Asked(named.law, params=params, tokens=tokens)
            loss = float(solved(js.evaluate(named.law, params, tokens), asked).loss)
        size = Size(params, tokens, loss)
        answers = [
            Answer(each, jax.device_get(recipes.training_recipe(size, each.name)))
            for each in entries
        ]
        check_range(size, answers)
        trades = list(_trades(size))
    if as_json:
        tables.print_json("recipe", as_record(named, size, answers, trades))
    else:
        show(named, size, answers, trades)


EXAMPLES = """\
jaxscale recipe --params 7B --tokens 1.4T
jaxscale recipe --params 400M --tokens 40B --recipe steplaw2025
jaxscale recipe --params 1B --tokens 100B --loss 2.4
"""


def check_range(size: Size, answers: Sequence[Answer]) -> None:
    """Refuse sizes of which a recipe makes more than float64 holds."""
    for each in answers:
        if any(math.isinf(x) for x in map(float, vars(each.recipe).values())):
            raise Mistake(
                f"{count(size.params)} params on {count(size.tokens)} tokens: recipe "
                f"{each.entry.name} leaves the range of float64"
            )


def _trades(size: Size) -> Iterator[Trade]:
    """What it takes to reach the loss that the plan's tokens reach at the critical batch."""
    critical = float(CRITICAL_BATCH.tokens(size.loss))
    least_steps = float(minimum_steps(size.tokens / critical, critical, critical))
    least_tokens = float(minimum_compute(size.tokens, critical, critical))
    for share, of_critical in SHARES.items():
        found = recipes.time_and_compute(least_steps, critical, of_critical * critical)
        batch, steps, tokens, _ = map(float, found)
        trade = Trade(share, batch, steps, tokens, steps / least_steps, tokens / least_tokens)
        if not all(map(math.isfinite, trade[1:])):
            raise Mistake(
                f"at loss {size.loss:g} the batch or its steps leave the range of float64"
            )
        yield trade


def show(
    named: NamedLaw | None,
    size: Size,
    answers: Sequence[Answer],
    trades: Sequence[Trade],
) -> None:
    """Print the recipes and the trade-off as tables, with what a reader must know of them."""
    title = f"Training {count(size.params)} params on {count(size.tokens)} tokens"
    by = f" by {named.name}" if named else ""
    tables.note(named.warning if named else "", style="bold yellow")
    tables.note(f"{title}, to loss {size.loss:.4f}{by}", style="bold")
    header = (
        "recipe",
        "peak\nlearning rate",
        "batch,\ntokens",
        f"sequences\nof {SEQUENCE}",
        "steps",
    )
    tables.print_columns((*header, "note"), map(_row, answers), words=("note",))
    for mark, meaning in MEANINGS.items():
        if any(mark in each.note for each in answers):
            tables.note(f"{mark}: {meaning}", style="dim")
    if len(answers) == 1:
        tables.print_facts(_facts(answers[0].entry))
    else:
        tables.note("Papers count params differently: --recipe NAME says how.", style="dim")
    _show_trades(size, trades)


def _show_trades(size: Size, trades: Sequence[Trade]) -> None:
    tables.note("\nTime against compute, Kaplan et al. 2020", style="bold")
    rows = [(x.share, *map(count, x[1:4]), *(f"{ratio:.2f}" for ratio in x[4:])) for x in trades]
    header = ("batch, of the\ncritical", "batch,\ntokens", "steps", "tokens")
    tables.print_columns((*header, "time /\nleast", "compute /\nleast"), rows)
    tables.note(
        f"All to the loss that {count(size.tokens)} tokens reach at the critical batch, which that "
        "loss sets; Kaplan's was on WebText2, and 5 % of it are 21 % of a batch. Time is steps, "
        "each taken to last as long at any batch.",
        style="dim",
    )


def _row(found: Answer) -> tuple[str, ...]:
    rate, batch, steps, _ = map(float, vars(found.recipe).values())
    rate_text = "-" if math.isnan(rate) else scientific(rate)
    return (
        found.entry.name,
        rate_text,
        count(batch),
        f"{batch / SEQUENCE:,.0f}",
        count(steps),
        found.note,
    )


def _facts(entry: Entry) -> Iterator[tuple[str, str]]:
    yield "source", entry.source
    yield "params are", entry.params_convention
    yield "tokens are", entry.tokens_convention
    yield "schedule", entry.schedule
    for name, limits, written in (
        ("params", entry.params_range, count),
        ("tokens", entry.tokens_range, count),
        ("FLOPs", entry.flops_range, scientific),
        ("tokens per param", entry.tokens_per_param_range, count),
    ):
        yield name, " to ".join(map(written, limits)) if limits else "not stated"
    for text in entry.errata:
        yield "note", text


def as_record(
    named: NamedLaw | None,
    size: Size,
    answers: Sequence[Answer],
    trades: Sequence[Trade],
) -> dict[str, Any]:
    """The answers for machines: numbers and strings; null where there is no number."""
    return {
        "law": named.name if named else None,
        "law_status": named.warning if named else "",
        **size._asdict(),
        "recipes": [_record(each) for each in answers],
        "tradeoff": [
            {name: x for name, x in each._asdict().items() if name != "share"} for each in trades
        ],
    }


def _record(found: Answer) -> dict[str, Any]:
    rate, batch, steps, _ = map(float, vars(found.recipe).values())
    numbers = {
        "learning_rate": rate,
        "batch_tokens": batch,
        "batch_sequences": batch / SEQUENCE,
        "steps": steps,
    }
    return {
        "name": found.entry.name,
        **{name: None if math.isnan(x) else x for name, x in numbers.items()},
        "in_range": bool(found.recipe.in_range),
        "note": found.note,
    }
