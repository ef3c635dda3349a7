"""`jaxscale explore`: it says where the page is, and what is wrong in one line."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

pytest.importorskip("typer")
pytest.importorskip("panel_material_ui")

from jaxscale.cli import explore, signals
from jaxscale.exploring import server, work
from processes import HUNG


@pytest.fixture
def serving(monkeypatch):
    """What the command asks the server for; no server runs."""
    asked = []

    def serve(law, *, port, address, show, say):
        asked.append((law, port, address, show))
        say("http://127.0.0.1:5006/")

    monkeypatch.setattr(server, "serve", serve)
    return asked


def test_it_says_where_the_page_is(command, serving):
    code, out, err = command("explore")
    assert (code, err) == (0, "")
    assert out == "jaxscale explore is at http://127.0.0.1:5006/ ; Ctrl-C ends it\n"
    assert serving == [(None, 5006, "127.0.0.1", True)]


def test_it_says_so_as_json(command, serving):
    record = json.loads(command("explore", "--json", "--no-show", "--law", "li2025").out)
    assert record["address"] == "http://127.0.0.1:5006/"
    assert serving[0][0].name == "li2025"
    assert serving[0][3] is False


@pytest.mark.filterwarnings("ignore:unclosed <socket")  # that Tornado could not bind
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--law", "sardana"), "--law: unknown law 'sardana' (did you mean"),
        (("--law", "no.json"), "--law: "),
        (("--port", "70000"), "--port: 70000 must be from 0 to 65535"),
        (("--port", "x"), "Invalid value for '--port'"),
        (("--port", "0", "--address", "192.0.2.1"), "--address: '192.0.2.1' is not an address"),
        (("--port", "0", "--address", "no host"), "--address: 'no host' is not an address"),
        (("--port", "0", "--address", ""), "--address: '' is not an address"),
        (("--port", "0", "--address", "a..b"), "--address: 'a..b' is not an address"),
    ],
)
def test_mistakes_are_one_line(command, arguments, said):
    code, out, err = command("explore", "--no-show", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1


@pytest.mark.filterwarnings("ignore:unclosed <socket")  # that Tornado could not bind
def test_a_port_in_use_is_a_mistake(command):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = command("explore", "--port", str(port), "--no-show")
    assert code == 2
    assert err == f"error: --port: {port} is in use: give another, or 0 for any that is free\n"


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
@pytest.mark.usefixtures("signals_are_heard")
def test_ctrl_c_ends_it_quietly():
    command = [sys.executable, "-m", "jaxscale.cli", "explore", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().startswith("jaxscale explore is at http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=HUNG)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (0, "", "")


def test_no_signal_waits_for_a_compile(monkeypatch):
    def ended(*_, **__):
        raise signals.Interrupted(signal.SIGTERM)

    codes = []
    monkeypatch.setattr(server, "serve", ended)
    monkeypatch.setattr(work, "is_compiling", lambda: True)
    monkeypatch.setattr(os, "_exit", codes.append)
    explore._serve(None, 0, "127.0.0.1", False, print)
    assert codes == [128 + signal.SIGTERM]
