"""The layout of a store on disk, and how an empty one is made.

One Zarr v3 group: an array for each field in the chunks of the sweep, an array for each
coordinate, and the journal where Zarr does not look.
"""

import json
import math
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxscale.sweeping.axes import Coordinate
from jaxscale.sweeping.chunks import Chunks
from jaxscale.sweeping.store.disk import sync_folder

PLAN = "jaxscale_plan"  # JSON in a string: a nested attribute could not be exported to netCDF
DIGEST = "jaxscale_digest"
FIELDS = "jaxscale_fields"  # names in their order, JSON in a string for the same reason

# Zarr complains of a folder that it does not know. Inside an array it does not look, and
# inside a group of its own that array is no variable of the data set.
# Names of format 1: stores of earlier versions are read too.
JOURNAL_GROUP, JOURNAL_ARRAY, JOURNAL_AXIS = ".journal", "blocks", "block"
JOURNAL = os.path.join(JOURNAL_GROUP, JOURNAL_ARRAY)

SEPARATOR = "."  # all chunks of a field in one folder: a quarter of the inodes


# The first bytes of a Zstandard frame (RFC 8878), which each chunk of earlier versions is.
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
CHUNKS_LOOKED_AT = 8  # of each field, one of which may be damaged


class Field(NamedTuple):
    """One result of every scenario."""

    name: str
    dtype: np.dtype
    attributes: Mapping[str, Any]  # units, long_name


def check_names(names: Sequence[str]) -> None:
    """Refuse names that are not one folder on disk."""
    for name in names:
        if not name or name.startswith((".", "__")) or re.search(r"[/\\\0]", name):
            raise ValueError(
                f"a name in a store must not be empty, begin with '.' or '__' or contain a "
                f"slash; got {name!r}"
            )


def field_names(attributes: Mapping[str, Any]) -> list[str]:
    """The fields of a store, in the order in which they were asked for."""
    names = attributes[FIELDS]
    return json.loads(names) if isinstance(names, str) else list(names)


@contextmanager
def quiet_labels() -> Iterator[None]:
    """Silence zarr 3.1, which warns of labels of a fixed length; they have a specification since.

    Only these come back from xarray as strings of numpy, which `idxmin`, `astype(str)` and
    `to_netcdf` need.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"The data type \(FixedLengthUTF32")
        yield


def journal_folder(path: str | os.PathLike) -> Path:
    return Path(path) / JOURNAL


def array_at(path: str | os.PathLike, name: str) -> dict[str, Any]:
    """The specification by which tensorstore opens an array of a store."""
    kvstore = {"driver": "file", "path": os.path.join(path, name)}
    return {"driver": "zarr3", "kvstore": kvstore}


def chunk_shape(chunks: Chunks) -> tuple[int, ...]:
    """The shape on disk: at most that of the axes, which a sweep's chunk may exceed."""
    return tuple(map(min, chunks.shape, chunks.sizes))


def chunk_names(chunks: Chunks, numbers: Iterable[int]) -> list[str]:
    """File of each chunk in the folder of any field."""
    starts = chunks.starts(np.fromiter(numbers, np.int64))
    indices = (starts // np.array(chunks.shape)).tolist()
    return [SEPARATOR.join(["c", *map(str, index)]) for index in indices]


def fill_value(dtype: np.dtype) -> float | int | bool:
    """The value of scenarios that are not computed yet; a bool has none to spare for that."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return int(limits.min if dtype.kind == "i" else limits.max)
    return math.nan if dtype.kind == "f" else False


def holds_zstd(path: Path, fields: Sequence[Field]) -> bool:
    """Whether the chunks of a store are compressed as in earlier versions."""
    for field in fields:
        chunks = islice((path / field.name).glob(f"c{SEPARATOR}*"), CHUNKS_LOOKED_AT)
        if any(_begins_with(chunk, ZSTD_MAGIC) for chunk in chunks):
            return True
    return False


def _begins_with(path: Path, start: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(start)) == start


def make(
    path: Path,
    chunks: Chunks,
    axes: tuple[str, ...],
    fields: Sequence[Field],
    coordinates: Sequence[Coordinate],
    attributes: Mapping[str, Any],
    *,
    zstd: bool = False,
) -> None:
    """Write an empty store and bring it to disk, file by file.

    With `zstd`, chunks are to be compressed as in stores of earlier versions.
    """
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

    codecs = [ZstdCodec(level=1), Crc32cCodec()]
    group = zarr.create_group(path, zarr_format=3, attributes=dict(attributes))
    for each in coordinates:
        values = each.values if each.values.dtype.kind in "biuf" else each.values.astype(str)
        with quiet_labels():
            group.create_array(
                each.name,
                shape=values.shape,
                dtype=values.dtype,
                compressors=codecs,
                dimension_names=(each.name,),
                attributes=dict(each.attributes),
            )[...] = values
    for field in fields:
        # Two to three times as fast as Zstandard at level 1, and a fifth to a third fewer bytes on
        # a grid: neighbours share their leading bytes, which the shuffle brings together.
        fast = BloscCodec(
            cname="lz4", clevel=5, shuffle="shuffle", typesize=field.dtype.itemsize, blocksize=0
        )
        group.create_array(
            field.name,
            shape=chunks.sizes,
            chunks=chunk_shape(chunks),
            dtype=field.dtype,
            compressors=codecs if zstd else [fast, Crc32cCodec()],
            chunk_key_encoding={"name": "default", "separator": SEPARATOR},
            dimension_names=axes,
            fill_value=fill_value(field.dtype),
            attributes=_labelled(field),
        )
    # Its chunks are never written; the array makes the folder one that Zarr knows.
    group.create_group(JOURNAL_GROUP).create_array(
        JOURNAL_ARRAY, shape=(chunks.count,), dtype=bool, dimension_names=(JOURNAL_AXIS,)
    )
    _sync_tree(path)


def _labelled(field: Field) -> dict[str, Any]:
    """Attributes of a field; for integers also the value of scenarios that are not computed."""
    if field.dtype.kind not in "iu":
        return dict(field.attributes)
    # Not called _FillValue: xarray would make floats of all integers.
    return {**field.attributes, "not_computed": fill_value(field.dtype)}


def _sync_tree(path: Path) -> None:
    for folder, _, names in os.walk(path):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                os.fsync(file.fileno())
        sync_folder(folder)
