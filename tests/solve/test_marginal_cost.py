"""What a nat costs is the slope of the cost along best plans, whatever decides them.

References are derivatives of the mpmath solution, and differences of plans themselves: their sizes
are tested elsewhere.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale import Status
from jaxscale._numerics.interpreted import interpreted
from reference import cheapest, gradient_by_name, random_scenarios, rows
from solve import served_lanes
from solve.lanes import DTYPE, LAW, LOSS_FIRST, SOLVERS, TARGETS, TYPICAL, X64, needs_x64, scenario

CHINCHILLA = js.laws.Chinchilla(**{name: TYPICAL[name] for name in LAW})
DEMAND = js.Demand(1e12, 1e11)
INF = np.inf
# A bound in force in each lane: min and max of params, min and max of tokens, and their ratio.
NOTHING = (0.0, INF, 0.0, INF, INF)
CASES = {
    Status.OK: NOTHING,
    Status.AT_MIN_PARAMS: (5e10, INF, 0.0, INF, INF),
    Status.AT_MAX_PARAMS: (0.0, 3e9, 0.0, INF, INF),
    Status.AT_MIN_TOKENS: (0.0, INF, 2e12, INF, INF),
    Status.AT_MAX_TOKENS: (0.0, INF, 0.0, 3e11, INF),
    Status.AT_MAX_RATIO: (0.0, INF, 0.0, INF, 10.0),
}
STATUSES = np.array(list(CASES), np.int8)
BOUNDS = js.Bounds(*(np.array(x, DTYPE) for x in zip(*CASES.values(), strict=True)))


@pytest.mark.parametrize("exponents", [(0.2, 1.0), (0.02, 2.0)])
def test_it_is_the_slope_of_the_exact_optimum(rng, exponents):
    draws = random_scenarios(rng, 100, DTYPE, exponents=exponents)
    scenarios, plan = list(rows(draws)), SOLVERS["loss"](*scenario(draws, "loss"))
    lanes = np.flatnonzero(plan.ok)[:8]
    assert len(lanes) >= 4
    for lane in lanes:
        slope = -gradient_by_name(cheapest, scenarios[lane], "loss").total_cost
        if slope > np.finfo(DTYPE).max:
            assert np.isnan(plan.marginal_cost[lane])
        else:  # the error of both sizes, as promised, and of a power of tokens
            assert_allclose(plan.marginal_cost[lane], float(slope), rtol=3e-12 if X64 else 1e-3)


def differences(solve, target, step):
    """The plans, and the slope of the cost by loss from targets on both sides of each."""
    sides = np.array([-1, 0, 1])[:, None]
    plans = jax.tree.map(np.asarray, solve(target * (1 + sides * step)))
    below, plan, above = (jax.tree.map(lambda x, i=i: x[i], plans) for i in range(3))
    return plan, -(above.total_cost - below.total_cost) / (above.loss - below.loss)


@needs_x64
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("law", ["Chinchilla", "kumar2024"])  # whose FLOPs depend on a lever
def test_a_bound_leaves_one_direction_open(law, target):
    law = CHINCHILLA if law == "Chinchilla" else js.laws.published(law)
    levers = None if law is CHINCHILLA else {"bits": 8.0}

    def solve(value, target=target):
        return interpreted(SOLVERS[target], law, value, DEMAND, None, BOUNDS, levers=levers)

    budget = np.full(len(CASES), 3e23 if law is CHINCHILLA else 1e23)
    value = budget if target == "budget" else solve(budget, "budget").loss
    plan, slope = differences(solve, value, 1e-6)
    assert_array_equal(plan.status, STATUSES)
    assert_allclose(plan.marginal_cost, slope, rtol=1e-6)


def test_a_corner_costs_nothing_or_buys_nothing():
    high, low = js.Bounds(max_params=1e9, max_tokens=1e10), js.Bounds(1e10, min_tokens=1e12)
    beaten = interpreted(js.minimize_cost, CHINCHILLA, 3.0, DEMAND, None, low)
    left_over = interpreted(js.minimize_loss, CHINCHILLA, 1e25, DEMAND, None, high)
    assert int(beaten.status) == int(left_over.status) == Status.AT_CORNER
    assert beaten.marginal_cost == 0
    assert np.isnan(left_over.marginal_cost)


@needs_x64
@pytest.mark.parametrize("target", LOSS_FIRST)
def test_levers_that_are_chosen_change_nothing_or_decide(target):
    law, over = js.laws.published("kumar2024"), ("params", "tokens", "bits")
    # Free; at a bound; and with both sizes fixed, so that bits alone meet the target.
    low = {"loss": (0.0, 0.0, 3e9), "budget": (0.0, 0.0, 0.0)}[target]
    least = {"loss": (0.0, 2e12, 3e11), "budget": (0.0, 2e12, 0.0)}[target]
    high = {"loss": (INF, INF, INF), "budget": (INF, INF, 3e9)}[target]
    most = {"loss": (INF, INF, INF), "budget": (INF, INF, 3e11)}[target]
    bounds = js.Bounds(*map(np.array, (low, high, least, most)))
    target_value = np.array({"loss": (3.0, 3.0, 3.3), "budget": (1e23, 1e23, 9.5e21)}[target])

    def solve(value):
        return SOLVERS[target](law, value, DEMAND, None, bounds, over=over)

    plan, slope = differences(solve, target_value, 1e-5)
    assert np.all(plan.ok)
    assert int(plan.status[2]) == Status.AT_CORNER
    assert_allclose(plan.marginal_cost[:2], slope[:2], rtol=1e-5)
    # By hand: the cost is in proportion to the bits, whose effect on the loss is known.
    bits, step = float(plan.levers["bits"][2]), 1e-5
    sizes = float(plan.params[2]), float(plan.tokens[2])
    by_bits = (law.loss(*sizes, bits=bits + step) - law.loss(*sizes, bits=bits - step)) / (2 * step)
    expected = -float(plan.total_cost[2]) / bits / float(by_bits)
    assert_allclose(plan.marginal_cost[2], expected, rtol=1e-6)


@needs_x64
@pytest.mark.parametrize("target", LOSS_FIRST)
def test_it_holds_where_serving_is_priced_by_size(rng, target):
    third = served_lanes.LANES // 3
    few = served_lanes.drawn(rng, third)
    kinds = ({}, {"min_tokens": 3e12}, {"max_tokens_per_param": 40.0}, {"max_params": 1e10})
    for number, kind in enumerate(kinds):
        for name, value in kind.items():
            few[name][number :: len(kinds)] = value
    step = 1e-5
    by = np.repeat([1, 1 - step, 1 + step], third)
    draws = {name: np.resize(np.tile(x, 3), served_lanes.LANES) for name, x in few.items()}
    draws[target] = draws[target] * np.resize(by, served_lanes.LANES)
    plan = served_lanes.solve(draws, target)
    here, below, above = (
        jax.tree.map(lambda x, i=i: np.asarray(x)[i * third : (i + 1) * third], plan)
        for i in range(3)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = -(above.total_cost - below.total_cost) / (above.loss - below.loss)
    # Not across a kink, where the slope jumps.
    alike = (above.status == below.status) & (above.status == here.status) & here.ok
    alike &= (above.serving["choice"] == below.serving["choice"]) & np.isfinite(slope)
    alike &= here.status != int(Status.AT_CORNER)
    off = np.abs(here.marginal_cost / slope - 1)[alike]
    assert len(off) > third / 2
    # The search itself leaves a plan 1e-9 off its target, and some far more where serving costs
    # nearly all: the difference of two such plans says little.
    assert np.median(off) < 1e-6
    assert np.quantile(off, 0.9) < 1e-3
    assert_array_equal(np.isfinite(here.marginal_cost) | (here.status == 6), here.ok)


@needs_x64
def test_it_can_be_differentiated_where_the_plan_can():
    def cost(loss):
        return js.minimize_cost(CHINCHILLA, loss, DEMAND).marginal_cost

    def total(loss):
        return js.minimize_cost(CHINCHILLA, loss, DEMAND).total_cost

    bend = (cost(2.1 + 1e-5) - cost(2.1 - 1e-5)) / 2e-5
    slope = interpreted(jax.grad(cost), 2.1)
    assert_allclose(slope, bend, rtol=1e-7)
    # And as the second derivative of the cost that it is.
    assert_allclose(-slope, interpreted(jax.grad(jax.grad(total)), 2.1), rtol=1e-10)


def test_where_there_is_no_plan_it_is_nan_with_zero_derivatives():
    losses = np.array([1.0, 2.1, np.nan], DTYPE)

    def costs(losses):
        return js.minimize_cost(CHINCHILLA, losses, DEMAND, None, js.Bounds()).marginal_cost

    assert_array_equal(np.isfinite(interpreted(costs, losses)), [False, True, False])
    slopes = interpreted(jax.grad(lambda x: jnp.nansum(costs(x))), losses)
    assert_array_equal(slopes != 0, [False, True, False])
    assert np.all(np.isfinite(slopes))


def test_beyond_the_range_of_float32_it_is_nan_and_leaves_neighbours_alone():
    losses = np.array([1.69 + 1e-5, 2.1], np.float32)
    price = js.Costs(np.float32(1e6), np.float32(1e6), np.float32(1e6))

    def costs(losses):
        return js.minimize_cost(CHINCHILLA, losses, None, price).marginal_cost

    found = interpreted(costs, losses)
    assert found.dtype == np.float32
    assert np.isfinite(found[1])
    assert not np.any(np.isinf(found))
    slopes = interpreted(jax.grad(lambda x: jnp.nansum(costs(x))), losses)
    assert np.all(np.isfinite(slopes))


def test_sizes_that_need_not_be_optimal_have_none_and_do_not_show_it():
    plan = js.evaluate(CHINCHILLA, 1e9, 1e10)
    assert np.isnan(plan.marginal_cost)
    assert "marginal_cost" not in repr(plan)
    assert "marginal_cost" in repr(js.minimize_loss(CHINCHILLA, 1e21))


@pytest.mark.parametrize("given", [{"flops": 1e23}, {"params": 1e10}])
def test_a_compute_optimal_plan_has_that_of_its_flops(given):
    plan = js.compute_optimal(CHINCHILLA, **given)
    same = js.minimize_loss(CHINCHILLA, plan.total_cost)
    assert_allclose(plan.marginal_cost, same.marginal_cost, rtol=1e-12 if X64 else 1e-5)


def test_a_sweep_gathers_it():
    def price(loss):
        plan = js.minimize_cost(CHINCHILLA, loss, DEMAND)
        return {"marginal_cost": plan.marginal_cost, "status": plan.status}

    space = js.Grid(loss=js.linspace(1.9, 2.3, 9))
    moments = js.Moments("marginal_cost")
    found = js.sweep(price, space, reduce=[moments])
    each = js.minimize_cost(CHINCHILLA, np.linspace(1.9, 2.3, 9), DEMAND).marginal_cost
    assert_allclose(found[moments].mean, np.mean(each), rtol=1e-5)
