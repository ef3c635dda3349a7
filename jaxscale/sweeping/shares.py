"""Totals of processes that share a store: each leaves its own, the last one merges them all."""

import hashlib
import os
from pathlib import Path

import numpy as np

from jaxscale.sweeping.job import Job
from jaxscale.sweeping.layout import journal_folder
from jaxscale.sweeping.reducing.protocol import Total
from jaxscale.sweeping.working import merged


def combined(job: Job, totals: list[Total] | None, share: tuple[int, int]) -> list[Total] | None:
    """Totals of all processes where every other one has left its own, else those of this one."""
    rank, count = share
    if count == 1:
        return totals
    folder = journal_folder(job.store) / f"statistics-{_digest(job)}-of-{count}"
    folder.mkdir(parents=True, exist_ok=True)
    _save(folder / f"{rank}.npz", totals or [])
    found = [_load(folder / f"{each}.npz") for each in range(count)]
    if any(each is None for each in found):
        return totals
    together = None
    for each in found:  # in one order, whoever was last
        together = merged(job, together, each or None)
    return together


def _digest(job: Job) -> str:
    return hashlib.sha256(f"{job.digest} {job.reducers}".encode()).hexdigest()[:16]


def _save(path: Path, totals: list[Total]) -> None:
    """Write a file that is there in full or not at all."""
    arrays = {
        f"{place}.{name}": array
        for place, total in enumerate(totals)
        for name, array in total.items()
    }
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.savez(file, count=len(totals), **arrays)
        os.fsync(file.fileno())
    partial.replace(path)


def _load(path: Path) -> list[Total] | None:
    if not path.exists():
        return None
    with np.load(path) as arrays:
        totals: list[Total] = [{} for _ in range(int(arrays["count"]))]
        for key in arrays.files:
            place, _, name = key.partition(".")
            if name:
                totals[int(place)][name] = arrays[key]
    return totals
