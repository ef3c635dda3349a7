"""A fingerprint of everything that decides the numbers of a sweep, the same in every process.

A scenario function is identified by its jaxpr: an edited line, another law or another number in
a closure changes it, and renaming a variable does not. JAX's own text of a jaxpr leaves out
constants and includes memory addresses, so the text that is hashed is our own.
"""

import enum
import hashlib
import importlib.metadata
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import jax
import numpy as np

from jaxscale._version import __version__

if TYPE_CHECKING:
    from jax.extend.core import ClosedJaxpr, Jaxpr

# Memory addresses and lines of source files, which differ from run to run and decide nothing.
_ACCIDENTAL = re.compile(r" at 0x[0-9a-fA-F]+|0x[0-9a-fA-F]{6,}|[\w./\\<>-]+\.pyc?:\d+(?::\d+)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHORT = 60  # characters of a value in a message


def jaxpr_digest(jaxpr: "ClosedJaxpr") -> str:
    """SHA-256 of a jaxpr with all its constants, those of inner jaxprs included.

    The rules of custom derivatives count by their names only: a sweep does not run them.
    ValueError for a callback to Python, whose code a jaxpr does not hold.
    """
    return _hash(_closed(jaxpr))


@cache
def versions() -> dict[str, str]:
    """Versions of the packages that compute the numbers."""
    installed = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "numpy")}
    return {"jaxscale": __version__, **installed}


def platform() -> str:
    """The kind of device that computes the numbers, such as `gpu: NVIDIA H200`."""
    return f"{jax.default_backend()}: {jax.devices()[0].device_kind}"


def canonical(parts: Mapping[str, Any]) -> str:
    """One JSON text for equal parts; ValueError for NaN and infinity, which JSON does not have."""
    return json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(parts: Mapping[str, Any]) -> str:
    """SHA-256 of parts that JSON can hold."""
    return _hash(canonical(parts))


def differences(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """A line for each value that differs, by its dotted path."""
    # Through JSON, which makes a tuple a list, as it was when it was stored.
    return list(_differences("", json.loads(canonical(stored)), json.loads(canonical(given))))


def _differences(path: str, stored: Any, given: Any) -> Iterator[str]:
    if isinstance(stored, dict) and isinstance(given, dict):
        for key in sorted(stored.keys() | given.keys()):
            inner = f"{path}.{key}" if path else key
            if key not in given:
                yield f"{inner}: {_short(stored[key])} in the store, not asked for"
            elif key not in stored:
                yield f"{inner}: not in the store, {_short(given[key])} asked for"
            else:
                yield from _differences(inner, stored[key], given[key])
    elif stored != given:
        yield f"{path}: {_short(stored)} in the store, {_short(given)} asked for"


def _short(value: Any) -> str:
    if isinstance(value, str) and _SHA256.fullmatch(value):
        return f"contents {value[:8]}"
    text = json.dumps(value)
    return text if len(text) <= _SHORT else text[: _SHORT - 3] + "..."


def _hash(text: str | bytes) -> str:
    return hashlib.sha256(text if isinstance(text, bytes) else text.encode()).hexdigest()


def _closed(closed: "ClosedJaxpr") -> str:
    return f"{_open(closed.jaxpr)} with {_tuple(closed.consts)}"


# Of a function that is compiled, JAX keeps one jaxpr for all calls.
_TEXTS: "WeakKeyDictionary[Jaxpr, str]" = WeakKeyDictionary()


def _open(jaxpr: "Jaxpr") -> str:
    """A jaxpr as text, its variables numbered as they appear."""
    if jaxpr not in _TEXTS:
        _TEXTS[jaxpr] = _written(jaxpr)
    return _TEXTS[jaxpr]


def _written(jaxpr: "Jaxpr") -> str:
    from jax.extend.core import Literal  # with it comes Pallas: a third of a whole import

    names: dict[Any, str] = {}
    count = itertools.count()

    def name(variable: Any) -> str:
        if isinstance(variable, Literal):
            return f"{_type(variable)}={_text(variable.val)}"
        if variable not in names:
            names[variable] = f"v{next(count)}:{_type(variable)}"
        return names[variable]

    def listed(variables: Any) -> str:
        return " ".join(map(name, variables))

    lines = [f"{listed(jaxpr.constvars)} ; {listed(jaxpr.invars)}"]
    for equation in jaxpr.eqns:
        if "callback" in equation.primitive.name:
            raise ValueError(
                f"a sweep cannot tell what Python code is called back to ({equation.primitive}): "
                "write the scenario function in JAX, or map it over an executor"
            )
        inputs, outputs = listed(equation.invars), listed(equation.outvars)
        lines.append(f"{outputs} = {equation.primitive.name}{_text(equation.params)} {inputs}")
    return "\n".join([*lines, listed(jaxpr.outvars)])


def _type(variable: Any) -> str:
    aval = variable.aval
    return f"{aval.str_short()}{'*' if getattr(aval, 'weak_type', False) else ''}"


def _text(value: Any) -> str:
    """Text of a parameter or a constant, the same in every process."""
    from jax.extend.core import ClosedJaxpr, Jaxpr

    match value:
        case ClosedJaxpr():
            return f"jaxpr {_hash(_closed(value))}"
        case Jaxpr():
            return f"jaxpr {_hash(_open(value))}"
        case _ if hasattr(value, "__array__"):
            return _array(value)
        case str() | bytes() | bool() | int() | float() | complex() | None:
            return repr(value)
        case dict():
            return (
                f"{{{', '.join(sorted(f'{key}: {_text(each)}' for key, each in value.items()))}}}"
            )
        case set() | frozenset():
            return f"{{{', '.join(sorted(map(_text, value)))}}}"
        case tuple() | list():
            return _tuple(value)
        case enum.Enum():
            return str(value)
        case _ if callable(value) and hasattr(value, "__qualname__"):
            return value.__qualname__
        case _:
            return _ACCIDENTAL.sub("", str(value))


def _tuple(values: Any) -> str:
    return f"({', '.join(map(_text, values))})"


def _array(value: Any) -> str:
    if jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
        return f"{value.dtype} {_array(jax.random.key_data(value))}"
    held = np.asarray(value)
    return f"{held.dtype.name}{held.shape} {_hash(held.tobytes())}"
