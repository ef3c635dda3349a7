"""Laws whose loss rises again past some number of tokens: their plans, beside a dense search."""

import dataclasses

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from jaxscale import Status
from jaxscale._numerics.interpreted import interpreted
from solve.lanes import X64

SUN = js.laws.published("sun2025")
FP4 = {"exponent_bits": 2.0, "mantissa_bits": 1.0, "scaling_block": 128.0}
LANES = 200
KEPT = 1e-9  # of a bound or a target, by rounding

needs_x64 = pytest.mark.skipif(not X64, reason="compares with a search in float64")


def status_of(plan):
    return Status(int(plan.status))


def ceiling(params, **levers):
    return float(SUN.critical_tokens(params, **{**FP4, **levers}))


# --- A dense search --------------------------------------------------------------------------


class Scenarios:
    """Random coefficients, formats, demands and bounds, with the law in plain NumPy."""

    def __init__(self, rng):
        def drawn(low, high):
            return np.exp(rng.uniform(np.log(low), np.log(high), LANES))

        def some(share, values, otherwise):
            return np.where(rng.random(LANES) < share, values, otherwise)

        def near(value, factor):
            return value * drawn(1 / factor, factor)

        self.law = js.laws.Sun(
            n=near(SUN.n, 3),
            alpha=near(SUN.alpha, 1.6),
            d=near(SUN.d, 10),
            beta=near(SUN.beta, 1.5),
            e=rng.uniform(0, 2.5, LANES),
            gamma=near(SUN.gamma, 30),
            delta=near(SUN.delta, 1.5),
            nu=near(SUN.nu, 1.5),
        )
        self.levers = {
            "exponent_bits": rng.integers(0, 9, LANES) * 1.0,
            "mantissa_bits": rng.integers(0, 8, LANES) * 1.0,
            "scaling_block": some(0.1, 1.0, drawn(2, 1e4)),
        }
        self.demand = js.Demand(some(0.7, drawn(1e8, 1e14), 0.0), some(0.7, drawn(1e8, 1e14), 0.0))
        self.bounds = js.Bounds(
            min_params=some(0.25, drawn(1e7, 1e11), 0.0),
            max_params=some(0.35, drawn(1e8, 1e12), np.inf),
            min_tokens=some(0.5, drawn(1e9, 1e14), 0.0),
            max_tokens=some(0.25, drawn(1e10, 1e14), np.inf),
            max_tokens_per_param=some(0.25, drawn(1, 1e4), np.inf),
        )
        self.target = self.law.e + drawn(0.05, 2.0)
        self.budget = drawn(1e18, 1e26)
        bits = [self.levers[f"{name}_bits"] for name in ("exponent", "mantissa")]
        fine = self.law.gamma * (bits[0] + 0.5) ** self.law.delta * (bits[1] + 0.5) ** self.law.nu
        self.rounding = np.log2(self.levers["scaling_block"]) / fine
        self.share = (1 + bits[0] + bits[1]) / 16
        self.served = self.demand.input_tokens + self.demand.output_tokens

    def loss(self, params, tokens):
        law = self.law
        both = (law.n + self.rounding * tokens**law.beta) * params**-law.alpha
        return law.e + both + law.d * tokens**-law.beta

    def cost(self, params, tokens):
        return self.share * params * (6 * tokens + 2 * self.served)

    def cheapest(self, log_tokens):
        """Log cost of the smallest model that reaches the loss on so many tokens."""
        law, bounds, tokens = self.law, self.bounds, np.exp(log_tokens)
        left = self.target - law.e - law.d * tokens**-law.beta
        size = law.n + self.rounding * tokens**law.beta
        params = np.where(left > 0, (size / np.abs(left)) ** (1 / law.alpha), np.inf)
        params = np.maximum(params, bounds.min_params)
        params = np.maximum(params, tokens / bounds.max_tokens_per_param)
        return np.where(params <= bounds.max_params, np.log(self.cost(params, tokens)), np.inf)

    def best(self, log_tokens):
        """Loss of the largest model that the budget pays for with so many tokens."""
        tokens, bounds = np.exp(log_tokens), self.bounds
        params = self.budget / (self.share * (6 * tokens + 2 * self.served))
        params = np.minimum(params, bounds.max_params)
        kept = (params >= bounds.min_params) & (tokens <= bounds.max_tokens_per_param * params)
        return np.where(kept, self.loss(params, tokens), np.inf)

    def least(self, objective):
        """The least value of an objective, by ever finer grids of tokens."""
        low = np.log(np.maximum(self.bounds.min_tokens, 1e2))
        high = np.log(np.minimum(self.bounds.max_tokens, 1e30))
        empty = low > high
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            for count in (2001, *(41,) * 8):
                grid = low + (high - low) * np.linspace(0, 1, count)[:, None]
                values = np.array([objective(row) for row in grid])
                values[np.isnan(values)] = np.inf
                at = values.argmin(axis=0)
                lane = np.arange(LANES)
                least = values[at, lane]
                low, high = (
                    grid[np.maximum(at - 1, 0), lane],
                    grid[np.minimum(at + 1, count - 1), lane],
                )
        return np.where(empty, np.inf, least)


