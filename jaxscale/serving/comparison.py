"""Accelerators side by side: the cheapest way of each to serve a model, or why it has none."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import jax
import numpy as np

from jaxscale import _display, hardware
from jaxscale._numerics.interpreted import interpreted
from jaxscale._numerics.names import unknown
from jaxscale._numerics.quantities import sequences
from jaxscale.architectures.architecture import Architecture
from jaxscale.hardware import Accelerator, Quote, accelerator
from jaxscale.serving._best import arguments, cheapest, check_single, served_by_each
from jaxscale.serving._options import COUNTS, Device, name_of, options, templates
from jaxscale.serving.deployment import ARITHMETIC, Deployment, missing
from jaxscale.serving.passes import Limit
from jaxscale.serving.requests import Limits, Requests
from jaxscale.serving.service import Service, unserved
from jaxscale.status import Status

if TYPE_CHECKING:
    from pandas import DataFrame

# Why a device cannot serve, in a word.
WORDS: Mapping[Status, str] = {
    Status.OUT_OF_MEMORY: "memory",
    Status.CONTEXT_TOO_LONG: "context",
    Status.TOO_SLOW: "time",
    Status.OUT_OF_RANGE: "range",
    Status.INVALID_INPUT: "input",
}
ALONE = "Only one device was tried: no source gives the link between several."
SHOWN = ("token_seconds", "first_token_seconds", "dollars_per_million_output_tokens")
SHOWN += ("dollars_per_request",)


@dataclass(frozen=True)
class DeviceRow:
    """One accelerator's cheapest way to serve, or the reason why there is none.

    Examples:
        >>> shape = js.architectures.published("llama-3-70b")
        >>> requests, limits = js.serving.Requests(1024, 256), js.serving.Limits(0.05)
        >>> row = js.serving.compare(shape, requests, limits, devices=["L4"]).rows[0]
        >>> row.name, row.reason
        ('L4', 'time')
    """

    name: str
    price: float | None  # dollars per device-hour
    quote: Quote | None = None  # that the price is from; None for a price that was given
    deployment: Deployment | None = None  # None where it cannot serve
    service: Service | None = None  # single numbers
    reason: str = ""  # why it cannot: memory, context, time, precision, link or price
    sentence: str = ""  # the same in a sentence


@dataclass(frozen=True, repr=False)
class DeviceComparison:
    """A row for each accelerator: those that can serve, the cheapest first, then the others.

    Examples:
        >>> shape = js.architectures.published("llama-3-8b")
        >>> requests = js.serving.Requests(1024, 256)
        >>> js.serving.compare(shape, requests, devices=["L4", "L40S"], counts=[1])
        Cheapest deployment of each accelerator
        deployment  $/hour  batch  ms a token  first token  $/M output  $/request  reason
        ---------------------------------------------------------------------------------
        1 x L40S      0.79    162        90.9      0.058 s      0.0735   3.16e-05
        1 x L4        0.44     33       101.2      0.173 s       0.292   9.59e-05
    """

    rows: tuple[DeviceRow, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return _display.table(self._header, self._cells(), title=self._title, total=len(self))

    def _repr_html_(self) -> str:
        return _display.html(self._header, self._cells(), title=self._title, total=len(self))

    def to_dataframe(self) -> "DataFrame":
        """A row for each accelerator; NaN where it cannot serve.

        Examples:
            >>> shape = js.architectures.published("llama-3-8b")
            >>> requests = js.serving.Requests(1024, 256)
            >>> compared = js.serving.compare(shape, requests, devices=["L40S"])
            >>> compared.to_dataframe().loc[0, ["accelerator", "limit"]].tolist()
            ['L40S', 'CACHE']
        """
        names = [each.name for each in fields(Service) if each.name not in ("limit", "status")]
        able = [row.service for row in self.rows]
        return _display.dataframe(
            {
                "accelerator": [row.name for row in self.rows],
                "price": [row.price for row in self.rows],
                "deployment": [row.deployment and name_of(row.deployment) for row in self.rows],
                **{
                    name: [math.nan if x is None else getattr(x, name) for x in able]
                    for name in names
                },
                "limit": [x and Limit(int(x.limit)).name for x in able],
                "reason": [row.reason for row in self.rows],
                "sentence": [row.sentence for row in self.rows],
            }
        )

    @property
    def _title(self) -> str:
        return "Cheapest deployment of each accelerator"

    @property
    def _header(self) -> list[str]:
        heads = [
            "$/hour",
            "batch",
            "ms a token",
            "first token",
            "$/M output",
            "$/request",
            "reason",
        ]
        return ["deployment", *heads]

    def _cells(self) -> Iterator[list[str]]:
        for row in self.rows:
            price = "" if row.price is None else f"{row.price:.2f}"
            if row.service is None or row.deployment is None:
                yield [row.name, price, "", "", "", "", "", row.reason]
                continue
            token, first, dollars, spent = (float(getattr(row.service, name)) for name in SHOWN)
            yield [
                name_of(row.deployment),
                price,
                sequences(float(row.service.batch)),
                f"{1e3 * token:.1f}",
                f"{first:.3g} s",
                f"{dollars:.3g}",
                f"{spent:.3g}",
                "",
            ]


def compare(
    architecture: Architecture,
    requests: Requests,
    limits: Limits | None = None,
    *,
    devices: Sequence[Device] | None = None,
    prices: Mapping[str, float] | None = None,
    counts: Iterable[int] = COUNTS,
    weights: str | Sequence[str] | None = None,
    utilisation: float = 1.0,
) -> DeviceComparison:
    """What each accelerator can do with a model: its cheapest deployment that keeps the limits.

    By dollars per request, the cheapest first; then those that cannot serve, with the reason. Where
    the requests have a rate, by the dollars of an hour of whole deployments at this rate. A price
    is that in `prices`, of the accelerator, or its lowest quote. All arguments are single numbers.

    Args:
        architecture: the shape of the model.
        requests: what is read and written.
        limits: what an answer may take; nothing by default.
        devices: accelerators or deployments; all of the catalogue that have a price where left out.
        prices: dollars per device-hour by the name of an accelerator.
        counts: numbers of devices to try.
        weights: precisions of the weights to try.
        utilisation: share of the time in which devices work: see `serve`.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: a name is unknown, an argument is an array, or a price is not above 0.

    Examples:
        >>> shape = js.architectures.published("llama-3-70b")
        >>> requests = js.serving.Requests(1024, 256)
        >>> limits = js.serving.Limits(token_seconds=0.05)
        >>> compared = js.serving.compare(shape, requests, limits)
        >>> [row.name for row in compared.rows][:2]
        ['B200', 'H100-SXM']
    """
    counts = tuple(counts)
    of_catalogue = devices is None
    several = [templates(each, weights) for each in hardware.catalog() if of_catalogue]
    several += [templates(each, weights) for each in devices or ()]
    chosen = _prices(prices or {}, [made[0].accelerator for made in several])
    tried: list[tuple[DeviceRow, slice]] = []
    refused: list[DeviceRow] = []
    found: list[Deployment] = []
    for made in several:
        device, quote = priced(made[0].accelerator, chosen.get(made[0].accelerator.name))
        made = [replace(each, accelerator=device) for each in made]
        if of_catalogue and device.price is None:
            continue
        price = None if device.price is None else float(np.asarray(device.price))
        row = DeviceRow(device.name, price, quote)
        refusal = _refusal(made[0], counts)
        if refusal:
            refused.append(replace(row, reason=refusal[0], sentence=refusal[1]))
            continue
        start = len(found)
        found += options(made, counts=counts)
        tried.append((row, slice(start, len(found))))
    if not tried:
        return DeviceComparison(tuple(refused))
    numbers = arguments(architecture, found, requests, limits, utilisation)
    check_single(numbers)
    services = interpreted(served_by_each, *numbers)
    answers = [_answer(row, services, found, part) for row, part in tried]
    able = sorted((row for row in answers if row.service is not None), key=_price_of)
    return DeviceComparison((*able, *(row for row in answers if row.service is None), *refused))


def _price_of(row: DeviceRow) -> tuple[float, float]:
    """By an hour at the rate of the requests, if they have one; then by a request."""
    assert row.service is not None
    hourly = float(row.service.dollars_per_hour)
    return 0.0 if math.isnan(hourly) else hourly, float(row.service.dollars_per_request)


def priced(device: Accelerator, price: float | None = None) -> tuple[Accelerator, Quote | None]:
    """The device at that price, its own, or its lowest quote; and the quote, if it is one's."""
    if price is not None:
        return replace(device, price=price), None
    if device.price is None and device.quotes:
        quote = min(device.quotes, key=lambda each: each.dollars_per_hour)
        return replace(device, price=quote.dollars_per_hour), quote
    is_quoted = len(device.quotes) == 1 and device.price == device.quotes[0].dollars_per_hour
    return device, device.quotes[0] if is_quoted else None


