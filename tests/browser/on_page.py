"""What a person reads and does on the page."""

import re
import time
from functools import cache
from urllib.parse import urlsplit

from jaxscale.exploring import Answer, Mistakes, Question, read
from jaxscale.exploring.answering import answer_at_once
from jaxscale.exploring.fields import FIELDS

PLANS = "The best plan beside the Chinchilla plan of equal loss"
POWERS = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12, "Q": 1e15}
SHOWN = {  # rows of the table, by what they show of a plan
    "params": "Params",
    "tokens": "Training tokens",
    "loss": "Loss",
    "train_cost": "Cost of training",
    "prefill_cost": "Cost of prefill",
    "decode_cost": "Cost of decode",
    "total_cost": "Total cost",
}
MINUTES = 120  # seconds


def asked(page) -> Question:
    """The question in the page's address."""
    return Question.of_query(urlsplit(page.url).query)


def rows(page) -> dict[str, dict[str, str]]:
    """The answer's table: cells by row and by column."""
    table = page.get_by_role("table", name=PLANS)
    if not table.count():
        return {}
    lines = table.evaluate("t => [...t.rows].map(r => [...r.cells].map(c => c.innerText.trim()))")
    heads = lines[0][1:]
    # Without the unit of a loss, which not every law has.
    return {
        name.removesuffix(", nats per token"): dict(zip(heads, cells, strict=True))
        for name, *cells in lines[1:]
    }


def number(text: str) -> float:
    """The number that the page writes: `41.6B`, `$1.29M`, `4.9e+23 FLOPs`, `–` where none."""
    digits = re.match(r"\$?([0-9.,]+)(e[+-]?[0-9]+)?([KMBTQ]?)\b", text)
    if digits is None:
        return float("nan")
    return float(digits[1].replace(",", "") + (digits[2] or "")) * POWERS[digits[3]]


@cache
def answer_to(query: str) -> Answer:
    """The library's answer, without waiting for the compiler a second time."""
    return answer_at_once(read(Question.of_query(query)))


def differences(page) -> list[str]:
    """Where the page says something else than the library answers to the page's address."""
    shown, found = rows(page), []
    if not shown:
        return ["no answer"]
    try:
        answered = answer_to(asked(page).query())
    except Mistakes as mistakes:
        return [str(mistakes)]
    for column, plan in (("Optimum", answered.optimum), ("Chinchilla", answered.chinchilla)):
        for name, row in SHOWN.items():
            text, true = shown[row][column], float(getattr(plan, name))
            # Half a unit of the last of three digits.
            near = abs(number(text) - true) <= 5.01e-3 * abs(true)
            if name == "loss":
                near = abs(number(text) - true) <= 5.01e-5
            if not (near or (true != true and number(text) != number(text))):
                found.append(f"{row}, {column}: {text!r} is not {true:.6g}")
    return found


def wait_for_answer(page, **texts: str) -> None:
    """Wait until the address asks for these texts, and the page answers what the address asks.

    An empty text is one that the address does not have.
    """
    until(page, lambda: _lacking(page, texts) or differences(page))


def _lacking(page, texts) -> list[str]:
    given = asked(page).texts
    return [
        f"{name} is {given.get(name, '')!r}, not {text!r}"
        for name, text in texts.items()
        if given.get(name, "") != text
    ]


def until(page, faults) -> None:
    """Wait until `faults()` are none."""
    end = time.monotonic() + MINUTES
    while left := faults():
        assert time.monotonic() < end, f"{page.url}: {left}"
        page.wait_for_timeout(20)


def field(page, name: str):
    """The field of that option."""
    box = page.get_by_role("combobox").or_(page.get_by_role("textbox"))
    return page.get_by_label(FIELDS[name].label, exact=True).and_(box)


def slider(page, name: str):
    return page.get_by_role("slider", name=f"{FIELDS[name].label}, slider", exact=True)


def write(page, name: str, text: str) -> None:
    """Type into a field, and leave it."""
    field(page, name).fill(text)
    field(page, name).press("Enter")
