"""`jaxscale design`: a first set of runs for a budget, and how well it would tell a plan."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import jaxscale as js
from jaxscale import _schema
from jaxscale.cli import options, tables
from jaxscale.cli.files import replacing
from jaxscale.cli.mistakes import Mistake, check_file, path_of
from jaxscale.cli.named_law import levers_for, read_law, read_levers
from jaxscale.cli.options import OUTPUTS, Prices, number_option, path_option, read_prices
from jaxscale.cli.quantities import count, percent, positive, scientific, share, whole
from jaxscale.experiments import Design, Score

FURTHER = 100.0  # the budget of the plan, over that of the runs, where none is asked for
TABLES = 200
NOISE = 0.005
MOST_RUNS = 10_000
EXAMPLES = """\
jaxscale design --budget 1e21
jaxscale design --budget 1e21 --for 1e24 --law besiroglu2024 --output runs.csv
jaxscale design --budget 20K --train-on H100-SXM --train-price 2 --levels 4 --span 1.5
"""
SHAPE = "The runs"


def _default(text: str) -> str:
    return f"[dim]\\[default: {text}][/dim]"


Budget = Annotated[
    float | None,
    number_option("--budget", "N", "What all runs may cost: FLOPs, or dollars on --train-on."),
]
For = Annotated[
    float | None,
    number_option(
        "--for",
        "FLOPS",
        f"Training FLOPs of the plan to foretell. {_default('100 times those of the runs')}",
    ),
]
Levels = Annotated[
    int | None,
    number_option("--levels", "N", f"Budgets of a single run. {_default('5')}", SHAPE, whole),
]
Sizes = Annotated[
    int | None,
    number_option("--sizes", "N", f"Models of each level. {_default('6')}", SHAPE, whole),
]
Span = Annotated[
    float | None,
    number_option(
        "--span",
        "DECADES",
        f"From the best size to the smallest and largest. {_default('1.2')}",
        SHAPE,
        positive,
    ),
]
Replicates = Annotated[
    int | None,
    number_option(
        "--replicates", "N", f"Further runs of the best size. {_default('2')}", SHAPE, whole
    ),
]
Noise = Annotated[
    float | None,
    number_option(
        "--noise", "SHARE", f"Noise of a loss, relative. {_default('0.5%')}", SHAPE, share
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

    Levels of equal FLOPs around the sizes that a guess of the law calls best. Below them, how well
    fits to these runs would tell the best plan of a larger budget, were the law the true one:
    losses are simulated from it, with noise, and fitted.
    """
    if budget is None:
        raise Mistake("give --budget: FLOPs, or dollars with --train-on")
    path = _checked(output)
    prices = read_prices(locals(), roles=("train",))
    named = read_law(law)
    named.need_sizes()
    levers = levers_for(named, read_levers(lever))
    if levers.chosen:
        raise Mistake(f"--lever: {levers.chosen[0]}=best is for jaxscale plan; give it a value")
    shape = {"levels": levels, "sizes": sizes, "span": span, "replicates": replicates}
    given = {name: value for name, value in shape.items() if value is not None}
    if any(given.get(name, 0) > MOST_RUNS for name in ("levels", "sizes", "replicates")):
        raise Mistake(f"--levels, --sizes and --replicates are at most {MOST_RUNS:,}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = _or_mistake(
            lambda: js.design(
                named.law, budget, costs=prices.costs, levers=levers.values or None, **given
            )
        )
    note = " ".join(str(each.message) for each in caught)
    at = FURTHER * float(made.flops.sum()) if for_ is None else for_
    with tables.steps() as begin:
        advance = begin("simulating", TABLES)
        score = _or_mistake(
            lambda: js.experiments.score_design(
                made,
                named.law,
                at=at,
                noise=NOISE if noise is None else noise,
                tables=TABLES,
                levers=levers.values or None,
                advance=advance,
            )
        )
    if path is not None:
        with replacing(path) as partial:
            made.to_csv(partial)
    if as_json:
        tables.print_json("design", _record(named, prices, budget, made, score, note, path))
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


def _or_mistake(made: Callable[[], Any]) -> Any:
    """What the library answers, whose refusals are mistakes."""
    try:
        return made()
    except ValueError as error:
        raise Mistake(str(error)) from None


def _record(
    named: Any,
    prices: Prices,
    budget: float,
    made: Design,
    score: Score,
    note: str,
    path: Path | None,
) -> dict[str, Any]:
    names = "params", "tokens", "loss", "exponent"
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
        "score": {
            "flops": score.at,
            "noise": score.noise,
            "tables": score.tables,
            "level": score.level,
            "ok": score.ok,
            **{name: tables.finite(getattr(score, name)._asdict()) for name in names},
            "regret": score.regret,
        },
        "path": None if path is None else str(path),
    }


def _show(
    named: Any, prices: Prices, made: Design, score: Score, note: str, path: Path | None
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
    title = f"What they would tell of {scientific(score.at)} FLOPs, {score.tables} simulated tables"
    tables.note(f"{title}, noise {percent(score.noise)}", style="bold")
    header, lines = score.cells()
    tables.print_columns(header, lines)
    tables.note(f"{score.advice()} {score.ok:.0%} of the fits are ok.", style="dim")
    if path is not None:
        tables.note(f"The runs are in {path}; with a column loss added, jaxscale fit reads it.")
