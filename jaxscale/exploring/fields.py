"""The fields of the page: each is an option of `jaxscale plan`, under the option's name."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jaxscale import hardware, laws
from jaxscale._schema import DEMANDS
from jaxscale._written import (
    batch_size,
    busy_part,
    cached_part,
    dollars_per_hour,
    latency,
    memory,
    money,
    nonnegative,
    params_of_model,
    positive,
    positive_whole,
    share,
    tokens_of_training,
)

LEVER = "lever."  # before the name of a lever, which is a field of some laws


class Slider(NamedTuple):
    """The numbers that a slider runs over."""

    low: float
    high: float
    is_log: bool = True


class Field(NamedTuple):
    """A text that the question may have, and how it is read and shown."""

    name: str
    label: str
    group: str
    read: Callable[[str], Any] = str.strip
    unit: str = ""
    default: str = ""  # what holds where nothing is given, in words
    example: str = ""
    slider: Slider | None = None
    choices: Callable[[], tuple[str, ...]] | None = None


def _names(entries: Any) -> tuple[str, ...]:
    return tuple(each.name for each in entries)


QUALITY, DEMAND, HARDWARE, SERVING, BOUNDS, LAW = (
    "Quality",
    "Demand",
    "Hardware and prices",
    "Serving",
    "Bounds",
    "Law",
)
TOKENS = Slider(1e9, 1e17)
WORK = {"train": "Training", "serve": "Serving"}
# Each way to say how good the model must be; exactly one of them is used.
QUALITIES: Mapping[str, tuple[str, ...]] = {
    "model to match": ("like_params", "like_tokens"),
    "loss": ("loss",),
    "accuracy": ("accuracy",),
    "budget": ("budget",),
    "FLOPs": ("flops",),
}
DEMAND_WAYS = {"tokens": DEMANDS[1], "requests": DEMANDS[2], "tokens served": DEMANDS[0]}
FIELDS: Mapping[str, Field] = {
    each.name: each
    for each in (
        Field(
            "law",
            "Scaling law",
            LAW,
            default="sardana2024",
            choices=lambda: _names(laws.catalog()),
        ),
        Field(
            "like_params",
            "Params of a model to match",
            QUALITY,
            params_of_model,
            example="70B",
            slider=Slider(1e8, 2e12),
        ),
        Field(
            "like_tokens",
            "Tokens it was trained on",
            QUALITY,
            tokens_of_training,
            "tokens",
            default="compute-optimal",
            example="15T",
        ),
        Field("loss", "Loss", QUALITY, positive, "nats per token", slider=Slider(1.7, 3.5, False)),
        Field("accuracy", "Accuracy on a task", QUALITY, example="mmlu=55%"),
        Field(
            "budget", "Budget", QUALITY, money, "dollars", example="5M$", slider=Slider(1e3, 1e11)
        ),
        Field(
            "flops", "Budget", QUALITY, positive, "FLOPs", example="1e24", slider=Slider(1e18, 1e28)
        ),
        Field(
            "inference_tokens",
            "Tokens served",
            DEMAND,
            nonnegative,
            "tokens",
            slider=TOKENS,
        ),
        Field(
            "input_tokens", "Tokens read", DEMAND, nonnegative, "tokens", slider=Slider(1e9, 1e17)
        ),
        Field(
            "output_tokens",
            "Tokens written",
            DEMAND,
            nonnegative,
            "tokens",
            slider=TOKENS,
        ),
        Field("requests", "Requests", DEMAND, nonnegative, "requests", slider=Slider(1e6, 1e14)),
        Field(
            "input_per_request",
            "Tokens read per request",
            DEMAND,
            nonnegative,
            "tokens",
            slider=Slider(1e1, 1e6),
        ),
        Field(
            "output_per_request",
            "Tokens written per request",
            DEMAND,
            nonnegative,
            "tokens",
            slider=Slider(1e1, 1e6),
        ),
        *(
            Field(
                f"{role}_on",
                label,
                HARDWARE,
                choices=lambda: _names(hardware.catalog()),
            )
            for role, label in (("train", "Trained on"), ("serve", "Served on"))
        ),
        *(
            Field(
                f"{role}_price",
                f"{work} price",
                HARDWARE,
                dollars_per_hour,
                "dollars per device-hour",
                default="the only quote",
                slider=Slider(0.1, 20.0),
            )
            for role, work in WORK.items()
        ),
        *(
            Field(
                f"{role}_precision",
                f"{work} precision",
                HARDWARE,
                default="bf16",
                choices=lambda: tuple(hardware.PRECISIONS),
            )
            for role, work in WORK.items()
        ),
        *(
            Field(
                f"{phase}_mfu",
                f"{what} utilisation (MFU)",
                HARDWARE,
                share,
                default=default,
                slider=Slider(0.001, 1.0),
            )
            for phase, what, default in (
                ("train", "Training", "50%"),
                ("prefill", "Prefill", "50%"),
                ("decode", "Decode", "1%"),
            )
        ),
        Field("context", "Context", SERVING, positive, "tokens", default="prompt and output"),
        Field("prompt", "Prompt", SERVING, positive, "tokens", default="1155"),
        Field("output", "Output", SERVING, positive, "tokens", default="211"),
        Field("cached", "Cached part of the prompt", SERVING, cached_part, default="0%"),
        Field("max_latency", "Longest time per token", SERVING, latency, example="50ms"),
        Field("max_first_token", "Longest time to first token", SERVING, latency, example="1s"),
        Field(
            "serve_count",
            "Devices per copy",
            SERVING,
            positive_whole,
            default="the best of 1 to 64",
        ),
        Field("batch", "Most sequences at once", SERVING, batch_size),
        Field("utilisation", "Share of time devices are busy", SERVING, busy_part, default="100%"),
        Field(
            "family",
            "Architecture family",
            SERVING,
            default="llama",
            choices=lambda: ("llama", "chinchilla"),
        ),
        Field("max_params", "Largest model", BOUNDS, params_of_model, "params"),
        Field("max_tokens", "Most training tokens", BOUNDS, tokens_of_training, "tokens"),
        Field("max_tokens_per_param", "Most tokens per param", BOUNDS, positive),
        Field("max_memory", "Memory for the model", BOUNDS, memory, "bytes", example="80GB"),
    )
}
TIMED = tuple(name for name, each in FIELDS.items() if each.group == SERVING)


def label_of(name: str) -> str:
    """What a person calls a field, or the lever of a law."""
    if name in FIELDS:
        return FIELDS[name].label
    return name.removeprefix(LEVER).replace("_", " ").capitalize()
