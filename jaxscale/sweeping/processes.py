"""Processes that share a store: which chunks each one takes, and how their totals are merged.

No process waits for another: each takes every count-th chunk, and leaves its totals beside the
journal; the last one to finish merges them all. `jax.distributed` is not used: it would end all
processes with the first that dies.
"""

import hashlib
import io
import os
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from jaxscale.sweeping.engine import merged
from jaxscale.sweeping.job import Job
from jaxscale.sweeping.reducers.protocol import Total
from jaxscale.sweeping.store import disk
from jaxscale.sweeping.store.disk import StoreError
from jaxscale.sweeping.store.layout import journal_folder

ALONE = 0, 1

# Variables of rank and count by system; the first system that sets both is used.
SYSTEMS = (
    ("JAX_PROCESS_ID", "JAX_NUM_PROCESSES"),
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"),
    # Of a step, which srun starts: a batch script alone has a SLURM_PROCID too.
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    # Kubernetes gives an indexed job its index alone: the manifest repeats `completions`.
    ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"),
)
FIRST = {"SLURM_ARRAY_TASK_ID": "SLURM_ARRAY_TASK_MIN"}
STEP = {"SLURM_ARRAY_TASK_ID": "SLURM_ARRAY_TASK_STEP"}
SUFFIX = ".totals"  # a line with the checksum of the rest, which is NumPy's .npz


def share(process: Any, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Rank and count of this process: as given, else from the environment, else (0, 1).

    Raises TypeError or ValueError naming `process`, or the variable that makes no sense.
    """
    if process is None:
        return _from_environment(environment)
    try:
        rank, count = process
    except (TypeError, ValueError):
        raise TypeError(f"process must be (rank, count); got {process!r}") from None
    if not all(isinstance(x, Integral) and not isinstance(x, bool) for x in (rank, count)):
        raise TypeError(f"process must be two whole numbers; got {process!r}")
    if not 0 <= rank < count:
        raise ValueError(f"process must be (rank, count) with 0 <= rank < count; got {process!r}")
    return int(rank), int(count)


def _from_environment(environment: Mapping[str, str]) -> tuple[int, int]:
    for rank_name, count_name in SYSTEMS:
        if rank_name not in environment:
            continue
        if count_name not in environment:
            if rank_name == "JOB_COMPLETION_INDEX":
                raise ValueError(
                    "JOB_COMPLETION_INDEX is set without JOB_COMPLETIONS: set it in the manifest "
                    "to the job's completions, or give process=(rank, count)"
                )
            continue
        rank = _number(environment, rank_name)
        first = _number(environment, FIRST.get(rank_name, ""), 0)
        step = _number(environment, STEP.get(rank_name, ""), 1)
        rank, count = (rank - first) // max(1, step), _number(environment, count_name)
        if not 0 <= rank < count:
            raise ValueError(f"{rank_name} and {count_name} say process {rank} of {count}")
        return rank, count
    return ALONE


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name)
    if text is None and default is not None:
        return default
    try:
        return int(text or "")
    except ValueError:
        raise ValueError(f"{name} must be a whole number; it is {text!r}") from None


# --- Totals of all processes ---------------------------------------------------------------------


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
        f"{index}.{name}": array
        for index, total in enumerate(totals)
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
            index, _, name = key.partition(".")
            if name:
                totals[int(index)][name] = arrays[key]
    return totals


def _body(path: Path) -> bytes | None:
    """The content of a file of totals; None where it is damaged."""
    content = path.read_bytes()
    body = content[len(_seal(b"")) :]
    return body if content == _seal(body) + body else None


def _seal(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode() + b"\n"
