"""`jaxscale compare`: the cheapest plan by every law of the catalogue, side by side."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxscale as js
from jaxscale.cli import options, tables
from jaxscale.cli.levers import BEST, PLACES, Given, Levers, cheapest, levers_for, read_levers
from jaxscale.cli.mistakes import Mistake, nearest
from jaxscale.cli.named_law import NamedLaw
from jaxscale.cli.plan import Model, Question, read_model, read_question, read_target, record_of
from jaxscale.cli.quantities import count
from jaxscale.cli.reasons import Asked
from jaxscale.cli.solving import (
    NoPlan,
    levers_of_plan,
    numbers_of,
    one_scenario,
    record_of_plan,
    solved,
    status_of,
)
from jaxscale.laws import Clark
from jaxscale.laws.protocol import levers_of

# Levers of which more is not simply better: their best value says something.
CHOSEN = ("sparsity", "granularity", "bits", "vocabulary_params")

EXTRAPOLATED, UNKNOWN_RANGE = "extrapolated", "range unknown"
MEANINGS = {
    EXTRAPOLATED: "the plan lies outside the sizes of the runs that the law was fitted to",
    UNKNOWN_RANGE: "the sizes of the runs that the law was fitted to are not known",
    BEST: "chosen with the plan, from the range that the law has for it",
}
NO_TRAINING_LENGTH = (
    "its loss does not depend on tokens, so no training length is better than another"
)


class Answer(NamedTuple):
    """What one law says: a plan, or why there is none."""

    law: NamedLaw
    chosen: tuple[str, ...] = ()  # levers that were chosen with the plan
    target: float | None = None  # loss, nats per token
    plan: js.Plan | None = None
    reason: str = ""
    kind: str = ""  # of the reason, without its numbers


class Case(NamedTuple):
    """What one law is asked: at which levers, and to match which model, if any."""

    law: NamedLaw
    levers: Levers
    model: Model | None


def compare(
    loss: options.Loss = None,
    like_params: options.LikeParams = None,
    like_tokens: options.LikeTokens = None,
    inference_tokens: options.InferenceTokens = None,
    input_tokens: options.InputTokens = None,
    output_tokens: options.OutputTokens = None,
    requests: options.Requests = None,
    input_per_request: options.InputPerRequest = None,
    output_per_request: options.OutputPerRequest = None,
    train_on: options.TrainOn = None,
    serve_on: options.ServeOn = None,
    train_precision: options.TrainPrecision = None,
    serve_precision: options.ServePrecision = None,
    train_mfu: options.TrainMfu = None,
    prefill_mfu: options.PrefillMfu = None,
    decode_mfu: options.DecodeMfu = None,
    train_price: options.TrainPrice = None,
    serve_price: options.ServePrice = None,
    max_params: options.MaxParams = None,
    max_tokens: options.MaxTokens = None,
    max_tokens_per_param: options.MaxTokensPerParam = None,
    lever: options.LeverOrBest = None,
    as_json: options.Json = False,
) -> None:
    """The cheapest plan for a quality by every published law, side by side.

    Asked as jaxscale plan is. A model to match has, by each law, the loss of that law. Sparsity,
    granularity, bits and vocabulary are chosen where they are not given; a model to match then
    is dense, in 16 bits and with layers in one piece.
    """
    question = read_question(locals())
    given = read_levers(lever)
    entries = js.laws.catalog()
    known = {name for each in entries for name in levers_of(each.law)}
    for name in given:
        if name not in known:
            raise Mistake(f"--lever: no law has {name!r}{nearest(name, sorted(known))}")
    with tables.progress("Asking every law"), one_scenario():
        laws = [NamedLaw(each.name, each.law, each) for each in entries]
        answers = answers_of(laws, given, question)
    if not any(each.plan for each in answers):
        reason, _ = Counter(each.kind or each.reason for each in answers).most_common(1)[0]
        raise Mistake(f"no law has a plan, most for this reason: {reason}")
    if as_json:
        tables.print_json("compare", {**record_of(question), "laws": list(map(_record, answers))})
    else:
        show(question, answers)


EXAMPLES = """\
jaxscale compare --loss 2.0 --inference-tokens 2T
jaxscale compare --like-params 7B --inference-tokens 2T --lever unique_tokens=1T
"""


def answers_of(laws: Sequence[NamedLaw], given: Given, question: Question) -> list[Answer]:
    """What each law says, in their order; laws of one class are solved for together."""
    answers: dict[str, Answer] = {}
    families: dict[Any, list[Case]] = defaultdict(list)
    for named in laws:
        try:
            case = case_of(named, given, question)
            if case.levers.chosen:
                answers[named.name] = searched(case, question)
            else:
                families[type(named.law), *case.levers.values.items()].append(case)
        except Mistake as mistake:
            kind = mistake.status.sentence if isinstance(mistake, NoPlan) else ""
            reason = str(mistake).removeprefix(f"--law: {named.name} ")
            answers[named.name] = Answer(named, reason=reason, kind=kind)
    for family in families.values():
        answers |= {each.law.name: each for each in solved_together(family, question)}
    return [answers[named.name] for named in laws]


def case_of(named: NamedLaw, given: Given, question: Question) -> Case:
    """What one law is asked; a mistake where it cannot be."""
    if isinstance(named.law, Clark):
        raise Mistake(NO_TRAINING_LENGTH)
    known = levers_of(named.law)
    own = {name: given.get(name) for name in known if name in given or name in CHOSEN}
    levers = levers_for(named, own)
    return Case(named, levers, read_model(named.law, question.quality, levers))


def searched(case: Case, question: Question) -> Answer:
    """The cheapest plan by one law, over a lever too."""
    named, levers, _ = case
    target = read_target(named.law, question.quality, levers)
    _, demand, prices, bounds = question
    plan = cheapest(levers, named.law, target, demand, prices.costs, bounds)
    return Answer(named, (levers.chosen or "",), target, plan)


def solved_together(family: Sequence[Case], question: Question) -> Iterator[Answer]:
    """The cheapest plan by each law of one class, at the same levers."""
    # As many lanes as a search over a lever has: whatever is compiled serves both.
    lanes = np.arange(max(len(family), PLACES)) % len(family)
    law = jax.tree.map(lambda *x: np.array(x, float)[lanes], *(each.law.law for each in family))
    quality, demand, prices, bounds = question
    values = family[0].levers.values
    targets, matched = np.full(len(lanes), quality.loss or np.nan), None
    models = [each.model for each in family if each.model is not None]
    if models:
        params, tokens = np.array(models)[lanes].T
        matched = jax.device_get(js.evaluate(law, params, tokens, levers=values))
        targets = matched.loss
    plans = js.minimize_cost(law, targets, demand, prices.costs, bounds, levers=values)
    plans = jax.device_get(plans)
    for lane, case in enumerate(family):
        model, plan = (jax.tree.map(lambda x, lane=lane: x[lane], x) for x in (matched, plans))
        yield answer_of(case, question, float(targets[lane]), model, plan)


def answer_of(
    case: Case, question: Question, target: float, model: js.Plan | None, plan: js.Plan
) -> Answer:
    """What one law says; why not, with its numbers, where the model to match or the plan is not."""
    named, levers, sizes = case
    _, demand, prices, bounds = question
    of_plan = Asked(named.law, target, demand, prices.costs, bounds, levers=levers.values)
    try:
        if model is not None and sizes is not None:
            params, tokens = sizes
            solved(model, Asked(named.law, params=params, tokens=tokens, levers=levers.values))
        return Answer(named, (), target, solved(plan, of_plan))
    except NoPlan as none:
        return Answer(named, reason=str(none), kind=none.status.sentence)


def show(question: Question, answers: Sequence[Answer]) -> None:
    """Print the plans as a table, and under it what they mean and which laws have none."""
    title = f"{_quality(question)}, {question.demand_in_words()}, by every law"
    tables.note(title, style="bold")
    for line in question.prices.describe():
        tables.note(line, style="dim")
    with_loss = question.quality.loss is None
    header = ("law", *["loss"] * with_loss, "params", "tokens", "tokens\nper param")
    header += (f"total,\n{question.prices.unit}", "note")
    rows = [_row(question, each, each.plan, with_loss) for each in answers if each.plan]
    tables.print_columns(header, rows, words=("note",))
    marks = [mark for each in answers for mark in (_mark(each), BEST * bool(each.chosen))]
    for mark in dict.fromkeys(filter(None, marks)):
        tables.note(f"{mark}: {MEANINGS[mark]}", style="dim")
    tables.note(
        "Losses of different laws are not comparable: data and tokenizers differ, and so does "
        "what counts as a param. jaxscale laws NAME tells.",
        style="dim",
    )
    missing = [(each.law.name, each.reason) for each in answers if not each.plan]
    if missing:
        tables.note("\nLaws without a plan", style="bold")
        tables.print_facts(missing)


def _quality(question: Question) -> str:
    loss, params, tokens = question.quality
    if loss is not None:
        return f"Loss {loss:.5g}"
    training = f"on {count(tokens)} tokens" if tokens else "compute-optimal"
    return f"The loss of {count(params or 0)} params {training}"


def _row(question: Question, found: Answer, plan: js.Plan, with_loss: bool) -> tuple[str, ...]:
    numbers = numbers_of(plan)
    loss = [f"{numbers['loss']:.4f}"] * with_loss
    sizes = (count(numbers[name]) for name in ("params", "tokens", "tokens_per_param"))
    total = question.prices.format(numbers["total_cost"]).removesuffix(" FLOPs")
    return found.law.name, *loss, *sizes, total, ", ".join(_remarks(found, plan))


def _remarks(found: Answer, plan: js.Plan) -> Iterator[str]:
    """What is special about a plan, in few words."""
    status = status_of(plan)
    for name, value in levers_of_plan(plan).items():
        how = f" ({BEST})" if name in found.chosen else ""
        if status is js.Status.AT_LEVER_END and how:
            how = f" ({BEST}, end of its range)"
        yield f"{name.replace('_', ' ')} {count(value)}{how}"
    if status not in (js.Status.OK, js.Status.AT_LEVER_END):
        yield status.name.lower().replace("_", " ")
    yield from filter(None, [_mark(found)])


def _mark(found: Answer) -> str:
    note = found.law.range_note(found.plan) if found.plan else ""
    if not note:
        return ""
    return EXTRAPOLATED if note.startswith(EXTRAPOLATED.capitalize()) else UNKNOWN_RANGE


def _record(found: Answer) -> dict[str, Any]:
    """One law's answer for machines; null where there is none."""
    plan = found.plan
    return {
        "law": found.law.name,
        "target_loss": found.target,
        "optimum": record_of_plan(plan) if plan else None,
        "chosen": list(found.chosen),
        "status": status_of(plan).name if plan else None,
        "note": found.law.range_note(plan) if plan else found.reason,
    }
