"""The options of `jaxscale profit` on what a model is worth, and on tokens that are sold."""

from typing import Annotated

import typer

from jaxscale._written import money, nonnegative, price_per_token, signed
from jaxscale.cli.options import complete_tasks, number_option, path_option
from jaxscale.economics.market import PROVIDER_ELASTICITY

VALUE = "What a model is worth, besides what its tokens sell for"
MARKET = "Tokens that are sold: the demand above is then that at a known loss and price"


ValuePerNat = Annotated[
    float | None,
    number_option("--value-per-nat", "DOLLARS", "Of a nat less, such as 1B$.", VALUE, money),
]
AccuracyValue = Annotated[
    float | None,
    number_option(
        "--accuracy-value",
        "DOLLARS",
        "Of all of the accuracy on --task, so a point is a hundredth of it.",
        VALUE,
        money,
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="NAME",
        help="Tasks whose accuracy follows from the loss, such as mmlu or gadre2024_c4; the law is "
        "theirs unless --law says otherwise.",
        rich_help_panel=VALUE,
        autocompletion=complete_tasks,
    ),
]
WorthlessAt = Annotated[
    str | None,
    typer.Option(
        "--worthless-at",
        metavar="LOSS|SHARE",
        help="Where a model is worth nothing: a loss, such as 2.2, or an accuracy, such as 50%.",
        rich_help_panel=VALUE,
    ),
]
AtLoss = Annotated[
    float | None,
    number_option("--at-loss", "NATS", "Loss of the model that meets that demand.", MARKET),
]
AtPrice = Annotated[
    float | None,
    number_option(
        "--at-price", "DOLLARS", "Its price of a million tokens: 1$/M.", MARKET, price_per_token
    ),
]
PerNat = Annotated[
    float | None,
    number_option(
        "--per-nat",
        "NUMBER",
        "By which the logarithm of the demand rises with each nat less.",
        MARKET,
        signed,
    ),
]
Elasticity = Annotated[
    float | None,
    number_option(
        "--elasticity",
        "NUMBER",
        "By how many percent the demand falls where the price rises by one. "
        f"[dim]\\[default: {PROVIDER_ELASTICITY}][/dim]",
        MARKET,
        nonnegative,
    ),
]
Price = Annotated[
    float | None,
    number_option(
        "--price",
        "DOLLARS",
        "Of a million tokens: 1$/M. [dim]\\[default: the best][/dim]",
        MARKET,
        price_per_token,
    ),
]
Picture = Annotated[
    str | None, path_option("--picture", "Where a picture of profit over loss goes.")
]
