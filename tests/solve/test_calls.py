"""How the solvers may be called: shapes, transformations, dtypes, and what they leave alone."""

import itertools
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

import jaxscale as js
from processes import HUNG
from solve.lanes import (
    BOUNDS,
    DTYPE,
    EPS,
    LOSS_FIRST,
    NUMBERS,
    TARGETS,
    TYPICAL,
    X64,
    inputs,
    needs_x64,
    numbers,
    solve,
    solve_on_host,
)

LAW = js.laws.Chinchilla(1.69, 406.4, 410.7, 0.336, 0.283)
LIMITS = {
    "min_params": 1e8,
    "max_params": 1e12,
    "min_tokens": 1e9,
    "max_tokens": 1e15,
    "max_tokens_per_param": 100.0,
}
FIELDS = (*NUMBERS, "status")
RTOL = 64 * EPS  # what another order of the same operations may change


def typical(target, *, bounded=False):
    every = TYPICAL | LIMITS
    return {name: every[name] for name in inputs(target, bounded=bounded)}


def assert_same(plan, other, rtol=RTOL):
    for name in FIELDS:
        np.testing.assert_allclose(
            getattr(plan, name), getattr(other, name), rtol=rtol, err_msg=name
        )


def lane(plan, index):
    return jax.tree.map(lambda x: x[index], plan)


# --- Broadcasting ------------------------------------------------------------------------

LEAVES = [
    pytest.param(target, name, marks=() if target == "loss" else pytest.mark.thorough)
    for target in TARGETS
    for name in inputs(target, bounded=True)
]


@pytest.mark.parametrize(("target", "name"), LEAVES)
def test_every_leaf_broadcasts(target, name):
    draws = typical(target, bounded=name in BOUNDS)
    values = (np.array([0.99, 1.0, 1.01]) * draws[name]).astype(DTYPE)
    # Operation by operation: each of these shapes would have to be compiled.
    with jax.disable_jit():
        plan = solve(draws | {name: values}, target)
    for field in FIELDS:
        assert getattr(plan, field).shape == (3,)
    assert plan.ok.all()
    for i, value in enumerate(values):
        assert_same(lane(plan, i), solve(draws | {name: value}, target))


def of_all_ranks(target):
    shapes = [(), (3,), (2, 1), (2, 3), (4, 1, 1), (1,), (4, 2, 3), (1, 3)]
    rng = np.random.default_rng(1)
    return {
        name: np.asarray(rng.uniform(0.99, 1.01, shapes[i % len(shapes)]) * value, DTYPE)
        for i, (name, value) in enumerate(typical(target, bounded=True).items())
    }


@pytest.mark.parametrize("target", LOSS_FIRST)
def test_leaves_of_all_ranks_broadcast_together(target):
    mixed = of_all_ranks(target)
    plan = solve(mixed, target)
    full = {name: np.broadcast_to(value, (4, 2, 3)) for name, value in mixed.items()}
    for field in FIELDS:
        assert getattr(plan, field).shape == (4, 2, 3)
    for index in [(0, 0, 0), (3, 1, 2), (2, 0, 1)]:
        alone = solve({name: value[index] for name, value in full.items()}, target)
        assert_same(lane(plan, index), alone)


@pytest.mark.parametrize("target", LOSS_FIRST)
def test_a_bootstrapped_law_against_a_row_of_targets_is_every_pair(target):
    rng = np.random.default_rng(2)
    draws = typical(target)
    for name in ("E", "A", "B", "alpha", "beta"):
        draws[name] = (draws[name] * rng.uniform(0.98, 1.02, (4000, 1))).astype(DTYPE)
    draws[target] = (draws[target] * np.linspace(1, 1.3, 10)).astype(DTYPE)
    plan = solve(draws, target)
    for field in FIELDS:
        assert getattr(plan, field).shape == (4000, 10)
    assert plan.total_cost.shape == plan.ok.shape == plan.tokens_per_param.shape == (4000, 10)
    assert plan.ok.all()
    for i, j in [(0, 0), (3999, 9), (1234, 5)]:
        row = {name: np.ravel(x)[i] if np.ndim(x) == 2 else x for name, x in draws.items()}
        assert_same(lane(plan, (i, j)), solve(row | {target: draws[target][j]}, target))


