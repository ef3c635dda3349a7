"""A requested sweep, checked in full before anything is computed.

A job holds all that decides the results, so its digest identifies them: two jobs with one digest
give the same numbers, and one may finish a store that the other began.
"""

import inspect
import math
import os
import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import numpy as np

from jaxscale._labelled import STATUS
from jaxscale._numerics.names import hint
from jaxscale.status import Status
from jaxscale.sweeping import fingerprint, kernel
from jaxscale.sweeping.chunks import Chunks
from jaxscale.sweeping.program import Form, Program, build, compiled, form_of_xla
from jaxscale.sweeping.reducers import MainEffects, StatusCounts
from jaxscale.sweeping.reducers.protocol import Group, Known, Reducer
from jaxscale.sweeping.spaces import Scenario, Space

FLOATS = ("float32", "float64")
MOST_CHUNKS = 2**18  # in a group, of which each has a few numbers
MAX_GROUP = 2**30  # scenarios whose counts fit 32 bits with room to spare
WORDS = 200  # characters of the reason why there is no kernel
LANE_BYTES = 800  # of memory for each scenario of a chunk, with all temporaries of a general law

# Long name and units of the words that scenario functions usually return.
LABELS: Mapping[str, tuple[str, str]] = {
    "params": ("model parameters", "1"),
    "tokens": ("training tokens", "tokens"),
    "loss": ("pre-training loss", "nats/token"),
    "tokens_per_param": ("training tokens per parameter", "tokens"),
    "requests": ("requests over the model's life", "1"),
    "input_tokens": ("tokens read over the model's life", "tokens"),
    "output_tokens": ("tokens written over the model's life", "tokens"),
}


@dataclass(frozen=True, eq=False)
class Job:
    """A sweep cut into groups of chunks; picklable if the scenario function is."""

    scenario: Scenario
    space: Space
    dtypes: Mapping[str, str]  # of every result of the scenario function, by name
    fields: Mapping[str, Mapping[str, str]]  # kept: attributes by name; empty when reducing
    reducers: tuple[Reducer, ...]
    group: Group
    dtype: str
    store: str  # path, or nothing
    parts: Mapping[str, Any]  # everything that the digest covers, as JSON holds it
    why: str  # there is no kernel, where a GPU might have had one
    form: Form

    @property
    def chunks(self) -> Chunks:
        return self.group.chunks

    @property
    def size(self) -> int:
        """Scenarios."""
        return math.prod(self.space.sizes)

    @cached_property
    def digest(self) -> str:
        return fingerprint.digest(dict(self.parts))

    @property
    def ran(self) -> str:
        """What computes it, and why there is no kernel where a GPU might have had one."""
        return f"{self.form.value}; no kernel: {self.why}" if self.why else self.form.value

    def field_bytes(self) -> int:
        """Bytes of all fields that are kept, for all scenarios."""
        return self.size * sum(np.dtype(self.dtypes[name]).itemsize for name in self.fields)

    def attributes(self) -> dict[str, Any]:
        """Attributes of the results as a whole."""
        own = getattr(self.scenario, "attributes", {})
        return {"jaxscale_version": self.parts["versions"]["jaxscale"], **own}

    def in_dtype(self) -> Any:
        """The scope in which everything of this job is traced and run."""
        return jax.enable_x64(self.dtype == "float64")

    def alone(self, fields: Mapping[str, Mapping[str, str]]) -> "Job":
        """The same chunks one by one, of which these fields are kept and nothing is reduced."""
        group = self.group._replace(count=1)
        return replace(self, fields=fields, reducers=(), group=group, store="", form=form_of_xla())

    def known(self) -> list[Known]:
        """What reducers know before the first chunk, from a few chunks all over the space.

        The same in every process and on every device: so are the statistics.
        """
        with _LOCK:
            known = _KNOWN.get(self._key)
        if known is None:
            program = self.program()
            known = program.known(None)
            if any(known):
                (done,) = program.fetch(program.launch([self._few()], known))
                known = program.known(done.totals)
            _keep(_KNOWN, self._key, known)
        return known

    def _few(self) -> np.ndarray:
        """Numbers of a few chunks, spread without a period: axes have periods of their own."""
        most = min(self.chunks.count, FEW, self.group.count)
        spread = {(i * GOLDEN % 2**64) * self.chunks.count >> 64 for i in range(1, most + 1)}
        return np.array(sorted(spread), np.int64)

    @property
    def _key(self) -> tuple:
        return self.digest, tuple(self.fields), self.reducers, self.group.count, self.form

    def obstacle(self) -> str:
        """Why the kernel of this job cannot be made, in a line; empty where it can."""
        try:
            with self.in_dtype(), warnings.catch_warnings():
                # From JAX 0.12 on Triton is to be removed; the program of XLA will then do.
                warnings.simplefilter("ignore", DeprecationWarning)
                self.program()
        except Exception as error:  # of any kind: lowering and compiling raise what they like
            return " ".join(f"{type(error).__name__}: {error}".split())[:WORDS]
        return ""

    def program(self) -> Program:
        """The compiled program; made once for each job in a process."""
        with _LOCK:
            program = _PROGRAMS.get(self._key)
        if program is None:
            program = build(
                self.scenario,
                self.space,
                self.group,
                self.reducers,
                tuple(self.fields),
                {name: np.dtype(dtype) for name, dtype in self.dtypes.items()},
                np.dtype(self.dtype),
                self.form,
            )
            program = compiled(program) if self.form is Form.KERNEL else program
            _keep(_PROGRAMS, self._key, program)
        return program


