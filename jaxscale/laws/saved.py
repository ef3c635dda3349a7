"""Fits in files: what `jaxscale fit` writes, read as an entry like those of the catalogue.

A file is JSON, with `FORMAT` as its first value. Only what an entry holds is read; the rest,
the draws of a bootstrap among it, is for whoever wants it:

    draws = json.load(open("fit.json"))["draws"]
    law = js.laws.Chinchilla(**{name: np.array(column) for name, column in draws.items()})
"""

import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxscale.laws.chinchilla import Chinchilla
from jaxscale.published.entry import NOT_STATED, Entry, Range

FORMAT = "jaxscale fit 1"
SUFFIX = ".json"
LARGEST = sys.float_info.max
COEFFICIENTS = ("E", "A", "B", "alpha", "beta")
OK = "OK"
OPEN = ("FLAT_VALLEY", "EXPONENT_AT_BOUND", "TOO_FEW_RUNS")  # statuses of fits with open ends
SIZES = ("params", "tokens", "tokens_per_param")


def is_file_name(name: Any) -> bool:
    """Whether a name is that of a file, which no law of the catalogue has."""
    return str(name).lower().endswith(SUFFIX)


def read(name: str) -> Entry:
    """The fit in a file, called by the name of the file; ValueError where it holds none."""
    return _entry(name, _record(name))


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
    if kind != FORMAT:
        other = isinstance(kind, str) and kind.startswith(FORMAT.rpartition(" ")[0])
        problem = f"its format is {kind!r}" if other else "not written by jaxscale fit"
        raise ValueError(f"{name}: no fit that can be read: {problem}, not {FORMAT!r}")
    return record


def _entry(name: str, record: Mapping[str, Any]) -> Entry:
    ranges = _table(name, record, "ranges")
    params, tokens, ratios = (_range(name, ranges, size) for size in SIZES)
    remarks = _table(name, record, "remarks") if record.get("remarks") else {}
    errors = record.get("standard_errors") and _table(name, record, "standard_errors")
    return Entry(
        name=name,
        law=_law(name, _table(name, record, "law")),
        source=_text(record, "source"),
        dataset=_text(record, "dataset"),
        params_convention=_text(record, "params_convention"),
        tokenizer=_text(record, "tokenizer"),
        params_range=params,
        tokens_range=tokens,
        tokens_per_param_range=ratios,
        standard_errors=_errors(name, errors) if errors else None,
        covariance=_covariance(name, record.get("covariance")),
        errata=tuple(f"{about}: {text}" for about, text in remarks.items()),
        **_open(name, record),
    )


def _law(name: str, given: Mapping[str, Any]) -> Chinchilla:
    found = {each: _number(name, f"law.{each}", given.get(each)) for each in COEFFICIENTS}
    for each, value in found.items():
        if value < 0 or (value == 0 and each != "E"):
            least = "0 or more" if each == "E" else "above 0"
            raise ValueError(f"{name}: law.{each} must be {least}; got {value!r}")
    return Chinchilla(**found)


def _errors(name: str, given: Mapping[str, Any]) -> Chinchilla:
    """Standard errors; NaN for null, which is written for what is not known."""
    unknown = {each for each in COEFFICIENTS if each in given and given[each] is None}
    return Chinchilla(
        **{
            each: math.nan
            if each in unknown
            else _number(name, f"standard_errors.{each}", given.get(each))
            for each in COEFFICIENTS
        }
    )


def _open(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """The status of a fit, and what its runs do not identify, as fields of an entry."""
    status = _table(name, record, "status") if record.get("status") else {}
    kind = str(status.get("name", OK))
    said = "" if kind == OK else f"{kind}: {status.get('sentence', '')}"
    given = record.get("unidentified")
    if not given:
        # Files that were written before this was known name the status alone.
        names = COEFFICIENTS if kind in OPEN and "unidentified" not in record else ()
        return {"warning": said, "unidentified": tuple(names)}
    known = _table(name, record, "unidentified")
    names = known.get("names")
    if not isinstance(names, list) or not {*map(str, names)} <= {*COEFFICIENTS}:
        raise ValueError(f"{name}: unidentified.names must be of {', '.join(COEFFICIENTS)}")
    reason = f"Its runs do not identify {', '.join(names)}: {known.get('reason', '')}."
    return {
        "warning": f"{said} {reason}".strip(),
        "unidentified": tuple(names),
        "directions": _rows(name, "unidentified.directions", known.get("directions") or []),
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


def _covariance(name: str, given: Any) -> tuple[tuple[float, ...], ...] | None:
    if given is None:
        return None
    size = len(COEFFICIENTS)
    right = isinstance(given, list) and len(given) == size
    if not right or any(not isinstance(row, list) or len(row) != size for row in given):
        raise ValueError(f"{name}: covariance must have {size} rows of {size} numbers")
    return _rows(name, "covariance", given)


def _rows(name: str, key: str, given: Any) -> tuple[tuple[float, ...], ...]:
    size = len(COEFFICIENTS)
    rows = given if isinstance(given, list) else []
    if rows != given or any(not isinstance(row, list) or len(row) != size for row in rows):
        raise ValueError(f"{name}: {key} must have rows of {size} numbers")
    return tuple(tuple(_number(name, key, each) for each in row) for row in rows)


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
