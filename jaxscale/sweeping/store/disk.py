"""Durable files, locks of dead writers, and one error for a disk that fails."""

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

LOCK = ".__lock"
KEPT = ". Chunks marked done are kept; the same call goes on from there."
REMEDIES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room in the quota",
    errno.EFBIG: "raise the limit on file sizes",
    errno.EACCES: "allow this process to write there",
    errno.EPERM: "allow this process to write there",
    errno.EROFS: "mount the disk for writing",
    errno.ENOENT: "it was moved or deleted meanwhile",
}


class StoreError(OSError):
    """A store that cannot be made, written or read; the message says what to do."""


@contextlib.contextmanager
def one_error(action: str, path: str | os.PathLike, advice: str = "") -> Iterator[None]:
    """Turn the errors that libraries raise for a bad disk into a StoreError."""
    try:
        yield
    except (OSError, ValueError) as problem:  # tensorstore raises ValueError for all
        if isinstance(problem, StoreError):
            raise
        found = re.search(r"os_error_code='(\d+)'", str(problem))
        code = int(found[1]) if found else getattr(problem, "errno", None)
        reason = os.strerror(code).lower() if code else str(problem)
        remedy = f"; {REMEDIES[code]}" if code in REMEDIES else ""
        raise StoreError(
            f"cannot {action} {os.fspath(path)}: {reason}{remedy}{advice}"
        ) from problem


def replace(path: Path, content: bytes) -> None:
    """Write a file that is on disk in full, or is as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}.partial")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: str | os.PathLike) -> None:
    """Bring the names in a folder to disk, as fsync does the bytes of a file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_locks(folders: Iterable[Path]) -> None:
    """Remove the locks of dead writers from these folders; what cannot be removed stays.

    tensorstore writes a chunk to a file whose name ends in `.__lock`, which it holds a lock on
    until it has renamed it. A lock that is free is that of a process that is dead.
    """
    for folder in folders:
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):
                if name.endswith(LOCK):
                    with contextlib.suppress(OSError, ImportError):
                        _remove_lock(folder / name)


def _remove_lock(path: Path) -> None:
    """Remove a file unless a writer holds it: BlockingIOError or PermissionError then."""
    import fcntl  # there is none on Windows: an ImportError, and the file stays

    with path.open("r+b") as file:
        # Against the locks of open files that tensorstore takes, of this process's threads too.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A file that was renamed since it was opened is a chunk, and the path another writer's.
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            path.unlink()
