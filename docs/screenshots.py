"""Make the screenshots of the page in docs/images/ anew.

    python docs/screenshots.py

Needs what the tests of the page need: jaxscale[test] and Chromium. It takes some minutes, most
of them for compiling.
"""

import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
MISSING = 300_000  # milliseconds after which something counts as missing
CALM = 20_000  # milliseconds without a change, after which all laws have answered


class Shot(NamedTuple):
    """A file, the size of its window, and the headings between which the window is cut, if any."""

    name: str
    size: tuple[int, int]
    dark: bool = False
    between: tuple[str, str] | None = None


SHOTS = (
    Shot("explore", (1280, 800)),
    Shot(
        "explore-pictures",
        (1280, 2600),
        dark=True,
        between=("Loss over params and training tokens", "As a command"),
    ),
    Shot("explore-phone", (390, 844)),
)


@contextmanager
def served() -> Iterator[str]:
    """The address of the page while it is served."""
    command = [sys.executable, "-m", "jaxscale.cli", "explore", "--port", "0", "--no-show"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found, "the server did not start"
        try:
            yield found[0]
        finally:
            server.terminate()


def settle(page: Page) -> None:
    """Wait until the page has answered and nothing on it changes any more."""
    page.get_by_text("laws have an answer").wait_for(timeout=MISSING)
    before = b""
    while before != (now := page.screenshot()):
        before = now
        page.wait_for_timeout(CALM)


def clip(page: Page, between: tuple[str, str] | None) -> dict[str, Any]:
    """The part of the window to keep, as arguments of a screenshot."""
    if between is None:
        return {}
    first, last = (page.get_by_role("heading", name=x, exact=True).bounding_box() for x in between)
    assert first
    assert last
    assert page.viewport_size
    x, top, bottom = first["x"] - 16, first["y"] - 12, last["y"] - 12
    width = page.viewport_size["width"] - x
    return {"clip": {"x": x, "y": top, "width": width, "height": bottom - top}}


def save(png: bytes, name: str) -> None:
    """Write a picture with a palette, in half of its bytes or less."""
    path = IMAGES / f"{name}.png"
    image = Image.open(io.BytesIO(png)).convert("RGB")
    # Small things, such as the star of a plan, keep their colours; by means, so do large ones.
    image = image.quantize(method=Image.Quantize.MAXCOVERAGE, kmeans=4, dither=Image.Dither.NONE)
    image.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    chromium = os.environ.get("JAXSCALE_CHROMIUM") or shutil.which("chromium")
    with served() as address, sync_playwright() as driver:
        flags = ["--no-sandbox", "--disable-gpu"]
        browser = driver.chromium.launch(executable_path=chromium, args=flags)
        for shot in SHOTS:
            width, height = shot.size
            page = browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme="dark" if shot.dark else "light",
                is_mobile=width < 600,
            )
            page.goto(address)
            settle(page)
            save(page.screenshot(**clip(page, shot.between)), shot.name)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
