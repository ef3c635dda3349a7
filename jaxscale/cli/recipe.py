"""`jaxscale recipe`: how to train a plan, and what a larger batch saves and costs."""

import math
from typing import Annotated, Any

import typer

import jaxscale as js
from jaxscale import _schema, recipes
from jaxscale._explain import Asked
from jaxscale._numerics.interpreted import interpreted
from jaxscale._written import count, scientific
from jaxscale.cli import options, tables
from jaxscale.cli.catalogues import facts_of
from jaxscale.cli.mistakes import Mistake, blamed_on
from jaxscale.cli.named_law import NamedLaw, levers_for, read_law, read_levers
from jaxscale.cli.solving import solved
from jaxscale.laws.protocol import levers_of, loss_scale
from jaxscale.published import Entry

SEQUENCE = 2048  # tokens
SHARES = {"1/4": 0.25, "1": 1.0, "4": 4.0}  # of Kaplan's critical batch
MEANINGS = {
    "no learning rate": "the recipe has none that is positive at this size",
    "extrapolated": "the plan lies outside the runs that the recipe was fitted to",
}
EXAMPLES = """\
jaxscale recipe --params 7B --tokens 1.4T
jaxscale recipe --params 400M --tokens 40B --recipe steplaw2025
jaxscale recipe --params 1B --tokens 100B --loss 2.4
jaxscale recipe --params 1B --tokens 100B --recipe ludziejewski2025 --lever experts=8
"""

Loss = Annotated[
    float | None,
    options.number_option(
        "--loss", "NATS", "Loss that is reached, in nats per token, instead of the law's."
    ),
]
Lever = Annotated[
    list[str] | None,
    typer.Option(
        "--lever",
        metavar="NAME=VALUE",
        help="What the law or a recipe needs besides params and tokens: experts=8. Without it, "
        "recipes are of a dense model. May be repeated.",
    ),
]
Name = Annotated[
    str | None,
    typer.Option("--recipe", metavar="NAME", help="One recipe, with its source and notes."),
]


