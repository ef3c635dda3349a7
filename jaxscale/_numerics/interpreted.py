# pyright: reportUnknownMemberType=false
"""A function of JAX, traced as for `jax.jit` and run once by NumPy instead of compiled.

For one scenario XLA takes a hundred times longer to compile than to compute: as one program, and
op by op too, because each small operation is a program of its own. The equations are the traced
ones, so no formula is written twice. An operation that the table lacks runs in JAX.
"""

from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

MOST_CASES = 32  # of a choice, condition included, that NumPy takes
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Values = Sequence[Any]
Run = Callable[[Values], Values]


def interpreted(
    function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Result:
    """`function(*args, **kwargs)` with NumPy arrays for results; no argument is traced."""
    traced, shape = jax.make_jaxpr(lambda: function(*args, **kwargs), return_shape=True)()
    with np.errstate(all="ignore"):
        leaves = _Program(traced)(())
    return jax.tree.unflatten(jax.tree.structure(shape), map(np.asarray, leaves))


class _Program:
    """Equations with slots for their values; a loop runs them many times."""

    def __init__(self, closed: core.ClosedJaxpr) -> None:
        jaxpr = closed.jaxpr
        self.slots: dict[Any, int] = {}
        self.start: list[Any] = [np.asarray(x) for x in closed.consts]
        for var in jaxpr.constvars:
            self.slots[var] = len(self.slots)
        self.inputs = len(self.start), len(self.start) + len(jaxpr.invars)
        self.start += [None] * len(jaxpr.invars)
        for var in jaxpr.invars:
            self.slots[var] = len(self.slots)
        self.steps = [self._step(equation) for equation in jaxpr.eqns]
        self.outputs = [self._slot(atom) for atom in jaxpr.outvars]
        self.dead = self._dead()

    def _slot(self, atom: Any) -> int:
        """The slot of a variable, or a new one for a literal."""
        key = atom if isinstance(atom, core.Var) else id(atom)
        if key not in self.slots:
            self.slots[key] = len(self.start)
            self.start.append(
                None if isinstance(atom, core.Var) else np.asarray(atom.val, atom.aval.dtype)
            )
        return self.slots[key]

    def _step(self, equation: Any) -> tuple[Run, list[int], list[int]]:
        ins = [self._slot(atom) for atom in equation.invars]
        return _run_of(equation), ins, [self._slot(var) for var in equation.outvars]

    def _dead(self) -> list[list[int]]:
        """The slots that no later equation reads: a thousand arrays may not fit at once."""
        read, dead = set(self.outputs), []
        for _, ins, outs in reversed(self.steps):
            dead.append(list({*ins, *outs} - read))
            read.update(ins)
        return dead[::-1]

    def __call__(self, arguments: Values) -> Values:
        values = self.start.copy()
        values[slice(*self.inputs)] = arguments
        for (run, ins, outs), dead in zip(self.steps, self.dead, strict=True):
            for slot, value in zip(outs, run([values[i] for i in ins]), strict=True):
                values[slot] = value
            for slot in dead:
                values[slot] = None
        return [values[slot] for slot in self.outputs]


def _run_of(equation: Any) -> Run:
    """One equation as a function of the values that it reads, to those that it gives."""
    name = equation.primitive.name
    if name in _CALLS:
        return _CALLS[name](equation)
    if _differs(equation):
        return _in_jax(equation)
    if name in _UFUNCS:
        ufunc = _UFUNCS[name]
        return lambda values: (ufunc(*values),)
    if name in _OPERATIONS:
        operation, dtype = _OPERATIONS[name], equation.outvars[0].aval.dtype
        return lambda values: (np.asarray(operation(equation.params, *values), dtype),)
    return _in_jax(equation)


def _differs(equation: Any) -> bool:
    """Whether NumPy has another idea of the operation, or none at all."""
    name, params = equation.primitive.name, equation.params
    if not equation.outvars:  # a debug print
        return True
    made = equation.outvars[0].aval.dtype
    given = equation.invars[0].aval.dtype if equation.invars else made
    whole = getattr(made, "kind", "") in "iu"
    if name == "convert_element_type":  # clamps
        return whole and getattr(given, "kind", "") not in "biu"
    if name == "dot_general":
        return params["dimension_numbers"][1] != ((), ())
    if name == "bitcast_convert_type":
        return given.itemsize != made.itemsize
    if name == "select_n":
        return len(equation.invars) > MOST_CASES
    if name in ("reduce_max", "reduce_min", "argmax", "argmin"):
        return 0 in equation.invars[0].aval.shape
    return whole and name in ("div", "integer_pow", "pow", "sign")


def _in_jax(equation: Any) -> Run:
    """An operation that has no line below, compiled on its own."""
    primitive = equation.primitive
    params = primitive.get_bind_params(equation.params)

    def run(values: Values) -> Values:
        answer = primitive.bind(*map(jnp.asarray, values), **params)
        return [np.asarray(x) for x in (answer if primitive.multiple_results else [answer])]

    return run


# --- Calls, loops and branches -------------------------------------------------------------------


def _call(name: str) -> Callable[[Any], Run]:
    return lambda equation: _Program(equation.params[name])


def _scan(equation: Any) -> Run:
    params = equation.params
    inner = params["jaxpr"].jaxpr
    body = _Program(params["jaxpr"])
    # By their ranks, which the body sees less an axis: JAX names these counts in changing ways.
    carried = _same_rank(equation.outvars, inner.outvars)
    shared = _same_rank(equation.invars, inner.invars) - carried
    order = range(params["length"])[:: -1 if params["reverse"] else 1]

    def run(values: Values) -> Values:
        constants, carry = list(values[:shared]), list(values[shared : shared + carried])
        rows = values[shared + carried :]
        found: dict[int, Values] = {}
        for index in order:
            given = body([*constants, *carry, *(x[index] for x in rows)])
            carry, found[index] = list(given[:carried]), given[carried:]
        if not found:
            return [
                *carry,
                *(np.zeros(x.aval.shape, x.aval.dtype) for x in equation.outvars[carried:]),
            ]
        columns = zip(*(found[index] for index in sorted(found)), strict=True)
        return [*carry, *map(np.stack, columns)]

    return run


def _same_rank(outer: Sequence[Any], inner: Sequence[Any]) -> int:
    pairs = zip(outer, inner, strict=True)
    return sum(x.aval.ndim == y.aval.ndim for x, y in pairs)


def _while(equation: Any) -> Run:
    params = equation.params
    goes_on, body = _Program(params["cond_jaxpr"]), _Program(params["body_jaxpr"])
    first, second = params["cond_nconsts"], params["body_nconsts"]

    def run(values: Values) -> Values:
        of_condition, of_body = list(values[:first]), list(values[first : first + second])
        carry = list(values[first + second :])
        while np.any(going := goes_on([*of_condition, *carry])[0]):
            new = body([*of_body, *carry])
            carry = [_where(going, x, kept) for x, kept in zip(new, carry, strict=True)]
        return carry

    return run


def _where(going: Any, new: Any, kept: Any) -> Any:
    """New values where a batch goes on: the others have come to their end."""
    if np.ndim(going) == 0:
        return new
    return np.where(
        np.reshape(going, np.shape(going) + (1,) * (np.ndim(new) - np.ndim(going))), new, kept
    )


def _cond(equation: Any) -> Run:
    branches = [_Program(branch) for branch in equation.params["branches"]]

    def run(values: Values) -> Values:
        index = min(max(int(values[0]), 0), len(branches) - 1)
        return branches[index](values[1:])

    return run


_CALLS: dict[str, Callable[[Any], Run]] = {
    "cond": _cond,
    "custom_jvp_call": _call("call_jaxpr"),
    "custom_vmap_call": _call("call"),
    "jit": _call("jaxpr"),
    "scan": _scan,
    "while": _while,
}


# --- Operations ----------------------------------------------------------------------------------


def _select(params: Any, which: Any, *cases: Any) -> Any:
    del params
    return np.where(which, cases[1], cases[0]) if len(cases) == 2 else np.choose(which, cases)


def _broadcast(params: Any, x: Any) -> Any:
    shape = [1] * len(params["shape"])
    for axis, size in zip(params["broadcast_dimensions"], np.shape(x), strict=True):
        shape[axis] = size
    return np.broadcast_to(np.reshape(x, shape), params["shape"])


def _slice(params: Any, x: Any) -> Any:
    strides = params["strides"] or (1,) * np.ndim(x)
    limits = zip(params["start_indices"], params["limit_indices"], strides, strict=True)
    return x[tuple(slice(*limit) for limit in limits)]


def _dynamic_slice(params: Any, x: Any, *starts: Any) -> Any:
    index = []
    for start, length, size in zip(starts, params["slice_sizes"], np.shape(x), strict=True):
        first = min(max(int(start), 0), size - length)
        index.append(slice(first, first + length))
    return x[tuple(index)]


def _cumulative_max(params: Any, x: Any) -> Any:
    if params["reverse"]:
        x = np.flip(x, params["axis"])
    highest = np.maximum.accumulate(x, params["axis"])
    return np.flip(highest, params["axis"]) if params["reverse"] else highest


def _reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda params, x: function(x, axis=params["axes"])


def _index(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda params, x: function(x, axis=params["axes"][0])


_UFUNCS: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "add": np.add,
    "add_any": np.add,
    "and": np.bitwise_and,
    "ceil": np.ceil,
    "cos": np.cos,
    "div": np.divide,
    "eq": np.equal,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "floor": np.floor,
    "ge": np.greater_equal,
    "gt": np.greater,
    "is_finite": np.isfinite,
    "le": np.less_equal,
    "log": np.log,
    "log1p": np.log1p,
    "lt": np.less,
    "max": np.maximum,
    "min": np.minimum,
    "mul": np.multiply,
    "ne": np.not_equal,
    "neg": np.negative,
    "not": np.invert,
    "or": np.bitwise_or,
    "pow": np.power,
    "shift_right_arithmetic": np.right_shift,
    "sin": np.sin,
    "sqrt": np.sqrt,
    "square": np.square,
    "stop_gradient": lambda x: x,
    "sub": np.subtract,
    "tanh": np.tanh,
    "xor": np.bitwise_xor,
}

_OPERATIONS: dict[str, Callable[..., Any]] = {
    "argmax": _index(np.argmax),
    "argmin": _index(np.argmin),
    "bitcast_convert_type": lambda params, x: np.asarray(x).view(params["new_dtype"]),
    "broadcast_in_dim": _broadcast,
    "concatenate": lambda params, *parts: np.concatenate(parts, params["dimension"]),
    "convert_element_type": lambda params, x: x,  # to the dtype of the answer, as all below are
    "cummax": _cumulative_max,
    "dot_general": lambda params, x, y: np.tensordot(x, y, params["dimension_numbers"][0]),
    "dynamic_slice": _dynamic_slice,
    "integer_pow": lambda params, x: np.power(x, params["y"]),
    "reduce_and": _reduced(np.all),
    "reduce_max": _reduced(np.max),
    "reduce_min": _reduced(np.min),
    "reduce_or": _reduced(np.any),
    "reduce_sum": _reduced(np.sum),
    "reshape": lambda params, x: np.reshape(x, params["new_sizes"]),
    "rsqrt": lambda params, x: 1 / np.sqrt(x),
    "select_n": _select,
    "sign": lambda params, x: np.where(x == 0, x, np.sign(x)),  # keeps the sign of a zero
    "slice": _slice,
    "squeeze": lambda params, x: np.squeeze(x, params["dimensions"]),
    "stack": lambda params, *parts: np.stack(parts, params["axis"]),
    "transpose": lambda params, x: np.transpose(x, params["permutation"]),
}
