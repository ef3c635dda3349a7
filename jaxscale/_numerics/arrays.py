"""Checks of arguments where they enter: one dtype, shapes that broadcast, aligned ranks, and keys.

Wrong structure raises here, once. Values are not checked: a bad value is a scenario's status, not
an exception.
"""

import math
from dataclasses import is_dataclass
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import core

# A field that a user fills with a number and the library reads as an array: a type checker
# has no name for what is both.
Real: TypeAlias = Any

# The arguments that have fields; all others are numbers.
CONTAINERS = ("law", "demand", "mix", "costs", "bounds", "levers", "architecture", "machine")
CONTAINERS += ("reader", "asked_requests", "asked_limits", "draft", "family", "market", "curve")


class Nothing(NamedTuple):
    """An option that was not taken: false, and a pytree of no numbers."""


NOTHING = Nothing()


NUMBER = "a real number or an array of float32, float64 or integers"


def enter(**arguments: Any) -> tuple[Any, ...]:
    """Give every leaf of `arguments` one float dtype; check that all shapes broadcast.

    Python numbers, weakly typed values and integers take the dtype of the float arrays
    given, or JAX's default where there are none; float arrays of two widths widen.
    NumPy arrays are copied, because JAX may alias a host buffer and runs later.

    Raises TypeError for a leaf that is not a real number or is narrower than float32, and
    ValueError for shapes that do not broadcast. Both name the leaf.
    """
    flat = {name: _flatten(name, tree) for name, tree in arguments.items()}
    named = {leaf_name: leaf for leaves, _ in flat.values() for leaf_name, leaf in leaves}
    widths = [dtype for name, leaf in named.items() if (dtype := _float_dtype(name, leaf))]
    dtype = jax.dtypes.canonicalize_dtype(np.result_type(*widths) if widths else np.float64)
    _check_shapes({name: np.shape(leaf) for name, leaf in named.items()})
    return tuple(
        jax.tree.unflatten(treedef, [_cast(leaf, dtype) for _, leaf in leaves])
        for leaves, treedef in flat.values()
    )


def enter_function(name: str, function: Any, **arguments: Any) -> tuple[Any, ...]:
    """A function of arrays as a pytree of what it is made of, and the arguments, of one dtype.

    Raises TypeError for what cannot be called, and as `enter`.
    """
    if not callable(function):
        raise TypeError(f"{name} must be a function of loss; got {function!r}")
    leaves, treedef = jax.tree.flatten(function)
    if jax.tree_util.treedef_is_leaf(treedef):
        leaves, treedef = jax.tree.flatten(jax.tree_util.Partial(function))
    numbers = {f"{name}[{i}]": leaf for i, leaf in enumerate(leaves)}
    values = enter(**numbers, **arguments)
    return jax.tree.unflatten(treedef, values[: len(leaves)]), *values[len(leaves) :]


def align(*trees: Any) -> tuple[Any, ...]:
    """Pad the shapes of all array leaves with leading ones to one rank; scalars stay scalars.

    Rank is then never promoted, yet a leaf keeps its own size until it meets another:
    the logarithm of an axis value is taken once per axis value, not once per scenario.
    """
    rank = max((jnp.ndim(leaf) for leaf in jax.tree.leaves(trees)), default=0)

    def pad(leaf):
        missing = rank - jnp.ndim(leaf)
        return leaf if missing in (0, rank) else jnp.expand_dims(leaf, tuple(range(missing)))

    return jax.tree.map(pad, trees)


def is_concrete(value: Any) -> bool:
    """Whether `value` holds numbers now, and is not being traced."""
    return not isinstance(value, core.Tracer)


def _flatten(name: str, tree: Any) -> tuple[list[tuple[str, Any]], Any]:
    # Anything given for a number is a leaf to check; a law may be made of other laws.
    def is_leaf(x):
        is_law = is_dataclass(x) and callable(getattr(x, "loss", None))
        return name not in CONTAINERS or (
            x is not tree and not is_law and not isinstance(x, Nothing)
        )

    leaves, treedef = jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_leaf)
    return [(name + jax.tree_util.keystr(path), leaf) for path, leaf in leaves], treedef


def _float_dtype(name: str, leaf: Any) -> np.dtype | None:
    """Dtype that `leaf` requires; None for one that follows the others."""
    if type(leaf) in (int, float):
        return None
    if not isinstance(leaf, (np.ndarray, np.generic, jax.Array)):
        raise TypeError(f"{name} must be {NUMBER}; got {leaf!r} ({type(leaf).__name__})")
    dtype = leaf.dtype
    if jnp.issubdtype(dtype, jnp.integer):
        return None
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"{name} must be {NUMBER}; got dtype {dtype}")
    return None if getattr(leaf, "weak_type", False) else np.dtype(dtype)


def _check_shapes(shapes: dict[str, tuple[int, ...]]) -> None:
    try:
        np.broadcast_shapes(*shapes.values())
    except ValueError:
        given = ", ".join(f"{name} {shape}" for name, shape in shapes.items() if shape)
        raise ValueError(
            f"shapes do not broadcast: {given}; along each axis sizes must be equal or 1"
        ) from None


def _cast(leaf: Any, dtype: Any) -> Any:
    if isinstance(leaf, jax.Array):
        return jax.lax.convert_element_type(leaf, dtype)
    if type(leaf) is int and abs(leaf) > int(np.finfo(dtype).max):
        leaf = math.inf if leaf > 0 else -math.inf
    with np.errstate(over="ignore"):
        return np.array(leaf, dtype=dtype)


ALLOWED = "one JAX key, such as jax.random.key(0), or a whole number from 0"


def key_data(key: Any) -> np.ndarray:
    """The words of 32 bits of a key, typed or raw, or of a whole number below 2^64.

    Raises TypeError for anything but one concrete key.
    """
    if isinstance(key, (int, np.integer)) and not isinstance(key, bool) and 0 <= key < 2**64:
        return np.array([int(key) >> 32, int(key) % 2**32], np.uint32)
    if not isinstance(key, (jax.Array, np.ndarray)) or not is_concrete(key):
        raise TypeError(f"key must be {ALLOWED}; got {key!r}")
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    words = np.asarray(jax.random.key_data(key) if typed else key)
    if words.dtype != np.uint32 or words.ndim != 1 or words.size < 2:
        raise TypeError(f"key must be {ALLOWED}; got shape {key.shape} of {key.dtype}")
    return words
