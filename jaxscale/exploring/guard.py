"""What is refused before any handler sees it, and the headers that all replies have.

A page on another site must not reach this server through the browser of its user: neither by a
request of its own, nor under a name of its own that it points to this address (DNS rebinding).
"""

import ipaddress
import re
import socket
from collections.abc import Callable, Collection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.routing import Matcher, Rule
from tornado.web import Application, OutputTransform, RequestHandler

# What the page needs. Panel has more routes; one of them imports any module that it is asked for.
SERVED = re.compile(r"/|/ws|/favicon\.ico|/static/(?:(?!%00).)*")
LONGEST = 8000  # characters of an address: several times what all fields take
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
HEADERS = {
    # Bokeh and Panel write scripts and styles into the page; nothing comes from another host.
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
}


class Hosts(NamedTuple):
    """The names under which the server may be asked."""

    names: Collection[str]
    any_number: bool  # also any IP address: no other site can point one to this machine

    def have(self, name: str) -> bool:
        return name in self.names or (self.any_number and _is_number(name))


def hosts_of(address: str) -> Hosts:
    """The names of the server that listens on this address."""
    name = address.lower()
    if name in LOOPBACK:
        return Hosts(LOOPBACK, False)
    machine = socket.gethostname().lower()
    return Hosts(LOOPBACK | {name, machine, f"{machine}.local", socket.getfqdn().lower()}, True)


def guard(application: Application, hosts: Hosts, is_full: Callable[[], bool]) -> None:
    """Refuse requests under other names, of other sites, for other paths, and new pages when full.

    The rule comes before all routes of the application.
    """
    application.default_router.rules.insert(0, Rule(_Refused(hosts, is_full), _Refusal))


def refusal(request: HTTPServerRequest, hosts: Hosts) -> tuple[int, str] | None:
    """The HTTP status of a request that is refused, and why; None for one that is not."""
    origin = request.headers.get("Origin")
    if not hosts.have(request.host_name.lower().strip("[]")):
        return 403, "this server has another name"
    if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
        return 403, "the request comes from another site"
    # A link on another site may lead here; its pictures and scripts may not.
    site, goal = (request.headers.get(f"Sec-Fetch-{name}") for name in ("Site", "Dest"))
    if site in ("cross-site", "same-site") and goal != "document":
        return 403, "the request comes from another site"
    if len(request.uri or "") > LONGEST:
        return 414, f"the address has more than {LONGEST} characters"
    if request.method not in ("GET", "HEAD"):
        return 405, "only pages are served"
    # By these arguments Bokeh would give a page to several visitors.
    if not SERVED.fullmatch(request.path) or any(x.startswith("bokeh-") for x in request.arguments):
        return 404, "there is no such page"
    return None


class SafeHeaders(OutputTransform):
    """Sets `HEADERS` on every reply of a Tornado application."""

    def __init__(self, request: HTTPServerRequest) -> None:
        del request

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        del finishing
        headers.update(HEADERS)
        headers.pop("Server", None)
        return status_code, headers, chunk


class _Refused(Matcher):
    """Matches requests that are refused, with the status and the reason."""

    def __init__(self, hosts: Hosts, is_full: Callable[[], bool]) -> None:
        self.hosts, self.is_full = hosts, is_full

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        found = refusal(request, self.hosts)
        if found is None and request.path == "/" and self.is_full():
            found = 503, "too many pages are open: close some"
        return None if found is None else {"target_kwargs": {"refused": found}}


class _Refusal(RequestHandler):
    """Says in a line why a request is refused."""

    def initialize(self, refused: tuple[int, str]) -> None:
        self.refused = refused

    def prepare(self) -> None:
        status, why = self.refused
        self.set_status(status)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{why}\n")


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
