"""Sentences on a plan, its prices and how it is served: those of `jaxscale plan` and its page."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from jaxscale._compare import lever_texts
from jaxscale._schema import Rented
from jaxscale._written import at_once, cents, count, dollars, elapsed, percent, scientific
from jaxscale.costs import Costs, Demand
from jaxscale.laws.protocol import counts_idle_experts, has_experts
from jaxscale.plan import Plan
from jaxscale.serving import Deployment, Limits, Requests, name_of
from jaxscale.status import Status

SMALL = 0.01  # nats that the loss is lowered by, to show what that costs
ROUNDING = 1e-9  # relative: a plan that costs more by less is not dearer
UNREACHABLE = (Status.INFEASIBLE_LOSS, Status.INFEASIBLE_BOUNDS, Status.INVALID_INPUT)
PHASES = {"train": "training", "prefill": "prefill", "decode": "decode"}
NO_CHINCHILLA = "The law says nothing of the Chinchilla plan of this loss."
UNSERVED = "The Chinchilla plan cannot be served within the limits."
UNBOUNDED = "The Chinchilla plan is not held to the bounds."


def cost_text(cost: float, in_dollars: bool) -> str:
    """A cost with its unit."""
    return dollars(cost) if in_dollars else f"{scientific(cost)} FLOPs"


def demand_in_words(demand: Demand, *, is_budget: bool = False) -> str:
    """Tokens read and written; a budget may be for training alone."""
    read, written = float(demand.input_tokens), float(demand.output_tokens)
    if is_budget and not read + written:
        return "no serving counted"
    return f"{count(read)} tokens read and {count(written)} written"


def price_line(verb: str, use: Rented) -> str:
    """A line on an accelerator, its price and how it is used; the verb is "Trained", say."""
    shares = ", ".join(f"{100 * mfu:g} % MFU in {PHASES[phase]}" for phase, mfu in use.mfu.items())
    return f"{verb} on {use.device.name} at {cents(use.price)} an hour: {use.precision}, {shares}"


def requests_in_words(requests: Requests) -> str:
    """What a request reads and writes, and how much room it keeps."""
    prompt, output = (f"{x:,.0f}" for x in (requests.prompt, requests.output))
    cached = float(np.asarray(requests.cached))
    known = f", {percent(cached)} of them cached," if cached else ""
    room = "" if requests.kept is None else f", room for {requests.kept:,.0f}"
    return f"{prompt} tokens read{known} and {output} written{room}"


def limits_in_words(limits: Limits) -> str:
    """The limits in a line; empty where there are none."""
    token, first, batch = (float(x) for x in vars(limits).values())
    parts = [f"{elapsed(token)} a token"] if token < math.inf else []
    parts += [f"{elapsed(first)} to the first"] if first < math.inf else []
    parts += [f"{batch:,g} at once"] if batch < math.inf else []
    return f"At most {', '.join(parts)}" if parts else ""


def serving_line(costs: Costs, deployment: Deployment) -> str:
    """A line on what is asked of devices that serve in time, whose count is left open."""
    served, device = costs.serving, deployment.accelerator
    busy = float(np.asarray(served.utilisation))
    limits = limits_in_words(served.limits)
    parts = [deployment.weights, *[f"{percent(busy)} busy"] * (busy < 1)]
    parts += [requests_in_words(served.requests), *[limits.lower()] * bool(limits)]
    return f"Served on {device.name} at {cents(float(np.asarray(device.price)))} an hour: " + (
        ", ".join(parts)
    )


def deployment_of(costs: Costs, plan: Plan) -> Deployment:
    """The deployment that a plan is served by."""
    return costs.serving.options[int(plan.serving["choice"])]


def serving_facts(costs: Costs, plan: Plan) -> Iterator[tuple[str, str]]:
    """How a plan is served, as pairs of a name and a text."""
    numbers = {name: float(value) for name, value in plan.serving.items()}
    yield "served by", name_of(deployment_of(costs, plan))
    yield "batch", at_once(numbers["batch"])
    seconds = numbers["token_seconds"]
    yield "token", f"{elapsed(seconds)}, {count(1 / seconds)} tokens/s for each user"
    yield "first token", elapsed(numbers["first_token_seconds"])


def serving_note(family: str, law: Any) -> str:
    """A line where the law's models are not those that are served; else empty."""
    if not has_experts(law) or not counts_idle_experts(law):
        return ""
    return (
        f"The law is of mixtures of experts, but serving is priced for the dense {family} "
        "shape of as many params: neither the memory nor the speed of experts is counted."
    )


def dearer_line(saving: float) -> str:
    """A line where the plan costs more than the Chinchilla plan, which no bound holds."""
    if not percent(saving).startswith("-"):
        return ""
    times = count(1 - saving)
    return f"Bounds make the optimum cost {times} times what the Chinchilla plan costs."


def runner_up_of(plan: Plan) -> dict[str, float] | None:
    """The levers of the second best of listed values, and its excess; None where there is none."""
    second = {name: float(value) for name, value in plan.runner_up.items()}
    return second if second and not math.isnan(second["excess"]) else None


def runner_up_line(law: Any, plan: Plan, *, is_budget: bool = False) -> str:
    """A line on the second best of listed values of levers; empty where there is none."""
    second = runner_up_of(plan)
    if second is None:
        return ""
    excess = second.pop("excess")
    levers = " and ".join(text for _, text in lever_texts(law, second))
    if is_budget:
        return f"Second best: {levers}, {count(excess)} nats worse."
    return f"Second best: {levers}, {percent(excess)} dearer."


def better_line(
    status: Status, cost: float | None, in_dollars: bool, *, of_accuracy: bool, interval: str = ""
) -> str:
    """A line on what a slightly better quality costs more; empty where it is free."""
    if status in UNREACHABLE:
        better = "an accuracy a point higher" if of_accuracy else f"a loss {SMALL} nat lower"
        return f"No plan has {better}."
    if not cost:
        return ""
    better = "One more point of accuracy" if of_accuracy else f"A loss {SMALL} nat lower"
    known = f" ({interval})" if interval else ""
    return f"{better} costs {cost_text(cost, in_dollars)} more{known}."


def more_than(costs: Any, totals: Any) -> np.ndarray:
    """What costs are above others; 0 where that is rounding."""
    more = np.asarray(costs) - totals
    return np.where(more <= ROUNDING * totals, 0.0, more)


def lever_words(law: Any, levers: Mapping[str, Any]) -> tuple[str, ...]:
    """Each lever with its value, as in `granularity 16.0`."""
    return tuple(text for _, text in lever_texts(law, levers))
