"""Stored sweeps: progress, data, verification and resumption."""

import math
import os
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from jaxscale import _display
from jaxscale._numerics.quantities import counted
from jaxscale.sweeping import fingerprint, processes, results, spec
from jaxscale.sweeping._sweep import sweep
from jaxscale.sweeping.results import checked_path
from jaxscale.sweeping.store import copies, store
from jaxscale.sweeping.store.store import StoreError

if TYPE_CHECKING:
    from xarray import Dataset

StorePath = str | os.PathLike
UNREADABLE = (ValueError, RuntimeError, LookupError, TypeError)  # zarr raises each of them
LISTED = 10  # chunks that are listed by number


class Progress(NamedTuple):
    """Progress of a stored sweep.

    Examples:
        >>> js.sweeping.Progress(done=3, total=8, scenarios=1_000_000)
        3 of 8 chunks done; 1,000,000 scenarios in all
    """

    done: int  # chunks
    total: int
    scenarios: int  # of the whole space

    def __repr__(self) -> str:
        chunks, scenarios = counted(self.total, "chunk"), counted(self.scenarios, "scenario")
        return f"{self.done:,} of {chunks} done; {scenarios} in all"

    def _repr_html_(self) -> str:
        row = [f"{each:,}" for each in self]
        return _display.html(("chunks done", "chunks", "scenarios"), [row])


@dataclass(frozen=True, repr=False)
class Verification:
    """The findings of `verify`, in sentences when printed."""

    path: str
    checked: int  # chunks that were marked done
    bad: tuple[int, ...]  # of these, chunks that do not read back whole: marked as not done
    missing: tuple[int, ...]  # chunks that are not computed yet
    mended: tuple[str, ...]  # files that were put back as they were written
    statistics: tuple[str, ...]  # damaged files of statistics, which were removed
    records: int  # damaged records of the journal, whose chunks are marked as not done
    has_copies: bool  # of metadata and coordinates; stores of earlier versions have none

    @property
    def is_whole(self) -> bool:
        """Whether nothing has to be computed again."""
        return not self.bad and not self.records

    def sentences(self) -> list[str]:
        """The findings, in the order of the checks."""
        left = f"; {len(self.missing):,} not computed yet" if self.missing else ""
        bad = f"{len(self.bad):,} bad" + (f": {_listed(self.bad)}" if self.bad else "")
        sentences = {
            f"Put back as written: {', '.join(self.mended)}.": bool(self.mended),
            "Metadata and coordinates have no copy: "
            f"jaxscale resume {quote(self.path)} makes them anew.": not self.has_copies,
            f"Removed damaged statistics: {', '.join(self.statistics)}. "
            "Start their processes again.": bool(self.statistics),
            f"{counted(self.records, 'record')} of the journal damaged: their chunks are "
            "computed again.": bool(self.records),
            f"{counted(self.checked, 'chunk')} read, "
            f"{'all of them whole' if self.is_whole else bad}{left}.": True,
        }
        return [sentence for sentence, holds in sentences.items() if holds]

    def __repr__(self) -> str:
        return "\n".join(self.sentences())

    def _repr_html_(self) -> str:
        rows = [
            ("chunks read", f"{self.checked:,}"),
            ("bad", f"{len(self.bad):,}" + (f": {_listed(self.bad)}" if self.bad else "")),
            ("not computed yet", f"{len(self.missing):,}"),
            ("put back as written", ", ".join(self.mended) or "none"),
            ("damaged statistics, removed", ", ".join(self.statistics) or "none"),
            ("damaged records of the journal", f"{self.records:,}"),
            ("copy of metadata and coordinates", "yes" if self.has_copies else "no"),
        ]
        return _display.html(("", ""), rows, title=f"Verification of {self.path}")


def _listed(chunks: tuple[int, ...]) -> str:
    """The numbers of the first chunks."""
    return ", ".join(map(str, chunks[:LISTED])) + ", ..." * (len(chunks) > LISTED)


def progress_of(path: StorePath) -> Progress:
    """Progress of the sweep at `path`: chunks done of all, and scenarios.

    Raises StoreError where there is no sweep that can be read.

    Examples:
        >>> data = js.sweep(lambda x: {"y": 2 * x}, js.Grid(x=[1.0, 2.0]), store="double.zarr")
        >>> js.sweeping.progress_of("double.zarr")
        1 of 1 chunk done; 2 scenarios in all
    """
    checked_path(path)
    _, plan = store.read(path)
    done = store.done(path, fingerprint.digest(plan))
    chunks = store.chunks_of(path)
    return Progress(len(done), chunks.count, math.prod(chunks.sizes))


