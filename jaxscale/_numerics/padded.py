"""Batches of any length by the programs of a few lengths."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import jax
import numpy as np

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

LEAST = 8  # scenarios along an axis, but for one


def padded(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """`function` for batches of changing length, which would each compile anew.

    Arrays among the arguments are padded with their last scenario until each axis of the batch is
    8, 16, 32 and so on long; results are cut to the batch, as NumPy arrays. So a handful of
    programs serve all lengths; along an axis of eight or more, less than twice the scenarios are
    computed. Not for use inside jit, where shapes are fixed.

    Args:
        function: a solver such as `js.minimize_cost`, or any function whose arguments broadcast
            and whose results have the shape of all of them together.

    Raises:
        ValueError: the shapes of arguments do not broadcast.

    Examples:
        >>> law = js.laws.published("sardana2024")
        >>> cheapest = js.padded(js.minimize_cost)
        >>> [cheapest(law, np.linspace(2.0, 2.5, count)).params.shape for count in (3, 5, 6)]
        [(3,), (5,), (6,)]
    """

    @wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        leaves = filter(_is_array, jax.tree.leaves((args, kwargs)))
        shape = np.broadcast_shapes(*(np.shape(leaf) for leaf in leaves))
        padded_shape = tuple(map(_length, shape))

        def pad(leaf: Any) -> Any:
            if not (_is_array(leaf) and np.ndim(leaf)):
                return leaf
            lengths = shape[len(shape) - np.ndim(leaf) :]
            missing = [
                (0, _length(length) - length if size == length else 0)
                for size, length in zip(np.shape(leaf), lengths, strict=True)
            ]
            return np.pad(np.asarray(leaf), missing, mode="edge")

        def cut(leaf: Any) -> Any:
            same = np.shape(leaf) == padded_shape
            if not same:
                return leaf
            return np.asarray(leaf)[tuple(map(slice, shape))] if shape else np.asarray(leaf)

        args, kwargs = jax.tree.map(pad, (args, kwargs))
        return cast(Result, jax.tree.map(cut, function(*args, **kwargs)))

    return call


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray | jax.Array)


def _length(length: int) -> int:
    """The length to which an axis is padded; an axis of one broadcasts, and an empty one stays."""
    return length if length < 2 else max(LEAST, 2 ** (length - 1).bit_length())
