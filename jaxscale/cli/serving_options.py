"""Options of the commands that serve a model."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

import jaxscale as js
from jaxscale import architectures
from jaxscale._written import batch_size, busy_part, cached_part, latency, positive, positive_whole
from jaxscale.architectures.family import FAMILIES as FAMILIES
from jaxscale.cli import options
from jaxscale.cli.devices import EXAMPLE
from jaxscale.serving.requests import FAMILY as FAMILY
from jaxscale.serving.requests import OUTPUT as OUTPUT
from jaxscale.serving.requests import PROMPT as PROMPT

REQUESTS = "Requests and limits"
DEPLOYMENT = "Deployment"


def _number(name: str, metavar: str, description: str, panel: str, read: Any) -> Any:
    return options.number_option(name, metavar, description, panel, read)


def complete_models() -> list[str]:
    """Names for shells to complete."""
    return [entry.name for entry in architectures.catalog()]


Family = Annotated[
    str | None,
    typer.Option(
        "--family",
        metavar="NAME",
        help=f"Family of shapes for a number of params: {' or '.join(FAMILIES)}. "
        "[dim]\\[default: llama][/dim]",
    ),
]
Context = Annotated[
    float | None,
    _number(
        "--context",
        "N",
        "Tokens that each request keeps room for. [dim]\\[default: prompt and output][/dim]",
        REQUESTS,
        positive,
    ),
]
Prompt = Annotated[
    float | None,
    _number(
        "--prompt",
        "N",
        f"Tokens that a request reads, in the mean. [dim]\\[default: {PROMPT}][/dim]",
        REQUESTS,
        positive,
    ),
]
Output = Annotated[
    float | None,
    _number(
        "--output",
        "N",
        f"Tokens that it writes, in the mean. [dim]\\[default: {OUTPUT}][/dim]",
        REQUESTS,
        positive,
    ),
]
Cached = Annotated[
    float | None,
    _number("--cached", "SHARE", "Of the prompt that a prefix cache knows.", REQUESTS, cached_part),
]
Rate = Annotated[
    float | None,
    _number("--rate", "N", "Requests a second, to count devices for.", REQUESTS, positive),
]
MaxLatency = Annotated[
    float | None,
    _number(
        "--max-latency", "TIME", "From token to token of an answer, as 50ms.", REQUESTS, latency
    ),
]
MaxFirstToken = Annotated[
    float | None,
    _number("--max-first-token", "TIME", "To the first token, as 1s.", REQUESTS, latency),
]
On = Annotated[
    list[str] | None,
    typer.Option(
        "--on",
        metavar="NAME|FILE|NUMBERS",
        help="Accelerator: a name from [bold]jaxscale hardware[/bold], a TOML file of your own, or "
        f"{EXAMPLE}. May be repeated.",
        rich_help_panel=DEPLOYMENT,
        autocompletion=options.complete_accelerators,
    ),
]
Price = Annotated[
    list[str] | None,
    typer.Option(
        "--price",
        metavar="DOLLARS|NAME=DOLLARS",
        help="Per device-hour. May be repeated. [dim]\\[default: the lowest quote][/dim]",
        rich_help_panel=DEPLOYMENT,
    ),
]
Count = Annotated[
    float | None,
    _number(
        "--count",
        "N",
        "Devices that hold one copy of the model. [dim]\\[default: the best of "
        f"{', '.join(map(str, js.serving.COUNTS))}][/dim]",
        DEPLOYMENT,
        positive_whole,
    ),
]
ServeCount = Annotated[
    float | None,
    _number(
        "--serve-count",
        "N",
        "Devices that serve one copy of the model. [dim]\\[default: the best of "
        f"{', '.join(map(str, js.serving.COUNTS))}][/dim]",
        REQUESTS,
        positive_whole,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="NAME",
        help="Precision that weights are stored in. [dim]\\[default: bf16][/dim]",
        rich_help_panel=DEPLOYMENT,
    ),
]
Activations = Annotated[
    str | None,
    typer.Option(
        "--activations",
        metavar="NAME",
        help="Precision of the arithmetic. [dim]\\[default: bf16][/dim]",
        rich_help_panel=DEPLOYMENT,
    ),
]
Batch = Annotated[
    float | None,
    _number("--batch", "N", "Sequences decoded together, at most.", DEPLOYMENT, batch_size),
]
Utilisation = Annotated[
    float | None,
    _number(
        "--utilisation",
        "SHARE",
        "Of the time in which devices work; below 1, requests wait. [dim]\\[default: 1][/dim]",
        DEPLOYMENT,
        busy_part,
    ),
]

# What `serve` and `compare --hardware` ask alike, by the names of their arguments.
ASKED: Mapping[str, Any] = {
    "context": Context,
    "prompt": Prompt,
    "output": Output,
    "cached": Cached,
    "rate": Rate,
    "max_latency": MaxLatency,
    "max_first_token": MaxFirstToken,
    "count": Count,
    "batch": Batch,
    "weights": Weights,
    "activations": Activations,
    "utilisation": Utilisation,
    "family": Family,
    "price": Price,
}
