"""Runs the command inside the test's process, as a shell would see it."""

import signal
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import pytest

from jaxscale.cli import main


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Outcome]]:
    """`command("plan", "--loss", "2")`: exit code, stdout, stderr.

    `main` turns float64 on, as a process of its own may; the switch is put back.
    """
    x64 = jax.config.jax_enable_x64
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # to be put back
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        return Outcome(int(stop.value.code or 0), *capsys.readouterr())

    yield run
    jax.config.update("jax_enable_x64", x64)


@pytest.fixture
def signals_are_heard():
    """As at a terminal: what runs in the background may ignore them, and so would its children."""
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {getattr(signal, name): signal.getsignal(getattr(signal, name)) for name in names}
    for number, handler in before.items():
        if handler is signal.SIG_IGN:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
