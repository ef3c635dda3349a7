"""`jaxscale plan`: the cheapest way to a quality, once serving is counted."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import typer

import jaxscale as js
from jaxscale import _schema
from jaxscale._explain import Asked, sentence_of_plan
from jaxscale._numerics.interpreted import interpreted
from jaxscale._schema import read_bounds
from jaxscale.cli import machines, options, over_time, plan_served, serving_options, tables
from jaxscale.cli.machines import Machines
from jaxscale.cli.mistakes import Mistake, blamed_on
from jaxscale.cli.named_law import Levers, NamedLaw, levers_for, read_law, read_levers
from jaxscale.cli.options import Prices, given_of, read_demand, read_prices
from jaxscale.cli.over_time import OverTime
from jaxscale.cli.quantities import count, percent
from jaxscale.cli.solving import (
    compute_optimal_sizes,
    levers_of_plan,
    loss_text,
    record_of_plan,
    solved,
    status_of,
)
from jaxscale.cli.training_time import Pace, TrainingTime, deadline_text, read_pace, time_of
from jaxscale.laws.protocol import loss_scale
from jaxscale.solve.levers import SIZES

EXAMPLES = """\
jaxscale plan --like-params 70B --inference-tokens 10T
jaxscale plan --loss 1.9 --input-tokens 2T --output-tokens 6T --max-params 34B
jaxscale plan --like-params 30B --requests 1.5B --input-per-request 70 \\
    --output-per-request 215 --train-on A100-80GB --train-price 1.50 \\
    --serve-on A100-40GB --serve-precision int8
jaxscale plan --like-params 70B --inference-tokens 10T --train-on H100-SXM \\
    --train-price 2 --train-mfu 40% --serve-on H100-SXM --serve-price 2 --deadline 30d
jaxscale plan --like-params 30B --inference-tokens 1T --train-on H100-SXM --train-price 1 \\
    --serve-on H100-SXM --serve-price 2 --spot-preemptions 0.01/h --spot-instances 64 \\
    --checkpoint 1min --restart 5min --carbon 0.4kg/kWh
jaxscale plan --loss 3 --inference-tokens 1T --law kumar2024 --lever bits=8
jaxscale plan --loss 2.1 --input-tokens 800B --output-tokens 200B --train-on H100-SXM \\
    --train-price 2 --serve-on H100-SXM --serve-price 2 --context 8k --max-latency 50ms
jaxscale plan --like-params 70B --inference-tokens 10T --growth 2x/year --years 2 \\
    --discount 10% --price-decline 30%/year --delay 3mo
