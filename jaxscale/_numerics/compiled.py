"""`jax.jit` for functions that are handed laws, or else what there are several classes of.

JAX 0.10 takes structures of two registered dataclasses for equal where they hold as many numbers,
and tells them apart by their hashes alone, of which its cache compares seven bits: once in a
while it runs the program that was compiled for another class. So the whole hash goes in too.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import jax


def compiled(function: Callable[..., Any], *, static: int = 0) -> Callable[..., Any]:
    """`function` as `jax.jit` compiles it, never mistaking one class for another.

    The first `static` arguments are static. All arguments are positional.
    """

    @wraps(function)
    def told_apart(_, *arguments):
        return function(*arguments)

    program = jax.jit(told_apart, static_argnums=tuple(range(static + 1)))

    @wraps(function)
    def call(*arguments):
        return program(hash(jax.tree.structure(arguments[static:])), *arguments)

    return call
