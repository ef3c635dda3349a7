"""`jaxscale rl`: pass rate by compute of reinforcement learning, and where to stop."""

import math
from typing import Annotated, Any

import typer

from jaxscale import reinforcement
from jaxscale._numerics.interpreted import interpreted
from jaxscale._written import count, dollars, dollars_per_hour, money, part
from jaxscale.cli import intervals, options, tables
from jaxscale.cli.mistakes import Mistake, blamed_on
from jaxscale.cli.options import number_option
from jaxscale.published import Entry
from jaxscale.published.facts import NOT_STATED
from jaxscale.reinforcement import A_ERROR, FEWEST_HOURS, Sigmoid

ENDS = ("hours", "pass_rate", "profit")  # of which an interval is given
UNPAID, UNREACHED, OUTSIDE = "do not train", "out of reach", "extrapolated"
EXAMPLES = """\
jaxscale rl --start 30% --price 2 --point-value 1000
jaxscale rl khatri2025_scout --start 30% --hours 8000
jaxscale rl --start 30% --pass-rate 55%
"""


def complete_curves() -> list[str]:
    """Names for shells to complete."""
    return [entry.name for entry in reinforcement.catalog()]


Name = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        help="One curve, with its source and notes. [dim]\\[default: all][/dim]",
        autocompletion=complete_curves,
    ),
]
Start = Annotated[
    float | None,
    number_option("--start", "SHARE", "Pass rate before training, as 0.3 or 30%.", read=part),
]
Price = Annotated[
    float | None, number_option("--price", "$", "Price of a GPU-hour.", read=dollars_per_hour)
]
PointValue = Annotated[
    float | None,
    number_option(
        "--point-value", "$", "What a percentage point of pass rate is worth.", read=money
    ),
]
Hours = Annotated[
    float | None, number_option("--hours", "N", "GPU-hours after which to tell the pass rate.")
]
PassRate = Annotated[
    float | None,
    number_option("--pass-rate", "SHARE", "Pass rate to which to tell the GPU-hours.", read=part),
]


def rl(
    name: Name = None,
    start: Start = None,
    price: Price = None,
    point_value: PointValue = None,
    hours: Hours = None,
    pass_rate: PassRate = None,
    as_json: options.Json = False,
) -> None:
    """Where to stop a training by reinforcement: when a further hour costs what it earns.

    By the curves of Khatri et al. 2025, with intervals from the error of their asymptotes. The pass
    rate before training is yours to give. With --hours or --pass-rate the curves are read instead.
    """
    if start is None:
        raise Mistake("give --start, the pass rate before training: no paper tabulates it")
    if (price is None) != (point_value is None):
        raise Mistake("give --price and --point-value together: a stop depends on both")
    if price is None and hours is None and pass_rate is None:
        raise Mistake("give --price and --point-value, or --hours, or --pass-rate")
    with blamed_on("NAME"):
        entries = reinforcement.catalog() if name is None else (reinforcement.entry(name),)
    asked = {
        **{"start": start, "price": price, "point_value": point_value},
        **{"hours": hours, "pass_rate": pass_rate},
    }
    record = {**asked, "curves": [_answer(entry, **asked) for entry in entries]}
    if as_json:
        tables.print_json("rl", record)
    else:
        _show(record, entries)


def _answer(
    entry: Entry,
    *,
    start: float,
    price: float | None,
    point_value: float | None,
    hours: float | None,
    pass_rate: float | None,
) -> dict[str, Any]:
    """What one curve says; null for what was not asked or cannot be."""
    law: Sigmoid = entry.law
    answer: dict[str, Any] = {"name": entry.name, "stop": None, "intervals": None}
    answer |= {"pass_rate": None, "hours": None, "note": ""}
    told: list[float | None] = []
    if price is not None and point_value is not None:
        stop, low, high = (
            _numbers(interpreted(each.best_stop, point_value, price, start))
            for each in (law, *reinforcement.interval(law))
        )
        answer["stop"] = stop
        answer["intervals"] = {name: [low[name], high[name]] for name in ENDS}
        answer["note"] = "" if stop["pays"] else UNPAID
        told.append(stop["hours"] if stop["pays"] else None)
    if hours is not None:
        answer["pass_rate"] = interpreted(law.pass_rate, hours, start).item()
        told.append(hours)
    if pass_rate is not None:
        found = interpreted(law.hours_for, pass_rate, start).item()
        answer["hours"] = found if math.isfinite(found) else None
        told.append(answer["hours"])
        if answer["hours"] is None:
            answer["note"] = ", ".join(filter(None, (answer["note"], UNREACHED)))
    if any(each is not None and each < FEWEST_HOURS for each in told):
        answer["note"] = ", ".join(filter(None, (answer["note"], OUTSIDE)))
    return answer


def _percent(x: float) -> str:
    return f"{100 * x:.1f} %"


def _numbers(stop: reinforcement.Stop) -> dict[str, Any]:
    return {name: x.item() for name, x in vars(stop).items()}


def _show(record: dict[str, Any], entries: Any) -> None:
    curves = record["curves"]
    header, columns = ["curve"], [[each["name"] for each in curves]]

    def add(name: str, cells: list[str]) -> None:
        header.append(name)
        columns.append(cells)

    if record["price"] is not None:
        title = (
            f"Where to stop, from a pass rate of {_percent(record['start'])}: a GPU-hour costs "
            f"{dollars(record['price'])}, a point is worth {dollars(record['point_value'])}"
        )
        tables.note(title, style="bold")
        for name, written in (("hours", count), ("pass_rate", _percent), ("profit", dollars)):
            title = {"hours": "GPU-hours"}.get(name, name.replace("_", " "))
            add(title, [written(each["stop"][name]) for each in curves])
            ends = [each["intervals"][name] for each in curves]
            add("interval", [intervals.text(tuple(pair), written) for pair in ends])
    if record["hours"] is not None:
        rates = [each["pass_rate"] for each in curves]
        add(f"pass rate at\n{count(record['hours'])} hours", [_percent(x) for x in rates])
    if record["pass_rate"] is not None:
        found = ["-" if each["hours"] is None else count(each["hours"]) for each in curves]
        add(f"hours to\n{_percent(record['pass_rate'])}", found)
    add("note", [each["note"] for each in curves])
    tables.print_columns(header, zip(*columns, strict=True), words=("note",))
    width = f" Intervals: A {A_ERROR} lower and higher." if record["price"] is not None else ""
    tables.note(f"{entries[0].law.equation}.{width}", style="dim")
    notes = {
        UNPAID: "all training costs more than it earns",
        UNREACHED: "the curve has no such pass rate: it rises from the start to A",
        OUTSIDE: f"the curves were fitted from {FEWEST_HOURS:,.0f} GPU-hours on",
    }
    for note, meaning in notes.items():
        if any(note in each["note"] for each in curves):
            tables.note(f"{note}: {meaning}", style="dim")
    if len(entries) == 1:
        tables.print_facts(each for each in entries[0].facts() if each[1] != NOT_STATED)
