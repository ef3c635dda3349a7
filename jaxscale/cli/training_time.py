"""`--train-count` and `--deadline`: days on so many devices, or devices for so many days."""

import math
from typing import NamedTuple

import jaxscale as js
from jaxscale._numerics.interpreted import interpreted
from jaxscale._numerics.quantities import short
from jaxscale._written import SECONDS, count
from jaxscale.cli.mistakes import Mistake
from jaxscale.cli.options import Prices

ROUNDING = 1e-9  # relative: a count that is whole but for rounding is not raised


class Pace(NamedTuple):
    """The number of devices that train, or the longest time that they may take."""

    count: int | None
    deadline: float | None  # seconds


class TrainingTime(NamedTuple):
    """Time of one plan on whole devices."""

    count: int
    seconds: float

    @property
    def days(self) -> float:
        return self.seconds / SECONDS["d"]

    def devices_text(self) -> str:
        return f"{self.count:,}" if self.count < 1e9 else count(self.count)


def deadline_text(seconds: float) -> str:
    """A deadline in days, or in hours or minutes where it is less: `30 days`, `1 hour`."""
    units = {"day": SECONDS["d"], "hour": SECONDS["h"], "minute": SECONDS["min"]}
    unit = next((name for name, size in units.items() if seconds >= size), "minute")
    number = short(seconds / units[unit])
    return f"{number} {unit}{'s' * (number != '1')}"


def read_pace(train_count: int | None, deadline: float | None, prices: Prices) -> Pace | None:
    """What is asked of the time; None for nothing. Refuses both, and one without a device."""
    given = {"--train-count": train_count, "--deadline": deadline}
    asked = [option for option, value in given.items() if value is not None]
    if not asked:
        return None
    if len(asked) > 1:
        raise Mistake(f"give {asked[0]} or {asked[1]}, not both: one follows from the other")
    if prices.train is None:
        raise Mistake(f"{asked[0]} needs --train-on and --serve-on: it asks about a device")
    return Pace(train_count, deadline)


def time_of(plan: js.Plan, pace: Pace, prices: Prices, goodput: float = 1.0) -> TrainingTime:
    """How long a plan trains at a pace, by the FLOPs that its law counts."""
    train = prices.train
    assert train is not None  # `read_pace` refuses it
    flops = float(plan.train_cost) / float(prices.costs.train)
    rest = {"mfu": train.mfu["train"], "precision": train.precision, "goodput": goodput}

    def asked(function, number):
        answer = float(interpreted(function, flops, train.device, number, **rest))
        if math.isnan(answer):
            raise Mistake("the time of the training is beyond the range of float64")
        return answer

    devices = pace.count
    if pace.deadline is not None:
        devices = math.ceil(asked(js.devices_for, pace.deadline) * (1 - ROUNDING))
    assert devices is not None
    devices = max(devices, 1)
    return TrainingTime(devices, asked(js.training_time, float(devices)))
