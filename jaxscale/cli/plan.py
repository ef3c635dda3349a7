"""`jaxscale plan`: the cheapest way to a quality, or the best for a budget, serving counted."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import typer

import jaxscale as js
from jaxscale import _schema
from jaxscale._explain import Asked, sentence_of_plan
from jaxscale._numerics.interpreted import interpreted
from jaxscale._schema import DEMANDS, read_bounds
from jaxscale._sentences import SMALL, dearer_line, demand_in_words, more_than, serving_note
from jaxscale.cli import (
    budgets,
    machines,
    options,
    over_time,
    plan_report,
    plan_served,
    scores,
    serving_options,
    tables,
)
from jaxscale.cli.intervals import Plans, at
from jaxscale.cli.machines import Machines
from jaxscale.cli.mistakes import Mistake, blamed_on
from jaxscale.cli.named_law import Levers, NamedLaw, levers_for, read_law, read_levers
from jaxscale.cli.options import Prices, given_of, read_demand, read_prices
from jaxscale.cli.over_time import OverTime
from jaxscale.cli.solving import compute_optimal_plans, solved, status_of
from jaxscale.cli.training_time import Pace, TrainingTime, read_pace, time_of
from jaxscale.laws.protocol import NO_MEMORY, knows_memory, loss_scale
from jaxscale.solve.intervals import MOST_TIMED

EXAMPLES = """\
jaxscale plan --like-params 70B --inference-tokens 10T
jaxscale plan --accuracy mmlu=45% --inference-tokens 2T
jaxscale plan --loss 1.9 --input-tokens 2T --output-tokens 6T --max-params 34B
jaxscale plan --like-params 30B --requests 1.5B --input-per-request 70 \\
    --output-per-request 215 --train-on A100-80GB --train-price 1.50 \\
    --serve-on A100-40GB --serve-precision int8
jaxscale plan --like-params 70B --inference-tokens 10T --train-on H100-SXM \\
    --train-price 2 --train-mfu 40% --serve-on H100-SXM --serve-price 2 --deadline 30d
jaxscale plan --like-params 30B --inference-tokens 1T --train-on H100-SXM --train-price 1 \\
    --serve-on H100-SXM --serve-price 2 --spot-preemptions 0.01/h --spot-instances 64 \\
    --checkpoint 1min --restart 5min --carbon 0.4kg/kWh
jaxscale plan --flops 2e24 --inference-tokens 5T --law fit.json
jaxscale plan --budget '5M$' --inference-tokens 5T --train-on H100-SXM --train-price 2 \\
    --serve-on H100-SXM --serve-price 2
jaxscale plan --flops 1e22,1e23,1e24 --law fit.json
jaxscale plan --loss 3 --inference-tokens 1T --law kumar2024 --lever bits=8
jaxscale plan --loss 2.1 --input-tokens 800B --output-tokens 200B --train-on H100-SXM \\
    --train-price 2 --serve-on H100-SXM --serve-price 2 --context 8k --max-latency 50ms
jaxscale plan --like-params 70B --inference-tokens 10T --growth 2x/year --years 2 \\
    --discount 10% --price-decline 30%/year --delay 3mo
