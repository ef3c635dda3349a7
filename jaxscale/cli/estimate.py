"""`jaxscale estimate`: two of size, training length and FLOPs give the rest and the price."""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import typer

import jaxscale as js
from jaxscale import _schema, architectures
from jaxscale._explain import Asked
from jaxscale._numerics.interpreted import interpreted
from jaxscale._written import count, data_size, dollars, scientific
from jaxscale.cli import intervals, options, scores, tables
from jaxscale.cli.intervals import Plans
from jaxscale.cli.mistakes import Mistake, blamed_on
from jaxscale.cli.named_law import NamedLaw, fixed_levers, read_law
from jaxscale.cli.options import Prices, read_prices
from jaxscale.cli.scores import Scored, law_of, read_task
from jaxscale.cli.solving import (
    compute_optimal_plans,
    levers_of_plan,
    loss_text,
    record_of_plan,
)
from jaxscale.laws.protocol import has_own_flops, loss_scale

PRICED = "operations"  # the count by which a training is priced


class Shape(NamedTuple):
    """An architecture with its name, and what it has beside the fields, in sentences."""

    name: str
    architecture: js.Architecture
    remarks: tuple[str, ...]

    def params_of(self, law: Any) -> float:
        """Params as the law counts them."""
        return float(architectures.params_of(self.architecture, law))

    def flops_over_rule(self, named: NamedLaw) -> float:
        """FLOPs of a training over those of 6 N D; Mistake for a law that counts its own."""
        if has_own_flops(named.law):
            raise Mistake(
                f"--architecture: {named.name} counts its own FLOPs; choose another --law"
            )
        return float(architectures.flops_over_rule(self.architecture, named.law, PRICED))

    @property
    def is_sparse(self) -> bool:
        return bool(self.architecture.active_experts < self.architecture.experts)


class Estimate(NamedTuple):
    law: NamedLaw
    prices: Prices
    plans: Plans  # without demand
    shape: Shape | None
    scored: Scored | None  # on what task an accuracy is asked for

    @property
    def plan(self) -> js.Plan:
        return self.plans.fit

    @property
    def flops(self) -> float:
        """As the shape computes them, or as the law counts them without one."""
        return float(self.flops_of(self.plan))

    def flops_of(self, plan: js.Plan) -> Any:
        """Those of plans at these prices."""
        return plan.train_cost / float(self.prices.costs.train)

    def device_hours_of(self, plan: js.Plan) -> Any:
        """Those of plans at these prices; None where no accelerator is named."""
        train = self.prices.train
        return plan.train_cost / train.price if train else None

    @property
    def notes_on_shape(self) -> tuple[str, ...]:
        """Params that are not counted, and the meaning of the loss of a model with idle experts."""
        if self.shape is None:
            return ()
        if not self.shape.is_sparse:
            return self.shape.remarks
        sparse = "Params are those that a token runs through: the loss is that of a dense model."
        return (*self.shape.remarks, sparse)

    @property
    def dollars(self) -> float | None:
        return float(self.plan.train_cost) if self.prices.train else None

    @property
    def device_hours(self) -> float | None:
        """None where no accelerator is named, like dollars."""
        return float(self.device_hours_of(self.plan)) if self.prices.train else None

    def intervals(self) -> dict[str, intervals.Ends] | None:
        """Ends of each number by its key in the record; None without resamples."""
        plan = self.plans.resampled
        if not self.law.resamples:
            return None
        names = ("params", "tokens", "tokens_per_param", "loss")
        samples = {name: getattr(plan, name) for name in names} | {"flops": self.flops_of(plan)}
        if self.prices.train:
            samples |= {"device_hours": self.device_hours_of(plan), "dollars": plan.train_cost}
        return {name: intervals.ends(sample) for name, sample in samples.items()}

    @property
    def accuracy(self) -> float | None:
        """On the task, if one is asked for."""
        return self.scored and self.scored.accuracy(float(self.plan.loss))

    @property
    def note_on_intervals(self) -> str:
        return intervals.note_on(self.law, self.plans)