def check_bounds(bounds, params, tokens):
    assert np.all(params >= bounds.min_params * (1 - KEPT))
    assert np.all(params <= bounds.max_params * (1 + KEPT))
    assert np.all(tokens >= bounds.min_tokens * (1 - KEPT))
    assert np.all(tokens <= bounds.max_tokens * (1 + KEPT))
    assert np.all(tokens <= bounds.max_tokens_per_param * params * (1 + KEPT))


@needs_x64
@pytest.mark.parametrize("target", ["loss", "budget"])
def test_bounded_plans_are_those_of_a_dense_search(rng, target):
    asked = Scenarios(rng)
    limits = {"bounds": asked.bounds, "levers": asked.levers}
    if target == "loss":
        plan = interpreted(js.minimize_cost, asked.law, asked.target, asked.demand, **limits)
        least, excess = asked.least(asked.cheapest), np.log(plan.total_cost)
    else:
        plan = interpreted(js.minimize_loss, asked.law, asked.budget, asked.demand, **limits)
        least, excess = asked.least(asked.best), plan.loss
    ok, has_plan = plan.ok, np.isfinite(least)
    assert ok.sum() > LANES / 2
    # The search misses bounds that leave a sliver; the solver refuses what is absurd.
    assert np.mean(ok != has_plan) < 0.03
    assert np.all((excess - least)[ok & has_plan] <= 1e-9)
    asked.bounds = jax.tree.map(lambda x: x[ok], asked.bounds)
    check_bounds(asked.bounds, plan.params[ok], plan.tokens[ok])
    params, tokens = np.where(ok, plan.params, 1e9), np.where(ok, plan.tokens, 1e9)
    if target == "loss":
        assert np.all(asked.loss(params, tokens)[ok] <= (asked.target * (1 + KEPT))[ok])
    else:
        assert np.all(asked.cost(params, tokens)[ok] <= (asked.budget * (1 + KEPT))[ok])
    most = asked.law.critical_tokens(params, **asked.levers)
    most = np.nan_to_num(np.asarray(most), nan=np.inf)
    at_ceiling = plan.status == Status.AT_CEILING
    assert at_ceiling.sum() > 3
    np.testing.assert_array_equal((tokens >= most * (1 - 1e-9)) & ok, at_ceiling)


# --- One scenario each -----------------------------------------------------------------------


def with_slopes(solve, field, at):
    """The plan at two numbers, and the slopes of a field of it by both."""

    def asked(x, y):
        plan = solve(x, y)
        return getattr(plan, field), plan

    slopes, plan = interpreted(jax.grad(asked, (0, 1), has_aux=True), *at)
    return plan, slopes


def test_a_model_bounded_in_size_stops_at_its_ceiling():
    def best(gamma, most):
        law = dataclasses.replace(SUN, gamma=gamma)
        return js.minimize_loss(law, 1e24, levers=FP4, bounds=js.Bounds(max_params=most))

    plan, (by_gamma, by_params) = with_slopes(best, "tokens", (SUN.gamma, 1e9))
    assert status_of(plan) is Status.AT_CEILING
    assert_allclose(plan.tokens, ceiling(1e9), rtol=1e-5)
    assert plan.total_cost < 1e21  # budget is left over
    assert np.isnan(plan.marginal_cost)
    # D = (d N^alpha gamma ...)^(1 / (2 beta)).
    assert_allclose(by_gamma, plan.tokens / (2 * SUN.beta * SUN.gamma), rtol=1e-4)
    assert_allclose(by_params, plan.tokens * SUN.alpha / (2 * SUN.beta * 1e9), rtol=1e-4)


