"""A sweep on disk: a Zarr v3 folder of named arrays that xarray opens; made, read and checked.

zarr-python makes the metadata and the coordinates, all at once and before `writer` writes any
chunk. Each is one Zarr chunk with a checksum in every field, and is on disk before the
journal says that it is done. So a chunk is either right or known to be missing, whenever the
process is killed.
"""

import contextlib
import errno
import itertools
import json
import os
import secrets
import shlex
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxscale.sweeping import fingerprint
from jaxscale.sweeping.axes import Coordinate
from jaxscale.sweeping.chunks import Chunks
from jaxscale.sweeping.store import copies, journal
from jaxscale.sweeping.store.disk import StoreError, one_error, remove_locks, sync_folder
from jaxscale.sweeping.store.layout import (
    DIGEST,
    FIELDS,
    PLAN,
    Field,
    array_at,
    check_names,
    chunk_names,
    field_names,
    holds_zstd,
    journal_folder,
    make,
)

READS_AT_ONCE = 8  # chunks, which take up to 32 MiB each


class Verdict(NamedTuple):
    """Outcome of `verify`."""

    checked: int  # chunks that are marked done
    bad: tuple[int, ...]  # of these, chunks that do not read back whole
    missing: tuple[int, ...]  # chunks that nobody marked done


class Mended(NamedTuple):
    """Outcome of `mend`."""

    mended: tuple[str, ...]  # files that were put back, byte for byte
    lost: tuple[str, ...]  # files that are damaged for good: their copies are as well
    records: int  # damaged ones in the journal: their chunks are no longer marked done


def create(
    path: str | os.PathLike,
    chunks: Chunks,
    axes: tuple[str, ...],
    fields: Sequence[Field],
    coordinates: Sequence[Coordinate],
    attributes: Mapping[str, Any],
    plan: Mapping[str, Any],
) -> None:
    """Make an empty store at `path` in one step, unless one of the same plan is there.

    `plan` is all that decides the numbers, in a form that JSON holds. Raises StoreError for
    anything else that is there already, which is left as it is, and for a disk that refuses.
    """
    path = Path(path)
    check_names([*(field.name for field in fields), *(each.name for each in coordinates)])
    labels = {
        **attributes,
        PLAN: fingerprint.canonical(plan),
        DIGEST: fingerprint.digest(plan),
        FIELDS: json.dumps([field.name for field in fields]),
    }
    with _made(path, chunks, axes, fields, coordinates, labels) as empty:
        if not os.path.lexists(path):
            _rename(empty(), path)
        open_existing(path, plan)  # also a new one: another process may have been faster
        if not copies.exist(path):  # an earlier version kept none
            with contextlib.suppress(OSError):  # nor can a disk that is full or only read
                copies.take_over(path, empty(zstd=holds_zstd(path, fields)))


@contextlib.contextmanager
def _made(path: Path, *content: Any) -> Iterator[Callable[..., Path]]:
    """A function that makes an empty store beside `path`, of which nothing is left."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")

    def empty(*, zstd: bool = False) -> Path:
        make(temporary, *content, zstd=zstd)
        copies.keep(temporary)
        return temporary

    with one_error("make", path):
        try:
            yield empty
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


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
    """Attributes and plan of a store; StoreError for anything else."""
    attributes = _attributes(path)
    kept = {name: each for name, each in attributes.items() if name not in (PLAN, DIGEST, FIELDS)}
    return kept, json.loads(attributes[PLAN])


def chunks_of(path: str | os.PathLike) -> Chunks:
    """The chunks of a store's space, read off its first field; StoreError as `read`."""
    return _chunks(path, _attributes(path)[FIELDS][0])


def _chunks(path: str | os.PathLike, field: str) -> Chunks:
    file = Path(path) / field / "zarr.json"
    try:
        metadata = json.loads(file.read_text())
        chunk = metadata["chunk_grid"]["configuration"]["chunk_shape"]
        return Chunks(tuple(metadata["shape"]), tuple(chunk))
    except (OSError, ValueError, LookupError, TypeError) as problem:
        raise StoreError(
            f"cannot read {file}; the call that {os.fspath(path)} was begun with makes it anew"
        ) from problem


def require(path: str | os.PathLike, digest: str) -> list[str]:
    """Fields of the store of the plan of this digest; StoreError for another one at `path`."""
    attributes = _attributes(path)
    if attributes[DIGEST] != digest:
        raise StoreError(
            f"{os.fspath(path)} holds another sweep by now and is left as it is; move back the "
            "store that was there, and the same call goes on from what is done"
        )
    return attributes[FIELDS]