"""


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
    budgets: tuple[float, ...] = ()  # in the unit of the prices, instead of a quality
    score: scores.Target | None = None  # whose loss is that of the quality

    def demand_in_words(self) -> str:
        return demand_in_words(self.demand, is_budget=bool(self.budgets))


class LowerLoss(NamedTuple):
    """What the cheapest plan of a slightly better quality costs more than the optimum."""

    status: js.Status
    cost: float | None  # None where no plan is found
    sample: np.ndarray  # the same of each resample, NaN where no plan is found


class Comparison(NamedTuple):
    """The cheapest plan beside the Chinchilla plan of equal loss, and the question."""

    law: NamedLaw
    target: float  # loss, nats per token
    question: Question
    optima: Plans
    chinchillas: Plans
    # Of a loss 0.01 nat lower, or an accuracy one point higher; None where the loss is not in nats.
    lower: LowerLoss | None = None
    regret: float | None = None  # mean cost of not knowing the law; for a budget, mean nats
    pace: Pace | None = None
    machines: Machines = Machines()

    @property
    def optimum(self) -> js.Plan:
        return self.optima.fit

    @property
    def chinchilla(self) -> js.Plan:
        return self.chinchillas.fit

    @property
    def saving(self) -> float:
        """NaN where there is no Chinchilla plan, or limits forbid to serve it."""
        return 1 - float(self.optimum.total_cost / self.chinchilla.total_cost)

    @property
    def is_dearer(self) -> bool:
        """Whether the optimum costs more than the Chinchilla plan, which no bound holds."""
        return dearer_line(self.saving) != ""

    @property
    def note(self) -> str:
        """What to know of the plan: on the range of the law, and on the models that serve."""
        spot = self.machines.spot
        notes = self.law.range_note(self.optimum), self.note_on_serving, spot.note if spot else ""
        return " ".join(filter(None, notes))

    @property
    def note_on_serving(self) -> str:
        timed = self.question.timed
        return serving_note(timed.family, self.law.law) if timed else ""

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
        return sentence_of_plan(self.optimum, asked_of(self.law, self.question, self.target))


@options.asked
def plan(
    question: Mapping[str, Any],
    call: typer.Context,
    flops: budgets.Flops = None,
    budget: budgets.Budget = None,
    law: options.Law = _schema.DEFAULT_LAW,
    lever: options.LeverOrBest = None,
    anyway: options.Anyway = False,
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
    """The cheapest plan for a quality, or the best for a budget, training and serving counted.

    Beside it stands the Chinchilla plan: the one of equal loss that is cheapest to train. By a fit
    with resamples every number has an interval. Several budgets give a table of sizes. Where
    a lever is chosen, a model to match is dense, in 16 bits and with layers in one piece.
    Numbers are written 7B, 1.5T, 2e12 or 1,000,000, and shares 0.5 or 50%. With any of the options
    on requests and limits, the price of a token follows from the size of the model, as in jaxscale
    serve, and limits bound that size; --serve-precision is then that of weights and arithmetic, by
    default the narrowest that holds the bits of a law that has them as a lever. Serving is timed
    for at most 1,000 resamples of a fit.
    With --years the demand is that of a year, and what is served later counts for less.
    """
    of_serving = {name: value for name, value in locals().items() if name in TIMED}
    of_time = {name: value for name, value in locals().items() if name in over_time.ASKED}
    of_machines = {name: value for name, value in locals().items() if name in machines.OPTIONS}
    asked = read_question(question, budgets.read(flops, budget))
    asked = over_time.applied(asked, of_time)
    used = machines.read_machines(of_machines, train_count, deadline, asked.prices)
    if asked.score is None:
        named = read_law(law, anyway=anyway)
    else:
        named = scores.law_of(asked.score.scored, law, call, anyway=anyway)
    # E is part of the loss of the model and of its plans alike, and no budget depends on it.
    named.need_sizes() if asked.quality.loss is None else named.need_all()
    if asked.bounds is not None and asked.bounds.of_memory and not knows_memory(named.law):
        raise Mistake(f"--max-memory: {named.name} {NO_MEMORY}")
    levers = levers_for(named, read_levers(lever))
    prices, timed = plan_served.read_timed(
        question, of_serving, asked.prices, levers.values.get("bits")
    )
    asked = asked._replace(prices=used.priced(prices), timed=timed)
    named = named.with_at_most(MOST_TIMED) if timed else named
    pace = read_pace(train_count, deadline, asked.prices)
    if timed and asked.bounds is not None and asked.bounds.of_memory:
        raise Mistake("--max-memory: where serving is timed its devices have their own memory")
    if levers.chosen and timed:
        raise Mistake(f"--lever: give {levers.chosen[0]} a value: {TIMED_LEVERS}")
    if len(asked.budgets) > 1:
        budgets.refuse_times({**of_machines, "train_count": train_count, "deadline": deadline})
        several = budgets.solve(named, levers, asked)
        record = budgets.as_record(several) if as_json else budgets.show(several)
    else:
        comparison = compare(named, levers, asked, pace, used)
        record = plan_report.as_record(comparison) if as_json else plan_report.show(comparison)
    if record is not None:
        tables.print_json("plan", record)


def read_question(
    given: Mapping[str, Any], asked_budgets: "budgets.Asked | None" = None
) -> Question:
    """The question of the options, given by the names of the arguments of `plan`."""
    quality = Quality(*(given[name] for name in Quality._fields))
    bounds, accuracy = read_bounds(given_of(given)), given["accuracy"]
    if accuracy is not None and any(value is not None for value in quality):
        raise Mistake("give one quality: --accuracy, --loss or the model to match")
    if asked_budgets is None:
        question = Question(quality, read_demand(given), read_prices(given), bounds)
        if accuracy is None:
            return question
        target = scores.read_target(accuracy)
        return question._replace(quality=quality._replace(loss=target.loss), score=target)
    if accuracy is not None or any(value is not None for value in quality):
        raise Mistake(f"give {asked_budgets.option} or a quality, not both: one follows from it")
    # A budget may be for training alone.
    serves = any(given[name] is not None for way in DEMANDS for name in way)
    demand = read_demand(given) if serves else js.Demand()
    prices = read_prices(given)
    asked_budgets.check(prices)
    return Question(quality, demand, prices, bounds, budgets=asked_budgets.values)


def check_quality(quality: Quality, also: str = "") -> None:
    """Refuse two qualities, none, or a part of a model; `also` is what may be given instead."""
    loss, params, tokens = quality
    if loss is not None and (params is not None or tokens is not None):
        raise Mistake("give either --loss or the model to match, not both")
    if loss is None and params is None:
        alone = "; --like-tokens alone is not a model" if tokens is not None else ""
        raise Mistake(f"give --loss, or --like-params for the model to match{also}{alone}")


def asked_of(named: NamedLaw, question: Question, target: float | None = None) -> Asked:
    """What a plan is asked for, for the sentence of its status."""
    _, demand, prices, bounds, *_ = question
    if question.budgets:
        return Asked(named.law, None, demand, prices.costs, bounds, budget=question.budgets[0])
    return Asked(named.law, target, demand, prices.costs, bounds)


def read_targets(
    named: NamedLaw, quality: Quality, levers: Levers, *, is_score: bool = False
) -> np.ndarray:
    """The losses to reach by `named.laws`, given as such, by an accuracy, or by a model."""
    check_quality(quality, ", or a budget by --flops or --budget")
    law, laws = named.law, named.laws
    loss, params, tokens = quality
    if loss is not None and not is_score and (scale := loss_scale(law, named.entry)):
        raise Mistake(
            f"--loss: the loss of {named.name} is {scale}: use --like-params instead of --loss"
        )
    if loss is not None or params is None:
        return np.full(1 + named.resamples, loss or 0.0)
    with blamed_on("--like-params"):
        values = levers.of_model(params)
    sizes: Any = tokens
    if tokens is None:
        plans = compute_optimal_plans("--like-params", laws, law, values, params=params)
        sizes, tokens = plans.tokens, float(plans.tokens[0])
    plans = interpreted(js.evaluate, laws, params, sizes, levers=values)
    asked = Asked(law, params=params, tokens=tokens, levers=values)
    solved(at(plans, 0), asked)
    return np.asarray(plans.loss)


def compare(
    named: NamedLaw, levers: Levers, question: Question, pace: Pace | None, used: Machines
) -> Comparison:
    """Solve for both plans and price both with the demand; bounds hold the first alone."""
    _, demand, prices, *_ = question
    within: Plans | None = None
    if question.budgets:
        within = best_within(named, levers, question)
        targets = np.append(within.fit.loss, within.resampled.loss)
    else:
        is_score = question.score is not None
        targets = read_targets(named, question.quality, levers, is_score=is_score)
    best, lower, size = cheapest(named, levers, question, targets)
    target = float(targets[0])
    asked = asked_of(named, question, target)._replace(levers=levers.values)
    optima = within or Plans.of(best).solved(asked)
    has_step = question.score is not None or not loss_scale(named.law, named.entry)
    lower = _lower_loss(optima, lower) if has_step else None
    # Of some losses the law has plans, but not the Chinchilla plan. What also compares times and
    # energy needs it.
    is_known = status_of(at(size, 0)) is not js.Status.BEYOND_LAW or pace or any(used)
    if is_known:
        solved(at(size, 0), Asked(named.law, target, levers=levers.values))
    costs = prices.costs
    if question.timed:
        costs = js.Costs(prices.costs.train, prefill=0.0, decode=0.0)
    sizes = size.params, size.tokens
    trained = interpreted(
        js.evaluate,
        named.laws,
        *sizes,
        None if question.timed else demand,
        costs,
        levers=size.levers,
    )
    if question.timed:
        trained = plan_served.with_serving(question.timed, named.laws, trained, demand)
    asked = asked._replace(bounds=None, params=float(sizes[0][0]), tokens=float(sizes[1][0]))
    chinchillas = Plans.of(trained)
    chinchillas = chinchillas.solved(asked) if is_known else chinchillas
    regret = regret_of(named, question, optima, targets[1:]) if named.resamples else None
    optima, chinchillas = (
        plans._replace(fit=named.as_known(plans.fit)) for plans in (optima, chinchillas)
    )
    return Comparison(named, target, question, optima, chinchillas, lower, regret, pace, used)


def best_within(named: NamedLaw, levers: Levers, question: Question) -> Plans:
    """The plans of the lowest loss for the budget."""
    _, demand, prices, bounds, *_ = question
    choice = {"levers": levers.values, "over": levers.over}
    asked = named.laws, question.budgets[0], demand, prices.costs, bounds
    plans = interpreted(js.minimize_loss, *asked, **choice)
    return Plans.of(plans).solved(asked_of(named, question)._replace(levers=levers.values))


def cheapest(
    named: NamedLaw, levers: Levers, question: Question, targets: np.ndarray
) -> tuple[js.Plan, js.Plan, js.Plan]:
    """The cheapest plans by `named.laws`: of the losses, of slightly lower ones, and unserved."""
    _, demand, prices, bounds, *_ = question
    choice = {"levers": levers.values, "over": levers.over}
    score = question.score
    lower = targets - SMALL if score is None else np.full_like(targets, score.loss_of_a_point_more)
    losses = np.stack([targets, lower])
    if levers.chosen and bounds is None:
        # One call for all plans that it can have: each takes no longer for more of them.
        tokens = demand.input_tokens, demand.output_tokens
        lanes = (np.array([[x], [x], [0.0]], float) for x in tokens)
        served = js.Demand(*lanes), prices.costs
        plans = interpreted(
            js.minimize_cost, named.laws, np.stack([*losses, targets]), *served, **choice
        )
        return at(plans, 0), at(plans, 1), at(plans, 2)
    served = demand, prices.costs, bounds
    plans = interpreted(js.minimize_cost, named.laws, losses, *served, **choice)
    return at(plans, 0), at(plans, 1), interpreted(js.minimize_cost, named.laws, targets, **choice)


def _lower_loss(optima: Plans, plans: js.Plan) -> LowerLoss:
    """What plans of lower loss cost more: the cost is convex, so a slope would say too little."""
    totals = np.append(optima.fit.total_cost, optima.resampled.total_cost)
    more = np.where(plans.ok, more_than(plans.total_cost, totals), np.nan)
    status = status_of(at(plans, 0))
    return LowerLoss(status, float(more[0]) if status.ok else None, more[1:])


def regret_of(
    named: NamedLaw, question: Question, optima: Plans, targets: np.ndarray
) -> float | None:
    """What the size of the fit's plan costs beyond the best, on average over the resamples.

    For a loss, training stops when it is reached; for a budget, it is what is lost in nats. None
    where bounds might end the training before, and where a resample cannot reach the loss.
    """
    _, demand, prices, bounds, *_ = question
    fit, best, draws = optima.fit, optima.resampled, at(named.laws, slice(1, None))
    if bounds is not None:
        return None
    tokens: Any = fit.tokens
    if not question.budgets:
        tokens = interpreted(js.laws.tokens_for, draws, targets, fit.params, **fit.levers)
    asked = draws, fit.params, tokens, demand, prices.costs
    plans = interpreted(js.evaluate, *asked, levers=fit.levers)
    known = np.asarray(best.ok)
    more = plans.loss - best.loss if question.budgets else plans.total_cost - best.total_cost
    regret = float(np.mean(more[known])) if known.any() else math.nan
    return max(regret, 0.0) if math.isfinite(regret) else None
