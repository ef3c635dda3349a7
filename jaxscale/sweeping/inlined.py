"""A jaxpr without calls and rules that the languages of kernels have no form for.

Functions with rules of their own for `vmap` or derivatives are calls in a jaxpr. When neither is
asked for any more, the call is the function it calls. Whether any or all of a mask hold is asked
of whole numbers instead.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

# Calls by name of their primitive, and the parameter with the function.
CALLS = {
    "pjit": "jaxpr",
    "jit": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vmap_call": "call",
}


def inlined(jaxpr: ClosedJaxpr, consts: Sequence[Any] | None = None) -> Callable[..., list[Any]]:
    """The function of a jaxpr, of flat arguments, with all calls expanded.

    `consts`, where given, stand for the arrays that it closes over.
    """
    closed = jaxpr.consts if consts is None else consts
    return lambda *arguments: _evaluated(jaxpr.jaxpr, closed, arguments)


def _evaluated(jaxpr: Jaxpr, consts: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, arguments, strict=True))

    def value(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for equation in jaxpr.eqns:
        found = _outputs(equation, [value(atom) for atom in equation.invars])
        values.update(zip(equation.outvars, found, strict=True))
    return [value(atom) for atom in jaxpr.outvars]


def _outputs(equation: Any, inputs: list[Any]) -> Sequence[Any]:
    primitive, params = equation.primitive, equation.params
    if primitive.name in CALLS:
        called = params[CALLS[primitive.name]]
        return _evaluated(called.jaxpr, called.consts, inputs)
    if primitive.name in ("reduce_or", "reduce_and"):
        (mask,) = inputs
        reduce = jnp.max if primitive.name == "reduce_or" else jnp.min
        return [reduce(mask.astype(jnp.int32), axis=params["axes"]) > 0]
    if any(map(_holds_jaxpr, params.values())):  # a loop or a branch
        params = {name: _mapped(param) for name, param in params.items()}
    found = primitive.bind(*inputs, **params)
    return found if primitive.multiple_results else [found]


def _holds_jaxpr(param: Any) -> bool:
    if isinstance(param, tuple):
        return any(map(_holds_jaxpr, param))
    return isinstance(param, ClosedJaxpr)


def _mapped(param: Any) -> Any:
    """The parameter of a loop or branch, with calls expanded in each jaxpr of it."""
    if isinstance(param, tuple) and _holds_jaxpr(param):
        return tuple(map(_mapped, param))
    if not isinstance(param, ClosedJaxpr):
        return param
    return jax.make_jaxpr(inlined(param))(*param.in_avals)