def done(path: str | os.PathLike, digest: str) -> set[int]:
    """Chunks that are marked done under the plan of this digest, and have a file in each field."""
    fields = require(path, digest)
    with one_error("read", path):
        marked = sorted(journal.done(journal_folder(path), digest))
        names = chunk_names(_chunks(path, fields[0]), marked)
        there = [set(os.listdir(Path(path) / field)) for field in fields]
    return {
        number
        for number, name in zip(marked, names, strict=True)
        if all(name in files for files in there)
    }


def forget(path: str | os.PathLike, numbers: Iterable[int]) -> None:
    """No longer mark these chunks as done, so that the same sweep computes them again."""
    digest = _attributes(path)[DIGEST]
    rest = sorted(done(path, digest).difference(numbers))
    with one_error("write to", path):
        journal.rewrite(journal_folder(path), digest, rest)


def mend(path: str | os.PathLike) -> Mended:
    """Put back metadata and coordinates that are not as they were written, from their copies.

    Also drops records of the journal that are damaged, and what killed writers left behind.
    """
    with one_error("mend", path):
        mended, lost = copies.mend(path)
    if lost:
        return Mended(mended, lost, 0)
    tidy(path)
    records = journal.damaged(journal_folder(path))
    if records:
        forget(path, ())
    return Mended(mended, lost, records)


def tidy(path: str | os.PathLike) -> None:
    """Remove locks that killed writers left behind, and none that a writer holds."""
    remove_locks(Path(path) / field for field in _attributes(path)[FIELDS])


def verify(
    path: str | os.PathLike, advance: Callable[[int], None] = lambda chunks: None
) -> Verdict:
    """Read every chunk that is marked done, checksums and all; `advance(1)` after each.

    StoreError for metadata or coordinates that are not as they were written; see `mend`.
    """
    attributes = _attributes(path)
    with one_error("read", path):
        arrays = [_open(path, name) for name in attributes[FIELDS]]
        chunks = _chunks(path, attributes[FIELDS][0])
        marked = journal.done(journal_folder(path), attributes[DIGEST])
    bad = []
    reads = _reads(arrays, chunks, sorted(marked))
    for number, parts in itertools.groupby(reads, key=lambda read: read[0]):
        if not all([_is_whole(chunk) for _, chunk in parts]):
            bad.append(number)
        advance(1)
    missing = tuple(number for number in range(chunks.count) if number not in marked)
    return Verdict(len(marked), tuple(bad), missing)


def _rename(temporary: Path, path: Path) -> None:
    """Give a new store its name, unless something has that name by now."""
    try:
        os.rename(temporary, path)
    except OSError as problem:
        if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
    sync_folder(path.parent)


def _attributes(path: str | os.PathLike) -> dict[str, Any]:
    """Attributes of a store whose metadata are as they were written; StoreError otherwise."""
    if not os.path.lexists(path):
        raise StoreError(f"there is no sweep at {os.fspath(path)}")
    with one_error("read", path):
        damaged = copies.damaged(path)
    if damaged:
        raise StoreError(
            f"{os.fspath(path)} is damaged, in {', '.join(damaged)}: "
            f"jaxscale verify {shlex.quote(os.fspath(path))} puts back what was written"
        )
    attributes = _as_they_are(path)
    if not journal_folder(path).is_dir():
        raise StoreError(
            f"{os.fspath(path)} has lost its journal, {journal_folder(path)}, which says what is "
            "done: put it back, or delete the store and make the same call again"
        )
    return attributes


def _as_they_are(path: str | os.PathLike) -> dict[str, Any]:
    try:
        found = json.loads((Path(path) / "zarr.json").read_text())["attributes"]
        if fingerprint.digest(json.loads(found[PLAN])) == found[DIGEST] and found[FIELDS]:
            return {**found, FIELDS: field_names(found)}
    except (OSError, ValueError, LookupError, TypeError):
        pass
    raise StoreError(
        f"{os.fspath(path)} is not a sweep of jaxscale and is left as it is; choose another path"
    )


def _open(path: str | os.PathLike, name: str) -> Any:
    """An array to read, for which a lost chunk is an error and not a chunk of fill values."""
    import tensorstore

    spec = {**array_at(path, name), "fill_missing_data_reads": False}
    return tensorstore.open(spec, open=True).result()


def _reads(arrays: list[Any], chunks: Chunks, numbers: list[int]) -> Iterator[tuple[int, Any]]:
    """Reads of these chunks of every array, a few of them under way at any time."""
    waiting = deque()
    for number, array in itertools.product(numbers, arrays):
        waiting.append((number, array[chunks.slices(number)].read()))
        if len(waiting) > READS_AT_ONCE:
            yield waiting.popleft()
    yield from waiting


def _is_whole(read: Any) -> bool:
    try:
        read.result()
    except (ValueError, OSError, NotImplementedError):  # the last one for some damaged bools
        return False
    return True
