# pyright: reportUnknownMemberType=false
"""Functions differentiated as a whole, and so computed without care for their derivatives.

`where_safe` gives each lane its own copy of a number that lanes share, because it may be good in
some of them and bad in others. Without derivatives no copy is needed, and what depends on shared
numbers alone, such as the logarithm of a law's coefficient, is computed once.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax import Array
from jax.custom_derivatives import SymbolicZero

from jaxscale._numerics.typed import custom_jvp, flattened
from jaxscale._numerics.values import undifferentiated

Answer = TypeVar("Answer")


def as_a_whole(solve: Callable[..., Answer]) -> Callable[..., Answer]:
    """`solve`, where `where_safe` copies nothing unless derivatives are asked for.

    It calls no function that JAX traces once for several callers, such as one under `jit`.
    """

    @custom_jvp()
    def whole(*arguments: Any) -> Answer:
        with undifferentiated():
            return solve(*arguments)

    def jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
        return jvp_of(solve, primals, tangents)

    whole.defjvp(jvp, symbolic_zeros=True)
    return whole


def jvp_of(
    solve: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Any, Any]:
    """`jax.jvp` of `solve` by those arguments whose tangents are not symbolic zeros."""
    leaves, structure = flattened(primals)
    rates: list[Any] = structure.flatten_up_to(tangents)
    moving = [i for i, rate in enumerate(rates) if not isinstance(rate, SymbolicZero)]

    def solve_from(*values: Array) -> Any:
        moved = dict(zip(moving, values, strict=True))
        return solve(*structure.unflatten(moved.get(i, x) for i, x in enumerate(leaves)))

    return jax.jvp(solve_from, tuple(leaves[i] for i in moving), tuple(rates[i] for i in moving))
