"""Mistakes are said beside their field, and the page keeps its last good answer."""

import pytest

from browser.on_page import asked, field, rows, until, wait_for_answer, write
from jaxscale.exploring import FIRST, Mistakes, read
from jaxscale.exploring.question import LONGEST

QUESTIONS = {
    "dollars": "",
    "requests": "loss=2&requests=1B&input_per_request=1000&output_per_request=100",
    "timed": FIRST.with_texts({"max_latency": "50ms", "family": "llama"}).query(),
}
NONSENSE = ("banana", "-1", "1e999", "<img src=x onerror=alert(1)>", "9" * 500, "0x10")


def mistake_of(page, name: str) -> str:
    """What is said beside a field that is marked as wrong."""
    return field(page, name).evaluate(
        """box => box.getAttribute("aria-invalid") !== "true" ? "" :
          box.getRootNode().getElementById(box.getAttribute("aria-describedby"))?.innerText ?? ""
        """
    )


def best(page) -> dict[str, str]:
    """The best plan in the table; its intervals may come later."""
    return {name: cells["Optimum"] for name, cells in rows(page).items()}


@pytest.mark.parametrize("query", QUESTIONS.values(), ids=QUESTIONS)
def test_nonsense_is_said_beside_its_field(visit, query):
    page = visit(query)
    wait_for_answer(page)
    right = asked(page)
    before = best(page)
    for name, text in right.texts.items():
        if query and text == FIRST.texts.get(name):
            continue  # is tried in the first question
        write(page, name, "banana")
        with pytest.raises(Mistakes) as mistakes:
            read(right.with_texts({name: "banana"}))
        words = mistakes.value.by_field[name]
        until(page, lambda name=name, words=words: _other_words(mistake_of(page, name), words))
        assert best(page) == before
        write(page, name, text)
        until(page, lambda name=name: mistake_of(page, name))
    wait_for_answer(page, **right.texts)


def _other_words(said: str, words: str) -> str:
    return "" if said.lower() == words.lower() else f"{said!r} is not {words!r}"


def test_odd_texts_leave_the_page_alive(visit):
    page = visit()
    wait_for_answer(page)
    for text in NONSENSE:
        write(page, "like_params", text)
        until(page, lambda text=text: asked(page).texts["like_params"] != text[:LONGEST])
    write(page, "like_params", "7B")
    wait_for_answer(page, like_params="7B")


def test_an_old_answer_says_so(visit):
    page = visit()
    wait_for_answer(page)
    write(page, "train_price", "-1")
    page.get_by_text("What is below is the last answer").wait_for()
    write(page, "train_price", "3")
    wait_for_answer(page, train_price="3")
    page.get_by_text("What is below is the last answer").wait_for(state="hidden")


@pytest.mark.parametrize(
    "query",
    [
        "like_params=banana",
        "loss=2&like_params=7B",
        "law=/etc/passwd&loss=2",
        "%00=1&x=%ff",
        "loss=0.1",
    ],
)
def test_an_address_with_mistakes_opens_all_the_same(visit, query):
    page = visit(query)
    page.get_by_role("status").filter(has_not_text="Computing").first.wait_for()
    write(page, "law", "besiroglu2024")
    until(page, lambda: asked(page).texts.get("law") != "besiroglu2024" and page.url)