def _keep(kept: dict[tuple, Any], key: tuple, value: Any) -> None:
    """Keep a value, and of the others the newest."""
    with _LOCK:
        while len(kept) >= PROGRAMS_KEPT:
            del kept[next(iter(kept))]
        kept[key] = value


# By digest, because a worker is sent its job anew with each task.
_PROGRAMS: dict[tuple, Program] = {}
PROGRAMS_KEPT = 8
_KNOWN: dict[tuple, list[Known]] = {}
_LOCK = threading.Lock()  # threads may sweep at once
GOLDEN = 0x9E3779B97F4A7C15  # the golden ratio, of 2^64
FEW = 8  # chunks that are computed first, to know the size of numbers


def prepare(
    scenario: Scenario,
    space: Space,
    *,
    fields: Iterable[str] | Mapping[str, Mapping[str, str]] | None = None,
    reduce: Sequence[Reducer] | None = None,
    store: str | os.PathLike | None = None,
    dtype: Any = None,
    chunk: int | None = None,
) -> Job:
    """The job of a call of `sweep`; TypeError or ValueError for arguments that make no sense."""
    if not isinstance(space, Space):
        raise TypeError(f"space must be js.Grid, js.Sample, js.Sobol or js.Saltelli; got {space!r}")
    path = "" if store is None else _path(store)
    name = _float_name(dtype)
    space.check(name)
    _check_signature(scenario, space)
    with jax.enable_x64(name == "float64"):
        jaxpr, shapes = _traced(scenario, space.arguments(np.dtype(name)))
        dtypes = _dtypes(shapes, space, name)
    reducers = _reducers(reduce or (), dtypes, space)
    kept = {} if reduce and store is None else _kept(fields, dtypes)
    if fields is not None and not kept:
        raise ValueError("fields are kept in memory or in a store, and not where reduce is given")
    parts = {
        "space": space.describe(),
        "fields": {field: dtypes[field] for field in kept},
        "dtype": name,
        "scenario": fingerprint.jaxpr_digest(jaxpr),
        "versions": fingerprint.versions(),
        "platform": fingerprint.platform(),
    }

    def job(group: Group, form: Form, why: str = "") -> Job:
        own = {**parts, "chunk": list(group.chunks.shape)}
        given = scenario, space, dtypes, kept, reducers, group, name, path, own
        return Job(*given, why, form)

    _check_chunk(chunk)
    why = ""
    if jax.default_backend() == "gpu" and not kept:
        in_kernel = job(_group(space, chunk or kernel.CHUNK, MAX_GROUP), Form.KERNEL)
        why = in_kernel.obstacle()
        if not why:
            return in_kernel
    length, target = _sizes(is_kept=bool(kept), storing=store is not None)
    return job(_group(space, chunk or length, target), form_of_xla(), why)


def _path(store: Any) -> str:
    if not isinstance(store, str | os.PathLike) or not os.fspath(store):
        raise TypeError(f"store must be the path of a folder; got {store!r}")
    path = os.path.abspath(os.path.expanduser(store))
    if os.sep == "/" and "\\" in path:  # chunks would go to a folder beside: `\` is written as `/`
        raise ValueError(f"store must be a path without backslashes; got {path!r}")
    return path


def _float_name(dtype: Any) -> str:
    if dtype is None:
        return jax.dtypes.canonicalize_dtype(np.float64).name
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = None
    if name not in FLOATS:
        raise ValueError(f"dtype must be 'float32' or 'float64'; got {dtype!r}")
    return name


def _check_signature(scenario: Scenario, space: Space) -> None:
    """Refuse a function whose arguments are not the names of the space."""
    if not callable(scenario):
        raise TypeError(
            f"scenario must be a function of {', '.join(space.names)}; got {scenario!r}"
        )
    parameters = inspect.signature(scenario).parameters.values()
    keywords = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    taken = [each.name for each in parameters if each.kind in keywords]
    required = [
        each.name for each in parameters if each.kind in keywords and each.default is each.empty
    ]
    takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)
    for name in space.names:
        if name not in taken and not takes_any:
            raise ValueError(
                f"the scenario function takes no {name!r}{hint(name, taken, written=repr)}; "
                f"it takes {', '.join(taken) or 'nothing'}"
            )
    for name in required:
        if name not in space.names:
            raise ValueError(
                f"the scenario function needs {name!r}{hint(name, space.names, written=repr)}; "
                f"the space gives {', '.join(space.names)}"
            )


def _traced(scenario: Scenario, arguments: Mapping[str, Any]) -> tuple[Any, Any]:
    """The jaxpr of the function of one scenario, and the shapes of its results by name."""

    def by_name(arguments):
        results = scenario(**arguments)
        if not isinstance(results, Mapping) or not results:
            raise TypeError(f"the scenario function must return a dict of scalars; got {results!r}")
        for name in results:
            if not isinstance(name, str):
                raise TypeError(f"fields must have strings as names; got {name!r}")
        order.extend(results)
        return dict(results)

    order: list[str] = []
    jaxpr, shapes = jax.make_jaxpr(by_name, return_shape=True)(dict(arguments))
    return jaxpr, {name: shapes[name] for name in order}


def _dtypes(shapes: Mapping[str, Any], space: Space, dtype: str) -> dict[str, str]:
    """Dtype of every field by name: results of the scenario function, and draws of a sample."""
    found = {}
    for name, shape in shapes.items():
        if not isinstance(shape, jax.ShapeDtypeStruct):
            raise TypeError(f"field {name!r} must be a scalar; got {type(shape).__name__}")
        if shape.shape != ():
            raise ValueError(f"field {name!r} must be a scalar; got shape {shape.shape}")
        if name in (*space.axes_names, *space.names):
            raise ValueError(
                f"field {name!r} has the name of an argument; call it otherwise, such as "
                f"'plan_{name}'"
            )
        if name == STATUS and shape.dtype.kind not in "biu":
            raise TypeError(f"field 'status' must be a whole number; got dtype {shape.dtype}")
        if shape.dtype.kind not in "biuf":
            raise TypeError(f"field {name!r} must be a real number; got dtype {shape.dtype}")
        found[name] = dtype if shape.dtype.kind == "f" else shape.dtype.name
    return found | space.columns(dtype)


