"""Large batches in chunks: the numbers and the derivatives of a batch that is solved whole."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from jaxscale.solve import in_chunks
from solve.lanes import DTYPE, EPS

LAW = js.laws.published("sardana2024")
BOUNDS = js.Bounds(max_tokens_per_param=1000.0)


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of 8 scenarios; yields a list that grows by one for each loop that is traced."""
    loops, loop = [], in_chunks._loop

    def counted(*arguments):
        loops.append(1)
        return loop(*arguments)

    monkeypatch.setattr(in_chunks, "_chunk_size", lambda x, arrays: 8)
    monkeypatch.setattr(in_chunks, "_loop", counted)
    jax.clear_caches()
    yield loops
    jax.clear_caches()


def scenarios(*shape):
    """Losses, one of them too low and one not a number, and demands, some of them zero."""
    rng = np.random.default_rng(3)
    loss = rng.uniform(1.7, 2.6, shape).astype(DTYPE)
    demand = np.exp(rng.uniform(0, 30, shape)).astype(DTYPE)
    loss.flat[:2], demand.flat[2] = (1.5, np.nan), 0
    return loss, demand


def cheapest(loss, demand):
    return js.minimize_cost(LAW, loss, js.Demand(demand))


def best(loss, demand):
    return js.minimize_loss(LAW, jnp.exp(20 * loss), js.Demand(demand), bounds=BOUNDS)


LOSS, DEMAND = scenarios(3, 41)
CASES = {
    "a last chunk that overlaps": (cheapest, LOSS[0], DEMAND[0]),
    "an axis each": (cheapest, LOSS[:, :1], DEMAND[:1]),
    "rows longer than a chunk": (cheapest, LOSS[:1, :, None], DEMAND[0, 0]),
    "within bounds": (best, LOSS[0], DEMAND[0]),
}


@pytest.mark.parametrize("case", CASES)
def test_chunks_change_no_plan(case, small_chunks):
    solve, loss, demand = CASES[case]
    plan = solve(loss, demand)
    assert small_chunks
    small_chunks.clear()
    shape = np.broadcast_shapes(np.shape(loss), np.shape(demand))
    pairs = zip(*(np.broadcast_to(x, shape).ravel() for x in (loss, demand)), strict=True)
    alone = jax.tree.map(lambda *x: np.reshape(x, shape), *[solve(*pair) for pair in pairs])
    assert not small_chunks
    jax.tree.map(partial(assert_allclose, rtol=64 * EPS), plan, alone)


def test_derivatives_are_those_of_the_whole(small_chunks):
    def total(loss, demand):
        return jnp.nansum(cheapest(loss, demand).total_cost / 1e20)

    loss, demand = LOSS[0], DEMAND[0]
    slopes = jax.jit(jax.grad(total, (0, 1)))(loss, demand)
    plan, rate = jax.jvp(lambda x: cheapest(x, demand), (loss,), (np.ones_like(loss),))
    assert small_chunks
    alone = jax.vmap(jax.grad(total, (0, 1)))(loss, demand)
    jax.tree.map(partial(assert_allclose, rtol=256 * EPS), slopes, alone)
    assert_allclose(np.where(plan.ok, rate.total_cost, 0) / 1e20, slopes[0], rtol=256 * EPS)


def test_only_a_cpu_of_its_own_and_a_large_batch_are_worth_a_loop(monkeypatch):
    def is_looped(scenarios):
        loss = jax.ShapeDtypeStruct((scenarios,), DTYPE)
        return "dynamic_update_slice" in str(jax.make_jaxpr(lambda x: cheapest(x, 1.0))(loss))

    assert [is_looped(n) for n in (2**12, 2**26)] == [False, jax.local_device_count() == 1]
    jax.clear_caches()
    monkeypatch.setattr(jax, "local_device_count", lambda: 2)
    assert not is_looped(2**26)
    jax.clear_caches()
