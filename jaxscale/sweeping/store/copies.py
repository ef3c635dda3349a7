"""A second copy of everything in a store but its chunks: metadata, coordinates, the plan.

These files are written once, when the store is made, and a changed byte in them would change
what every chunk means. So each has two lines in a file beside the journal: one with its
content and, further down, one with the checksum of that alone. Every line begins with a
checksum of its own. Whichever of the three a disk damages, the other two restore.
"""

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxscale.sweeping.store import disk
from jaxscale.sweeping.store.layout import journal_folder

NAME = "copies"
LIMIT = 2**26  # bytes copied; coordinates of many millions beyond that have checksums only


class Copy(NamedTuple):
    """One file as it was written."""

    name: str  # path in the store
    sha256: str
    copied: bool  # whether its content was kept
    content: bytes | None  # None also where the line that held it is damaged


def keep(folder: Path) -> None:
    """Write the copies of all files in a store that was just made."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    copies, room = [], LIMIT
    for path in sorted(files, key=lambda path: (path.stat().st_size, path)):
        content = path.read_bytes()
        room -= len(content)
        name = path.relative_to(folder).as_posix()
        copied = room >= 0
        copies.append(Copy(name, _sha256(content), copied, content if copied else None))
    disk.replace(path_in(folder), _text(copies))


def exist(path: str | os.PathLike) -> bool:
    """Whether a store has copies; one made by an earlier version has none."""
    return path_in(path).exists()


def take_over(path: str | os.PathLike, other: Path) -> None:
    """Take the copies of a store that was just made, and every file that is not the same in it."""
    text = path_in(other).read_bytes()
    for copy in _copies(text):
        if _whole_content(path, copy) is None:
            disk.replace(Path(path) / copy.name, (other / copy.name).read_bytes())
    disk.replace(path_in(path), text)


def damaged(path: str | os.PathLike) -> list[str]:
    """Files of a store that are not as they were written; OSError for a disk that fails."""
    copies = _copies(_content(path_in(path)) or b"")
    return [copy.name for copy in copies if _whole_content(path, copy) is None]


def mend(path: str | os.PathLike) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Put back every file that is not as it was written; OSError for a disk that fails.

    Names of those that were put back, and of those for which nothing is left to put back.
    """
    text = _content(path_in(path))
    copies = _copies(text or b"")
    mended, lost = [], []
    for index, copy in enumerate(copies):
        content = _whole_content(path, copy)
        if content is not None:
            copies[index] = copy._replace(content=content if copy.copied else None)
        elif copy.content is not None:
            disk.replace(Path(path) / copy.name, copy.content)
            mended.append(copy.name)
        else:
            lost.append(copy.name)
    if text is not None and text != _text(copies):
        if copies:
            disk.replace(path_in(path), _text(copies))
        (mended if copies else lost).append(_own_name(path))
    return tuple(mended), tuple(lost)


def _text(copies: Sequence[Copy]) -> bytes:
    # All contents first: a lost end of a line takes two lines of different files.
    copies = sorted(copies)
    bodies = [_body(copy, content=True) for copy in copies]
    bodies += [_body(copy, content=False) for copy in copies]
    return b"".join(b"%s %s\n" % (_sha256(body).encode(), body) for body in bodies)


def _body(copy: Copy, *, content: bool) -> bytes:
    record: dict[str, Any] = {"name": copy.name, "sha256": copy.sha256, "copied": copy.copied}
    if content and copy.content is not None:
        record["content"] = base64.b64encode(copy.content).decode()
    return json.dumps(record).encode()


def _copies(text: bytes) -> list[Copy]:
    """Copies from the lines that are whole."""
    copies: dict[str, Copy] = {}
    for line in text.split(b"\n"):
        seal, _, body = line.partition(b" ")
        if seal != _sha256(body).encode():
            continue
        record = json.loads(body)
        content = base64.b64decode(record.pop("content", "")) or None
        copies.setdefault(record["name"], Copy(**record, content=content))
    return list(copies.values())


def path_in(path: str | os.PathLike) -> Path:
    """The file of copies in a store."""
    return journal_folder(path) / NAME


def _own_name(path: str | os.PathLike) -> str:
    return path_in(path).relative_to(path).as_posix()


def _whole_content(path: str | os.PathLike, copy: Copy) -> bytes | None:
    """The content of a file; None where it is not as it was written."""
    content = _content(Path(path) / copy.name)
    return content if content is not None and _sha256(content) == copy.sha256 else None


def _content(path: Path) -> bytes | None:
    """Bytes of a file; None where there is none."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
