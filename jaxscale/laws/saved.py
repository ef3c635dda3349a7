"""Saved fits: the files of `Fit.save` and `jaxscale fit`, written, and read as catalogue entries.

A file is JSON, with its format as the first value, and serves as a law wherever one is named. An
entry holds a part of the file, of a bootstrap the law in each resample: `entry("fit.json").draws`.
"""

import contextlib
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxscale._numerics.names import hint
from jaxscale.laws.fitted import coefficients_of
from jaxscale.published.entry import NOT_STATED, Entry, Range

FORMAT = "jaxscale fit 2"
# Of Chinchilla alone, with matrices in the order (ln A, ln B, ln E, alpha, beta).
FIRST_FORMAT, FIRST_ORDER = "jaxscale fit 1", (2, 0, 1, 3, 4)
SUFFIX = ".json"
LARGEST = sys.float_info.max
OK = "OK"
OPEN = (
    "FLAT_VALLEY",
    "EXPONENT_AT_BOUND",
    "TOO_FEW_RUNS",
)  # statuses of fits with coefficients that are not identified
SIZES = ("params", "tokens", "tokens_per_param")


def write(path: str | Path, law: Any, record: Mapping[str, Any]) -> None:
    """Write a law and a record about it, a line for each value; null for what is not finite.

    An earlier file is replaced only when the new one is complete.
    """
    path = Path(os.path.expanduser(path))
    first = {"format": FORMAT, "family": type(law).__name__, "law": numbers_of(law)}
    lines = [_line(name, plain(value)) for name, value in (first | dict(record)).items()]
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
        partial.replace(path)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _line(name: str, value: Any) -> str:
    try:
        return f"  {json.dumps(name)}: {json.dumps(value)}"
    except TypeError:
        kind = type(value).__name__
        raise TypeError(f"{name} must be text, numbers, lists or dicts; got {kind}") from None


def numbers_of(law: Any) -> dict[str, float]:
    """A law's coefficients by name, as Python floats."""
    return {field.name: float(getattr(law, field.name)) for field in fields(law)}


def plain(value: Any) -> Any:
    """The value in the types of JSON, with null for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def is_file_name(name: Any) -> bool:
    """Whether a name is that of a file and not of a law in the catalogue."""
    return str(name).lower().endswith(SUFFIX)


def is_fit(path: Path) -> bool:
    """Whether a file begins as a saved fit does."""
    try:
        with path.open("rb") as file:
            return f'"{FORMAT.rpartition(" ")[0]} '.encode() in file.read(100)
    except OSError:
        return False


def read(name: str, families: Mapping[str, type]) -> Entry:
    """The fit in a file, called by the name of the file.

    `families` are the classes of law that it may hold. Raises ValueError where it holds no fit.
    """
    return _entry(name, _record(name), families)


def taken_as_it_is(entry: Entry) -> Entry:
    """The entry of a fit with all coefficients counted as known, and a warning of that."""
    if not entry.unidentified:
        return entry
    said = f"{entry.warning} Taken as it is (--anyway): other coefficients fit the runs as well."
    return replace(entry, unidentified=(), directions=(), warning=said)


def _record(name: str) -> Mapping[str, Any]:
    try:
        record = json.loads(Path(os.path.expanduser(name)).read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"cannot read {name!r}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{name}: no fit: not text") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: no fit: not JSON: {error}") from None
    kind = record.get("format") if isinstance(record, dict) else None
    if kind not in (FORMAT, FIRST_FORMAT):
        other = isinstance(kind, str) and kind.startswith(FORMAT.rpartition(" ")[0])
        problem = f"its format is {kind!r}" if other else "not written by jaxscale fit"
        raise ValueError(f"{name}: no fit that can be read: {problem}, not {FORMAT!r}")
    return record


def _entry(name: str, record: Mapping[str, Any], families: Mapping[str, type]) -> Entry:
    family = _family(name, record, families)
    ranges = _table(name, record, "ranges")
    params, tokens, ratios = (_range(name, ranges, size) for size in SIZES)
    remarks = _table(name, record, "remarks") if record.get("remarks") else {}
    errors = record.get("standard_errors") and _table(name, record, "standard_errors")
    return Entry(
        name=name,
        law=_law(name, family, _table(name, record, "law")),
        source=_text(record, "source"),
        dataset=_text(record, "dataset"),
        params_convention=_text(record, "params_convention"),
        tokenizer=_text(record, "tokenizer"),
        params_range=params,
        tokens_range=tokens,
        tokens_per_param_range=ratios,
        standard_errors=_errors(name, family, errors) if errors else None,
        covariance=_covariance(name, family, record),
        errata=tuple(f"{about}: {text}" for about, text in remarks.items()),
        draws=_draws(name, family, record),
        **_open(name, family, record),
    )


def _family(name: str, record: Mapping[str, Any], families: Mapping[str, type]) -> type:
    given = record.get("family", "Chinchilla")  # the first format had no other
    if given not in families:
        near = hint(str(given), families)
        raise ValueError(
            f"{name}: a fit of {given!r}, which is none of {', '.join(families)}{near}; if it is a "
            "class of your own, read it by js.laws.load with family=, or name it "
            f"{name}:FILE.py:CLASS in a terminal"
        )
    return families[given]


def _law(name: str, family: type, given: Mapping[str, Any]) -> Any:
    known = coefficients_of(family)
    found = {each: _number(name, f"law.{each}", given.get(each)) for each in known}
    for each, value in found.items():
        if known[each].positive and value < 0:
            raise ValueError(f"{name}: law.{each} must be 0 or more; got {value!r}")
    law = family(**found)
    if hasattr(family, "is_valid") and not law.is_valid():
        raise ValueError(f"{name}: law has no loss with these coefficients: {found}")
    return law


def _draws(name: str, family: type, record: Mapping[str, Any]) -> Any:
    """The law with a leading axis of resamples, NaN for null; None where the file has none."""
    given = record.get("draws") and _table(name, record, "draws")
    if not given:
        return None
    try:
        columns = {each: np.array(given[each], float) for each in coefficients_of(family)}
    except KeyError as error:
        raise ValueError(f"{name}: draws.{error.args[0]} is missing") from None
    except (TypeError, ValueError):
        raise ValueError(f"{name}: draws must be lists of numbers, by coefficient") from None
    shapes = {column.shape for column in columns.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise ValueError(f"{name}: draws must be lists of one length")
    return family(**columns) if next(iter(columns.values())).size else None


def _errors(name: str, family: type, given: Mapping[str, Any]) -> Any:
    """Standard errors, with NaN for null: not known."""
    known = coefficients_of(family)
    unknown = {each for each in known if each in given and given[each] is None}
    return family(
        **{
            each: math.nan
            if each in unknown
            else _number(name, f"standard_errors.{each}", given.get(each))
            for each in known
        }
    )


def _open(name: str, family: type, record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an entry that hold the status, and what the runs do not identify."""
    status = _table(name, record, "status") if record.get("status") else {}
    kind = str(status.get("name", OK))
    said = "" if kind == OK else f"{kind}: {status.get('sentence', '')}"
    given, all_names = record.get("unidentified"), tuple(coefficients_of(family))
    if not given:
        # Older files have the status alone.
        names = all_names if kind in OPEN and "unidentified" not in record else ()
        return {"warning": said, "unidentified": tuple(names)}
    known = _table(name, record, "unidentified")
    names = known.get("names")
    if not isinstance(names, list) or not {*map(str, names)} <= {*all_names}:
        raise ValueError(f"{name}: unidentified.names must be of {', '.join(all_names)}")
    reason = f"Its runs do not identify {', '.join(names)}: {known.get('reason', '')}."
    return {
        "warning": f"{said} {reason}".strip(),
        "unidentified": tuple(names),
        "directions": _rows(
            name, "unidentified.directions", record, known.get("directions") or [], len(all_names)
        ),
    }


