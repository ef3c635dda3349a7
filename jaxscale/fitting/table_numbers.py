"""Numbers as the cells of a table write them, and what is wrong with those that are none."""

import math
import re
from typing import Any

from jaxscale._numerics.quantities import POWERS

NUMBER = re.compile(
    r"(?P<digits>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))"
    r"(?:e(?P<power>[+-]?[0-9]+)|(?P<suffix>[KMBT]))?",
    re.IGNORECASE,
)
PLAIN = r"[+-]?[0-9]+(?:\.[0-9]+)?"
# Ways of writing that are refused, with what to write instead. First match counts.
UNREADABLE = (
    (r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?", "thousands separators: leave the commas out"),
    (r"[+-]?[0-9]+,[0-9]+", "a decimal comma: write a point"),
    (r"[+-]?[0-9]+(?:_[0-9]+)+(?:\.[0-9]*)?", "underscores: leave them out"),
    (r"[+-]?[0-9]{1,3}(?:['\u2019\s][0-9]{3})+", "thousands separators: leave them out"),
    (rf"{PLAIN}\s+[KMBT]", "a space before its suffix: leave it out"),
    (rf"{PLAIN}\s*[\u00d7\u00b7x*]\s*10.*", "a power of ten: write 8e18"),
    (r"[$\u20ac\u00a3].*|.*%", "a currency or a percent sign: leave it out"),
)


def number(cell: Any, unit: float, *, suffixes: bool, least: str) -> float:
    """The number in a cell times its unit; ValueError says what is wrong.

    `suffixes` allows 7B, where `unit` is 1; `least` is "above 0", "0 or more", or "any".
    """
    text = str(cell).strip()
    written = NUMBER.fullmatch(text)
    suffix = written["suffix"] if written else None
    # Billions of millions are nobody's count.
    if not written or (suffix and (unit != 1 or not suffixes)):
        raise ValueError(f"is {cell!r}, not a plain number{_cause(text)}")
    power = written["power"] or POWERS[(suffix or "").upper()]
    value = float(f"{written['digits']}e{power}") * unit
    if (value < 0 and least != "any") or (value == 0 and least == "above 0"):
        raise ValueError(f"is {cell!r}, {'below' if least == '0 or more' else 'not above'} 0")
    if not math.isfinite(value):
        raise ValueError(f"is {cell!r}, not finite")
    return value


def _cause(text: str) -> str:
    for pattern, cause in UNREADABLE:
        if re.fullmatch(pattern, text, re.IGNORECASE):
            return f": it has {cause}"
    return ""
