"""`jaxscale plan` with serving timed: the price of a token follows from the size of the model."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

import jaxscale as js
from jaxscale._numerics.interpreted import interpreted
from jaxscale._schema import option_of
from jaxscale.cli import serving
from jaxscale.cli.mistakes import Mistake
from jaxscale.cli.options import Prices, given_of
from jaxscale.cli.quantities import count, elapsed
from jaxscale.plan import REASONS

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
    # Tokens of each request may be given for the demand already.
    asked = dict(options)
    for name, other in (("prompt", "input_per_request"), ("output", "output_per_request")):
        if asked[name] is None:
            asked[name] = given.get(other)
    requests = serving.read_requests(float("inf") if context is None else context, "", asked)
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
        js.Costs.served(
            family,
            deployment,
            requests,
            limits,
            train=replace(prices.train.device, price=prices.train.price),
            train_precision=prices.train.precision,
            train_mfu=prices.train.mfu["train"],
            counts=counts,
        ),
    )
    return Prices(timed.costs, prices.train, note=timed.describe()), timed


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
