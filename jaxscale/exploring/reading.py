"""From the texts of a question to what the solvers take; mistakes are said field by field."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from jaxscale import _scores
from jaxscale._levers import Levers, read_lever
from jaxscale._schema import DEFAULT_LAW, DEMANDS, Refused, Rented, read_bounds, read_demand
from jaxscale._schema import read_costs as costs_of_devices
from jaxscale._scores import Target
from jaxscale.costs import Costs, Demand
from jaxscale.exploring.fields import FIELDS, LEVER, QUALITIES, TIMED
from jaxscale.exploring.question import LONGEST, MOST_LEVERS, Question
from jaxscale.exploring.read_costs import read_devices, read_timed, read_uses, spelled
from jaxscale.exploring.read_law import NamedLaw, check_runs, law_of_text, levers_of_question
from jaxscale.exploring.read_law import entry_of as entry_of
from jaxscale.exploring.read_law import plain as plain
from jaxscale.laws.protocol import NO_MEMORY, knows_memory, loss_scale
from jaxscale.plan import Bounds
from jaxscale.published import Entry
from jaxscale.serving import Deployment


class Mistakes(ValueError):
    """What is wrong with a question, by field; the text of each says what is allowed.

    Examples:
        >>> from jaxscale.exploring import Mistakes, Question, read
        >>> try:
        ...     read(Question({"loss": "two", "inference_tokens": "1T"}))
        ... except Mistakes as mistakes:
        ...     print(mistakes.by_field)
        {'loss': "'two' is not a number; write it like 7B, 1.5T, 2e12 or 1,000,000"}
    """

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
    levers: dict[str, float]  # those with a value
    quality: Quality
    demand: Demand
    costs: Costs
    bounds: Bounds | None
    unit: str  # "dollars" or "FLOPs"
    is_timed: bool  # whether the serving model prices a token
    given: Levers = Levers({})  # with those that are chosen with the plan
    uses: Mapping[str, Rented] = {}  # accelerators by role; none for FLOPs
    deployment: Deployment | None = None  # that serves in time, with its count left open
    score: Target | None = None  # the accuracy that is asked for

    @property
    def in_dollars(self) -> bool:
        return self.unit == "dollars"

    @property
    def named(self) -> NamedLaw:
        return NamedLaw(self.name, self.law, self.entry)


def read(question: Question, own: Mapping[str, Entry] | None = None) -> Asked:
    """The question in numbers. `own` are laws by name that are not in the catalogue.

    No file is read, whatever the texts say. Raises Mistakes.

    Examples:
        >>> from jaxscale.exploring import Question, read
        >>> asked = read(Question({"like_params": "70B", "inference_tokens": "10T"}))
        >>> print(asked.name, asked.unit, asked.demand.input_tokens)
        sardana2024 FLOPs 10000000000000.0
    """
    mistakes: dict[str, str] = {}
    numbers: dict[str, Any] = {}
    for name, text in question.texts.items():
        with _noting(mistakes, name):
            numbers[name] = _number(name, text)
    if mistakes:
        raise Mistakes(mistakes)
    try:
        return _asked(question, numbers, own or {})
    except Refused as error:
        raise Mistakes({error.name: str(error)}) from None


def _number(name: str, text: str) -> Any:
    if len(text) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} characters")
    if name.startswith(LEVER):
        return read_lever(name.removeprefix(LEVER), text)
    return FIELDS[name].read(text)


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
    except Refused:
        raise
    except (ValueError, OverflowError) as error:
        raise Refused(str(error), name) from None


def _asked(question: Question, given: Mapping[str, Any], own: Mapping[str, Entry]) -> Asked:
    quality, score = _quality(given)
    named = _law(given, score, own)
    check_runs(named, of_loss=quality.loss is not None)
    texts = {name.removeprefix(LEVER): x for name, x in given.items() if name.startswith(LEVER)}
    if len(texts) > MOST_LEVERS:
        raise Refused(f"give {MOST_LEVERS} levers at the most", f"{LEVER}{min(texts)}")
    levers = levers_of_question(named, texts)
    demand = _demand(given)
    given = read_devices(given)
    uses = read_uses(given)
    _check_unit(given, in_dollars=bool(uses))
    is_timed, deployment = any(name in given for name in TIMED), None
    if is_timed:
        with _blaming("serve_on"):
            costs, deployment = read_timed(given, uses, levers.values.get("bits"))
    else:
        with _blaming(""):
            costs = costs_of_devices(given)
    bounds = read_bounds(given)
    _check(given, named, levers, bounds, score, is_timed=is_timed)
    return Asked(
        question,
        named.name,
        named.entry,
        named.law,
        levers.values,
        quality,
        demand,
        costs,
        bounds,
        "dollars" if uses else "FLOPs",
        is_timed,
        levers,
        uses,
        deployment,
        score,
    )


def _quality(given: Mapping[str, Any]) -> tuple[Quality, Target | None]:
    used = [way for way, names in QUALITIES.items() if any(name in given for name in names)]
    if used == ["model to match"] and "like_params" not in given:
        raise Refused(
            f"give {spelled('like_params')} too: tokens alone are no model", "like_params"
        )
    if len(used) != 1:
        ways = ", ".join(QUALITIES)
        raise Refused(f"give one quality or budget ({ways})" + (", not several" if used else ""))
    if "accuracy" in given:
        with _blaming("accuracy"):
            score = _scores.read_target(given["accuracy"])
        return Quality(score.loss, task=score.scored.entry, accuracy=score.share), score
    budget = given.get("budget", given.get("flops"))
    sizes = given.get("like_params"), given.get("like_tokens")
    return Quality(given.get("loss"), *sizes, budget), None


def _law(given: Mapping[str, Any], score: Target | None, own: Mapping[str, Entry]) -> NamedLaw:
    """The law; of an accuracy that by whose loss it is known, whatever law is named."""
    if score is not None:
        entry = score.scored.law
        return NamedLaw(entry.name, entry.law, entry)
    with _blaming("law"):
        return law_of_text(given.get("law", DEFAULT_LAW), own)


def _demand(given: Mapping[str, Any]) -> Demand:
    """The demand; none for a budget that says none, which is then for training alone."""
    serves = any(name in given for way in DEMANDS for name in way)
    is_budget = "budget" in given or "flops" in given
    return read_demand(given, spelled) if serves or not is_budget else Demand()


def _check_unit(given: Mapping[str, Any], *, in_dollars: bool) -> None:
    if "flops" in given and in_dollars:
        raise Refused("is a budget in FLOPs; on accelerators give one in dollars", "flops")
    if "budget" in given and not in_dollars:
        needed = f"{spelled('train_on')} and {spelled('serve_on')}"
        raise Refused(f"is in dollars and needs {needed}; or give one in FLOPs", "budget")


def _check(
    given: Mapping[str, Any],
    named: NamedLaw,
    levers: Levers,
    bounds: Bounds | None,
    score: Target | None,
    *,
    is_timed: bool,
) -> None:
    """Refuse what does not go together."""
    of_memory = bounds is not None and bounds.of_memory
    if of_memory and not knows_memory(named.law):
        raise Refused(f"{named.name} {NO_MEMORY}", "max_memory")
    if of_memory and is_timed:
        raise Refused("where serving is timed its devices have their own memory", "max_memory")
    if levers.chosen and is_timed:
        name = levers.chosen[0]
        raise Refused("needs a value: none is chosen where serving is timed", f"{LEVER}{name}")
    scale = "" if score else loss_scale(named.law, named.entry)
    if "loss" in given and scale:
        raise Refused(f"the loss of {named.name} is {scale}: use a model to match instead", "loss")
    if "like_params" in given:
        with _blaming("like_params"):
            levers.of_model(given["like_params"])
