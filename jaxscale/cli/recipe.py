"""`jaxscale recipe`: how to train a plan, and what a larger batch saves and costs."""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np
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
from jaxscale.published import Entry
from jaxscale.recipes import Recipe, TimeAndCompute

SEQUENCE = 2048  # tokens
SHARES = {"1/4": 0.25, "1": 1.0, "4": 4.0}  # of Kaplan's critical batch
MEANINGS = {
    "extrapolated": "the plan lies outside the runs that the recipe was fitted to",
    "no learning rate": "the recipe's rate is not positive at this size",
}
EXAMPLES = """\
jaxscale recipe --params 7B --tokens 1.4T
jaxscale recipe --params 400M --tokens 40B --recipe steplaw2025
jaxscale recipe --params 1B --tokens 100B --loss 2.4
"""

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
Answers = Sequence[tuple[Entry, Recipe]]


class Size(NamedTuple):
    """What is trained."""

    params: float
    tokens: float
    loss: float


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
        answers = [(each, jax.device_get(recipes.training_recipe(size, each))) for each in entries]
        tradeoff = jax.device_get(recipes.critical_tradeoff(size, np.array([*SHARES.values()])))
        _check_range(size, answers, tradeoff)
    if as_json:
        tables.print_json("recipe", _record(named, size, answers, tradeoff))
    else:
        _show(named, size, answers, tradeoff)


def _check_range(size: Size, answers: Answers, tradeoff: TimeAndCompute) -> None:
    """Refuse sizes of which a recipe makes more than float64 holds."""
    for entry, answer in answers:
        if any(map(np.isinf, vars(answer).values())):
            raise Mistake(
                f"{count(size.params)} params on {count(size.tokens)} tokens: recipe "
                f"{entry.name} leaves the range of float64"
            )
    if not np.isfinite([tradeoff.batch, tradeoff.steps, tradeoff.tokens]).all():
        raise Mistake(f"at loss {size.loss:g} the batch or its steps leave the range of float64")


def _note(answer: Recipe) -> str:
    notes = {"no learning rate": np.isnan(answer.learning_rate), "extrapolated": ~answer.in_range}
    return ", ".join(note for note, applies in notes.items() if applies)


def _show(named: NamedLaw | None, size: Size, answers: Answers, tradeoff: TimeAndCompute) -> None:
    title = f"Training {count(size.params)} params on {count(size.tokens)} tokens"
    by = f" by {named.name}" if named else ""
    tables.note(named.warning if named else "", style="bold yellow")
    tables.note(f"{title}, to loss {size.loss:.4f}{by}", style="bold")
    header = ("recipe", "peak\nlearning rate", "batch,\ntokens", f"sequences\nof {SEQUENCE}")
    rows = [_row(entry.name, answer) for entry, answer in answers]
    tables.print_columns((*header, "steps", "note"), rows, words=("note",))
    for mark, meaning in MEANINGS.items():
        if any(mark in note for *_, note in rows):
            tables.note(f"{mark}: {meaning}", style="dim")
    if len(answers) == 1:
        tables.print_facts(_facts(answers[0][0]))
    else:
        tables.note("Papers count params differently: --recipe NAME says how.", style="dim")
    tables.note("\nTime against compute, Kaplan et al. 2020", style="bold")
    sizes = (map(count, x) for x in (tradeoff.batch, tradeoff.steps, tradeoff.tokens))
    ratios = ([f"{x:.2f}" for x in each] for each in tradeoff[4:])
    header = ("batch, of the\ncritical", "batch,\ntokens", "steps", "tokens")
    rows = zip(SHARES, *sizes, *ratios, strict=True)
    tables.print_columns((*header, "time /\nleast", "compute /\nleast"), rows)
    tables.note(
        f"All to the loss that {count(size.tokens)} tokens reach at the critical batch, which that "
        "loss sets; Kaplan's was on WebText2, and 5 % of it are 21 % of a batch. Time is steps, "
        "each taken to last as long at any batch.",
        style="dim",
    )


def _row(name: str, answer: Recipe) -> tuple[str, ...]:
    rate, batch, steps, _ = map(float, vars(answer).values())
    rate_text = "-" if math.isnan(rate) else scientific(rate)
    return name, rate_text, count(batch), f"{batch / SEQUENCE:,.0f}", count(steps), _note(answer)


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


def _record(
    named: NamedLaw | None, size: Size, answers: Answers, tradeoff: TimeAndCompute
) -> dict[str, Any]:
    """The answers for machines: numbers and strings; null where there is no number."""
    columns = {
        "batch_tokens": tradeoff.batch,
        **{name: getattr(tradeoff, name) for name in ("steps", "tokens")},
        **{name: getattr(tradeoff, name) for name in ("relative_time", "relative_compute")},
    }
    return {
        "law": named.name if named else None,
        "law_status": named.warning if named else "",
        **size._asdict(),
        "recipes": [_record_of_recipe(entry.name, answer) for entry, answer in answers],
        "tradeoff": [
            dict(zip(columns, map(float, row), strict=True))
            for row in zip(*columns.values(), strict=True)
        ],
    }


def _record_of_recipe(name: str, answer: Recipe) -> dict[str, Any]:
    numbers = {
        "learning_rate": answer.learning_rate,
        "batch_tokens": answer.batch_tokens,
        "batch_sequences": answer.batch_tokens / SEQUENCE,
        "steps": answer.steps,
    }
    return {
        "name": name,
        **{key: None if np.isnan(x) else float(x) for key, x in numbers.items()},
        "in_range": bool(answer.in_range),
        "note": _note(answer),
    }
