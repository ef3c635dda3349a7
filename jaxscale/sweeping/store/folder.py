"""A store's folder, held open: whatever is renamed meanwhile, it stays the same folder.

tensorstore writes by path. Where a store is renamed under it, chunks go to a new folder of
the old name, or to another store. So each chunk is looked for in the folder that was opened,
which also holds the journal, before it is marked done.
"""

import os
from collections.abc import Sequence
from typing import NamedTuple

from jaxscale.sweeping.store.disk import StoreError


class Stamp(NamedTuple):
    """What tells a file from the one that it replaces."""

    inode: int
    changed: int  # nanoseconds
    modified: int


class Folder:
    """The folder of a store and those of its fields, open until `close`."""

    def __init__(self, path: str | os.PathLike, fields: Sequence[str]):
        self._path = path
        self.descriptor = os.open(path, os.O_RDONLY)
        self._fields: dict[str, int] = {}
        try:
            for name in fields:
                self._fields[name] = os.open(name, os.O_RDONLY, dir_fd=self.descriptor)
        except OSError:
            self.close()
            raise

    def check(self) -> None:
        """StoreError where the path has come to mean another folder, or none."""
        try:
            same = os.path.samestat(os.stat(self._path), os.fstat(self.descriptor))
        except FileNotFoundError:
            same = False
        if not same:
            raise self.moved()

    def moved(self) -> StoreError:
        return StoreError(
            f"cannot write to {os.fspath(self._path)}: it was moved or deleted meanwhile; "
            "move it back. Chunks marked done are kept, and the same call goes on from there."
        )

    def stamp(self, field: str, chunk: str) -> Stamp | None:
        """Which file a chunk is in; None for no file."""
        try:
            status = os.stat(chunk, dir_fd=self._fields[field])
        except FileNotFoundError:
            return None
        return Stamp(status.st_ino, status.st_ctime_ns, status.st_mtime_ns)

    def close(self) -> None:
        for descriptor in self._fields.values():
            os.close(descriptor)
        self._fields = {}
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
