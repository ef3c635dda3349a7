"""A store of six chunks with fields of four types and axes of strings, floats and integers."""

import numpy as np

from jaxscale.sweeping import fingerprint
from jaxscale.sweeping.axes import Coordinate
from jaxscale.sweeping.chunks import Chunks
from jaxscale.sweeping.store import store
from jaxscale.sweeping.store.store import Field
from jaxscale.sweeping.store.writer import Writer

CHUNKS = Chunks(sizes=(2, 5, 3), shape=(1, 2, 3))  # the last chunk along the middle axis is short
AXES = ("catalogue", "loss", "requests")
FIELDS = (
    Field("total_cost", np.dtype("float64"), {"units": "dollars", "long_name": "lifetime cost"}),
    Field("ratio", np.dtype("float32"), {"long_name": "ratio"}),
    Field("status", np.dtype("int8"), {"flag_values": [0, 1], "flag_meanings": "OK BAD"}),
    Field("fits", np.dtype("bool"), {}),
)
COORDINATES = (
    Coordinate("catalogue", np.array(["A100", "H100-é"]), {"long_name": "device"}),
    Coordinate("loss", np.linspace(1.8, 2.2, 5), {"units": "nats/token"}),
    Coordinate("requests", np.array([1, 10**6, 10**15]), {}),
)
PLAN = {"space": {"loss": {"size": 5}}, "dtype": "float64", "versions": {"jaxscale": "0.1.0"}}
DIGEST = fingerprint.digest(PLAN)


def make(path, plan=PLAN):
    store.create(path, CHUNKS, AXES, FIELDS, COORDINATES, {"title": "a test"}, plan)


def whole(rng):
    """Every field over the whole space, with what is hard to keep among the values."""
    values = rng.normal(size=CHUNKS.sizes)
    values[0, 0] = np.nan, np.inf, -0.0
    return {
        "total_cost": values,
        "ratio": values.astype(np.float32),
        "status": rng.integers(-127, 128, CHUNKS.sizes, np.int8),
        "fits": values > 0,
    }


def part(results, number):
    return {name: values[CHUNKS.slices(number)] for name, values in results.items()}


def write(path, results, numbers=range(CHUNKS.count)):
    with Writer(path, CHUNKS, FIELDS, DIGEST) as writer:
        for number in numbers:
            writer.write(number, part(results, number))


def bytes_of(path):
    """Contents of every file but records of the journal."""
    return {
        str(each.relative_to(path)): each.read_bytes()
        for each in sorted(path.rglob("*"))
        if each.is_file() and each.suffix != ".log"
    }
