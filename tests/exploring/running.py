"""A running server for tests, in a thread of its own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tornado.ioloop import IOLoop

from jaxscale.exploring.server import address_of, listening


@contextmanager
def served(session: Callable[[], Any], address: str = "127.0.0.1") -> Iterator[str]:
    """The address of a server of this page, which runs inside the block."""
    there, about = threading.Event(), {}

    def run() -> None:
        about["loop"] = loop = IOLoop(make_current=False)
        server = listening(session, loop, address=address)
        server.start()
        about["url"] = address_of(server, address)
        there.set()
        loop.start()
        server.stop()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert there.wait(30)
    try:
        yield about["url"]
    finally:
        about["loop"].add_callback(about["loop"].stop)
        thread.join(30)
