"""`jaxscale allocations`: how published fits split a budget between params and tokens."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

from jaxscale import allocations as catalogue
from jaxscale.cli import options, tables
from jaxscale.cli.catalogues import Name
from jaxscale.cli.mistakes import blamed_on
from jaxscale.cli.quantities import count, scientific
from jaxscale.published import Entry, Interval
from jaxscale.published.entry import Range

SIZES = ("params", "tokens", "tokens_per_param")
EXAMPLES = """\
jaxscale allocations
jaxscale allocations --flops 1e21
jaxscale allocations porian2024_refinedweb_tuned
"""

Budget = Annotated[
    float | None,
    options.number_option(
        "--flops", "N", "Budget in FLOPs. [dim]\\[default: 5.88e23, that of Chinchilla][/dim]"
    ),
]


def allocations(name: Name = None, flops: Budget = None, as_json: options.Json = False) -> None:
    """How a budget is best split between params and tokens, by each published fit.

    A name gives one of them in full, with its source and faults.
    """
    budget = catalogue.CHINCHILLA_FLOPS if flops is None else flops
    with blamed_on("NAME"):
        entries = catalogue.catalog() if name is None else (catalogue.entry(name),)
    records = [_record(entry, budget) for entry in entries]
    if as_json:
        found = {"allocations": records} if name is None else records[0]
        tables.print_json("allocations", {"flops": budget, **found})
    elif name is None:
        _show_all(entries, records, budget)
    else:
        tables.note(entries[0].name, style="bold")
        tables.print_facts(_facts(entries[0], records[0], budget))


def _record(entry: Entry, budget: float) -> dict[str, Any]:
    """An entry with its best sizes for the budget; null for what is not published."""
    sizes = {name: math.nan for name in SIZES}
    if entry.allocation is not None:
        sizes = {name: float(getattr(entry.allocation, name)(budget)) for name in SIZES}
    intervals = (entry.params_interval, entry.tokens_interval)
    return {
        "name": entry.name,
        "formula": entry.allocation and tables.plain(entry.allocation),
        "exponents": list(entry.exponents),
        "intervals": [each and each._asdict() for each in intervals],
        **{name: size if math.isfinite(size) else None for name, size in sizes.items()},
        "source": entry.source,
        "params_convention": entry.params_convention,
        "flops_convention": entry.flops_convention,
        "flops_range": entry.flops_range and list(entry.flops_range),
        "errata": list(entry.errata),
    }


def _show_all(entries: Sequence[Entry], records: Sequence[dict[str, Any]], budget: float) -> None:
    rows = [
        (
            entry.name,
            *(f"{x:.4g}" for x in entry.exponents),
            _interval(entry.params_interval),
            # A third size would not fit on a line.
            *("-" if record[size] is None else count(record[size]) for size in SIZES[:2]),
        )
        for entry, record in zip(entries, records, strict=True)
    ]
    tables.print_columns(("allocation", "a", "b", "interval of a", "params", "tokens"), rows)
    tables.note(
        f"Params grow as FLOPs^a and tokens as FLOPs^b; both for {scientific(budget)} FLOPs, "
        "and - where exponents alone are published.",
        style="dim",
    )
    tables.note(
        "Papers count params and FLOPs differently: a name says how, and what is wrong with it.",
        style="dim",
    )


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return f"{interval.low:g} to {interval.high:g} ({100 * interval.level:g} %)"


def _facts(entry: Entry, record: dict[str, Any], budget: float) -> Iterator[tuple[str, str]]:
    for equation in entry.allocation.equations() if entry.allocation else ():
        yield "formula", equation
    a, b = entry.exponents
    yield "exponents", f"{a:.6g} of params, {b:.6g} of tokens"
    for size, interval in (("params", entry.params_interval), ("tokens", entry.tokens_interval)):
        if interval is not None:
            yield "interval", f"{_interval(interval)} of {size}"
    for size in SIZES:
        if record[size] is not None:
            yield (
                f"at {scientific(budget)} FLOPs",
                f"{count(record[size])} {size.replace('_', ' ')}",
            )
    yield from facts_of(entry)


def facts_of(entry: Entry) -> Iterator[tuple[str, str]]:
    """What the source of an allocation or a recipe counts, its ranges, faults and other names."""
    yield "source", entry.source
    yield "params are", entry.params_convention
    if entry.law is None:
        yield "FLOPs are", entry.flops_convention
        yield "fitted to", _range(entry.flops_range, scientific, " FLOPs")
    else:
        yield "tokens are", entry.tokens_convention
        yield "schedule", entry.schedule
        yield "params", _range(entry.params_range, count)
        yield "tokens", _range(entry.tokens_range, count)
        yield "FLOPs", _range(entry.flops_range, scientific)
        yield "tokens per param", _range(entry.tokens_per_param_range, count)
    for text in entry.errata:
        yield "note", text
    if entry.aliases:
        yield "also called", ", ".join(entry.aliases)


def _range(limits: Range | None, written: Callable[[float], str], unit: str = "") -> str:
    return " to ".join(map(written, limits)) + unit if limits else "not stated"
