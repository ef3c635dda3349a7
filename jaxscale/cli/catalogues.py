"""`jaxscale laws`, `hardware` and `allocations`: published facts with their sources."""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any

import typer

import jaxscale as js
from jaxscale import allocations as catalogue
from jaxscale._numerics.interpreted import interpreted
from jaxscale._written import count, scientific
from jaxscale.cli import options, tables
from jaxscale.cli.mistakes import blamed_on
from jaxscale.cli.scores import percent
from jaxscale.hardware import LINKS, PRECISIONS, Accelerator
from jaxscale.laws._tasks import entry_of_law
from jaxscale.laws.protocol import levers_of, loss_scale
from jaxscale.published import Entry, Interval
from jaxscale.published.entry import Range, by_name
from jaxscale.published.facts import NOT_STATED, coefficients, range_text

RANGES = ("params_range", "tokens_range", "tokens_per_param_range")
TEXTS = ("source", "dataset", "tokenizer", "params_convention")
LAWS_EXAMPLES = """\
jaxscale laws
jaxscale laws besiroglu2024
jaxscale laws kumar2024
jaxscale laws mmlu
"""
HARDWARE_EXAMPLES = """\
jaxscale hardware
jaxscale hardware A100-80GB
"""


def _named(names: Any = None) -> Any:
    return typer.Argument(metavar="[NAME]", help="One of them, in full.", autocompletion=names)


Name = Annotated[str | None, _named()]
LawName = Annotated[str | None, _named(options.complete_laws)]
DeviceName = Annotated[str | None, _named(options.complete_accelerators)]


def laws(name: LawName = None, as_json: options.Json = False) -> None:
    """The published laws, and tasks; one of them in full, with its source, errors and faults."""
    tasks: Sequence[Entry] = js.laws.tasks() if name is None else _task_named(name)
    with blamed_on("NAME"):
        entries: Sequence[Entry] = tasks
        if not (name and tasks):
            entries = js.laws.catalog() if name is None else (js.laws.entry(name),)
    if as_json:
        listed = [] if name and tasks else list(map(record_of_entry, entries))
        tables.print_json("laws", {"laws": listed, "tasks": list(map(_record_of_task, tasks))})
    elif name is None:
        _show_all(entries)
        _show_tasks(tasks)
    else:
        tables.note(entries[0].name, style="bold")
        tables.print_facts(entries[0].facts())


def _task_named(name: str) -> Sequence[Entry]:
    """The task of that name, if there is one and no law has it."""
    spelled = by_name(js.laws.tasks()), by_name(js.laws.catalog())
    found, law = (each.get(name.lower()) for each in spelled)
    return [] if found is None or law is not None else [found]


def hardware(name: DeviceName = None, as_json: options.Json = False) -> None:
    """The accelerators; one of them in full, with every price quote and source."""
    with blamed_on("NAME"):
        devices = js.hardware.catalog() if name is None else (js.accelerator(name),)
    if as_json:
        tables.print_json("hardware", {"accelerators": list(map(record_of_device, devices))})
    elif name is None:
        header = ("accelerator", "bf16", "fp8", "int8", "GB", "TB/s", "$ an hour")
        tables.print_columns(header, map(_row_of_device, devices))
        tables.note(
            "Dense peaks in TFLOP/s. Several quotes are a range: choose one with --train-price "
            "or --serve-price.",
            style="dim",
        )
    else:
        tables.note(f"{devices[0].vendor} {devices[0].name}".strip(), style="bold")
        tables.print_facts(_facts_of_device(devices[0]))


def record_of_entry(entry: Entry) -> dict[str, Any]:
    """A law for machines: null where the source says nothing."""
    errors = entry.standard_errors
    return {
        "name": entry.name,
        "aliases": list(entry.aliases),
        "form": type(entry.law).__name__,
        "equation": entry.law.equation,
        "coefficients": coefficients(entry.law),
        "levers": {name: list(limits) for name, limits in levers_of(entry.law).items()},
        **{name: getattr(entry, name) for name in (*TEXTS, *RANGES)},
        "group": entry.loss_group,
        "standard_errors": None if errors is None else tables.finite(coefficients(errors)),
        "covariance": entry.covariance,
        "errata": list(entry.errata),
        "law_status": entry.warning,
    }


def _record_of_task(entry: Entry) -> dict[str, Any]:
    """A task for machines."""
    low, high = map(float, interpreted(lambda: entry.law.reach))
    law = entry_of_law(entry)
    return {
        **record_of_entry(entry),
        "benchmark": entry.benchmark,
        "law": law.name,
        "loss_scale": law.loss_scale or None,
        "accuracies": [low, high],
        "check": entry.check and entry.check._asdict(),
    }


def record_of_device(device: Accelerator) -> dict[str, Any]:
    """An accelerator for machines; a price of null must be chosen."""
    return {
        "name": device.name,
        "vendor": device.vendor,
        "peak_flops": {name: float(x) for name, x in _peaks(device).items()},
        "memory_bytes": float(device.memory_bytes),  # pyright: ignore[reportArgumentType]
        "memory_bandwidth": float(device.memory_bandwidth),  # pyright: ignore[reportArgumentType]
        **{name: _known(getattr(device, name)) for name in (*LINKS, "watts")},
        "price": device.price,
        "quotes": [vars(quote) for quote in device.quotes],
        "source": device.source,
        "note": device.note,
    }


