"""Entries from TOML: of the files that are shipped, and of a user's own."""

import importlib
import importlib.resources
import inspect
import math
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jaxscale._display import Catalog
from jaxscale._numerics.arrays import Real
from jaxscale._numerics.names import hint, unknown
from jaxscale.published.entry import Check, Entry, Interval
from jaxscale.published.facts import COLUMNS

# Of each kind, the field of an entry that holds it, and the module whose `FORMS` make it of
# numbers. Modules go by name, because they import this one.
KINDS: Mapping[str, tuple[str, str]] = {
    "laws": ("law", "jaxscale.laws._catalog"),
    "tasks": ("law", "jaxscale.laws._tasks"),
    "leverages": ("law", "jaxscale.laws._leverage"),
    "contexts": ("law", "jaxscale.laws.context"),
    "allocations": ("allocation", "jaxscale.allocations"),
    "recipes": ("law", "jaxscale.recipes.recipe"),
    "accelerators": ("accelerator", "jaxscale.hardware"),
    "architectures": ("architecture", "jaxscale.architectures.files"),
    "trajectories": ("law", "jaxscale.trajectories._published"),
    "reinforcement": ("law", "jaxscale.reinforcement.sigmoid"),
    "reuse": ("law", "jaxscale.laws.reuse"),
    "releases": ("release", "jaxscale.economics.released"),
}


@cache
def shipped(kind: str) -> Catalog[Entry]:
    """All entries of a kind that come with jaxscale: `"laws"`, `"tasks"` and so on.

    Examples:
        >>> [entry.name for entry in js.published.shipped("recipes")][:3]
        ['steplaw2025', 'steplaw2025_medians', 'deepseek2024']
    """
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    return Catalog(_entries(f"{kind}.toml", _tables(kind)), COLUMNS[kind])


def shipped_alone(kind: str, name: str) -> Entry:
    """One entry that comes with jaxscale, for others of its kind to be made of; by no alias.

    Raises ValueError for an unknown name, with the nearest one and all names.
    """
    table = _tables(kind)[kind]
    if name not in table:
        raise unknown(kind, name, table)
    return _entry(kind, name, table[name])


@cache
def _tables(kind: str) -> Mapping[str, Any]:
    file = importlib.resources.files("jaxscale.published") / f"{kind}.toml"
    return tomllib.loads(file.read_text("utf-8"))


