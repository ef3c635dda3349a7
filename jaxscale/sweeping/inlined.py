"""A jaxpr without what the languages of kernels have no form for.

Functions with rules of their own for `vmap` or derivatives are calls in a jaxpr. When neither is
asked for any more, the call is the function it calls. Loops over arrays of known numbers are
unrolled, and what is made of known arrays alone is computed now. Whether any or all of a mask hold
is asked of whole numbers.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxscale._numerics.arrays import is_concrete

if TYPE_CHECKING:
    from jax.extend.core import ClosedJaxpr, Jaxpr

# Calls by name of their primitive, and the parameter with the function.
CALLS = {
    "pjit": "jaxpr",
    "jit": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vmap_call": "call",
}
LONGEST = 16  # loop that is unrolled


def inlined(jaxpr: "ClosedJaxpr", consts: Sequence[Any] | None = None) -> Callable[..., list[Any]]:
    """The function of a jaxpr, of flat arguments, with all calls expanded.

    `consts`, where given, stand for the arrays that it closes over. The function raises
    NotImplementedError for a loop that takes or makes arrays, one at each step.
    """
    closed = jaxpr.consts if consts is None else consts
    return lambda *arguments: _evaluated(jaxpr.jaxpr, closed, arguments)


def _evaluated(jaxpr: "Jaxpr", consts: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    values.update(zip(jaxpr.invars, arguments, strict=True))

    def value(atom: Any) -> Any:
        return atom.val if hasattr(atom, "val") else values[atom]  # a literal has its own

    for equation in jaxpr.eqns:
        inputs = [value(atom) for atom in equation.invars]
        shapes = {getattr(each.aval, "shape", None) for each in equation.outvars}
        found = _outputs(equation.primitive, equation.params, inputs, are_scalars=shapes == {()})
        values.update(zip(equation.outvars, found, strict=True))
    return [value(atom) for atom in jaxpr.outvars]


def _outputs(
    primitive: Any, params: dict[str, Any], inputs: list[Any], *, are_scalars: bool
) -> Sequence[Any]:
    if primitive.name in CALLS:
        called = params[CALLS[primitive.name]]
        return _evaluated(called.jaxpr, called.consts, inputs)
    if inputs and all(map(is_concrete, inputs)) and (are_scalars or any(map(np.ndim, inputs))):
        # Known numbers stay known, so that a loop over them can be unrolled; but no known number
        # is made an array of equal ones, which a kernel would have to be given.
        with jax.ensure_compile_time_eval():
            found = primitive.bind(*inputs, **params)
            return jax.tree.map(np.asarray, found if primitive.multiple_results else [found])
    if primitive.name in REPLACED:
        return REPLACED[primitive.name](params, inputs)
    found = primitive.bind(*inputs, **params)
    return found if primitive.multiple_results else [found]


def _while(params: dict[str, Any], inputs: list[Any]) -> Sequence[Any]:
    ends, begins = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    goes_on, body = inlined(params["cond_jaxpr"]), inlined(params["body_jaxpr"])
    return lax.while_loop(
        lambda carry: goes_on(*inputs[:ends], *carry)[0],
        lambda carry: tuple(body(*inputs[ends:begins], *carry)),
        tuple(inputs[begins:]),
    )


def _scan(params: dict[str, Any], inputs: list[Any]) -> Sequence[Any]:
    jaxpr, steps = params["jaxpr"], range(params["length"])
    # By their ranks and number, because JAX names these counts in changing ways.
    taken = zip(inputs, jaxpr.in_avals, strict=True)
    first_over = len(inputs) - sum(np.ndim(given) > aval.ndim for given, aval in taken)
    consts = first_over - len(jaxpr.out_avals)
    carried = [aval.shape for aval in jaxpr.in_avals[max(consts, 0) : first_over]]
    if consts < 0 or carried != [aval.shape for aval in jaxpr.out_avals]:
        raise NotImplementedError("a loop that makes an array")
    body, fixed, over = inlined(jaxpr), inputs[:consts], inputs[first_over:]
    carry = tuple(inputs[consts:first_over])
    if not over:
        return lax.fori_loop(0, len(steps), lambda _, carry: tuple(body(*fixed, *carry)), carry)
    if len(steps) > LONGEST or not all(map(is_concrete, over)):
        raise NotImplementedError("a loop over arrays that are not a few known numbers")
    for at in reversed(steps) if params["reverse"] else steps:
        carry = tuple(body(*fixed, *carry, *(np.asarray(each)[at] for each in over)))
    return carry


def _cond(params: dict[str, Any], inputs: list[Any]) -> Sequence[Any]:
    index, *operands = inputs
    # Closed over, so that known numbers among the operands stay known.
    branches = map(inlined, params["branches"])
    return lax.switch(index, [partial(_of_operands, branch, operands) for branch in branches])


def _of_operands(branch: Callable[..., list[Any]], operands: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(branch(*operands))


def _any(params: dict[str, Any], inputs: list[Any]) -> list[Any]:
    return [jnp.max(inputs[0].astype(jnp.int32), axis=params["axes"]) > 0]


def _all(params: dict[str, Any], inputs: list[Any]) -> list[Any]:
    return [jnp.min(inputs[0].astype(jnp.int32), axis=params["axes"]) > 0]


def _round(params: dict[str, Any], inputs: list[Any]) -> list[Any]:
    (x,) = inputs
    size = jnp.abs(x)
    below = jnp.floor(size)
    part = size - below  # exact, where x + 0.5 would be rounded
    up = part > 0.5
    if params["rounding_method"] == lax.RoundingMethod.AWAY_FROM_ZERO:
        up |= part == 0.5
    else:
        up |= (part == 0.5) & (below != 2 * jnp.floor(below / 2))
    near = jnp.where(up, below + 1, below)
    return [jnp.where(x < 0, -near, near)]


def _select(params: dict[str, Any], inputs: list[Any]) -> list[Any]:
    del params
    which, *cases = inputs
    # Triton takes a known number to be of the type of the condition.
    found, *others = (_unknown(case, which) if is_concrete(case) else case for case in cases)
    if len(others) == 1:
        return [lax.select_n(which, found, *others)]
    for at, other in enumerate(others, start=1):
        found = lax.select_n(which == at, found, other)
    return [found]


def _unknown(number: Any, like: Any) -> Any:
    """A number as if it had been computed from `like`, a condition or an index."""
    number = np.asarray(number)
    number = number.astype(jax.dtypes.canonicalize_dtype(number.dtype))
    zero = lax.convert_element_type(like, jnp.int32) * 0
    if number.dtype == np.bool_:
        return zero == (0 if number else 1)
    return lax.convert_element_type(zero, number.dtype) + number


def _polynomial(params: dict[str, Any], inputs: list[Any]) -> list[Any]:
    del params
    x, *coefficients = inputs  # of rising powers
    *rest, found = coefficients
    for coefficient in reversed(rest):
        found = found * x + coefficient
    return [found]


def _same(params: dict[str, Any], inputs: list[Any]) -> list[Any]:
    del params
    return inputs


REPLACED = {
    "optimization_barrier": _same,  # which only keeps XLA from what a kernel's compiler never does
    "polynomial": _polynomial,
    "select_n": _select,
    "while": _while,
    "scan": _scan,
    "cond": _cond,
    "reduce_or": _any,
    "reduce_and": _all,
    "round": _round,
}
