"""The options of the commands: how each is written, read and explained."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from jaxscale.cli.mistakes import reading
from jaxscale.cli.pricing import PHASES
from jaxscale.cli.quantities import (
    dollars_per_hour,
    nonnegative,
    params_of_model,
    positive,
    share,
    tokens_of_training,
)

DEFAULT_LAW = "sardana2024"

QUALITY = "Quality: a loss, or the model to match"
DEMAND = "Demand over the model's life, in one of three ways"
DOLLARS = "Dollars instead of FLOPs"
BOUNDS = "Bounds"
SIZES = {"-params": params_of_model, "-tokens": tokens_of_training}  # by how options end


def number_option(
    name: str,
    metavar: str,
    description: str,
    panel: str | None = None,
    read: Callable[[str], float] = positive,
) -> Any:
    return typer.Option(
        name, parser=reading(name, read), metavar=metavar, help=description, rich_help_panel=panel
    )


def _count(name: str, description: str, panel: str | None = None) -> Any:
    read = next((size for what, size in SIZES.items() if name.endswith(what)), positive)
    return number_option(name, "N", description, panel, read)


def _demand(name: str, description: str) -> Any:
    return number_option(name, "N", description, DEMAND, nonnegative)


def _mfu(phase: str, default: str) -> Any:
    description = f"Useful share of the peak in {PHASES[phase]}. [dim]\\[default: {default}][/dim]"
    return number_option(f"--{phase}-mfu", "SHARE", description, DOLLARS, share)


def _price(role: str) -> Any:
    description = "Dollars per device-hour; needed where the accelerator has no default price."
    return number_option(f"--{role}-price", "DOLLARS", description, DOLLARS, dollars_per_hour)


def _name(name: str, description: str) -> Any:
    return typer.Option(name, metavar="NAME", help=description, rich_help_panel=DOLLARS)


_BF16 = "[dim]\\[default: bf16][/dim]"

Law = Annotated[
    str,
    typer.Option(
        "--law",
        metavar="LAW",
        help="A name from [bold]jaxscale laws[/bold], the file of [bold]jaxscale fit[/bold], or "
        "E=..,A=..,B=..,alpha=..,beta=..",
    ),
]
Lever = Annotated[
    list[str] | None,
    typer.Option(
        "--lever",
        metavar="NAME=VALUE",
        help="What the law needs besides params and tokens, such as bits=8 or unique_tokens=25B. "
        "May be repeated.",
    ),
]
LeverOrBest = Annotated[
    list[str] | None,
    typer.Option(
        "--lever",
        metavar="NAME=VALUE",
        help="What the law needs besides params and tokens, such as unique_tokens=25B; or "
        "sparsity=best, to choose that too. May be repeated.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]

Loss = Annotated[float | None, number_option("--loss", "NATS", "Loss in nats per token.", QUALITY)]
LikeParams = Annotated[
    float | None,
    _count(
        "--like-params",
        "Params of a model to match; alone, of the one that is compute-optimal at no demand.",
        QUALITY,
    ),
]
LikeTokens = Annotated[
    float | None, _count("--like-tokens", "Tokens that this model was trained on.", QUALITY)
]

InferenceTokens = Annotated[
    float | None, _demand("--inference-tokens", "Tokens in all, every one priced as prefill.")
]
InputTokens = Annotated[float | None, _demand("--input-tokens", "Tokens read in all.")]
OutputTokens = Annotated[float | None, _demand("--output-tokens", "Tokens written in all.")]
Requests = Annotated[float | None, _demand("--requests", "Requests in all.")]
InputPerRequest = Annotated[
    float | None, _demand("--input-per-request", "Tokens read in each request.")
]
OutputPerRequest = Annotated[
    float | None, _demand("--output-per-request", "Tokens written in each request.")
]

TrainOn = Annotated[str | None, _name("--train-on", "Accelerator that trains.")]
ServeOn = Annotated[str | None, _name("--serve-on", "Accelerator that serves.")]
TrainPrecision = Annotated[str | None, _name("--train-precision", f"Whose peak counts. {_BF16}")]
ServePrecision = Annotated[str | None, _name("--serve-precision", f"Whose peak counts. {_BF16}")]
TrainMfu = Annotated[float | None, _mfu("train", "50%")]
PrefillMfu = Annotated[float | None, _mfu("prefill", "50%")]
DecodeMfu = Annotated[float | None, _mfu("decode", "1%")]
TrainPrice = Annotated[float | None, _price("train")]
ServePrice = Annotated[float | None, _price("serve")]

MaxParams = Annotated[float | None, _count("--max-params", "Largest model allowed.", BOUNDS)]
MaxTokens = Annotated[float | None, _count("--max-tokens", "Most training tokens.", BOUNDS)]
MaxTokensPerParam = Annotated[
    float | None, _count("--max-tokens-per-param", "Most training tokens per param.", BOUNDS)
]

Params = Annotated[float | None, _count("--params", "Params of the model.")]
Tokens = Annotated[float | None, _count("--tokens", "Training tokens.")]
Flops = Annotated[
    float | None, _count("--flops", "Training FLOPs: 6 per param and token, or as the law counts.")
]
Architecture = Annotated[
    str | None,
    typer.Option(
        "--architecture",
        metavar="NAME|FILE",
        help="A shape instead of --params, priced by its own FLOPs: a published one, such as "
        "llama-3-8b, or a TOML file or config.json.",
    ),
]
ComputeOptimal = Annotated[
    bool, typer.Option("--compute-optimal", help="The lowest loss for the training FLOPs.")
]


def path_option(name: str, description: str, panel: str | None = None) -> Any:
    return typer.Option(name, metavar="PATH", help=description, rich_help_panel=panel)


OUTPUTS = "What is kept"
MACHINES = "Many machines"

Specification = Annotated[
    str | None,
    typer.Argument(metavar="SPEC", help="A TOML file. [dim]\\[default: a million scenarios][/dim]"),
]
StoredPath = Annotated[str, typer.Argument(metavar="PATH", help="The folder of a stored sweep.")]
Store = Annotated[
    str | None,
    path_option("--store", "Where results go. [dim]\\[default: sweep.zarr][/dim]", OUTPUTS),
]
Reduce = Annotated[
    list[str] | None,
    typer.Option(
        "--reduce",
        metavar="KIND:FIELD",
        help="A statistic: moments, extremes or effects:FIELD, quantiles:FIELD:LEVELS, "
        "histogram:FIELD:EDGES, lowest or highest:FIELD:K; numbers with commas. May be repeated.",
        rich_help_panel=OUTPUTS,
    ),
]
Csv = Annotated[str | None, path_option("--csv", "One line a scenario.", OUTPUTS)]
Parquet = Annotated[str | None, path_option("--parquet", "One row a scenario.", OUTPUTS)]
Picture = Annotated[
    str | None,
    path_option(
        "--picture", "Where the picture goes. [dim]\\[default: beside the store][/dim]", OUTPUTS
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print what it would take, from one chunk.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="tcp://HOST:PORT",
        help="A dask scheduler, whose workers compute.",
        rich_help_panel=MACHINES,
    ),
]
Process = Annotated[
    str | None,
    typer.Option(
        "--process",
        metavar="RANK/COUNT",
        help="Take every COUNT-th chunk, from RANK on. "
        "[dim]\\[default: what SLURM, Kubernetes or JAX say][/dim]",
        rich_help_panel=MACHINES,
    ),
]
