"""A small web server of the page: on this machine alone unless told otherwise."""

import asyncio
import gc
import logging
import os
import secrets
import sys
import webbrowser
from collections.abc import Callable
from typing import Any

from panel.io.server import Server, get_server
from tornado.ioloop import IOLoop
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError

from jaxscale.exploring.guard import SafeHeaders, guard, hosts_of

TITLE = "jaxscale explore"
PORT, LOOPBACK = 5006, "127.0.0.1"
MOST_PAGES = 200  # open at once; each takes some megabytes
MOST_BYTES = 2**20  # of a message; a page sends the text of a field
HEADERS_BYTES = 2**16
# A page is kept for its browser, which on a busy server connects late: then it would be made anew.
UNUSED_MS = 60_000
# What a visitor can provoke is no news for whoever started the server.
QUIET = (
    *("bokeh.core.has_props", "bokeh.server.util", "bokeh.server.views"),
    *("tornado.access", "tornado.general"),
)


def serve(
    law: Any = None,
    *,
    port: int = PORT,
    address: str = LOOPBACK,
    show: bool = True,
    say: Callable[[str], None] | None = None,
    **texts: Any,
) -> None:
    """Serve the page until Ctrl-C; `law` and `texts` are those of `explore`.

    `say` is called with the address of the page once it is there; port 0 takes a free one. `show`
    opens it in a browser, where there is one. Raises OSError where the port or the address cannot
    be had.
    """
    from jaxscale.exploring import page  # which takes a second to import

    question, own = page.opened_with(law, **texts)
    loop = IOLoop(make_current=False)  # Panel does that; to ask for one that is not there warns
    try:
        server = listening(lambda: page.session(question, own), loop, port=port, address=address)
    except OSError:
        loop.close()
        raise
    gc.freeze()  # Panel looks for garbage after each page: 15 ms of what comes now, not 110 of all
    server.start()
    # What the first page needs is compiled before anybody asks for it.
    loop.add_callback(lambda: page.Explorer(question, own).start())
    if say is not None:
        say(address_of(server, address))
    if show and has_browser():
        loop.add_callback(webbrowser.open, address_of(server, address))
    loop.start()
    server.stop()


def listening(
    session: Callable[[], Any], loop: IOLoop, *, port: int = 0, address: str = LOOPBACK
) -> Server:
    """A server of the page that `session` makes for each visitor; its loop is not started.

    `session` is a plain function: Panel calls nothing else. Raises OSError where the port or the
    address cannot be had.
    """
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    server = get_server(
        {"/": session},
        port=port,
        address=address,
        title=TITLE,
        loop=loop,
        # A page is made only for who has asked for one here, as its signature shows.
        secret_key=secrets.token_bytes(32),
        sign_sessions=True,
        include_headers=["User-Agent"],
        include_cookies=[],
        unused_session_lifetime_milliseconds=UNUSED_MS,
        websocket_origin="*",  # the guard compares it with the name that the server is asked by
        websocket_max_message_size=MOST_BYTES,
        http_server_kwargs={"max_header_size": HEADERS_BYTES, "max_body_size": 0},
        transforms=[SafeHeaders],
    )
    server.io_loop.asyncio_loop.set_exception_handler(_overlook_leavers)  # pyright: ignore
    guard(server._tornado, hosts_of(address), lambda: len(server.get_sessions()) >= MOST_PAGES)
    return server


def _overlook_leavers(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say nothing of messages to a page that was closed meanwhile."""
    if not isinstance(context.get("exception"), WebSocketClosedError | StreamClosedError):
        loop.default_exception_handler(context)


def address_of(server: Server, address: str) -> str:
    """The address of the page for a browser on this machine."""
    host = {"": "localhost", "0.0.0.0": "localhost", "::": "localhost"}.get(address, address)
    return f"http://{f'[{host}]' if ':' in host else host}:{server.port}/"


def has_browser() -> bool:
    """Whether a person sits at a screen of this machine."""
    has_screen = sys.platform in ("win32", "darwin") or any(
        map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))
    )
    return has_screen and sys.stdout.isatty()
