"""Accelerators written as their numbers: `peak=989T,bandwidth=3.35T,memory=80G,price=2`."""

from collections.abc import Callable, Mapping
from typing import Any

from jaxscale._numerics.names import hint
from jaxscale._written import data_rate, dollars_per_hour, flop_rate, memory, positive
from jaxscale.hardware import HALVES, PRECISIONS, Accelerator, custom

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


def device_of_numbers(text: str) -> Accelerator:
    """The accelerator that a text describes as peak=989T,bandwidth=3.35T,price=2.

    `peak` is that of bf16 and fp16; a precision, as fp8=1979T, has its own. Raises ValueError that
    says what to write.
    """
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
    return custom(_peaks(peaks), **values)


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