"""


SMALL = 0.01  # nats that the loss is lowered by, to show what that costs
ROUNDING = 1e-9  # relative: a plan that costs more by less is not dearer
SERVED = ("prefill", "decode")
TIMED_LEVERS = "none is chosen where serving is timed"
# Options by which serving is timed.
TIMED = (
    *("context", "prompt", "output", "max_latency", "max_first_token"),
    *("serve_count", "family", "cached", "batch", "utilisation"),
)


class Quality(NamedTuple):
    """The quality that a plan must reach: a loss, or that of a model."""

    loss: float | None  # nats per token
    like_params: float | None
    like_tokens: float | None


class Question(NamedTuple):
    """The question of the options, which is the same for every law."""

    quality: Quality
    demand: js.Demand
    prices: Prices
    bounds: js.Bounds | None
    timed: plan_served.Timed | None = None
    over_time: OverTime | None = None

    def demand_in_words(self) -> str:
        read, written = float(self.demand.input_tokens), float(self.demand.output_tokens)
        return f"{count(read)} tokens read and {count(written)} written"


class LowerLoss(NamedTuple):
    """What the cheapest plan of a loss 0.01 nat lower costs more than the optimum."""

    status: js.Status
    cost: float | None  # None where no plan is found

    def note(self, prices: Prices) -> str:
        """A line on it; empty where it is free, or not known."""
        if self.status in (js.Status.INFEASIBLE_LOSS, js.Status.INFEASIBLE_BOUNDS):
            return f"No plan has a loss {SMALL} nat lower."
        if not self.cost:
            return ""
        return f"A loss {SMALL} nat lower costs {prices.format(self.cost)} more."


class Comparison(NamedTuple):
    """The cheapest plan beside the Chinchilla plan of equal loss, and the question."""

    law: NamedLaw
    target: float  # loss, nats per token
    question: Question
    optimum: js.Plan
    chinchilla: js.Plan
    lower: LowerLoss | None = None  # None where the loss is not in nats
    pace: Pace | None = None
    machines: Machines = Machines()

    @property
    def saving(self) -> float:
        """NaN where limits forbid to serve the Chinchilla plan."""
        return 1 - float(self.optimum.total_cost / self.chinchilla.total_cost)

    @property
    def is_dearer(self) -> bool:
        """Whether the optimum costs more than the Chinchilla plan, which no bound holds."""
        return percent(self.saving).startswith("-")

    @property
    def note(self) -> str:
        """What to know of the plan: on the range of the law, and on the models that serve."""
        spot = self.machines.spot
        notes = self.law.range_note(self.optimum), self.note_on_serving, spot.note if spot else ""
        return " ".join(filter(None, notes))

    @property
    def note_on_serving(self) -> str:
        timed = self.question.timed
        return plan_served.note_on(timed, self.law.law) if timed else ""

    @property
    def knows_loss(self) -> bool:
        return not math.isnan(self.optimum.loss)

    @property
    def times(self) -> tuple[TrainingTime, TrainingTime] | None:
        """Of both plans, where the time of the training is asked for."""
        if self.pace is None:
            return None
        asked = self.pace, self.question.prices, self.machines.goodput
        return time_of(self.optimum, *asked), time_of(self.chinchilla, *asked)

    @property
    def sentence(self) -> str:
        _, demand, prices, bounds, *_ = self.question
        asked = Asked(self.law.law, self.target, demand, prices.costs, bounds)
        return sentence_of_plan(self.optimum, asked)


@options.asked
def plan(
    question: Mapping[str, Any],
    law: options.Law = _schema.DEFAULT_LAW,
    lever: options.LeverOrBest = None,
    context: serving_options.Context = None,
    prompt: serving_options.Prompt = None,
    output: serving_options.Output = None,
    cached: serving_options.Cached = None,
    max_latency: serving_options.MaxLatency = None,
    max_first_token: serving_options.MaxFirstToken = None,
    serve_count: serving_options.ServeCount = None,
    batch: serving_options.Batch = None,
    utilisation: serving_options.Utilisation = None,
    family: serving_options.Family = None,
    train_count: options.TrainCount = None,
    deadline: options.Deadline = None,
    growth: over_time.Growth = None,
    years: over_time.Years = None,
    discount: over_time.Discount = None,
    price_decline: over_time.PriceDecline = None,
    delay: over_time.Delay = None,
    spot_preemptions: machines.SpotPreemptions = None,
    checkpoint: machines.Checkpoint = None,
    restart: machines.Restart = None,
    spot_instances: machines.SpotInstances = None,
    carbon: machines.Carbon = None,
    pue: machines.Pue = None,
    as_json: options.Json = False,
) -> None:
    """The cheapest plan for a quality, with training and serving counted.

    Beside it stands the Chinchilla plan: the one of equal loss that is cheapest to train. Where
    a lever is chosen, a model to match is dense, in 16 bits and with layers in one piece.
    Numbers are written 7B, 1.5T, 2e12 or 1,000,000, and shares 0.5 or 50%. With any of the options
    on requests and limits, the price of a token follows from the size of the model, as in jaxscale
    serve, and limits bound that size; --serve-precision is then that of weights and arithmetic, by
    default the narrowest that holds the bits of a law that has them as a lever.
    With --years the demand is that of a year, and what is served later counts for less.
    """
    of_serving = {name: value for name, value in locals().items() if name in TIMED}
    of_time = {name: value for name, value in locals().items() if name in over_time.ASKED}
    asked = over_time.applied(read_question(question), of_time)
    of_machines = {name: value for name, value in locals().items() if name in machines.OPTIONS}
    used = machines.read_machines(of_machines, train_count, deadline, asked.prices)
    named = read_law(law)
    # E is part of the loss of the model and of its plans alike.
    named.need_sizes() if asked.quality.loss is None else named.need_all()
    levers = levers_for(named, read_levers(lever))
    prices, timed = plan_served.read_timed(
        question, of_serving, asked.prices, levers.values.get("bits")
    )
    asked = asked._replace(prices=used.priced(prices), timed=timed)
    pace = read_pace(train_count, deadline, asked.prices)
    target = read_target(named.law, asked.quality, levers)
    comparison = compare(named, levers, target, asked, pace, used)
    tables.print_json("plan", as_record(comparison)) if as_json else show(comparison)


def read_question(given: Mapping[str, Any]) -> Question:
    """The question of the options, given by the names of the arguments of `plan`."""
    quality = Quality(*(given[name] for name in Quality._fields))
    bounds = read_bounds(given_of(given))
    return Question(quality, read_demand(given), read_prices(given), bounds)


def check_quality(quality: Quality) -> None:
    """Refuse two qualities, none, or a part of a model."""
    loss, params, tokens = quality
    if loss is not None and (params is not None or tokens is not None):
        raise Mistake("give either --loss or the model to match, not both")
    if loss is None and params is None:
        alone = "; --like-tokens alone is not a model" if tokens is not None else ""
        raise Mistake(f"give --loss, or --like-params for the model to match{alone}")


def read_target(law: Any, quality: Quality, levers: Levers) -> float:
    """The loss to reach, given as such or by a model that has it."""
    check_quality(quality)
    loss, params, tokens = quality
    if loss is not None and loss_scale(law):
        raise Mistake(f"its loss is {loss_scale(law)}: use --like-params instead of --loss")
    if loss is not None or params is None:
        return loss or 0.0
    with blamed_on("--like-params"):
        values = levers.of_model(params)
    if tokens is None:
        params, tokens = compute_optimal_sizes("--like-params", law, values, params=params)
    asked = Asked(law, params=params, tokens=tokens, levers=values)
    plan = interpreted(js.evaluate, law, params, tokens, levers=values)
    return float(solved(plan, asked).loss)


def compare(
    named: NamedLaw,
    levers: Levers,
    target: float,
    question: Question,
    pace: Pace | None,
    used: Machines,
) -> Comparison:
    """Solve for both plans and price both with the demand; bounds hold the first alone."""
    law, (_, demand, prices, bounds, timed, _) = named.law, question
    choice = {"levers": levers.values, "over": (*SIZES, *levers.chosen)}
    asked = Asked(law, target, demand, prices.costs, bounds, levers=levers.values)
    if levers.chosen and timed:
        raise Mistake(f"--lever: give {levers.chosen[0]} a value: {TIMED_LEVERS}")
    # One call for all plans that it can have: each takes no longer for more of them.
    losses = np.array([target, target - SMALL])
    if levers.chosen and bounds is None:
        lanes = (np.array([x, x, 0.0]) for x in (demand.input_tokens, demand.output_tokens))
        scenarios = np.append(losses, target), js.Demand(*lanes), prices.costs
        plans = interpreted(js.minimize_cost, law, *scenarios, **choice)
        size = _at(plans, 2)
    else:
        plans = interpreted(js.minimize_cost, law, losses, demand, prices.costs, bounds, **choice)
        size = interpreted(js.minimize_cost, law, target, **choice)
    optimum = solved(_at(plans, 0), asked)
    lower = None if loss_scale(law) else _lower_loss(optimum, _at(plans, 1))
    size = solved(size, Asked(law, target, levers=levers.values))
    sizes = float(size.params), float(size.tokens)
    if timed:
        trained = js.Costs(prices.costs.train, prefill=0.0, decode=0.0)
        chinchilla = interpreted(js.evaluate, law, *sizes, None, trained, levers=size.levers)
        chinchilla = plan_served.with_serving(timed, law, chinchilla, demand)
    else:
        chinchilla = interpreted(js.evaluate, law, *sizes, demand, prices.costs, levers=size.levers)
    asked = asked._replace(bounds=None, params=sizes[0], tokens=sizes[1])
    chinchilla = named.as_known(solved(chinchilla, asked))
    optimum = named.as_known(optimum)
    return Comparison(named, target, question, optimum, chinchilla, lower, pace, used)


def _at(plans: js.Plan, index: int) -> js.Plan:
    return jax.tree.map(lambda x: x[index], plans)


def _lower_loss(optimum: js.Plan, plan: js.Plan) -> LowerLoss:
    """What a plan of lower loss costs more: the cost is convex, so a slope would say too little."""
    status, total = status_of(plan), float(optimum.total_cost)
    more = float(plan.total_cost) - total
    free = more <= ROUNDING * total  # of either cost
    return LowerLoss(status, (0.0 if free else more) if status.ok else None)


def show(comparison: Comparison) -> None:
    """Print both plans as a table, with what a reader must know about them."""
    question = comparison.question
    tables.note(comparison.law.warning, style="bold yellow")
    loss = f"Loss {comparison.target:.5g}" if comparison.knows_loss else "The loss of the model"
    title = f"{loss}, {question.demand_in_words()}, law {comparison.law.name}"
    tables.note(title, style="bold")
    tables.note(question.over_time.describe() if question.over_time else "", style="dim")
    for line in question.prices.describe():
        tables.note(line, style="dim")
    if comparison.machines.spot:
        tables.note(comparison.machines.spot.describe(), style="dim")
        tables.note(comparison.machines.spot.note, style="dim")
    # Of a plan that cannot be served, serving has no price; a loss may be unknown.
    rows = [
        (name, write(x), "-" if question.timed and math.isnan(y) else write(y), _ratio(x, y))
        for name, write, x, y in _rows(comparison)
    ]
    if not math.isnan(comparison.saving):
        saving = "-" if comparison.is_dearer else percent(comparison.saving)
        rows.append(("saving", saving, "", ""))
    rows += [*_time_rows(comparison), *_energy_rows(comparison)]
    tables.print_columns(("", "optimum", "Chinchilla", "ratio"), rows, emphasis=("total", "saving"))
    if question.timed:
        tables.print_facts(plan_served.facts(question.timed, comparison.optimum))
        if math.isnan(comparison.saving):
            tables.note("The Chinchilla plan cannot be served within the limits.")
    if comparison.is_dearer:
        times = count(1 - comparison.saving)
        tables.note(f"Bounds make the optimum cost {times} times what the Chinchilla plan costs.")
    if status_of(comparison.optimum) is not js.Status.OK:
        tables.note(comparison.sentence)
    if comparison.lower:
        tables.note(comparison.lower.note(question.prices))
    tables.note(comparison.law.range_note(comparison.optimum), style="dim")
    if comparison.note_on_serving:
        typer.echo(comparison.note_on_serving, err=True)


def _ratio(x: float, y: float) -> str:
    return count(x / y) if x > 0 and not math.isnan(y) else ""


def _rows(comparison: Comparison) -> list[tuple[str, Any, float, float]]:
    money = comparison.question.prices.format
    rows = {
        "params": ("params", count),
        "tokens": ("tokens", count),
        "tokens per param": ("tokens_per_param", count),
        "loss": ("loss", loss_text),
        "training": ("train_cost", money),
        "prefill": ("prefill_cost", money),
        "decode": ("decode_cost", money),
        "total": ("total_cost", money),
    }
    optimum, chinchilla = comparison.optimum, comparison.chinchilla
    chosen, plain = levers_of_plan(optimum), levers_of_plan(chinchilla)
    return [
        *((name.replace("_", " "), count, chosen[name], plain[name]) for name in chosen),
        *(
            (label, write, float(getattr(optimum, name)), float(getattr(chinchilla, name)))
            for label, (name, write) in rows.items()
        ),
    ]


def _time_rows(comparison: Comparison) -> list[tuple[str, str, str, str]]:
    """A row for the time of the training, where it is asked for."""
    if comparison.pace is None or comparison.times is None:
        return []
    optimum, chinchilla = comparison.times
    if comparison.pace.deadline is None:
        label, ratio = f"days on {optimum.devices_text()} devices", optimum.days / chinchilla.days
        return [(label, count(optimum.days), count(chinchilla.days), count(ratio))]
    label = f"devices for {deadline_text(comparison.pace.deadline)}"
    ratio = count(optimum.count / chinchilla.count)
    return [(label, optimum.devices_text(), chinchilla.devices_text(), ratio)]


def _energy_rows(comparison: Comparison) -> list[tuple[str, str, str, str]]:
    """Rows for energy and carbon, where they are asked for."""
    metered = comparison.machines.metered
    if metered is None:
        return []
    rows = metered.rows((comparison.optimum, comparison.chinchilla))
    return [
        (name, write(x), "-" if math.isnan(y) else write(y), _ratio(x, y))
        for name, write, x, y in rows
    ]


def as_record(comparison: Comparison) -> dict[str, Any]:
    """The comparison for machines: numbers and strings alone."""
    timed = comparison.question.timed
    spot, metered = comparison.machines
    plans = {"optimum": comparison.optimum, "chinchilla": comparison.chinchilla}
    return {
        "law": {"name": comparison.law.name, **tables.plain(comparison.law.law)},
        "target_loss": comparison.target if comparison.knows_loss else None,
        **record_of(comparison.question),
        "demand_over_time": comparison.question.over_time
        and comparison.question.over_time.record(),
        "optimum": record_of_plan(comparison.optimum),
        "chinchilla": record_of_plan(comparison.chinchilla),
        "saving": None if math.isnan(comparison.saving) else comparison.saving,
        "cost_of_a_hundredth_nat": comparison.lower and comparison.lower.cost,
        "training_time": _record_of_times(comparison.times),
        "spot": spot and spot.record(),
        "energy": metered and metered.record(plans),
        "status": status_of(comparison.optimum).name,
        "status_sentence": comparison.sentence,
        "law_status": comparison.law.warning,
        "note": comparison.note,
        "serving": timed and plan_served.record_of(timed, comparison.optimum),
    }


def _record_of_times(times: tuple[TrainingTime, TrainingTime] | None) -> dict[str, Any] | None:
    """Devices and seconds of both plans for machines; null where they are not asked for."""
    return times and {
        name: time._asdict() for name, time in zip(("optimum", "chinchilla"), times, strict=True)
    }


def record_of(question: Question) -> dict[str, Any]:
    """Demand and prices for machines."""
    return {
        "demand": tables.plain(question.demand),
        "unit": question.prices.unit,
        "costs_per_flop": tables.finite(
            {name: float(getattr(question.prices.costs, name)) for name in ("train", *SERVED)}
        ),
    }
