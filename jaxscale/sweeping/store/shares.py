"""Totals of processes that share a store: each leaves its own, the last one merges them all."""

import hashlib
import io
import os
from pathlib import Path

import numpy as np

from jaxscale.sweeping.engine import merged
from jaxscale.sweeping.job import Job
from jaxscale.sweeping.reducers.protocol import Total
from jaxscale.sweeping.store import disk
from jaxscale.sweeping.store.disk import StoreError
from jaxscale.sweeping.store.layout import journal_folder

SUFFIX = ".totals"  # a line with the checksum of the rest, which is NumPy's .npz


def combined(job: Job, totals: list[Total] | None, share: tuple[int, int]) -> list[Total] | None:
    """Totals of all processes where every other one has left its own, else those of this one."""
    rank, count = share
    if count == 1:
        return totals
    folder = journal_folder(job.store) / f"statistics-{_digest(job)}-of-{count}"
    _save(folder / f"{rank}{SUFFIX}", totals or [])
    found = [_load(folder / f"{each}{SUFFIX}") for each in range(count)]
    if any(each is None for each in found):
        return totals
    together = None
    for each in found:  # in one order, whoever was last
        together = merged(job, together, each or None)
    return together


def remove_damaged(store: str | os.PathLike) -> list[str]:
    """Remove totals that are damaged, which a process that is started again writes anew."""
    found = [path for path in journal_folder(store).rglob(f"*{SUFFIX}") if _body(path) is None]
    for path in found:
        path.unlink(missing_ok=True)
    return [path.relative_to(store).as_posix() for path in found]


def _digest(job: Job) -> str:
    return hashlib.sha256(f"{job.digest} {job.reducers}".encode()).hexdigest()[:16]


def _save(path: Path, totals: list[Total]) -> None:
    arrays = {
        f"{place}.{name}": array
        for place, total in enumerate(totals)
        for name, array in total.items()
    }
    content = io.BytesIO()
    np.savez(content, count=len(totals), **arrays)
    body = content.getvalue()
    disk.replace(path, _seal(body) + body)


def _load(path: Path) -> list[Total] | None:
    """Totals that a process left; None where it has left none yet."""
    if not path.exists():
        return None
    body = _body(path)
    if body is None:
        raise StoreError(f"{path} is damaged: start process {path.stem} again, which writes it")
    with np.load(io.BytesIO(body)) as arrays:
        totals: list[Total] = [{} for _ in range(int(arrays["count"]))]
        for key in arrays.files:
            place, _, name = key.partition(".")
            if name:
                totals[int(place)][name] = arrays[key]
    return totals


def _body(path: Path) -> bytes | None:
    """What a file of totals holds; None where that is damaged."""
    content = path.read_bytes()
    body = content[len(_seal(b"")) :]
    return body if content == _seal(body) + body else None


def _seal(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode() + b"\n"
