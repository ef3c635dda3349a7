"""Numbers as people write and read them: `41.6B`, `4.86e23`, `$1.29M`, `12 %`, `2.00×10¹⁹`."""

import math
import re
from typing import NamedTuple

# Powers of ten by suffix. Q is a quadrillion.
POWERS = {"": 0, "K": 3, "M": 6, "B": 9, "T": 12, "Q": 15}
SUFFIXES = {power: suffix for suffix, power in POWERS.items()}

# --- Reading ---------------------------------------------------------------------------------

SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻"
_ORDINARY = str.maketrans(SUPERSCRIPTS + "\N{MINUS SIGN}", "0123456789+--")
_SIGN = "[-+\N{MINUS SIGN}]?"
_SPACE = r"[^\S\r\n]"  # thin and no-break spaces too
_TIMES = "x*\N{MULTIPLICATION SIGN}\N{MIDDLE DOT}\N{DOT OPERATOR}"
_RAISED = rf"(?:(?:\^|\*\*)\{{?(?P<raised>{_SIGN}[0-9]+)\}}?|(?P<superscript>[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+))"
_BARE_POWER = re.compile(rf"^({_SIGN}{_SPACE}*)(?=10(?:\^|\*\*|[{SUPERSCRIPTS}]))")


def _pattern(mark: str, separator: str) -> re.Pattern[str]:
    """Numbers with this decimal mark, whose thousands may have this separator."""
    grouped = (
        rf"[1-9][0-9]{{0,2}}(?P<by>[{separator}'\u2019]|{_SPACE})[0-9]{{3}}(?:(?P=by)[0-9]{{3}})*"
    )
    whole = rf"(?:{grouped}|[0-9]+(?:_[0-9]+)*)"
    return re.compile(
        rf"(?P<sign>{_SIGN}){_SPACE}*(?P<digits>{whole}(?:[{mark}][0-9]*)?|[{mark}][0-9]+)"
        rf"(?:[eE](?P<power>{_SIGN}[0-9]+)|{_SPACE}*[{_TIMES}]{_SPACE}*10{_RAISED}"
        rf"|{_SPACE}*(?P<suffix>[KMBTQkmbtq]))?"
    )


# What nearly all numbers are, and is read much faster.
_PLAIN = {
    ".": re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?"),
    ",": re.compile("[-+]?[0-9]+(?:[eE][-+]?[0-9]+)?"),
}
_WORD = re.compile(r"(?P<number>.*[0-9.])\s*(?P<word>[^\W\d_]+)")
_PATTERNS = {".": _pattern(".", ","), ",": _pattern(",", ".")}  # by the decimal mark


class Written(NamedTuple):
    """A number that somebody wrote: its digits and power of ten, and the suffix that it had."""

    text: str
    suffix: str

    @property
    def value(self) -> float:
        """The float nearest to what is written."""
        return float(self.text)


def parse(text: str, mark: str = ".") -> Written | None:
    """The number that a text writes with this decimal mark; None where it writes none.

    Reads thousands with separators, suffixes and powers of ten: `30,000,000`, `30_000_000`, `30 M`,
    `2.00x10^19`, `8.00×10¹⁸`, `1e9`. With a comma as the mark, points separate thousands.
    """
    if _PLAIN[mark].fullmatch(text):
        return Written(text, "")
    number = _PATTERNS[mark].fullmatch(_BARE_POWER.sub(r"\g<1>1x", text.strip(), count=1))
    if number is None:
        return None
    digits = re.sub(f"[^0-9{mark}]", "", number["digits"]).replace(mark, ".")
    power = number["power"] or number["raised"] or number["superscript"]
    suffix = (number["suffix"] or "").upper()
    sign = number["sign"].translate(_ORDINARY)
    return Written(f"{sign}{digits}e{(power or str(POWERS[suffix])).translate(_ORDINARY)}", suffix)


def suffix_advice(text: str, mark: str = ".") -> str:
    """Which suffixes there are, for the end of a message; empty unless one that is not ends it."""
    found = _WORD.fullmatch(text.strip())
    if not found or found["word"].upper() in POWERS or parse(found["number"], mark) is None:
        return ""
    return f"; known suffixes: {', '.join(filter(None, POWERS))}"


# --- Writing ---------------------------------------------------------------------------------


def count(x: float, digits: int = 3) -> str:
    """A few digits and a suffix: `41.6B`; a power of ten where no suffix reaches."""
    if x == 0 or not math.isfinite(x):
        return f"{x:g}"
    rounded = f"{x:.{digits - 1}e}"
    power = int(rounded.partition("e")[2])
    if not -3 <= power < max(SUFFIXES) + 3:
        return scientific(x, digits)
    thousands = max(0, power - power % 3)
    decimals = max(0, digits - 1 - power + thousands)
    return f"{float(rounded) / 10**thousands:.{decimals}f}{SUFFIXES[thousands]}"


def scientific(x: float, digits: int = 3) -> str:
    """A few digits and a power of ten: `4.86e23`."""
    if x == 0 or not math.isfinite(x):
        return f"{x:g}"
    mantissa, _, power = f"{x:.{digits - 1}e}".partition("e")
    return f"{mantissa}e{int(power)}"


def short(x: float) -> str:
    """Up to six digits and a suffix, without zeros at the end: `10B`, `1.5T`, `1e21`."""
    return _trimmed(count(x, 6))


def short_scientific(x: float) -> str:
    """Up to two digits and a power of ten, without zeros at the end: `3e19`, `5.8e23`."""
    return _trimmed(scientific(x, 2))


def _trimmed(text: str) -> str:
    """The text without zeros at the end of its decimals."""
    return re.sub(r"\.0+(?!\d)|(\.\d*[1-9])0+(?!\d)", r"\1", text)


def dollars(x: float) -> str:
    """A price: `$1.29M`."""
    return f"${count(x)}"


def cents(x: float) -> str:
    """A price to the cent, and to three digits where that says more: `$2.00`, `$0.0045`."""
    text = f"{x:.2f}"
    return f"${text}" if abs(float(text) - x) <= 0.005 * abs(x) else f"${x:.3g}"


def elapsed(x: float) -> str:
    """A time in seconds with three digits: `50.0 ms`, `1.20 s`."""
    if math.isnan(x):
        return "nan"
    return f"{count(x)} s" if x >= 1 else f"{count(1e3 * x)} ms"


def percent(x: float) -> str:
    """A share in percent with two digits: `12 %`, `9.1 %`."""
    value = 100 * x
    decimals = sum(abs(value) < limit for limit in (9.95, 0.995))
    return f"{round(value, decimals) + 0.0:.{decimals}f} %"  # the sum turns -0.0 into 0.0


def number(x: float, digits: int = 4) -> str:
    """A few digits of any number: `0.1234`, `41.60B`, `-` for NaN."""
    if math.isnan(x):
        return "-"
    return f"{x:.{digits}g}" if x == 0 or 1e-3 <= abs(x) < 1e4 else count(x, digits)


def sequences(x: float) -> str:
    """Sequences at once: whole numbers as they are, a mean below 10 with a decimal."""
    whole = math.isclose(x, round(x), rel_tol=1e-6) if math.isfinite(x) else False
    return f"{x:,.0f}" if whole or not x < 9.95 else f"{x:.1f}"


def counted(number: int, noun: str) -> str:
    """`1 chunk`, `12,000 chunks`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
