"""Reading and writing numbers as people do: `7B`, `1.5T`, `2e12`, `1,000,000`.

A suffix only moves the decimal point, so `4.35M` is read as exactly as 4350000.
"""

import math
import re
from collections.abc import Callable

from jaxscale._numerics.quantities import cents as cents
from jaxscale._numerics.quantities import count as count
from jaxscale._numerics.quantities import counted as counted
from jaxscale._numerics.quantities import dollars as dollars
from jaxscale._numerics.quantities import elapsed as elapsed
from jaxscale._numerics.quantities import parse, suffix_advice
from jaxscale._numerics.quantities import percent as percent
from jaxscale._numerics.quantities import scientific as scientific
from jaxscale._numerics.quantities import sequences as sequences

# Below these a suffix was forgotten: the smallest model behind any published law, and one sequence
# of it (Kaplan et al. 2020, Sections 2.1 and 3.1).
SMALLEST_PARAMS, SEQUENCE_TOKENS = 768, 1024


def positive(text: str) -> float:
    """The number that `text` writes; ValueError unless it is above zero."""
    value = nonnegative(text)
    if value == 0:
        raise ValueError(f"{text!r} must be greater than zero")
    return value


def flops_or_dollars(text: str) -> tuple[float, bool]:
    """A budget, and whether it is in dollars, as in `5000$`."""
    in_dollars = "$" in text
    return (money if in_dollars else positive)(text), in_dollars


def params_of_model(text: str) -> float:
    """Params of a model; ValueError below those of the smallest that was ever measured."""
    value = positive(text)
    if value < SMALLEST_PARAMS:
        raise ValueError(
            f"{text!r} is below the {SMALLEST_PARAMS} params of the smallest model behind any "
            "published law (Kaplan et al. 2020): write 7B for 7 billion, 7M for 7 million"
        )
    return value


def tokens_of_training(text: str) -> float:
    """Tokens of a training; ValueError for fewer than one sequence."""
    value = positive(text)
    if value < SEQUENCE_TOKENS:
        raise ValueError(
            f"{text!r} is less than one sequence of {SEQUENCE_TOKENS:,} tokens: write 1T for "
            "1 trillion, 1B for 1 billion"
        )
    return value


def nonnegative(text: str) -> float:
    """The number that `text` writes, zero or more; ValueError names what is wrong."""
    value = signed(text, "; write it like 7B, 1.5T, 2e12 or 1,000,000")
    if value < 0:
        raise ValueError(f"{text!r} must not be negative")
    return value


def signed(text: str, examples: str = "") -> float:
    """The number that `text` writes, of either sign; ValueError names what is wrong."""
    number = parse(text)
    if number is None:
        raise ValueError(f"{text!r} is not a number{examples}{suffix_advice(text)}")
    if math.isinf(number.value) or (number.value == 0 and re.match("[^eE]*[1-9]", number.text)):
        raise ValueError(f"{text!r} is beyond the range of float64")
    return number.value


def share(text: str) -> float:
    """A share of one, as `0.4` or `40%`; ValueError outside (0, 1]."""
    value = _share(text, positive)
    if value > 1:
        raise ValueError(f"{text!r} must be a share of the peak: at most 1, or 100%")
    return value


def deviation(text: str) -> float:
    """A relative deviation, as `0.005` or `0.5%`; ValueError outside [0, 1)."""
    value = _share(text, nonnegative)
    if value >= 1:
        raise ValueError(f"{text!r} must be a share of the loss: below 1, or 100%")
    return value


def part(text: str) -> float:
    """A part of a whole, as `0.4` or `40%`; ValueError outside [0, 1]."""
    value = _share(text, nonnegative)
    if value > 1:
        raise ValueError(f"{text!r} must be a share: at most 1, or 100%")
    return value


def cached_part(text: str) -> float:
    """The part of a prompt that is cached; ValueError for all of it."""
    value = part(text)
    if value == 1:
        raise ValueError(f"{text!r} must be below 1: the last token is never cached")
    return value


def busy_part(text: str) -> float:
    """The part of the time in which devices work; ValueError for none."""
    value = part(text)
    if value == 0:
        raise ValueError(f"{text!r} must be above 0")
    return value


def batch_size(text: str) -> float:
    """A number of sequences at once; ValueError below one."""
    value = positive(text)
    if value < 1:
        raise ValueError(f"{text!r} must be at least 1")
    return value


