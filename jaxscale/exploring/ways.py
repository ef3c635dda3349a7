"""The ways to ask: which fields of a question matter together, and how to move between them."""

from collections.abc import Mapping
from typing import NamedTuple

from jaxscale.exploring.fields import BOUNDS, DEMAND, FIELDS, HARDWARE, LAW, LEVER, TIMED
from jaxscale.exploring.question import FIRST, Question

MODEL, LOSS, ACCURACY, BUDGET = "Model", "Loss", "Accuracy", "Budget"
QUALITY_FIELDS: Mapping[str, tuple[str, ...]] = {
    MODEL: ("like_params", "like_tokens"),
    LOSS: ("loss",),
    ACCURACY: ("accuracy",),
    BUDGET: ("budget", "flops"),
}
TOTALS, REQUESTS, SERVED = "Tokens", "Requests", "Total"
DEMAND_FIELDS: Mapping[str, tuple[str, ...]] = {
    TOTALS: ("input_tokens", "output_tokens"),
    REQUESTS: ("requests", "input_per_request", "output_per_request"),
    SERVED: ("inference_tokens",),
}
FLOPS, DOLLARS, TIMES = "FLOPs", "Dollars", "Timed serving"
COSTS = (FLOPS, DOLLARS, TIMES)
OF_HARDWARE = tuple(name for name, each in FIELDS.items() if each.group == HARDWARE)
OF_BOUNDS = tuple(name for name, each in FIELDS.items() if each.group == BOUNDS)
UNTIMED = ("prefill_mfu", "decode_mfu")  # which follow from the devices where serving is timed

# What a way begins with where nothing was asked that way before.
BEGINNINGS: Mapping[str, str] = {
    "like_params": "70B",
    "loss": "2",
    "accuracy": "mmlu=45%",
    "flops": "1e24",
    "budget": "10M",
    "input_tokens": "10T",
    "output_tokens": "2T",
    "inference_tokens": "10T",
    "requests": "10B",
    "input_per_request": "1000",
    "output_per_request": "200",
    **{name: FIRST.texts[name] for name in OF_HARDWARE if name in FIRST.texts},
    "max_latency": "50ms",
    "family": "llama",
}


class Ways(NamedTuple):
    """The ways that a question is asked."""

    quality: str
    demand: str
    costs: str


def ways_of(question: Question) -> Ways:
    """The ways of a question; of one that mixes them the first."""

    def first(ways: Mapping[str, tuple[str, ...]], default: str) -> str:
        used = (way for way, names in ways.items() if any(x in question.texts for x in names))
        return next(used, default)

    costs = FLOPS
    if any(name in question.texts for name in ("train_on", "serve_on")):
        costs = DOLLARS
    if any(name in question.texts for name in TIMED):
        costs = TIMES
    return Ways(first(QUALITY_FIELDS, MODEL), first(DEMAND_FIELDS, TOTALS), costs)


def fields_of(ways: Ways, levers: tuple[str, ...] = ()) -> dict[str, tuple[str, ...]]:
    """The names of the fields that matter, by group, in the order of the page."""
    costs = ways.costs
    quality = QUALITY_FIELDS[ways.quality]
    if ways.quality == BUDGET:
        quality = ("flops",) if costs == FLOPS else ("budget",)
    hidden = {FLOPS: OF_HARDWARE, DOLLARS: (), TIMES: UNTIMED}[costs]
    law = () if ways.quality == ACCURACY else ("law",)  # which a task brings with it
    return {
        "Quality": quality,
        LAW: (*law, *(f"{LEVER}{lever}" for lever in levers)),
        DEMAND: DEMAND_FIELDS[ways.demand],
        HARDWARE: tuple(name for name in OF_HARDWARE if name not in hidden),
        "Serving": TIMED if costs == TIMES else (),
        BOUNDS: tuple(x for x in OF_BOUNDS if costs != TIMES or x != "max_memory"),
    }


def asked_by(question: Question, ways: Ways, known: Mapping[str, str]) -> Question:
    """The question asked these ways: `known` are texts to begin with, such as earlier ones.

    Texts that do not matter any more are taken out.
    """
    levers = tuple(name.removeprefix(LEVER) for name in question.texts if name.startswith(LEVER))
    shown = [name for names in fields_of(ways, levers).values() for name in names]
    before = ways_of(question)
    texts = {name: text for name, text in question.texts.items() if name in shown}
    begun = {**BEGINNINGS, **known}
    for name in _needed(ways):
        if name not in texts and name in begun:
            texts[name] = begun[name]
    if ways.costs == TIMES != before.costs:
        texts.update({name: begun[name] for name in ("family", "max_latency") if name in begun})
    if "law" in shown and "law" not in texts and "law" in known:
        texts["law"] = known["law"]
    return Question(texts)


def _needed(ways: Ways) -> tuple[str, ...]:
    """The fields without which there is no answer these ways."""
    quality = QUALITY_FIELDS[ways.quality][0]
    if ways.quality == BUDGET:
        quality = "flops" if ways.costs == FLOPS else "budget"
    hardware = () if ways.costs == FLOPS else ("train_on", "train_price", "serve_on", "serve_price")
    return (quality, *DEMAND_FIELDS[ways.demand], *hardware)
