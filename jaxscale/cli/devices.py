"""Accelerators on the command line: by name, by file, or by their numbers."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jaxscale as js
from jaxscale._numerics.names import hint
from jaxscale._written import data_rate, dollars_per_hour, flop_rate, memory, positive
from jaxscale.cli.mistakes import Mistake, blamed_on
from jaxscale.hardware import HALVES, PRECISIONS, Accelerator

EXAMPLE = "peak=989T,bandwidth=3.35T,memory=80G,price=2"

# By how each is written: the field of an accelerator, and its reader.
NUMBERS: Mapping[str, tuple[str, Callable[[str], float]]] = {
    "memory": ("memory_bytes", memory),
    "bandwidth": ("memory_bandwidth", data_rate),
    "link": ("link_bandwidth", data_rate),
    "domain": ("domain", positive),
    "network": ("network_bandwidth", data_rate),
    "watts": ("watts", positive),
    "price": ("price", dollars_per_hour),
}
KNOWN = ("peak", *PRECISIONS, *NUMBERS)


def read_device(text: str) -> Accelerator:
    """The accelerator that a text names, or describes as peak=989T,bandwidth=3.35T,price=2.

    A text with an equals sign is a description: `peak` is that of bf16 and fp16, and a precision,
    as fp8=1979T, has its own. Raises ValueError for what is neither.
    """
    if "=" not in text:
        return js.accelerator(text)
    parts: dict[str, str] = {}
    for part in text.split(","):
        key, _, value = (each.strip() for each in part.partition("="))
        if key not in KNOWN:
            listed = ", ".join(KNOWN)
            raise ValueError(f"unknown key {key!r}{hint(key, KNOWN)} in {text!r}; known: {listed}")
        if key in parts:
            raise ValueError(f"{key} is given twice in {text!r}")
        parts[key] = value
    peaks = {name: parts.pop(name) for name in ("peak", *PRECISIONS) if name in parts}
    if not peaks:
        raise ValueError(f"no peak in {text!r}; write {EXAMPLE}")
    values: dict[str, Any] = {NUMBERS[key][0]: _read(key, parts[key]) for key in parts}
    return js.hardware.custom(_peaks(peaks), **values)


def device_of(
    option: str, text: str | None, numbers: Mapping[str, float | None]
) -> Accelerator | None:
    """The accelerator of `option`, with the numbers of --bandwidth, --memory and --price.

    Without the option, one of --peak, --bandwidth and --memory alone; None where nothing is given.
    """
    given = {key: value for key, value in numbers.items() if value is not None}
    values: dict[str, Any] = {NUMBERS[key][0]: given[key] for key in given if key != "peak"}
    if text is not None:
        if "peak" in given:
            raise Mistake(f"give {option} or --peak, not both")
        with blamed_on(option):
            return replace(read_device(text), **values)
    missing = [f"--{key}" for key in ("peak", "bandwidth", "memory") if key not in given]
    if given and missing:
        raise Mistake(f"give {option}, or {' and '.join(missing)} too, for a device of your own")
    return js.hardware.custom(given["peak"], **values) if given else None


def _peaks(parts: Mapping[str, str]) -> dict[str, float]:
    peaks = dict.fromkeys(HALVES, _rate("peak", parts["peak"])) if "peak" in parts else {}
    return peaks | {name: _rate(name, parts[name]) for name in parts if name != "peak"}


def _read(key: str, value: str) -> float:
    try:
        return NUMBERS[key][1](value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _rate(name: str, value: str) -> float:
    try:
        return flop_rate(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
