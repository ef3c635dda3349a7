"""`jaxscale profit`: the model that earns most, by what quality is worth and tokens sell for."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import typer

import jaxscale as js
from jaxscale import _schema, economics
from jaxscale._explain import Asked, sentence_of_plan
from jaxscale._numerics.interpreted import interpreted
from jaxscale._schema import option_of, read_bounds
from jaxscale._written import (
    count,
    dollars,
    part,
    percent,
    positive,
)
from jaxscale.cli import options, profit_options, scores, tables
from jaxscale.cli.files import checked_path, save
from jaxscale.cli.mistakes import Mistake, blamed_on
from jaxscale.cli.named_law import NamedLaw, fixed_levers, read_law
from jaxscale.cli.options import Prices, given_of, read_demand, read_prices
from jaxscale.cli.plan_report import SERVED
from jaxscale.cli.scores import Scored, law_of, read_task, was_given
from jaxscale.cli.solving import loss_text, record_of_plan, solved, status_of
from jaxscale.economics.market import PROVIDER_ELASTICITY
from jaxscale.laws.protocol import loss_scale

EXAMPLES = """\
jaxscale profit --value-per-nat 100M$ --worthless-at 2.2 --inference-tokens 1T \\
    --train-on H100-SXM --train-price 2 --serve-on H100-SXM --serve-price 2
jaxscale profit --input-tokens 8T --output-tokens 2T --at-loss 2 --at-price 1$/M --per-nat 2 \\
    --price 1$/M --train-on H100-SXM --train-price 2 --serve-on H100-SXM \\
    --serve-price 2 --decode-mfu 10% --law besiroglu2024 --picture profit.png
jaxscale profit --accuracy-value 1B$ --task gadre2024_c4 --worthless-at 50% \\
    --inference-tokens 1T --train-on H100-SXM --train-price 2 --serve-on H100-SXM --serve-price 2
"""

FAR = 30.0  # times the known price or demand
NEEDED = ("at_loss", "at_price", "per_nat")  # of a market
SOLD = (*NEEDED, "elasticity", "price")
CAUTION = (
    f"The elasticity of {PROVIDER_ELASTICITY} is that of one provider among others, with a "
    "standard error of 0.2 (Demirer et al., NBER w34608): measure yours, and give --elasticity."
)


class Question(NamedTuple):
    """What `js.maximize_profit` is asked, and the task whose accuracy counts."""

    value: economics.ValuePerNat | economics.ValueOfAccuracy | None
    demand: js.Demand | economics.Market
    prices: Prices
    bounds: js.Bounds | None
    price: float | None  # dollars per token
    scored: Scored | None  # on the task
    knows_elasticity: bool

    @property
    def task(self) -> str | None:
        """The name of the task, if an accuracy counts."""
        return self.scored and self.scored.entry.name

    @property
    def market(self) -> economics.Market | None:
        """Where tokens are sold."""
        return self.demand if isinstance(self.demand, economics.Market) else None

    def describe(self) -> Iterator[str]:
        """Lines on the value, the demand and the prices."""
        if isinstance(self.value, economics.ValuePerNat):
            yield f"Worth {dollars(self.value.per_nat)} a nat below a loss of {_of(self.value)}"
        elif self.value is not None:
            value = dollars(self.value.dollars / 100)
            yield f"Worth {value} a point of accuracy above {_of(self.value)} on {self.task}"
        read, written = self.demand.input_tokens, self.demand.output_tokens
        demand = f"{count(float(read))} tokens read and {count(float(written))} written"
        market = self.market
        if market is None:
            yield demand
        else:
            at = f"at loss {market.at_loss:g} and {_per_million(market.at_price)}"
            times = count(math.exp(min(float(market.per_nat), 700.0)))
            reacts = f"times {times} for each nat less, elasticity {market.elasticity:g}"
            yield f"{demand} {at}; {reacts}"
        yield from self.prices.describe()


def _of(value: economics.ValuePerNat | economics.ValueOfAccuracy) -> str:
    """Where a model is worth nothing, in words."""
    at = float(value.worthless_at)
    return f"{at:g}" if isinstance(value, economics.ValuePerNat) else f"{100 * at:g} %"


def _per_million(price: float) -> str:
    return f"{dollars(1e6 * price)} per million tokens"


class Answer(NamedTuple):
    """The most profitable plan, and what it was asked by."""

    named: NamedLaw
    question: Question
    levers: Mapping[str, float]
    best: economics.Profit

    @property
    def accuracy(self) -> float | None:
        """On the task, if there is one."""
        scored = self.question.scored
        return scored and scored.accuracy(float(self.best.plan.loss))

    @property
    def return_on_investment(self) -> float:
        """Profit over all costs."""
        return float(self.best.profit) / float(self.best.plan.total_cost)

    @property
    def markup(self) -> float | None:
        """The price over the cost of serving a token; None where that is 0 or nothing is sold."""
        served = float(self.best.plan.inference_cost)
        return float(self.best.revenue) / served if self.question.market and served else None

    @property
    def best_markup(self) -> float | None:
        """Lerner's; None without a market, and where the best price is infinite."""
        market = self.question.market
        if market is None or market.elasticity <= 1:
            return None
        return float(market.elasticity / (market.elasticity - 1))

    @property
    def sentence(self) -> str:
        """The status in words."""
        status = status_of(self.best.plan)
        if status is js.Status.OK:
            return "The most profitable plan."
        if status is js.Status.AT_CORNER:
            return "Bounds fix params and tokens: beyond them another plan would earn more."
        return sentence_of_plan(self.best.plan, _asked(self.named, self.question, self.levers))

    @property
    def reach(self) -> str:
        """A line where the price or what is sold is far from where demand is known; else empty."""
        market = self.question.market
        if market is None:
            return ""
        sold = float(self.best.demand.input_tokens + self.best.demand.output_tokens)
        sales = sold / float(market.input_tokens + market.output_tokens)
        price = float(self.best.price) / float(market.at_price)
        if max(sales, price, 1 / sales, 1 / price) < FAR:
            return ""
        return (
            f"Far from where demand is known: {count(price)} times that price sells {count(sales)} "
            "times as many tokens, further than an elasticity can be trusted."
        )

    @property
    def note(self) -> str:
        """Where the plan leaves what is known of demand and law, and a task is of another text."""
        lines = self.reach, self.named.range_note(self.best.plan), self.task_note
        return " ".join(filter(None, lines))

    @property
    def task_note(self) -> str:
        """How good the accuracy is, or a line where the law may be of another text; else empty."""
        scored, law = self.question.scored, self.named.name
        if scored is None:
            return ""
        task = scored.entry.name
        if law == scored.law.name:
            return scored.check_note
        return f"The accuracy is right only where {law} predicts losses on the text of {task}."


