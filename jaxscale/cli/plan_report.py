"""What `jaxscale plan` prints: a plan beside the Chinchilla plan, as a table or for machines."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import typer

import jaxscale as js
from jaxscale._sentences import (
    NO_CHINCHILLA,
    UNBOUNDED,
    UNSERVED,
    better_line,
    dearer_line,
    runner_up_line,
    runner_up_of,
    serving_facts,
)
from jaxscale._written import count, percent
from jaxscale.cli import intervals, plan_served, scores, tables
from jaxscale.cli.intervals import Ends
from jaxscale.cli.solving import loss_text, record_of_plan, status_of
from jaxscale.cli.training_time import TrainingTime, deadline_text, time_of
from jaxscale.laws.protocol import loss_scale
from jaxscale.status import is_ok

if TYPE_CHECKING:
    from jaxscale.cli.plan import Comparison, Question

SERVED = ("prefill", "decode")
UNREACHED = "cannot reach the loss"


class Row(NamedTuple):
    """A number of both plans, with its interval for the optimum."""

    label: str
    write: Callable[[float], str]
    optimum: float
    chinchilla: float
    ends: Ends | None  # None without resamples


def show(comparison: "Comparison") -> None:
    """Print both plans as a table, with what a reader must know about them."""
    question, named = comparison.question, comparison.law
    timed = question.timed
    tables.note(named.warning, style="bold yellow")
    if question.score:
        tables.note(question.score.scored.caution, style="bold yellow")
    tables.note(title_of(comparison), style="bold")
    if not question.score and (scale := loss_scale(named.law, named.entry)):
        tables.note(f"The loss is {scale}.", style="dim")
    tables.note(question.over_time.describe() if question.over_time else "", style="dim")
    for line in question.prices.describe():
        tables.note(line, style="dim")
    if comparison.machines.spot:
        tables.note(comparison.machines.spot.describe(), style="dim")
        tables.note(comparison.machines.spot.note, style="dim")
    rows = [
        *(_cells(comparison, row) for row in _rows(comparison)),
        *_saving_row(comparison),
        *_time_rows(comparison),
        *(_cells(comparison, row) for row in _energy_rows(comparison)),
    ]
    header = ("", "optimum", *[intervals.HEADER] * _has_intervals(comparison))
    tables.print_columns((*header, "Chinchilla", "ratio"), rows, emphasis=("total", "saving"))
    if not comparison.chinchilla.ok:
        tables.note(NO_CHINCHILLA)
    if timed:
        tables.print_facts(serving_facts(timed.costs, comparison.optimum))
        if comparison.chinchilla.ok and math.isnan(comparison.saving):
            tables.note(UNSERVED)
    tables.note(dearer_line(comparison.saving))
    if status_of(comparison.optimum) is not js.Status.OK:
        tables.note(comparison.sentence)
    if question.bounds is not None and question.bounds.of_memory:
        tables.note(UNBOUNDED, style="dim")
    tables.note(_runner_up_note(comparison))
    tables.note(_lower_note(comparison))
    tables.note(_regret_note(comparison))
    if question.score:
        tables.note(question.score.scored.check_note)
    tables.note(_interval_note(comparison), style="dim")
    tables.note(named.range_note(comparison.optimum), style="dim")
    if comparison.note_on_serving:
        typer.echo(comparison.note_on_serving, err=True)


def title_of(comparison: "Comparison") -> str:
    """What was asked, in a line."""
    question = comparison.question
    loss = f"Loss {comparison.target:.5g}" if comparison.knows_loss else "The loss of the model"
    if question.score:
        loss = question.score.title
    if question.budgets:
        loss = f"Budget {question.prices.format(question.budgets[0])}"
    return f"{loss}, {question.demand_in_words()}, law {comparison.law.name}"


def _has_intervals(comparison: "Comparison") -> bool:
    return comparison.law.resamples > 0


def _cells(comparison: "Comparison", row: Row) -> tuple[str, ...]:
    """The cells of a row: a plan that cannot be served has no price, and a loss may be unknown."""
    x, y, write = row.optimum, row.chinchilla, row.write
    is_missing = comparison.question.timed or not comparison.chinchilla.ok
    beside = "-" if is_missing and math.isnan(y) else write(y)
    interval = [intervals.text(row.ends, write)] if row.ends else []
    return row.label, write(x), *interval, beside, _ratio(x, y)


def _ratio(x: float, y: float) -> str:
    return count(x / y) if x > 0 and not math.isnan(y) else ""


def _rows(comparison: "Comparison") -> Iterator[Row]:
    money = comparison.question.prices.format
    rows: dict[str, tuple[str, Callable[[float], str]]] = {
        **{name.replace("_", " "): (name, count) for name in comparison.optimum.levers},
        "params": ("params", count),
        "tokens": ("tokens", count),
        "tokens per param": ("tokens_per_param", count),
        "loss": ("loss", loss_text),
        "training": ("train_cost", money),
        "prefill": ("prefill_cost", money),
        "decode": ("decode_cost", money),
        "total": ("total_cost", money),
    }
    for label, (name, write) in rows.items():
        best, other, resampled = (
            intervals.number(plan, name)
            for plan in (comparison.optimum, comparison.chinchilla, comparison.optima.resampled)
        )
        ends = intervals.ends(resampled) if _has_intervals(comparison) else None
        yield Row(label, write, float(best), float(other), ends)
        if label == "loss" and comparison.question.score:
            scored = comparison.question.score.scored
            x, y = (scored.accuracy(float(loss)) for loss in (best, other))
            yield Row("accuracy", scores.percent, x, y, None)


def _saving_row(comparison: "Comparison") -> list[tuple[str, ...]]:
    if math.isnan(comparison.saving):
        return []
    saving = "-" if comparison.is_dearer else percent(comparison.saving)
    interval = []
    if _has_intervals(comparison):
        interval.append(intervals.text(intervals.ends(_savings(comparison)), percent))
    return [("saving", saving, *interval, "", "")]


def _savings(comparison: "Comparison") -> np.ndarray:
    """The saving by each resample."""
    best, other = comparison.optima.resampled, comparison.chinchillas.resampled
    return np.asarray(1 - best.total_cost / other.total_cost)


def _time_rows(comparison: "Comparison") -> list[tuple[str, ...]]:
    """A row for the time of the training, where it is asked for."""
    if comparison.pace is None or comparison.times is None:
        return []
    optimum, chinchilla = comparison.times
    ends = time_ends(comparison)
    if comparison.pace.deadline is None:
        label = f"days on {optimum.devices_text()} devices"
        pair = (ends[0].days, ends[1].days) if ends else (math.nan, math.nan)
        cells = [count(optimum.days), count(chinchilla.days), count(optimum.days / chinchilla.days)]
        interval = intervals.text(pair, count)
    else:
        label = f"devices for {deadline_text(comparison.pace.deadline)}"
        ratio = count(optimum.count / chinchilla.count)
        cells = [optimum.devices_text(), chinchilla.devices_text(), ratio]
        few_and_many = [each.devices_text() for each in ends] if ends else ["not known"]
        interval = " to ".join(dict.fromkeys(few_and_many))
    return [(label, cells[0], *[interval] * _has_intervals(comparison), *cells[1:])]


def time_ends(comparison: "Comparison") -> tuple[TrainingTime, TrainingTime] | None:
    """The times at the ends of what the training costs: it rises with that."""
    if comparison.pace is None or not _has_intervals(comparison):
        return None
    costs = intervals.ends(comparison.optima.resampled.train_cost)
    if not math.isfinite(sum(costs)):
        return None
    asked = comparison.pace, comparison.question.prices, comparison.machines.goodput
    low, high = (
        time_of(replace(comparison.optimum, train_cost=np.float64(cost)), *asked) for cost in costs
    )
    return low, high


def _energy_rows(comparison: "Comparison") -> Iterator[Row]:
    """Rows for energy and carbon, where they are asked for."""
    metered = comparison.machines.metered
    if metered is None:
        return
    plans = comparison.optimum, comparison.chinchilla, comparison.optima.resampled
    for name, write, x, y, sample in metered.rows(plans):
        ends = intervals.ends(sample) if _has_intervals(comparison) else None
        yield Row(name, write, float(x), float(y), ends)


# --- Notes --------------------------------------------------------------------------------------


def _runner_up_note(comparison: "Comparison") -> str:
    is_budget = bool(comparison.question.budgets)
    return runner_up_line(comparison.law.law, comparison.optimum, is_budget=is_budget)


def _lower_note(comparison: "Comparison") -> str:
    """A line on what a slightly lower loss costs; empty where it is free, or not known."""
    lower, prices = comparison.lower, comparison.question.prices
    if lower is None:
        return ""
    interval = ""
    if _has_intervals(comparison):
        pair = intervals.ends(lower.sample)
        interval = intervals.text(pair, prices.format) if math.isfinite(sum(pair)) else ""
    of_accuracy = comparison.question.score is not None
    in_dollars = prices.train is not None
    return better_line(
        lower.status, lower.cost, in_dollars, of_accuracy=of_accuracy, interval=interval
    )


def _regret_note(comparison: "Comparison") -> str:
    """A line on what not knowing the law costs; empty where that is not known."""
    regret, question = comparison.regret, comparison.question
    if regret is None:
        return ""
    if question.budgets:
        return f"Not knowing the law better loses {count(regret)} nats on average."
    share = percent(regret / float(comparison.optimum.total_cost))
    return f"Not knowing the law better costs {question.prices.format(regret)} on average, {share}."


def _interval_note(comparison: "Comparison") -> str:
    return intervals.note_on(comparison.law, comparison.optima, _lost(comparison))


def _lost(comparison: "Comparison") -> str:
    """What resamples without a plan cannot do."""
    plans = comparison.optima.resampled
    statuses = np.asarray(plans.status)[~np.asarray(is_ok(plans.status))]
    codes = (int(js.Status.INFEASIBLE_LOSS), int(js.Status.INVALID_INPUT))
    return UNREACHED if np.isin(statuses, codes).all() else "have no plan"


# --- Records ------------------------------------------------------------------------------------


def as_record(comparison: "Comparison") -> dict[str, Any]:
    """The comparison for machines: numbers and strings alone."""
    question = comparison.question
    timed = question.timed
    spot, metered = comparison.machines
    lower = comparison.lower
    plans = {"optimum": comparison.optimum, "chinchilla": comparison.chinchilla}
    return {
        "law": {"name": comparison.law.name, **tables.plain(comparison.law.law)},
        "accuracy": question.score and question.score.record(float(comparison.optimum.loss)),
        "target_loss": comparison.target if comparison.knows_loss else None,
        "budget": question.budgets[0] if question.budgets else None,
        **record_of(question),
        "demand_over_time": question.over_time and question.over_time.record(),
        "optimum": record_of_plan(comparison.optimum),
        "chinchilla": record_of_plan(comparison.chinchilla),
        "runner_up": runner_up_of(comparison.optimum),
        "saving": None if math.isnan(comparison.saving) else comparison.saving,
        "cost_of_a_hundredth_nat": None if question.score else lower and lower.cost,
        "cost_of_an_accuracy_point": lower and lower.cost if question.score else None,
        "training_time": _record_of_times(comparison.times),
        "spot": spot and spot.record(),
        "energy": metered and metered.record(plans),
        "regret_cost": None if question.budgets else comparison.regret,
        "regret_loss": comparison.regret if question.budgets else None,
        "intervals": _record_of_intervals(comparison) if _has_intervals(comparison) else None,
        "status": status_of(comparison.optimum).name,
        "status_sentence": comparison.sentence,
        "law_status": comparison.law.warning,
        "note": comparison.note,
        "serving": timed and plan_served.record_of(timed, comparison.optimum),
    }


def _record_of_intervals(comparison: "Comparison") -> dict[str, Any]:
    """Low and high ends for machines; null where they are not known."""
    optima, lower, times = comparison.optima, comparison.lower, time_ends(comparison)
    return {
        **intervals.head(comparison.law.resamples, optima.left_out),
        "optimum": optima.record(),
        "chinchilla": comparison.chinchillas.record(),
        "saving": intervals.listed(intervals.ends(_savings(comparison))),
        "cost_of_a_hundredth_nat": lower and intervals.listed(intervals.ends(lower.sample)),
        "training_time": times
        and {name: [getattr(each, name) for each in times] for name in TrainingTime._fields},
        "energy": _energy_intervals(comparison),
    }


def _energy_intervals(comparison: "Comparison") -> dict[str, list[float] | None] | None:
    metered = comparison.machines.metered
    if metered is None:
        return None
    energy = metered.energy(comparison.optima.resampled)
    samples = {"train_kwh": energy.train_kwh, "inference_kwh": energy.inference_kwh}
    if metered.kg_per_kwh is not None:
        samples["tonnes"] = metered.tonnes(energy)
    return {name: intervals.listed(intervals.ends(sample)) for name, sample in samples.items()}


def _record_of_times(times: tuple[TrainingTime, TrainingTime] | None) -> dict[str, Any] | None:
    """Devices and seconds of both plans for machines; null where they are not asked for."""
    return times and {
        name: time._asdict() for name, time in zip(("optimum", "chinchilla"), times, strict=True)
    }


def record_of(question: "Question") -> dict[str, Any]:
    """Demand and prices for machines."""
    return {
        "demand": tables.plain(question.demand),
        "unit": question.prices.unit,
        "costs_per_flop": tables.finite(
            {name: float(getattr(question.prices.costs, name)) for name in ("train", *SERVED)}
        ),
    }
