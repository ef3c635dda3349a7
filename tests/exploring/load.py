"""Many pages at once, each moving a slider every few seconds, without browsers.

    python tests/exploring/load.py --pages 50 --seconds 60

Prints how long the new answer took, and the processor time of the server. Each answer is compared
with the library's for the question in its own command.
"""

import argparse
import asyncio
import html
import json
import random
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import websocket_connect

from jaxscale.exploring import Question

COMMAND = re.compile(r"jaxscale plan [^<]+")
PATIENCE = 120.0  # seconds for an answer, after which it counts as an error


class Slider(NamedTuple):
    id: str
    label: str
    low: float
    high: float


class Move(NamedTuple):
    """A slider that was moved, and what the page then showed."""

    seconds: float
    command: str
    text: str  # all that the page was sent, up to the new command


class Page:
    """A page as a browser has it: its sliders, and the messages that it is sent."""

    def __init__(self, socket: Any) -> None:
        self.socket, self.command, self.sliders = socket, "", []

    @classmethod
    async def opened(cls, url: str) -> "Page":
        reply = await AsyncHTTPClient().fetch(url, request_timeout=PATIENCE)
        found = re.search(r'"token":"([^"]+)"', html.unescape(reply.body.decode()))
        assert found, "the page has no token"
        request = HTTPRequest(url.replace("http", "ws", 1) + "ws", request_timeout=PATIENCE)
        protocols = ["bokeh", found[1]]
        socket = await websocket_connect(request, subprotocols=protocols, max_message_size=10**8)
        page = cls(socket)
        assert (await page.receive())[0]["msgtype"] == "ACK"
        await page.send("PULL-DOC-REQ", {})
        while True:
            header, content = await page.receive()
            if header["msgtype"] == "PULL-DOC-REPLY":
                break
        page.sliders = list(sliders(content))
        await page.send_events(
            {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": READY}
        )
        return page

    async def send(self, kind: str, content: dict[str, Any]) -> None:
        for part in ({"msgid": f"{random.random()}", "msgtype": kind}, {}, content):
            await self.socket.write_message(json.dumps(part))

    async def send_events(self, *events: dict[str, Any]) -> None:
        await self.send("PATCH-DOC", {"events": events})

    async def receive(self) -> tuple[dict[str, Any], Any]:
        header, _, content = [await self.fragment() for _ in range(3)]
        for _ in range(header.get("num_buffers", 0)):
            for _ in ("header", "bytes"):
                await self.socket.read_message()
        return header, content

    async def fragment(self) -> Any:
        message = await self.socket.read_message()
        if message is None:
            raise ConnectionError("the server closed the page")
        return json.loads(message)

    async def next_command(self) -> tuple[str, str]:
        """The next command that is not the last one, and all that the page is sent until then."""
        seen = ""
        while True:
            header, content = await self.receive()
            if header["msgtype"] == "ERROR":
                raise ConnectionError(str(content)[:300])
            for text in texts(content):
                seen += text
                found = COMMAND.search(html.unescape(text))
                if found and found[0].strip() != self.command:
                    self.command = found[0].strip()
                    return self.command, seen

    async def move(self, rng: random.Random) -> Move:
        slider = rng.choice(self.sliders)
        value = rng.uniform(slider.low, slider.high)
        start = time.perf_counter()
        changes = [
            {"kind": "ModelChanged", "model": {"id": slider.id}, "attr": name, "new": value}
            for name in ("value", "value_throttled")
        ]
        await self.send_events(*changes)
        command, text = await asyncio.wait_for(self.next_command(), PATIENCE)
        return Move(time.perf_counter() - start, command, text)


class Load(NamedTuple):
    opening: float  # seconds until all pages had their first answer
    moves: list[Move]
    errors: list[BaseException]


# What a browser says when it has drawn the page.
READY = {
    "type": "event",
    "name": "document_ready",
    "values": {"type": "map", "entries": []},
}


def sliders(content: Any) -> Iterator[Slider]:
    """The sliders in the JSON of a document."""
    if isinstance(content, dict):
        attributes = content.get("attributes", {})
        if str(attributes.get("label", "")).endswith(", slider"):
            low, high = attributes["start"], attributes["end"]
            yield Slider(content["id"], attributes["label"], low, high)
        content = list(content.values())
    if isinstance(content, list):
        for each in content:
            yield from sliders(each)


def texts(content: Any) -> Iterator[str]:
    """All strings in JSON."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict | list):
        for each in content.values() if isinstance(content, dict) else content:
            yield from texts(each)


def question_of(command: str) -> Question:
    """The question that a command asks."""
    words = shlex.split(command)[2:]
    pairs = zip(words[::2], words[1::2], strict=True)
    return Question({name.strip("-").replace("-", "_"): text for name, text in pairs})


async def opened(url: str) -> Page:
    """A page with its first answer."""
    page = await Page.opened(url)
    await asyncio.wait_for(page.next_command(), PATIENCE)
    return page


async def moved(page: Page, seconds: float, seed: int) -> list[Move]:
    """Move the sliders of a page for so long, one every one to three seconds."""
    rng = random.Random(seed)
    moves, end = [], time.monotonic() + seconds
    await asyncio.sleep(rng.uniform(0, 2))
    while time.monotonic() < end:
        moves.append(await page.move(rng))
        await asyncio.sleep(max(0.0, rng.uniform(1, 3) - moves[-1].seconds))
    return moves


async def load(url: str, count: int, seconds: float) -> "Load":
    """So many pages, opened at once and then used at once for so long."""
    AsyncHTTPClient.configure(None, max_clients=count)
    start = time.monotonic()
    opening = await asyncio.gather(*(opened(url) for _ in range(count)), return_exceptions=True)
    pages = [page for page in opening if isinstance(page, Page)]
    took = time.monotonic() - start
    found = await asyncio.gather(
        *(moved(page, seconds, seed) for seed, page in enumerate(pages)), return_exceptions=True
    )
    for page in pages:
        page.socket.close()
    moves = [move for each in found if isinstance(each, list) for move in each]
    errors = [each for each in (*opening, *found) if isinstance(each, BaseException)]
    return Load(took, moves, errors)


@contextmanager
def server() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server in a process of its own: the address of the page, and the process."""
    command = [sys.executable, "-m", "jaxscale.cli", "explore", "--port", "0", "--no-show"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[4], process
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    with server() as (url, process):
        asyncio.run(load(url, 1, 0))  # compiles
        start = cpu(process.pid)
        found = asyncio.run(load(url, options.pages, options.seconds))
        used = cpu(process.pid) - start
    took = 1e3 * np.quantile([move.seconds for move in found.moves], [0.5, 0.95, 1])
    print(f"{options.pages} pages, there after {found.opening:.1f} s")
    print(f"{len(found.moves)} answers in {options.seconds:.0f} s, {len(found.errors)} errors")
    print("each after {:.0f} ms (median), {:.0f} (95 %), {:.0f} (worst)".format(*took))
    print(f"the server used {used:.0f} s of processor time")
    for error in found.errors[:3]:
        print(repr(error))


def cpu(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    with open(f"/proc/{pid}/stat") as file:
        numbers = file.read().rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / 100


if __name__ == "__main__":
    main()