def profit(
    call: typer.Context,
    value_per_nat: profit_options.ValuePerNat = None,
    accuracy_value: profit_options.AccuracyValue = None,
    task: profit_options.Task = None,
    worthless_at: profit_options.WorthlessAt = None,
    inference_tokens: options.InferenceTokens = None,
    input_tokens: options.InputTokens = None,
    output_tokens: options.OutputTokens = None,
    requests: options.Requests = None,
    input_per_request: options.InputPerRequest = None,
    output_per_request: options.OutputPerRequest = None,
    at_loss: profit_options.AtLoss = None,
    at_price: profit_options.AtPrice = None,
    per_nat: profit_options.PerNat = None,
    elasticity: profit_options.Elasticity = None,
    price: profit_options.Price = None,
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
    law: options.Law = _schema.DEFAULT_LAW,
    lever: options.Lever = None,
    anyway: options.Anyway = False,
    picture: profit_options.Picture = None,
    as_json: options.Json = False,
) -> None:
    """The most profitable plan: how good a model, how large, how long trained, at what price.

    Say what a model is worth by its loss or its accuracy, or what its tokens sell for, or both.
    Demand is met at no price, or sold: then it grows with quality and falls with the price, and
    the best price is found too, unless you give one. Money is over the model's whole life.
    """
    given = dict(locals())
    path = None if picture is None else checked_path("--picture", picture)
    question = read_question(given)
    scored = question.scored
    if scored and (scored.law.loss_scale or not was_given("law", call)):
        named = law_of(scored, law, call, anyway=anyway)
    else:
        named = read_law(law, anyway=anyway)
    named.need_all()
    scale = loss_scale(named.law, named.entry)
    is_of_task = scored is not None and named.law == scored.law.law
    if is_of_task and scale and question.market:
        raise Mistake(
            f"--task: the loss of {named.name} is {scale}, and tokens sell by one in nats; leave "
            "out --at-loss and what belongs to it"
        )
    if scale and not is_of_task:
        raise Mistake(f"--law: the loss of {named.name} is {scale}, not in nats")
    levers = fixed_levers(named, lever)
    asked = _arguments(named, question)
    choice = {"price": question.price, "levers": levers.values}
    best = interpreted(js.maximize_profit, *asked, **choice)
    if status_of(best.plan) is js.Status.DO_NOT_TRAIN:
        raise Mistake(f"no plan earns more than it costs: {_remedies(question)}")
    solved(best.plan, _asked(named, question, levers.values))
    answer = Answer(named, question, levers.values, best)
    if path is not None:
        save(draw(answer), path)
    if as_json:
        tables.print_json("profit", {**as_record(answer), "picture": path and str(path)})
    else:
        show(answer)
        tables.note(str(path) if path else "")


