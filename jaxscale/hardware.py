"""Accelerators: peak FLOP/s, memory, bandwidth and rental prices.

Every peak is dense, without structured sparsity, and per device as it is sold (a package of
two dies is one device). A precision that a device lacks, or whose rate no source confirms,
is absent: asking for it is an error, never a silent fall back to another. Rental prices are
dated quotes; only a device with exactly one quote has a price by default.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax import core
from jax.typing import ArrayLike

from jaxscale import _display
from jaxscale._display import Catalog
from jaxscale._numerics.names import hint, unknown
from jaxscale._numerics.quantities import number
from jaxscale.published import Entry, shipped
from jaxscale.published import read as published_in
from jaxscale.published.entry import by_name

if TYPE_CHECKING:
    from pandas import DataFrame

PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp4")

SECONDS_PER_HOUR = 3600
SECONDS_PER_DAY = 86400.0
HALVES = ("bf16", "fp16")
SUFFIX = ".toml"  # of a file with accelerators
HEADLINES = ("bf16", "fp8", "int8")  # precisions of an accelerator in short

_NUMBERS = ("memory_bytes", "price")
LINKS = ("link_bandwidth", "domain", "network_bandwidth")
NETWORK_BANDWIDTH = 50e9  # 400 Gb/s a device, as clusters of H100 have, where its own is not known
UNBOUNDED = 2.0**20  # devices of a domain: more than any has, and finite, as an axis must be
_OPTIONAL = ("price", *LINKS, "watts")
_STATIC = {"static": True}


@dataclass(frozen=True)
class Quote:
    """A rental price in dollars per device-hour, on an ISO date as precise as is known.

    Examples:
        >>> quote = js.hardware.Quote(2.10, "2024-05", "your provider")
        >>> js.accelerator("A100-80GB", quotes=(quote,)).price
        2.1
    """

    dollars_per_hour: float
    date: str
    source: str


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Accelerator:
    """One device as sold: dense peaks by precision, memory, bandwidth and price.

    Numbers are leaves of a pytree and may be traced or batched; the rest is static. The
    constructor checks nothing, because JAX rebuilds the class with tracers inside: use
    `accelerator`, which does.

    Examples:
        >>> js.accelerator("L4", price=0.44)
        Accelerator('L4', bf16=121T, fp8=242T, int8=242T, memory_bytes=24.0B, price=0.44)
    """

    peak_flops: Mapping[str, ArrayLike]  # FLOP/s (OP/s for int8), dense; absent: not supported
    memory_bytes: ArrayLike
    memory_bandwidth: ArrayLike  # bytes/s
    price: ArrayLike | None  # dollars per device-hour; None until chosen
    name: str = field(metadata=_STATIC)
    vendor: str = field(metadata=_STATIC)
    quotes: tuple[Quote, ...] = field(metadata=_STATIC)
    source: str = field(metadata=_STATIC)
    note: str = field(default="", metadata=_STATIC)
    # Links: bytes/s per device in one direction, half of what most vendors print.
    link_bandwidth: ArrayLike | None = None  # to the other devices of its domain; None: not known
    domain: ArrayLike | None = None  # devices that links join; 1: PCIe alone; None: not known
    network_bandwidth: ArrayLike | None = None  # out of the domain; None: not known
    watts: ArrayLike | None = None  # at TDP, of the device alone; None: not known

    def __repr__(self) -> str:
        peaks = self.peak_flops if isinstance(self.peak_flops, Mapping) else {}  # JAX puts others
        numbers = {name: peaks[name] for name in HEADLINES if name in peaks}
        numbers |= {name: getattr(self, name) for name in _NUMBERS}
        written = (f"{name}={_written(x)}" for name, x in numbers.items())
        return f"Accelerator({', '.join([repr(self.name), *written])})"

    def _repr_html_(self) -> str:
        return _display.html(("", ""), self._facts(), title=self.name)

    def to_dataframe(self) -> "DataFrame":
        """What is known of the accelerator, a row for each fact.

        Examples:
            >>> frame = js.accelerator("H100-SXM").to_dataframe()
            >>> frame["fact"].tolist()[:4]
            ['vendor', 'fp32', 'tf32', 'bf16']
        """
        names, texts = zip(*self._facts(), strict=True)
        return _display.dataframe({"fact": names, "value": texts})

    def _facts(self) -> Iterator[tuple[str, str]]:
        """What is known, as pairs of a name and a text; a name may repeat."""
        if self.vendor:
            yield "vendor", self.vendor
        for precision in PRECISIONS:
            if precision in self.peak_flops:
                yield precision, f"{_written(self.peak_flops[precision])} operations/s"
        yield "memory", f"{_written(self.memory_bytes)} bytes"
        yield "bandwidth", f"{_written(self.memory_bandwidth)} bytes/s"
        for name in LINKS:
            if (value := getattr(self, name)) is not None:
                unit = "devices" if name == "domain" else "bytes/s in one direction"
                yield name.removesuffix("_bandwidth"), f"{_written(value)} {unit}"
        if self.watts is not None:
            yield "power", f"{_written(self.watts)} W at TDP"
        yield (
            "price",
            f"{_written(self.price)} dollars/hour" if self.price is not None else "not chosen",
        )
        for quote in self.quotes:
            yield "quote", f"${quote.dollars_per_hour:.2f} ({quote.date}, {quote.source})"
        yield from ((name, text) for name in ("source", "note") if (text := getattr(self, name)))

    def peak(self, precision: str) -> ArrayLike:
        """Dense FLOP/s (OP/s for int8) at a precision; ValueError if the device lacks it.

        Examples:
            >>> print(f"{js.accelerator('A100-80GB').peak('int8'):.3g} operations a second")
            6.24e+14 operations a second
        """
        if precision in self.peak_flops:
            return self.peak_flops[precision]
        # JAX sorts the keys of a dict that passes through it; say them in our own order.
        offered = [each for each in PRECISIONS if each in self.peak_flops]
        # A known precision that the device lacks is not a misspelling: suggest nothing.
        near = "" if precision in PRECISIONS else hint(precision, offered, _key)
        has = ", ".join(offered)
        raise ValueError(f"{self.name} has no peak for precision {precision!r}{near}; it has {has}")


def _written(value: ArrayLike | None) -> str:
    """A number in a few digits; the shape of an array, and what is traced as JAX shows it."""
    numbers = (int, float, np.ndarray, np.generic, jax.Array)
    if not isinstance(value, numbers) or isinstance(value, core.Tracer):
        return str(value)
    if np.ndim(value):
        return f"<array of shape {np.shape(value)}>"
    return number(float(np.asarray(value)), 3)


def _listed(
    *,
    name: str,
    source: str,
    peak_flops: Mapping[str, float],
    memory_bytes: float,
    memory_bandwidth: float,
    vendor: str = "",
    price: float | None = None,
    link_bandwidth: float | None = None,
    domain: float | None = None,
    network_bandwidth: float | None = None,
    watts: float | None = None,
    quotes: Iterable[Mapping[str, Any]] = (),
    note: str = "",
) -> Accelerator:
    """The accelerator that a file of published facts describes."""
    rented = tuple(Quote(**quote) for quote in quotes)
    values = {"peak_flops": peak_flops, "memory_bytes": memory_bytes, "note": note}
    values |= {"memory_bandwidth": memory_bandwidth, "vendor": vendor, "quotes": rented}
    values |= {"link_bandwidth": link_bandwidth, "domain": domain}
    values |= {"network_bandwidth": network_bandwidth, "watts": watts}
    values |= {"price": _only_price(rented) if price is None else price}
    checked = {field: _checked(field, value) for field, value in values.items()}
    return Accelerator(name=name, source=source, **checked)


FORMS = {"Accelerator": _listed}
_FIELDS = tuple(each.name for each in dataclasses.fields(Accelerator))


def accelerator(name: str, /, **overrides: Any) -> Accelerator:
    """The accelerator of that name, with any field replaced: `accelerator("L4", price=0.44)`.

    Case, spaces, hyphens and underscores in the name do not matter. A name may also be that of a
    TOML file with one accelerator, or `FILE.toml:NAME` of several; see `hardware.read`.
    `peak_flops` is merged into the table, so that one precision can be set; new `quotes` without a
    price set the price by the rule of the catalogue. Traced values pass unchecked.

    Raises:
        ValueError: the name is unknown or fits several variants, the file cannot be used, a
            precision is unknown, or a number is not finite and positive.
        TypeError: an override is not a field, or not of the field's kind.

    Examples:
        >>> device = js.accelerator("a100 80gb", price=1.50)
        >>> device.name, device.price
        ('A100-80GB', 1.5)
    """
    device = _in_file(str(name).strip()) if is_file_name(name) else _find(name).accelerator
    changes = {field: _checked(field, value) for field, value in overrides.items()}
    # Merged even when empty: each accelerator owns its dict, so none can change the catalogue.
    changes["peak_flops"] = {**device.peak_flops, **changes.get("peak_flops", {})}
    if "quotes" in changes:
        changes.setdefault("price", _only_price(changes["quotes"]))
    return dataclasses.replace(device, **changes)


def read(path: str | Path) -> tuple[Accelerator, ...]:
    """The accelerators of a TOML file, in its order: your own, in the format of the catalogue.

    Each is a table with `peak_flops`, `memory_bytes`, `memory_bandwidth` and `source`, and any of
    `price`, `quotes`, `link_bandwidth`, `domain`, `network_bandwidth`, `watts`, `vendor`, `note`.

    Raises ValueError that names the file, the accelerator, the key and what is allowed.

    Examples:
        >>> with open("device.toml", "w") as file:
        ...     _ = file.write('''
        ...     [accelerators.ours]
        ...     peak_flops = { bf16 = 250e12 }
        ...     memory_bytes = 64e9
        ...     memory_bandwidth = 2e12
        ...     price = 0.90
        ...     source = "our data sheet"
        ...     ''')
        >>> (device,) = js.hardware.read("device.toml")
        >>> device
        Accelerator('ours', bf16=250T, memory_bytes=64.0B, price=0.9)
        >>> js.accelerator("device.toml") == device
        True
    """
    entries = published_in(path)
    devices = tuple(entry.accelerator for entry in entries if entry.accelerator is not None)
    if not devices:
        raise ValueError(f"{path}: no table [accelerators.NAME]")
    return devices


def custom(
    peak_flops: Mapping[str, ArrayLike] | ArrayLike,
    memory_bytes: ArrayLike | None = None,
    memory_bandwidth: ArrayLike | None = None,
    *,
    name: str = "custom device",
    **others: Any,
) -> Accelerator:
    """An accelerator of your own by its numbers; `others` are any more of its fields.

    A single peak, in dense FLOP/s, is that of bf16 and of fp16; a mapping has one for each
    precision. Memory and its bandwidth may be left out where only the price of a FLOP is asked:
    they are 0 then, and nothing is served. Raises as `accelerator` does for an override.

    Examples:
        >>> js.hardware.custom(250e12, 64e9, 2e12, price=0.90)
        Accelerator('custom device', bf16=250T, memory_bytes=64.0B, price=0.9)
    """
    peaks = peak_flops if isinstance(peak_flops, Mapping) else dict.fromkeys(HALVES, peak_flops)
    memory = {"memory_bytes": memory_bytes, "memory_bandwidth": memory_bandwidth}
    unknown_memory = {key: 0.0 for key, value in memory.items() if value is None}
    given = {key: value for key, value in memory.items() if value is not None}
    values = {"peak_flops": peaks, "name": name, "vendor": "", "quotes": (), "source": ""}
    checked = {key: _checked(key, value) for key, value in {**values, **given, **others}.items()}
    checked.setdefault("price", _only_price(checked["quotes"]))
    return Accelerator(**unknown_memory, **checked)


_COLUMNS: Mapping[str, Callable[[Accelerator], Any]] = {
    "accelerator": lambda device: device.name,
    "vendor": lambda device: device.vendor,
    "bf16_flops": lambda device: device.peak_flops.get("bf16"),
    "fp8_flops": lambda device: device.peak_flops.get("fp8"),
    "int8_ops": lambda device: device.peak_flops.get("int8"),
    "memory_bytes": lambda device: device.memory_bytes,
    "bytes_per_second": lambda device: device.memory_bandwidth,
    "link_bytes_per_second": lambda device: device.link_bandwidth,
    "domain": lambda device: device.domain,
    "network_bytes_per_second": lambda device: device.network_bandwidth,
    "watts": lambda device: device.watts,
    "price": lambda device: device.price,
}


def catalog() -> Catalog[Accelerator]:
    """All accelerators, by vendor and then by generation.

    Examples:
        >>> [device.name for device in js.hardware.catalog()][:3]
        ['V100', 'V100-PCIe', 'A100-40GB']
    """
    found = (accelerator(entry.name) for entry in shipped("accelerators"))
    return Catalog(found, _COLUMNS)


def comparable(*accelerators: Accelerator | str) -> dict[str, Accelerator]:
    """Accelerators by name, as the entries of a grid axis: of one structure, unlike in numbers.

    Each keeps the precisions that all of them have, and its name lists all of them. Where links are
    known for some, the gaps of the others are filled: a domain without end, a network of 400 Gb/s a
    device, and 0 for a link that no source gives, over which several devices never finish. Their
    power is kept where it is known for all.

    Raises:
        ValueError: a name is unknown or repeats, no precision is common to all, or some have
            a price and some have not.

    Examples:
        >>> devices = js.hardware.comparable(
        ...     js.accelerator("A100-80GB", price=1.50), js.accelerator("H100-SXM", price=2.50)
        ... )
        >>> print(list(devices))
        ['A100-80GB', 'H100-SXM']
    """
    devices = [accelerator(each) if isinstance(each, str) else each for each in accelerators]
    names = [each.name for each in devices]
    if not devices or len(set(names)) < len(names):
        raise ValueError(f"accelerators must be one or more, each once; got {', '.join(names)}")
    common = [each for each in PRECISIONS if all(each in one.peak_flops for one in devices)]
    if not common:
        raise ValueError(f"no precision is common to {', '.join(names)}")
    unpriced = [each.name for each in devices if each.price is None]
    if 0 < len(unpriced) < len(devices):
        raise ValueError(f"choose a price for {', '.join(unpriced)}: the others have one")
    has_watts = all(each.watts is not None for each in devices)
    has_links = any(getattr(one, name) is not None for one in devices for name in LINKS)
    return {
        each.name: dataclasses.replace(
            each,
            **(_filled_links(each) if has_links else {}),
            peak_flops={precision: each.peak_flops[precision] for precision in common},
            watts=each.watts if has_watts else None,
            name=" or ".join(names),
            vendor=" or ".join(sorted({each.vendor for each in devices})),
            quotes=(),
            source="",
            note="",
        )
        for each in devices
    }


def _filled_links(device: Accelerator) -> dict[str, ArrayLike]:
    """Its links with a number for each, so that accelerators can be of one structure."""
    fallbacks = (0.0, UNBOUNDED, NETWORK_BANDWIDTH)
    known = (getattr(device, name) for name in LINKS)
    return {
        name: fallback if value is None else value
        for name, value, fallback in zip(LINKS, known, fallbacks, strict=True)
    }


def is_file_name(name: Any) -> bool:
    """Whether a name is that of a file, as `FILE.toml` or `FILE.toml:NAME`, or of the catalogue."""
    text = str(name).strip()
    return text.lower().endswith(SUFFIX) or f"{SUFFIX}:" in text


def _in_file(text: str) -> Accelerator:
    """The accelerator that `FILE.toml:NAME` means, or the only one of `FILE.toml`."""
    file, colon, name = text.partition(f"{SUFFIX}:")
    path = f"{file}{SUFFIX}" if colon else file
    devices = {each.name: each for each in read(path)}
    if not name and len(devices) > 1:
        choices = ", ".join(f"{path}:{each}" for each in devices)
        raise ValueError(f"{path} has several accelerators: choose from {choices}")
    if name and name not in devices:
        raise ValueError(f"{path}: {unknown('accelerator', name, devices)}")
    return devices[name] if name else next(iter(devices.values()))


def _find(name: str) -> Entry:
    entries, key = shipped("accelerators"), _key(name)
    spellings = by_name(entries, _key)
    if key in spellings:
        return spellings[key]
    # Aliases count: "A100-PCIe" begins two of them.
    variants = [
        entry.name
        for entry in entries
        if any(_is_variant(each, key) for each in (entry.name, *entry.aliases))
    ]
    if len(variants) > 1:
        raise ValueError(f"accelerator {name!r} is ambiguous: choose from {', '.join(variants)}")
    names = (entry.name for entry in entries)
    aliases = (alias for entry in entries for alias in entry.aliases)
    raise unknown("accelerator", name, names, aliases, _key)


def _key(name: str) -> str:
    return re.sub(r"[\s_-]", "", str(name)).lower()


def _is_variant(name: str, key: str) -> bool:
    start = re.match("-?".join(map(re.escape, key)), name.lower()) if key else None
    # A number must be whole: "a100" begins a family, but "a10" does not begin "a100".
    return start is not None and not name[start.end() - 1 : start.end() + 1].isdigit()


def _checked(name: str, value: Any) -> Any:
    """The value of an overridden field, or an error that names the field."""
    if name not in _FIELDS:
        near = hint(name, _FIELDS, _key)
        raise TypeError(f"an accelerator has no field {name!r}{near}; it has {', '.join(_FIELDS)}")
    if name == "peak_flops":
        return _peaks(value)
    if name in _OPTIONAL and value is None:
        return None
    if name in (*_OPTIONAL, "memory_bytes", "memory_bandwidth"):
        return _positive(name, value)
    if name == "quotes":
        if not isinstance(value, Iterable) or isinstance(value, str):
            raise TypeError(f"quotes must be several Quote objects, got {value!r}")
        value = tuple(value)
        if not all(isinstance(quote, Quote) for quote in value):
            raise TypeError(f"quotes must be Quote objects, got {value!r}")
    elif not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {value!r}")
    return value


def _peaks(given: Any) -> dict[str, ArrayLike]:
    if not isinstance(given, Mapping):
        raise TypeError(f"peak_flops must map precisions to FLOP/s, got {given!r}")
    for precision in given:
        if precision not in PRECISIONS:
            near = hint(precision, PRECISIONS, _key)
            allowed = ", ".join(PRECISIONS)
            raise ValueError(f"peak_flops: no precision {precision!r}{near}; allowed: {allowed}")
    return {each: _positive(f"peak_flops[{each!r}]", given[each]) for each in given}


def _positive(name: str, value: Any) -> ArrayLike:
    if isinstance(value, core.Tracer):
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be a real number or an array of them, got {value!r}")
    if not np.all(np.isfinite(array) & (array > 0)):
        raise ValueError(f"{name} must be finite and greater than 0, got {value!r}")
    if array.dtype.kind == "f" or isinstance(value, jax.Array):
        return value
    # Bytes and FLOP/s as integers do not fit the int32 that JAX would make of them.
    return float(array) if array.ndim == 0 else array.astype(float)


def _only_price(quotes: tuple[Quote, ...]) -> float | None:
    return quotes[0].dollars_per_hour if len(quotes) == 1 else None
