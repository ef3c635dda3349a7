"""What commands that serve a model read from their options, and its records as JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

import jaxscale as js
from jaxscale._numerics.interpreted import interpreted
from jaxscale._numerics.names import unknown
from jaxscale._numerics.quantities import cents, short
from jaxscale._sentences import requests_in_words
from jaxscale._written import dollars_per_hour, params_of_model
from jaxscale.architectures import Family
from jaxscale.cli import tables
from jaxscale.cli.devices import EXAMPLE, device_of, read_device
from jaxscale.cli.estimate import Shape, read_shape
from jaxscale.cli.mistakes import Mistake, blamed_on
from jaxscale.cli.serving_options import FAMILIES, FAMILY
from jaxscale.hardware import Accelerator, Quote
from jaxscale.serving.comparison import priced
from jaxscale.serving.deployment import ARITHMETIC, bytes_of
from jaxscale.serving.requests import lengths_within


class Workload(NamedTuple):
    """A model, what is asked of it, and how it may be served."""

    shape: Shape
    requests: js.serving.Requests
    limits: js.serving.Limits
    counts: tuple[int, ...]
    utilisation: float

    @property
    def title(self) -> str:
        """The model and its requests in words."""
        return f"{self.shape.name}: {requests_in_words(self.requests)}"


class Rented(NamedTuple):
    """An accelerator with its price, and the quote that it is from, if it is from one."""

    device: Accelerator
    quote: Quote | None

    def describe(self) -> str:
        """A line on the price and where it is from."""
        start = f"{self.device.name} at {cents(float(np.asarray(self.device.price)))} an hour"
        if self.quote is None:
            return start
        number = len(self.device.quotes)
        which = "the only quote" if number == 1 else f"the lowest of {number} quotes"
        return f"{start}: {which} ({self.quote.date}, {self.quote.source})"


def read_workload(model: str, given: Mapping[str, Any]) -> Workload:
    """The workload of the options, given by the names of ASKED."""
    return Workload(
        *read_model(model, given),
        read_limits(given),
        js.serving.COUNTS if given["count"] is None else (int(given["count"]),),
        given["utilisation"] or 1.0,
    )


def read_limits(given: Mapping[str, Any]) -> js.serving.Limits:
    """The limits of the options."""
    names = ("max_latency", "max_first_token", "batch")
    return js.serving.Limits(*(given.get(name) or math.inf for name in names))


def read_model(text: str, given: Mapping[str, Any]) -> tuple[Shape, js.serving.Requests]:
    """A published model, one of a file, or one of a family; and what is asked of it."""
    if not text[:1].isdigit() or text.lower().endswith((".toml", ".json")):
        if given["family"] is not None:
            raise Mistake("--family: a number of params has one, as 7B; MODEL has its own shape")
        shape = read_shape(text, "MODEL")
        return shape, read_requests(float(shape.architecture.context), shape.name, given)
    family, requests = read_family(given)
    with blamed_on("MODEL"):
        params = params_of_model(text)
    name = f"{short(params)} {given['family'] or FAMILY}"
    return Shape(name, interpreted(family.architecture, params), ()), requests


def read_family(given: Mapping[str, Any]) -> tuple[Family, js.serving.Requests]:
    """The family of the options, and what is asked of its models.

    Its shapes are those of no model, so that their context is as long as the requests ask.
    """
    name = given["family"] or FAMILY
    if name not in FAMILIES:
        raise Mistake(f"--family: {unknown('family', name, FAMILIES)}")
    context = given["context"]
    requests = read_requests(math.inf if context is None else context, "", given)
    longest = float(np.asarray(requests.prompt)) + float(np.asarray(requests.output))
    return replace(FAMILIES[name], context=context or longest), requests


def read_requests(longest: float, model: str, given: Mapping[str, Any]) -> js.serving.Requests:
    """The requests of the options; a Mistake where the context does not hold them."""
    context, prompt, output = (given[name] for name in ("context", "prompt", "output"))
    if context is not None and context > longest:
        raise Mistake(
            f"--context: {context:,.0f} tokens are more than the {longest:,.0f} of {model}"
        )
    room = longest if context is None else context
    lengths = lengths_within(room, prompt, output)
    if lengths is None:
        asked = " and ".join(f"--{x}" for x in ("prompt", "output") if given[x])
        whose = f"of {model}" if context is None else "of --context"
        raise Mistake(
            f"{asked}: what a request reads and writes must fit the {room:,.0f} tokens {whose}"
        )
    cached = given.get("cached") or 0.0
    return js.serving.Requests(*lengths, cached, given.get("rate"), kept=context)


def read_devices(
    texts: Sequence[str] | None, numbers: Mapping[str, float | None]
) -> list[Accelerator]:
    """The accelerators of `--on`, or the one that the numbers describe; empty for neither."""
    several = list(texts or ())
    if all(value is None for value in numbers.values()):
        with blamed_on("--on"):
            return [read_device(text) for text in several]
    if len(several) > 1:
        raise Mistake("--peak, --bandwidth and --memory are of one device: give one --on")
    device = device_of("--on", several[0] if several else None, numbers)
    return [] if device is None else [device]


def read_rented(
    texts: Sequence[str] | None, prices: Sequence[str] | None, numbers: Mapping[str, float | None]
) -> list[Rented]:
    """The accelerators of `--on` with their prices, or the one that the numbers describe."""
    devices = read_devices(texts, numbers)
    if not devices:
        raise Mistake("give --on, such as --on H100-SXM; jaxscale hardware lists what there is")
    by_name = read_device_prices(prices, [each.name for each in devices])
    rented = [Rented(*priced(each, by_name.get(each.name))) for each in devices]
    for device, _ in rented:
        if device.price is None:
            raise Mistake(f"--price: no quote for {device.name} is known; give its price")
        if not float(device.memory_bytes) > 0 or not float(device.memory_bandwidth) > 0:  # pyright: ignore[reportArgumentType]
            raise Mistake(f"--on: {device.name} needs its memory and bandwidth too, as {EXAMPLE}")
    return rented


def read_device_prices(texts: Sequence[str] | None, names: Sequence[str]) -> dict[str, float]:
    """Prices by the names of devices: NAME=2.00, or 2.00 where there is one device."""
    prices: dict[str, float] = {}
    for text in texts or ():
        name, equals, value = text.rpartition("=")
        with blamed_on("--price"):
            price = dollars_per_hour(value)
            if equals:
                name = name if name in names else js.accelerator(name).name
        if not equals:
            if len(set(names)) != 1:
                raise Mistake(
                    f"--price: {text!r} is of no device: write NAME={text}, as {names[0]}={text}"
                )
            name = names[0]
        if name not in names:
            raise Mistake(f"--price: {unknown('device', name, names)}")
        if name in prices:
            raise Mistake(f"--price: {name} has two prices")
        prices[name] = price
    return prices


def templates(
    devices: Sequence[Accelerator], weights: str | None, activations: str | None
) -> list[js.serving.Deployment]:
    """A deployment of each device with these precisions; a Mistake for one that nobody knows."""
    chosen = {"weights": weights or "bf16", "activations": activations or "bf16"}
    for name, precision in chosen.items():
        with blamed_on(f"--{name}"):
            bytes_of(name, precision)
    return [js.serving.Deployment(device, **chosen) for device in devices]


def check_devices(
    deployments: Sequence[js.serving.Deployment], counts: Sequence[int], option: str = "--count"
) -> None:
    """Refuse a device without the precision of the arithmetic, or without the links it needs."""
    for each in deployments:
        device = each.accelerator
        for value in (device.memory_bytes, device.memory_bandwidth):
            if not float(np.asarray(value)) > 0:
                raise Mistake(f"{device.name}: serving needs its memory and bandwidth too")
        with blamed_on("--activations"):
            device.peak(ARITHMETIC.get(each.activations, each.activations))
        if device.link_bandwidth is None and 1 not in counts:
            raise Mistake(
                f"{option}: no source gives the link between devices of {device.name}: give "
                f"{option} 1, or a device of your own with link=NUMBER"
            )


def whole_copies(deployment: js.serving.Deployment, service: js.serving.Service) -> tuple[int, int]:
    """Copies of a deployment that the rate of the requests takes, and their devices."""
    size = int(np.asarray(deployment.count))
    price = float(np.asarray(deployment.accelerator.price))
    copies = round(float(service.dollars_per_hour) / (size * price))
    return copies, copies * size


def quote_record(quote: Quote | None) -> dict[str, Any] | None:
    """A quote for machines; null for a price that is not from one."""
    return quote and dict(vars(quote))


def record_of_workload(workload: Workload) -> dict[str, Any]:
    """The model and what is asked of it, for machines."""
    return {
        "model": workload.shape.name,
        "requests": record_of_requests(workload.requests),
        "limits": record_of_limits(workload.limits),
        "utilisation": workload.utilisation,
    }


def record_of_requests(requests: js.serving.Requests) -> dict[str, float | None]:
    """Requests for machines; null for what was not said."""
    values = {name: getattr(requests, name) for name in ("prompt", "output", "cached", "rate")}
    values["context"] = requests.kept
    return {name: None if value is None else float(value) for name, value in values.items()}


def record_of_limits(limits: js.serving.Limits) -> dict[str, float | None]:
    """Limits for machines; null for none."""
    return tables.finite({name: float(value) for name, value in vars(limits).items()})


def record_of_service(service: js.serving.Service) -> dict[str, Any]:
    """A service for machines; null for what is not known."""
    limit = js.serving.Limit(int(service.limit))
    words = ("limit", "status")
    numbers = {name: float(x) for name, x in vars(service).items() if name not in words}
    return {**tables.finite(numbers), "limit": limit.name, "limit_sentence": limit.sentence}


def record_of_deployment(deployment: js.serving.Deployment) -> dict[str, Any]:
    """A deployment for machines."""
    split = deployment.tensor_parallel
    return {
        "deployment": js.serving.name_of(deployment),
        "accelerator": deployment.accelerator.name,
        "price": float(deployment.accelerator.price or 0),  # pyright: ignore[reportArgumentType]
        "count": int(deployment.count),  # pyright: ignore[reportArgumentType]
        "tensor_parallel": None if split is None else int(split),  # pyright: ignore[reportArgumentType]
        "weights": deployment.weights,
        "activations": deployment.activations,
    }