@pytest.mark.thorough
def test_bounds_on_tokens_may_force_a_plan_past_its_ceiling():
    def cheapest(loss, tokens):
        return js.minimize_cost(SUN, loss, levers=FP4, bounds=js.Bounds(min_tokens=tokens))

    plan, (by_loss, by_tokens) = with_slopes(cheapest, "params", (2.5, 1e14))
    assert status_of(plan) is Status.AT_CEILING
    assert_allclose(plan.tokens, 1e14, rtol=1e-5)
    # N = ((n + r D^beta) / (L - e - d / D^beta))^(1 / alpha), and the cost is that of 4 bits.
    rounding = 7 / (SUN.gamma * 2.5**SUN.delta * 1.5**SUN.nu) * 1e14**SUN.beta
    data = SUN.d * 1e14**-SUN.beta
    size, left = SUN.n + rounding, 2.5 - SUN.e - data
    params = (size / left) ** (1 / SUN.alpha)
    assert_allclose(plan.params, params, rtol=1e-4)
    assert_allclose(plan.marginal_cost, 6 / 4 * 1e14 * params / (SUN.alpha * left), rtol=1e-4)
    assert_allclose(by_loss, -params / (SUN.alpha * left), rtol=1e-3)
    slope = SUN.beta / SUN.alpha * (rounding / size - data / left)
    assert_allclose(by_tokens, params / 1e14 * slope, rtol=1e-3)


def test_evaluate_says_where_more_tokens_raise_the_loss():
    tokens = np.array([0.5, 0.99, 1.01, 30.0]) * ceiling(1e9)
    block = np.array([[128.0], [1.0]])  # a block of one number loses nothing: there is no ceiling
    plan = js.evaluate(SUN, 1e9, tokens, levers={**FP4, "scaling_block": block})
    names = [[Status(int(x)).name for x in row] for row in plan.status]
    assert names == [["OK", "OK", "AT_CEILING", "AT_CEILING"], ["OK"] * 4]
    assert plan.ok.all()
    assert np.isfinite(plan.loss).all()


def test_tokens_for_are_the_fewest_and_params_for_hold_past_the_ceiling():
    tokens = js.laws.tokens_for(SUN, np.array([2.6, 2.5]), 1e9, **FP4)
    assert tokens[0] < ceiling(1e9)
    assert_allclose(SUN.loss(1e9, tokens[0], **FP4), 2.6, rtol=1e-6)
    assert np.isnan(tokens[1])  # the least there is 2.5607
    params = js.laws.params_for(SUN, 2.6, 1e13, **FP4)
    assert ceiling(params) < 1e13
    assert_allclose(SUN.loss(params, 1e13, **FP4), 2.6, rtol=1e-6)


def test_a_plan_at_the_ceiling_is_explained_with_its_number():
    said = js.explain(Status.AT_CEILING, SUN, params=1e9, tokens=1e12, levers=FP4)
    assert said.startswith("Tokens reach the law's ceiling, 393B for 1.00B params: more raise")


def test_no_model_within_bounds_reaches_a_loss_below_its_ceilings():
    bounds = js.Bounds(max_params=1e9)
    said = js.explain(Status.INFEASIBLE_BOUNDS, SUN, loss=2.5, levers=FP4, bounds=bounds)
    assert "the least there is 2.5607" in said
    said = js.explain(Status.INFEASIBLE_LOSS, SUN, loss=1.9, levers=FP4)
    assert "not above the least of the law, 1.9061" in said


@pytest.mark.parametrize("size", [{"params": 1e9}, {"tokens": 1e12}], ids=["params", "tokens"])
def test_compute_optimal_plans_keep_below_the_ceiling(size):
    plan = js.compute_optimal(SUN, levers=FP4, **size)
    assert status_of(plan) is Status.OK
    assert plan.tokens < ceiling(float(plan.params))
    for factor in (0.5, 2.0):
        loss = SUN.loss(plan.params * factor, plan.tokens / factor, **FP4)
        assert loss > plan.loss


@needs_x64
@pytest.mark.thorough
def test_the_smallest_model_of_an_overhead_is_the_one_at_its_ceiling():
    least = js.overhead(SUN, 1.0, loss=2.5, **FP4).smallest
    params = least * js.minimize_cost(SUN, 2.5, levers=FP4).params
    assert_allclose(SUN.loss(params, ceiling(params), **FP4), 2.5, rtol=1e-9)
