"""One compiled program for all chunks of a sweep, on all devices of this process.

The scenario function is mapped over a chunk, its results are reduced and, where they are
kept, returned. Each device takes groups of chunks of its own, one chunk after another, and
devices never talk to each other. All chunks and groups have one shape, so there is one program: a
short one at the end is padded, and the padding masked.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from enum import Enum
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxscale._labelled import STATUS
from jaxscale.sweeping import kernel
from jaxscale.sweeping.chunks import Chunks
from jaxscale.sweeping.gather import (
    At,
    at_once,
    by_columns,
    ends_of,
    inside_axes,
    nothing_held,
    ok_of,
    parts_of,
    terms_of,
)
from jaxscale.sweeping.reducers.protocol import Group, Known, Lanes, Parts, Reducer, Total
from jaxscale.sweeping.spaces import Scenario, Space

DEVICES = "devices"


class Form(Enum):
    """What a group of chunks is computed by."""

    COLUMNS = "a program of XLA, term by term"
    AT_ONCE = "a program of XLA, all terms at once"
    KERNEL = "one kernel"
    INTERPRETED = "one kernel, interpreted"  # on any device, for tests


def form_of_xla() -> Form:
    """The form that suits the device where there is no kernel."""
    return Form.COLUMNS if jax.default_backend() == "cpu" else Form.AT_ONCE


class Done(NamedTuple):
    """Results of one group of chunks, on the host."""

    numbers: np.ndarray  # of the chunks
    fields: list[dict[str, np.ndarray]]  # for each chunk, cropped to the space; empty if not kept
    totals: list[Total]  # for each reducer
    holds: bool  # whether these totals are right; if not, those known from them make them so


class Launched(NamedTuple):
    """Groups of chunks that are being computed."""

    groups: list[np.ndarray]
    known: list[Known]  # for each reducer, as rounded
    outputs: list[Any]  # of each launch, or a future of it


class Program(NamedTuple):
    """A compiled step, with everything that it needs but the numbers of the chunks."""

    step: Any  # of `jax.jit`
    tables: Any
    space: Space
    reducers: tuple[Reducer, ...]
    group: Group
    dtype: np.dtype
    devices: int
    sharding: Any

    @property
    def width(self) -> int:
        """Groups that are computed at a time."""
        return _threads() if self._has_threads else self.devices

    @property
    def _has_threads(self) -> bool:
        # XLA hands a loop to all cores and waits for the last of them, some fifty times a chunk.
        # With a chunk to each core, none waits for another.
        return self.devices == 1 and jax.default_backend() == "cpu"

    def known(self, totals: list[Total] | None) -> list[Known]:
        """What each reducer knows from its total so far."""
        return [
            {
                name: np.asarray(number, self.dtype)
                for name, number in reducer.known(
                    totals[at] if totals else None, self.dtype
                ).items()
            }
            for at, reducer in enumerate(self.reducers)
        ]

    def launch(self, groups: Sequence[np.ndarray], known: list[Known]) -> Launched:
        """Start these groups, no more than `width`; returns at once."""
        if self._has_threads:
            outputs = [_pool().submit(self._run, [group], known) for group in groups]
            return Launched(list(groups), known, outputs)
        outputs = self._start(groups, known)
        jax.tree.map(lambda array: array.copy_to_host_async(), outputs)
        return Launched(list(groups), known, [outputs])

    def fetch(self, launched: Launched) -> list[Done]:
        """Wait for groups and bring their results to the host."""
        done, groups = [], iter(launched.groups)
        for outputs in launched.outputs:
            outputs = outputs.result() if isinstance(outputs, Future) else jax.device_get(outputs)
            count = 1 if self._has_threads else len(launched.groups)
            done += [self._done(at, next(groups), outputs, launched.known) for at in range(count)]
        return done

    def empty_totals(self) -> list[Total]:
        """Totals of no chunk."""
        known, none = self.known(None), np.zeros(0, np.int64)
        shapes = jax.eval_shape(self.step, self.tables, known, *self.given([none]))
        outputs = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
        return self._done(0, none, outputs, known).totals

    def _run(self, groups: Sequence[np.ndarray], known: list[Known]) -> Any:
        with jax.enable_x64(self.dtype == np.float64):  # of this thread
            return jax.device_get(self._start(groups, known))

    def _start(self, groups: Sequence[np.ndarray], known: list[Known]) -> Any:
        inputs = jax.device_put(self.given(groups), self.sharding)
        return self.step(self.tables, known, *inputs)

    def given(self, groups: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Starts and extents of the chunks of each group; an idle device has none inside."""
        idle = [np.zeros(0, np.int64)] * (self.devices - len(groups))
        words, extents = zip(*map(self._inputs, [*groups, *idle]), strict=True)
        return np.stack(words), np.stack(extents)

    def _inputs(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        chunks = self.group.chunks
        # A position without a chunk repeats the first chunk with nothing of it inside the space.
        padded = np.zeros(self.group.count, np.int64)
        padded[: len(numbers)] = numbers
        extents = chunks.extents(padded).astype(np.int32)
        extents[len(numbers) :] = 0
        return self.space.starts(chunks, padded), extents

    def _done(self, at: int, numbers: np.ndarray, outputs: Any, known: list[Known]) -> Done:
        chunks = self.group.chunks
        fields, parts, held = outputs
        kept = [
            {
                name: array[at, position][chunks.inside(int(number))]
                for name, array in fields.items()
            }
            for position, number in enumerate(numbers)
            if fields
        ]
        starts = chunks.starts(numbers)
        found: list[Parts] = [{} for _ in self.reducers]
        for (reducer, name), part in parts.items():
            found[reducer][name] = jax.tree.map(lambda leaf: leaf[at, : len(numbers)], part)
        for (reducer, name), part in held.items():
            found[reducer][name] = part[at]
        holds = [
            each.holds(own, knows)
            for each, own, knows in zip(self.reducers, found, known, strict=True)
        ]
        totals = [
            reducer.total(own, knows, starts, self.group)
            for reducer, own, knows in zip(self.reducers, found, known, strict=True)
        ]
        return Done(numbers, kept, totals, all(holds))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_threads(), "jaxscale-sweep")


