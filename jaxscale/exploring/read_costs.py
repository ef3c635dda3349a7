"""The hardware, prices and serving of a question, as costs."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jaxscale import _schema, serving
from jaxscale._numerics.names import unknown
from jaxscale._schema import Refused, Rented, quotes_of
from jaxscale._written_device import device_of_numbers
from jaxscale.architectures.family import FAMILIES
from jaxscale.costs import Costs
from jaxscale.exploring.fields import FIELDS, TIMED
from jaxscale.hardware import Accelerator, accelerator, is_file_name
from jaxscale.serving import Deployment
from jaxscale.serving.deployment import ARITHMETIC, bytes_of, narrowest_of
from jaxscale.serving.requests import FAMILY, lengths_within


def spelled(name: str) -> str:
    """A field as messages name it."""
    return f'"{FIELDS[name].label}"'


def read_devices(given: Mapping[str, Any]) -> dict[str, Any]:
    """The same with accelerators in place of their texts."""
    devices: dict[str, Accelerator] = {}
    for name in _schema.DEVICES:
        if name in given:
            try:
                devices[name] = device_of_text(given[name])
            except ValueError as error:
                raise Refused(str(error), name) from None
    return {**given, **devices}


def device_of_text(text: str) -> Accelerator:
    """The accelerator of that name or of those numbers; never of a file. Raises ValueError."""
    if "=" in text:
        return device_of_numbers(text)
    if is_file_name(text):
        raise ValueError("give the name of an accelerator, or its numbers")
    return accelerator(text)


def read_uses(given: Mapping[str, Any]) -> dict[str, Rented]:
    """The accelerators by role; empty where costs are FLOPs."""
    if not _schema.in_dollars(given, spelled):
        return {}
    for role in _schema.ROLES:
        device, price = given[f"{role}_on"], f"{role}_price"
        if price not in given and device.price is None:
            known = quotes_of(device)
            raise Refused(f"{device.name} has no default price; quotes: {known}", price)
    return {role: _schema.rented(role, given, spelled) for role in _schema.ROLES}


def read_timed(
    given: Mapping[str, Any], uses: Mapping[str, Rented], bits: float | None
) -> tuple[Costs, Deployment]:
    """Costs with serving timed, and the devices that serve, whose count is left open.

    `bits` are those that the law's models are trained in, where it has them as a lever.
    """
    if not uses:
        first = next(name for name in TIMED if name in given)
        needed = " and ".join(map(spelled, _schema.DEVICES))
        raise Refused(f"needs {needed}: it is served in dollars", first)
    for name in ("prefill_mfu", "decode_mfu"):
        if name in given:
            raise Refused("is not assumed where serving is timed: leave it out", name)
    family = given.get("family", FAMILY)
    if family not in FAMILIES:
        raise Refused(str(unknown("family", family, FAMILIES)), "family")
    requests, train, serve = _requests(given), uses["train"], uses["serve"]
    precision = _precision(serve, given.get("serve_precision"), bits)
    deployment = Deployment(
        replace(serve.device, price=serve.price), weights=precision, activations=precision
    )
    counts = (int(given["serve_count"]),) if "serve_count" in given else serving.COUNTS
    _check_device(deployment, counts)
    longest = float(requests.prompt) + float(requests.output)
    costs = Costs.served(
        replace(FAMILIES[family], context=given.get("context") or longest),
        deployment,
        requests,
        serving.Limits(
            *(given.get(name, math.inf) for name in ("max_latency", "max_first_token", "batch"))
        ),
        train=replace(train.device, price=train.price),
        train_precision=train.precision,
        train_mfu=train.mfu["train"],
        counts=counts,
        every_split=True,
        utilisation=given.get("utilisation", 1.0),
    )
    return costs, deployment


def _requests(given: Mapping[str, Any]) -> serving.Requests:
    prompt = given.get("prompt", given.get("input_per_request"))
    output = given.get("output", given.get("output_per_request"))
    context = given.get("context")
    room = math.inf if context is None else context
    lengths = lengths_within(room, prompt, output)
    if lengths is None:
        asked = [name for name in ("prompt", "output") if name in given] or ["context"]
        what = f"what a request reads and writes must fit the {room:,.0f} tokens of the context"
        raise Refused(what if context else "what a request reads and writes is above 0", asked[0])
    return serving.Requests(*lengths, given.get("cached", 0.0), kept=context)


def _precision(serve: Rented, asked: str | None, bits: float | None) -> str:
    """The precision that serves a model trained in so many bits: the narrowest that holds them."""
    if bits is None:
        return serve.precision
    if asked is not None:
        if 8 * bytes_of("weights", asked) < bits:
            raise Refused(
                f"{asked} has fewer bits than the {bits:g} of the law's lever", "serve_precision"
            )
        return asked
    narrowest = narrowest_of(serve.device, bits)
    if narrowest is None:
        raise Refused(f"{serve.device.name} has no precision of so many bits", "lever.bits")
    return narrowest


def _check_device(deployment: Deployment, counts: tuple[int, ...]) -> None:
    """Refuse a device without the precision of the arithmetic, or without what serving needs."""
    device, precision = deployment.accelerator, deployment.activations
    for value in (device.memory_bytes, device.memory_bandwidth):
        if not float(value) > 0:  # pyright: ignore[reportArgumentType]
            raise Refused(f"{device.name}: serving needs its memory and bandwidth too", "serve_on")
    try:
        device.peak(ARITHMETIC.get(precision, precision))
    except ValueError as error:
        raise Refused(str(error), "serve_precision") from None
    if device.link_bandwidth is None and 1 not in counts:
        raise Refused(
            f"no source gives the link between devices of {device.name}: give 1", "serve_count"
        )
