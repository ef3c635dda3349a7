"""A sweep on disk: a Zarr v3 folder of named arrays that xarray opens, written block by block.

zarr-python makes the metadata and the coordinates, all at once and before anything else.
tensorstore writes blocks, each of them one chunk with a checksum in every field, and brings
them to disk before the journal says that they are done. What a chunk holds is therefore
right or known to be missing, whenever the process was killed.
"""

import contextlib
import errno
import itertools
import json
import os
import re
import secrets
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from jaxscale.sweeping import fingerprint, journal
from jaxscale.sweeping.blocks import Blocks
from jaxscale.sweeping.layout import (
    DIGEST,
    FIELDS,
    PLAN,
    Coordinate,
    Field,
    check_names,
    chunk_shape,
    field_names,
    fill_value,
    journal_folder,
    make,
)

READS_AT_ONCE = 8  # chunks, which take up to 32 MiB each

KEPT = ". Blocks marked done are kept; the same call goes on from there."
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


class Verdict(NamedTuple):
    """What `verify` found."""

    checked: int  # blocks that are marked done
    bad: tuple[int, ...]  # of these, blocks that do not read back whole
    missing: tuple[int, ...]  # blocks that nobody marked done


def create(
    path: str | os.PathLike,
    blocks: Blocks,
    axes: tuple[str, ...],
    fields: Sequence[Field],
    coordinates: Sequence[Coordinate],
    attributes: Mapping[str, Any],
    plan: Mapping[str, Any],
) -> None:
    """Make an empty store at `path`, in one step; one of the same plan that is there is kept.

    `plan` is all that decides the numbers, in a form that JSON holds. Raises StoreError for
    anything else that is there already, which is left as it is, and for a disk that refuses.
    """
    path = Path(path)
    check_names([*(field.name for field in fields), *(each.name for each in coordinates)])
    if not os.path.lexists(path):
        own = {
            PLAN: fingerprint.canonical(plan),
            DIGEST: fingerprint.digest(plan),
            FIELDS: json.dumps([field.name for field in fields]),
        }
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
        with _one_error("make", path):
            try:
                make(temporary, blocks, axes, fields, coordinates, {**attributes, **own})
                _rename(temporary, path)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    open_existing(path, plan)  # also a new one: another process may have been faster


def open_existing(path: str | os.PathLike, plan: Mapping[str, Any]) -> None:
    """Check that the store at `path` belongs to `plan`; StoreError names each difference."""
    _, stored = read(path)
    found = fingerprint.differences(stored, plan)
    if found:
        raise StoreError(
            f"{os.fspath(path)} holds another sweep and is left as it is; choose another path, "
            "or make the call that it was begun with. Differences:\n  " + "\n  ".join(found)
        )


def read(path: str | os.PathLike) -> tuple[dict[str, Any], dict[str, Any]]:
    """Attributes and plan of a store; StoreError for what is not one."""
    attributes = _attributes(path)
    kept = {name: each for name, each in attributes.items() if name not in (PLAN, DIGEST, FIELDS)}
    return kept, json.loads(attributes[PLAN])


def done(path: str | os.PathLike, digest: str) -> set[int]:
    """Blocks that are marked done under the plan of this digest."""
    with _one_error("read", path):
        return journal.done(journal_folder(path), digest)


def forget(path: str | os.PathLike, numbers: Iterable[int]) -> None:
    """No longer mark these blocks as done, so that the same sweep computes them again."""
    digest = _attributes(path)[DIGEST]
    rest = sorted(done(path, digest).difference(numbers))
    with _one_error("write to", path):
        journal.rewrite(journal_folder(path), digest, rest)


def verify(
    path: str | os.PathLike, advance: Callable[[int], None] = lambda blocks: None
) -> Verdict:
    """Read every block that is marked done, checksums and all; `advance(1)` after each."""
    attributes = _attributes(path)
    with _one_error("read", path):
        arrays = [_open(path, name) for name in attributes[FIELDS]]
    blocks = Blocks(arrays[0].shape, arrays[0].chunk_layout.write_chunk.shape)
    marked = done(path, attributes[DIGEST])
    bad = []
    reads = _reads(arrays, blocks, sorted(marked))
    for number, chunks in itertools.groupby(reads, key=lambda read: read[0]):
        if not all([_is_whole(chunk) for _, chunk in chunks]):
            bad.append(number)
        advance(1)
    missing = tuple(number for number in range(blocks.count) if number not in marked)
    return Verdict(len(marked), tuple(bad), missing)


