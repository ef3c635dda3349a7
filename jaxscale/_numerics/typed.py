"""Typed wrappers of JAX functions whose own signatures leave types unknown."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ParamSpec, Protocol, TypeVar

import jax
import jax.numpy as jnp
from jax import Array, lax

Parameters = ParamSpec("Parameters")
Result_co = TypeVar("Result_co", covariant=True)
Carry = TypeVar("Carry")


def jit(function: Callable[Parameters, Result_co]) -> Callable[Parameters, Result_co]:
    """`jax.jit` without options."""
    return jax.jit(function)


class CustomJVP(Protocol[Parameters, Result_co]):
    """A function with a custom derivative."""

    def __call__(self, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result_co: ...

    def defjvp(self, jvp: Callable[..., tuple[Any, Any]], symbolic_zeros: bool = ...) -> Any: ...


def custom_jvp(
    *static: int,
) -> Callable[[Callable[Parameters, Result_co]], CustomJVP[Parameters, Result_co]]:
    """`jax.custom_jvp`, not differentiated by the arguments at the positions `static`."""
    return partial(jax.custom_jvp, nondiff_argnums=static)


def fori_loop(count: int | Array, step: Callable[[Array, Carry], Carry], start: Carry) -> Carry:
    """`jax.lax.fori_loop` from 0."""
    return lax.fori_loop(0, count, step, start)


def cond(condition: Array, true: Callable[[], Carry], false: Callable[[], Carry]) -> Carry:
    """`jax.lax.cond` of functions without arguments."""
    return lax.cond(condition, true, false)


def map_array(function: Callable[[Array], Array], x: Array) -> Array:
    """`jax.lax.map` of one array to another."""
    return lax.map(function, x)


def map_leaves(function: Callable[..., Array], *trees: Any) -> Any:
    """`jax.tree.map`."""
    return jax.tree.map(function, *trees)


def flattened(tree: Any) -> tuple[list[Any], Any]:
    """`jax.tree.flatten`."""
    return jax.tree.flatten(tree)


def nth(numbers: Sequence[float], index: Array, dtype: Any) -> Array:
    """The number at an index, by selects: a kernel looks nothing up in a table."""
    found = jnp.asarray(numbers[0], dtype)
    for at, number in enumerate(numbers[1:], start=1):
        found = jnp.where(index == at, jnp.asarray(number, dtype), found)
    return found


def limits(x: Array) -> Any:
    """The `finfo` of x's dtype."""
    return jnp.finfo(x.dtype)


def epsilon(x: Array) -> float:
    """Distance from 1 to the next larger number of x's dtype."""
    return float(limits(x).eps)
