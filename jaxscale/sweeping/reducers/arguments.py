"""Checks of what a reducer is given, made when it is built."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

WHOLE = int | np.integer
REAL = WHOLE | float | np.floating


def check_field(field: Any) -> None:
    if not isinstance(field, str):
        raise TypeError(f"field must be the name of a field; got {field!r}")


def check_whole(name: str, value: Any, lowest: int, highest: int) -> None:
    if not isinstance(value, WHOLE) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number; got {value!r}")
    if not lowest <= value <= highest:
        raise ValueError(f"{name} must be {lowest} to {highest:,}; got {value}")


def check_real(name: str, value: Any, lowest: float, highest: float) -> None:
    if not isinstance(value, REAL) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number; got {value!r}")
    if not lowest <= value <= highest:  # no for NaN
        raise ValueError(f"{name} must be {lowest} to {highest}; got {value!r}")


def as_floats(name: str, values: Any) -> tuple[float, ...]:
    """The finite numbers of a sequence or a 1-D array, hashable."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a sequence of numbers; got {values!r}")
    items = list(values)
    for item in items:
        if not isinstance(item, REAL) or isinstance(item, bool):
            raise TypeError(f"{name} must be numbers; got {item!r} among them")
        if not math.isfinite(item):
            raise ValueError(f"{name} must be finite; got {item!r} among them")
    return tuple(map(float, items))
