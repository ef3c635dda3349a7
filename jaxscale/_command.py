"""The entry point of the command, which runs before JAX is imported.

The import takes a second or more. A signal in that time has nothing to save, so it ends the
process at once, without the traceback of a module that was still loading.
"""

import gc
import os
import signal
from types import FrameType

# Objects before garbage is collected, by generation. Imports and traces make many objects and next
# to no garbage: at Python's own 700 a tenth to a quarter of a command goes into looking for it.
GARBAGE = 200_000, 50, 1000
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


def main() -> None:
    """Run the command `jaxscale`, and exit."""
    for number in (getattr(signal, name) for name in SIGNALS if hasattr(signal, name)):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under `nohup`
            signal.signal(number, _leave)
    gc.set_threshold(*GARBAGE)
    from jaxscale.cli import main as command

    command()


def _leave(number: int, frame: FrameType | None) -> None:
    del frame
    os._exit(128 + number)