def estimate(
    call: typer.Context,
    params: options.Params = None,
    tokens: options.Tokens = None,
    flops: options.Flops = None,
    architecture: options.Architecture = None,
    compute_optimal: options.ComputeOptimal = False,
    train_on: options.TrainOn = None,
    train_precision: options.TrainPrecision = None,
    train_mfu: options.TrainMfu = None,
    train_price: options.TrainPrice = None,
    law: options.Law = _schema.DEFAULT_LAW,
    lever: options.Lever = None,
    task: options.Task = None,
    anyway: options.Anyway = False,
    as_json: options.Json = False,
) -> None:
    """The loss and the cost of a training, from two of params, tokens and FLOPs.

    With --compute-optimal one of them is enough: the rest is what Hoffmann et al. 2022 call
    compute-optimal. By a fit with resamples every number has an interval. --architecture stands
    for --params and counts FLOPs by shape; alone, it says what the shape holds and computes.
    Numbers are written 7B, 1.5T, 2e12 or 1,000,000.
    """
    scored = None if task is None else read_task(task)
    named = law_of(scored, law, call, anyway=anyway) if scored else read_law(law, anyway=anyway)
    if compute_optimal:
        named.need_sizes()
    shape = None if architecture is None else read_shape(architecture)
    if shape is not None:
        if params is not None:
            raise Mistake("give --params or --architecture, not both")
        if tokens is None and flops is None and not compute_optimal:
            of_training = train_on, train_precision, train_mfu, train_price, lever, task
            if any(each is not None for each in of_training):
                raise Mistake("give --tokens or --flops: the rest is about a training")
            tables.print_json("estimate", record_of_shape(shape)) if as_json else show_shape(shape)
            return
        params = shape.params_of(named.law)
    over_rule = 1.0 if shape is None else shape.flops_over_rule(named)
    levers = fixed_levers(named, lever)
    sizes = {"params": params, "tokens": tokens, "flops": flops}
    given = {name: value for name, value in sizes.items() if value is not None}
    if len(given) != (1 if compute_optimal else 2):
        wanted = "one" if compute_optimal else "two"
        other = "" if compute_optimal else ", or one with --compute-optimal"
        also = " (--architecture stands for --params)" if shape else ""
        raise Mistake(f"give {wanted} of --params, --tokens and --flops{other}{also}")
    prices = read_prices(locals(), roles=("train",))
    # The FLOPs of one shape are proportional to tokens, as are those of the law.
    costs = replace(prices.costs, train=prices.costs.train * over_rule)
    if "flops" in given:
        given["flops"] /= over_rule
    sizes_by_law: tuple[Any, Any]
    if compute_optimal:
        option, values = "--compute-optimal", levers.values
        optima = compute_optimal_plans(option, named.laws, named.law, values, **given)
        sizes_by_law = optima.params, optima.tokens
    else:
        sizes_by_law = remaining_size(named.laws, given, levers.values)
        named.need_loss(*map(_first, sizes_by_law))
    plans = interpreted(
        js.evaluate, named.laws, *sizes_by_law, js.Demand(), costs, levers=levers.values
    )
    params, tokens = map(_first, sizes_by_law)
    plans = Plans.of(plans).solved(
        Asked(named.law, None, None, costs, params=params, tokens=tokens)
    )
    found = Estimate(named, prices, plans._replace(fit=named.as_known(plans.fit)), shape, scored)
    tables.print_json("estimate", as_record(found)) if as_json else show(found)


EXAMPLES = """\
jaxscale estimate --params 70B --tokens 1.4T
jaxscale estimate --flops 5.76e23 --compute-optimal
jaxscale estimate --params 7B --compute-optimal --train-on H100-SXM \\
    --train-price 2.69 --train-mfu 40%
jaxscale estimate --params 1B --tokens 100B --law kumar2024 --lever bits=8
jaxscale estimate --params 7B --tokens 4T --task mmlu
jaxscale estimate --architecture llama-3-8b
jaxscale estimate --architecture llama-3-8b --tokens 15T
"""


def remaining_size(laws: Any, given: dict[str, float], levers: dict[str, float]) -> tuple[Any, Any]:
    """Params and tokens from two of params, tokens and FLOPs, by laws on a leading axis."""
    if "flops" not in given:
        return given["params"], given["tokens"]
    known = "params" if "params" in given else "tokens"
    inverse: Callable[..., Any] = (
        js.laws.tokens_of_flops if known == "params" else js.laws.params_of_flops
    )
    other = interpreted(inverse, laws, given["flops"], given[known], **levers)
    if math.isnan(_first(other)):
        what = "length of training" if known == "params" else "size of model"
        raise Mistake(f"--flops: no {what} takes that many FLOPs")
    return (given[known], other) if known == "params" else (other, given[known])


def _first(size: Any) -> float:
    """By the law itself, which comes before its resamples."""
    return float(np.ravel(size)[0])


