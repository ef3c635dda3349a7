"""Prints the time from a key pressed on a slider to the new answer in the page.

`python tests/browser/measure.py ADDRESS [CHROMIUM]`, with `jaxscale explore` at that address.
"""

import statistics
import sys
import time

from playwright.sync_api import sync_playwright

PRESSES = 30
PLANS = "The best plan beside the Chinchilla plan of equal loss"


def main(address: str, chromium: str = "/usr/bin/chromium") -> None:
    """Press a key of the first slider, and wait for the answer to change, many times."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(address)
        table = page.get_by_role("table", name=PLANS)
        table.wait_for(timeout=120_000)
        page.wait_for_timeout(10_000)  # while the pictures are compiled
        thumb = page.get_by_role("slider").first
        seconds = []
        for _ in range(PRESSES):
            before, start = table.inner_text(), time.perf_counter()
            thumb.press("ArrowRight")
            while table.inner_text() == before:
                pass
            seconds.append(time.perf_counter() - start)
            page.wait_for_timeout(300)
        browser.close()
    print(f"median {1e3 * statistics.median(seconds):.0f} ms, worst {1e3 * max(seconds):.0f} ms")


if __name__ == "__main__":
    main(*sys.argv[1:])
