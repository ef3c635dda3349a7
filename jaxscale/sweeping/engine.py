"""The loop of a sweep: launch groups of chunks, pass their results to a sink, merge their totals.

The devices compute the next groups while the host writes the last ones. The loop runs in
this process, or task by task in the workers of an executor; chunks are independent, so
computing one twice is harmless.
"""

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, wait
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np

from jaxscale._labelled import STATUS
from jaxscale.status import is_ok
from jaxscale.sweeping.job import Job
from jaxscale.sweeping.program import Done, Launched, Program
from jaxscale.sweeping.reducers.protocol import Resolving, Total, Values, float_dtype
from jaxscale.sweeping.store.layout import Field
from jaxscale.sweeping.store.writer import Writer

TASK = 2**22  # the fewest scenarios in a task of an executor
TRIES = 3  # of a group whose statistics lose digits
IN_FLIGHT = 256  # tasks that an executor holds

Fields = dict[str, np.ndarray]
Advance = Callable[[int, list[Total]], None]  # scenarios done, totals of these


class Sink(Protocol):
    """A destination for the fields of chunks."""

    def write(self, number: int, results: Fields) -> None: ...

    def flush(self) -> None:
        """Return when all chunks that were written are safe."""
        ...


class Arrays(NamedTuple):
    """A sink in memory: one array for each field."""

    job: Job
    arrays: Fields

    def write(self, number: int, results: Fields) -> None:
        for name, values in results.items():
            self.arrays[name][self.job.chunks.slices(number)] = values

    def flush(self) -> None:
        pass


class Parcel(NamedTuple):
    """A sink that is sent back by a worker."""

    chunks: list[tuple[int, Fields]]

    def write(self, number: int, results: Fields) -> None:
        self.chunks.append((number, results))

    def flush(self) -> None:
        pass


def empty_arrays(job: Job) -> Arrays:
    """Arrays of the whole space for every field that the job keeps."""
    sizes = job.space.sizes
    return Arrays(job, {name: np.empty(sizes, job.dtypes[name]) for name in job.fields})


def stored_fields(job: Job) -> list[Field]:
    return [Field(name, np.dtype(job.dtypes[name]), kept) for name, kept in job.fields.items()]


def writer(job: Job) -> Writer:
    """A sink to the job's store, for a `with`."""
    return Writer(job.store, job.chunks, stored_fields(job), job.digest)


def work(
    job: Job,
    numbers: Sequence[int],
    sink: Sink | None,
    written: Collection[int] = (),
    advance: Advance | None = None,
) -> list[Total] | None:
    """Compute the chunks of these numbers; those `written` already count in the totals alone.

    Totals for each of the job's reducers; None for no chunk.
    """
    totals = None
    for done in _outcomes(job, numbers):
        if sink is not None:
            for number, fields in zip(done.numbers.tolist(), done.fields, strict=True):
                if number not in written:
                    sink.write(number, fields)
        totals = merged(job, totals, done.totals)
        if advance:
            advance(job.chunks.scenarios_in(done.numbers), done.totals)
    if sink is not None:
        sink.flush()
    return totals


def empty_totals(job: Job) -> list[Total]:
    """Totals of no chunk, for a process that had none left to compute."""
    with job.in_dtype():
        return job.program().empty_totals()


def resolved(job: Job, totals: list[Total]) -> list[Total]:
    """Totals of a whole sweep, with what is found in chunks that are looked at once more."""
    return [
        reducer.resolve(total, partial(_looked_at, job, reducer.fields[0]))
        if isinstance(reducer, Resolving)
        else total
        for reducer, total in zip(job.reducers, totals, strict=True)
    ]


