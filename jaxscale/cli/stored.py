"""A stored sweep as the commands see it: how far it is, and its data set."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from jaxscale.cli.mistakes import Mistake
from jaxscale.cli.quantities import counted
from jaxscale.sweeping import fingerprint, results
from jaxscale.sweeping.store import copies, store

if TYPE_CHECKING:
    from xarray import Dataset


UNREADABLE = (ValueError, RuntimeError, LookupError, TypeError)  # zarr raises each of them


class Progress(NamedTuple):
    """How far a stored sweep is."""

    done: int  # chunks
    total: int
    scenarios: int


def opened(path: Path) -> "Dataset":
    """The data set in a store, read as it is asked for; fields in the order asked for.

    A mistake where metadata or coordinates cannot be read.
    """
    try:
        with said_of_damage(path):
            return results.open_store(path)
    except UNREADABLE:
        if copies.exist(path):  # and all files are as they were written
            raise
        anew = f"jaxscale resume {quote(str(path))} makes metadata and coordinates anew"
        raise Mistake(f"{path} is damaged: {anew}") from None


@contextmanager
def said_of_damage(path: Path) -> Iterator[None]:
    """Where chunks are read: a mistake that says what to do, if any is damaged.

    Chunks are read where their numbers are first needed, so in drawing and exporting. What
    fails while all chunks are whole is no damage, and is raised as it is.
    """
    try:
        yield
    except UNREADABLE:
        damage = damage_of(path)
        if not damage:
            raise
        raise Mistake(damage) from None


def damage_of(path: Path) -> str:
    """What is wrong with a store and what to do; empty where all checksums hold."""
    quoted = quote(str(path))
    try:
        bad = len(store.verify(path).bad)
    except store.StoreError as error:
        return str(error)
    if bad:
        again = "computes it again" if bad == 1 else "computes them again"
        return f"{path}: {counted(bad, 'chunk')} damaged; jaxscale verify {quoted} {again}"
    return ""


def progress_of(path: Path | None) -> Progress:
    """Chunks that are marked done; none of none where there is no store yet."""
    if path is None or not os.path.lexists(path):
        return Progress(0, 0, 0)
    try:
        _, plan = store.read(path)
        done = store.done(path, fingerprint.digest(plan))
        chunks = store.chunks_of(path)
    except store.StoreError:
        return Progress(0, 0, 0)  # the sweep itself says what is wrong
    return Progress(len(done), chunks.count, math.prod(chunks.sizes))