def test_an_empty_batch_has_an_empty_plan():
    assert js.minimize_cost(LAW, np.ones((0, 3))).params.shape == (0, 3)


def test_evaluate_gives_every_field_the_full_shape():
    plan = js.evaluate(LAW, np.full((4, 1), 1e9), np.full(3, 1e12), js.Demand(1e9, 1e9))
    assert {getattr(plan, field).shape for field in FIELDS} == {(4, 3)}


# --- Transformations -----------------------------------------------------------------------


def small_batch(target):
    draws = typical(target)
    return draws | {
        "A": (np.linspace(390, 420, 4)[:, None] * np.ones(6)).astype(DTYPE),
        "output_tokens": (np.geomspace(1e9, 1e12, 6) * np.ones((4, 1))).astype(DTYPE),
    }


def direct_plan(draws, target):
    """The plan from one call, with every leaf of full shape."""
    shape = np.broadcast_shapes(*(np.shape(value) for value in draws.values()))
    full = {name: np.broadcast_to(np.asarray(value, DTYPE), shape) for name, value in draws.items()}
    plan = solve_on_host({name: np.ravel(values) for name, values in full.items()}, target)
    return jax.tree.map(lambda x: x.reshape(shape), plan)


@pytest.mark.parametrize("target", LOSS_FIRST)
def test_jit_and_nested_vmap_change_nothing(target):
    draws = small_batch(target)
    direct = direct_plan(draws, target)
    rest = {name: value for name, value in draws.items() if np.ndim(value) == 0}

    def one(A, output_tokens):
        return solve(rest | {"A": A, "output_tokens": output_tokens}, target)

    assert_same(jax.jit(lambda draws: solve(draws, target))(draws), direct)
    both = jax.vmap(jax.vmap(one))(draws["A"], draws["output_tokens"])
    assert_same(both, direct)
    crossed = jax.vmap(jax.vmap(one, in_axes=(None, 0)), in_axes=(0, None))
    assert_same(crossed(draws["A"][:, 0], draws["output_tokens"][0]), direct)


# Each constant in one of the problems, since a program is compiled for each.
CONSTANTS = [("loss", "A"), ("budget", "alpha"), ("loss", "output_tokens"), ("budget", "train")]


@pytest.mark.parametrize(
    ("target", "name"),
    [
        pytest.param(*pair, marks=() if pair in CONSTANTS else pytest.mark.thorough)
        for pair in itertools.product(TARGETS, ["A", "alpha", "output_tokens", "train"])
    ],
)
def test_constants_under_jit_change_nothing(target, name):
    # What a jitted function closes over is a constant to the compiler, and may be folded.
    draws = typical(target)
    values = (draws[name] * np.linspace(0.9, 1.1, 5)).astype(DTYPE)
    direct = direct_plan(draws | {name: values}, target)
    assert_same(jax.jit(lambda x: solve(draws | {name: x}, target))(values), direct)


@pytest.mark.parametrize("target", LOSS_FIRST)
def test_gradient_of_a_vmap_is_the_vmap_of_gradients(target):
    rest = typical(target)
    demand = np.geomspace(1e9, 1e12, 5).astype(DTYPE)

    def one(output_tokens):
        return jnp.log(solve(rest | {"output_tokens": output_tokens}, target).tokens)

    of_sum = jax.jit(jax.grad(lambda x: jax.vmap(one)(x).sum()))(demand)
    each = jax.jit(jax.vmap(jax.grad(one)))(demand)
    assert (each > 0).all()
    np.testing.assert_allclose(of_sum, each, rtol=RTOL)


def tokens_of_plan(rest, target, scale, A, output_tokens):
    draws = {"A": A, "output_tokens": output_tokens * scale}
    return jnp.log(solve(rest | draws, target).tokens)


