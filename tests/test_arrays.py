"""What every public function does with structure at entry: one dtype, one rank, named mistakes."""

import collections
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxscale as js
from conftest import X64
from jaxscale import Status
from jaxscale._numerics import arrays

DTYPE = np.dtype(np.float64 if X64 else np.float32)
needs_x64 = pytest.mark.skipif(not X64, reason="float64 needs x64")

LAW = js.laws.Chinchilla(1.69, 406.4, 410.7, 0.336, 0.283)
FIELDS = {
    "law": (js.laws.Chinchilla, {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.336, "beta": 0.283}),
    "demand": (js.Demand, {"input_tokens": 1e11, "output_tokens": 1e11}),
    "costs": (js.Costs, {"train": 1.0, "prefill": 1.0, "decode": 1.0}),
    "bounds": (js.Bounds, {"min_params": 1e9, "max_tokens_per_param": 1e3}),
}
TREES = [f"{argument}.{field}" for argument, (_, fields) in FIELDS.items() for field in fields]
FUNCTIONS = {
    "minimize_cost": ["loss"],
    "minimize_loss": ["budget"],
    "evaluate": ["params", "tokens"],
}


def call(function, **leaves):
    """The plan of `function`, with `leaves` such as `{"law.alpha": ...}` in place of numbers."""
    arguments = dict.fromkeys(FUNCTIONS[function], 2.1)
    for argument, (kind, fields) in FIELDS.items():
        given = {field: leaves.pop(f"{argument}.{field}", value) for field, value in fields.items()}
        arguments[argument] = kind(**given)
    if function == "evaluate":
        del arguments["bounds"]
    return getattr(js, function)(**arguments | leaves)


ENTRIES = [
    (function, leaf)
    for function, own in FUNCTIONS.items()
    for leaf in own + [x for x in TREES if not (function == "evaluate" and x.startswith("bounds"))]
]

Pair = collections.namedtuple("Pair", "low high")  # a pytree of JAX's own
NO_NUMBERS = {
    "float16": np.float16(2),
    "float16 array": np.ones(3, np.float16),
    "bfloat16 array": jnp.ones(3, jnp.bfloat16),
    "complex": 2j,
    "complex array": np.ones(3, np.complex64),
    "bool": True,
    "bool array": np.ones(3, bool),
    "longdouble": np.longdouble(2),
    "str": "2.1",
    "str array": np.array(["2.1"]),
    "bytes": b"2",
    "None": None,
    "list": [2.1],
    "empty list": [],
    "tuple": (2.1,),
    "namedtuple": Pair(1.0, 2.0),
    "dict": {"a": 2.1},
    "object": object(),
    "object array": np.array([10**400]),
    "time array": np.array(["2024-01-01"], "datetime64[s]"),
    "key": jax.random.key(0),
    "function": max,
    "status": Status.OK,
}