def _looked_at(job: Job, field: str, chunk: int) -> Values:
    """The scenarios of a chunk that count for a field."""
    known = [STATUS] if STATUS in job.dtypes else list(job.dtypes)
    alone = job.alone({name: {} for name in (field, *known)})
    (done,) = _outcomes(alone, [chunk])
    (fields,) = done.fields
    ok = np.asarray(is_ok(jnp.asarray(fields[STATUS]))) if STATUS in fields else _all_finite(fields)
    with job.in_dtype():  # as rounded when the chunks were compared
        rounded = fields[field].astype(float_dtype(fields[field].dtype))
    values = np.asarray(rounded, np.float64)
    good = ok & np.isfinite(values)
    indices = np.stack(np.nonzero(good), axis=-1) + job.chunks.starts(np.array([chunk]))
    return Values(
        values[good], np.asarray(np.ravel_multi_index(tuple(indices.T), job.chunks.sizes))
    )


def _all_finite(fields: Fields) -> np.ndarray:
    return np.logical_and.reduce([np.isfinite(each) for each in fields.values()])


def merged(job: Job, one: list[Total] | None, other: list[Total] | None) -> list[Total] | None:
    """Totals of both, for each reducer; either may be None."""
    if one is None or other is None:
        return other if one is None else one
    return [
        reducer.merge(first, second)
        for reducer, first, second in zip(job.reducers, one, other, strict=True)
    ]


def work_in(
    executor: Executor,
    job: Job,
    numbers: Sequence[int],
    sink: Sink | None,
    written: Collection[int],
    advance: Advance | None = None,
) -> list[Total] | None:
    """As `work`, in the workers of an executor; without a sink they write to the job's store."""
    size = max(job.group.count, TASK // job.chunks.length)
    starts = iter(range(0, len(numbers), size))
    waiting, parts, totals, due = {}, {}, None, 0
    try:
        while True:
            for start in itertools.islice(starts, IN_FLIGHT - len(waiting)):
                task = numbers[start : start + size]
                known = [number for number in task if number in written] if written else []
                waiting[executor.submit(_task, job, task, known, sink is not None)] = start, task
            if not waiting:
                return totals
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                start, task = waiting.pop(future)
                parts[start], chunks = future.result()
                if sink is not None:
                    for number, fields in chunks:
                        sink.write(number, fields)
                if advance:
                    advance(job.chunks.scenarios_in(np.asarray(task)), parts[start])
            while due in parts:  # in one order, whoever was first
                totals = merged(job, totals, parts.pop(due))
                due += size
    finally:
        for future in waiting:
            future.cancel()


def _task(job: Job, numbers: Sequence[int], written: Collection[int], sends: bool) -> tuple:
    """One task in a worker: its totals, and its chunks if they are to be sent back."""
    if not job.fields:
        return work(job, numbers, None), []
    if sends:
        parcel = Parcel([])
        return work(job, numbers, parcel), parcel.chunks
    with writer(job) as sink_of_store:
        return work(job, numbers, sink_of_store, frozenset(written)), []


def _outcomes(job: Job, numbers: Sequence[int]) -> Iterator[Done]:
    """The outcome of each group of chunks, while the next groups are running."""
    # The scope is left before every yield: it would change the switch of the caller.
    with job.in_dtype():
        program, known = job.program(), job.known()
    launched = None
    for groups in _batches(_batches(numbers, job.group.count), program.width):
        with job.in_dtype():
            following = program.launch([np.asarray(group, np.int64) for group in groups], known)
        if launched:
            yield from _right(job, program, launched)
        launched = following
    if launched:
        yield from _right(job, program, launched)


def _right(job: Job, program: Program, launched: Launched) -> Iterator[Done]:
    """What was launched; groups whose totals do not hold are computed again, knowing them."""
    for done in program.fetch(launched):
        for _ in range(TRIES):  # of numbers that overflowed only the ends are known at first
            if done.holds:
                break
            with job.in_dtype():
                again = program.launch([done.numbers], program.known(done.totals))
            (done,) = program.fetch(again)
        yield done


def _batches(items: Any, size: int) -> Iterator[Any]:
    """Runs of `size` items of a sequence or an iterator; the last one may be shorter."""
    if hasattr(items, "__getitem__"):
        yield from (items[start : start + size] for start in range(0, len(items), size))
        return
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch
