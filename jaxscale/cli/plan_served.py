"""`jaxscale plan` with serving timed: the price of a token follows from the size of the model."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

import jaxscale as js
from jaxscale._numerics.interpreted import interpreted
from jaxscale._schema import Rented, option_of
from jaxscale._sentences import deployment_of, serving_line
from jaxscale.cli import serving
from jaxscale.cli.mistakes import Mistake
from jaxscale.cli.options import Prices, given_of
from jaxscale.plan import REASONS
from jaxscale.serving.deployment import bytes_of, narrowest_of

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
        return serving_line(self.costs, self.deployment)


def read_timed(
    given: Mapping[str, Any],
    options: Mapping[str, Any],
    prices: Prices,
    bits: float | None = None,
) -> tuple[Prices, Timed | None]:
    """Prices with serving timed where an option of `options` asks for that, and how.

    `bits` are those that the law's models are trained in, where it has them as a lever.
    """
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
    # Tokens of each request may be given for the demand already.
    asked = dict(options)
    for name, other in (("prompt", "input_per_request"), ("output", "output_per_request")):
        if asked[name] is None:
            asked[name] = given.get(other)
    family, requests = serving.read_family(asked)
    limits = serving.read_limits(options)
    rented = prices.serve
    precision = _precision(rented, given["serve_precision"], bits)
    deployment = js.serving.Deployment(
        replace(rented.device, price=rented.price),
        weights=precision,
        activations=precision,
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
            every_split=True,
            utilisation=options["utilisation"] or 1.0,
        ),
    )
    return Prices(timed.costs, prices.train, note=timed.describe()), timed


def _precision(rented: Rented, asked: str | None, bits: float | None) -> str:
    """The precision that serves a model trained in so many bits: the narrowest that holds them."""
    if bits is None:
        return rented.precision
    if asked is not None:
        if 8 * bytes_of("weights", asked) < bits:
            raise Mistake(
                f"--serve-precision: {asked} has fewer bits than --lever bits={bits:g}: leave it "
                "out, or give the lever the bits that are served"
            )
        return asked
    narrowest = narrowest_of(rented.device, bits)
    if narrowest is None:
        raise Mistake(
            f"--lever bits={bits:g}: {rented.device.name} has no precision of so many bits"
        )
    return narrowest


def with_serving(timed: Timed, laws: Any, size: js.Plan, demand: js.Demand) -> js.Plan:
    """Plans that are only trained, with what serving them costs; NaN where limits forbid that."""
    sizes = size.params, size.tokens
    served = interpreted(js.evaluate, laws, *sizes, demand, timed.costs, levers=size.levers)
    return replace(size, prefill_cost=served.prefill_cost, decode_cost=served.decode_cost)


def record_of(timed: Timed, plan: js.Plan) -> dict[str, Any]:
    """How a plan is served, for machines."""
    reason = int(plan.serving["reason"])
    names = ("batch", "token_seconds", "first_token_seconds")
    return {
        **serving.record_of_deployment(deployment_of(timed.costs, plan)),
        **{name: float(plan.serving[name]) for name in names},
        "family": timed.family,
        "requests": serving.record_of_requests(timed.requests),
        "limits": serving.record_of_limits(timed.limits),
        "utilisation": float(np.asarray(timed.costs.serving.utilisation)),
        "bounded_by": REASONS[reason] if reason else None,
    }
