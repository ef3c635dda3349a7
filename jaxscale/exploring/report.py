"""An answer in words and as a table, for the page: numbers as `jaxscale plan` prints them."""

import csv
import io
import math
from collections.abc import Callable, Iterator
from html import escape
from typing import Any, NamedTuple

from jaxscale._written import count, dollars, percent
from jaxscale.exploring.answering import Answer
from jaxscale.exploring.uncertainty import interval_note
from jaxscale.laws.protocol import loss_scale
from jaxscale.plan import Plan
from jaxscale.status import Status

NONE = ""


class Row(NamedTuple):
    """A number of both plans, as written; the interval holds 95 % of the laws the runs allow."""

    label: str
    optimum: str
    interval: str
    chinchilla: str
    ratio: str


def money_of(unit: str) -> Callable[[float], str]:
    """How a cost of the unit is written."""
    return dollars if unit == "dollars" else lambda x: f"{count(x)} FLOPs"


def rows_of(answer: Answer) -> Iterator[Row]:
    """The rows of the table, in the order of the page."""
    money = money_of(answer.asked.unit)
    scale = loss_scale(answer.asked.law, answer.asked.entry)
    intervals = answer.intervals
    written: dict[str, tuple[str, Callable[[float], str]]] = {
        **{name.replace("_", " ").capitalize(): (name, count) for name in answer.optimum.levers},
        "Params": ("params", count),
        "Training tokens": ("tokens", count),
        "Tokens per param": ("tokens_per_param", count),
        "Loss" if scale else "Loss, nats per token": ("loss", lambda x: f"{x:.4f}"),
        "Cost of training": ("train_cost", money),
        "Cost of prefill": ("prefill_cost", money),
        "Cost of decode": ("decode_cost", money),
        "Total cost": ("total_cost", money),
    }
    for label, (name, write) in written.items():
        best, other = (_number(plan, name) for plan in (answer.optimum, answer.chinchilla))
        interval = _interval(intervals.get(name), write)
        ratio = count(best / other) if best > 0 and other > 0 else NONE
        yield Row(label, _text(best, write), interval, _text(other, write), ratio)
        if name == "loss" and answer.accuracies is not None:
            shares = (percent(x) for x in answer.accuracies)
            yield Row("Accuracy", next(shares), NONE, next(shares), NONE)
    if not math.isnan(answer.saving):
        interval = _interval(intervals.get("saving"), percent)
        yield Row("Saving", percent(answer.saving), interval, NONE, NONE)


def _interval(ends: tuple[float, float] | None, write: Callable[[float], str]) -> str:
    """Both ends, the unit behind the second alone; nothing where they are written alike."""
    if ends is None or math.isnan(ends[0]):
        return NONE
    low, high = map(write, ends)
    return NONE if low == high else f"{low.removesuffix(' FLOPs')} to {high}"


def headline(answer: Answer) -> str:
    """The answer in a sentence."""
    plan = answer.optimum
    if not answer.status.ok:
        return answer.sentence
    money = money_of(answer.asked.unit)
    text = f"{count(float(plan.params))} params trained on {count(float(plan.tokens))} tokens"
    text += f", {money(float(plan.total_cost))} in all"
    saving = answer.saving
    if math.isnan(saving):
        return f"{text}."
    if abs(saving) < 5e-4:
        return f"{text}: as much as the Chinchilla plan."
    size = f"{percent(abs(saving))} {'less' if saving > 0 else 'more'}"
    return f"{text}: {size} than the Chinchilla plan of equal loss."


def table_of(answer: Answer) -> str:
    """The table as HTML; empty where no number is known."""
    if not any(math.isfinite(float(x.params)) for x in (answer.optimum, answer.chinchilla)):
        return ""
    has_intervals = answer.resampled is not None
    heads = ["Optimum", *["95 % interval"] * has_intervals, "Chinchilla", "Ratio"]
    lines = [
        "<table class='plans'>",
        "<caption>The best plan beside the Chinchilla plan of equal loss</caption>",
        "<thead><tr><td></td>" + "".join(f"<th scope='col'>{escape(x)}</th>" for x in heads),
        "</tr></thead><tbody>",
    ]
    for row in rows_of(answer):
        cells = [row.optimum, *[row.interval] * has_intervals, row.chinchilla, row.ratio]
        kind = " class='total'" if row.label == "Total cost" else ""
        lines.append(
            f"<tr{kind}><th scope='row'>{escape(row.label)}</th>"
            + "".join(f"<td>{escape(x)}</td>" for x in cells)
            + "</tr>"
        )
    return "".join([*lines, "</tbody></table>"])


def notes_of(answer: Answer) -> str:
    """What binds and what to know before using the answer, as HTML."""
    notes = list(answer.notes)
    asked = answer.asked
    if asked.score and (scale := loss_scale(asked.law, asked.entry)):
        notes.append(f"The loss is {scale}.")
    if answer.status.ok and answer.status is not Status.OK and answer.sentence not in notes:
        notes.insert(0, answer.sentence)
    if answer.status.ok:
        notes.append(interval_note(asked.name, asked.entry, answer.resampled))
    served = "".join(f"<dt>{escape(x)}</dt><dd>{escape(y)}</dd>" for x, y in answer.serving)
    return (
        (f"<h3>How it is served</h3><dl>{served}</dl>" if served else "")
        + "".join(f"<p>{escape(note)}</p>" for note in notes)
        + "".join(f"<p class='aside'>{escape(line)}</p>" for line in answer.prices)
    )


def csv_of(answer: Answer) -> str:
    """The numbers of both plans in full, with their units; empty where one is not known."""
    cost, intervals = answer.asked.unit, answer.intervals
    scale = loss_scale(answer.asked.law, answer.asked.entry)
    units = dict.fromkeys(answer.optimum.levers, "") | {
        "params": "1",
        "tokens": "tokens",
        "tokens_per_param": "tokens",
        "loss": scale or "nats/token",
    }
    units |= {f"{phase}_cost": cost for phase in ("train", "prefill", "decode", "total")}
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("name", "unit", "optimum", "low", "high", "chinchilla"))
    for name, unit in units.items():
        best, other = (_number(plan, name) for plan in (answer.optimum, answer.chinchilla))
        ends = intervals.get(name, (math.nan, math.nan))
        writer.writerow((name, unit, *map(_in_full, (best, *ends, other))))
    ends = intervals.get("saving", (math.nan, math.nan))
    writer.writerow(("saving", "1", *map(_in_full, (answer.saving, *ends)), ""))
    return file.getvalue()


def _in_full(x: float) -> str:
    return "" if math.isnan(x) else repr(float(x))


def _number(plan: Plan, name: str) -> float:
    if name in plan.levers:
        return float(plan.levers[name])
    return float(getattr(plan, name, math.nan))


def _text(x: float, write: Callable[[float], Any]) -> str:
    return NONE if math.isnan(x) else write(x)