def _reducers(reduce: Sequence[Reducer], dtypes: Mapping[str, str], space: Space) -> tuple:
    if isinstance(reduce, Reducer) or not isinstance(reduce, Sequence):
        raise TypeError(f"reduce must be a list of reducers such as js.Moments; got {reduce!r}")
    for reducer in reduce:
        if isinstance(reducer, type) or not isinstance(reducer, Reducer):
            raise TypeError(f"reduce must hold reducers such as js.Moments; got {reducer!r}")
        if reducer.needs not in ("", space.kind):
            kind = type(reducer).__name__
            raise ValueError(f"reduce: {kind} needs a {reducer.needs}; the space is a {space.kind}")
        if isinstance(reducer, MainEffects) and space.kind == "js.Saltelli":
            # Its runs share their draws, so that chance alone would look like an effect.
            raise ValueError("reduce: of a js.Saltelli take js.SobolIndices instead of MainEffects")
        for name in reducer.fields:
            _require_field("reduce", name, dtypes)
    return tuple(dict.fromkeys([*reduce, StatusCounts()]))


def _kept(fields, dtypes: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
    """Attributes of each field that is kept, by name."""
    if isinstance(fields, str) or not isinstance(fields, Iterable | None):
        raise TypeError(f"fields must be names, or a dict of names to attributes; got {fields!r}")
    asked = list(dtypes if fields is None else fields)
    if not asked:
        raise ValueError(f"fields must name at least one of {', '.join(dtypes)}")
    for name in asked:
        _require_field("fields", name, dtypes)
    own = fields if isinstance(fields, Mapping) else {}
    for name, labels in own.items():
        if not isinstance(labels, Mapping) or not all(isinstance(x, str) for x in labels.values()):
            raise TypeError(f"fields[{name!r}] must be a dict of strings; got {labels!r}")
    return {name: {**_attributes_of(name), **own.get(name, {})} for name in asked}


def _attributes_of(name: str) -> dict[str, Any]:
    """`long_name` of a field and, where the name decides them, its `units` and legend."""
    if name == "status":
        return {"long_name": "outcome of the scenario", **_legend()}
    if name not in LABELS:
        return {"long_name": name.replace("_", " ")}
    long_name, units = LABELS[name]
    return {"long_name": long_name, "units": units}


def _legend() -> dict[str, Any]:
    """The meaning of each status, in the attributes of the CF conventions for flags."""
    return {
        "flag_values": [int(status) for status in Status],
        "flag_meanings": " ".join(status.name for status in Status),
        "flag_sentences": "\n".join(f"{status.name}: {status.sentence}" for status in Status),
    }


def _require_field(argument: str, name: Any, dtypes: Mapping[str, str]) -> None:
    if not isinstance(name, str) or name not in dtypes:
        near = hint(name, dtypes, written=repr)
        raise ValueError(
            f"{argument}: the scenario function gives no {name!r}{near}; "
            f"it gives {', '.join(dtypes)}"
        )


def _check_chunk(chunk: Any) -> None:
    if chunk is None:
        return
    if not isinstance(chunk, int | np.integer) or isinstance(chunk, bool):
        raise TypeError(f"chunk must be a whole number of scenarios; got {chunk!r}")
    if not 1 <= chunk <= MAX_GROUP:
        raise ValueError(f"chunk must be 1 to {MAX_GROUP:,} scenarios; got {chunk:,}")


def _group(space: Space, chunk: int, target: int) -> Group:
    """Chunks of at most so many scenarios, in groups of about `target`."""
    chunks = space.cut(int(chunk))
    count = max(1, min(target // chunks.length, chunks.count, MOST_CHUNKS))
    return Group(chunks, space.axes_names, count, tuple(space.bins()))


def _sizes(*, is_kept: bool, storing: bool) -> tuple[int, int]:
    """Scenarios of a chunk and of a group that suit the device."""
    if jax.default_backend() == "cpu":
        # A processor is fastest while the temporaries of a chunk stay in its cache, and a file
        # wants a few megabytes. A launch takes about two milliseconds of the host's time.
        chunk, group = 2**18 if storing else 2**16, 2**20 if is_kept else 2**22
    elif is_kept:
        chunk = group = 2**22
    else:
        # The more the better, up to 2^26 with the memory of a large card.
        room = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit", 2**33)
        chunk, group = 1 << min(max(room // LANE_BYTES, 2**20).bit_length() - 1, 26), MAX_GROUP
    return chunk, group
