"""The journal of finished chunks, which stays correct when a process is killed at any time.

Each process appends to a file of its own, one checksummed line for each chunk, so no writer
waits for another and a torn line harms only itself. A file belongs to a generation, the
number that its name begins with, and only the last generation counts: giving records up
is one rename.
"""

import os
import secrets
import socket
import zlib
from collections.abc import Iterable
from pathlib import Path

from jaxscale.sweeping.store import disk

FINGERPRINT_LENGTH = 16  # hex digits of it in each record
SUFFIX = ".log"

# macOS has no fdatasync; fsync does what it does and more.
_sync_data = getattr(os, "fdatasync", os.fsync)


class Journal:
    """This process's own file of records in `folder`, which exists; made with the first record.

    The folder is opened once, relative to the open folder `inside` if there is one: whatever
    is renamed meanwhile, records go where the journal was when it was opened.
    """

    def __init__(self, folder: str | os.PathLike, fingerprint: str, inside: int | None = None):
        self._folder = os.open(folder, os.O_RDONLY, dir_fd=inside)
        self._fingerprint = fingerprint
        self._name = ""
        self._descriptor = -1

    def record(self, numbers: Iterable[int]) -> None:
        """Mark chunks as done; on disk when it returns.

        Raises OSError for a disk that fails, and for a file that someone deleted meanwhile.
        """
        if not self._name:
            name = _new_name(_generation(self._folder))
            self._descriptor = _create(name, self._folder)
            self._name = name
        try:
            _append(self._descriptor, _lines(numbers, self._fingerprint))
            # What is written to a deleted file is lost without an error.
            os.stat(self._name, dir_fd=self._folder)
        except OSError:
            self._close_file()  # a torn line stays the last of its file
            raise

    def close(self) -> None:
        self._close_file()
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

    def _close_file(self) -> None:
        if self._name:
            os.close(self._descriptor)
            self._name = ""


def done(folder: str | os.PathLike, fingerprint: str) -> set[int]:
    """Chunks that any process marked as done under this fingerprint."""
    folder = Path(folder)
    found: set[int] = set()
    for name in _names(folder, _generation(folder)):
        found.update(_numbers((folder / name).read_bytes(), fingerprint))
    return found


def damaged(folder: str | os.PathLike) -> int:
    """Number of whole lines that are not records: a kill leaves only the last one cut short."""
    folder = Path(folder)
    lines = [
        line
        for name in _names(folder, _generation(folder))
        for line in (folder / name).read_bytes().split(b"\n")[:-1]
    ]
    return sum(not _is_record(line) for line in lines)


def rewrite(folder: str | os.PathLike, fingerprint: str, numbers: Iterable[int]) -> None:
    """Have the journal hold just these chunks, at once: a kill leaves either all or nothing new.

    A process that is still writing chunks loses what it marked, and is told by an OSError.
    """
    folder = Path(folder)
    generation = _generation(folder)
    old = [name for each in range(generation + 1) for name in _names(folder, each)]
    disk.replace(folder / _new_name(generation + 1), _lines(numbers, fingerprint))
    for name in old:
        (folder / name).unlink(missing_ok=True)


def _new_name(generation: int) -> str:
    # Process numbers repeat between containers, and between runs; random digits do not.
    host = "".join(letter for letter in socket.gethostname() if letter.isalnum())
    return f"{generation}-{host}-{os.getpid()}-{secrets.token_hex(8)}{SUFFIX}"


def _generation(folder: Path | int) -> int:
    return max((_generation_of(name) for name in os.listdir(folder)), default=0)


def _names(folder: Path, generation: int) -> list[str]:
    return [
        name
        for name in sorted(os.listdir(folder))
        if name.endswith(SUFFIX) and _generation_of(name) == generation
    ]


def _generation_of(name: str) -> int:
    start = name.partition("-")[0]
    return int(start) if name.endswith(SUFFIX) and start.isdecimal() else 0


def _create(name: str, folder: int) -> int:
    """A new file in an open folder, its name on disk."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
    descriptor = os.open(name, flags, 0o666, dir_fd=folder)
    os.fsync(folder)
    return descriptor


def _append(descriptor: int, text: bytes) -> None:
    rest = memoryview(text)
    while rest:  # a disk that fills up takes a part before it refuses
        rest = rest[os.write(descriptor, rest) :]
    _sync_data(descriptor)


def _lines(numbers: Iterable[int], fingerprint: str) -> bytes:
    bodies = (f"{number} {fingerprint[:FINGERPRINT_LENGTH]}".encode() for number in numbers)
    return b"".join(b"%s %08x\n" % (body, zlib.crc32(body)) for body in bodies)


def _numbers(text: bytes, fingerprint: str) -> Iterable[int]:
    """Chunk numbers of the whole lines that carry the fingerprint."""
    ending = b" " + fingerprint[:FINGERPRINT_LENGTH].encode()
    for line in text.split(b"\n"):
        body = line.rpartition(b" ")[0]
        if body.endswith(ending) and _is_record(line):
            yield int(body[: -len(ending)])


def _is_record(line: bytes) -> bool:
    body, _, check = line.rpartition(b" ")
    return check == b"%08x" % zlib.crc32(body)