def _prices(prices: Mapping[str, float], devices: Sequence[Accelerator]) -> dict[str, float]:
    """The prices by the names of the devices."""
    names = [each.name for each in devices]
    found = {}
    for name, price in prices.items():
        if not (np.ndim(price) == 0 and 0 < price < math.inf):
            raise ValueError(f"the price of {name} must be above 0; got {price!r}")
        known = name if name in names else accelerator(name).name
        if known not in names:
            raise unknown("device in prices", name, names)
        found[known] = float(price)
    return found


def _refusal(template: Deployment, counts: Sequence[int]) -> tuple[str, str] | None:
    """Why a device cannot even be tried, in a word and in a sentence."""
    device = template.accelerator
    if device.price is None:
        return "price", f"No quote for {device.name} is known: give a price."
    if missing(device):
        return "memory", f"{device.name} needs its {' and '.join(missing(device))} to serve."
    try:
        device.peak(ARITHMETIC.get(template.activations, template.activations))
    except ValueError as error:
        return "precision", f"{error}."
    if device.link_bandwidth is None and 1 not in counts:
        return (
            "link",
            f"No source gives the link between devices of {device.name}: it serves alone.",
        )
    return None


def _answer(
    row: DeviceRow, services: Service, found: Sequence[Deployment], part: slice
) -> DeviceRow:
    """The row with the cheapest of its options, or with the reason why none serves."""
    own = jax.tree.map(lambda x: np.asarray(x)[part], services)
    choice = int(cheapest(own))
    if not own.ok[choice]:
        status = Status(int(unserved(own.status)))
        alone = found[part][0].accelerator.link_bandwidth is None
        sentence = f"{status.sentence} {ALONE}" if alone else status.sentence
        return replace(row, reason=WORDS[status], sentence=sentence)
    service = jax.tree.map(lambda x: x[choice], own)
    return replace(row, deployment=found[part][choice], service=service)
