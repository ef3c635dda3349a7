"""Many pages at once."""

from browser.on_page import asked, slider, until, wait_for_answer

from jaxscale.exploring import Question

PAGES = 4
# A law that no other test asks: it is compiled here.
SLOW = Question({"law": "farseer2025", "like_params": "7B", "inference_tokens": "1T"})


def test_a_slow_compile_holds_up_no_other_page(visit):
    pages = [visit() for _ in range(PAGES)]
    for page in pages:
        wait_for_answer(page)
    slow = visit(SLOW.query())
    slow.get_by_text("Compiling").wait_for()
    for page in pages:
        before = asked(page).texts["like_params"]
        slider(page, "like_params").press("ArrowRight")
        until(page, lambda page=page, before=before: _is_asked(page, before))
        wait_for_answer(page)
    assert slow.get_by_text("Compiling").is_visible()
    wait_for_answer(slow)


def _is_asked(page, before: str) -> str:
    return page.url if asked(page).texts["like_params"] == before else ""
