"""Prices in words: every FLOP costs one, or dollars on named accelerators."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import jaxscale as js
from jaxscale import _schema
from jaxscale._schema import Refused, Rented, option_of
from jaxscale.cli.mistakes import Mistake
from jaxscale.cli.quantities import dollars, scientific

PHASES = {"train": "training", "prefill": "prefill", "decode": "decode"}


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
        """Lines on the accelerators and their prices; none for FLOPs."""
        uses = {"Trained": self.train, "Served": self.serve}
        return [_described(verb, use) for verb, use in uses.items() if use]


def _described(verb: str, use: Rented) -> str:
    shares = ", ".join(f"{100 * mfu:g} % MFU in {PHASES[phase]}" for phase, mfu in use.mfu.items())
    return f"{verb} on {use.device.name} at ${use.price:.2f} an hour: {use.precision}, {shares}"


def read_prices(
    options: Mapping[str, Any], roles: Collection[str] = tuple(_schema.ROLES)
) -> Prices:
    """Prices from the options of these roles, by name; None for an option that was not given."""
    given = given_of(options)
    with blamed_on_options():
        if not _schema.in_dollars(given, option_of, roles):
            return Prices(js.Costs.flops())
        uses = {role: _schema.rented(role, given, option_of) for role in roles}
    devices = {f"{role}_on": use.device for role, use in uses.items()}
    return Prices(_schema.read_costs({**given, **devices}), **uses)


def read_demand(options: Mapping[str, Any]) -> js.Demand:
    """The demand from the options, by name."""
    with blamed_on_options():
        return _schema.read_demand(given_of(options), option_of)


def given_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}


@contextmanager
def blamed_on_options() -> Iterator[None]:
    """Turn an error of the schema into a mistake that names the option."""
    try:
        yield
    except Refused as error:
        subject = option_of(error.name) if error.name else ""
        verb = str(error).startswith("needs")  # of a sentence whose subject is the option
        raise Mistake(f"{subject}{'' if verb or not subject else ':'} {error}".strip()) from None
