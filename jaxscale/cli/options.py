"""The options of the commands: how each is written, read and explained, and prices in words."""

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, NamedTuple

import typer

import jaxscale as js
from jaxscale import _schema
from jaxscale._schema import QUANTITIES, Refused, Rented, option_of
from jaxscale._sentences import PHASES, cost_text, price_line
from jaxscale._written import (
    data_rate,
    dollars_per_hour,
    duration,
    flop_rate,
    memory,
    nonnegative,
    params_of_model,
    positive,
    positive_whole,
    share,
    tokens_of_training,
)
from jaxscale.cli.devices import EXAMPLE, read_device
from jaxscale.cli.mistakes import Mistake, blamed_on, reading
from jaxscale.costs import DEFAULT_MFU


class Prices(NamedTuple):
    """Costs with their unit; the accelerators where it is dollars."""

    costs: js.Costs
    train: Rented | None = None
    serve: Rented | None = None
    note: str = ""  # on serving, where its price follows from the size of the model

    @property
    def unit(self) -> str:
        return "dollars" if self.train else "FLOPs"

    def format(self, cost: float) -> str:
        return cost_text(cost, self.train is not None)

    def describe(self) -> list[str]:
        """Lines on the accelerators and their prices; none for FLOPs."""
        uses = {"Trained": self.train, "Served": self.serve}
        lines = [price_line(verb, use) for verb, use in uses.items() if use]
        return [*lines, *[self.note] * bool(self.note)]


def read_prices(
    options: Mapping[str, Any], roles: Collection[str] = tuple(_schema.ROLES)
) -> Prices:
    """Prices from the options of these roles, by name; None for an option that was not given."""
    given = given_of(options)
    for name in (f"{role}_on" for role in roles):
        if "=" in given.get(name, ""):
            with blamed_on(option_of(name)):
                given[name] = read_device(given[name])
    with blamed_on_options():
        if not _schema.in_dollars(given, option_of, roles):
            return Prices(js.Costs.flops())
        uses = {role: _schema.rented(role, given, option_of) for role in roles}
    devices = {f"{role}_on": use.device for role, use in uses.items()}
    costs = _schema.read_costs({**given, **devices})
    return Prices(costs, uses.get("train"), uses.get("serve"))


def read_demand(options: Mapping[str, Any]) -> js.Demand:
    """The demand from the options, by name."""
    with blamed_on_options():
        return _schema.read_demand(given_of(options), option_of)


def given_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}


@contextmanager
def blamed_on_options() -> Iterator[None]:
    """Turn an error of the schema into a mistake that names the option."""
    try:
        yield
    except Refused as error:
        subject = option_of(error.name) if error.name else ""
        verb = str(error).startswith("needs")  # the option is then its subject
        raise Mistake(f"{subject}{'' if verb or not subject else ':'} {error}".strip()) from None


QUALITY = "Quality: a loss, an accuracy, or the model to match"
DEMAND = "Demand over the model's life, in one of three ways"
DOLLARS = "Dollars instead of FLOPs"
BOUNDS = "Bounds"
TIME = "Time of the training, on the accelerator of --train-on"
SIZES = {"-params": params_of_model, "-tokens": tokens_of_training}  # by the ending of the option


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


def _of_schema(name: str, panel: str, read: Callable[[str], float] = nonnegative) -> Any:
    """The option of a number of the schema, described by its long name."""
    long_name = QUANTITIES[name].long_name
    return number_option(option_of(name), "N", f"{long_name.capitalize()}.", panel, read)


def _bound(name: str) -> Any:
    read = tokens_of_training if name == "max_tokens" else positive
    return _of_schema(name, BOUNDS, params_of_model if name == "max_params" else read)


def _mfu(phase: str) -> Any:
    default = f"[dim]\\[default: {100 * DEFAULT_MFU[phase]:g}%][/dim]"
    description = f"Useful share of the peak in {PHASES[phase]}. {default}"
    return number_option(option_of(f"{phase}_mfu"), "SHARE", description, DOLLARS, share)


def _price(role: str) -> Any:
    description = "Dollars per device-hour; needed where the accelerator has no default price."
    name = option_of(f"{role}_price")
    return number_option(name, "DOLLARS", description, DOLLARS, dollars_per_hour)


def complete_laws() -> list[str]:
    """Names for shells to complete."""
    return [entry.name for entry in js.laws.catalog()]


def complete_accelerators() -> list[str]:
    """Names for shells to complete."""
    return [device.name for device in js.hardware.catalog()]


def complete_tasks() -> list[str]:
    """Names for shells to complete."""
    return [entry.name for entry in js.laws.tasks()]


def complete_accuracies() -> list[str]:
    """Beginnings of an accuracy on a task for shells to complete."""
    return [f"{(*entry.aliases, entry.name)[0]}=" for entry in js.laws.tasks()]


def _name(name: str, description: str) -> Any:
    return typer.Option(name, metavar="NAME", help=description, rich_help_panel=DOLLARS)


def _device(name: str, description: str) -> Any:
    return typer.Option(
        name,
        metavar="NAME|FILE|NUMBERS",
        help=f"{description} A name from [bold]jaxscale hardware[/bold], a TOML file of your own, "
        f"or {EXAMPLE}.",
        rich_help_panel=DOLLARS,
        autocompletion=complete_accelerators,
    )


_BF16 = "[dim]\\[default: bf16][/dim]"