@pytest.mark.parametrize("given", NO_NUMBERS.values(), ids=NO_NUMBERS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_is_no_real_number_is_refused_by_name(function, given):
    for leaf in (leaf for name, leaf in ENTRIES if name == function):
        with pytest.raises(TypeError, match=rf"^{re.escape(leaf)} must be a real number"):
            call(function, **{leaf: given})


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_demand_where_a_number_should_stand_is_refused_by_name(function):
    for leaf in (leaf for name, leaf in ENTRIES if name == function):
        with pytest.raises(TypeError, match=rf"^{re.escape(leaf)} "):
            call(function, **{leaf: js.Demand(1.0, 1.0)})


@pytest.mark.parametrize("given", [np.ones(3, np.float16), "2.1", None, [2.1], 2j])
def test_law_methods_and_constructors_refuse_by_name_too(given):
    cases = [
        ("params", lambda: LAW.loss(given, 1e12)),
        ("tokens", lambda: LAW.loss(1e9, given)),
        ("law.beta", lambda: js.laws.Chinchilla(1.0, 1.0, 1.0, 1.0, given).loss(1e9, 1e12)),
        ("loss", lambda: LAW.tokens_for(given, 1e9)),
        ("tokens", lambda: LAW.params_for(2.0, given)),
        ("requests", lambda: js.Demand.from_requests(given, input_tokens=1, output_tokens=1)),
        ("output_tokens", lambda: js.Demand.from_requests(1, input_tokens=1, output_tokens=given)),
    ]
    for name, function in cases:
        with pytest.raises(TypeError, match=rf"^{re.escape(name)} must be a real number"):
            function()


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("argument", ["law", "demand", "costs", "bounds"])
def test_the_wrong_kind_of_argument_is_refused_by_name(function, argument):
    if (function, argument) == ("evaluate", "bounds"):
        pytest.skip("evaluate takes no bounds")
    wrong = [kind(**fields) for name, (kind, fields) in FIELDS.items() if name != argument]
    for given in [*wrong, 1.0, "sardana2024", {"alpha": 1.0}, FIELDS[argument][0]]:
        with pytest.raises(TypeError, match=rf"^{argument} must be a jaxscale "):
            call(function, **{argument: given})


def test_a_law_has_no_default():
    with pytest.raises(TypeError, match=r"^law must be a jaxscale law, .*; got None"):
        js.minimize_cost(None, 2.1)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_shapes_that_do_not_broadcast_are_refused_with_all_names(function):
    own = FUNCTIONS[function][0]
    with pytest.raises(ValueError) as error:
        call(function, **{own: np.ones((4, 3)), "law.E": np.ones(5), "demand.input_tokens": 1.0})
    message = str(error.value)
    assert "shapes do not broadcast" in message
    assert f"{own} (4, 3)" in message
    assert "law.E (5,)" in message
    assert "input_tokens" not in message  # a scalar is to blame for nothing


def test_law_methods_name_shapes_that_do_not_broadcast():
    with pytest.raises(ValueError, match=r"params \(2,\), tokens \(3,\)"):
        LAW.loss(np.ones(2), np.ones(3))


# --- enter -------------------------------------------------------------------------------


def entered(*values):
    return arrays.enter(**{f"x{i}": value for i, value in enumerate(values)})


@pytest.mark.parametrize("given", [2, 2.0, np.int32(2), np.uint8(2), np.arange(2), 10**12])
def test_numbers_and_integers_follow_the_floats_given(given):
    assert entered(given)[0].dtype == DTYPE
    assert entered(given, np.float32(1))[0].dtype == np.float32
    assert entered(given, jnp.ones(2, jnp.float32))[0].dtype == np.float32


def test_a_weakly_typed_value_follows_too():
    weak = jnp.asarray(2.0)
    assert weak.weak_type
    alone, beside = entered(weak)[0], entered(weak, np.float32(1))[0]
    assert (alone.dtype, beside.dtype) == (DTYPE, np.float32)
    assert not beside.weak_type


@needs_x64
def test_floats_of_two_widths_widen():
    narrow, wide = entered(np.float32(0.1), jnp.ones(2, jnp.float64))
    assert (narrow.dtype, wide.dtype) == (np.float64, np.float64)
    assert narrow == np.float64(np.float32(0.1))


@pytest.mark.skipif(X64, reason="x64 is on")
def test_without_x64_numpy_float64_becomes_float32():
    assert entered(np.float64(0.1))[0].dtype == np.float32
    assert entered(np.float64(1e300))[0] == np.inf


@pytest.mark.parametrize("sign", [1, -1])
def test_an_integer_beyond_the_floats_is_infinite(sign):
    assert entered(sign * 10**400)[0] == sign * np.inf
    assert entered(sign * 10**39, np.float32(1))[0] == sign * np.inf
    assert entered(sign * 10**30, np.float32(1))[0] == np.float32(sign * 1e30)


def test_integers_beyond_the_floats_get_a_status():
    assert js.minimize_cost(LAW, 10**400).status == Status.INVALID_INPUT
    assert js.minimize_loss(LAW, -(10**400)).status == Status.INVALID_INPUT
    unbounded = js.Bounds(max_params=10**400)
    assert js.minimize_cost(LAW, 2.1, bounds=unbounded).status == Status.OK
    assert np.isnan(LAW.loss(10**400, 1e9))


@pytest.mark.parametrize("function", ["requests", "input_tokens", "output_tokens"])
def test_an_integer_beyond_the_floats_is_no_count(function):
    counts = {"requests": 1, "input_tokens": 1, "output_tokens": 1} | {function: 10**400}
    with pytest.raises(ValueError, match=f"^{function} must be finite"):
        js.Demand.from_requests(**counts)


def test_structure_is_kept_and_numpy_is_copied():
    array = np.ones(3)
    demand, number = arrays.enter(demand=js.Demand(array, 2), number=1)
    assert isinstance(demand, js.Demand)
    assert (demand.output_tokens, number) == (2, 1)
    assert not np.shares_memory(demand.input_tokens, array)


def test_traced_values_enter():
    def function(x):
        return entered(x, 1)[0] * 2

    assert jax.jit(function)(np.float32(3)).dtype == np.float32
    with pytest.raises(TypeError, match=r"^x0 must be a real number.*float16"):
        jax.jit(function)(np.float16(3))


# --- align -------------------------------------------------------------------------------


def test_align_pads_to_one_rank_and_leaves_scalars():
    demand, table, number = arrays.align(js.Demand(np.ones(3), 2.0), np.ones((4, 1)), 1.0)
    assert np.shape(demand.input_tokens) == (1, 3)
    assert (np.shape(demand.output_tokens), np.shape(number)) == ((), ())
    assert np.shape(table) == (4, 1)


@pytest.mark.parametrize("shapes", [[], [()], [(), (2,)], [(3,), (2, 3), (1, 1, 3), ()]])
def test_aligned_shapes_broadcast_to_what_they_did(shapes):
    aligned = arrays.align(*map(np.ones, shapes))
    found = [x.shape for x in aligned]
    assert np.broadcast_shapes(*found) == np.broadcast_shapes(*shapes)
    assert len({len(shape) for shape in found if shape}) <= 1


def test_align_keeps_what_is_no_argument():
    assert arrays.align(None, 1.0) == (None, 1.0)


def test_is_concrete_tells_tracers_from_numbers():
    found = []
    jax.jit(lambda x: found.append(arrays.is_concrete(x)) or x)(1.0)
    assert found == [False]
    assert functools.reduce(lambda a, b: a and arrays.is_concrete(b), [1, np.ones(2)], True)