def read(path: str | Path) -> tuple[Entry, ...]:
    """The entries of a TOML file of your own, in its order.

    Raises ValueError that names the file, the entry, the key and what is allowed.

    Examples:
        >>> with open("ours.toml", "w") as file:
        ...     _ = file.write('''
        ...     [laws.ours2026]
        ...     form = "Chinchilla"
        ...     E = 1.69
        ...     A = 406.4
        ...     B = 410.7
        ...     alpha = 0.336
        ...     beta = 0.283
        ...     source = "our runs of 2026"
        ...     ''')
        >>> (entry,) = js.published.read("ours.toml")
        >>> entry.name, entry.law.alpha
        ('ours2026', 0.336)
    """
    try:
        text = Path(os.path.expanduser(path)).read_text("utf-8")
    except OSError as error:
        raise ValueError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not text") from None
    try:
        return _entries(str(path), tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: not TOML: {error}") from None


def _entries(file: str, tables: Mapping[str, Any]) -> tuple[Entry, ...]:
    entries = []
    for kind, table in tables.items():
        if kind not in KINDS:
            raise ValueError(f"{file}: {unknown('kind', kind, KINDS)}")
        for name, keys in _table(f"{file}: {kind}", table).items():
            where = f"{file}: {kind}.{name}"
            try:
                entries.append(_entry(kind, name, _table(name, keys)))
            except (TypeError, ValueError) as error:
                raise ValueError(f"{where}: {error}") from None
    return tuple(entries)


def _entry(kind: str, name: str, keys: Mapping[str, Any]) -> Entry:
    about = {key: _READERS[key](key, value) for key, value in keys.items() if key in _READERS}
    if "source" not in about:
        raise ValueError("source is missing")
    values = {key: value for key, value in keys.items() if key not in (*_READERS, *_OF_FORM)}
    attribute, home = KINDS[kind]
    forms = importlib.import_module(home).FORMS
    form = keys.get("form", next(iter(forms)) if len(forms) == 1 else None)
    if form is not None:
        if form not in forms:
            raise unknown("form", form, forms)
        # Some things, such as accelerators, know their name and source themselves.
        given = {"name": name, "source": about["source"]}
        about[attribute] = _made(forms[form], values, given)
        if "standard_errors" in keys:
            errors = _table("standard_errors", keys["standard_errors"])
            about["standard_errors"] = _made(forms[form], errors, given)
    elif values or "exponents" not in about:  # of some allocations no more is published
        raise ValueError(f"form is missing; known: {', '.join(forms)}")
    return Entry(name, **about)


def _made(form: Callable[..., Any], values: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
    """`form(**values)`, after checks of the names and numbers that it takes."""
    takes = inspect.signature(form).parameters
    is_open = any(each.kind is each.VAR_KEYWORD for each in takes.values())
    for key, value in values.items():
        if key not in takes and not is_open:
            names = [each for each in takes if each not in given]
            near = hint(key, (*names, *_READERS))
            raise ValueError(f"unknown key {key!r}{near}; the form has {', '.join(names)}")
        if key in takes and takes[key].annotation == Real:
            _number(key, value)
    for key, each in takes.items():
        has_default = each.default is not each.empty or each.kind is each.VAR_KEYWORD
        if not (has_default or key in values or key in given):
            raise ValueError(f"{key} is missing")
    return form(**values, **{key: value for key, value in given.items() if key in takes})


# --- Values ---------------------------------------------------------------------------------


def _table(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{key} must be a table; got {value!r}")
    return value


def _number(key: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise ValueError(f"{key} must be a finite number; got {value!r}")
    return value


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{key} must be text; got {value!r}")
    return value


def _texts(key: str, value: Any) -> tuple[str, ...]:
    return tuple(_text(key, each) for each in _list(key, value))


def _list(key: str, value: Any) -> Sequence[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{key} must be a list; got {value!r}")
    return value


def _pair(key: str, value: Any) -> tuple[float, float]:
    numbers = tuple(_number(key, each) for each in _list(key, value))
    if len(numbers) != 2:
        raise ValueError(f"{key} must be two numbers; got {value!r}")
    return numbers


def _range(key: str, value: Any) -> tuple[float, float]:
    low, high = _pair(key, value)
    if not 0 < low <= high:
        raise ValueError(f"{key} must be above 0 and ascending; got {value!r}")
    return low, high


def _interval(key: str, value: Any) -> Interval:
    numbers = _table(key, value)
    if set(numbers) != set(Interval._fields):
        raise ValueError(f"{key} must have {', '.join(Interval._fields)}; got {value!r}")
    return Interval(**{name: _number(f"{key}.{name}", each) for name, each in numbers.items()})


def _check(key: str, value: Any) -> Check:
    numbers = _table(key, value)
    if set(numbers) != set(Check._fields):
        raise ValueError(f"{key} must have {', '.join(Check._fields)}; got {value!r}")
    return Check(**{name: _number(f"{key}.{name}", each) for name, each in numbers.items()})


def _matrix(key: str, value: Any) -> tuple[tuple[float, ...], ...]:
    rows = [_list(key, row) for row in _list(key, value)]
    if any(len(row) != len(rows) for row in rows):
        raise ValueError(f"{key} must be square")
    return tuple(tuple(_number(key, each) for each in row) for row in rows)


_OF_FORM = ("form", "standard_errors")
_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(("source", "dataset", "tokenizer", "schedule", "loss_scale"), _text),
    **dict.fromkeys(("benchmark", "losses_on", "warning"), _text),
    **dict.fromkeys(("params_convention", "tokens_convention", "flops_convention"), _text),
    **dict.fromkeys(("params_range", "tokens_range", "flops_range"), _range),
    "tokens_per_param_range": _range,
    "covariance": _matrix,
    "exponents": _pair,
    **dict.fromkeys(("params_interval", "tokens_interval"), _interval),
    "check": _check,
    **dict.fromkeys(("errata", "remarks", "aliases"), _texts),
}
