"""Memory as a bound: for each number of experts the params that it holds, or a refusal."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale import Status
from jaxscale.plan import in_memory
from solve.lanes import DTYPE, EPS, SOLVERS, X64

LAW = js.laws.published("ludziejewski2025")
DENSE = js.laws.published("sardana2024")
LANES = 200
TYPICAL = {"loss": 2.0, "budget": 1e23, "experts": 8.0, "max_params": np.inf}
TYPICAL |= {"max_memory": 80e9, "weight_bytes": 2.0, "cached_tokens": 16384.0}


def solved(target, **given):
    """Plans of scenarios that differ from the typical one; of one shape, to share a program."""
    given = {**TYPICAL, **given}
    lanes = {name: np.resize(x, LANES).astype(DTYPE) for name, x in given.items()}
    names = ("max_params", "max_memory", "weight_bytes", "cached_tokens")
    bounds = js.Bounds(**{name: lanes[name] for name in names})
    return SOLVERS[target](LAW, lanes[target], bounds=bounds, levers={"experts": lanes["experts"]})


def params_that_fit(memory, experts, weight_bytes, cached_tokens):
    """Active params, by bisection of the width; Ludziejewski et al. 2025, eq. 9, Section 4.3."""
    low, high = np.ones(LANES), np.full(LANES, 1e8)
    for _ in range(200):
        width = np.sqrt(low * high)
        held = weight_bytes * (2 * 50257 * width + (4 + 9 * experts) * width**3 / 64)
        held += cached_tokens * 4 * width * width / 64
        low, high = np.where(held < memory, width, low), np.where(held < memory, high, width)
    return 2 * 50257 * low + 13 * low**3 / 64


@pytest.mark.parametrize("target", [pytest.param("loss", marks=pytest.mark.thorough), "budget"])
def test_it_is_the_bound_on_params_that_just_fit(rng, target):
    given = {
        "max_memory": np.exp(rng.uniform(np.log(1e8), np.log(1e13), LANES)),
        "experts": 2.0 ** rng.integers(0, 6, LANES),
        "weight_bytes": rng.choice([0.5, 1, 2, 4], LANES),
        "cached_tokens": np.exp(rng.uniform(0, np.log(1e8), LANES)),
    }
    value = {"loss": rng.uniform(1.9, 2.6, LANES), "budget": np.geomspace(1e19, 1e26, LANES)}
    value = {target: value[target]}
    found = solved(target, **value, **given)
    most = params_that_fit(*given.values())
    # As the bound on params, where memory is no limit.
    expected = solved(target, **value, experts=given["experts"], max_params=most, max_memory=np.inf)
    assert found.params.dtype == DTYPE
    same = np.asarray(found.status) == np.asarray(expected.status)
    assert same.mean() > 0.98  # but where the free optimum is at the bound to the last digits
    assert {Status.OK, Status.AT_MAX_PARAMS} <= {Status(int(x)) for x in found.status}
    held = same & (np.asarray(found.status) == Status.AT_MAX_PARAMS)
    assert_allclose(found.params[held], most[held], rtol=200 * EPS)
    ok = same & np.asarray(found.ok)
    assert_allclose(found.loss[ok], expected.loss[ok], rtol=1e-9 if X64 else 1e-4)
    assert np.all(found.params[ok] <= most[ok] * (1 + 200 * EPS))


def test_the_narrower_bound_decides_and_bad_memory_is_the_status_of_its_own_scenario():
    held = LAW.params_in_memory(80e9, experts=8)
    log_scale, exponent, _ = LAW.two_powers(experts=8.0).frontier_powers()
    free = np.exp(float(log_scale)) * (1e23 / 6) ** float(exponent)
    cases = [
        (1e9, 80e9, Status.AT_MAX_PARAMS, 1e9),
        (np.inf, 80e9, Status.AT_MAX_PARAMS, held),
        (1e12, 80e9, Status.AT_MAX_PARAMS, held),
        (np.inf, np.inf, Status.OK, free),
        (np.inf, 0.0, Status.INFEASIBLE_BOUNDS, np.nan),
        (np.inf, np.nan, Status.INVALID_INPUT, np.nan),
        (np.inf, -1.0, Status.INVALID_INPUT, np.nan),
    ]
    most, memory, statuses, params = map(np.array, zip(*cases, strict=True))
    plan = solved("budget", max_params=most, max_memory=memory)
    assert_array_equal(plan.status[: len(cases)], statuses)
    assert_allclose(plan.params[: len(cases)], params, rtol=200 * EPS)


@pytest.mark.thorough  # the numbers of experts are held by those of the paper's Table 2
def test_experts_are_chosen_within_memory_each_with_its_own_params():
    """As the best of the plans at each number of experts, and the second best beside it."""
    count = 6
    bounds = js.Bounds(max_memory=np.array([24e9, 80e9, 640e9], DTYPE))
    every = {"experts": 2.0 ** np.arange(count, dtype=DTYPE)[:, None]}
    plans = js.minimize_loss(LAW, 1e23, levers=every, bounds=bounds)
    best = js.minimize_loss(LAW, 1e23, over=("params", "tokens", "experts"), bounds=bounds)
    order = np.argsort(plans.loss, axis=0)
    assert_array_equal(best.levers["experts"], 2.0 ** order[0])
    assert_array_equal(best.runner_up["experts"], 2.0 ** order[1])
    least, second, *_ = np.sort(plans.loss, axis=0)
    assert_allclose(best.loss, least, rtol=10 * EPS)
    assert_allclose(best.runner_up["excess"], second - least, atol=20 * EPS)


def test_the_bound_on_params_has_the_derivatives_of_what_memory_holds():
    def most(memory):
        bounds = js.Bounds(max_params=jnp.asarray(1e11), max_memory=memory)
        return in_memory(LAW, bounds, {"experts": jnp.asarray(8.0)}).max_params

    def held(memory):
        return LAW.params_in_memory(memory, experts=jnp.asarray(8.0))

    assert_allclose(jax.grad(most)(80e9), jax.grad(held)(80e9), rtol=10 * EPS)
    assert jax.grad(most)(1e15) == 0  # where max_params is the narrower


@pytest.mark.thorough
def test_derivatives_by_memory_are_those_of_the_problem_and_of_the_bound():
    """More memory is a larger model, whose loss at this budget follows by its tokens."""

    def loss(memory):
        bounds = js.Bounds(max_memory=memory)
        return js.minimize_loss(LAW, 1e23, levers={"experts": 8.0}, bounds=bounds).loss

    def by_hand(memory):
        params = LAW.params_in_memory(memory, experts=8.0)
        return LAW.loss(params, 1e23 / 6 / params, experts=8.0)

    memory = jnp.array([40e9, 80e9, 1e15])  # the last holds the best model
    found = jax.jit(jax.vmap(jax.grad(loss)))(memory)
    expected = jax.vmap(jax.grad(by_hand))(memory).at[2].set(0)
    assert_allclose(found, expected, rtol=1e-8 if X64 else 1e-3)
    assert np.all(found[:2] < 0)


def test_what_would_not_keep_it_refuses_it():
    bounds, levers = js.Bounds(max_memory=80e9), {"experts": 8}
    draws = dataclasses.replace(LAW, c=np.array([1.3, 1.4]))
    others = [
        lambda: js.maximize_profit(LAW, abs, js.Demand(), js.Costs.flops(), bounds, levers=levers),
        lambda: js.expected_regret(draws, budget=1e22, bounds=bounds, levers=levers),
    ]
    for call in others:
        with pytest.raises(TypeError, match="a max_memory are for minimize_cost and minimize_loss"):
            call()
    with pytest.raises(ValueError, match="Chinchilla does not say what its models take in memory"):
        js.minimize_loss(DENSE, 1e22, bounds=bounds)
    with pytest.raises(ValueError, match="bounds with cached_tokens need a max_memory"):
        js.minimize_loss(LAW, 1e22, bounds=js.Bounds(cached_tokens=1e3), levers=levers)
    h100 = js.accelerator("H100-SXM", price=2.0)
    requests = js.serving.Requests(1000, 200)
    served = js.Costs.served(js.architectures.LLAMA, h100, requests, train=h100)
    with pytest.raises(TypeError, match=r"max_memory are not for costs of Costs\.served"):
        js.minimize_loss(LAW, 1e6, js.Demand(1e11), served, bounds, levers=levers)


def test_a_lever_over_a_whole_range_is_refused():
    """Each of its values would need another bound."""

    @jax.tree_util.register_dataclass
    @dataclasses.dataclass(frozen=True)
    class Continuous:
        law: js.laws.Ludziejewski
        levers = js.laws.Ludziejewski.levers

        def loss(self, params, tokens, *, experts):
            return self.law.loss(params, tokens, experts=experts)

        def params_in_memory(self, memory, *, experts):
            return self.law.params_in_memory(memory, experts=experts)

    over = ("params", "tokens", "experts")
    with pytest.raises(ValueError, match="max_memory: give experts a value, or a list of values"):
        js.minimize_loss(Continuous(LAW), 1e22, over=over, bounds=js.Bounds(max_memory=80e9))


def test_the_repr_tells_what_was_given():
    assert "memory" not in repr(js.Bounds(max_params=1e9))
    assert repr(js.Bounds(max_memory=80e9)).endswith("max_memory=80000000000.0)")
