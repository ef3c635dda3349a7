"""The page answers what its address asks, as the library does."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from browser.on_page import asked, field, number, rows, slider, until, wait_for_answer, write
from jaxscale.exploring import FIRST, Question

SHARED = {
    "budget": {"law": "muennighoff2023", "flops": "1e24", "inference_tokens": "1T"},
    "levers": {"law": "kumar2024", "lever.bits": "8", "loss": "3", "inference_tokens": "1T"},
    "accuracy": {"accuracy": "mmlu=45%", "inference_tokens": "2T"},
    "coefficients": {
        "law": "E=1.7,A=406,B=411,alpha=0.34,beta=0.28",
        "loss": "2",
        "inference_tokens": "1T",
    },
    "timed": {**FIRST.texts, "max_latency": "50ms", "family": "llama"},
}
# A field of each way to ask, in an order that asks each with one more.
WAYS = {
    "Loss": "loss",
    "Budget": "budget",
    "Accuracy": "accuracy",
    "Model": "like_params",
    "Requests": "requests",
    "Total": "inference_tokens",
}


def test_it_opens_with_an_answer(visit):
    page = visit()
    until(page, lambda: asked(page).texts != FIRST.texts and page.url)
    wait_for_answer(page)


@pytest.mark.parametrize("texts", SHARED.values(), ids=SHARED)
def test_a_shared_address_is_answered(visit, texts):
    question = Question(texts)
    page = visit(question.query())
    wait_for_answer(page, **question.texts)


def test_a_slider_follows_keys_and_mouse(visit):
    page = visit()
    wait_for_answer(page)
    thumb = slider(page, "like_params")
    before = asked(page).texts["like_params"]
    thumb.press("ArrowRight")
    until(page, lambda: asked(page).texts["like_params"] == before and page.url)
    wait_for_answer(page)
    after = asked(page).texts["like_params"]
    assert 1 < number(after) / number(before) < 1.1
    assert field(page, "like_params").input_value() == after
    rail = thumb.locator("xpath=..").locator("xpath=..").bounding_box()
    page.mouse.click(rail["x"] + 0.8 * rail["width"], rail["y"] + rail["height"] / 2)
    until(page, lambda: asked(page).texts["like_params"] == after and page.url)
    wait_for_answer(page)
    assert number(asked(page).texts["like_params"]) > 2 * number(after)


def test_a_slider_follows_what_is_typed(visit):
    page = visit()
    wait_for_answer(page)
    write(page, "like_params", "13B")
    wait_for_answer(page, like_params="13B")
    thumb = slider(page, "like_params")
    low, high, now = (float(thumb.get_attribute(f"aria-value{x}")) for x in ("min", "max", "now"))
    # From 100M to 2T by powers.
    share = np.log(13e9 / 1e8) / np.log(2e12 / 1e8)
    assert (now - low) / (high - low) == pytest.approx(share, abs=2e-3)


def test_going_back_leaves_the_page_and_not_its_answer(visit):
    page = visit()
    wait_for_answer(page)
    write(page, "like_params", "13B")
    wait_for_answer(page, like_params="13B")
    write(page, "like_params", "14B")
    wait_for_answer(page, like_params="14B")
    page.go_back()
    assert page.url == "about:blank"
    page.go_forward()
    wait_for_answer(page, like_params="14B")


def test_the_ways_to_ask_bring_their_fields(visit):
    page = visit()
    wait_for_answer(page)
    for way, first in WAYS.items():
        page.get_by_role("button", name=way, exact=True).click()
        field(page, first).wait_for()
        until(page, lambda first=first: first not in asked(page).texts and page.url)
        wait_for_answer(page)
    page.get_by_role("button", name="FLOPs", exact=True).click()
    wait_for_answer(page, train_on="", train_price="")
    assert "FLOPs" in page.get_by_role("status").inner_text()


def test_a_law_brings_its_levers(visit):
    page = visit("loss=3&inference_tokens=1T")
    wait_for_answer(page, loss="3")
    write(page, "law", "kumar2024")
    bits = page.get_by_label("Bits", exact=True)
    bits.fill("4")
    bits.press("Enter")
    wait_for_answer(page, **{"law": "kumar2024", "lever.bits": "4"})
    assert number(rows(page)["Bits"]["Optimum"]) == 4


def test_the_command_is_copied_as_it_is_shown(visit):
    page = visit()
    wait_for_answer(page)
    page.get_by_role("button", name="Copy the command").click()
    until(
        page,
        lambda: page.evaluate("navigator.clipboard.readText()") != asked(page).command() and "copy",
    )


def test_pictures_are_downloaded(visit):
    page = visit()
    wait_for_answer(page)
    buttons = page.get_by_role("button", name=" as CSV").all()
    assert len(buttons) == 5
    for button in buttons:
        with page.expect_download() as download:
            button.click()
        text = Path(download.value.path()).read_text()
        head, *lines = csv.reader(io.StringIO(text))
        assert len(lines) > 3, download.value.suggested_filename
        assert {len(line) for line in lines} == {len(head)}
    buttons = page.get_by_role("button", name=" as PNG").all()
    assert len(buttons) == 4
    for button in buttons:
        with page.expect_download() as download:
            button.press("Enter")
        assert Path(download.value.path()).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
