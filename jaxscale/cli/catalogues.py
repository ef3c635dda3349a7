"""`jaxscale laws` and `jaxscale hardware`: published laws and accelerators with their sources."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

import jaxscale as js
from jaxscale._schema import DEFAULT_FAMILY
from jaxscale.cli import options, tables
from jaxscale.cli.mistakes import blamed_on
from jaxscale.hardware import PRECISIONS, Accelerator
from jaxscale.laws.protocol import levers_of
from jaxscale.published import Entry
from jaxscale.published.facts import coefficients

RANGES = ("params_range", "tokens_range", "tokens_per_param_range")
TEXTS = ("source", "dataset", "tokenizer", "params_convention")
LAWS_EXAMPLES = """\
jaxscale laws
jaxscale laws besiroglu2024
jaxscale laws kumar2024
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
    """The published laws; one of them in full, with its source, errors and faults."""
    with blamed_on("NAME"):
        entries = js.laws.catalog() if name is None else (js.laws.entry(name),)
    if as_json:
        tables.print_json("laws", {"laws": list(map(record_of_entry, entries))})
    elif name is None:
        _show_all(entries)
    else:
        tables.note(entries[0].name, style="bold")
        tables.print_facts(entries[0].facts())


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
        tables.note(f"{devices[0].vendor} {devices[0].name}", style="bold")
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
        "standard_errors": None if errors is None else tables.finite(coefficients(errors)),
        "covariance": entry.covariance,
        "errata": list(entry.errata),
        "law_status": entry.warning,
    }


def record_of_device(device: Accelerator) -> dict[str, Any]:
    """An accelerator for machines; a price of null must be chosen."""
    return {
        "name": device.name,
        "vendor": device.vendor,
        "peak_flops": {name: float(x) for name, x in _peaks(device).items()},
        "memory_bytes": float(device.memory_bytes),  # pyright: ignore[reportArgumentType]
        "memory_bandwidth": float(device.memory_bandwidth),  # pyright: ignore[reportArgumentType]
        "price": device.price,
        "quotes": [vars(quote) for quote in device.quotes],
        "source": device.source,
        "note": device.note,
    }


def _show_all(entries: Sequence[Entry]) -> None:
    """Print the laws of the default family by their coefficients, and the others by equations."""
    alike = [each for each in entries if type(each.law).__name__ == DEFAULT_FAMILY]
    rows = [(each.name, *(f"{x:.4g}" for x in coefficients(each.law).values())) for each in alike]
    tables.print_columns(("law", *coefficients(alike[0].law)), rows)
    tables.note(f"{alike[0].law.equation}, in nats per token", style="dim")
    rows = [
        (each.name, _surface(each.law.equation), ", ".join(levers_of(each.law)))
        for each in entries
        if each not in alike
    ]
    tables.print_columns(("law", "equation", "levers"), rows, words=("equation", "levers"))
    tables.note(
        "A lever has a value of its own beside params and tokens: --lever NAME=VALUE.", style="dim"
    )


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


def _giga(value: Any) -> float:
    return float(value) / 1e9


def _facts_of_device(device: Accelerator) -> Iterable[tuple[str, str]]:
    peaks = ", ".join(f"{name} {_tera(peak)}" for name, peak in _peaks(device).items())
    yield "peak", f"{peaks} TFLOP/s, dense"
    yield "memory", f"{_giga(device.memory_bytes):.4g} GB"
    yield "bandwidth", f"{_giga(device.memory_bandwidth) / 1e3:.4g} TB/s"
    yield "default price", "none" if device.price is None else f"${device.price:.2f} an hour"
    for quote in device.quotes:
        yield "quote", f"${quote.dollars_per_hour:.2f} an hour, {quote.date}, {quote.source}"
    yield "source", device.source
    if device.note:
        yield "note", device.note