class Writer:
    """Writes blocks in the background; what `flush` has returned from is safe on disk.

    Raises StoreError for a disk that refuses; blocks that were marked done are kept. Leaving
    its `with` by an exception gives up the blocks that were not flushed.
    """

    def __init__(
        self, path: str | os.PathLike, blocks: Blocks, fields: Sequence[Field], digest: str
    ):
        self._path = path
        self._blocks = blocks._replace(shape=chunk_shape(blocks))
        self._journal = journal.Journal(journal_folder(path), digest)
        self._writes: dict[int, list[Any]] = {}
        with _one_error("write to", path, KEPT):
            self._arrays = {field.name: _open_whole(path, field.name) for field in fields}

    def write(self, number: int, results: Mapping[str, np.ndarray]) -> None:
        """Start to write a block: its part of each field, not to be changed from now on."""
        starts = self._blocks.starts(np.array([number]))[0].tolist()
        place = tuple(map(slice, starts, np.add(starts, self._blocks.shape).tolist()))
        with _one_error("write to", self._path, KEPT):
            self._writes[number] = [
                # A write refers to its source, which need not be held or copied here.
                array[place].write(
                    self._whole(number, results[name]), can_reference_source_data_indefinitely=True
                )
                for name, array in self._arrays.items()
            ]

    def _whole(self, number: int, values: np.ndarray) -> np.ndarray:
        """A block at the end of an axis with as much added as a chunk has."""
        if values.shape == self._blocks.shape:
            return values
        whole = np.full(self._blocks.shape, fill_value(values.dtype), values.dtype)
        whole[self._blocks.inside(number)] = values
        return whole

    def flush(self) -> None:
        """Wait until all blocks that were given are on disk, and mark them done."""
        writes, self._writes = self._writes, {}
        whole = []
        with _one_error("write to", self._path, KEPT):
            try:
                for number, chunks in writes.items():
                    for chunk in chunks:
                        chunk.result()
                    whole.append(number)
            finally:
                if whole:  # also where a later one failed
                    self._journal.record(whole)

    def close(self) -> None:
        """Flush and let go of the store."""
        try:
            self.flush()
        finally:
            self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self._writes = {}
        self.close()


def _rename(temporary: Path, path: Path) -> None:
    """Give a new store its name, unless something has that name by now."""
    try:
        os.rename(temporary, path)
    except OSError as problem:
        if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
    journal.sync_folder(path.parent)


def _attributes(path: str | os.PathLike) -> dict[str, Any]:
    """Attributes of a store as they are on disk; StoreError for what is not one."""
    try:
        found = json.loads((Path(path) / "zarr.json").read_text())["attributes"]
        if found.keys() >= {PLAN, DIGEST, FIELDS}:
            return {**found, FIELDS: field_names(found)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass
    if not os.path.lexists(path):
        raise StoreError(f"there is no sweep at {os.fspath(path)}")
    raise StoreError(
        f"{os.fspath(path)} is no sweep of jaxscale and is left as it is; choose another path"
    )


def _open(path: str | os.PathLike, name: str) -> Any:
    """An array to read, for which a lost chunk is an error and not a chunk of fill values."""
    import tensorstore

    found = {**_driver(path, name), "fill_missing_data_reads": False}
    return tensorstore.open(found, open=True).result()


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
    found = {**_driver(path, name), "store_data_equal_to_fill_value": True}
    found["metadata"] = {**metadata, "shape": longer}
    return tensorstore.open(found, open=True, assume_metadata=True).result()


def _driver(path: str | os.PathLike, name: str) -> dict[str, Any]:
    kvstore = {"driver": "file", "path": os.path.join(path, name)}
    return {"driver": "zarr3", "kvstore": kvstore}


def _reads(arrays: list[Any], blocks: Blocks, numbers: list[int]) -> Iterator[tuple[int, Any]]:
    """Reads of every chunk of these blocks, a few of them under way at any time."""
    waiting = deque()
    for number, array in itertools.product(numbers, arrays):
        waiting.append((number, array[blocks.slices(number)].read()))
        if len(waiting) > READS_AT_ONCE:
            yield waiting.popleft()
    yield from waiting


def _is_whole(read: Any) -> bool:
    try:
        read.result()
    except (ValueError, OSError):
        return False
    return True


@contextlib.contextmanager
def _one_error(action: str, path: str | os.PathLike, advice: str = "") -> Iterator[None]:
    """Turn what the libraries raise for a bad disk into a StoreError."""
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
