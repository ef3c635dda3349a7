"""The page without a mouse, without sight, on a phone and in the dark."""

import pytest

from browser.on_page import field, wait_for_answer

PHONE = 390, 844
DESKTOP = 1280, 800


def violations(page) -> list[str]:
    """What axe-core finds: names, roles, contrast, headings and landmarks among them."""
    axe = pytest.importorskip("axe_playwright_python.base", reason="needs axe-playwright-python")
    page.evaluate(axe.AXE_SCRIPT)
    found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    return [
        f"{fault['id']}: {fault['help']}: {node['html'][:200]} {node['failureSummary']}"
        for fault in found
        for node in fault["nodes"]
    ]


def settle(page, dark: bool) -> None:
    """Wait until the page has its colours."""
    page.wait_for_function(
        """dark => {
          const shades = getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g);
          return (shades[0] < 80) === dark && document.getAnimations().length === 0;
        }""",
        arg=dark,
    )


@pytest.mark.parametrize(
    ("size", "dark"),
    [
        pytest.param(DESKTOP, False, id="desktop-light"),
        pytest.param(PHONE, True, id="phone-dark"),
        pytest.param(DESKTOP, True, id="desktop-dark", marks=pytest.mark.thorough),
        pytest.param(PHONE, False, id="phone-light", marks=pytest.mark.thorough),
    ],
)
def test_it_reads_well(visit, screenshot, size, dark):
    page = visit(size=size, dark=dark)
    wait_for_answer(page)
    settle(page, dark)
    screenshot(page, f"{'dark' if dark else 'light'}-{size[0]}")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0]
    assert page.get_by_role("heading", level=1).count() == 1
    assert not (found := violations(page)), "\n".join(found)


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
    settle(page, dark=False)
    page.get_by_role("button", name="Toggle theme").click()
    settle(page, dark=True)


def test_a_phone_shows_the_question_in_a_drawer(visit, screenshot):
    page = visit(size=PHONE)
    wait_for_answer(page)
    field(page, "like_params").wait_for(state="hidden")
    page.get_by_role("button", name="drawer").click()
    field(page, "like_params").wait_for()
    screenshot(page, "drawer-390")
    field(page, "like_params").fill("13B")
    field(page, "like_params").press("Enter")
    wait_for_answer(page, like_params="13B")
