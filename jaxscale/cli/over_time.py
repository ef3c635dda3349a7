"""`--growth`, `--years` and what goes with them: demand of a year that changes over time."""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import numpy as np

import jaxscale as js
from jaxscale._schema import option_of
from jaxscale._written import count, nonnegative, positive
from jaxscale.cli.mistakes import Mistake
from jaxscale.cli.options import given_of, number_option

ASKED = ("growth", "price_decline", "discount", "years", "delay")
PANEL = "Demand over time: the demand above is then that of a year"
YEARS = {"y": 1.0, "mo": 1 / 12, "w": 7 / 365.25, "d": 1 / 365.25}
UNITS = {
    **dict.fromkeys(("y", "yr", "yrs", "year", "years"), "y"),
    **dict.fromkeys(("mo", "month", "months"), "mo"),
    **dict.fromkeys(("w", "week", "weeks"), "w"),
    **dict.fromkeys(("d", "day", "days"), "d"),
}
PERIODS = {"year": 1.0, "yr": 1.0, "y": 1.0, "month": 12.0, "mo": 12.0}
_RATE = re.compile(
    r"(?P<sign>[+-]?)(?P<number>[0-9.,_e]+) *(?P<unit>[x%])(?: */ *(?P<per>[a-z]+))?"
)


def years_of(text: str) -> float:
    """Years, of a time such as `18 months`, `2y` or `2`; ValueError unless positive."""
    found = re.fullmatch(r"(.*?) *([a-z]*)", text.strip(), re.IGNORECASE | re.DOTALL)
    unit = (found[2].lower() if found else "") or "y"
    if not found or unit not in UNITS:
        raise ValueError(f"{text!r} is not a time; write it like 2y, 18 months or 90d")
    return positive(found[1]) * YEARS[UNITS[unit]]


def growth_rate(text: str) -> float:
    """Continuous rate per year of `2x/year`, `100%/year` or `-30%/year`."""
    return _rate(text, text, "2x/year, 100%/year or 5%/month")


def decline_rate(text: str) -> float:
    """Continuous rate per year of a falling price: `30%/year`, or `1.4x/year` as much for it."""
    example = "30%/year, or 1.4x/year for 1.4 times as much for the money"
    if "x" in text.lower():
        return _rate(text, text, example)
    if text.strip().startswith(("-", "+")):
        raise ValueError(f"{text!r} must have no sign: a decline is written {example}")
    return -_rate(f"-{text.strip()}", text, example)


def discount_rate(text: str) -> float:
    """Continuous rate per year of an interest such as `10%`."""
    if "x" in text.lower() or text.strip().startswith("-"):
        raise ValueError(f"{text!r} is not an interest; write it like 10%")
    return _rate(text, text, "10%")


def _rate(text: str, shown: str, example: str) -> float:
    """The logarithm of what a rate multiplies by in a year."""
    found = _RATE.fullmatch(text.strip().lower())
    if not found or (found["per"] or "year") not in PERIODS:
        raise ValueError(f"{shown!r} is not a rate; write it like {example}")
    number = nonnegative(found["number"])
    change = -number if found["sign"] == "-" else number
    factor = change if found["unit"] == "x" else 1 + change / 100
    if factor <= 0:
        raise ValueError(f"{shown!r} leaves nothing; write it like {example}")
    return math.log(factor) * PERIODS[found["per"] or "year"]


Growth = Annotated[
    float | None,
    number_option(
        "--growth", "RATE", "Of the demand, as 2x/year or 100%/year.", PANEL, growth_rate
    ),
]
Years = Annotated[
    float | None,
    number_option("--years", "TIME", "How long it is served, as 2y or 18 months.", PANEL, years_of),
]
Discount = Annotated[
    float | None,
    number_option("--discount", "RATE", "Interest on money, as 10%.", PANEL, discount_rate),
]
PriceDecline = Annotated[
    float | None,
    number_option(
        "--price-decline",
        "RATE",
        "How fast compute becomes cheaper: 30%/year, or 1.4x/year as much for the money.",
        PANEL,
        decline_rate,
    ),
]
Delay = Annotated[
    float | None,
    number_option(
        "--delay",
        "TIME",
        "From the payment of training to the first day of service.",
        PANEL,
        years_of,
    ),
]


class OverTime(NamedTuple):
    """The demand of a year, what becomes of it, and what it is worth in tokens of today."""

    rate: js.Demand
    growth: float  # continuous rates per year
    price_decline: float
    discount: float
    years: float
    delay: float
    demand: js.Demand

    def describe(self) -> str:
        """A line on the demand of a year and what it adds up to."""
        changes = {
            f"demand times {np.exp(self.growth):.3g}": self.growth,
            _price_change(self.price_decline): self.price_decline,
            f"interest of {_percent(np.expm1(self.discount))}": self.discount,
        }
        each = ", ".join(text for text, rate in changes.items() if rate)
        delay = f", from {_span(self.delay)} after training is paid" if self.delay else ""
        return (
            f"At first {_tokens(self.rate)} a year, for {_span(self.years)}{delay}"
            f"{'; each year ' if each else ''}{each}. All of it counts as {_tokens(self.demand)} "
            "today."
        )

    def record(self) -> dict[str, Any]:
        """The same for machines."""
        numbers = self._asdict()
        del numbers["demand"]
        rate = {name: float(x) for name, x in vars(self.rate).items()}
        return {**numbers, "rate": rate}


def _price_change(decline: float) -> str:
    """What a year does to the price of compute, at this continuous rate."""
    change = np.expm1(-decline)
    return f"compute {_percent(abs(change))} {'dearer' if change > 0 else 'cheaper'}"


def _tokens(demand: js.Demand) -> str:
    read, written = float(demand.input_tokens), float(demand.output_tokens)
    return f"{count(read)} tokens read and {count(written)} written"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _span(years: float) -> str:
    """A time in years; in whole months or days where it is short."""
    months, days = 12 * years, years / YEARS["d"]
    if 0.5 < months < 24 and _is_whole(months):
        return "1 year" if round(months) == 12 else _counted(months, "month")
    return (
        _counted(days, "day")
        if months < 1 or (years < 1 and _is_whole(days))
        else (f"{years:.3g} years")
    )


def _is_whole(x: float) -> bool:
    return abs(x - round(x)) < 1e-9


def _counted(x: float, unit: str) -> str:
    number = f"{round(x)}" if _is_whole(x) else f"{x:.3g}"
    return f"{number} {unit}{'s' * (number != '1')}"


def applied(question: Any, options: Mapping[str, Any]) -> Any:
    """The question with its demand taken as that of a year, where an option asks for that."""
    given = given_of(options)
    if not given:
        return question
    if question.budgets and not float(question.demand.input_tokens + question.demand.output_tokens):
        first = option_of(next(iter(given)))
        raise Mistake(f"{first} is about serving: give the demand of a year by --inference-tokens")
    if "years" not in given:
        raise Mistake(f"{option_of(next(iter(given)))} needs --years: how long the model is served")
    numbers = {name: given.get(name, 0.0) for name in ASKED}
    demand = js.Demand.growing(question.demand, **numbers)
    if not math.isfinite(float(demand.input_tokens) + float(demand.output_tokens)):
        raise Mistake("--years: the demand leaves the range of float64 in that time")
    over_time = OverTime(question.demand, **numbers, demand=demand)
    return question._replace(demand=demand, over_time=over_time)
