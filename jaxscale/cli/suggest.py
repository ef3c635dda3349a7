"""`jaxscale suggest`: which runs to train next, for a plan that rests on a fit."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

import jaxscale as js
from jaxscale._schema import option_of
from jaxscale._written import count as written
from jaxscale._written import (
    flops_or_dollars,
    nonnegative,
    positive_whole,
    scientific,
    share,
)
from jaxscale.cli import options, tables
from jaxscale.cli.mistakes import Mistake, reading
from jaxscale.cli.named_law import NamedLaw, fixed_levers, read_law
from jaxscale.cli.options import Prices, number_option, read_demand, read_prices
from jaxscale.experiments.question import GOALS
from jaxscale.experiments.selection import METHODS
from jaxscale.laws.fitted import fits_logarithm
from jaxscale.laws.saved import is_file_name, plain

EXAMPLES = """\
jaxscale suggest fit.json --budget 1e21 --for 2e24
jaxscale suggest fit.json --budget 1e21 --for 2e24 --goal loss --count 10
jaxscale suggest fit.json --budget 5000$ --for 2e24 --train-on H100-SXM --train-price 2
jaxscale suggest fit.json --budget 1e21 --for 2e24 --inference-tokens 5T
"""
COUNT = 5  # runs; a fit is to be made again after each handful
CHOICE = "How runs are chosen"
DEMAND = ("inference_tokens", "input_tokens", "output_tokens")
DEMAND += ("requests", "input_per_request", "output_per_request")
SERVING = ("serve_on", "serve_precision", "serve_price", "prefill_mfu", "decode_mfu")

File = Annotated[
    str, typer.Argument(metavar="FIT", help="The file of [bold]jaxscale fit[/bold], as of --law.")
]


Budget = Annotated[
    Any,
    typer.Option(
        "--budget",
        parser=reading("--budget", flops_or_dollars),  # pyright: ignore[reportArgumentType]
        metavar="FLOPS|DOLLARS$",
        help="What further runs may cost in all: FLOPs, or dollars as 5000$. One run may take it "
        "all, or a thousandth.",
    ),
]
For = Annotated[
    float | None,
    number_option(
        "--for",
        "FLOPS",
        "Budget of the plan that the runs are for, serving included; with prices, what so many "
        "FLOPs of training cost.",
    ),
]
Count = Annotated[
    int | None,
    number_option(
        "--count", "N", f"Runs at most. [dim]\\[default: {COUNT}][/dim]", CHOICE, positive_whole
    ),
]
Goal = Annotated[
    str,
    typer.Option(
        "--goal",
        metavar="N*|loss|cost",
        help="What is to be known: the size of the plan, its loss, or what that loss costs.",
        rich_help_panel=CHOICE,
    ),
]
Method = Annotated[
    str,
    typer.Option(
        "--method",
        metavar="V|c|D",
        help="V: the variances of all goals; c: that of one; D: all coefficients alike.",
        rich_help_panel=CHOICE,
    ),
]
Power = Annotated[
    float | None,
    number_option(
        "--power",
        "P",
        "Of the cost, by which gains are divided: 0 the dearest runs, 1 the cheapest. "
        "[dim]\\[default: 0.4][/dim]",
        CHOICE,
        nonnegative,
    ),
]
Cap = Annotated[
    int | None,
    number_option(
        "--cap", "N", "Runs of one size at most. [dim]\\[default: 2][/dim]", CHOICE, positive_whole
    ),
]
Noise = Annotated[
    float | None,
    number_option(
        "--noise",
        "SHARE",
        "Deviation of the loss of a run, such as 0.5%. [dim]\\[default: as the fit says][/dim]",
        CHOICE,
        share,
    ),
]


class Answer(NamedTuple):
    """The suggestion, and what it was asked by."""

    named: NamedLaw
    prices: Prices
    suggestion: js.experiments.Suggestion
    settings: Mapping[str, Any]


def suggest(
    fit: File,
    budget: Budget = None,
    plan_flops: For = None,
    count: Count = None,
    goal: Goal = "N*",
    method: Method = "V",
    power: Power = None,
    cap: Cap = None,
    noise: Noise = None,
    lever: options.Lever = None,
    inference_tokens: options.InferenceTokens = None,
    input_tokens: options.InputTokens = None,
    output_tokens: options.OutputTokens = None,
    requests: options.Requests = None,
    input_per_request: options.InputPerRequest = None,
    output_per_request: options.OutputPerRequest = None,
    train_on: options.TrainOn = None,
    serve_on: options.ServeOn = None,
    train_precision: options.TrainPrecision = None,
    serve_precision: options.ServePrecision = None,
    train_mfu: options.TrainMfu = None,
    prefill_mfu: options.PrefillMfu = None,
    decode_mfu: options.DecodeMfu = None,
    train_price: options.TrainPrice = None,
    serve_price: options.ServePrice = None,
    as_json: options.Json = False,
) -> None:
    """The runs to train next, which most reduce the uncertainty of a plan, and when to stop.

    Each run is worth what it takes from the expected regret of planning by a law that is not quite
    known: from what the plan will miss of the best loss, times what a nat of that loss costs. Stop
    where the next run costs more. Refit after each batch: gains are linear in what is known now.
    """
    given = dict(locals())
    asked = {
        "--budget, what further runs may cost": budget,
        "--for, the plan's FLOPs": plan_flops,
    }
    if budget is None or plan_flops is None:
        raise Mistake(f"give {', and '.join(name for name, x in asked.items() if x is None)}")
    named = read_fit(fit)
    levers = fixed_levers(named, lever)
    served = any(given[name] is not None for name in DEMAND)
    for name in SERVING:
        if given[name] is not None and not served:
            raise Mistake(f"{option_of(name)} prices serving: give --inference-tokens too")
    demand = read_demand(given) if served else None
    prices = read_prices(given) if served else read_prices(given, roles=("train",))
    amount, in_dollars = budget
    if in_dollars and prices.unit != "dollars":
        raise Mistake("--budget: dollars need --train-on; without it write FLOPs, such as 1e21")
    settings = {
        "count": COUNT if count is None else count,
        "goal": one_of("--goal", goal, GOALS),
        "method": one_of("--method", method, METHODS),
        "power": 0.4 if power is None else power,
        "cap": 2 if cap is None else cap,
    }
    try:
        known = js.experiments.read_information(path_of_fit(fit), type(named.law))
        suggestion = js.suggest(
            known,
            at=plan_flops,
            budget=amount if in_dollars else amount * float(prices.costs.train),
            demand=demand,
            cost=prices.costs,
            levers=levers.values,
            noise=noise,
            **settings,
        )
    except ValueError as error:
        raise Mistake(str(error)) from None
    answer = Answer(named, prices, suggestion, {"budget": amount, "for": plan_flops, **settings})
    tables.print_json("suggest", as_record(answer)) if as_json else show(answer)


def one_of(option: str, text: str, names: Sequence[str]) -> str:
    """The name that is written so, in any case."""
    spelled = {name.lower(): name for name in names}
    if text.strip().lower() not in spelled:
        raise Mistake(f"{option}: {text!r} must be one of {', '.join(names)}")
    return spelled[text.strip().lower()]


def path_of_fit(text: str) -> Path:
    """The file, without the class of one's own that may follow its name."""
    name, suffix, _ = text.strip().partition(".json:")
    return Path(name + (".json" if suffix else ""))


