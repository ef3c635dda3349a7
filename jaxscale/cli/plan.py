"""`jaxscale plan`: the cheapest way to a quality, once serving is counted."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jaxscale as js
from jaxscale._schema import read_bounds
from jaxscale.cli import options, tables
from jaxscale.cli.levers import Levers, cheapest, levers_for, of_model, read_levers
from jaxscale.cli.mistakes import Mistake, blamed_on
from jaxscale.cli.named_law import NamedLaw, read_law
from jaxscale.cli.pricing import Prices, given_of, read_demand, read_prices
from jaxscale.cli.quantities import count, percent
from jaxscale.cli.reasons import Asked, sentence_of
from jaxscale.cli.solving import (
    compute_optimal_sizes,
    levers_of_plan,
    loss_text,
    numbers_of,
    one_scenario,
    record_of_plan,
    solved,
    status_of,
)
from jaxscale.laws import Tao

ANOTHER_SCALE = "its loss is normalised by that of unigrams: use --like-params instead of --loss"


class Quality(NamedTuple):
    """What a plan must reach: a loss, or that of a model."""

    loss: float | None  # nats per token
    like_params: float | None
    like_tokens: float | None


class Model(NamedTuple):
    """A model to match."""

    params: float
    tokens: float


class Question(NamedTuple):
    """What was asked for, whatever the law."""

    quality: Quality
    demand: js.Demand
    prices: Prices
    bounds: js.Bounds | None

    def demand_in_words(self) -> str:
        read, written = float(self.demand.input_tokens), float(self.demand.output_tokens)
        return f"{count(read)} tokens read and {count(written)} written"


class Comparison(NamedTuple):
    """The cheapest plan beside the Chinchilla plan of equal loss, and what was asked for."""

    law: NamedLaw
    target: float  # loss, nats per token
    question: Question
    optimum: js.Plan
    chinchilla: js.Plan

    @property
    def saving(self) -> float:
        return 1 - float(self.optimum.total_cost / self.chinchilla.total_cost)

    @property
    def knows_loss(self) -> bool:
        return not math.isnan(self.optimum.loss)

    @property
    def sentence(self) -> str:
        """What the status of the optimum means, with its numbers."""
        _, demand, prices, bounds = self.question
        asked = Asked(self.law.law, self.target, demand, prices.costs, bounds)
        return sentence_of(status_of(self.optimum), asked)


def plan(
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
    law: options.Law = options.DEFAULT_LAW,
    lever: options.LeverOrBest = None,
    as_json: options.Json = False,
) -> None:
    """The cheapest plan for a quality, with training and serving counted.

    Beside it stands the Chinchilla plan: the one of equal loss that is cheapest to train. Where
    a lever is chosen, a model to match is dense, in 16 bits and with layers in one piece.
    Numbers are written 7B, 1.5T, 2e12 or 1,000,000, and shares 0.5 or 50%.
    """
    question = read_question(locals())
    named = read_law(law)
    # Of the loss of a model, and those of its plans, E is a part alike.
    named.need_sizes() if question.quality.loss is None else named.need_all()
    levers = levers_for(named, read_levers(lever))
    with one_scenario():
        target = read_target(named.law, question.quality, levers)
        found = compare(named, levers, target, question)
    tables.print_json("plan", as_record(found)) if as_json else show(found)


EXAMPLES = """\
jaxscale plan --like-params 70B --inference-tokens 10T
jaxscale plan --loss 1.9 --input-tokens 2T --output-tokens 6T --max-params 34B
jaxscale plan --like-params 30B --requests 1.5B --input-per-request 70 \\
    --output-per-request 215 --train-on A100-80GB --train-price 1.50 \\
    --serve-on A100-40GB --serve-precision int8
