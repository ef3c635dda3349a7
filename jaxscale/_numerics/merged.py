# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""A function of JAX whose equal operations are merged into one.

Derivatives along several variables evaluate a function once for each. XLA finds the copies, but not
in the body of a loop: it first moves what no step changes out of the loop, a copy at a time, and
what used the copies then looks different to it.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.extend import core

Result = TypeVar("Result")

# Calls by name of their primitive, and the parameter with the function.
CALLS = {"pjit": "jaxpr", "jit": "jaxpr", "custom_jvp_call": "call_jaxpr"}


def merged(function: Callable[..., Result]) -> Callable[..., Result]:
    """The function of arrays and pytrees, with equal operations merged. Not for differentiation."""

    def call(*arguments: Any) -> Result:
        traced, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        leaves, known = jax.tree.leaves(arguments), _Known()
        results = known.evaluated(traced.jaxpr, traced.consts, leaves)
        return jax.tree.unflatten(jax.tree.structure(shape), results)

    return call


class _Known:
    """The results of operations, by what equal operations have in common."""

    def __init__(self) -> None:
        # With the inputs: an identity is free for another array once the first is gone.
        self.results: dict[Any, tuple[Sequence[Any], Sequence[Any]]] = {}

    def evaluated(
        self, jaxpr: core.Jaxpr, consts: Sequence[Any], arguments: Sequence[Any]
    ) -> list[Any]:
        values: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
        values.update(zip(jaxpr.invars, arguments, strict=True))

        def value(atom: Any) -> Any:
            return values[atom] if isinstance(atom, core.Var) else atom.val

        for equation in jaxpr.eqns:
            inputs = [value(atom) for atom in equation.invars]
            results = self._applied(equation.primitive, equation.params, inputs)
            values.update(zip(equation.outvars, results, strict=True))
        return [value(atom) for atom in jaxpr.outvars]

    def _applied(
        self, primitive: Any, params: dict[str, Any], inputs: Sequence[Any]
    ) -> Sequence[Any]:
        if primitive.name in CALLS:
            called = params[CALLS[primitive.name]]
            return self.evaluated(called.jaxpr, called.consts, inputs)
        key = primitive, tuple(sorted(params.items())), tuple(map(_identity, inputs))
        if not _is_hashable(key):  # a loop or a condition
            return _outputs(primitive, params, inputs)
        if key not in self.results:
            self.results[key] = inputs, _outputs(primitive, params, inputs)
        return self.results[key][1]


def _outputs(primitive: Any, params: dict[str, Any], inputs: Sequence[Any]) -> Sequence[Any]:
    found = primitive.bind(*inputs, **params)
    return found if primitive.multiple_results else [found]


def _identity(x: Any) -> Any:
    """The value of a known number, and which array another is."""
    if not isinstance(x, jax.Array) and np.ndim(x) == 0:
        return type(x), np.asarray(x).dtype, np.asarray(x).tobytes()
    return id(x)


def _is_hashable(key: Any) -> bool:
    try:
        hash(key)
    except TypeError:
        return False
    return True
