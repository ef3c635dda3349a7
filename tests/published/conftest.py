"""Prints the list of published numbers after `pytest tests/published`, and keeps it in a file.

The file is `tests/published/README.md`; with `JAXSCALE_WRITE_LIST=1` it is written anew.
"""

import os
import re
from pathlib import Path

import pytest

from published.numbers import PROPERTY, Number, taken

LIST = Path(__file__).with_name("README.md")
HEADER = """\
# Published numbers

`python -m pytest tests/published -q` checks and prints this list. Coefficients, exponents and
intervals that the library holds as they were printed are compared with the print, typed anew;
everything else is recomputed through the public interface. "Yes" is to the last printed digit;
where more is allowed, a comment in the test says why. Where a number does not come out, a test
says why: it is a strict expected failure.

| source | number | printed | comes out |
| --- | --- | ---: | --- |
"""
_numbers: list[Number] = []


@pytest.fixture(autouse=True)
def _listing(request):
    taken()
    yield
    request.node.user_properties += [(PROPERTY, list(number)) for number in taken()]


def pytest_runtest_logreport(report):
    if report.when == "teardown":  # the last, so it has what the whole test listed
        _numbers.extend(Number(*x) for name, x in report.user_properties if name == PROPERTY)


def pytest_terminal_summary(terminalreporter):
    found = sorted(set(_numbers), key=_place)
    if not found:
        return
    terminalreporter.section("published numbers")
    for number in found:
        line = f"{number.source}: {number.what}: {number.printed}"
        outcome = _outcome(number)
        terminalreporter.write_line(line if outcome == "yes" else f"{line} ({outcome})")
    reproduced = [number for number in found if number.reproduced]
    loose = sum(number.percent > 0 for number in reproduced)
    terminalreporter.write_line(
        f"{len(found)} published numbers, {len(reproduced)} of them reproduced: "
        f"{len(reproduced) - loose} to the last printed digit, {loose} nearly"
    )
    if os.environ.get("JAXSCALE_WRITE_LIST") == "1":
        LIST.write_text(HEADER + "".join(map(_row, found)))


def _place(number: Number) -> list:
    """Sorts 7B before 13B, and Table 2 before Table 10."""
    parts = re.split(r"(\d+)", f"{number.source}: {number.what}: {number.printed}")
    return [int(part) if part.isdigit() else part for part in parts]


def _outcome(number: Number) -> str:
    if not number.reproduced:
        return "no"
    return f"within {number.percent:.2g} %" if number.percent else "yes"


def _row(number: Number) -> str:
    cells = (number.source, number.what, number.printed, _outcome(number))
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"
