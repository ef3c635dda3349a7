"""`jaxscale design`: a first set of runs for a budget, and how well it would tell a plan."""

import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

import jaxscale as js
from jaxscale import _schema
from jaxscale._written import (
    count,
    deviation,
    flops_or_dollars,
    percent,
    positive,
    scientific,
    whole,
)
from jaxscale.cli import options, tables
from jaxscale.cli.files import replacing
from jaxscale.cli.mistakes import Mistake, check_file, path_of, reading
from jaxscale.cli.named_law import fixed_levers, read_law
from jaxscale.cli.options import OUTPUTS, Prices, number_option, path_option, read_prices
from jaxscale.experiments import Design, Score
from jaxscale.experiments._design import LEVELS, REPLICATES, SIZES, SPAN

FURTHER = 100.0  # the budget of the plan, over that of the runs, where none is asked for
TABLES = 200
NOISE = 0.005  # of the logarithm of a loss
MOST_RUNS = 10_000
EXAMPLES = """\
jaxscale design --budget 1e21
jaxscale design --budget 1e21 --for 1e24 --law besiroglu2024 --output runs.csv
jaxscale design --budget 20K$ --train-on H100-SXM --train-price 2 --levels 4 --span 1.5
"""
SHAPE = "The runs"


def _default(text: object) -> str:
    return f"[dim]\\[default: {text}][/dim]"


Budget = Annotated[
    Any,
    typer.Option(
        "--budget",
        parser=reading("--budget", flops_or_dollars),  # pyright: ignore[reportArgumentType]
        metavar="FLOPS|DOLLARS$",
        help="What all runs may cost: FLOPs, or dollars as 20K$, which need --train-on.",
    ),
]
For = Annotated[
    float | None,
    number_option(
        "--for",
        "FLOPS",
        f"Training FLOPs of the plan to predict. {_default('100 times those of the runs')}",
    ),
]
Levels = Annotated[
    int | None,
    number_option("--levels", "N", f"Budgets of a single run. {_default(LEVELS)}", SHAPE, whole),
]
Sizes = Annotated[
    int | None,
    number_option("--sizes", "N", f"Models of each level. {_default(SIZES)}", SHAPE, whole),
]
Span = Annotated[
    float | None,
    number_option(
        "--span",
        "DECADES",
        f"From the best size to the smallest and largest. {_default(SPAN)}",
        SHAPE,
        positive,
    ),
]
Replicates = Annotated[
    int | None,
    number_option(
        "--replicates", "N", f"Further runs of the best size. {_default(REPLICATES)}", SHAPE, whole
    ),
]
Noise = Annotated[
    float | None,
    number_option(
        "--noise",
        "SHARE",
        f"Noise of a loss, relative. {_default(percent(NOISE))}",
        SHAPE,
        deviation,
    ),
]
Output = Annotated[str | None, path_option("--output", "A table of the runs, .csv.", OUTPUTS)]


