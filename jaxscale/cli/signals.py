"""The signals that end a command: Ctrl-C, a batch system's SIGTERM, a closed terminal's SIGHUP."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
INTERRUPTED = 128 + signal.SIGINT  # as shells report a process ended by Ctrl-C


class Interrupted(KeyboardInterrupt):
    """One of these signals, which clean up and report as Ctrl-C does."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def raised() -> Iterator[list[int]]:
    """Raise `Interrupted` inside the block; signals that the process ignores stay ignored.

    Yields the signals that came: whatever happens to the exception on its way, they are known.
    """
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)
        raise Interrupted(number)

    before = {number: signal.getsignal(number) for number in ENDING}
    caught = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    try:
        for number in caught:
            signal.signal(number, interrupt)
        yield received
    finally:
        for number in caught:
            signal.signal(number, before[number])


def exit_code(number: int) -> int:
    """The exit code of a signal in shells; a line on stderr where no key was pressed."""
    if number != signal.SIGINT:
        with contextlib.suppress(OSError):  # the terminal may be gone
            print(f"ended by {signal.Signals(number).name}", file=sys.stderr)
    return 128 + number