def _remedies(question: Question) -> str:
    """What would make a plan earn something."""
    ways = ["raise what it is worth"] if question.value is not None else []
    ways += ["raise --price"] if question.price is not None else []
    ways += ["loosen the bounds"] if question.bounds is not None else []
    return ", or ".join([*ways, "lower the price of compute"])


def _arguments(named: NamedLaw, question: Question) -> tuple[Any, ...]:
    """The positional arguments of `js.maximize_profit`."""
    value, demand, prices, bounds, *_ = question
    return named.law, value, demand, prices.costs, bounds


def _asked(named: NamedLaw, question: Question, levers: Mapping[str, float]) -> Asked:
    costs, bounds = question.prices.costs, question.bounds
    return Asked(named.law, costs=costs, bounds=bounds, levers=levers)


def read_question(given: Mapping[str, Any]) -> Question:
    """The question of the options, given by the names of the arguments of `profit`."""
    value, scored = read_value(given)
    demand = read_market(given)
    if value is None and not isinstance(demand, economics.Market):
        raise Mistake(
            "say what a model earns: --value-per-nat or --accuracy-value with --worthless-at; or "
            "--at-loss with --at-price and --per-nat, where tokens are sold"
        )
    prices = read_prices(given)
    if prices.train is None:
        raise Mistake("profit needs --train-on and --serve-on: without them costs are FLOPs")
    bounds, is_known = read_bounds(given_of(given)), given["elasticity"] is not None
    return Question(value, demand, prices, bounds, given["price"], scored, is_known)


def read_value(
    given: Mapping[str, Any],
) -> tuple[economics.ValuePerNat | economics.ValueOfAccuracy | None, Scored | None]:
    """What a model is worth, and the task by whose accuracy; None without."""
    per_nat, dollars_of_all, task = (given[x] for x in ("value_per_nat", "accuracy_value", "task"))
    at = given["worthless_at"]
    if per_nat is not None and dollars_of_all is not None:
        raise Mistake("give --value-per-nat or --accuracy-value, not both")
    if dollars_of_all is None and task is not None:
        raise Mistake("--task needs --accuracy-value")
    if per_nat is None and dollars_of_all is None:
        if at is not None:
            raise Mistake("--worthless-at needs --value-per-nat or --accuracy-value")
        return None, None
    if at is None:
        name = "accuracy_value" if per_nat is None else "value_per_nat"
        raise Mistake(f"{option_of(name)} needs --worthless-at")
    if per_nat is not None:
        with blamed_on("--worthless-at"):
            return economics.ValuePerNat(per_nat, positive(at)), None
    if task is None:
        raise Mistake(f"--accuracy-value needs --task: {', '.join(options.complete_tasks())}")
    scored = read_task(task)
    with blamed_on("--worthless-at"):
        return economics.ValueOfAccuracy(scored.task, dollars_of_all, part(at)), scored


def read_market(given: Mapping[str, Any]) -> js.Demand | economics.Market:
    """The demand, and how it reacts where tokens are sold."""
    demand = read_demand(given)
    asked = [name for name in SOLD if given[name] is not None]
    if not asked:
        return demand
    missing = [option_of(name) for name in NEEDED if given[name] is None]
    if missing:
        raise Mistake(f"{option_of(asked[0])} needs {' and '.join(missing)} too")
    if demand.input_tokens + demand.output_tokens == 0:
        raise Mistake("--at-loss: a market must have some demand")
    elasticity = given["elasticity"]
    return economics.Market(
        demand.input_tokens,
        demand.output_tokens,
        at_loss=given["at_loss"],
        at_price=given["at_price"],
        per_nat=given["per_nat"],
        elasticity=PROVIDER_ELASTICITY if elasticity is None else elasticity,
    )


