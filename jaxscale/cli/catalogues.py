"""`jaxscale laws` and `jaxscale hardware`: what is known, and where it comes from."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Annotated, Any

import typer

import jaxscale as js
from jaxscale.cli import tables
from jaxscale.cli.mistakes import blamed_on
from jaxscale.cli.named_law import COEFFICIENTS
from jaxscale.cli.quantities import count
from jaxscale.hardware import PRECISIONS, Accelerator
from jaxscale.laws import Chinchilla
from jaxscale.laws.fitted import coordinates_of
from jaxscale.laws.protocol import levers_of
from jaxscale.published import Entry

Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help="One of them, in full.")]


def laws(name: Name = None) -> None:
    """The published laws; one of them in full, with its source, errors and faults."""
    if name is None:
        _show_all(js.laws.catalog())
        return
    with blamed_on("NAME"):
        entry = js.laws.entry(name)
    tables.note(entry.name, style="bold")
    tables.print_facts(_facts_of_law(entry))


def hardware(name: Name = None) -> None:
    """The accelerators; one of them in full, with every price quote and source."""
    if name is None:
        header = ("accelerator", "bf16", "fp8", "int8", "GB", "TB/s", "$ an hour")
        tables.print_columns(header, map(_row_of_device, js.hardware.catalog()))
        tables.note(
            "Dense peaks in TFLOP/s. Several quotes are a range: choose one with --train-price "
            "or --serve-price.",
            style="dim",
        )
        return
    with blamed_on("NAME"):
        device = js.accelerator(name)
    tables.note(f"{device.vendor} {device.name}", style="bold")
    tables.print_facts(_facts_of_device(device))


def _show_all(entries: Sequence[Entry]) -> None:
    """Print the Chinchilla laws by their coefficients, and the others by their equations."""
    alike = [each for each in entries if isinstance(each.law, Chinchilla)]
    rows = [(each.name, *_coefficients(each.law).values()) for each in alike]
    tables.print_columns(("law", *COEFFICIENTS), rows)
    tables.note(f"{Chinchilla.equation}, in nats per token", style="dim")
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
    for place, char in enumerate(equation):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            return equation[:place]
    return equation


LAWS_EXAMPLES = """\
jaxscale laws
jaxscale laws besiroglu2024
jaxscale laws kumar2024
"""
HARDWARE_EXAMPLES = """\
jaxscale hardware
jaxscale hardware A100-80GB
"""


def _coefficients(law: Any, digits: int = 4) -> dict[str, str]:
    names = [field.name for field in fields(law)]
    return {name: f"{float(getattr(law, name)):.{digits}g}" for name in names}


def _facts_of_law(entry: Entry) -> Iterable[tuple[str, str]]:
    if entry.warning:
        yield "status", entry.warning
    yield "equation", entry.law.equation
    yield from _coefficients(entry.law, 10).items()
    for lever, limits in levers_of(entry.law).items():
        yield "lever", f"{lever}, {_range(limits)}"
    yield "source", entry.source
    yield "data", entry.dataset
    yield "tokenizer", entry.tokenizer
    yield "params are", entry.params_convention
    yield "params", _range(entry.params_range)
    yield "tokens", _range(entry.tokens_range)
    yield "tokens per param", _range(entry.tokens_per_param_range)
    if entry.standard_errors is not None:
        errors = _coefficients(entry.standard_errors).items()
        errors = ((name, "not known" if error == "nan" else error) for name, error in errors)
        yield "standard errors", ", ".join(f"{name} {error}" for name, error in errors)
    if entry.covariance is not None:
        yield "covariance", _matrix(coordinates_of(type(entry.law)), entry.covariance)
    for text in entry.errata:
        yield "note", text
    if entry.aliases:
        yield "also called", ", ".join(entry.aliases)


def _range(limits: tuple[float, float] | None) -> str:
    return f"{count(limits[0])} to {count(limits[1])}" if limits else "not stated"


def _matrix(names: Sequence[str], rows: Sequence[Sequence[float]]) -> str:
    lines = [" " * 6 + "".join(f"{name:>10}" for name in names)]
    for name, row in zip(names, rows, strict=True):
        lines.append(f"{name:<6}" + "".join(f"{value:>10.3g}" for value in row))
    return "\n".join(lines)


def _row_of_device(device: Accelerator) -> Sequence[str]:
    peaks = [_tera(device, precision, 4) for precision in ("bf16", "fp8", "int8")]
    memory, bandwidth = (
        f"{_giga(device.memory_bytes):.0f}",
        f"{_giga(device.memory_bandwidth) / 1e3:.2f}",
    )
    prices = sorted({quote.dollars_per_hour for quote in device.quotes})
    extremes = dict.fromkeys([*prices[:1], *prices[-1:]])
    return device.name, *peaks, memory, bandwidth, " to ".join(f"{price:.2f}" for price in extremes)


def _tera(device: Accelerator, precision: str, digits: int = 6) -> str:
    peak = device.peak_flops.get(precision)
    return "" if peak is None else f"{_giga(peak) / 1e3:.{digits}g}"


def _giga(value: Any) -> float:
    return float(value) / 1e9


def _facts_of_device(device: Accelerator) -> Iterable[tuple[str, str]]:
    peaks = [(each, _tera(device, each)) for each in PRECISIONS if each in device.peak_flops]
    yield "peak", ", ".join(f"{precision} {tera}" for precision, tera in peaks) + " TFLOP/s, dense"
    yield "memory", f"{_giga(device.memory_bytes):.4g} GB"
    yield "bandwidth", f"{_giga(device.memory_bandwidth) / 1e3:.4g} TB/s"
    yield "default price", "none" if device.price is None else f"${device.price:.2f} an hour"
    for quote in device.quotes:
        yield "quote", f"${quote.dollars_per_hour:.2f} an hour, {quote.date}, {quote.source}"
    yield "source", device.source
    if device.note:
        yield "note", device.note
