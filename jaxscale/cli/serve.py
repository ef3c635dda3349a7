"""`jaxscale serve`: the cheapest way to serve a model in time, and what speed costs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

import jaxscale as js
from jaxscale import architectures
from jaxscale._numerics.interpreted import interpreted
from jaxscale._sentences import limits_in_words
from jaxscale._written import (
    at_once,
    count,
    data_size,
    dollars,
    elapsed,
    percent,
    sequences,
)
from jaxscale.cli import options, serving_options, tables
from jaxscale.cli.files import checked_path, save
from jaxscale.cli.mistakes import Mistake
from jaxscale.cli.serving import (
    Rented,
    Workload,
    check_devices,
    quote_record,
    read_rented,
    read_workload,
    record_of_deployment,
    record_of_service,
    record_of_workload,
    templates,
    whole_copies,
)
from jaxscale.serving.comparison import ALONE

EXAMPLES = """\
jaxscale serve llama-3-70b --on H100-SXM
jaxscale serve llama-3-70b --on H100-SXM --price 2 --context 8k --prompt 1k --output 200 \\
    --max-latency 50ms --max-first-token 1s
jaxscale serve llama-3-8b --on L4 --on L40S --price L4=0.50 --weights int8
jaxscale serve 13B --family llama --on H200 --count 1 --picture front.png
"""

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A published shape, such as llama-3-8b, a TOML file or config.json, or a number of "
        "params, as 13B.",
        autocompletion=serving_options.complete_models,
    ),
]
Picture = Annotated[
    str | None, options.path_option("--picture", "Where a picture of speed and price goes.")
]


class Answer(NamedTuple):
    """The cheapest deployment, and the front of speed against price."""

    workload: Workload
    rented: list[Rented]
    deployment: js.serving.Deployment
    service: js.serving.Service
    front: js.serving.Front


def serve(
    model: Model,
    on: serving_options.On = None,
    count: serving_options.Count = None,
    price: serving_options.Price = None,
    weights: serving_options.Weights = None,
    activations: serving_options.Activations = None,
    batch: serving_options.Batch = None,
    utilisation: serving_options.Utilisation = None,
    context: serving_options.Context = None,
    prompt: serving_options.Prompt = None,
    output: serving_options.Output = None,
    cached: serving_options.Cached = None,
    rate: serving_options.Rate = None,
    max_latency: serving_options.MaxLatency = None,
    max_first_token: serving_options.MaxFirstToken = None,
    family: serving_options.Family = None,
    peak: options.Peak = None,
    bandwidth: options.Bandwidth = None,
    memory: options.Memory = None,
    picture: Picture = None,
    as_json: options.Json = False,
) -> None:
    """The cheapest deployment that serves a model within limits, and what more speed costs.

    Utilisation follows from the memory and the links of the devices, and is not assumed: the batch
    is the largest that fits. Every count and split is tried. Times are written 50ms or 1.5s.
    """
    given = {name: value for name, value in locals().items() if name in serving_options.ASKED}
    path = None if picture is None else checked_path("--picture", picture)
    workload = read_workload(model, given)
    rented = read_rented(on, price, {"peak": peak, "bandwidth": bandwidth, "memory": memory})
    found = answer(workload, rented, given)
    if path is not None:
        save(draw(found), path)
    if as_json:
        tables.print_json("serve", {**as_record(found), "picture": path and str(path)})
    else:
        show(found)
        tables.note(str(path) if path else "")


def answer(workload: Workload, rented: Sequence[Rented], given: Mapping[str, Any]) -> Answer:
    """The cheapest deployment and the front; a Mistake where there is none."""
    shape, requests, limits, counts, utilisation = workload
    devices = templates([each.device for each in rented], given["weights"], given["activations"])
    asked = {"counts": counts, "utilisation": utilisation}
    check_devices(devices, counts)
    best = interpreted(js.serving.best, shape.architecture, devices, requests, limits, **asked)
    front = js.serving.front(shape.architecture, devices, requests, limits, **asked)
    if not best.ok:
        raise Mistake(_why_not(workload, devices, js.Status(int(best.status)), best.options))
    return Answer(workload, list(rented), best.deployment, best.service, front)


def _why_not(
    workload: Workload,
    devices: Sequence[js.serving.Deployment],
    status: js.Status,
    tried: Sequence[js.serving.Deployment],
) -> str:
    """Why no deployment serves, with the numbers that are nearest to it."""
    shape, requests, _, counts, utilisation = workload
    sentence = status.sentence
    if status is js.Status.OUT_OF_MEMORY:
        largest = max(tried, key=_usable)
        if largest.accelerator.link_bandwidth is None:
            sentence = f"{sentence} {ALONE}"
        size = architectures.weight_bytes(shape.architecture, largest.weights)
        return (
            f"{shape.name} has weights of {data_size(float(size))}, and "
            f"{js.serving.name_of(largest)} {data_size(_usable(largest))} that can be used: "
            f"{sentence[0].lower()}{sentence[1:]}"
        )
    if status is js.Status.TOO_SLOW:
        free = js.serving.front(
            shape.architecture, devices, requests, counts=counts, utilisation=utilisation
        )
        token = 1 / free.tokens_per_second_per_user.max()
        first = free.first_token_seconds.min()
        return (
            f"{shape.name} takes {elapsed(token)} a token and {elapsed(first)} to the first at "
            f"the least: {sentence[0].lower()}{sentence[1:]}"
        )
    return f"{shape.name}: {sentence}"


def _usable(deployment: js.serving.Deployment) -> float:
    each = deployment.usable_memory * deployment.accelerator.memory_bytes
    return float(np.asarray(deployment.count * each))


def draw(found: Answer) -> Any:
    """The picture of the front."""
    from jaxscale import plots

    lines = [found.workload.title.partition(": ")[2], *(each.describe() for each in found.rented)]
    title = f"What speed costs: {found.workload.shape.name}"
    return plots.serving_front(found.front, title=title, subtitle="; ".join(lines))


def show(found: Answer) -> None:
    """Print the cheapest deployment, and the front below it."""
    workload, rented, _, _, front = found
    tables.note(workload.title, style="bold")
    tables.note(limits_in_words(workload.limits), style="bold")
    for line in (*workload.shape.remarks, *(each.describe() for each in rented)):
        tables.note(line, style="dim")
    tables.print_facts(_facts(found))
    idle = "" if workload.requests.rate is None else ", of devices that are always busy"
    tables.note(f"\nSpeed against price{idle}", style="bold")
    header = ("deployment", "batch", "tokens/s\na user", "first\ntoken")
    header += ("a million\nwritten", "a thousand\nrequests")
    tables.print_columns(header, _rows(front))


def _facts(found: Answer) -> Iterator[tuple[str, str]]:
    workload, _, deployment, service, _ = found
    limit = js.serving.Limit(int(service.limit))
    name = js.serving.name_of(deployment)
    seconds, waiting = float(service.token_seconds), float(service.waiting_seconds)
    first = elapsed(float(service.first_token_seconds))
    read = dollars(float(service.dollars_per_million_input_tokens))
    written = dollars(float(service.dollars_per_million_output_tokens))
    yield "cheapest", name
    yield "batch", f"{at_once(float(service.batch))}, {_bound_of_batch(found)}"
    yield "token", f"{elapsed(seconds)}, {count(1 / seconds)} tokens/s for each user"
    yield "first token", f"{first}, of which {elapsed(waiting)} waiting" if waiting > 0 else first
    yield "price", f"{read} a million tokens read, {written} a million written"
    yield "price", f"{dollars(1e3 * float(service.dollars_per_request))} a thousand requests"
    tokens = count(float(service.tokens_per_second))
    yield "throughput", f"{count(float(service.requests_per_second))} requests/s, {tokens} tokens/s"
    yield "MFU", f"{percent(float(service.decode_mfu))} in decode"
    yield "limited by", f"{limit.name.lower()}: {limit.sentence}"
    usable = _usable(deployment) / float(np.asarray(deployment.count))
    left = max(float(service.memory_left), 0.0)
    yield "memory left", f"{data_size(left)} of the {data_size(usable)} to use on each device"
    if workload.requests.rate is not None:
        rate, hour = float(np.asarray(workload.requests.rate)), float(service.dollars_per_hour)
        copies, devices = whole_copies(deployment, service)
        asked = (
            f"{copies:,} {'copies' if copies > 1 else 'copy'} of {name} for {rate:,g} requests/s"
        )
        yield (
            "devices",
            f"{devices:,}: {asked}, {float(service.devices) / devices:.0%} busy or more",
        )
        thousand = dollars(1e3 * hour / (3600 * rate))
        yield "at that rate", f"{dollars(hour)} an hour, {thousand} a thousand requests"


def _bound_of_batch(found: Answer) -> str:
    """What keeps the batch from being larger."""
    limits, service = found.workload.limits, found.service
    if float(service.memory_left) < 1e-6 * _usable(found.deployment):
        return "as many as memory holds"
    if float(service.batch) >= float(np.asarray(limits.max_batch)):
        return "as many as --batch allows"
    return f"as many as {elapsed(float(np.asarray(limits.token_seconds)))} a token allows"


def _rows(front: js.serving.Front) -> Iterator[tuple[str, ...]]:
    for i in range(len(front)):
        yield (
            js.serving.name_of(front.options[front.choice[i]]),
            sequences(float(front.batch[i])),
            count(front.tokens_per_second_per_user[i]),
            elapsed(front.first_token_seconds[i]),
            dollars(front.dollars_per_million_output_tokens[i]),
            dollars(1e3 * front.dollars_per_request[i]),
        )


FRONT = (
    "batch",
    "tokens_per_second_per_user",
    "first_token_seconds",
    "dollars_per_million_output_tokens",
    "dollars_per_request",
)


def as_record(found: Answer) -> dict[str, Any]:
    """The answer for machines: numbers and strings alone."""
    workload, rented, deployment, service, front = found
    return {
        **record_of_workload(workload),
        "devices": [
            {
                "name": device.name,
                "price": float(np.asarray(device.price)),
                "quote": quote_record(quote),
            }
            for device, quote in rented
        ],
        "best": {**record_of_deployment(deployment), **record_of_service(service)},
        "front": [
            {
                **record_of_deployment(front.options[front.choice[i]]),
                **{name: float(getattr(front, name)[i]) for name in FRONT},
            }
            for i in range(len(front))
        ],
    }
