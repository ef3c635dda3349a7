"""The list of published numbers: each says where it was printed and whether it comes out.

`assert_printed` puts a number on the list and holds what the library finds against it. A number
that cannot be reproduced is on the list too, from a test that is a strict expected failure.
Numbers that nobody printed, worked out apart from printed coefficients, are no part of it.
"""

from decimal import Decimal
from typing import Any, NamedTuple

PROPERTY = "published number"  # of a test's report


class Number(NamedTuple):
    """One number of a paper, or of its code, with where it stands."""

    source: str  # paper and table, section or file
    what: str
    printed: str
    reproduced: bool
    percent: float  # that it may be off, where that is more than half its last digit; or 0


_seen: list[Number] = []


def assert_printed(
    found: Any,
    printed: str,
    *,
    source: str,
    what: str,
    within: float | None = None,
) -> None:
    """List the number, and raise AssertionError unless `found` comes out as printed.

    That is within half a unit of its last digit, or `within` in the number's own unit: the
    caller says why beside it.
    """
    number = Decimal(printed)
    half = 0.5 * 10.0 ** int(number.as_tuple().exponent)
    allowed = half if within is None else within
    off = abs(float(found) - float(number))
    good = off <= allowed * (1 + 1e-9)  # half a digit is not binary
    percent = 100 * allowed / abs(float(number)) if allowed > half else 0.0
    listed(source, what, printed, reproduced=good, percent=percent)
    assert good, f"{source}, {what}: {float(found):.10g}, not {printed}"


def listed(source: str, what: str, printed: str, *, reproduced: bool, percent: float = 0.0) -> None:
    """Put a number on the list that is compared elsewhere."""
    # Of Python's own types, since xdist sends the list from process to process.
    _seen.append(Number(source, what, printed, bool(reproduced), float(percent)))


def taken() -> list[Number]:
    """The numbers listed since the last call."""
    found = list(_seen)
    _seen.clear()
    return found
