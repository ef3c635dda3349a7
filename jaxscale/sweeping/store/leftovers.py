"""Files that killed writers leave behind: removed where it is certain that no writer lives.

tensorstore writes a chunk to a file whose name ends in `.__lock`, which it holds a lock on
until it has renamed it. A lock that is free is that of a process that is dead.
"""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

LOCK = ".__lock"


def remove(folders: Iterable[Path]) -> None:
    """Remove what dead writers left in these folders; what cannot be removed stays."""
    for folder in folders:
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):
                if name.endswith(LOCK):
                    with contextlib.suppress(OSError, ImportError):
                        _remove(folder / name)


def _remove(path: Path) -> None:
    """Remove a file unless a writer holds it: BlockingIOError or PermissionError then."""
    import fcntl  # there is none on Windows: an ImportError, and the file stays

    with path.open("r+b") as file:
        # Against the locks of open files that tensorstore takes, of this process's threads too.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A file that was renamed since it was opened is a chunk, and the path another writer's.
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            path.unlink()
