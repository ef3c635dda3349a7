"""Many pages at once."""

from browser.on_page import asked, slider, until, wait_for_answer
from jaxscale.exploring import FIRST

PAGES = 4
# What takes longest to compile, and no other test asks.
SLOW = FIRST.with_texts({"like_params": "", "loss": "2.1", "max_latency": "50ms"})


def test_a_slow_compile_holds_up_no_other_page(visit):
    pages = [visit() for _ in range(PAGES)]
    for page in pages:
        wait_for_answer(page)
    slow = visit(SLOW.query())
    wait_for_answer(slow)  # which is there before its programs
    for page in pages:
        before = asked(page).texts["like_params"]
        slider(page, "like_params").press("ArrowRight")
        until(page, lambda page=page, before=before: _is_asked(page, before))
        wait_for_answer(page)


def _is_asked(page, before: str) -> str:
    return page.url if asked(page).texts["like_params"] == before else ""