def _show_all(entries: Sequence[Entry]) -> None:
    """Print a line for each law, with the sizes of its runs, under the equation of its family."""
    families: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        names = levers_of(entry.law)
        levers = f"; lever{'s' * (len(names) > 1)} {', '.join(names)}" if names else ""
        family = f"{type(entry.law).__name__}: {_surface(entry.law.equation)}{levers}"
        families[family].append(entry)
    tables.print_groups(
        ("law", "params", "tokens", "fitted to"),
        {family: list(map(_row_of_law, same)) for family, same in families.items()},
        marks={},
    )
    tables.note(
        "Losses are in nats per token where no other scale is named. Params and tokens are those "
        "of the runs, where the source states them. jaxscale laws NAME shows coefficients, source "
        "and known faults.",
        style="dim",
    )
    tables.note(
        "A lever has a value of its own beside params and tokens: --lever NAME=VALUE.", style="dim"
    )


def _show_tasks(entries: Sequence[Entry]) -> None:
    """Print a line for each task: what it is on, and the accuracies that models have."""
    papers: dict[str, list[Sequence[str]]] = defaultdict(list)
    for entry in entries:
        paper = entry.source.partition(",")[0]
        ends = map(float, interpreted(lambda entry=entry: entry.law.reach))
        short = f", or {entry.aliases[0]}" if entry.aliases else ""
        benchmark = entry.benchmark.replace(f" of {paper}", "")
        papers[paper].append((f"{entry.name}{short}", " to ".join(map(percent, ends)), benchmark))
    tables.print_groups(("task", "lowest to highest", "accuracy on"), papers, marks={})
    tables.note(
        "A task has the law of its loss, which tells the accuracy: --accuracy TASK=SHARE.",
        style="dim",
    )


def _row_of_law(entry: Entry) -> Sequence[str]:
    sizes = map(_size_range, (entry.params_range, entry.tokens_range))
    data = "" if entry.dataset == NOT_STATED else re.split("[:,;(]", entry.dataset)[0].strip()
    scale = loss_scale(entry.law, entry)
    return entry.name, *sizes, ", ".join(filter(None, (data, f"loss {scale}" if scale else "")))


def _size_range(limits: Range | None) -> str:
    if limits is None:
        return ""
    return count(limits[0]) if limits[0] == limits[1] else range_text(limits)


def _surface(equation: str) -> str:
    """The loss of an equation, without the terms that it goes on to define."""
    depth = 0
    for position, char in enumerate(equation):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            return equation[:position]
    return equation


def _row_of_device(device: Accelerator) -> Sequence[str]:
    peaks = [_tera(_peaks(device).get(name), 4) for name in ("bf16", "fp8", "int8")]
    memory, bandwidth = _giga(device.memory_bytes), _giga(device.memory_bandwidth) / 1e3
    prices = sorted({quote.dollars_per_hour for quote in device.quotes})
    ends = dict.fromkeys([*prices[:1], *prices[-1:]])
    price = " to ".join(f"{price:.2f}" for price in ends)
    return device.name, *peaks, f"{memory:.0f}", f"{bandwidth:.2f}", price


def _peaks(device: Accelerator) -> dict[str, Any]:
    """Peaks in the order of PRECISIONS."""
    return {name: device.peak_flops[name] for name in PRECISIONS if name in device.peak_flops}


def _tera(peak: Any, digits: int = 6) -> str:
    return "" if peak is None else f"{_giga(peak) / 1e3:.{digits}g}"


def _known(value: Any) -> float | None:
    return None if value is None else float(value)


def _giga(value: Any) -> float:
    return float(value) / 1e9


def _facts_of_device(device: Accelerator) -> Iterable[tuple[str, str]]:
    peaks = ", ".join(f"{name} {_tera(peak)}" for name, peak in _peaks(device).items())
    yield "peak", f"{peaks} TFLOP/s, dense"
    yield "memory", f"{_giga(device.memory_bytes):.4g} GB"
    yield "bandwidth", f"{_giga(device.memory_bandwidth) / 1e3:.4g} TB/s"
    if device.link_bandwidth is not None:
        joined = "" if device.domain is None else f", {device.domain:.0f} devices"
        yield "link", f"{_giga(device.link_bandwidth):.4g} GB/s in one direction{joined}"
    if device.network_bandwidth is not None:
        yield "network", f"{_giga(device.network_bandwidth):.4g} GB/s in one direction"
    if device.watts is not None:
        yield "power", f"{device.watts:.0f} W at TDP"
    yield "default price", "none" if device.price is None else f"${device.price:.2f} an hour"
    for quote in device.quotes:
        yield "quote", f"${quote.dollars_per_hour:.2f} an hour, {quote.date}, {quote.source}"
    yield "source", device.source
    if device.note:
        yield "note", device.note


SIZES = ("params", "tokens", "tokens_per_param")
ALLOCATIONS_EXAMPLES = """\
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
    """The best split of a budget between params and tokens, by each published fit.

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
        _show_allocations(entries, records, budget)
    else:
        tables.note(entries[0].name, style="bold")
        tables.print_facts(_facts_of_allocation(entries[0], records[0], budget))


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


def _show_allocations(
    entries: Sequence[Entry], records: Sequence[dict[str, Any]], budget: float
) -> None:
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


def _facts_of_allocation(
    entry: Entry, record: dict[str, Any], budget: float
) -> Iterator[tuple[str, str]]:
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
    """Conventions, ranges, faults and other names of the source of an allocation or a recipe."""
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
    # One number where all runs had the same.
    return " to ".join(dict.fromkeys(map(written, limits))) + unit if limits else "not stated"