Law = Annotated[
    str,
    typer.Option(
        "--law",
        metavar="LAW",
        autocompletion=complete_laws,
        help="A name from [bold]jaxscale laws[/bold], the file of [bold]jaxscale fit[/bold], with "
        ":FILE.py:CLASS if its law is a class of your own, or E=..,A=..,B=..,alpha=..,beta=.., or "
        "Kaplan:N_c=..,D_c=.. of another family. A plus adds a published part: +ling2025 makes "
        "a dense law one of experts, +chen2025_pile gives it streams, "
        "+prabhudesai2025_diffusion repeated data.",
    ),
]
Laws = Annotated[
    list[str] | None,
    typer.Option(
        "--law",
        metavar="LAW",
        autocompletion=complete_laws,
        help="A law to ask, as in [bold]jaxscale plan[/bold]. May be repeated. "
        "[dim]\\[default: all published][/dim]",
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
        "sparsity=best, to choose that too, or bits=4,8,16: the best of these. format=E4M3 sets "
        "the bits of a law of number formats. Repeatable.",
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="NAME",
        help="Tells the accuracy on a task too, such as mmlu: by the law of that task's loss, so "
        "without --law.",
        autocompletion=complete_tasks,
    ),
]
Anyway = Annotated[
    bool,
    typer.Option(
        "--anyway",
        help="Take a fit as it is, although its runs leave coefficients open; all output says so.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]

Loss = Annotated[float | None, number_option("--loss", "NATS", "Loss in nats per token.", QUALITY)]
Accuracy = Annotated[
    str | None,
    typer.Option(
        "--accuracy",
        metavar="TASK=SHARE",
        help="Accuracy on a task, such as mmlu=55%: by the law of that task's loss, so without "
        "--law.",
        rich_help_panel=QUALITY,
        autocompletion=complete_accuracies,
    ),
]
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

InferenceTokens = Annotated[float | None, _of_schema("inference_tokens", DEMAND)]
InputTokens = Annotated[float | None, _of_schema("input_tokens", DEMAND)]
OutputTokens = Annotated[float | None, _of_schema("output_tokens", DEMAND)]
Requests = Annotated[float | None, _of_schema("requests", DEMAND)]
InputPerRequest = Annotated[float | None, _of_schema("input_per_request", DEMAND)]
OutputPerRequest = Annotated[float | None, _of_schema("output_per_request", DEMAND)]

# Numbers of a device, for a command that has one: see `devices.device_of`.
Peak = Annotated[
    float | None,
    number_option("--peak", "N", "FLOP/s of a device of your own, dense, 16 bits.", read=flop_rate),
]
Bandwidth = Annotated[
    float | None, number_option("--bandwidth", "N", "Bytes/s of its memory.", read=data_rate)
]
Memory = Annotated[
    float | None, number_option("--memory", "N", "Bytes that it holds.", read=memory)
]
Price = Annotated[
    float | None,
    number_option("--price", "DOLLARS", "Dollars per device-hour.", read=dollars_per_hour),
]

TrainOn = Annotated[str | None, _device("--train-on", "Accelerator that trains.")]
ServeOn = Annotated[str | None, _device("--serve-on", "Accelerator that serves.")]
TrainPrecision = Annotated[str | None, _name("--train-precision", f"Whose peak counts. {_BF16}")]
ServePrecision = Annotated[str | None, _name("--serve-precision", f"Whose peak counts. {_BF16}")]
TrainMfu = Annotated[float | None, _mfu("train")]
PrefillMfu = Annotated[float | None, _mfu("prefill")]
DecodeMfu = Annotated[float | None, _mfu("decode")]
TrainPrice = Annotated[float | None, _price("train")]
ServePrice = Annotated[float | None, _price("serve")]

MaxParams = Annotated[float | None, _bound("max_params")]
MaxTokens = Annotated[float | None, _bound("max_tokens")]
MaxTokensPerParam = Annotated[float | None, _bound("max_tokens_per_param")]
MaxMemory = Annotated[
    float | None,
    number_option(
        "--max-memory",
        "BYTES",
        "Memory that holds the model, such as 80GB: all weights in bf16 and 16,384 cached tokens. "
        "For laws of experts that say what they take.",
        BOUNDS,
        memory,
    ),
]

TrainCount = Annotated[
    int | None,
    number_option(
        "--train-count", "N", "Devices that train: prints the days.", TIME, positive_whole
    ),
]
Deadline = Annotated[
    float | None,
    number_option(
        "--deadline",
        "TIME",
        "Longest training, such as 30d or 12h: prints the devices that it takes.",
        TIME,
        duration,
    ),
]

# What `plan` and `compare` ask alike, by the names of their arguments.
QUESTION: Mapping[str, Any] = {
    "loss": Loss,
    "accuracy": Accuracy,
    "like_params": LikeParams,
    "like_tokens": LikeTokens,
    "inference_tokens": InferenceTokens,
    "input_tokens": InputTokens,
    "output_tokens": OutputTokens,
    "requests": Requests,
    "input_per_request": InputPerRequest,
    "output_per_request": OutputPerRequest,
    "train_on": TrainOn,
    "serve_on": ServeOn,
    "train_precision": TrainPrecision,
    "serve_precision": ServePrecision,
    "train_mfu": TrainMfu,
    "prefill_mfu": PrefillMfu,
    "decode_mfu": DecodeMfu,
    "train_price": TrainPrice,
    "serve_price": ServePrice,
    "max_params": MaxParams,
    "max_tokens": MaxTokens,
    "max_tokens_per_param": MaxTokensPerParam,
    "max_memory": MaxMemory,
}


def asked(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of QUESTION, whose values come as its first argument."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
        for name, option in QUESTION.items()
    ]

    def run(**values: Any) -> None:
        command({name: values.pop(name) for name in QUESTION}, **values)

    run.__doc__ = command.__doc__
    run.__name__ = command.__name__
    parameters = [*shared, *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own)]
    vars(run)["__signature__"] = inspect.Signature(parameters)
    return run


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