def read_fit(text: str) -> NamedLaw:
    """The fit in a file; Mistake for a law by name, whose runs are not known."""
    if not is_file_name(path_of_fit(text)):
        raise Mistake(f"FIT: {text!r} must be the file of a fit, as jaxscale fit writes it")
    try:
        return read_law(text)
    except Mistake as error:
        raise Mistake(f"FIT: {str(error).removeprefix('--law: ')}") from None


def show(answer: Answer) -> None:
    """Print the runs as a table, with the advice below."""
    found, plan = answer.suggestion, answer.suggestion.plan
    tables.note(answer.named.warning, style="bold yellow")
    sizes = f"{written(float(plan.params))} params on {written(float(plan.tokens))} tokens"
    tables.note(f"Runs to train next, for a plan of {sizes}, law {answer.named.name}", style="bold")
    for line in answer.prices.describe():
        tables.note(line, style="dim")
    header = ("", "params", "tokens", *found.levers, "cost", "all together")
    header += (f"sd of\n{found.goal}", "expected\nregret, nats", "saves")
    before = (f"{found.sd_before[0]:.3g}", scientific(found.regret_before[0])) if len(found) else ()
    rows: list[tuple[str, ...]] = (
        [("now", *[""] * (len(header) - 4), *before, "")] if before else []
    )
    for i in range(len(found)):
        levers = (written(float(x[i])) for x in found.levers.values())
        rows.append(
            (
                f"{i + 1}{' *' if i >= found.worth and found.knows_savings else ''}",
                written(float(found.params[i])),
                written(float(found.tokens[i])),
                *levers,
                *map(found.price, (float(found.cost[i]), float(found.cumulative_cost[i]))),
                f"{found.sd_after[i]:.3g}",
                scientific(float(found.regret_after[i])),
                found.price(float(found.saved[i])),
            )
        )
    if rows:
        tables.print_columns(header, rows)
    tables.note(found.advice, style="bold")
    if found.worth < len(found) and found.knows_savings:
        tables.note("*: costs more than it saves", style="dim")
    tables.note(answer.named.outside_note(answer.suggestion), style="dim")
    tables.note(
        f"Of {found.candidates:,} candidates; noise of a run {noise_text(answer)}. Gains "
        "are linear in what is known now: refit after these runs.",
        style="dim",
    )


def noise_text(answer: Answer) -> str:
    """The noise of a run in words."""
    noise = answer.suggestion.noise
    of_logarithm = fits_logarithm(answer.named.law)
    return f"{noise:.2%} of the loss" if of_logarithm else f"{noise:.3g} in the loss"


def as_record(answer: Answer) -> dict[str, Any]:
    """The suggestion for machines: numbers and strings alone."""
    found = answer.suggestion
    columns = found.columns
    runs = [{name: column[i].item() for name, column in columns.items()} for i in range(len(found))]
    plan = {name: float(getattr(found.plan, name)) for name in ("params", "tokens", "loss")}
    record = {
        "law": {"name": answer.named.name, **tables.plain(answer.named.law)},
        "law_status": answer.named.warning,
        "unit": answer.prices.unit,
        **answer.settings,
        "noise": found.noise,
        "plan": plan,
        "marginal_cost": found.marginal_cost,
        "candidates": found.candidates,
        "runs": runs,
        "worth": found.worth,
        "advice": found.advice,
        "note": answer.named.outside_note(answer.suggestion),
    }
    return plain(record)