def show(found: Estimate) -> None:
    """Print the estimate as a table, with what a reader must know about it."""
    plan, ends = found.plan, found.intervals()
    written: list[tuple[str, Any, str, float]] = [
        *((name.replace("_", " "), count, name, x) for name, x in levers_of_plan(plan).items()),
        ("params", count, "params", float(plan.params)),
        ("tokens", count, "tokens", float(plan.tokens)),
        ("tokens per param", count, "tokens_per_param", float(plan.tokens_per_param)),
        ("loss", loss_text, "loss", float(plan.loss)),
        *(("accuracy", scores.percent, "accuracy", x) for x in [found.accuracy] if x is not None),
        ("training", lambda x: f"{scientific(x)} FLOPs", "flops", found.flops),
    ]
    if found.dollars is not None and found.device_hours is not None:
        written += [
            ("device-hours", count, "device_hours", found.device_hours),
            ("price", dollars, "dollars", found.dollars),
        ]
    rows = []
    for label, write, key, x in written:
        interval = [intervals.text(ends[key], write) if key in ends else ""] if ends else []
        rows.append((label, write(x), *interval))
    of_shape = f" {found.shape.name}" if found.shape else ""
    tables.note(found.law.warning, style="bold yellow")
    tables.note(found.scored.caution if found.scored else "", style="bold yellow")
    on_task = f", accuracy on {found.scored.benchmark}" if found.scored else ""
    tables.note(f"Training{of_shape}, law {found.law.name}{on_task}", style="bold")
    if scale := loss_scale(found.law.law, found.law.entry):
        tables.note(f"The loss is {scale}.", style="dim")
    for line in found.prices.describe():
        tables.note(line, style="dim")
    header = ("", "", intervals.HEADER) if ends else ("", "")
    tables.print_columns(header, rows, emphasis=("price",))
    tables.note(found.scored.check_note if found.scored else "")
    tables.note(found.note_on_intervals, style="dim")
    tables.note(found.law.range_note(plan), style="dim")
    for line in found.notes_on_shape:
        tables.note(line, style="dim")


def as_record(found: Estimate) -> dict[str, Any]:
    """The estimate for machines: numbers and strings alone; null where nothing is priced."""
    plan = found.plan
    return {
        "law": {"name": found.law.name, **tables.plain(found.law.law)},
        "architecture": found.shape.name if found.shape else None,
        **levers_of_plan(plan),
        "params": float(plan.params),
        "tokens": float(plan.tokens),
        "tokens_per_param": float(plan.tokens_per_param),
        "loss": record_of_plan(plan)["loss"],
        "accuracy": found.scored and {**found.scored.record(), "expected": found.accuracy},
        "flops": found.flops,
        "device_hours": found.device_hours,
        "dollars": found.dollars,
        "intervals": _record_of_intervals(found),
        "law_status": found.law.warning,
        "note": " ".join(filter(None, (found.law.range_note(plan), *found.notes_on_shape))),
    }


def _record_of_intervals(found: Estimate) -> dict[str, Any] | None:
    ends = found.intervals()
    head = intervals.head(found.law.resamples, found.plans.left_out)
    return ends and {**head, **{name: intervals.listed(pair) for name, pair in ends.items()}}


def read_shape(text: str, option: str = "--architecture") -> Shape:
    """The architecture that an option names, or the one in that file."""
    with blamed_on(option):
        if text.lower().endswith((".toml", ".json")) or os.sep in text:
            return Shape(text, architectures.read(text), ())
        entry = architectures.entry(text)
    return Shape(entry.name, entry.architecture, entry.remarks)


def show_shape(shape: Shape) -> None:
    """Print the shape with its params, FLOPs and bytes as tables."""
    record = record_of_shape(shape)
    tables.note(f"{shape.name}: {shape.architecture.summary()}", style="bold")
    tables.print_facts(_sizes(shape, record))
    header = ("FLOPs per token", "forward", "training", "over 6 N", "what is counted")
    rows = [
        (name, count(x["forward"]), count(x["train"]), f"{x['over_6n']:.3f}", meaning)
        for (name, x), meaning in zip(
            record["flops_per_token"].items(), architectures.COUNTS.values(), strict=True
        )
    ]
    tables.print_columns(header, rows, words=("what is counted",), emphasis=(PRICED,))
    context = shape.architecture.context
    tables.note(f"N is the params that a token runs through; context {context:,}.")
    for remark in shape.remarks:
        tables.note(remark, style="dim")


def record_of_shape(shape: Shape) -> dict[str, Any]:
    """The shape for machines."""
    return {"name": shape.name, **architectures.report(shape.architecture)}


def _sizes(shape: Shape, record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "params", f"{count(record['params'], 4)} in all"
    if shape.is_sparse:
        yield "params", f"{count(record['active_params'], 4)} that a token runs through"
    yield "params", f"{count(record['non_embedding_params'], 4)} in matrices of layers"
    for name, size in record["bytes"].items():
        state = "of weights, gradients and Adam in mixed precision"
        meaning = state if name == "training_state" else "in bf16"
        yield name.replace("_", " ").replace("kv", "KV"), f"{data_size(size)} {meaning}"