jaxscale plan --loss 3 --inference-tokens 1T --law kumar2024 --lever bits=8
"""


def read_question(given: Mapping[str, Any]) -> Question:
    """What the options ask for, by the names of the arguments of `plan`."""
    quality = Quality(*(given[name] for name in Quality._fields))
    bounds = read_bounds(given_of(given))
    return Question(quality, read_demand(given), read_prices(given), bounds)


def read_target(law: Any, quality: Quality, levers: Levers) -> float:
    """The loss to reach, given as such or by a model that has it."""
    model = read_model(law, quality, levers)
    if model is None:
        assert quality.loss is not None
        return quality.loss
    values = of_model(levers, model.params)
    asked = Asked(law, params=model.params, tokens=model.tokens, levers=values)
    return float(solved(js.evaluate(law, *model, levers=values), asked).loss)


def read_model(law: Any, quality: Quality, levers: Levers) -> Model | None:
    """The model to match; None where a loss is given.

    The model has the levers that are given, and of one that is chosen the plain value.
    """
    loss, params, tokens = quality
    if loss is not None and (params is not None or tokens is not None):
        raise Mistake("give either --loss or the model to match, not both")
    if loss is not None and isinstance(law, Tao):
        raise Mistake(ANOTHER_SCALE)
    if loss is not None:
        return None
    if params is None:
        alone = "; --like-tokens alone is no model" if tokens is not None else ""
        raise Mistake(f"give --loss, or --like-params for the model to match{alone}")
    with blamed_on("--like-params"):
        values = of_model(levers, params)
        if tokens is not None:
            return Model(params, tokens)
        return Model(*compute_optimal_sizes("--like-params", law, values, params=params))


def compare(named: NamedLaw, levers: Levers, target: float, question: Question) -> Comparison:
    """Solve for both plans and price both with the demand; bounds hold the first alone."""
    law, (_, demand, prices, bounds) = named.law, question
    optimum = cheapest(levers, law, target, demand, prices.costs, bounds)
    size = cheapest(levers, law, target)
    chinchilla = js.evaluate(
        law, size.params, size.tokens, demand, prices.costs, levers=size.levers
    )
    asked = Asked(
        law, target, demand, prices.costs, params=float(size.params), tokens=float(size.tokens)
    )
    plans = map(named.as_known, (optimum, solved(chinchilla, asked)))
    return Comparison(named, target, question, *plans)


def show(found: Comparison) -> None:
    """Print both plans as a table, with what a reader must know about them."""
    question = found.question
    tables.note(found.law.warning, style="bold yellow")
    loss = f"Loss {found.target:.5g}" if found.knows_loss else "The loss of the model"
    title = f"{loss}, {question.demand_in_words()}, law {found.law.name}"
    tables.note(title, style="bold")
    for line in question.prices.describe():
        tables.note(line, style="dim")
    rows = [
        (
            label,
            write(optimum),
            write(chinchilla),
            count(optimum / chinchilla) if optimum > 0 else "",
        )
        for label, write, optimum, chinchilla in _rows(found)
    ]
    rows.append(("saving", percent(found.saving), "", ""))
    tables.print_columns(("", "optimum", "Chinchilla", "ratio"), rows, emphasis=("total", "saving"))
    if status_of(found.optimum) is not js.Status.OK:
        tables.note(found.sentence)
    tables.note(found.law.range_note(found.optimum), style="dim")


def _rows(found: Comparison) -> list[tuple[str, Any, float, float]]:
    money = found.question.prices.format
    writers = {
        "params": ("params", count),
        "tokens": ("tokens", count),
        "tokens per param": ("tokens_per_param", count),
        "loss": ("loss", loss_text),
        "training": ("train_cost", money),
        "prefill": ("prefill_cost", money),
        "decode": ("decode_cost", money),
        "total": ("total_cost", money),
    }
    optimum, chinchilla = numbers_of(found.optimum), numbers_of(found.chinchilla)
    rows = [
        (label, write, optimum[name], chinchilla[name]) for label, (name, write) in writers.items()
    ]
    chosen, plain = levers_of_plan(found.optimum), levers_of_plan(found.chinchilla)
    return [*((name.replace("_", " "), count, chosen[name], plain[name]) for name in chosen), *rows]


def as_record(found: Comparison) -> dict[str, Any]:
    """The comparison for machines: numbers and strings alone."""
    status = status_of(found.optimum)
    return {
        "law": {"name": found.law.name, **tables.plain(found.law.law)},
        "target_loss": found.target if found.knows_loss else None,
        **record_of(found.question),
        "optimum": record_of_plan(found.optimum),
        "chinchilla": record_of_plan(found.chinchilla),
        "saving": found.saving,
        "status": status.name,
        "status_sentence": found.sentence,
        "law_status": found.law.warning,
        "note": found.law.range_note(found.optimum),
    }


def record_of(question: Question) -> dict[str, Any]:
    """Demand and prices for machines."""
    return {
        "demand": tables.plain(question.demand),
        "unit": question.prices.unit,
        "costs_per_flop": tables.plain(question.prices.costs),
    }