def _share(text: str, read: Callable[[str], float]) -> float:
    written = text.strip()
    value = read(written.removesuffix("%"))
    return value / 100 if written.endswith("%") else value


def whole(text: str) -> int:
    """The whole number that `text` writes, zero or more; ValueError names what is wrong."""
    value = nonnegative(text)
    if value != int(value):
        raise ValueError(f"{text!r} must be a whole number")
    return int(value)


def positive_whole(text: str) -> int:
    """The whole number that `text` writes; ValueError unless it is above zero."""
    positive(text)
    return whole(text)


SECONDS = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def latency(text: str) -> float:
    """Seconds of an answer, such as `50ms`; ValueError as of `duration`."""
    return duration(text, "50ms, 1.5s or 1min")


def duration(text: str, examples: str = "30d, 12h, 90min, 5s or 50ms") -> float:
    """Seconds of a number with a unit, such as `30d` or `50ms`; ValueError unless positive."""
    found = re.fullmatch(r"(.*?) *([a-z]+)", text.strip(), re.IGNORECASE | re.DOTALL)
    unit = found[2].lower() if found else ""
    if not found or unit not in SECONDS:
        raise ValueError(f"{text!r} is not a time; write it like {examples}")
    seconds = positive(found[1]) * SECONDS[unit]
    if math.isinf(seconds) or seconds == 0:
        raise ValueError(f"{text!r} is beyond the range of float64")
    return seconds


def money(text: str) -> float:
    """Dollars, as `1B$`, `$1B` or `1B`; ValueError unless above zero."""
    written = text.strip()
    bare = written.removeprefix("$") if written.startswith("$") else written.removesuffix("$")
    return positive(bare)


def dollars_per_hour(text: str) -> float:
    """A price, with or without its dollar sign; ValueError unless above zero."""
    return money(text)


def price_per_token(text: str) -> float:
    """Dollars, of the price of a million tokens such as `1$/M` or `$0.5`; ValueError as `money`."""
    paid, slash, tokens = text.partition("/")
    if slash and tokens.strip().upper() not in ("M", "1M"):
        raise ValueError(f"{text!r} is not the price of a million tokens; write it like 1$/M")
    return money(paid) / 1e6


_DATA = re.compile(r"(?P<number>[0-9.,_]+) *(?P<unit>[kmgtp])(?P<byte>i?b?)(?:/s)?", re.IGNORECASE)
_UNITS = "KMGTP"
SMALLEST_DEVICE = 1e6  # bytes, bytes/s or FLOP/s; below it a suffix was forgotten


def memory(text: str) -> float:
    """Bytes of a device, as `80G`, `80 GB`, `96GiB` or `80e9`; ValueError below a million."""
    return _of_device(text, _bytes(text), "80G for 80 billion bytes")


def data_rate(text: str) -> float:
    """Bytes a second, as `3.35T`, `900 GB/s` or `3.35e12`; ValueError below a million."""
    return _of_device(text, _bytes(text), "3.35T for 3.35 trillion bytes a second")


def flop_rate(text: str) -> float:
    """FLOP a second, as `989T` or `9.89e14`; ValueError below a million."""
    return _of_device(text, positive(text), "989T for 989 trillion FLOP a second")


def _bytes(text: str) -> float:
    found = _DATA.fullmatch(text.strip())
    if not found:
        return positive(text)
    unit = found["unit"].upper()
    if "i" in found["byte"].lower():
        return positive(found["number"]) * 1024.0 ** (1 + _UNITS.index(unit))
    return positive(found["number"] + {"G": "B", "P": "Q"}.get(unit, unit))


def _of_device(text: str, value: float, example: str) -> float:
    if value < SMALLEST_DEVICE:
        raise ValueError(f"{text!r} is too little for a device: write {example}")
    return value


def at_once(batch: float) -> str:
    """A batch: `1 sequence at once`, `312.4 sequences at once`."""
    number = sequences(batch) if batch == round(batch) else f"{batch:,.1f}"
    return f"{number} {'sequence' if number == '1' else 'sequences'} at once"


def data_size(x: float) -> str:
    """A number of bytes with a few digits, in powers of a thousand: `16.1 GB`."""
    units = {"": "bytes", "K": "kB", "M": "MB", "B": "GB", "T": "TB", "Q": "PB"}
    number = count(x)
    suffix = number[-1] if number[-1] in units else ""
    return f"{number.removesuffix(suffix)} {units[suffix]}"
