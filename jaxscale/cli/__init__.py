"""The command `jaxscale`: plans, estimates, catalogues and sweeps in a terminal.

Only `main` is public. It computes in float64, and whatever the user gets wrong becomes one
line on stderr and exit code 2.
"""

import _thread
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

import jax

from jaxscale.cli import program_cache, signals


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command with `arguments`, or those of the process, and exit."""
    # A command needs little memory: leave the rest of a GPU to the jobs that share it.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    jax.config.update("jax_enable_x64", True)
    program_cache.use()
    sys.unraisablehook = _raise_interrupts
    try:
        from jaxscale.cli.app import run
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        print("error: the command line needs: pip install 'jaxscale[all]'", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(signals.INTERRUPTED)
    code = signals.INTERRUPTED
    # Suppress a second signal while the first is handled.
    with signals.raised() as received, contextlib.suppress(KeyboardInterrupt):
        code = run(sys.argv[1:] if arguments is None else arguments)
    sys.exit(signals.exit_code(received[0]) if received else code)


def _raise_interrupts(lost: "sys.UnraisableHookArgs") -> None:
    """Send a signal again where Python dropped it: in a callback of the garbage collector, say."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        number = getattr(lost.exc_value, "number", signal.SIGINT)
        threading.Timer(0.05, _thread.interrupt_main, (number,)).start()
    else:
        sys.__unraisablehook__(lost)
