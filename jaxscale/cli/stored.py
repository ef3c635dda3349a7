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
from jaxscale.sweeping import fingerprint, store
from jaxscale.sweeping.blocks import Blocks

if TYPE_CHECKING:
    from xarray import Dataset


class Progress(NamedTuple):
    """How far a stored sweep is."""

    done: int  # chunks
    total: int
    scenarios: int


def opened(path: Path) -> "Dataset":
    """The data set in a store, read as it is asked for."""
    import xarray

    return xarray.open_zarr(path, consolidated=False)


@contextmanager
def read_in_full(path: Path) -> Iterator[None]:
    """Where a chunk that is damaged cannot be read, a mistake that says what to do."""
    try:
        yield
    except (OSError, ValueError, RuntimeError):  # zarr's codecs raise each of them
        bad = len(store.verify(path).bad)
        if not bad:
            raise
        raise Mistake(
            f"{path}: {counted(bad, 'chunk')} damaged; jaxscale verify {quote(str(path))} "
            f"computes {'it' if bad == 1 else 'them'} again"
        ) from None


def progress_of(path: Path | None) -> Progress:
    """Chunks that are marked done; none of none where there is no store yet."""
    if path is None or not os.path.lexists(path):
        return Progress(0, 0, 0)
    try:
        _, plan = store.read(path)
        done = store.done(path, fingerprint.digest(plan))
    except store.StoreError:
        return Progress(0, 0, 0)  # the sweep itself says what is wrong
    with opened(path) as data:
        sizes = tuple(data.sizes.values())
    blocks = Blocks(sizes, tuple(plan["chunk"]))
    return Progress(len(done), blocks.count, math.prod(sizes))
