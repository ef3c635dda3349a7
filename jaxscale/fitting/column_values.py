"""Values of columns: cells as arrays, comparisons of arrays, and functions of them.

A missing cell equals nothing and is neither above nor below anything.
"""

import ast
import datetime
import math
import operator
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias, cast

import numpy as np

from jaxscale._numerics.quantities import parse

# A number, a string, a truth, a list of such, or an array of one value a row.
Value: TypeAlias = Any

COMPARISONS: dict[type[ast.cmpop], Callable[..., Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


# A size in the name of a run.
SIZE = re.compile(r"(?<![A-Za-z0-9.])[0-9]+(?:\.[0-9]+)?[KMBTkmbt](?![A-Za-z0-9])")


class NumberWord(str):
    """A word that also writes a number, as 7B does."""

    value: float

    @classmethod
    def of(cls, word: str, value: float) -> "NumberWord":
        made = cls(word)
        made.value = value
        return made


def values_of(cells: Iterable[Any]) -> np.ndarray:
    """The cells of a column, None where one is missing, as numbers, dates, or objects.

    Strings, and truths of which some are missing, stay objects. Raises ValueError for a column of
    anything else, or of several kinds.
    """
    cells = list(cells)
    kinds = {_kind(cell) for cell in cells if cell is not None}
    if len(kinds) > 1:
        raise ValueError(f"holds {' and '.join(sorted(kinds))}, not one of them alone")
    kind = kinds.pop() if kinds else "numbers"
    if kind == "numbers":
        return _numbers(cells)
    if kind == "dates":
        naive = [None if each is None else each.replace(tzinfo=None) for each in cells]
        return np.array(naive, "datetime64[us]")
    if kind == "truths" and None not in cells:
        return np.array(cells, bool)
    objects = np.empty(len(cells), object)
    objects[:] = cells
    return objects


def _kind(cell: Any) -> str:
    if isinstance(cell, str):
        return "words"
    if isinstance(cell, bool | np.bool_):
        return "truths"
    if isinstance(cell, datetime.datetime):
        return "dates"
    if isinstance(cell, int | float | np.number):
        return "numbers"
    raise ValueError(f"holds a {type(cell).__name__}, which is not a number, word, truth or date")


def _numbers(cells: list[Any]) -> np.ndarray:
    kinds: Any = (int, np.integer)
    whole = all(isinstance(cell, kinds) and abs(int(cell)) < 2**63 for cell in cells)
    if whole:  # exact above 2**53, as labels of runs may be
        return np.array(cells, np.int64)
    return np.array([math.nan if cell is None else float(cell) for cell in cells])


def truth_of(value: Value) -> np.ndarray | None:
    """A value as true or false, missing ones false; None where it is neither."""
    if isinstance(value, list):
        return None
    array = np.asarray(value)
    if array.dtype == object and all(
        each is None or isinstance(each, bool | np.bool_) for each in array.ravel()
    ):
        return np.array([each is not None and bool(each) for each in array.ravel()], bool)
    return array if array.dtype == bool else None


def number_of(value: Value) -> np.ndarray:
    """A value as float64, for whole numbers would overflow as `params * tokens` does."""
    array = np.asarray(value)
    if _writes_numbers(array):
        return np.array([math.nan if each is None else each.value for each in array.ravel()])
    if array.dtype == object and truth_of(array) is not None:
        return np.array([math.nan if each is None else float(each) for each in array])
    if array.dtype.kind not in "iufb" or isinstance(value, list):
        raise ValueError(f"{shown(value)} is not a number to compute with")
    return array.astype(float)


def compared(op: ast.cmpop, left: Value, right: Value) -> np.ndarray:
    """Row by row, whether a comparison holds; ValueError for values of different kinds."""
    if isinstance(left, list):
        raise ValueError(f"a list stands to the right of in; got {left!r} to the left")
    if isinstance(right, list) and isinstance(op, ast.In | ast.NotIn | ast.Eq | ast.NotEq):
        is_in = np.zeros(np.shape(left), bool)
        for each in cast(list[Any], right):
            is_in = is_in | compared(ast.Eq(), left, each)
        return is_in if isinstance(op, ast.In | ast.Eq) else ~is_in
    if type(op) not in COMPARISONS:
        raise ValueError("after in comes a list, as in [1, 2] or ['a', 'b']")
    compare = COMPARISONS[type(op)]
    left, right = _alike(left, right)
    if left.dtype != object and right.dtype != object:
        return np.asarray(compare(left, right))
    left, right = np.broadcast_arrays(left, right)
    if_missing = isinstance(op, ast.NotEq)
    pairs = zip(left.ravel(), right.ravel(), strict=True)
    truths = [if_missing if x is None or y is None else bool(compare(x, y)) for x, y in pairs]
    return np.array(truths, bool).reshape(left.shape)


def _alike(left: Value, right: Value) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays that can be compared; ValueError where one is of words, the other of none."""
    arrays: list[np.ndarray] = []
    for value, other in ((left, right), (right, left)):
        if isinstance(value, str) and np.asarray(other).dtype.kind == "M":
            try:
                arrays.append(np.asarray(np.datetime64(value)))
            except ValueError:
                raise ValueError(f"{value!r} is not a date, as '2025-12-31' is") from None
        else:
            arrays.append(np.asarray(value, object if isinstance(value, str) else None))
    are_words = {_holds_words(each) for each in arrays}
    if len(are_words) > 1 or all(map(_writes_numbers, arrays)):
        arrays = [number_of(each) if _writes_numbers(each) else each for each in arrays]
    groups = {"words" if _holds_words(each) else each.dtype.kind == "M" for each in arrays}
    if len(groups) > 1 or isinstance(right, list):
        raise ValueError(f"{shown(left)} and {shown(right)} cannot be compared")
    return arrays[0], arrays[1]


def _holds_words(array: np.ndarray) -> bool:
    return array.dtype == object and any(isinstance(each, str) for each in array.ravel())


def _writes_numbers(array: np.ndarray) -> bool:
    words = [each for each in array.ravel() if each is not None] if array.dtype == object else []
    return bool(words) and all(isinstance(each, NumberWord) for each in words)


def shown(value: Value) -> str:
    """A value in a message: itself, or the first that a column has."""
    if np.ndim(value) == 0 or isinstance(value, list):
        return f"{value!r}"
    first = next((each for each in np.asarray(value).tolist() if each is not None), None)
    return f"a column of {'words' if isinstance(first, str) else 'values'} such as {first!r}"


# --- Functions that an expression may call --------------------------------------------------


def _is_missing(x: Value) -> np.ndarray:
    x = np.asarray(x)
    if x.dtype == object:
        return np.array([each is None for each in x.ravel()], bool).reshape(x.shape)
    return np.isnan(x) if x.dtype.kind == "f" else np.isnat(x) if x.dtype.kind == "M" else x != x


def _is_present(x: Value) -> np.ndarray:
    return ~_is_missing(x)


def _of_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *values: function(*map(number_of, values))


def _of_words(test: Callable[[str, str], bool]) -> Callable[[Value, Value], np.ndarray]:
    def tested(column: Value, part: Value) -> np.ndarray:
        if not isinstance(part, str):
            raise ValueError(f"a string is looked for, in quotes; got {shown(part)}")
        words = np.asarray(column, object)
        if not all(each is None or isinstance(each, str) for each in words.ravel()):
            raise ValueError("strings are looked for in columns of words alone")
        truths = [word is not None and test(word, part) for word in words.ravel()]
        return np.array(truths, bool).reshape(words.shape)

    return tested


def _number_in(column: Value, which: Value = None) -> np.ndarray:
    """The number with a suffix in each word, as 70M in `gpt-70M-a`; NaN where it is unclear."""
    if which is not None and not (isinstance(which, int) and which >= 1):
        raise ValueError(f"the second value counts numbers from 1; got {shown(which)}")
    words = np.atleast_1d(np.asarray(column, object))
    if not all(each is None or isinstance(each, str) for each in words):
        raise ValueError("numbers are looked for in columns of words alone")
    found = [SIZE.findall(each or "") for each in words]
    chosen = [
        each[(which or 1) - 1] if len(each) >= (which or 1) and (which or len(each) == 1) else ""
        for each in found
    ]
    sizes = [parse(text) for text in chosen]
    return np.array([math.nan if size is None else size.value for size in sizes])


def _extreme(over_rows: Callable[..., Any], by_row: Callable[..., Any]) -> Callable[..., Any]:
    def extreme(first: Value, *others: Value) -> Any:
        numbers = [number_of(each) for each in (first, *others)]
        if not others:
            return over_rows(numbers[0])
        for each in numbers[1:]:
            numbers[0] = by_row(numbers[0], each)
        return numbers[0]

    return extreme


def _between(x: Value, low: Value, high: Value) -> np.ndarray:
    return compared(ast.LtE(), low, x) & compared(ast.LtE(), x, high)


# Each with the least and the most arguments that it takes.
FUNCTIONS: dict[str, tuple[Callable[..., Any], int, float]] = {
    "abs": (_of_numbers(np.abs), 1, 1),
    "log": (_of_numbers(np.log), 1, 1),
    "log2": (_of_numbers(np.log2), 1, 1),
    "log10": (_of_numbers(np.log10), 1, 1),
    "exp": (_of_numbers(np.exp), 1, 1),
    "sqrt": (_of_numbers(np.sqrt), 1, 1),
    "floor": (_of_numbers(np.floor), 1, 1),
    "ceil": (_of_numbers(np.ceil), 1, 1),
    "round": (_of_numbers(np.round), 1, 1),
    "min": (_extreme(np.nanmin, np.fmin), 1, math.inf),
    "max": (_extreme(np.nanmax, np.fmax), 1, math.inf),
    "mean": (_of_numbers(np.nanmean), 1, 1),
    "median": (_of_numbers(np.nanmedian), 1, 1),
    "quantile": (_of_numbers(np.nanquantile), 2, 2),
    "number": (_number_in, 1, 2),
    "isnan": (_is_missing, 1, 1),
    "isna": (_is_missing, 1, 1),
    "isnull": (_is_missing, 1, 1),
    "notna": (_is_present, 1, 1),
    "notnull": (_is_present, 1, 1),
    "isin": (partial(compared, ast.In()), 2, 2),
    "between": (_between, 3, 3),
    "contains": (_of_words(lambda word, part: part in word), 2, 2),
    "startswith": (_of_words(str.startswith), 2, 2),
    "endswith": (_of_words(str.endswith), 2, 2),
}
