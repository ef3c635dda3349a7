"""`jaxscale explore`: the page of sizes, costs and what matters, in a browser."""

import errno
import importlib.util
import os
import re
import socket
from collections.abc import Callable
from typing import Annotated

import typer

from jaxscale.cli import options, signals, tables
from jaxscale.cli.mistakes import Mistake
from jaxscale.cli.named_law import read_law
from jaxscale.published import Entry

EXAMPLES = """\
jaxscale explore
jaxscale explore --law fit.json
jaxscale explore --law li2025 --port 0 --no-show
"""
PORTS = range(2**16)
HOST = re.compile(r"[\w.:%-]{1,200}", re.ASCII)  # a name, or numbers of either kind

Law = Annotated[
    str | None,
    typer.Option(
        "--law",
        metavar="LAW",
        autocompletion=options.complete_laws,
        help="The law to open with: as for [bold]jaxscale plan[/bold], so a name or the file of a "
        "fit. The page has all published laws to choose from, and this one.",
    ),
]
Port = Annotated[
    int, typer.Option("--port", metavar="N", help="The port; 0 takes any that is free.")
]
Address = Annotated[
    str,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="Where to listen. Any other than 127.0.0.1 lets other machines use the page.",
    ),
]
NoShow = Annotated[bool, typer.Option("--no-show", help="Open no browser.")]


def explore(
    law: Law = None,
    port: Port = 5006,
    address: Address = "127.0.0.1",
    no_show: NoShow = False,
    as_json: options.Json = False,
) -> None:
    """A page that answers as one moves sliders: sizes, costs, pictures, and what matters.

    It is served on this machine, works offline, and holds its whole question in its address.
    """
    if port not in PORTS:
        raise Mistake(f"--port: {port} must be from 0 to {PORTS[-1]}")
    if not HOST.fullmatch(address):
        raise Mistake(f"--address: {address!r} is not an address of this machine")
    entry = None if law is None else _entry(law)
    if importlib.util.find_spec("panel_material_ui") is None:
        raise Mistake("the page needs Panel: pip install 'jaxscale[explore]'")

    def say(url: str) -> None:
        if as_json:
            tables.print_json("explore", {"address": url})
        else:
            print(f"jaxscale explore is at {url} ; Ctrl-C ends it", flush=True)

    _serve(entry, port, address, not no_show, say)


def _serve(
    law: Entry | None, port: int, address: str, show: bool, say: Callable[[str], None]
) -> None:
    from jaxscale.exploring import server, work

    code = 0
    try:
        server.serve(law, port=port, address=address, show=show, say=say)
    except (OSError, UnicodeError) as error:  # the latter of a name that is none
        raise Mistake(_why_not(error, port, address)) from None
    except signals.Interrupted as signal:
        if not work.is_compiling():
            raise
        code = signals.exit_code(signal.number)
    if work.is_compiling():  # which Python would wait for, and nothing can stop
        os._exit(code)


def _entry(text: str) -> Entry:
    named = read_law(text)
    return named.entry or Entry(named.name, named.law)


def _why_not(error: OSError | UnicodeError, port: int, address: str) -> str:
    """Why nothing can listen there, and what to do about it."""
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return f"--port: {port} is in use: give another, or 0 for any that is free"
    if number == errno.EACCES:
        return f"--port: {port} needs more rights: give one from 1024 on"
    if isinstance(error, UnicodeError | socket.gaierror) or number == errno.EADDRNOTAVAIL:
        return f"--address: {address!r} is not an address of this machine"
    return f"--address: cannot listen on {address!r}: {error.strerror}"
