"""Accelerators: what each computes, holds and moves per second, and what it was rented for.

Every peak is dense, without structured sparsity, and per device as it is sold (a package of
two dies is one device). A precision that a device lacks, or whose rate no source confirms,
is absent: asking for it is an error, never a silent fall back to another. Rental prices are
dated quotes; only a device with exactly one quote has a price by default.
"""

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax import core
from jax.typing import ArrayLike

PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp4")

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
@dataclass(frozen=True)
class Accelerator:
    """One device as sold: dense peaks by precision, memory, bandwidth and price.

    Numbers are leaves of a pytree and may be traced or batched; the rest is static. The
    constructor checks nothing, because JAX rebuilds the class with tracers inside: use
    `accelerator`, which does.

    Examples:
        >>> print(f"{js.accelerator('H100-SXM').memory_bandwidth:.3g} bytes a second")
        3.35e+12 bytes a second
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

    def peak(self, precision: str) -> ArrayLike:
        """Dense FLOP/s (OP/s for int8) at a precision; ValueError if the device lacks it.

        Examples:
            >>> print(f"{js.accelerator('A100-80GB').peak('int8'):.3g} operations a second")
            6.24e+14 operations a second
        """
        if precision in self.peak_flops:
            return self.peak_flops[precision]
        # JAX sorts the keys of a dict that passes through it; say them in our own order.
        offered = [known for known in PRECISIONS if known in self.peak_flops]
        # A precision that exists but is not offered has no near miss: another is another.
        hint = "" if precision in PRECISIONS else _hint(precision, offered)
        has = ", ".join(offered)
        raise ValueError(f"{self.name} has no peak for precision {precision!r}{hint}; it has {has}")


_FIELDS = tuple(each.name for each in dataclasses.fields(Accelerator))


def accelerator(name: str, /, **overrides: Any) -> Accelerator:
    """The accelerator of that name, with any field replaced: `accelerator("L4", price=0.44)`.

    Case, spaces, hyphens and underscores in the name do not matter. `peak_flops` is merged
    into the table, so that one precision can be set; new `quotes` without a price set the
    price by the rule of the catalogue. Traced values pass unchecked.

    Raises:
        ValueError: the name is unknown or fits several variants, a precision is unknown, or
            a number is not finite and positive.
        TypeError: an override is not a field, or not of the field's kind.

    Examples:
        >>> device = js.accelerator("a100 80gb", price=1.50)
        >>> device.name, device.price
        ('A100-80GB', 1.5)
    """
    found = _ENTRIES[_find(name)]
    changes = {given: _checked(given, value) for given, value in overrides.items()}
    # Merged even when empty: each accelerator owns its dict, so none can spoil the catalogue.
    changes["peak_flops"] = {**found.peak_flops, **changes.get("peak_flops", {})}
    if "quotes" in changes:
        changes.setdefault("price", _only_price(changes["quotes"]))
    return dataclasses.replace(found, **changes)


def catalog() -> tuple[Accelerator, ...]:
    """Every accelerator that is known, by vendor and then by generation.

    Examples:
        >>> [device.name for device in js.hardware.catalog()][:3]
        ['V100', 'V100-PCIe', 'A100-40GB']
    """
    return tuple(accelerator(name) for name in _ENTRIES)


def comparable(*accelerators: Accelerator | str) -> dict[str, Accelerator]:
    """Accelerators by name, alike but for their numbers: an axis of a grid takes one or another.

    Each keeps the precisions that all of them have, and says of its name only that it is one
    of these.

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
    found = [accelerator(each) if isinstance(each, str) else each for each in accelerators]
    names = [each.name for each in found]
    if not found or len(set(names)) < len(names):
        raise ValueError(f"accelerators must be one or more, each once; got {', '.join(names)}")
    common = [each for each in PRECISIONS if all(each in one.peak_flops for one in found)]
    if not common:
        raise ValueError(f"no precision is common to {', '.join(names)}")
    unpriced = [each.name for each in found if each.price is None]
    if 0 < len(unpriced) < len(found):
        raise ValueError(f"choose a price for {', '.join(unpriced)}: the others have one")
    return {
        each.name: dataclasses.replace(
            each,
            peak_flops={precision: each.peak_flops[precision] for precision in common},
            name=" or ".join(names),
            vendor=" or ".join(sorted({each.vendor for each in found})),
            quotes=(),
            source="",
            note="",
        )
        for each in found
    }


