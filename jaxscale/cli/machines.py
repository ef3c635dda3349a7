"""Options of the machines of a plan: spot machines that train, energy and carbon."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, NamedTuple

import jaxscale as js
from jaxscale import economics
from jaxscale._numerics.interpreted import interpreted
from jaxscale._numerics.quantities import cents
from jaxscale._schema import Rented, option_of
from jaxscale._written import (
    SECONDS,
    count,
    counted,
    duration,
    nonnegative,
    percent,
    positive,
    positive_whole,
)
from jaxscale.cli.mistakes import Mistake
from jaxscale.cli.options import Prices, given_of, number_option

SPOT_PANEL = "Spot machines that train; --train-price is then the spot price"
ENERGY_PANEL = "Energy and carbon, on the accelerators of --train-on and --serve-on"
UNITS = {"": "kWh", "K": "MWh", "M": "GWh", "B": "TWh"}  # by the suffix of a number of kWh


TIMES = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), "s"),
    **dict.fromkeys(("min", "minute", "minutes"), "min"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
    **dict.fromkeys(("w", "week", "weeks"), "w"),
}
_RATE = re.compile(r"([0-9][^/]*?|\.[0-9][^/]*?) *(?:/| per ) *([0-9.,_]*) *([a-z]+)")
_INTENSITY = re.compile(
    r"(?P<number>-?[0-9.,_]+(?:e[+-]?[0-9]+)?) *(?P<mass>kg|g|t)"
    r"(?: *co2(?:-?eq?)?)? */ *(?P<energy>kwh|mwh)",
    re.IGNORECASE,
)
KILOGRAMS = {"g": 1e-3, "kg": 1.0, "t": 1e3}


def rate(text: str) -> float:
    """Events per hour, as `0.05/h`, `1/20h` or `1 per day`; ValueError unless above zero."""
    found = _RATE.fullmatch(text.strip().lower())
    if not found or found[3] not in TIMES:
        raise ValueError(f"{text!r} is not a rate; write it like 0.05/h or 1/20h")
    try:
        number, period = nonnegative(found[1]), nonnegative(found[2] or "1")
    except ValueError:
        raise ValueError(f"{text!r} is not a rate; write it like 0.05/h or 1/20h") from None
    if number == 0 or period == 0:
        raise ValueError(f"{text!r} must be greater than zero, in a time that is too")
    per_hour = number * SECONDS["h"] / (period * SECONDS[TIMES[found[3]]])
    if math.isinf(per_hour) or per_hour == 0:
        raise ValueError(f"{text!r} is beyond the range of float64")
    return per_hour


def intensity(text: str) -> float:
    """Kilograms of CO2 per kWh, as `0.4kg/kWh` or `400g/kWh`; ValueError without a unit."""
    found = _INTENSITY.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a carbon intensity; write it like 0.4kg/kWh or 400g/kWh")
    kilowatt_hours = 1.0 if found["energy"].lower() == "kwh" else 1000.0
    return nonnegative(found["number"]) * (KILOGRAMS[found["mass"].lower()] / kilowatt_hours)


def _pue(text: str) -> float:
    value = positive(text)
    if value < 1:
        raise ValueError(f"{text!r} must be at least 1")
    return value


SpotPreemptions = Annotated[
    float | None,
    number_option(
        "--spot-preemptions",
        "RATE",
        "How often an instance is taken away, such as 0.05/h or 1/20h.",
        SPOT_PANEL,
        rate,
    ),
]
Checkpoint = Annotated[
    float | None,
    number_option(
        "--checkpoint",
        "TIME",
        "How long a checkpoint stops the training, such as 2min.",
        SPOT_PANEL,
        duration,
    ),
]
Restart = Annotated[
    float | None,
    number_option(
        "--restart",
        "TIME",
        "From losing an instance until training goes on. [dim]\\[default: 0][/dim]",
        SPOT_PANEL,
        duration,
    ),
]
SpotInstances = Annotated[
    int | None,
    number_option(
        "--spot-instances",
        "N",
        "Instances that train: losing one stops all. [dim]\\[default: --train-count, or 1][/dim]",
        SPOT_PANEL,
        positive_whole,
    ),
]
Carbon = Annotated[
    float | None,
    number_option(
        "--carbon",
        "INTENSITY",
        "CO2 of a kWh, such as 0.4kg/kWh: prints energy and CO2.",
        ENERGY_PANEL,
        intensity,
    ),
]
Pue = Annotated[
    float | None,
    number_option(
        "--pue",
        "NUMBER",
        "Power of the data centre over that of its servers: prints energy. "
        "[dim]\\[default: 1.1][/dim]",
        ENERGY_PANEL,
        _pue,
    ),
]
SPOT = ("spot_preemptions", "checkpoint", "restart", "spot_instances")
ENERGY = ("carbon", "pue")
OPTIONS = (*SPOT, *ENERGY)


class SpotTraining(NamedTuple):
    """Training on spot machines: what is asked of them, and what the library finds."""

    paid: float  # dollars per device-hour
    preemptions_per_hour: float
    checkpoint: float  # seconds
    restart: float  # seconds
    instances: int
    machine: economics.Spot
    note: str = ""  # where the number of instances was not asked for

    @property
    def goodput(self) -> float:
        return float(self.machine.goodput)

    def describe(self) -> str:
        instances = f"{counted(self.instances, 'instance')},{' each' * (self.instances > 1)}"
        minutes = count(float(self.machine.interval) / SECONDS["min"])
        return (
            f"Spot: {instances} taken away {self.preemptions_per_hour:g} times an hour; with "
            f"a checkpoint every {minutes} min, {percent(self.goodput)} of the time is useful "
            f"work, at {cents(float(self.machine.price))} an hour"
        )

    def record(self) -> dict[str, float]:
        return {
            "price": self.paid,
            "preemptions_per_hour": self.preemptions_per_hour,
            "checkpoint_seconds": self.checkpoint,
            "restart_seconds": self.restart,
            "instances": self.instances,
            "interval_seconds": float(self.machine.interval),
            "goodput": self.goodput,
            "effective_price": float(self.machine.price),
        }


class Metered(NamedTuple):
    """The accelerators whose energy is asked for, with their power, and the carbon of a kWh."""

    train: Rented
    serve: Rented
    train_kilowatts: float
    serve_kilowatts: float
    kg_per_kwh: float | None

    def energy(self, plan: js.Plan) -> economics.Energy:
        """Of a plan that was priced on the same accelerators."""
        train, serve = (replace(x.device, price=x.price) for x in (self.train, self.serve))
        power = {"train_kilowatts": self.train_kilowatts, "serve_kilowatts": self.serve_kilowatts}
        return interpreted(economics.energy, plan, train, serve, **power)

    def tonnes(self, energy: economics.Energy) -> Any:
        """NaN where no carbon intensity is given."""
        if self.kg_per_kwh is None:
            return math.nan
        return interpreted(energy.tonnes, self.kg_per_kwh)

    def rows(self, plans: Sequence[js.Plan]) -> Iterator[tuple[Any, ...]]:
        """Label, writer and the number of each of several plans, or of many at once."""
        energies = [self.energy(plan) for plan in plans]
        yield "training energy", _energy_text, *(x.train_kwh for x in energies)
        yield "serving energy", _energy_text, *(x.inference_kwh for x in energies)
        if self.kg_per_kwh is not None:
            yield "CO2", _tonnes_text, *map(self.tonnes, energies)

    def record(self, plans: Mapping[str, js.Plan]) -> dict[str, Any]:
        """For machines; null where a plan cannot be served, or no intensity is given."""
        return {
            "train_kilowatts": self.train_kilowatts,
            "serve_kilowatts": self.serve_kilowatts,
            "kg_per_kwh": self.kg_per_kwh,
            **{name: self._record_of(plan) for name, plan in plans.items()},
        }

    def _record_of(self, plan: js.Plan) -> dict[str, float | None]:
        energy = self.energy(plan)
        numbers = {
            "train_kwh": float(energy.train_kwh),
            "inference_kwh": float(energy.inference_kwh),
            "tonnes": float(self.tonnes(energy)),
        }
        return {name: None if math.isnan(x) else x for name, x in numbers.items()}


class Machines(NamedTuple):
    """What is asked of the machines of a plan; None for nothing."""

    spot: SpotTraining | None = None
    metered: Metered | None = None

    @property
    def goodput(self) -> float:
        """Share of the training time that is useful work."""
        return self.spot.goodput if self.spot else 1.0

    def priced(self, prices: Prices) -> Prices:
        """Prices with training at the price of an hour of useful work."""
        costs = replace(prices.costs, train=prices.costs.train / self.goodput)
        return prices._replace(costs=costs) if self.spot else prices


def read_machines(
    options: Mapping[str, Any], train_count: int | None, deadline: float | None, prices: Prices
) -> Machines:
    """What `options` ask of the machines, whose prices are those for an hour of the clock."""
    given = given_of(options)
    if given and (prices.train is None or prices.serve is None):
        needs = "needs --train-on and --serve-on: it asks about devices"
        raise Mistake(f"{option_of(next(iter(given)))} {needs}")
    spot = _read_spot(given, train_count, deadline, prices)
    return Machines(spot, _read_metered(given, prices))


def _read_spot(
    given: Mapping[str, Any], train_count: int | None, deadline: float | None, prices: Prices
) -> SpotTraining | None:
    asked = [name for name in SPOT if name in given]
    if not asked:
        return None
    assert prices.train is not None  # `read_machines` refuses it
    for name in SPOT[:2]:
        if name not in given:
            raise Mistake(f"{option_of(asked[0])} needs {option_of(name)} too")
    instances = _read_instances(given, train_count, deadline)
    note = (
        "" if instances else "The spot price is for one instance; give --spot-instances for more."
    )
    instances = instances or 1
    paid, times = float(prices.train.price), (given["checkpoint"], given.get("restart", 0.0))
    machine = interpreted(
        economics.spot, paid, given["spot_preemptions"], *times, instances=float(instances)
    )
    if math.isnan(machine.price):
        raise Mistake("--spot-preemptions: so often, training never gets anywhere")
    return SpotTraining(paid, given["spot_preemptions"], *times, instances, machine, note)


def _read_instances(
    given: Mapping[str, Any], train_count: int | None, deadline: float | None
) -> int | None:
    """Instances of the training; None where nothing tells how many."""
    instances = given.get("spot_instances")
    if instances is not None and train_count is not None and instances > train_count:
        raise Mistake(
            f"--spot-instances: {instances:,} instances are more than the {train_count:,} devices "
            "of --train-count, and each has one device or more"
        )
    if instances is None and train_count is None and deadline is not None:
        # The devices that meet the deadline follow from the goodput, which follows from them.
        raise Mistake(
            "--spot-preemptions with --deadline needs --spot-instances: losing any of them stops "
            "the training"
        )
    return train_count if instances is None else instances


def _read_metered(given: Mapping[str, Any], prices: Prices) -> Metered | None:
    asked = [name for name in ENERGY if name in given]
    if not asked:
        return None
    train, serve = prices.train, prices.serve
    assert train is not None  # `read_machines` refuses it
    assert serve is not None
    for device in (train.device, serve.device):
        if device.watts is None:
            raise Mistake(
                f"{option_of(asked[0])}: no source gives the power of {device.name}; describe it, "
                "as peak=275T,watts=300"
            )
    power = (
        float(interpreted(economics.kilowatts, x.device, pue=given.get("pue")))
        for x in (train, serve)
    )
    return Metered(train, serve, *power, kg_per_kwh=given.get("carbon"))


def _energy_text(kwh: float) -> str:
    """A number of kWh with a few digits: `96.1 MWh`."""
    number = count(kwh)
    suffix = number[-1] if number[-1] in UNITS else ""
    return f"{number.removesuffix(suffix)} {UNITS[suffix]}"


def _tonnes_text(tonnes: float) -> str:
    return f"{tonnes:,.0f} t" if tonnes >= 100 else f"{count(tonnes)} t"
