"""The options of `jaxscale fit` and `jaxscale simulate`."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from jaxscale.cli.options import OUTPUTS, number_option, path_option
from jaxscale.cli.quantities import deviation, whole

COLUMNS = "The columns of the table"
METHOD = "How it is fitted"
SPREAD = "What is simulated"


def _text(name: str, metavar: str, description: str, panel: str) -> Any:
    return typer.Option(name, metavar=metavar, help=description, rich_help_panel=panel)


def _column(name: str, description: str) -> Any:
    return _text(name, "COLUMN", description, COLUMNS)


def _whole(name: str, description: str, panel: str) -> Any:
    return number_option(name, "N", description, panel, whole)


def _spread(
    name: str, metavar: str, description: str, read: Callable[[str], float] | None = None
) -> Any:
    more = () if read is None else (read,)
    return number_option(name, metavar, description, SPREAD, *more)


def _default(text: str) -> str:
    return f"[dim]\\[default: {text}][/dim]"


RunsPath = Annotated[
    str, typer.Argument(metavar="RUNS", help="A table of finished trainings, .csv or .parquet.")
]
ParamsColumn = Annotated[str, _column("--params", "Model parameters.")]
TokensColumn = Annotated[str, _column("--tokens", "Training tokens seen.")]
LossColumn = Annotated[str, _column("--loss", "Final loss.")]
WeightsColumn = Annotated[
    str | None, _column("--weights", "How much each run counts. " + _default("all alike"))
]
GroupColumn = Annotated[
    str | None,
    _column("--group", "Which runs err together, as checkpoints of one training do."),
]
Where = Annotated[
    str | None,
    _text(
        "--where",
        "EXPR",
        "Which rows count, such as [bold]'loss < 4 and `my step` > 1000'[/bold]; names with more "
        "than letters, digits and _ / . - : go in `back quotes`.",
        COLUMNS,
    ),
]
ParamsUnit = Annotated[
    float | None,
    number_option(
        "--params-unit", "N", f"What one unit counts, such as 1M. {_default('1')}", COLUMNS
    ),
]
TokensUnit = Annotated[
    float | None,
    number_option("--tokens-unit", "N", f"The same, such as 1B. {_default('1')}", COLUMNS),
]
LossUnit = Annotated[
    str, _text("--loss-unit", "UNIT", "nats or bits, per token, or perplexity.", COLUMNS)
]
BestOfEach = Annotated[
    bool,
    typer.Option(
        "--best-of-each",
        help="Keep the best run of each size, as of a sweep of learning rates.",
        rich_help_panel=COLUMNS,
    ),
]

Objective = Annotated[
    str, _text("--objective", "NAME", "huber, squared, absolute or likelihood.", METHOD)
]
Delta = Annotated[
    float | None,
    number_option(
        "--delta", "X", f"Bound of huber and likelihood, in ln loss. {_default('0.001')}", METHOD
    ),
]
Family = Annotated[
    str,
    _text(
        "--law",
        "FAMILY",
        "Chinchilla, Kaplan, Muennighoff and so on, as [bold]jaxscale laws[/bold] lists them; or a "
        "class of your own, FILE.py:CLASS.",
        METHOD,
    ),
]
Tie = Annotated[
    list[str] | None,
    _text("--tie", "NAME=NAME", "Make coefficients one, as alpha=beta. May be repeated.", METHOD),
]
Fix = Annotated[
    list[str] | None,
    _text("--fix", "NAME=VALUE", "Hold a coefficient. May be repeated.", METHOD),
]
Starts = Annotated[
    str | None,
    _text(
        "--starts",
        "NAME",
        f"hoffmann2022 for its 4,500. {_default('256 by least squares')}",
        METHOD,
    ),
]
Resamples = Annotated[
    int | None,
    _whole("--bootstrap", f"Resamples for the intervals; 0 for none. {_default('4,000')}", METHOD),
]
Seed = Annotated[int | None, _whole("--seed", f"Of the resamples. {_default('0')}", METHOD)]

Beside = Annotated[
    list[str] | None,
    typer.Option(
        "--beside",
        metavar="LAW",
        help="A law to stand beside the fit, as in [bold]jaxscale plan[/bold]. May be repeated. "
        + _default("hoffmann2022_unrounded and besiroglu2024"),
        rich_help_panel=OUTPUTS,
    ),
]
Output = Annotated[str, path_option("--output", "Where the fit goes, to serve as a law.", OUTPUTS)]
Pictures = Annotated[
    str | None,
    path_option(
        "--pictures",
        f"A folder, or how their names begin, as fit.png or fit.svg. {_default('the output')}",
        OUTPUTS,
    ),
]
NoPictures = Annotated[
    bool, typer.Option("--no-pictures", help="Draw nothing.", rich_help_panel=OUTPUTS)
]

Anyway = Annotated[
    bool,
    typer.Option(
        "--anyway",
        help="End with exit code 0 although the runs leave coefficients open.",
        rich_help_panel=OUTPUTS,
    ),
]

Table = Annotated[str, typer.Argument(metavar="PATH", help="Where the CSV file goes.")]
Count = Annotated[int | None, _whole("--runs", f"How many. {_default('200')}", SPREAD)]
Noise = Annotated[
    float | None,
    _spread("--noise", "SHARE", f"Standard deviation of each loss. {_default('0.5%')}", deviation),
]
MinFlops = Annotated[
    float | None, _spread("--min-flops", "N", f"Least training budget. {_default('1e19')}")
]
MaxFlops = Annotated[
    float | None, _spread("--max-flops", "N", f"Largest training budget. {_default('1e22')}")
]
MinRatio = Annotated[
    float | None,
    _spread("--min-tokens-per-param", "N", f"Shortest training. {_default('5')}"),
]
MaxRatio = Annotated[
    float | None,
    _spread("--max-tokens-per-param", "N", f"Longest training. {_default('500')}"),
]
SimulationSeed = Annotated[int | None, _whole("--seed", f"Of the draws. {_default('0')}", SPREAD)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a table that is there.")]