if hasattr(os, "register_at_fork"):  # a child has the pool, but none of its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


@cache
def _threads() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def build(
    scenario: Scenario,
    space: Space,
    group: Group,
    reducers: tuple[Reducer, ...],
    kept: tuple[str, ...],
    dtypes: Mapping[str, np.dtype],
    dtype: Any,
    form: Form,
) -> Program:
    """The program of a sweep on the local devices; call and use it under the sweep's x64 switch."""
    devices = jax.local_devices()
    mesh = jax.make_mesh((len(devices),), (DEVICES,), (AxisType.Auto,), devices=devices)
    each, all_of_them = PartitionSpec(DEVICES), PartitionSpec()

    def on_device(tables, known, words, extents):
        # Each device has a leading axis of one, which is dropped here and restored at the end.
        found = on_one(tables, known, words[0], extents[0])
        return jax.tree.map(lambda leaf: leaf[None], found)

    def on_one(tables, known, words, extents):
        if form in (Form.KERNEL, Form.INTERPRETED):
            sweep = scenario, space, group, reducers, dtypes
            interpret = form is Form.INTERPRETED
            return kernel.of_group(*sweep, tables, known, words, extents, interpret=interpret)

        def evaluate(start):
            results, keys = space.evaluate(scenario, tables, start, group.chunks)
            fields = {name: jnp.asarray(results[name]).astype(dtypes[name]) for name in dtypes}
            return fields, keys

        source = Source(evaluate, space.names, space.bins())
        return of_group(reducers, group, source, kept, form, known, words, extents)

    step = jax.jit(
        jax.shard_map(
            on_device,
            mesh=mesh,
            in_specs=(all_of_them, all_of_them, each, each),
            out_specs=each,
            # Nothing crosses devices, and what an empty group holds is the same on each.
            check_vma=False,
        )
    )
    tables = jax.device_put(space.tables(group.chunks, dtype), NamedSharding(mesh, all_of_them))
    sharding = NamedSharding(mesh, each)
    return Program(step, tables, space, reducers, group, np.dtype(dtype), len(devices), sharding)


