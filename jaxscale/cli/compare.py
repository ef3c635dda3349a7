"""`jaxscale compare`: the cheapest plan by each of several laws, or accelerators, side by side."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from jaxscale import _compare
from jaxscale._compare import (
    BEST,
    LawComparison,
    LawRow,
    Spelling,
    reason_of,
    remarks,
    short_names,
)
from jaxscale._schema import option_of
from jaxscale._sentences import runner_up_of
from jaxscale._written import count, counted
from jaxscale.cli import intervals, options, serving_options, tables
from jaxscale.cli.compare_hardware import compare_hardware
from jaxscale.cli.mistakes import Mistake
from jaxscale.cli.named_law import NamedLaw, read_law, read_levers
from jaxscale.cli.plan import Question, check_quality, read_question
from jaxscale.cli.plan_report import record_of
from jaxscale.cli.scores import read_task
from jaxscale.cli.solving import loss_text, record_of_plan

SPELLING = Spelling("--lever {name}=VALUE", "--loss", "--like-params")
MEANINGS = {
    "extrapolated": "the plan lies outside the sizes of the runs that the law was fitted to",
    "range unknown": "the sizes of the runs that the law was fitted to are not known",
    BEST: "chosen with the plan, from the range that the law has for it or the values given",
}
MARKS = {"extrapolated": "*", "range unknown": "?"}  # instead of these in a narrow terminal
MOST_NAMES = 20  # of laws without a plan that are named
EXAMPLES = """\
jaxscale compare --loss 2.0 --inference-tokens 2T
jaxscale compare --accuracy gadre2024_c4=50% --inference-tokens 2T
jaxscale compare --like-params 7B --inference-tokens 2T --law besiroglu2024 --law fit.json
jaxscale compare --like-params 7B --inference-tokens 2T --lever unique_tokens=1T
jaxscale compare --hardware llama-3-70b --max-latency 50ms --price MI300X=2.50
"""
Hardware = Annotated[
    bool,
    typer.Option(
        "--hardware",
        help="Compare accelerators instead, by what serving MODEL costs on each within limits.",
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MODEL ...]",
        help="With --hardware: models to serve, as in [bold]jaxscale serve[/bold].",
        autocompletion=serving_options.complete_models,
    ),
]


@options.asked
def compare(
    question: Mapping[str, Any],
    models: Models = None,
    law: options.Laws = None,
    lever: options.LeverOrBest = None,
    anyway: options.Anyway = False,
    hardware: Hardware = False,
    on: serving_options.On = None,
    count: serving_options.Count = None,
    price: serving_options.Price = None,
    weights: serving_options.Weights = None,
    activations: serving_options.Activations = None,
    batch: serving_options.Batch = None,
    utilisation: serving_options.Utilisation = None,
    context: serving_options.Context = None,
    prompt: serving_options.Prompt = None,
    output: serving_options.Output = None,
    cached: serving_options.Cached = None,
    rate: serving_options.Rate = None,
    max_latency: serving_options.MaxLatency = None,
    max_first_token: serving_options.MaxFirstToken = None,
    family: serving_options.Family = None,
    peak: options.Peak = None,
    bandwidth: options.Bandwidth = None,
    memory: options.Memory = None,
    as_json: options.Json = False,
) -> None:
    """The cheapest plan for a quality by each of several laws, or by every published one.

    Asked as jaxscale plan is. A model to match has, by each law, the loss of that law. Sparsity,
    granularity, bits, formats and vocabulary are chosen where they are not given; a model to match
    then is dense, in 16 bits and with layers in one piece. With --hardware, accelerators instead:
    what serving a model costs on each that has a price, asked as jaxscale serve is.
    """
    of_serving = {name: value for name, value in locals().items() if name in serving_options.ASKED}
    numbers = {"peak": peak, "bandwidth": bandwidth, "memory": memory}
    of_laws = {**question, "law": law, "lever": lever}
    if hardware:
        _refuse(of_laws, "without --hardware")
        compare_hardware(models or (), on, of_serving, numbers, as_json=as_json)
        return
    if models:
        raise Mistake(f"{models[0]!r} is a model to serve: add --hardware")
    _refuse({**of_serving, "on": on, **numbers}, "with --hardware")
    by_laws(question, law, lever, anyway=anyway, as_json=as_json)


def _refuse(given: Mapping[str, Any], where: str) -> None:
    """Refuse options that are of the other comparison."""
    for name in options.given_of(given):
        raise Mistake(f"{option_of(name)} is an option of jaxscale compare {where}")


def by_laws(
    question: Mapping[str, Any],
    law: Sequence[str] | None,
    lever: Sequence[str] | None,
    *,
    anyway: bool,
    as_json: bool,
) -> None:
    """Print the plans by several laws."""
    asked = read_question(question)
    check_quality(asked.quality)
    levers = read_levers(lever)
    named = [read_law(text, anyway=anyway) for text in law or ()]
    for each in named:
        each.need_sizes() if asked.quality.loss is None else each.need_all()
    score = asked.score
    task = score and score.scored.entry
    laws = _compare.read_laws({each.name: each.entry or each.law for each in named} or None, task)
    try:
        _compare.check_levers(laws, levers)
    except ValueError as error:
        raise Mistake(f"--lever: {error}") from None
    _, demand, prices, bounds, *_ = asked
    quality = asked.quality._replace(loss=None) if score else asked.quality
    share = score and score.share
    of_laws = _compare.Question(*quality, demand, prices.costs, bounds, task, share)
    with tables.progress("Asking every law" if not named else "Asking the laws"):
        comparison = _compare.compare(laws, levers, of_laws, SPELLING)
    if not any(row.plan for row in comparison.rows):
        kinds = (row.status.sentence if row.status else row.reason for row in comparison.rows)
        reason, _ = Counter(kinds).most_common(1)[0]
        raise Mistake(f"no law has a plan, most for this reason: {reason}")
    if as_json:
        accuracy = score and {**score.scored.record(), "target": score.share}
        rows = list(map(_record, comparison.rows))
        record = {**record_of(asked), "accuracy": accuracy, "laws": rows}
        tables.print_json("compare", record)
    else:
        show(asked, comparison, named)


def show(question: Question, comparison: LawComparison, named: Sequence[NamedLaw]) -> None:
    """Print the plans as a table, and under it what they mean and which laws have none."""
    for each in named:
        tables.note(each.warning, style="bold yellow")
    by = f"by {counted(len(comparison.rows), 'law')}" if named else "by every law"
    solved = [row for row in comparison.rows if row.plan]
    for row in solved:
        if row.task is not None and row.task.warning:
            tables.note(f"{row.name}: {row.task.warning}", style="bold yellow")
    title = f"{comparison.question}, {question.demand_in_words()}, {by}"
    tables.note(title, style="bold")
    for line in question.prices.describe():
        tables.note(line, style="dim")
    with_loss = question.quality.loss is None or question.score is not None
    interval = [intervals.HEADER] * comparison.has_intervals
    header = ("law", *["loss"] * with_loss, "params", *interval, "tokens", *interval)
    header += ("tokens\nper param", f"total,\n{question.prices.unit}", *interval, "note")
    groups = {
        group: [_cells(question, row, with_loss, comparison.has_intervals) for row in rows]
        for group, rows in comparison.groups.items()
    }
    marks = MARKS if tables.print_groups(header, groups, MARKS) else {}
    notes = [note for row in solved for note in remarks(row)]
    for mark, meaning in MEANINGS.items():
        if any(mark == note or f"({mark}" in note for note in notes):
            sign = f"{marks[mark]} " if mark in marks else ""
            tables.note(f"{sign}{mark}: {meaning}", style="dim")
    tables.note(
        "Losses are comparable within a group, not between groups: data, tokenizers and units "
        "differ, and so does what counts as a param. jaxscale laws NAME tells.",
        style="dim",
    )
    for row in solved:
        if row.task is not None:
            tables.note(f"{row.name}: {read_task(row.task.name).check_note}")
        if row.resampled is not None:
            tables.note(_note_on_intervals(row), style="dim")
    if comparison.without_plan:
        tables.note("\nLaws without a plan", style="bold")
        tables.print_reasons(
            (_names(rows), reason_of(rows), short)
            for short, rows in comparison.without_plan.items()
        )


def _names(rows: Sequence[LawRow]) -> str:
    """The laws without a plan for one reason; of very many their number."""
    if len(rows) > MOST_NAMES:
        return f"{len(rows)} other laws"
    return short_names(row.name for row in rows)


def _note_on_intervals(row: LawRow) -> str:
    assert row.plan is not None
    assert row.resampled is not None
    left_out = intervals.Plans(row.plan, row.resampled).left_out
    said = intervals.note(len(row.resampled.status), left_out, row.in_range is not True)
    return f"{row.name}: {said}"


def _cells(
    question: Question, row: LawRow, with_loss: bool, with_intervals: bool
) -> tuple[str, ...]:
    assert row.plan is not None
    money = question.prices.format
    cells = [row.name, *[loss_text(float(row.plan.loss))] * with_loss]
    written = {"params": count, "tokens": count, "tokens_per_param": count, "total_cost": money}
    for name, write in written.items():
        cells.append(write(float(getattr(row.plan, name))).removesuffix(" FLOPs"))
        if with_intervals and name != "tokens_per_param":
            plans = row.resampled
            ends = None if plans is None else intervals.ends(getattr(plans, name))
            cells.append(intervals.text(ends, write) if ends else "")
    return *cells, ", ".join(remarks(row))


def _record(row: LawRow) -> dict[str, Any]:
    """One law's answer for machines; null where there is none."""
    return {
        "law": row.name,
        "group": row.group,
        "target_loss": None if row.target is None or math.isnan(row.target) else row.target,
        "optimum": record_of_plan(row.plan) if row.plan else None,
        "intervals": _record_of_intervals(row),
        "chosen": list(row.chosen),
        "runner_up": runner_up_of(row.plan) if row.plan else None,
        # OK is 0, so that no status may be asked for its truth.
        "status": None if row.plan is None or row.status is None else row.status.name,
        "law_status": row.entry.warning if row.entry else "",
        "note": row.note,
    }


def _record_of_intervals(row: LawRow) -> dict[str, Any] | None:
    """Intervals for machines; null without resamples."""
    if row.plan is None or row.resampled is None:
        return None
    plans = intervals.Plans(row.plan, row.resampled)
    count = len(row.resampled.status)
    return {**intervals.head(count, plans.left_out), **plans.record()}
