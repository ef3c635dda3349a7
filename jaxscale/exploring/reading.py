"""From the texts of a question to what the solvers take; mistakes are said field by field."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from jaxscale import _schema, laws, serving
from jaxscale._compare import plain_levers
from jaxscale._numerics.interpreted import interpreted
from jaxscale._numerics.names import hint
from jaxscale._written import count, nonnegative, part
from jaxscale.architectures.family import FAMILIES
from jaxscale.costs import Costs, Demand
from jaxscale.exploring.fields import FIELDS, LEVER, QUALITIES, TIMED
from jaxscale.exploring.question import Question
from jaxscale.laws._tasks import entry_of_law, task_entry
from jaxscale.laws.protocol import knows_memory, levers_of, loss_scale
from jaxscale.plan import Bounds
from jaxscale.published import Entry
from jaxscale.published.entry import by_name
from jaxscale.serving.requests import FAMILY, OUTPUT, PROMPT


class Mistakes(ValueError):
    """What is wrong with a question, by field; the text of each says what is allowed."""

    def __init__(self, by_field: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in by_field.items()))
        self.by_field = dict(by_field)


class Quality(NamedTuple):
    """How good the model must be, or what may be paid; one of these."""

    loss: float | None = None
    params: float | None = None  # of a model to match
    tokens: float | None = None  # that it was trained on; None: compute-optimal
    budget: float | None = None  # in the unit of the costs
    task: Entry | None = None  # of an accuracy, with the loss that has it
    accuracy: float | None = None


class Asked(NamedTuple):
    """A question in numbers."""

    question: Question
    name: str  # of the law
    entry: Entry | None
    law: Any
    levers: dict[str, float]
    quality: Quality
    demand: Demand
    costs: Costs
    bounds: Bounds | None
    unit: str  # "dollars" or "FLOPs"
    is_timed: bool  # whether the serving model prices a token


def read(question: Question, own: Mapping[str, Entry] | None = None) -> Asked:
    """The question in numbers. `own` are laws by name that are not in the catalogue.

    No file is read, whatever the texts say. Raises Mistakes.
    """
    mistakes: dict[str, str] = {}
    numbers: dict[str, Any] = {}
    for name, text in question.texts.items():
        with _noting(mistakes, name):
            numbers[name] = nonnegative(text) if name.startswith(LEVER) else FIELDS[name].read(text)
    if mistakes:
        raise Mistakes(mistakes)
    try:
        return _asked(question, numbers, own or {})
    except _schema.Refused as error:
        raise Mistakes({error.name or "": str(error)}) from None


@contextmanager
def _noting(mistakes: dict[str, str], name: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        mistakes[name] = str(error)


@contextmanager
def _blaming(name: str) -> Iterator[None]:
    try:
        yield
    except _schema.Refused:
        raise
    except ValueError as error:
        raise _schema.Refused(str(error), name) from None


def _asked(question: Question, given: Mapping[str, Any], own: Mapping[str, Entry]) -> Asked:
    task, entry = None, None
    used = [way for way, names in QUALITIES.items() if names[0] in given]
    if len(used) != 1:
        raise _schema.Refused("give one quality: a model to match, a loss, an accuracy or a budget")
    accuracy = None
    if "accuracy" in given:
        with _blaming("accuracy"):
            task, accuracy = _read_accuracy(given["accuracy"])
        entry = entry_of_law(task)
    else:
        with _blaming("law"):
            entry = entry_of(given.get("law", _schema.DEFAULT_LAW), own)
    law = entry.law
    levers = _read_levers(law, given, entry.name)
    dollars = _schema.in_dollars(given)
    is_budget = "budget" in given or "flops" in given
    serves = any(name in given for way in _schema.DEMANDS for name in way)
    demand = _schema.read_demand(given) if serves or not is_budget else Demand()
    uses = {role: _schema.rented(role, given) for role in _schema.ROLES} if dollars else {}
    is_timed = any(name in given for name in TIMED)
    devices = {f"{role}_on": use.device for role, use in uses.items()}
    costs = _timed(given, uses) if is_timed else _schema.read_costs({**given, **devices})
    bounds = _schema.read_bounds(given)
    if bounds is not None and bounds.of_memory and not knows_memory(law):
        raise _schema.Refused(f"{entry.name} does not say what memory a model takes", "max_memory")
    if "loss" in given and (scale := loss_scale(law, entry)):
        raise _schema.Refused(
            f"the loss of {entry.name} is {scale}: use a model to match instead", "loss"
        )
    if "flops" in given and dollars:
        raise _schema.Refused("is a budget in FLOPs; on accelerators give one in dollars", "flops")
    if "budget" in given and not dollars:
        raise _schema.Refused("a budget in dollars needs hardware and prices", "budget")
    loss = given.get("loss")
    if task is not None:
        loss = float(interpreted(task.law.loss, accuracy))
    quality = Quality(
        loss,
        given.get("like_params"),
        given.get("like_tokens"),
        given.get("budget", given.get("flops")),
        task,
        accuracy,
    )
    unit = "dollars" if dollars else "FLOPs"
    return Asked(
        question, entry.name, entry, law, levers, quality, demand, costs, bounds, unit, is_timed
    )


def entry_of(name: str, own: Mapping[str, Entry]) -> Entry:
    """The law of that name, of one's own or published; never a file."""
    published = by_name(laws.catalog())
    known = {**published, **{each.lower(): entry for each, entry in own.items()}}
    if name.lower() not in known:
        raise ValueError(f"no law {name!r}{hint(name, known)}")
    return known[name.lower()]