def recipe(
    params: options.Params = None,
    tokens: options.Tokens = None,
    loss: Loss = None,
    law: options.Law = _schema.DEFAULT_LAW,
    lever: Lever = None,
    anyway: options.Anyway = False,
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
    levers, named = _values(lever), None
    known = {name for entry in entries for name in levers_of(entry.law)}
    if loss is None:
        named = read_law(law, anyway=anyway)
        known |= {*levers_of(named.law)}
        of_law = {name: x for name, x in levers.items() if name in levers_of(named.law)}
        of_law = levers_for(named, of_law).values
        named.need_loss(params, tokens)
        if scale := loss_scale(named.law, named.entry):
            raise Mistake(
                f"--law: the loss of {named.name} is {scale}, and Kaplan's batch depends on nats "
                "per token: give --loss"
            )
        asked = Asked(named.law, params=params, tokens=tokens, levers=of_law)
        plan = interpreted(js.evaluate, named.law, params, tokens, levers=of_law)
        loss = float(solved(plan, asked).loss)
    for each in levers:
        if each not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise Mistake(f"--lever: there is no lever {each!r} here; levers: {listed}")
    for entry in entries:
        of_recipe = {name: x for name, x in levers.items() if name in levers_of(entry.law)}
        if of_recipe:  # checks that they are in their ranges
            levers_for(NamedLaw(entry.name, entry.law, None), of_recipe)
    size = js.Runs(params, tokens, loss, levers=levers)
    record = {
        "law": named.name if named else None,
        "law_status": named.warning if named else "",
        **{"params": params, "tokens": tokens, "loss": loss, "levers": levers},
        "recipes": [_answer(size, entry) for entry in entries],
        "tradeoff": _tradeoff(size),
    }
    if as_json:
        tables.print_json("recipe", record)
    else:
        _show(record, entries)


def _values(texts: list[str] | None) -> dict[str, float]:
    """The levers that were given, each with a number."""
    levers: dict[str, float] = {}
    for name, value in read_levers(texts).items():
        if isinstance(value, str | tuple):
            raise Mistake(f"--lever: give {name} a value: a recipe chooses none")
        levers[name] = float(value)
    return levers


def _answer(size: js.Runs, entry: Entry) -> dict[str, Any]:
    """The numbers of one recipe; null where it has none. Mistake for one beyond float64."""
    answer = vars(interpreted(recipes.training_recipe, size, entry))
    answer = {name: x.item() for name, x in answer.items()}
    if math.inf in answer.values():
        sizes = f"{count(size.params)} params on {count(size.tokens)} tokens"
        raise Mistake(f"{sizes}: recipe {entry.name} leaves the range of float64")
    answer["batch_sequences"] = answer["batch_tokens"] / SEQUENCE
    notes = zip(
        MEANINGS, (math.isnan(answer["learning_rate"]), not answer["in_range"]), strict=True
    )
    note = ", ".join(note for note, applies in notes if applies)
    numbers = {name: None if math.isnan(x) else x for name, x in answer.items()}
    return {"name": entry.name, **numbers, "note": note}


def _tradeoff(size: js.Runs) -> list[dict[str, float]]:
    answers = [interpreted(recipes.critical_tradeoff, size, share) for share in SHARES.values()]
    rows = [
        {name: x.item() for name, x in answer._asdict().items() if name != "seconds"}
        for answer in answers
    ]
    if not all(math.isfinite(x) for row in rows for x in row.values()):
        raise Mistake(f"at loss {size.loss:g} the batch or its steps leave the range of float64")
    return rows


def _show(record: dict[str, Any], entries: tuple[Entry, ...]) -> None:
    tokens, by = count(record["tokens"]), f" by {record['law']}" if record["law"] else ""
    title = f"Training {count(record['params'])} params on {tokens} tokens"
    tables.note(record["law_status"], style="bold yellow")
    tables.note(f"{title}, to loss {record['loss']:.4f}{by}", style="bold")
    header = ("recipe", "peak\nlearning rate", "batch,\ntokens", f"sequences\nof {SEQUENCE}")
    rows = [
        (
            each["name"],
            "-" if each["learning_rate"] is None else scientific(each["learning_rate"]),
            count(each["batch_tokens"]),
            f"{each['batch_sequences']:,.0f}",
            count(each["steps"]),
            each["note"],
        )
        for each in record["recipes"]
    ]
    tables.print_columns((*header, "steps", "note"), rows, words=("note",))
    for note in reversed(MEANINGS):
        if any(note in row[-1] for row in rows):
            tables.note(f"{note}: {MEANINGS[note]}", style="dim")
    if any(set(levers_of(each.law)) - set(record["levers"]) for each in entries):
        tables.note("Of a dense model, unless --lever experts=VALUE says other.", style="dim")
    if len(entries) == 1:
        tables.print_facts(facts_of(entries[0]))
    else:
        tables.note("Papers count params differently: --recipe NAME says how.", style="dim")
    tables.note("\nTime against compute, Kaplan et al. 2020", style="bold")
    header = ("batch, of the\ncritical", "batch,\ntokens", "steps", "tokens")
    rows = [
        (share, *map(count, sizes), f"{time:.2f}", f"{compute:.2f}")
        for share, (*sizes, time, compute) in zip(
            SHARES, (each.values() for each in record["tradeoff"]), strict=True
        )
    ]
    tables.print_columns((*header, "time /\nleast", "compute /\nleast"), rows)
    tables.note(
        f"All to the loss that {tokens} tokens reach at the critical batch, which that loss sets; "
        "Kaplan's was on WebText2, and 5 % of it are 21 % of a batch. Time is steps, each taken to "
        "last as long at any batch.",
        style="dim",
    )
