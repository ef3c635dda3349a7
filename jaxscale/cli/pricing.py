"""Prices: every FLOP costs one, or dollars on named accelerators."""

from typing import Any, NamedTuple

import jaxscale as js
from jaxscale.cli.mistakes import Mistake, blamed_on
from jaxscale.cli.quantities import dollars, scientific
from jaxscale.costs import DEFAULT_MFU, DEFAULT_PRECISION
from jaxscale.hardware import Accelerator

PHASES = {"train": "training", "prefill": "prefill", "decode": "decode"}


class Use(NamedTuple):
    """An accelerator in one role, as the options say; None for what was not given."""

    role: str  # "train" or "serve", as the options spell it
    name: str | None
    precision: str | None
    price: float | None  # dollars per device-hour
    mfu: dict[str, float | None]  # by phase

    def details(self) -> list[str]:
        """The options given beside the name."""
        given = {f"--{self.role}-precision": self.precision, f"--{self.role}-price": self.price}
        given |= {f"--{phase}-mfu": value for phase, value in self.mfu.items()}
        return [option for option, value in given.items() if value is not None]


class Rented(NamedTuple):
    """An accelerator with its price, and how it is used."""

    device: Accelerator
    precision: str
    price: float  # dollars per device-hour
    mfu: dict[str, float]

    def describe(self, role: str) -> str:
        shares = ", ".join(
            f"{100 * mfu:g} % MFU in {PHASES[name]}" for name, mfu in self.mfu.items()
        )
        rate = f"${self.price:.2f} an hour"
        return f"{role} on {self.device.name} at {rate}: {self.precision}, {shares}"


class Prices(NamedTuple):
    """Costs with their unit; the accelerators where it is dollars."""

    costs: js.Costs
    train: Rented | None = None
    serve: Rented | None = None

    @property
    def unit(self) -> str:
        return "dollars" if self.train else "FLOPs"

    def format(self, cost: float) -> str:
        return dollars(cost) if self.train else f"{scientific(cost)} FLOPs"

    def describe(self) -> list[str]:
        """Lines that say what dollars rest on; none for FLOPs."""
        roles = {"Trained": self.train, "Served": self.serve}
        return [rented.describe(role) for role, rented in roles.items() if rented]


def read_prices(train: Use, serve: Use | None = None) -> Prices:
    """Dollars where accelerators are named, FLOPs where none is; a mistake in between."""
    uses = [use for use in (train, serve) if use]
    needed = " and ".join(f"--{use.role}-on" for use in uses)
    unnamed = [use for use in uses if use.name is None]
    if len(unnamed) == len(uses):
        useless = [option for use in uses for option in use.details()]
        if useless:
            raise Mistake(f"{useless[0]} needs {needed}: without them costs are FLOPs")
        return Prices(js.Costs.flops())
    if unnamed:
        raise Mistake(f"give --{unnamed[0].role}-on too: dollars need {needed}")
    training, serving = rent(train), rent(serve) if serve else None
    return Prices(dollars_on(training, serving or training), training, serving)


def rent(use: Use) -> Rented:
    """The accelerator of `use` with its price; a mistake where an option is wrong."""
    precision = DEFAULT_PRECISION if use.precision is None else use.precision
    with blamed_on(f"--{use.role}-on"):
        device = js.accelerator(use.name or "")
    with blamed_on(f"--{use.role}-precision"):
        device.peak(precision)
    price: Any = device.price if use.price is None else use.price
    if price is None:
        raise Mistake(
            f"{device.name} has no default price: give --{use.role}-price in dollars per "
            f"device-hour; quotes: {quotes_of(device)}"
        )
    mfu = {phase: value or DEFAULT_MFU[phase] for phase, value in use.mfu.items()}
    return Rented(js.accelerator(device.name, price=price), precision, price, mfu)


def dollars_on(train: Rented, serve: Rented) -> js.Costs:
    mfu = DEFAULT_MFU | train.mfu | serve.mfu
    return js.Costs.on(
        train=train.device,
        serve=serve.device,
        train_precision=train.precision,
        serve_precision=serve.precision,
        train_mfu=mfu["train"],
        prefill_mfu=mfu["prefill"],
        decode_mfu=mfu["decode"],
    )


def quotes_of(device: Accelerator) -> str:
    quotes = [
        f"${quote.dollars_per_hour:.2f} ({quote.date}, {quote.source})" for quote in device.quotes
    ]
    return "; ".join(quotes) or "none known"