def _read_accuracy(text: str) -> tuple[Entry, float]:
    name, equals, share = (each.strip() for each in text.partition("="))
    if not (name and equals and share):
        raise ValueError(f"{text!r} must be TASK=SHARE, such as mmlu=55%")
    task = task_entry(name)
    value = part(share)
    low, high = map(float, interpreted(lambda: task.law.reach))
    if not low < value < high:
        raise ValueError(f"no model has it: give between {100 * low:.1f} % and {100 * high:.1f} %")
    return task, value


def _read_levers(law: Any, given: Mapping[str, Any], name: str) -> dict[str, float]:
    """The levers of the law; those without a text have the value of an ordinary model."""
    known, levers = levers_of(law), {}
    for field in (field for field in given if field.startswith(LEVER)):
        lever = field.removeprefix(LEVER)
        if lever not in known:
            raise _schema.Refused(f"{name} has no lever {lever!r}{hint(lever, known)}", field)
        low, high = known[lever]
        if not low <= given[field] <= high:
            raise _schema.Refused(
                f"{given[field]:g} is outside {count(low)} to {count(high)}", field
            )
        levers[lever] = float(given[field])
    if missing := [lever for lever in known if lever not in levers]:
        low, high = known[missing[0]]
        raise _schema.Refused(
            f"{name} needs it, from {count(low)} to {count(high)}", f"{LEVER}{missing[0]}"
        )
    return levers


def _timed(given: Mapping[str, Any], uses: Mapping[str, _schema.Rented]) -> Costs:
    """Costs with serving timed, as `jaxscale plan` has them."""
    if not uses:
        first = next(name for name in TIMED if name in given)
        raise _schema.Refused("needs hardware: a serving is timed in dollars", first)
    for name in ("prefill_mfu", "decode_mfu"):
        if name in given:
            raise _schema.Refused("follows from the devices where serving is timed", name)
    prompt = given.get("prompt", given.get("input_per_request", PROMPT))
    output = given.get("output", given.get("output_per_request", OUTPUT))
    context = given.get("context")
    if context is not None and prompt + output > context:
        raise _schema.Refused(f"does not hold {prompt:g} read and {output:g} written", "context")
    train, serve = uses["train"], uses["serve"]
    limits = (given.get(name, math.inf) for name in ("max_latency", "max_first_token", "batch"))
    counts = (int(given["serve_count"]),) if "serve_count" in given else serving.COUNTS
    with _blaming("serve_on"):
        return Costs.served(
            replace(FAMILIES[given.get("family", FAMILY)], context=context or prompt + output),
            serving.Deployment(
                replace(serve.device, price=serve.price),
                weights=serve.precision,
                activations=serve.precision,
            ),
            serving.Requests(prompt, output, given.get("cached", 0.0), kept=context),
            serving.Limits(*limits),
            train=replace(train.device, price=train.price),
            train_precision=train.precision,
            train_mfu=train.mfu["train"],
            counts=counts,
            every_split=True,
            utilisation=given.get("utilisation", 1.0),
        )


def plain(law: Any, params: float) -> dict[str, float]:
    """Levers of an ordinary model by this law, where the question gives none."""
    return plain_levers(levers_of(law), params)