def tokens_of_law(rest, target, scale, A, output_tokens):
    del rest, target
    return jnp.log(LAW.tokens_for(A / 130 * scale, output_tokens / 100))


@pytest.mark.parametrize(
    ("target", "function"),
    [("loss", tokens_of_plan), ("budget", tokens_of_plan), ("loss", tokens_of_law)],
)
def test_derivatives_by_a_number_that_nested_lanes_share(target, function):
    rest = typical(target)
    A = np.linspace(300.0, 400.0, 3).astype(DTYPE)
    demand = np.geomspace(1e11, 1e12, 2).astype(DTYPE)

    def by_lanes(scale):
        one = partial(function, rest, target, scale)
        return jax.vmap(lambda A: jax.vmap(lambda demand: one(A, demand))(demand))(A)

    def at_once(scale):
        return function(rest, target, scale, A[:, None], demand[None])

    # Of a program: eagerly JAX differentiates before it maps, and nothing is shared.
    one = jnp.ones((), DTYPE)
    for slope in (jax.jacfwd, jax.jacrev):
        value = slope(jax.jit(by_lanes))(one)
        assert (value != 0).all()
        np.testing.assert_allclose(value, slope(at_once)(one), rtol=RTOL)


@pytest.mark.parametrize("target", LOSS_FIRST)
def test_shard_map_changes_nothing(target):
    mesh = jax.make_mesh((1,), ("lanes",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1])
    draws = small_batch(target)
    batched = {name: jnp.ravel(value) for name, value in draws.items() if np.ndim(value)}
    rest = {name: value for name, value in draws.items() if not np.ndim(value)}
    lanes = PartitionSpec("lanes")
    shard = jax.shard_map(
        lambda batched: solve(rest | batched, target), mesh=mesh, in_specs=lanes, out_specs=lanes
    )
    direct = direct_plan(rest | batched, target)
    assert_same(shard(batched), direct)
    assert_same(jax.jit(shard)(batched), direct)


def test_shard_map_takes_general_laws():
    law = js.laws.published("kaplan2020")
    bounds = js.Bounds(max_tokens_per_param=30.0)
    losses = np.linspace(2.4, 2.8, 4).astype(DTYPE)

    def plans(losses):
        return js.minimize_cost(law, losses, js.Demand(1e11), bounds=bounds)

    mesh = jax.make_mesh((1,), ("lanes",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1])
    lanes = PartitionSpec("lanes")
    assert_same(
        jax.shard_map(plans, mesh=mesh, in_specs=lanes, out_specs=lanes)(losses), plans(losses)
    )


# --- Fresh processes -----------------------------------------------------------------------

ROOT = Path(__file__).parents[2]
TWO_DEVICES = """
import jax, jax.numpy as jnp, numpy as np, jaxscale as js
from jax.sharding import AxisType, NamedSharding, PartitionSpec
assert len(jax.devices()) == 2
mesh = jax.make_mesh((2,), ("lanes",), axis_types=(AxisType.Auto,))
lanes = PartitionSpec("lanes")
law = js.laws.Chinchilla(1.69, 406.4, 410.7, 0.336, 0.283)
losses = jnp.linspace(2.0, 2.4, 8)
shard = jax.shard_map(
    lambda loss: js.minimize_cost(law, loss, js.Demand(1e11, 1e11)),
    mesh=mesh, in_specs=lanes, out_specs=lanes,
)
plan, direct = shard(losses), js.minimize_cost(law, losses, js.Demand(1e11, 1e11))
assert len(plan.params.sharding.device_set) == 2
np.testing.assert_allclose(plan.params, direct.params, rtol=1e-5)
np.testing.assert_allclose(plan.tokens, direct.tokens, rtol=1e-5)
spread = js.minimize_cost(law, jax.device_put(losses, NamedSharding(mesh, lanes)))
assert len(spread.params.sharding.device_set) == 2
np.testing.assert_allclose(spread.params, js.minimize_cost(law, losses).params, rtol=1e-5)
"""
DEFAULTS = """
import jax, numpy as np
before = dict(jax.config.values)
import jaxscale as js
law = js.laws.Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)
plan = js.evaluate(law, 7_000_000_000, 10**12, js.Demand(10**12, 10**12))
np.testing.assert_allclose(plan.train_cost, 6 * 7e21, rtol=1e-6)
np.testing.assert_allclose(plan.decode_cost, 2 * 7e21, rtol=1e-6)
for plan in (
    plan,
    js.minimize_cost(law, 2, js.Demand(10**12, 10**12)),
    js.minimize_loss(law, 10**22, bounds=js.Bounds(max_params=7_000_000_000)),
):
    assert plan.ok and plan.params.dtype == np.dtype("DTYPE"), plan
assert jax.config.values == before, "the library changed the configuration"
"""


