"""Writes chunks to a store in the background, and marks those done that are safe on disk.

tensorstore writes by path. Where a store is renamed under it, chunks go to a new folder of the old
name, or to another store. So the store's folder is held open, with its journal, and each chunk is
looked for in there before it is marked done.
"""

import contextlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from jaxscale.sweeping.chunks import Chunks
from jaxscale.sweeping.store.disk import KEPT, StoreError, one_error
from jaxscale.sweeping.store.journal import Journal
from jaxscale.sweeping.store.layout import (
    JOURNAL,
    Field,
    array_at,
    chunk_names,
    chunk_shape,
    fill_value,
)
from jaxscale.sweeping.store.store import require

# Enough to keep the threads of tensorstore and the disk busy. Each holds its chunk in memory.
FILES_UNDER_WAY = 32
MARK_SECONDS = 0.25  # between two records in the journal, each of which waits for the disk


class Stamp(NamedTuple):
    """Identity of a file, which differs from that of the file that it replaces."""

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
        """Identity of the file of a chunk; None without a file."""
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


class Write(NamedTuple):
    """A chunk on its way to the disk."""

    field: str
    name: str
    before: Stamp | None  # the file that is replaced
    outcome: Any


class Writer:
    """Writes chunks in the background; chunks are safe on disk when `flush` returns.

    tensorstore compresses and writes in threads of its own. Only so many files are under way at
    a time: `write` waits for the oldest, and marks those done that have reached the disk.

    Raises StoreError for a disk that refuses, and for a store that is moved meanwhile; chunks
    that were marked done are kept. Leaving its `with` by an exception gives up the chunks that
    are still under way.
    """

    def __init__(
        self, path: str | os.PathLike, chunks: Chunks, fields: Sequence[Field], digest: str
    ):
        self._path = path
        self._chunks = chunks._replace(shape=chunk_shape(chunks))
        self._writes: dict[int, list[Write]] = {}  # under way, the oldest first
        self._on_disk: list[int] = []  # chunks that are not marked done yet
        self._marked = time.monotonic()
        names = [field.name for field in fields]
        self._most = max(1, FILES_UNDER_WAY // len(names))  # chunks under way
        with one_error("write to", path, KEPT):
            self._folder = Folder(path, names)
            try:
                self._arrays = {name: _open_whole(path, name) for name in names}
                require(path, digest)
                self._folder.check()
                self._journal = Journal(JOURNAL, digest, self._folder.descriptor)
            except BaseException:
                self._folder.close()
                raise

    def write(self, number: int, results: Mapping[str, np.ndarray]) -> None:
        """Start to write a chunk: its part of each field, not to be changed from now on."""
        starts = self._chunks.starts(np.array([number]))[0].tolist()
        region = tuple(map(slice, starts, np.add(starts, self._chunks.shape).tolist()))
        (chunk,) = chunk_names(self._chunks, [number])
        with one_error("write to", self._path, KEPT):
            self._make_room()
            if time.monotonic() - self._marked >= MARK_SECONDS:
                self._mark()
            self._folder.check()
            self._writes[number] = [
                Write(
                    name,
                    chunk,
                    self._folder.stamp(name, chunk),
                    # It refers to its source, which need not be held or copied here.
                    array[region].write(
                        self._whole(number, results[name]),
                        can_reference_source_data_indefinitely=True,
                    ),
                )
                for name, array in self._arrays.items()
            ]

    def _make_room(self) -> None:
        """Take note of chunks that reached the disk; wait for one if too many are under way."""
        while self._writes:
            oldest = next(iter(self._writes.values()))
            if len(self._writes) < self._most and not all(each.outcome.done() for each in oldest):
                return
            self._await_oldest()

    def _await_oldest(self) -> None:
        number = next(iter(self._writes))
        for chunk in self._writes.pop(number):
            self._wait(chunk)
        self._on_disk.append(number)

    def _mark(self) -> None:
        """Mark those chunks done that are on disk."""
        if self._on_disk:
            self._journal.record(self._on_disk)
            self._on_disk = []
        self._marked = time.monotonic()

    def _whole(self, number: int, values: np.ndarray) -> np.ndarray:
        """A chunk that ends with its axis, padded to the shape of the others."""
        if values.shape == self._chunks.shape:
            return values
        whole = np.full(self._chunks.shape, fill_value(values.dtype), values.dtype)
        whole[self._chunks.inside(number)] = values
        return whole

    def flush(self) -> None:
        """Wait until all chunks that were given are on disk, and mark them done."""
        with one_error("write to", self._path, KEPT):
            try:
                while self._writes:
                    self._await_oldest()
            except BaseException:
                self._writes = {}
                raise
            finally:
                self._mark()  # also where a later one failed

    def _wait(self, chunk: Write) -> None:
        """Return when a chunk is on disk, in the folder of this store."""
        chunk.outcome.result()
        after = self._folder.stamp(chunk.field, chunk.name)
        if after is None or after == chunk.before:
            raise self._folder.moved()

    def close(self) -> None:
        """Flush and let go of the store."""
        try:
            self.flush()
        finally:
            self._journal.close()
            self._folder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
            return
        self._writes = {}
        with contextlib.suppress(StoreError):  # which would hide the exception that came first
            self.close()


def _open_whole(path: str | os.PathLike, name: str) -> Any:
    """An array to write whole chunks to, the last ones of each axis among them.

    To tensorstore, what ends with an axis is a part of a chunk, and it reads the rest before
    it writes: a damaged chunk could not be replaced. So it is told that axes are longer.
    """
    import tensorstore

    metadata = json.loads((Path(path) / name / "zarr.json").read_text())
    chunk = metadata["chunk_grid"]["configuration"]["chunk_shape"]
    longer = [size + -size % length for size, length in zip(metadata["shape"], chunk, strict=True)]
    # Without the option, a chunk of NaN alone would leave no file.
    spec = {**array_at(path, name), "store_data_equal_to_fill_value": True}
    spec["metadata"] = {**metadata, "shape": longer}
    return tensorstore.open(spec, open=True, assume_metadata=True).result()