def design(
    budget: Budget = None,
    for_: For = None,
    law: options.Law = _schema.DEFAULT_LAW,
    lever: options.Lever = None,
    levels: Levels = None,
    sizes: Sizes = None,
    span: Span = None,
    replicates: Replicates = None,
    noise: Noise = None,
    train_on: options.TrainOn = None,
    train_price: options.TrainPrice = None,
    train_mfu: options.TrainMfu = None,
    train_precision: options.TrainPrecision = None,
    output: Output = None,
    as_json: options.Json = False,
) -> None:
    """A first set of runs for a budget: which sizes to train, for how long.

    Levels of equal FLOPs, with sizes around those that the law, a guess, calls best. Below them:
    how well fits to these runs would find the best plan for a larger budget, if the law were true.
    Losses are simulated from it, with noise, and fitted.
    """
    if budget is None:
        raise Mistake("give --budget: FLOPs such as 1e21, or dollars such as 20K$ with --train-on")
    path = _checked(output)
    prices = read_prices(locals(), roles=("train",))
    amount, in_dollars = budget
    if in_dollars and prices.unit != "dollars":
        raise Mistake("--budget: dollars need --train-on; without it write FLOPs, such as 1e21")
    if noise == 0:
        raise Mistake("--noise: '0' must be greater than zero")
    if not in_dollars:
        amount *= float(prices.costs.train)
    named = read_law(law)
    named.need_sizes()
    levers = fixed_levers(named, lever)
    shape = {"levels": levels, "sizes": sizes, "span": span, "replicates": replicates}
    given = {name: value for name, value in shape.items() if value is not None}
    runs = given.get("levels", LEVELS) * (
        given.get("sizes", SIZES) + given.get("replicates", REPLICATES)
    )
    if runs > MOST_RUNS:
        raise Mistake(
            f"--levels times --sizes and --replicates make {runs:,} runs, and at most "
            f"{MOST_RUNS:,} are allowed"
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            made = js.design(
                named.law, amount, costs=prices.costs, levers=levers.values or None, **given
            )
        except ValueError as error:
            raise Mistake(str(error)) from None
    notes = [str(each.message) for each in caught] + [named.outside_note(made)]
    at = FURTHER * float(made.flops.sum()) if for_ is None else for_
    with tables.steps() as begin:
        advance = begin("simulating", TABLES)
        try:
            score = js.experiments.score_design(
                made,
                named.law,
                at=at,
                noise=NOISE if noise is None else noise,
                tables=TABLES,
                levers=levers.values or None,
                advance=advance,
            )
        except ValueError as error:  # the runs are still a profile of sizes
            score, notes = None, [*notes, f"There is no score: {error}."]
    note = " ".join(filter(None, notes))
    if path is not None:
        with replacing(path) as partial:
            made.to_csv(partial)
    if as_json:
        tables.print_json("design", _record(named, prices, amount, made, score, note, path))
    else:
        _show(named, prices, made, score, note, path)


def _checked(output: str | None) -> Path | None:
    if output is None:
        return None
    path = path_of(output)
    if path.suffix.lower() != ".csv":
        raise Mistake(f"--output: {output!r} must end in .csv")
    check_file("--output", output, path)
    return path


def _record(
    named: Any,
    prices: Prices,
    budget: float,
    made: Design,
    score: Score | None,
    note: str,
    path: Path | None,
) -> dict[str, Any]:
    columns = made.columns
    return {
        "law": {"name": named.name, **tables.plain(named.law)},
        "law_status": named.warning,
        "budget": budget,
        "unit": prices.unit,
        "runs": [
            dict(zip(columns, map(float, row), strict=True))
            for row in zip(*columns.values(), strict=True)
        ],
        "total_cost": made.total_cost,
        "correlation": made.correlation,
        "note": note,
        "score": None if score is None else _record_of_score(score),
        "path": None if path is None else str(path),
    }


def _record_of_score(score: Score) -> dict[str, Any]:
    names = "params", "tokens", "loss", "exponent"
    return {
        "flops": score.at,
        "noise": score.noise,
        "tables": score.tables,
        "level": score.level,
        "ok": score.ok,
        **{name: tables.finite(getattr(score, name)._asdict()) for name in names},
        "regret": score.regret,
    }


def _show(
    named: Any, prices: Prices, made: Design, score: Score | None, note: str, path: Path | None
) -> None:
    tables.note(named.warning, style="bold yellow")
    title = f"{len(made)} runs for {prices.format(made.total_cost)}, around law {named.name}"
    tables.note(title, style="bold")
    for line in prices.describe():
        tables.note(line, style="dim")
    written = {"flops": scientific, "cost": prices.format, "cumulative_cost": prices.format}
    if prices.train is None:
        written["cumulative_cost"] = scientific
    columns = {"tokens_per_param": made.tokens / made.params, **made.columns}
    order = ["params", "tokens", "tokens_per_param", *list(columns)[3:]]
    rows = [
        tuple(written.get(name, count)(float(columns[name][i])) for name in order)
        for i in range(len(made))
    ]
    tables.print_columns([name.replace("_", " ") for name in order], rows)
    tables.note(note, style="bold yellow")
    if score is not None:
        _show_score(score)
    if path is not None:
        tables.note(f"The runs are in {path}; with a column loss added, jaxscale fit reads it.")


def _show_score(score: Score) -> None:
    title = f"The best plan for {scientific(score.at)} FLOPs, by fits to {score.tables} simulated"
    tables.note(f"{title} tables, noise {percent(score.noise)}", style="bold")
    header, lines = score.cells()
    tables.print_columns(header, lines)
    tables.note(f"{score.advice()} {score.ok:.0%} of the fits are ok.", style="dim")