def run(program, **environment):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=HUNG,
    )
    assert done.returncode == 0, done.stderr


def test_two_devices_share_the_lanes():
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    run(TWO_DEVICES, XLA_FLAGS=flags, JAX_PLATFORMS="cpu")


@pytest.mark.parametrize(("switch", "dtype"), [("0", "float32"), ("1", "float64")])
def test_python_integers_work_in_a_fresh_process_and_its_configuration_is_kept(switch, dtype):
    run(DEFAULTS.replace("DTYPE", dtype), JAX_ENABLE_X64=switch)


# --- Numbers of all kinds --------------------------------------------------------------------


def test_large_python_integers_are_exact_to_rounding():
    demand, same = js.Demand(10**12, 3 * 10**12), js.Demand(1e12, 3e12)
    assert_same(js.minimize_cost(LAW, 2, demand), js.minimize_cost(LAW, 2.0, same), rtol=0)
    budget = 10**25
    assert_same(js.minimize_loss(LAW, budget), js.minimize_loss(LAW, float(budget)), rtol=0)
    plan = js.evaluate(LAW, 7_000_000_000, 2 * 10**12)
    assert plan.params == DTYPE.type(7e9)
    np.testing.assert_allclose(plan.train_cost, 84e21, rtol=4 * EPS)


@pytest.mark.parametrize(
    ("target", "compiled"),
    [("loss", js.solve.closed.cheapest), ("budget", js.solve.closed.best)],
)
def test_numbers_of_any_kind_share_one_compilation(target, compiled):
    def solve_at(value):
        plan = solve(typical(target) | {target: value, "E": 1, "input_tokens": 10**9}, target)
        return np.asarray(plan.params)

    first = solve_at(3)
    size = compiled._cache_size()
    for value in (3.0, np.int32(3), np.uint8(3), DTYPE.type(3), np.array(3), np.array(3, DTYPE)):
        np.testing.assert_array_equal(solve_at(value), first)
    for value in (4, 4.5, 10**15):
        solve_at(value)
    assert compiled._cache_size() == size


@pytest.mark.parametrize(
    ("target", "dtype"),
    [
        ("loss", np.float32),
        ("budget", np.float32),
        pytest.param("loss", np.float64, marks=needs_x64),
        # Of this pair `test_mixed_widths_widen` asks the like.
        pytest.param("budget", np.float64, marks=[needs_x64, pytest.mark.thorough]),
    ],
)
def test_results_have_the_dtype_of_the_inputs(target, dtype):
    draws = typical(target, bounded=True)
    for given in ({name: dtype(x) for name, x in draws.items()}, draws | {"A": dtype(406.4)}):
        plan = solve(given, target)
        assert {getattr(plan, name).dtype for name in NUMBERS} == {np.dtype(dtype)}
        assert plan.status.dtype == np.int8
        assert plan.total_cost.dtype == plan.tokens_per_param.dtype == dtype
        assert plan.ok.dtype == bool


@needs_x64
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["A", "output_tokens", "decode"])
def test_mixed_widths_widen(target, name):
    narrow = {key: np.float32(value) for key, value in typical(target).items()}
    mixed = narrow | {name: np.float64(narrow[name]) * (1 + 1e-12)}
    wide = {key: np.float64(value) for key, value in mixed.items()}
    plan = solve(mixed, target)
    assert plan.params.dtype == np.float64
    assert_same(plan, solve(wide, target), rtol=0)