def draw(answer: Answer) -> Any:
    """The picture of profit over loss."""
    from jaxscale import plots

    asked = _arguments(answer.named, answer.question)
    choice = {"price": answer.question.price, "levers": answer.levers}
    curve = interpreted(economics.profit_curve, *asked, **choice)
    subtitle = "; ".join([f"Law {answer.named.name}", *answer.question.describe()])
    scale = loss_scale(answer.named.law, answer.named.entry).removeprefix("in ")
    unit = {"loss_unit": scale} if scale else {}
    return plots.profit_over_loss(curve, subtitle=subtitle, **unit)


def show(answer: Answer) -> None:
    """Print the plan as a table, and what to know about it."""
    tables.note(answer.named.warning, style="bold yellow")
    tables.note(f"Most profitable plan, law {answer.named.name}", style="bold")
    for line in answer.question.describe():
        tables.note(line, style="dim")
    tables.print_columns(("", "best plan"), list(_rows(answer)), emphasis=("profit",))
    for line in _notes(answer):
        tables.note(line)
    tables.note(_caution(answer.question), style="bold yellow")
    for line in (answer.reach, answer.named.range_note(answer.best.plan), answer.task_note):
        tables.note(line, style="dim")


def _rows(answer: Answer) -> Iterator[tuple[str, str]]:
    best, question = answer.best, answer.question
    plan = best.plan
    yield "profit", _dollars(best.profit)
    if question.value is not None:
        yield "value", _dollars(best.value)
    if question.market is not None:
        yield "revenue", _dollars(best.revenue)
    yield "training", _dollars(plan.train_cost)
    yield "serving", _dollars(plan.inference_cost)
    if question.market is not None:
        yield "price per million tokens", _dollars(1e6 * best.price)
    yield "tokens read", count(float(best.demand.input_tokens))
    yield "tokens written", count(float(best.demand.output_tokens))
    yield "loss", loss_text(float(plan.loss))
    if answer.accuracy is not None:
        yield "accuracy", scores.percent(answer.accuracy)
    yield "params", count(float(plan.params))
    yield "training tokens", count(float(plan.tokens))
    yield "tokens per param", count(float(plan.tokens_per_param))


def _dollars(x: Any) -> str:
    return f"{'-' if x < 0 else ''}{dollars(abs(float(x)))}"


def _notes(answer: Answer) -> Iterator[str]:
    """What holds at the best plan."""
    status, plan = status_of(answer.best.plan), answer.best.plan
    if status is not js.Status.OK:
        yield answer.sentence
    nat = float(plan.marginal_cost)
    if nat > 0 and status is not js.Status.AT_CORNER:
        scored = answer.question.scored
        unit = "unit of its loss" if scored and scored.law.loss_scale else "nat"
        yield f"At the margin a {unit} costs {dollars(nat)}, and earns as much."
    yield f"Return on investment: profit is {percent(answer.return_on_investment)} of all costs."
    markup, best = answer.markup, answer.best_markup
    if markup is None:
        return
    price = f"The price is {count(markup)} times the cost of serving a token"
    if answer.question.price is None:
        yield f"{price}, the markup of Lerner for that elasticity."
    elif best is not None:
        yield f"{price}; the best price, by the markup of Lerner, would be {count(best)} times it."
    else:
        yield f"{price}; with an elasticity of at most 1, a higher price always earns more."


def _caution(question: Question) -> str:
    market = question.market
    return CAUTION if market and not question.knows_elasticity else ""


def as_record(answer: Answer) -> dict[str, Any]:
    """The answer for machines: numbers and strings alone."""
    best, question = answer.best, answer.question
    market, value = question.market, question.value
    costs = {name: float(getattr(question.prices.costs, name)) for name in ("train", *SERVED)}
    return {
        "law": {"name": answer.named.name, **tables.plain(answer.named.law)},
        "law_status": answer.named.warning,
        "unit": question.prices.unit,
        "costs_per_flop": costs,
        "value_of_loss": value and {"task": question.task, **tables.plain(value)},
        "accuracy": question.scored and {**question.scored.record(), "optimum": answer.accuracy},
        "market": market and tables.plain(market),
        "profit": float(best.profit),
        "value": float(best.value),
        "revenue": float(best.revenue),
        "price": float(best.price) if market else None,
        "demand": tables.plain(best.demand),
        "plan": record_of_plan(best.plan),
        "return_on_investment": answer.return_on_investment,
        "markup": answer.markup,
        "status": status_of(best.plan).name,
        "status_sentence": answer.sentence,
        "caution": _caution(question),
        "note": answer.note,
    }
