"""Traced equations that NumPy runs give the numbers that XLA gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend.core import jaxprs_in_params
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale._numerics import interpreted as module
from jaxscale._numerics.interpreted import interpreted
from jaxscale.laws.protocol import levers_of

X64 = jax.config.read("jax_enable_x64")
FLOAT = np.float64 if X64 else np.float32
INT = np.int64 if X64 else np.int32
EPS = float(np.finfo(FLOAT).eps)
NUMBERS = np.array([-np.inf, -2.5, -0.5, -0.0, 0.0, 0.3, 1.0, 7.5, np.inf, np.nan], FLOAT)
OTHERS = NUMBERS[[3, 1, 6, 7, 2, 9, 8, 0, 5, 4]]
WHOLE = np.array([-7, -1, 0, 2, 5], INT)
TABLE = np.array([[3.0, 1.0, 2.0], [0.5, np.nan, 4.0]], FLOAT)

ONE = (lax.abs, lax.ceil, lax.cos, lax.exp, lax.exp2, lax.expm1, lax.floor, lax.is_finite)
ONE += (lax.log, lax.log1p, lax.neg, lax.rsqrt, lax.sign, lax.sin, lax.sqrt, lax.square)
ONE += (lax.stop_gradient, lax.tanh)
TWO = (lax.add, lax.sub, lax.mul, lax.div, lax.max, lax.min, lax.pow)
TWO += (lax.eq, lax.ne, lax.lt, lax.le, lax.gt, lax.ge)
WHOLE_TWO = (lax.add, lax.div, lax.rem, lax.bitwise_and, lax.bitwise_or, lax.bitwise_xor)
OPERATIONS = {
    **{f.__name__: (f, NUMBERS) for f in ONE},
    **{f.__name__: (f, NUMBERS, OTHERS) for f in TWO},
    **{f"whole {f.__name__}": (f, WHOLE, np.flip(np.abs(WHOLE) + 1)) for f in WHOLE_TWO},
    "not": (lax.bitwise_not, WHOLE > 0),
    "shift": (lax.shift_right_arithmetic, WHOLE, np.full_like(WHOLE, 1)),
    "whole power": (lambda x: lax.integer_pow(x, 3), WHOLE),
    "power": (lambda x: lax.integer_pow(x, -2), NUMBERS),
    "to whole": (lambda x: lax.convert_element_type(x, np.int32), NUMBERS),
    "to float": (lambda x: lax.convert_element_type(x, FLOAT), WHOLE),
    "bits": (lambda x: lax.bitcast_convert_type(x, INT), NUMBERS),
    "select": (lax.select_n, WHOLE > 0, NUMBERS[:5], NUMBERS[5:]),
    "select of three": (
        lax.select_n,
        np.arange(5, dtype=np.int32) % 3,
        NUMBERS[:5],
        NUMBERS[5:],
        OTHERS[5:],
    ),
    "loops of a batch": (
        jax.vmap(lambda x: lax.while_loop(lambda y: y < 100, lambda y: 3 * y, x)),
        np.array([1.0, 2.0, 50.0], FLOAT),
    ),
    "a loop of no steps": (lambda x: lax.scan(lambda c, y: (c, c + y), x[0], x[:0])[1], OTHERS),
    "halves of words": (lambda x: lax.bitcast_convert_type(x, np.int16), WHOLE),
    "argmin": (lambda x: lax.argmin(x, 0, np.int32), NUMBERS),
    "argmax": (lambda x: lax.argmax(x, 1, np.int32), TABLE),
    "largest": (lambda x: jnp.max(x, axis=1), TABLE),
    "least": (lambda x: jnp.min(x, axis=0), TABLE),
    "sum": (lambda x: jnp.sum(x, axis=(0, 1)), TABLE[:1]),
    "all": (lambda x: jnp.all(x > 0, axis=1), TABLE),
    "any": (lambda x: jnp.any(x > 3, axis=0), TABLE),
    "cumulative": (lambda x: lax.cummax(x, axis=1), TABLE),
    "cumulative, reversed": (lambda x: lax.cummax(x, axis=1, reverse=True), TABLE),
    "matrix product": (jnp.dot, TABLE[:, :1], TABLE[:1]),
    "batched product": (lambda x: jnp.einsum("ij,ij->i", x, x), TABLE),
    "broadcast": (lambda x: lax.broadcast_in_dim(x, (3, 2, 4), (1,)), TABLE[:, 0]),
    "concatenate": (lambda x: jnp.concatenate([x, x], axis=1), TABLE),
    "stack": (lambda x: jnp.stack([x, x], axis=1), TABLE),
    "expand": (lambda x: jnp.expand_dims(x, (0, 2)), TABLE),
    "squeeze": (lambda x: lax.squeeze(x, (0,)), TABLE[:1]),
    "reshape": (lambda x: jnp.reshape(x, (3, 2)), TABLE),
    "slice": (lambda x: lax.slice(x, (0, 0), (2, 3), (1, 2)), TABLE),
    "dynamic slice": (lambda x, i: lax.dynamic_slice(x, (i, i), (1, 2)), TABLE, np.int32(1)),
    "transpose": (jnp.transpose, TABLE),
    "sort": (jnp.sort, TABLE),  # which has no line of its own
    "scan": (lambda x: lax.scan(lambda c, r: (c + r, c * r), x[0], x, reverse=True), TABLE),
    "while": (lambda x: lax.while_loop(lambda c: c < 100, lambda c: 3 * c, x), FLOAT(2)),
    "cond": (lambda x: lax.cond(x > 0, jnp.sin, jnp.cos, x), FLOAT(2)),
    "switch": (lambda i: lax.switch(i, [lambda: 1, lambda: 2, lambda: 3]), np.int32(9)),
    "derivative": (jax.jacfwd(lambda x: jnp.log1p(x) * jax.nn.softplus(x)), TABLE[0]),
    "gradient": (jax.grad(lambda x: jnp.sin(x) * jnp.cos(x)), FLOAT(2)),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_that_of_jax(name):
    function, *arguments = OPERATIONS[name]
    expected = jax.tree.leaves(jax.jit(function)(*arguments))
    answers = jax.tree.leaves(interpreted(function, *map(jnp.asarray, arguments)))
    for answer, right in zip(answers, expected, strict=True):
        assert isinstance(answer, np.ndarray)
        assert (answer.dtype, answer.shape) == (right.dtype, right.shape)
        # Libraries round powers and transcendental functions in their own ways.
        assert_allclose(answer, right, rtol=8 * EPS, atol=8 * EPS)
        assert_array_equal(*(np.signbit(np.nan_to_num(np.float64(x))) for x in (answer, right)))


def test_every_line_of_the_table_is_tested():
    def names(jaxpr):
        for equation in jaxpr.eqns:
            yield equation.primitive.name
            for inner in jaxprs_in_params(equation.params):
                yield from names(inner)

    tested = set()
    for function, *arguments in OPERATIONS.values():
        tested |= set(names(jax.make_jaxpr(function)(*arguments).jaxpr))
    table = {*module._UFUNCS, *module._OPERATIONS}
    assert table - tested == set()


@pytest.mark.parametrize("name", ["sardana2024", "kaplan2020", "kumar2024"])
def test_a_plan_is_that_of_the_compiled_solver(name):
    law = js.laws.published(name)
    levers = {x: (2 * low * high) ** 0.5 for x, (low, high) in levers_of(law).items()}
    question = law, 2.7, js.Demand(1e12, 1e11), None, js.Bounds(max_params=1e11)
    plan = interpreted(js.minimize_cost, *question, levers=levers)
    expected = js.minimize_cost(*question, levers=levers)
    assert int(plan.status) == int(expected.status)
    for field in ("params", "tokens", "loss", "total_cost"):
        assert_allclose(getattr(plan, field), getattr(expected, field), rtol=400 * EPS)