def _find(name: str) -> str:
    """The catalogue's own spelling of a name."""
    key = _key(name)
    if key in _SPELLINGS:
        return _SPELLINGS[key]
    # Aliases count: "A100-PCIe" begins two of them.
    meant = {_find(each) for each in (*_ENTRIES, *_ALIASES) if _is_variant(each, key)}
    variants = [each for each in _ENTRIES if each in meant]
    if len(variants) > 1:
        raise ValueError(f"accelerator {name!r} is ambiguous: choose from {', '.join(variants)}")
    hint = _hint(name, [*_ENTRIES, *_ALIASES])
    raise ValueError(f"unknown accelerator {name!r}{hint}; known: {', '.join(_ENTRIES)}")


def _key(name: str) -> str:
    return re.sub(r"[\s_-]", "", str(name)).lower()


def _is_variant(name: str, key: str) -> bool:
    start = re.match("-?".join(map(re.escape, key)), name.lower()) if key else None
    # A number must be whole: "a100" begins a family, but "a10" does not begin "a100".
    return start is not None and not name[start.end() - 1 : start.end() + 1].isdigit()


def _hint(word: str, choices: Iterable[str]) -> str:
    spelled = {_key(choice): choice for choice in choices}
    near = difflib.get_close_matches(_key(word), spelled, n=1, cutoff=0.5)
    return f" (did you mean {spelled[near[0]]}?)" if near else ""


def _checked(name: str, value: Any) -> Any:
    """The value of an overridden field, or an error that names the field."""
    if name not in _FIELDS:
        hint = _hint(name, _FIELDS)
        raise TypeError(f"an accelerator has no field {name!r}{hint}; it has {', '.join(_FIELDS)}")
    if name == "peak_flops":
        return _peaks(value)
    if name == "price" and value is None:
        return None
    if name in ("price", "memory_bytes", "memory_bandwidth"):
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
            hint = _hint(precision, PRECISIONS)
            allowed = ", ".join(PRECISIONS)
            raise ValueError(f"peak_flops: no precision {precision!r}{hint}; allowed: {allowed}")
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


def _device(
    name: str,
    vendor: str,
    *,
    tflops: Mapping[str, float],
    gb: float = 0.0,
    gib: float = 0.0,
    gb_per_s: float,
    source: str,
    quotes: tuple[Quote, ...] = (),
    note: str = "",
) -> Accelerator:
    peaks = {precision: 1e12 * rate for precision, rate in tflops.items()}
    memory, bandwidth, price = 1e9 * gb + 2.0**30 * gib, 1e9 * gb_per_s, _only_price(quotes)
    return Accelerator(peaks, memory, bandwidth, price, name, vendor, quotes, source, note)


def _runpod(first: float, second: float) -> tuple[Quote, Quote]:
    # The digest calls its columns spot and on-demand, but its "spot" values are what others
    # give as RunPod's on-demand price: the first column is read as the list price.
    digest = "RunPod, {}, in a price digest by deploybase"
    return (
        Quote(first, "2026-03", digest.format("list price")),
        Quote(second, "2026-03", digest.format("second tier")),
    )


_MLE = "stas00/ml-engineering, compute/accelerator (2026-08-22)"
_TTN = "pytorch/torchtitan, torchtitan/tools/utils.py"
_LTN = "Lightning-AI/pytorch-lightning, lightning/fabric/utilities/throughput.py"
_LLA = "cli99/llm-analysis, llm_analysis/gpu_configs"
_SBK = "jax-ml/scaling-book, tpus.md (2025-02-18)"
_GCP = "Google Cloud TPU documentation"
_AWS = "AWS Neuron documentation, architecture pages"
_NOTES = "secondary research notes (2026-10-07)"
_AMD = "secondary table of MI300 and MI355X peaks"
_VULTR = "Vultr inference cookbook, MI325X"
_L40 = "reseller's copy of NVIDIA's L40/L40S table"
_L4 = "encyclopaedia page on L4 and L40S, its sparse rates halved"
_SARDANA = "Lambda list price in Sardana et al. 2024, arXiv 2401.00448"
_SPHERON = "RunPod secure cloud, in an article by Spheron"

# fmt: off
_A100 = dict(fp32=19.5, tf32=156, bf16=312, fp16=312, int8=624)
_HOPPER = dict(fp32=67, tf32=494.5, bf16=989, fp16=989, fp8=1979, int8=1979)
_MI300 = dict(fp32=163.4, tf32=653.7, bf16=1307.4, fp16=1307.4, fp8=2614.9, int8=2614.9)