# --- No demand -------------------------------------------------------------------------------

NOTHING = [
    {"input_tokens": 0.0, "output_tokens": 0.0},
    {"prefill": 0.0, "decode": 0.0},
    {"input_tokens": 0.0, "decode": 0},
]


@pytest.mark.parametrize("nothing", NOTHING)
def test_no_demand_is_the_closed_form_for_a_loss(nothing):
    losses = np.array([1.8, 2.0, 2.3, 3.0], DTYPE)
    plan = solve(typical("loss") | nothing | {"loss": losses}, "loss")
    E, A, B, alpha, beta = (float(DTYPE.type(TYPICAL[x])) for x in ("E", "A", "B", "alpha", "beta"))
    reducible = (losses - DTYPE.type(E)).astype(float)  # rounded as the library rounds it
    tokens = ((1 + beta / alpha) * B / reducible) ** (1 / beta)
    params = ((1 + alpha / beta) * A / reducible) ** (1 / alpha)
    np.testing.assert_allclose(plan.tokens, tokens, rtol=128 * EPS)
    np.testing.assert_allclose(plan.params, params, rtol=128 * EPS)
    assert (plan.inference_cost == 0).all()


@pytest.mark.parametrize("nothing", NOTHING)
def test_no_demand_is_the_closed_form_for_a_budget(nothing):
    budgets = np.array([1e18, 1e22, 1e26], DTYPE)
    price = 0.25
    plan = solve(typical("budget") | nothing | {"budget": budgets, "train": price}, "budget")
    A, B, alpha, beta = (float(DTYPE.type(TYPICAL[x])) for x in ("A", "B", "alpha", "beta"))
    flops = budgets.astype(float) / price
    tokens = (beta * B / (alpha * A) * (flops / 6) ** alpha) ** (1 / (alpha + beta))
    np.testing.assert_allclose(plan.tokens, tokens, rtol=128 * EPS)
    np.testing.assert_allclose(plan.params, flops / (6 * tokens), rtol=128 * EPS)
    np.testing.assert_allclose(plan.total_cost, budgets, rtol=128 * EPS)


def test_defaults_are_no_demand_and_flops():
    spelled = js.minimize_cost(LAW, 2.1, js.Demand(0, 0), js.Costs(1, 1, 1))
    assert_same(js.minimize_cost(LAW, 2.1), spelled, rtol=0)
    assert_same(js.minimize_cost(LAW, 2.1, bounds=js.Bounds()), spelled)


# --- Side effects ----------------------------------------------------------------------------


@pytest.mark.parametrize("target", LOSS_FIRST)
def test_inputs_may_be_overwritten_right_after_the_call(target):
    lanes = 200_000
    given = {
        "E": np.full(lanes, TYPICAL["E"], DTYPE),
        target: np.full(lanes, TYPICAL[target], DTYPE),
        "output_tokens": np.full(lanes, TYPICAL["output_tokens"], DTYPE),
    }
    expected = np.asarray(solve(typical(target) | given, target).tokens)
    for _ in range(5):
        arrays = {name: value.copy() for name, value in given.items()}
        plan = solve(typical(target) | arrays, target)
        for array in arrays.values():
            array[:] = np.nan
        np.testing.assert_array_equal(plan.tokens, expected)


@pytest.mark.parametrize("target", LOSS_FIRST)
def test_inputs_are_not_changed(target):
    given = of_all_ranks(target)
    before = {name: value.copy() for name, value in given.items()}
    numbers(solve(given, target)).block_until_ready()
    for name, value in given.items():
        np.testing.assert_array_equal(value, before[name])


def test_the_configuration_stays_as_the_tests_set_it():
    before = dict(jax.config.values)
    solve(typical("loss", bounded=True), "loss")
    js.evaluate(LAW, 1e9, 1e12)
    assert jax.config.values == before
    assert jax.config.jax_enable_x64 == X64