def _range(name: str, ranges: Mapping[str, Any], size: str) -> Range | None:
    given = ranges.get(size)
    if given is None:
        return None
    if not isinstance(given, list) or len(given) != 2:
        raise ValueError(f"{name}: ranges.{size} must be two numbers; got {given!r}")
    low, high = (_number(name, f"ranges.{size}", each) for each in given)
    if not 0 < low <= high:
        raise ValueError(f"{name}: ranges.{size} must be above 0 and ascending; got {given!r}")
    return low, high


def _covariance(
    name: str, family: type, record: Mapping[str, Any]
) -> tuple[tuple[float, ...], ...] | None:
    given, size = record.get("covariance"), len(coefficients_of(family))
    if given is None:
        return None
    if not isinstance(given, list) or len(given) != size:
        raise ValueError(f"{name}: covariance must have {size} rows of {size} numbers")
    rows = _rows(name, "covariance", record, given, size)
    return tuple(rows[at] for at in _order(record, size))


def _rows(
    name: str, key: str, record: Mapping[str, Any], given: Any, size: int
) -> tuple[tuple[float, ...], ...]:
    rows = given if isinstance(given, list) else []
    if rows != given or any(not isinstance(row, list) or len(row) != size for row in rows):
        raise ValueError(f"{name}: {key} must have rows of {size} numbers")
    order = _order(record, size)
    return tuple(tuple(_number(name, key, row[at]) for at in order) for row in rows)


def _order(record: Mapping[str, Any], size: int) -> Sequence[int]:
    return FIRST_ORDER if record.get("format") == FIRST_FORMAT else range(size)


def _table(name: str, record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    given = record.get(key)
    if not isinstance(given, dict):
        raise ValueError(f"{name}: {key} {'is missing' if given is None else 'must be an object'}")
    return given


def _number(name: str, key: str, given: Any) -> float:
    if given is None:
        raise ValueError(f"{name}: {key} is missing")
    # An integer may be too long for a float, and even for a message.
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if not is_number or not abs(given) < LARGEST:
        shown = f"{given!s:.40}" if isinstance(given, float | str) else type(given).__name__
        raise ValueError(f"{name}: {key} must be a finite number; got {shown}")
    return float(given)


def _text(record: Mapping[str, Any], key: str) -> str:
    return str(record.get(key) or NOT_STATED)
