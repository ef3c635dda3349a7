"""The functions that an expression on columns may call."""

import ast
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxscale.fitting.column_values import Value, compared, number_of, shown


def _is_missing(x: Value) -> np.ndarray:
    x = np.asarray(x)
    if x.dtype == object:
        return np.array([each is None for each in x.ravel()], bool).reshape(x.shape)
    return np.isnan(x) if x.dtype.kind == "f" else np.isnat(x) if x.dtype.kind == "M" else x != x


def _of_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *values: function(*map(number_of, values))


def _of_words(test: Callable[[str, str], bool]) -> Callable[[Value, Value], np.ndarray]:
    def tested(column: Value, part: Value) -> np.ndarray:
        if not isinstance(part, str):
            raise ValueError(f"a string is looked for, in quotes; got {shown(part)}")
        words = np.asarray(column, object)
        if not all(each is None or isinstance(each, str) for each in words.ravel()):
            raise ValueError("strings are looked for in columns of words alone")
        found = [each is not None and test(each, part) for each in words.ravel()]
        return np.array(found, bool).reshape(words.shape)

    return tested


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
    "isnan": (_is_missing, 1, 1),
    "isna": (_is_missing, 1, 1),
    "isnull": (_is_missing, 1, 1),
    "notna": (lambda x: ~_is_missing(x), 1, 1),
    "notnull": (lambda x: ~_is_missing(x), 1, 1),
    "isin": (lambda x, values: compared(ast.In(), x, values), 2, 2),
    "between": (_between, 3, 3),
    "contains": (_of_words(lambda word, part: part in word), 2, 2),
    "startswith": (_of_words(str.startswith), 2, 2),
    "endswith": (_of_words(str.endswith), 2, 2),
}
