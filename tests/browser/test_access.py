"""The page without a mouse, without sight, on a phone and in the dark."""

import pytest
from browser.on_page import field, wait_for_answer

PHONE = 390, 844
SIZES = {"desktop": (1280, 800), "phone": PHONE}
LOOKS = {"light": False, "dark": True}
# What the library makes of its own parts, and a page cannot change.
KNOWN = set()


def violations(page) -> list[str]:
    """What axe-core finds against WCAG 2.2 AA and its own advice."""
    axe = pytest.importorskip("axe_playwright_python.base", reason="needs axe-playwright-python")
    page.evaluate(axe.AXE_SCRIPT)
    found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    return [
        f"{fault['id']}: {fault['help']}: {node['html'][:200]} {node['failureSummary']}"
        for fault in found
        if fault["id"] not in KNOWN
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("dark", LOOKS.values(), ids=LOOKS)
def test_it_reads_well(visit, screenshot, size, dark):
    page = visit(size=size, dark=dark)
    wait_for_answer(page)
    look = "dark" if dark else "light"
    screenshot(page, f"{look}-{size[0]}")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    shades = [int(x) for x in background[4:-1].split(",")]
    assert max(shades) < 80 if dark else min(shades) > 230
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0]
    assert page.get_by_role("heading", level=1).count() == 1
    assert not (found := violations(page)), "\n".join(found)


def test_every_input_has_a_name(visit):
    page = visit()
    wait_for_answer(page)
    for role in ("textbox", "combobox", "slider", "button", "checkbox"):
        everything = page.get_by_role(role)
        named = page.get_by_role(role, name="")
        assert everything.count() == named.count()


def test_a_question_is_asked_by_keys_alone(visit):
    page = visit()
    wait_for_answer(page)
    page.evaluate("document.activeElement.blur()")
    box = field(page, "like_params")
    for _ in range(20):
        page.keyboard.press("Tab")
        if box.evaluate("box => box.getRootNode().activeElement === box"):
            break
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("13B")
    page.keyboard.press("Tab")
    wait_for_answer(page, like_params="13B")
    # The slider is next.
    page.keyboard.press("ArrowRight")
    wait_for_answer(page, like_params="13.1B")


def test_light_and_dark_are_a_button_apart(visit):
    page = visit()
    wait_for_answer(page)
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Toggle theme").click()
    page.wait_for_function(
        "before => getComputedStyle(document.body).backgroundColor !== before", arg=before
    )


def test_a_phone_shows_the_question_in_a_drawer(visit, screenshot):
    page = visit(size=PHONE)
    wait_for_answer(page)
    if not field(page, "like_params").is_visible():
        page.get_by_role("button", name="drawer").click()
    field(page, "like_params").wait_for()
    screenshot(page, "drawer-390")
    field(page, "like_params").fill("13B")
    field(page, "like_params").press("Enter")
    wait_for_answer(page, like_params="13B")
