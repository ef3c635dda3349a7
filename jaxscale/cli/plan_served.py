"""`jaxscale plan` with serving timed: the price of a token follows from the size of the model."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

import jaxscale as js
from jaxscale import _schema
from jaxscale._explain import Asked
from jaxscale._numerics.interpreted import interpreted
from jaxscale._schema import option_of
from jaxscale.cli import serving
from jaxscale.cli.mistakes import Mistake
from jaxscale.cli.options import Prices, given_of
from jaxscale.cli.quantities import count, elapsed
from jaxscale.cli.solving import status_of
from jaxscale.solve.served import FIRST_TOKEN, MEMORY, REASONS, TOKEN_TIME

# Options of serving in phases of a share each, which here follow from the devices.
ASSUMED = ("prefill_mfu", "decode_mfu")


class Timed(NamedTuple):
    """Devices that serve, what is asked of them, and the costs that follow."""

    family: str
    requests: js.serving.Requests
    limits: js.serving.Limits
    deployment: js.serving.Deployment  # whose count is left open
    counts: tuple[int, ...]
    costs: js.Costs

    def describe(self) -> str:
        """A line on the requests, the limits and the device."""
        device = self.deployment.accelerator
        price = float(np.asarray(device.price))
        limits = serving.limits_in_words(self.limits)
        asked = serving.requests_in_words(self.requests)
        return (
            f"Served on {device.name} at ${price:.2f} an hour: {self.deployment.weights}, "
            f"{asked}{', ' if limits else ''}{limits.lower()}"
        )


def read_timed(
    given: Mapping[str, Any], options: Mapping[str, Any], prices: Prices
) -> tuple[Prices, Timed | None]:
    """Prices with serving timed where an option of `options` asks for that, and how."""
    if not given_of(options):
        return prices, None
    first = next(iter(given_of(options)))
    if prices.train is None or prices.serve is None:
        raise Mistake(
            f"{option_of(first)} needs --train-on and --serve-on: it is served in dollars"
        )
    for name in ASSUMED:
        if given[name] is not None:
            raise Mistake(f"{option_of(name)} is not assumed with {option_of(first)}: leave it out")
    context = options["context"]
    requests = serving.read_requests(float("inf") if context is None else context, "", options)
    longest = float(np.asarray(requests.prompt)) + float(np.asarray(requests.output))
    family = serving.read_family(options["family"], context or longest)
    limits = serving.read_limits(options)
    rented = prices.serve
    deployment = js.serving.Deployment(
        replace(rented.device, price=rented.price),
        weights=rented.precision,
        activations=rented.precision,
    )
    chosen = options["serve_count"]
    counts = js.serving.COUNTS if chosen is None else (int(chosen),)
    serving.check_devices([deployment], counts, "--serve-count")
    timed = Timed(
        options["family"] or serving.FAMILY,
        requests,
        limits,
        deployment,
        counts,
        _costs(family, deployment, requests, limits, prices.train, counts),
    )
    return Prices(timed.costs, prices.train, note=timed.describe()), timed


def _costs(
    family: Any,
    deployment: js.serving.Deployment,
    requests: js.serving.Requests,
    limits: js.serving.Limits | None,
    train: _schema.Rented,
    counts: tuple[int, ...],
) -> js.Costs:
    return js.Costs.served(
        family,
        deployment,
        requests,
        limits,
        train=replace(train.device, price=train.price),
        train_precision=train.precision,
        train_mfu=train.mfu["train"],
        counts=counts,
    )


def why_not(timed: Timed, train: _schema.Rented, loss: float, asked: Asked) -> str | None:
    """Why no model keeps the limits, by the one that would be cheapest without them."""
    served = timed.costs.serving
    free = _costs(served.family, timed.deployment, timed.requests, None, train, js.serving.COUNTS)
    plan = interpreted(
        js.minimize_cost,
        asked.law,
        loss,
        asked.demand,
        free,
        asked.bounds,
        levers=asked.levers,
    )
    if not status_of(plan).ok:
        return None
    token, first = (float(plan.serving[name]) for name in ("token_seconds", "first_token_seconds"))
    deployment = free.serving.options[int(plan.serving["choice"])]
    tried = " to ".join(dict.fromkeys(str(timed.counts[i]) for i in (0, -1)))
    return (
        f"no model of that quality keeps the limits on {tried} x "
        f"{timed.deployment.accelerator.name}; without them the cheapest has "
        f"{count(float(plan.params))} params on {js.serving.name_of(deployment)}, and takes "
        f"{elapsed(token)} a token and {elapsed(first)} to the first"
    )


def with_serving(timed: Timed, law: Any, size: js.Plan, demand: js.Demand) -> js.Plan:
    """A plan that is only trained, with what serving it costs; NaN where limits forbid that."""
    sizes = float(size.params), float(size.tokens)
    served = interpreted(js.evaluate, law, *sizes, demand, timed.costs, levers=size.levers)
    return replace(size, prefill_cost=served.prefill_cost, decode_cost=served.decode_cost)


def facts(timed: Timed, plan: js.Plan) -> Iterator[tuple[str, str]]:
    """How a plan is served, and what keeps it from being larger."""
    numbers = {name: float(value) for name, value in plan.serving.items()}
    yield "served by", js.serving.name_of(deployment_of(timed, plan))
    yield "batch", f"{numbers['batch']:,.1f} sequences at once"
    seconds = numbers["token_seconds"]
    yield "token", f"{elapsed(seconds)}, {count(1 / seconds)} tokens/s for each user"
    yield "first token", elapsed(numbers["first_token_seconds"])


def deployment_of(timed: Timed, plan: js.Plan) -> js.serving.Deployment:
    """The deployment that a plan is served by."""
    return timed.costs.serving.options[int(plan.serving["choice"])]


def sentence_of(timed: Timed, plan: js.Plan) -> str:
    """The limit that keeps a plan from being larger, with its numbers; empty for none."""
    name = js.serving.name_of(deployment_of(timed, plan))
    others = ", and other counts cost more" if len(timed.counts) > 1 else ""
    token, first = (float(np.asarray(x)) for x in list(vars(timed.limits).values())[:2])
    problem = {
        MEMORY: f"{name} has no room for a larger model and its cache",
        TOKEN_TIME: f"a larger model takes more than {elapsed(token)} a token on {name}",
        FIRST_TOKEN: f"a larger model takes more than {elapsed(first)} to the first token on "
        f"{name}",
    }
    reason = int(plan.serving["reason"])
    return f"The size is bounded: {problem[reason]}{others}." if reason else ""


def record_of(timed: Timed, plan: js.Plan) -> dict[str, Any]:
    """How a plan is served, for machines."""
    reason = int(plan.serving["reason"])
    names = ("batch", "token_seconds", "first_token_seconds")
    return {
        **serving.record_of_deployment(deployment_of(timed, plan)),
        **{name: float(plan.serving[name]) for name in names},
        "family": timed.family,
        "requests": serving.record_of_requests(timed.requests),
        "limits": serving.record_of_limits(timed.limits),
        "bounded_by": REASONS[reason] if reason else None,
    }