def open_store(path: StorePath) -> "Dataset":
    """The data set of the sweep at `path`, read as it is asked for, fields in the order kept.

    Raises StoreError that says what to do where there is no sweep, and where metadata or
    coordinates are damaged.

    Examples:
        >>> data = js.sweep(lambda x: {"y": 2 * x}, js.Grid(x=[1.0, 2.0]), store="double.zarr")
        >>> js.sweeping.open_store("double.zarr")["y"].values
        array([2., 4.], dtype=float32)
    """
    checked_path(path)
    store.read(path)
    try:
        with explained_damage(path):
            return results.open_store(path)
    except UNREADABLE:
        if copies.exist(path):  # and all files are as they were written
            raise
        anew = f"jaxscale resume {quote(os.fspath(path))} makes metadata and coordinates anew"
        raise StoreError(f"{os.fspath(path)} is damaged: {anew}") from None


def verify(path: StorePath) -> Verification:
    """Read every file of the sweep at `path`, restore damaged metadata and unmark bad chunks.

    Metadata and coordinates are restored from their copies. Chunks that do not match their
    checksums are no longer marked as done: `resume` computes them again.

    Raises StoreError where there is no sweep, and for files whose copies are damaged as well.

    Examples:
        >>> data = js.sweep(lambda x: {"y": 2 * x}, js.Grid(x=[1.0, 2.0]), store="double.zarr")
        >>> js.sweeping.verify("double.zarr")
        1 chunk read, all of them whole.
    """
    checked_path(path)
    repairs = store.mend(path)
    statistics = processes.remove_damaged(path)
    if repairs.lost:
        raise StoreError(
            f"{os.fspath(path)}: {', '.join(repairs.lost)} damaged, and so is what was kept to put "
            f"it back; {_last_resort(path, repairs.lost)}"
        )
    verdict = store.verify(path)
    if verdict.bad:
        store.forget(path, verdict.bad)
    return Verification(
        os.fspath(path),
        *verdict,
        mended=repairs.mended,
        statistics=tuple(statistics),
        records=repairs.records,
        has_copies=copies.exist(path),
    )


def resume(
    path: StorePath,
    *,
    progress: bool | None = None,
    executor: Executor | None = None,
    process: tuple[int, int] | None = None,
) -> "Dataset":
    """Compute the missing chunks of the sweep at `path`, which has a specification, and open it.

    Options are those of `js.sweep`. A sweep of a Python function goes on where the call that
    began it is made again.

    Raises StoreError for a sweep that was not begun from a specification.

    Examples:
        >>> spec = js.sweeping.spec.read('''
        ... axes.loss_nats_per_token = [2.0, 2.1]
        ... fixed.inference_tokens = 1e12
        ... ''')
        >>> data = js.sweep(spec.scenario, spec.space, fields=spec.labels, store="plans.zarr")
        >>> dict(js.sweeping.resume("plans.zarr").sizes)
        {'loss': 2}
    """
    specification = specification_of(path)
    _, plan = store.read(path)
    return sweep(
        specification.scenario,
        specification.space,
        fields=specification.labels,
        store=path,
        dtype=plan["dtype"],
        chunk=math.prod(plan["chunk"]),
        progress=progress,
        executor=executor,
        process=process,
    )


def specification_of(path: StorePath) -> spec.Specification:
    """The specification that the sweep at `path` was begun from; StoreError without one."""
    checked_path(path)
    attributes, _ = store.read(path)
    text = attributes.get(spec.TEXT)
    if not isinstance(text, str):
        raise StoreError(
            f"{os.fspath(path)!r} was not begun from a specification: make the same call of "
            "jaxscale.sweep again, and it goes on from what is done"
        )
    # Whatever fit it was begun with may be its law to the end.
    return spec.Specification.of_text(text, f"the specification in {os.fspath(path)}", anyway=True)


@contextmanager
def explained_damage(path: StorePath) -> Iterator[None]:
    """Raise a StoreError that says what to do, if chunks that are read inside are damaged.

    Chunks are read when their numbers are first needed, as in drawing and exporting. Other errors
    are raised as they are.
    """
    try:
        yield
    except UNREADABLE:
        damage = _damage_of(path)
        if not damage:
            raise
        raise StoreError(damage) from None


def _damage_of(path: StorePath) -> str:
    """The damage of a store and its remedy; empty where all checksums hold."""
    try:
        bad = len(store.verify(path).bad)
    except StoreError as error:
        return str(error)
    if not bad:
        return ""
    name, again = os.fspath(path), "computes it again" if bad == 1 else "computes them again"
    return f"{name}: {counted(bad, 'chunk')} damaged; jaxscale verify {quote(name)} {again}"


def _last_resort(path: StorePath, lost: tuple[str, ...]) -> str:
    if "zarr.json" in lost:  # which holds the plan
        return "restore it from a backup, or make the sweep again at another path"
    return f"delete {copies.path_in(path)}, and the same call makes them anew"
