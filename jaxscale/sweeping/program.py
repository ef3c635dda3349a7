"""One compiled program for all chunks of a sweep, on all devices of this process.

The scenario function is mapped over a chunk, its results are reduced and, where they are
kept, returned. Each device takes groups of chunks of its own, one chunk after another, and
devices never talk to each other. All chunks and groups have one shape, so there is one program: a
short one at the end is padded, and the padding masked.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxscale._labelled import STATUS
from jaxscale.status import is_ok
from jaxscale.sweeping.chunks import Chunks
from jaxscale.sweeping.reducers.protocol import Chunk, Group, Reducer, Total
from jaxscale.sweeping.spaces import Scenario, Space

DEVICES = "devices"


class Done(NamedTuple):
    """Results of one group of chunks, on the host."""

    numbers: np.ndarray  # of the chunks
    fields: list[dict[str, np.ndarray]]  # for each chunk, cropped to the space; empty if not kept
    totals: list[Total]  # for each reducer


class Program(NamedTuple):
    """A compiled step, with everything that it needs but the numbers of the chunks."""

    step: Callable[..., Any]
    tables: Any
    space: Space
    reducers: tuple[Reducer, ...]
    group: Group
    devices: int
    sharding: Any

    def launch(self, groups: Sequence[np.ndarray]) -> tuple[Any, list[np.ndarray]]:
        """Start one group on each device; returns at once. At most as many as there are devices."""
        words, extents = zip(*map(self._inputs, groups), strict=True)
        idle = self.devices - len(groups)
        # An idle device repeats the last group with nothing of it inside the space.
        words += (words[-1],) * idle
        extents += (np.zeros_like(extents[-1]),) * idle
        inputs = jax.device_put((np.stack(words), np.stack(extents)), self.sharding)
        outputs = self.step(self.tables, *inputs)
        jax.tree.map(lambda array: array.copy_to_host_async(), outputs)
        return outputs, list(groups)

    def fetch(self, launched: tuple[Any, list[np.ndarray]]) -> list[Done]:
        """Wait for groups and bring their results to the host."""
        outputs, groups = launched
        fields, states = jax.device_get(outputs)
        return [self._done(at, numbers, fields, states) for at, numbers in enumerate(groups)]

    def _inputs(self, numbers):
        chunks = self.group.chunks
        extents = chunks.extents(numbers).astype(np.int32)
        words = self.space.starts(chunks, numbers)
        missing = ((0, self.group.count - len(numbers)), (0, 0))
        return np.pad(words, missing, mode="edge"), np.pad(extents, missing)

    def _done(self, at, numbers, fields, states):
        chunks = self.group.chunks
        kept = [
            {
                name: array[at, position][chunks.inside(int(number))]
                for name, array in fields.items()
            }
            for position, number in enumerate(numbers)
            if fields
        ]
        starts = chunks.starts(numbers)
        totals = [
            reducer.total(jax.tree.map(lambda leaf: leaf[at], state), starts, self.group)
            for reducer, state in zip(self.reducers, states, strict=True)
        ]
        return Done(numbers, kept, totals)


def build(
    scenario: Scenario,
    space: Space,
    group: Group,
    reducers: tuple[Reducer, ...],
    kept: tuple[str, ...],
    dtypes: Mapping[str, np.dtype],
    dtype: Any,
) -> Program:
    """The program of a sweep on the local devices; call and use it under the sweep's x64 switch."""
    devices = jax.local_devices()
    mesh = jax.make_mesh((len(devices),), (DEVICES,), (AxisType.Auto,), devices=devices)
    each, all_of_them = PartitionSpec(DEVICES), PartitionSpec()

    def on_device(tables, words, extents):
        # Each device has a leading axis of one, which is dropped here and restored at the end.
        given = tables, words[0], extents[0]
        return jax.tree.map(lambda leaf: leaf[None], reduced_group(*given))

    def reduced_group(tables, words, extents):
        def body(states, chunk_inputs):
            position, start, extent = chunk_inputs
            fields = _fields(scenario, space, group.chunks, dtypes, tables, start)
            inside = _inside(group.chunks, extent)
            chunk = Chunk(fields, inside, inside & _ok(fields), start.astype(jnp.int32), position)
            # A group may have fewer chunks than it has positions. The branch also keeps XLA from
            # computing a field again in each loop that reads it.
            states = lax.cond(extent[0] > 0, reduced, lambda states, chunk: states, states, chunk)
            return states, {name: fields[name] for name in kept}

        def reduced(states, chunk):
            return [
                reducer.update(state, chunk, group)
                for reducer, state in zip(reducers, states, strict=True)
            ]

        states = [reducer.start(group, dtypes) for reducer in reducers]
        positions = lax.iota(jnp.int32, group.count)
        states, fields = lax.scan(body, states, (positions, words, extents))
        return fields, states

    step = jax.jit(
        jax.shard_map(
            on_device,
            mesh=mesh,
            in_specs=(all_of_them, each, each),
            out_specs=each,
            # Nothing crosses devices, and an empty state is the same on each.
            check_vma=False,
        )
    )
    tables = jax.device_put(space.tables(group.chunks, dtype), NamedSharding(mesh, all_of_them))
    sharding = NamedSharding(mesh, each)
    return Program(step, tables, space, reducers, group, len(devices), sharding)


def _fields(scenario, space, chunks, dtypes, tables, start):
    """Every field of a chunk, in its dtype."""
    results = space.evaluate(scenario, tables, start, chunks)
    return {name: jnp.asarray(results[name]).astype(dtype) for name, dtype in dtypes.items()}


def _inside(chunks: Chunks, extent: Array) -> Array:
    """Mask of the lanes of a chunk that lie in the space; a chunk without extent has none."""
    inside = jnp.ones(chunks.shape, bool)
    for axis in range(len(chunks.shape)):
        inside &= lax.broadcasted_iota(jnp.int32, chunks.shape, axis) < extent[axis]
    return inside


def _ok(fields: Mapping[str, Array]) -> Array:
    """Mask of lanes with numbers: by their status or, without one, by being finite."""
    if STATUS in fields:
        return is_ok(fields[STATUS])
    finite = [jnp.isfinite(x) for x in fields.values() if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.stack(finite).all(axis=0) if finite else jnp.bool_(True)
