"""Ticks that people read: 1B, 10B, 1T, and costs such as $10M."""

import math
from collections.abc import Callable
from typing import cast

import numpy as np
from bokeh.models import Axis, FixedTicker, Range1d

from jaxscale._numerics.quantities import short

MOST = 6  # labels of an axis, so that they fit a phone
LEAST = 3.0  # times as large as its start is the end of an axis, so that it has labels


# Digits of ticks and every how many powers of ten they stand, from the densest on.
STEPS = [
    (tuple(i / 10 for i in range(10, 100)), 1),
    ((1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0), 1),
    ((1.0, 1.5, 2.0, 3.0, 5.0), 1),
    ((1.0, 2.0, 5.0), 1),
    ((1.0, 3.0), 1),
    *(((1.0,), step) for step in range(1, 100)),
]


def ticks(low: float, high: float, most: int = MOST) -> list[float]:
    """Round numbers from `low` to `high` for a logarithmic axis, as many as there is room for."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    decades = math.log10(high / low)
    for digits, step in STEPS:
        if len(digits) * math.floor(decades / step) > most:
            continue
        numbers = [
            float(f"{digit:g}e{power}") for power in powers if power % step == 0 for digit in digits
        ]
        found = [x for x in numbers if low * (1 - 1e-9) <= x <= high * (1 + 1e-9)]
        if len(found) <= most:
            return found
    return []


def write_ticks(axis: Axis, at: list[float], write: Callable[[float], str] = short) -> None:
    """Put ticks at these numbers, with their labels."""
    axis.major_label_overrides = {x: write(x) for x in at}
    cast(FixedTicker, axis.ticker).ticks = at


def limit(axes_range: Range1d, low: float, high: float) -> None:
    """Show the numbers from `low` to `high`."""
    axes_range.update(start=low, end=high, reset_start=low, reset_end=high)


def around(low: float, high: float) -> tuple[float, float]:
    """The numbers from `low` to `high` and a bit more, a factor of `LEAST` at least."""
    span = math.log(high / low)
    room = max(0.05 * span, (math.log(LEAST) - span) / 2)
    return low * math.exp(-room), high * math.exp(room)


def finite(*values: float) -> list[float]:
    """The values that are numbers above zero."""
    return [float(x) for x in values if np.isfinite(x) and x > 0]