def compiled(program: Program) -> Program:
    """The program, compiled now; raises where that cannot be done."""
    given = jax.device_put(program.given([]), program.sharding)
    step = program.step.lower(program.tables, program.known(None), *given).compile()
    return program._replace(step=step)


class Source(NamedTuple):
    """The scenarios of a sweep."""

    evaluate: Callable[[Array], tuple[dict[str, Array], dict[str, Array]]]
    """Fields of the chunk at a start, and the bin of each scenario by argument, of a sample."""

    arguments: tuple[str, ...]
    bins: Mapping[str, int]  # of a sample


def of_group(
    reducers: tuple[Reducer, ...],
    group: Group,
    source: Source,
    kept: tuple[str, ...],
    form: Form,
    known: list[Known],
    starts: Array,
    extents: Array,
) -> tuple[Any, Any, Any]:
    """Fields that are kept and parts for each chunk of a group, and parts of all of it. Traced."""
    gathered = partial(_gathered, reducers, group, source.arguments, form, known)

    def body(held, inputs):
        start, extent = inputs
        fields, keys = source.evaluate(start)
        at = At(() if keys else group.axes, start.astype(jnp.int32), keys)
        parts, held = gathered(fields, extent, at, held)
        return held, ({name: fields[name] for name in kept}, parts)

    # Shapes alone, to know what is held; nothing of it is computed.
    fields, _ = jax.eval_shape(source.evaluate, starts[0])
    terms = jax.eval_shape(
        lambda fields: terms_of(reducers, Lanes(fields, True, True, True, source.arguments), known),
        fields,
    )
    held = nothing_held(terms, group, source.bins)
    held, (fields, parts) = lax.scan(body, held, (starts, extents))
    return fields, parts, inside_axes(held, terms, group)


def _gathered(
    reducers: tuple[Reducer, ...],
    group: Group,
    arguments: tuple[str, ...],
    form: Form,
    known: list[Known],
    fields: dict[str, Array],
    extent: Array,
    at: At,
    held: Any,
) -> tuple[Any, Any]:
    """Parts of one chunk, and what the chunks of its group share."""
    shape = group.chunks.shape

    def gathered(lanes, held, ends=None):
        terms = terms_of(reducers, lanes, known)
        gather = at_once if form is Form.AT_ONCE else partial(by_columns, ends=ends or {})
        return parts_of(terms, held, shape, at, gather)

    def some(fields, ends, held):
        del ends
        inside = _inside(group.chunks, extent)
        return gathered(Lanes(fields, inside, inside & ok_of(fields), False, arguments), held)

    def whole(fields, ends, held):
        known_ends = {id(fields[name]): ends[name] for name in ends}
        return gathered(Lanes(fields, True, True, True, arguments), held, known_ends)

    def none(fields, ends, held):  # a group may have fewer chunks than it has positions
        parts, _ = jax.eval_shape(whole, fields, ends, held)
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), parts), held

    if form is Form.AT_ONCE:  # a branch would keep XLA from fusing the reduction with the scenario
        return some(fields, {}, held)
    # Usually every scenario counts, and masks would then be most of the cost. The branch also keeps
    # XLA from computing a field again in each loop that reads it.
    checked = {name for reducer in reducers for name in reducer.fields}
    ends = ends_of(
        {name: fields[name] for name in fields if STATUS not in fields or name in checked}
    )
    finite = [jnp.isfinite(end) for pair in ends.values() for end in pair]
    is_ok = [ok_of(fields).all()] if STATUS in fields else []
    is_whole = jnp.stack([(extent == jnp.array(shape, jnp.int32)).all(), *finite, *is_ok]).all()
    branch = jnp.where(extent[0] == 0, 0, jnp.where(is_whole, 2, 1)).astype(jnp.int32)
    return lax.switch(branch, [none, some, whole], fields, ends, held)


def _inside(chunks: Chunks, extent: Array) -> Array:
    """Mask of the scenarios of a chunk that lie in the space; a chunk without extent has none."""
    inside = jnp.ones(chunks.shape, bool)
    for axis in range(len(chunks.shape)):
        inside &= lax.broadcasted_iota(jnp.int32, chunks.shape, axis) < extent[axis]
    return inside
