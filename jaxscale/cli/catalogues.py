"""`jaxscale laws` and `jaxscale hardware`: what is known, and where it comes from."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

import jaxscale as js
from jaxscale.cli import tables
from jaxscale.cli.mistakes import blamed_on
from jaxscale.cli.named_law import COEFFICIENTS
from jaxscale.cli.quantities import count
from jaxscale.hardware import PRECISIONS, Accelerator
from jaxscale.laws import Chinchilla, Entry

LOGARITHMS = ("ln A", "ln B", "ln E", "alpha", "beta")  # the order of `Entry.covariance`

Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help="One of them, in full.")]


def laws(name: Name = None) -> None:
    """The published laws; one of them in full, with its source, errors and faults."""
    if name is None:
        rows = [(each.name, *_coefficients(each.law)) for each in js.laws.catalog()]
        tables.print_columns(("law", *COEFFICIENTS), rows)
        tables.note("L(N, D) = E + A / N^alpha + B / D^beta, in nats per token", style="dim")
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


LAWS_EXAMPLES = """\
jaxscale laws
jaxscale laws besiroglu2024
"""
HARDWARE_EXAMPLES = """\
jaxscale hardware
jaxscale hardware A100-80GB
"""


def _coefficients(law: Chinchilla, digits: int = 4) -> list[str]:
    return [f"{float(getattr(law, name)):.{digits}g}" for name in COEFFICIENTS]


def _facts_of_law(entry: Entry) -> Iterable[tuple[str, str]]:
    yield from zip(COEFFICIENTS, _coefficients(entry.law, 10), strict=True)
    yield "source", entry.source
    yield "data", entry.dataset
    yield "tokenizer", entry.tokenizer
    yield "params are", entry.params_convention
    yield "params", _range(entry.params_range)
    yield "tokens", _range(entry.tokens_range)
    yield "tokens per param", _range(entry.tokens_per_param_range)
    if entry.standard_errors is not None:
        errors = zip(COEFFICIENTS, _coefficients(entry.standard_errors), strict=True)
        yield "standard errors", ", ".join(f"{name} {error}" for name, error in errors)
    if entry.covariance is not None:
        yield "covariance", _matrix(LOGARITHMS, entry.covariance)
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
