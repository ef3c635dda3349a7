"""The page in a real browser: Chromium, driven by Playwright.

Tests are skipped where either is missing, and where JAXSCALE_CHROMIUM is empty. One server and one
browser serve them all. Each test has pages of its own, and fails where one of them logs an error
or asks another host for anything.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

CHROMIUM = "JAXSCALE_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",  # which root must not have
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
# Milliseconds after which something counts as missing, however loaded the machine is: the first
# answer of a law waits for the compiler.
MISSING = 120_000
DESKTOP = 1280, 800


@pytest.fixture(scope="package")
def chromium():
    """The path of the browser."""
    pytest.importorskip("panel_material_ui", reason="needs jaxscale[explore]")
    pytest.importorskip("playwright.sync_api", reason="needs playwright")
    names = NAMES if (name := os.environ.get(CHROMIUM)) is None else (name,)
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"no Chromium: install it, or name one in {CHROMIUM}")
    return path


@pytest.fixture(scope="package")
def browser(chromium):
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(executable_path=chromium, args=list(FLAGS))
        except Error as error:
            pytest.skip(f"{chromium} does not start: {error.message.splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def address(browser, tmp_path_factory) -> Iterator[str]:
    """The address of the page, which the command serves until the last test has run."""
    del browser  # no server where there is no browser
    log = tmp_path_factory.mktemp("server") / "log"
    command = [sys.executable, "-m", "jaxscale.cli", "explore", "--port", "0", "--no-show"]
    with log.open("w") as errors:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            yield _printed_address(server, log)
        finally:
            ended = server.poll()
            server.terminate()
            out, _ = server.communicate()
    said = out + log.read_text()
    assert ended is None, said
    assert not re.search("Traceback|ERROR", said), said


def _printed_address(server: subprocess.Popen[str], log: Path) -> str:
    assert server.stdout is not None
    for line in server.stdout:
        if printed := re.search(r"http://[\w.:]+/?", line):
            return printed[0].rstrip("/") + "/"
    raise AssertionError(f"the server ended with {server.wait()}: {log.read_text()}")


@pytest.fixture
def visit(browser, address) -> Iterator[Callable]:
    """`visit(query, size=PHONE, dark=True)`: the page of that query, in a profile of its own."""
    faults: list[str] = []
    host = urlsplit(address).netloc

    def watch(page):
        page.on("pageerror", lambda error: faults.append(f"error: {error.stack or error}"))
        page.on("crash", lambda _: faults.append("the page crashed"))
        page.on("console", lambda said: faults.extend(_complaints(said)))
        page.on("request", lambda request: faults.extend(_strangers(request.url, host)))
        page.on("websocket", lambda socket: faults.extend(_strangers(socket.url, host)))

    with ExitStack() as contexts:

        def visit(query="", size=DESKTOP, dark=False):
            context = browser.new_context(
                viewport={"width": size[0], "height": size[1]},
                color_scheme="dark" if dark else "light",
                permissions=["clipboard-read", "clipboard-write"],
            )
            contexts.callback(context.close)
            context.set_default_timeout(MISSING)
            page = context.new_page()
            watch(page)
            page.goto(f"{address}?{query}" if query else address)
            return page

        yield visit
    assert not faults, "\n".join(faults)


def _complaints(said) -> list[str]:
    return [f"{said.type}: {said.text}"] if said.type in ("error", "warning") else []


def _strangers(url: str, host: str) -> list[str]:
    parts = urlsplit(url)
    is_own = parts.scheme in ("data", "blob", "about") or parts.netloc == host
    return [] if is_own else [f"another host: {url}"]


@pytest.fixture
def screenshot(tmp_path) -> Callable:
    """`screenshot(page, name)` leaves a picture, in JAXSCALE_SCREENSHOTS where that is set."""
    folder = Path(os.environ.get("JAXSCALE_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return lambda page, name: page.screenshot(path=folder / f"{name}.png", full_page=True)