# Memory is in GB as marketed for GPUs and Gaudi, in GiB for TPUs and Trainium.
_TABLE = (
    _device("V100", "NVIDIA", gb=16, gb_per_s=900, tflops=dict(fp32=15.7, fp16=125),
            source=f"{_LTN}; {_LLA}", note="SXM2, 16 GB; a 32 GB variant exists."),
    _device("V100-PCIe", "NVIDIA", gb=16, gb_per_s=900, tflops=dict(fp32=14, fp16=112),
            source=f"{_LTN}; {_LLA}", note="16 GB; a 32 GB variant exists."),
    _device("A100-40GB", "NVIDIA", gb=40, gb_per_s=1555, tflops=_A100, source=f"{_MLE}; {_LLA}",
            quotes=(Quote(1.10, "2023-10-02", _SARDANA),), note="SXM."),
    _device("A100-40GB-PCIe", "NVIDIA", gb=40, gb_per_s=1555, tflops=_A100, source=_LLA),
    _device("A100-80GB", "NVIDIA", gb=80, gb_per_s=2039, tflops=_A100, source=f"{_MLE}; {_LLA}",
            quotes=(Quote(1.50, "2023-10-02", _SARDANA), *_runpod(1.39, 2.45)), note="SXM."),
    _device("A100-80GB-PCIe", "NVIDIA", gb=80, gb_per_s=1935, tflops=_A100,
            source=f"{_MLE}; {_LLA}", quotes=_runpod(1.19, 2.10)),
    _device("A10G", "NVIDIA", gb=24, gb_per_s=600, tflops=dict(bf16=70, fp16=70, int8=140),
            source=_LLA, note="Not the A10, whose bf16 rate of 125 some tables give here."),
    _device("H100-SXM", "NVIDIA", gb=80, gb_per_s=3350, tflops=_HOPPER,
            source=f"{_MLE}; {_TTN}; {_LLA}", quotes=_runpod(2.69, 4.76)),
    _device("H100-PCIe", "NVIDIA", gb=80, gb_per_s=2000,
            tflops=dict(fp32=51, tf32=378, bf16=756, fp16=756, fp8=1513, int8=1513),
            source=f"{_MLE}; {_TTN}; {_LLA}",
            quotes=(*_runpod(1.99, 3.51), Quote(2.79, "2026", _SPHERON))),
    _device("H200", "NVIDIA", gb=141, gb_per_s=4800, tflops=_HOPPER, source=f"{_MLE}; {_TTN}",
            quotes=_runpod(3.59, 6.35)),
    _device("L4", "NVIDIA", gb=24, gb_per_s=300, tflops=dict(bf16=121, fp16=121, fp8=242, int8=242),
            source=_L4, quotes=_runpod(0.44, 0.78)),
    _device("L40S", "NVIDIA", gb=48, gb_per_s=864,
            tflops=dict(fp32=91.6, tf32=183, bf16=362, fp16=362, fp8=733, int8=733),
            source=f"{_MLE}; {_TTN}; {_L40}", quotes=_runpod(0.79, 1.40)),
    _device("B200", "NVIDIA", gb=180, gb_per_s=8000,
            tflops=dict(fp32=80, tf32=1125, bf16=2250, fp16=2250, fp8=4500, int8=4500, fp4=9000),
            source=f"{_MLE}; {_TTN}; {_NOTES}", quotes=_runpod(5.98, 10.57),
            note="Usable memory; 192 GB nominal."),
    _device("GB200", "NVIDIA", gb=186, gb_per_s=8000,
            tflops=dict(fp32=80, tf32=1250, bf16=2500, fp16=2500, fp8=5000, int8=5000, fp4=10000),
            source=f"{_MLE}; {_NOTES}", note="Per GPU; the superchip carries two."),
    _device("B300", "NVIDIA", gb=288, gb_per_s=8000,
            tflops=dict(fp32=80, tf32=1125, bf16=2250, fp16=2250, fp8=4500), source=_MLE,
            note="int8 (listed as 4500 to 5000) and fp4 (12600 to 15000) are doubtful: left out."),
    _device("GB300", "NVIDIA", gb=288, gb_per_s=8000,
            tflops=dict(fp32=80, tf32=1250, bf16=2500, fp16=2500, fp8=5000, fp4=15000), source=_MLE,
            note="Per GPU. int8 (listed as 4500 to 5000) is doubtful: left out."),
    _device("MI250X", "AMD", gb=128, gb_per_s=3280,
            tflops=dict(fp32=47.9, bf16=383, fp16=383, int8=383), source=_MLE,
            note="Per package; software sees its two dies as two devices."),
    _device("MI300X", "AMD", gb=192, gb_per_s=5300, tflops=_MI300, source=f"{_MLE}; {_AMD}",
            note="bf16 is often rounded to 1300."),
    _device("MI325X", "AMD", gb=256, gb_per_s=6000, tflops=_MI300, source=f"{_MLE}; {_VULTR}",
            note="bf16 is often rounded to 1300."),
    _device("MI355X", "AMD", gb=288, gb_per_s=8000,
            tflops=dict(fp32=157.3, bf16=2500, fp16=2500, fp8=5000, int8=5000, fp4=10000),
            source=f"{_MLE}; {_NOTES}", note="Some measure against a bf16 rate of 2300."),
    _device("TPU-v3", "Google", gib=32, gb_per_s=900, tflops=dict(bf16=123),
            source=f"{_GCP}; {_LTN}", note="Per chip; the scaling book prints 140 for bf16."),
    _device("TPU-v4", "Google", gib=32, gb_per_s=1200, tflops=dict(bf16=275, int8=275),
            source=f"{_GCP}; {_MLE}; {_LTN}; {_SBK}", note="Bandwidth also given as 1228 GB/s."),
    _device("TPU-v5e", "Google", gib=16, gb_per_s=819, tflops=dict(bf16=197, int8=393),
            source=f"{_GCP}; {_MLE}; {_SBK}",
            note="int8 as Google prints it; others round to 394."),
    _device("TPU-v5p", "Google", gib=95, gb_per_s=2765, tflops=dict(bf16=459, fp8=459, int8=918),
            source=f"{_GCP}; {_MLE}; {_SBK}", note="The scaling book prints 96 GB."),
    _device("TPU-v6e", "Google", gib=32, gb_per_s=1640, tflops=dict(bf16=918, fp8=918, int8=1836),
            source=f"{_GCP}; {_MLE}; {_NOTES}", note="The scaling book prints 920 for bf16."),
    _device("TPU-v7x", "Google", gib=192, gb_per_s=7380, tflops=dict(bf16=2307, fp8=4614),
            source=f"{_GCP}; {_NOTES}"),
    _device("Trainium1", "AWS", gib=32, gb_per_s=820 * 2**30 / 1e9,
            tflops=dict(fp32=47.5, tf32=190, bf16=190, fp8=190, int8=380), source=_AWS,
            note="fp8 is cFP8. Older pages print 420 for int8 and 820 GB/s."),
    _device("Trainium2", "AWS", gib=96, gb_per_s=2900,
            tflops=dict(fp32=181, tf32=667, bf16=667, fp8=1299), source=f"{_AWS}; {_MLE}"),
    _device("Trainium3", "AWS", gib=144, gb_per_s=4900,
            tflops=dict(fp32=183, tf32=671, bf16=671, fp8=2517, fp4=2517), source=_AWS,
            note="fp8 and fp4 are MXFP8 and MXFP4."),
    _device("Gaudi2", "Intel", gb=96, gb_per_s=2460, tflops=dict(bf16=432, fp8=865), source=_MLE),
    _device("Gaudi3", "Intel", gb=128, gb_per_s=3700, tflops=dict(bf16=1677, fp8=1677), source=_MLE,
            note="At the shipping clock; the white paper's gives 1835. Its fp32 and tf32 rates "
                 "belong to that faster clock and are left out."),
)

_ALIASES = {
    "V100-SXM2": "V100", "H200-SXM": "H200", "B200-SXM": "B200",
    "A100-40": "A100-40GB", "A100-40GB-SXM": "A100-40GB", "A100-SXM-40GB": "A100-40GB",
    "A100-80": "A100-80GB", "A100-80GB-SXM": "A100-80GB", "A100-SXM-80GB": "A100-80GB",
    "A100-PCIe-40GB": "A100-40GB-PCIe", "A100-PCIe-80GB": "A100-80GB-PCIe",
    "Trillium": "TPU-v6e", "Ironwood": "TPU-v7x", "TPU7x": "TPU-v7x",
    "Trn1": "Trainium1", "Trn2": "Trainium2", "Trn3": "Trainium3",
}
# fmt: on

_ENTRIES = {entry.name: entry for entry in _TABLE}
_SPELLINGS = {_key(each): each for each in _ENTRIES} | {
    _key(alias): name for alias, name in _ALIASES.items()
}
