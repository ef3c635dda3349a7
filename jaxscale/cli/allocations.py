"""`jaxscale allocations`: how published fits split a budget between params and tokens."""

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from jaxscale import allocations as catalogue
from jaxscale.allocations import Allocation
from jaxscale.cli import options, tables
from jaxscale.cli.catalogues import Name
from jaxscale.cli.mistakes import blamed_on
from jaxscale.cli.quantities import count, scientific
from jaxscale.published import Entry, Interval

CHINCHILLA = 5.88e23  # FLOPs: 6 N D of 70e9 params on 1.4e12 tokens, Hoffmann et al. 2022
SIZES = ("params", "tokens", "tokens_per_param")

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
    budget = CHINCHILLA if flops is None else flops
    if name is None:
        _show_all(catalogue.catalog(), budget, as_json)
        return
    with blamed_on("NAME"):
        entry = catalogue.entry(name)
    if as_json:
        tables.print_json("allocations", {"flops": budget, **_record(entry, budget)})
        return
    tables.note(entry.name, style="bold")
    tables.print_facts(_facts(entry, budget))


EXAMPLES = """\
jaxscale allocations
jaxscale allocations --flops 1e21
jaxscale allocations porian2024_refinedweb_tuned
"""


def _show_all(entries: Sequence[Entry], budget: float, as_json: bool) -> None:
    if as_json:
        records = [_record(entry, budget) for entry in entries]
        tables.print_json("allocations", {"flops": budget, "allocations": records})
        return
    header = ("allocation", "a", "b", "interval of a", "params", "tokens")
    tables.print_columns(header, [_row(entry, budget) for entry in entries])
    tables.note(
        f"Params grow as FLOPs^a and tokens as FLOPs^b; both for {scientific(budget)} FLOPs, "
        "and - where exponents alone are published.",
        style="dim",
    )
    tables.note(
        "Papers count params and FLOPs differently: a name says how, and what is wrong with it.",
        style="dim",
    )


def _row(entry: Entry, budget: float) -> Sequence[str]:
    exponents = [f"{x:.4g}" for x in entry.exponents]
    params, tokens, _ = _sizes(entry, budget).values()  # a third would not fit on a line
    sizes = ["-" if x is None else count(x) for x in (params, tokens)]
    return entry.name, *exponents, _interval(entry.params_interval), *sizes


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return f"{interval.low:g} to {interval.high:g} ({100 * interval.level:g} %)"


def _sizes(entry: Entry, budget: float) -> dict[str, float | None]:
    """What is best for the budget; None where it is not known, or beyond the range of floats."""
    found = {size: getattr(entry.allocation, size, None) for size in SIZES}
    values = {size: math.nan if of is None else float(of(budget)) for size, of in found.items()}
    return {size: value if math.isfinite(value) else None for size, value in values.items()}


def _facts(entry: Entry, budget: float) -> Iterable[tuple[str, str]]:
    if entry.allocation is not None:
        yield from _formulas(entry.allocation)
    a, b = entry.exponents
    yield "exponents", f"{a:.6g} of params, {b:.6g} of tokens"
    for size, interval in (("params", entry.params_interval), ("tokens", entry.tokens_interval)):
        if interval is not None:
            yield "interval", f"{_interval(interval)} of {size}"
    for size, value in _sizes(entry, budget).items():
        if value is not None:
            yield f"at {scientific(budget)} FLOPs", f"{count(value)} {size.replace('_', ' ')}"
    yield "source", entry.source
    yield "params are", entry.params_convention
    yield "FLOPs are", entry.flops_convention
    limits = entry.flops_range
    yield (
        "fitted to",
        f"{scientific(limits[0])} to {scientific(limits[1])} FLOPs" if limits else "not stated",
    )
    for text in entry.errata:
        yield "note", text
    if entry.aliases:
        yield "also called", ", ".join(entry.aliases)


def _formulas(allocation: Allocation) -> Iterable[tuple[str, str]]:
    base = "C" if allocation.unit == 1 else f"(C / {allocation.unit:g})"
    for size in ("params", "tokens"):
        scale, exponent = (getattr(allocation, f"{size}_{part}") for part in ("scale", "exponent"))
        yield "formula", f"{size} = {scale:.7g} {base}^{exponent:.7g}"


def _record(entry: Entry, budget: float) -> dict[str, Any]:
    """An entry for machines; null for what is not published."""
    allocation, intervals = entry.allocation, (entry.params_interval, entry.tokens_interval)
    return {
        "name": entry.name,
        "formula": None if allocation is None else tables.plain(allocation),
        "exponents": list(entry.exponents),
        "intervals": [each and each._asdict() for each in intervals],
        **_sizes(entry, budget),
        "source": entry.source,
        "params_convention": entry.params_convention,
        "flops_convention": entry.flops_convention,
        "flops_range": entry.flops_range and list(entry.flops_range),
        "errata": list(entry.errata),
    }
