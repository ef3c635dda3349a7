"""What the server of the page lets through, and what it refuses."""

import asyncio
import http.client
from urllib.parse import urlsplit

import pytest

pytest.importorskip("panel_material_ui")

from bokeh.util.token import generate_jwt_token
from tornado.websocket import websocket_connect

from exploring.running import served
from jaxscale.exploring import guard

PAGE = "what the page says"
SECRETS = ("root:", "[project]", "import ")


def page():
    import panel as pn

    return pn.pane.Markdown(PAGE)


@pytest.fixture(scope="module")
def url():
    with served(page) as url:
        yield url


def asked(url, path="/", method="GET", **headers):
    """Status, headers and text of a reply; the path is sent as it is."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    reply = connection.getresponse()
    found = reply.status, dict(reply.getheaders()), reply.read().decode(errors="replace")
    connection.close()
    return found


def test_the_page_is_there_and_only_on_this_machine(url):
    status, headers, text = asked(url, "/?like_params=70B")
    assert status == 200
    assert "bokeh" in text
    assert set(guard.HEADERS) <= set(headers)
    assert urlsplit(url).hostname == "127.0.0.1"
    assert asked(url, Host=f"localhost:{urlsplit(url).port}")[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:5006", "1.2.3.4", "[::2]", "127.0.0.1.evil.example"]
)
def test_another_name_is_refused(url, host):
    status, _, text = asked(url, Host=host)
    assert (status, text) == (403, "this server has another name\n")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "image"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Dest": "empty"},
    ],
)
@pytest.mark.parametrize("path", ["/", "/ws", "/static/js/bokeh.min.js"])
def test_another_site_is_refused(url, path, headers):
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"} if path == "/ws" else {}
    assert asked(url, path, **headers, **upgrade)[0] == 403


def test_a_link_on_another_site_leads_here(url):
    found = asked(url, Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="document")
    assert found[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/metadata", "/autoload.js?bokeh-autoload-element=a", "/rest/session_info", "/admin"),
        *("/components/antigravity/a/_css/a", "/liveness", "/favicon.ico/x", "//etc/passwd"),
        *("/static/%00", "/static/js/a%00b"),
        *("/?bokeh-session-id=abc", "/?bokeh-token=abc", "/jaxscale/exploring/server.py"),
    ],
)
def test_nothing_else_is_there(url, path):
    assert asked(url, path)[0] == 404


@pytest.mark.parametrize("root", ["/static", "/static/js", "/static/extensions/panel"])
@pytest.mark.parametrize("up", ["..", "%2e%2e", "..%2f", "%2e%2e%2f", "..\\", "%5c.."])
def test_no_file_is_read(url, root, up):
    for file in ("etc/passwd", "pyproject.toml", "server.py"):
        for path in (f"{root}{f'/{up}' * 12}/{file}", f"{root}//{file}", f"{root}/{up}/{file}"):
            status, _, text = asked(url, path)
            assert status in (403, 404), path
            assert not any(secret in text for secret in SECRETS), path
    assert asked(url, f"{root}/")[0] in (403, 404)  # no list of files


def test_inputs_are_bounded(url):
    assert asked(url, f"/?a={'1' * guard.LONGEST}")[0] == 414
    assert asked(url, "/?" + "&".join(f"a{i}=1" for i in range(500)))[0] == 200
    assert asked(url, "/?like_params=%ff%00%80")[0] == 200
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        assert asked(url, method=method)[0] == 405
    with pytest.raises(http.client.HTTPException):
        asked(url, X_Long="1" * 100_000)


@pytest.mark.parametrize("token", ["x", "e30", generate_jwt_token("a" * 44)])
def test_who_has_not_asked_for_a_page_gets_none(url, token):
    async def first_message():
        address = url.replace("http", "ws", 1) + "ws"
        socket = await websocket_connect(address, subprotocols=["bokeh", token])
        try:
            return await socket.read_message()
        finally:
            socket.close()

    assert asyncio.run(first_message()) is None  # the server closed it


def test_no_page_is_made_when_too_many_are_open(monkeypatch):
    monkeypatch.setattr("jaxscale.exploring.server.MOST_PAGES", 2)
    with served(page) as url:
        assert [asked(url)[0] for _ in range(3)] == [200, 200, 503]
        assert asked(url, "/static/js/bokeh.min.js")[0] == 200


def test_other_machines_may_ask_where_that_is_wanted():
    hosts = guard.hosts_of("0.0.0.0")
    assert hosts.have("10.1.2.3")
    assert hosts.have("fe80::1")
    assert not hosts.have("evil.example")
    assert guard.hosts_of("node7").have("node7")
    assert not guard.hosts_of("localhost").have("10.1.2.3")
