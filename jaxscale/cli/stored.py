"""A stored sweep as the commands see it: how far it is, and its data set."""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jaxscale.sweeping import fingerprint, store
from jaxscale.sweeping.blocks import Blocks
from jaxscale.sweeping.layout import field_names, reading_labels

if TYPE_CHECKING:
    from xarray import Dataset


class Progress(NamedTuple):
    """How far a stored sweep is."""

    done: int  # chunks
    total: int
    scenarios: int


def opened(path: Path) -> "Dataset":
    """The data set in a store, read as it is asked for; fields in the order asked for."""
    import xarray

    with reading_labels():
        data = xarray.open_zarr(path, consolidated=False)
    return data[field_names(data.attrs)]


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
