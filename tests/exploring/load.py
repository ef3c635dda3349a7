"""Many pages at once, each moving a slider every few seconds, without browsers.

    python tests/exploring/load.py --pages 50 --seconds 60

Prints how long the new answer took, and the processor time of the server. Each answer is compared
with the library's for the question that was asked, and so is the address of each page at the end.
"""

import argparse
import asyncio
import html
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import websocket_connect

from jaxscale.exploring import FIRST, Question, answer, read
from jaxscale.exploring.fields import FIELDS
from jaxscale.exploring.report import table_of
from jaxscale.exploring.widgets import text_at

COMMAND = re.compile(r"jaxscale plan [^<]+")
PATIENCE = 120.0  # seconds for an answer, after which it counts as an error
PAUSE = 1.0, 3.0  # seconds between the moves of a person, at least and at most
NAMES = {f"{field.label}, slider": name for name, field in FIELDS.items()}


class Slider(NamedTuple):
    id: str
    name: str  # of its field
    low: float
    high: float


class Move(NamedTuple):
    """A slider that was moved, what is asked since, and what the page then showed."""

    seconds: float  # until the new answer was there
    question: Question
    text: str  # all that the page was sent, up to the command of the question


class Page:
    """A page as a browser has it: its sliders, and the messages that it is sent."""

    def __init__(self, socket: Any) -> None:
        self.socket, self.question, self.sliders = socket, FIRST, []

    @classmethod
    async def opened(cls, url: str) -> "Page":
        """A page with its first answer."""
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
        await page.answered()
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
        if header["msgtype"] == "ERROR":
            raise ConnectionError(str(content)[:300])
        return header, content

    async def fragment(self) -> Any:
        message = await self.socket.read_message()
        if message is None:
            raise ConnectionError("the server closed the page")
        return json.loads(message)

    async def answered(self) -> str:
        """All that the page is sent until it shows the command of what is asked."""
        command = self.question.command()

        def shows_it(text: str) -> bool:
            found = COMMAND.search(html.unescape(text))
            return found is not None and found[0].strip() == command

        return await self.sent_until(shows_it)

    async def sent_until(self, is_there: Callable[[str], bool]) -> str:
        """All texts that the page is sent, up to the message with one that is looked for."""

        async def collected() -> str:
            seen = ""
            while True:
                some = list(texts((await self.receive())[1]))
                seen += "".join(some)
                if any(map(is_there, some)):
                    return seen

        return await asyncio.wait_for(collected(), PATIENCE)

    async def move(self, rng: random.Random) -> Move:
        slider = rng.choice(self.sliders)
        value = rng.uniform(slider.low, slider.high)
        asked = self.question.with_texts({slider.name: text_at(FIELDS[slider.name], value)})
        if asked == self.question:
            return await self.move(rng)
        self.question = asked
        start = time.perf_counter()
        changes = [
            {"kind": "ModelChanged", "model": {"id": slider.id}, "attr": name, "new": value}
            for name in ("value", "value_throttled")
        ]
        await self.send_events(*changes)
        text = await self.answered()
        return Move(time.perf_counter() - start, asked, text)


class Load(NamedTuple):
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
        name = NAMES.get(str(attributes.get("label", "")))
        if name is not None:
            yield Slider(content["id"], name, attributes["start"], attributes["end"])
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


async def opened(url: str, count: int) -> list[Page]:
    """So many pages at once, each with its first answer."""
    AsyncHTTPClient.configure(None, max_clients=count)
    return await asyncio.gather(*(Page.opened(url) for _ in range(count)))


async def moved(page: Page, count: int, pause: tuple[float, float], seed: int) -> list[Move]:
    """Move sliders of a page so many times, and wait for the address to follow."""
    rng, moves = random.Random(seed), []
    for _ in range(count):
        seconds = rng.uniform(*pause) - (moves[-1].seconds if moves else 0)
        await asyncio.sleep(max(0, seconds))
        moves.append(await page.move(rng))
    await page.sent_until(f"?{page.question.query()}".__eq__)
    return moves


async def load(pages: Sequence[Page], count: int, pause: tuple[float, float] = PAUSE) -> Load:
    """Move sliders of all pages at once, so many times each, and close the pages."""
    found = await asyncio.gather(
        *(moved(page, count, pause, seed) for seed, page in enumerate(pages)),
        return_exceptions=True,
    )
    for page in pages:
        page.socket.close()
    moves = [move for each in found if isinstance(each, list) for move in each]
    return Load(moves, [each for each in found if isinstance(each, BaseException)])


def has_answer(move: Move) -> bool:
    """Whether the page showed the library's answer to what was asked."""
    return table_of(answer(read(move.question))) in html.unescape(move.text)


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


async def measured(url: str, pid: int, pages: int, seconds: float) -> Load:
    """A load on a server in which all is compiled, and what it took, printed."""
    (first,) = await opened(url, 1)
    await idle(pid)
    first.socket.close()
    start, used = time.monotonic(), cpu(pid)
    there = await opened(url, pages)
    print(f"{pages} pages, there after {time.monotonic() - start:.1f} s", end="")
    print(f", {1e3 * (cpu(pid) - used) / pages:.0f} ms of processor time each")
    await idle(pid)
    start, used = time.monotonic(), cpu(pid)
    found = await load(there, round(seconds / np.mean(PAUSE)))
    took, used = time.monotonic() - start, cpu(pid) - used
    print(f"{len(found.moves)} moves in {took:.0f} s, {len(found.errors)} errors")
    print(f"{1e3 * used / len(found.moves):.0f} ms of processor time each")
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    with server() as (url, process):
        found = asyncio.run(measured(url, process.pid, options.pages, options.seconds))
    took = 1e3 * np.quantile([move.seconds for move in found.moves], [0.5, 0.95, 1])
    print("answers after {:.0f} ms (median), {:.0f} (95 %), {:.0f} (worst)".format(*took))
    wrong = [move.question.command() for move in found.moves if not has_answer(move)]
    print(f"{len(wrong)} wrong answers")
    for each in (*found.errors[:3], *wrong[:3]):
        print(repr(each))


async def idle(pid: int) -> None:
    """Wait until a process has nothing more to do, such as to compile."""
    before = cpu(pid)
    while True:
        await asyncio.sleep(2)
        now = cpu(pid)
        if now - before < 0.1:
            return
        before = now


def cpu(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    with open(f"/proc/{pid}/stat") as file:
        numbers = file.read().rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / 100


if __name__ == "__main__":
    main()
