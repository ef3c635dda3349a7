"""The most profitable plan: against a brute-force search in NumPy, and by what must hold.

The search compiles for seconds, once for each kind of problem: all calls have the same shape.
What is asked for once, NumPy runs.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from conftest import X64
from jaxscale import Status
from jaxscale._numerics.interpreted import interpreted
from solve.lanes import DTYPE, SEED, needs_x64

LANES = 125
LAW = ("E", "A", "B", "alpha", "beta")
COSTS = ("train", "prefill", "decode")
BOUNDS = ("min_params", "max_params", "min_tokens", "max_tokens", "max_tokens_per_param")
VALUE = ("per_nat", "worthless_at")
DEMAND = ("input_tokens", "output_tokens")
MARKET = (*DEMAND, "at_loss", "at_price", "reaction", "elasticity")
INPUTS = (*LAW, *COSTS, *VALUE, *MARKET)
UNBOUNDED = dict(zip(BOUNDS, (0.0, np.inf, 0.0, np.inf, np.inf), strict=True))
# Besiroglu et al. 2024 at 1.4e-18 dollars for each FLOP: some 4e10 params and 2e12 tokens.
TYPICAL = {"E": 1.817, "A": 482.0, "B": 2085.0, "alpha": 0.3478, "beta": 0.3659}
TYPICAL |= {"train": 1.4e-18, "prefill": 1.4e-18, "decode": 2.8e-18}
TYPICAL |= {"per_nat": 2e7, "worthless_at": 2.2}
TYPICAL |= {"input_tokens": 2e12, "output_tokens": 1e12, "at_loss": 2.0, "at_price": 1e-6}
TYPICAL |= {"reaction": 3.0, "elasticity": 1.4, **UNBOUNDED}


def problem_of(kind, x, *, bounded=False):
    """The arguments of `js.maximize_profit` from its inputs by name.

    `kind` is "fixed" for a demand that does not react, "given" for one that does at a price that
    is given, and "chosen" for the same at the best price.
    """
    law, costs = js.laws.Chinchilla(*(x[k] for k in LAW)), js.Costs(*(x[k] for k in COSTS))
    demand = js.economics.Market(*(x[k] for k in MARKET))
    if kind == "fixed":
        demand = js.Demand(x["input_tokens"], x["output_tokens"])
    bounds = js.Bounds(*(x[k] for k in BOUNDS)) if bounded else None
    value = js.economics.ValuePerNat(*(x[k] for k in VALUE))
    price = {"price": x["at_price"]} if kind == "given" else {}
    return (law, value, demand, costs, bounds), price


def solve(kind, inputs, *, bounded=False):
    """All lanes at once, with what is not given from TYPICAL; as many answers as were asked for."""
    count = max(np.size(x) for x in inputs.values())
    given = {k: np.resize(np.asarray(x, DTYPE), LANES) for k, x in (TYPICAL | inputs).items()}
    arguments, price = problem_of(kind, given, bounded=bounded)
    best = js.maximize_profit(*arguments, **price)
    return jax.tree.map(lambda x: np.asarray(x)[:count], best)


def names(statuses):
    return [Status(int(x)).name for x in np.ravel(statuses)]


# --- Brute force: two dimensions, float64, nothing but the law, the market and the costs ----------


def economics(x, kind, params, tokens):
    """Profit, and what is earned and paid in all."""
    loss = x["E"] + x["A"] * params ** -x["alpha"] + x["B"] * tokens ** -x["beta"]
    value = x["per_nat"] * (x["worthless_at"] - loss)
    known = x["input_tokens"] + x["output_tokens"]
    serving = 2 * params * (x["prefill"] * x["input_tokens"] + x["decode"] * x["output_tokens"])
    training = 6 * x["train"] * params * tokens
    if kind == "fixed":
        return value - serving - training, np.abs(value) + serving + training
    price = x["at_price"]
    if kind == "chosen":
        price = serving / known * x["elasticity"] / (x["elasticity"] - 1)
    sold = np.exp(x["reaction"] * (x["at_loss"] - loss))
    sold = sold * (price / x["at_price"]) ** -x["elasticity"]
    profit = value + sold * (price * known - serving) - training
    return profit, np.abs(value) + sold * (price * known + serving) + training


NO_PLAN = -1e300  # what is earned where no plan is within the bounds


def by_brute_force(inputs, kind):
    """Greatest profit of models of 1e3 to 1e18 params, those params, and all earned and paid."""
    x = {name: np.asarray(numbers)[:, None, None] for name, numbers in inputs.items()}
    with np.errstate(divide="ignore"):
        limits = {name: np.log(x[name][:, 0]) for name in BOUNDS}
    at = [np.full((len(inputs["E"]), 1), np.log(1e11)) for _ in range(2)]
    rows = np.arange(len(at[0]))
    best, total, width, count = np.full(len(rows), NO_PLAN), 0.0 * rows, np.log(1e8), 81
    while width > 1e-9:
        step = np.linspace(-width, width, count)
        a = np.clip(at[0] + step, limits["min_params"], limits["max_params"])
        b = np.clip(at[1] + step, limits["min_tokens"], limits["max_tokens"])
        b = np.minimum(b[:, None, :], (a + limits["max_tokens_per_param"])[:, :, None])
        a = np.broadcast_to(a[:, :, None], b.shape)
        with np.errstate(over="ignore", under="ignore"):
            profit, gross = economics(x, kind, np.exp(a), np.exp(b))
        allowed = np.isfinite(profit) & (b >= limits["min_tokens"][:, None] - 1e-12)
        allowed &= a >= limits["min_params"][:, None] - 1e-12
        a, b, profit, gross = (
            y.reshape(len(best), -1) for y in (a, b, np.where(allowed, profit, NO_PLAN), gross)
        )
        top = rows, profit.argmax(1)
        better = profit[top] > best
        best, total = np.where(better, profit[top], best), np.where(better, gross[top], total)
        for i, y in enumerate((a, b)):
            at[i][better, 0] = y[top][better]
        width, count = width * (2.5 / 40 if count == 81 else 0.4), 15
    return best, np.exp(at[0][:, 0]), total


def log_uniform(rng, low, high, count):
    return np.exp(rng.uniform(np.log(low), np.log(high), count))


def draw(rng, kind, bounded, count):
    """Inputs by name as arrays, rounded to the dtype."""
    x = {"E": rng.uniform(1.4, 2, count)}
    x |= {"alpha": rng.uniform(0.25, 0.5, count), "beta": rng.uniform(0.25, 0.5, count)}
    x["A"], x["B"] = log_uniform(rng, 100, 2000, count), log_uniform(rng, 100, 5000, count)
    x["train"] = log_uniform(rng, 2e-19, 1e-17, count)
    x["prefill"] = x["train"] * log_uniform(rng, 0.3, 3, count)
    x["decode"] = x["train"] * log_uniform(rng, 1, 50, count)
    x["per_nat"] = log_uniform(rng, 1e6, 1e11, count)
    if kind != "fixed":
        x["per_nat"] *= rng.random(count) < 0.6
    x["worthless_at"] = x["E"] + rng.uniform(0.2, 2, count)
    x |= {k: log_uniform(rng, 1e10, 1e15, count) for k in ("input_tokens", "output_tokens")}
    x["at_loss"] = x["E"] + rng.uniform(0.1, 1, count)
    x["at_price"] = log_uniform(rng, 1e-8, 1e-4, count)
    x["elasticity"] = rng.uniform(1.05, 2.5, count)
    x["reaction"] = rng.uniform(0.3, 8, count)
    ranges = ((1e7, 1e10), (1e9, 1e12), (1e8, 1e11), (1e10, 1e13), (5, 1e4))
    for (name, nothing), ends in zip(UNBOUNDED.items(), ranges, strict=True):
        binds = rng.random(count) < (0.3 if bounded else 0)
        x[name] = np.where(binds, log_uniform(rng, *ends, count), nothing)
    return {name: numbers.astype(DTYPE).astype(float) for name, numbers in x.items()}


@cache
def problems(kind, bounded, seed):
    """Random inputs whose best model is of a size that the search covers, with the best profit."""
    rng = np.random.default_rng(seed)
    x = draw(rng, kind, bounded, 2 * LANES)
    profit, params, total = by_brute_force(x, kind)
    # Where demand hardly depends on the loss, the best model has a few params, or too many.
    keep = (profit <= 0) | ((params > 1e6) & (params < 1e14))
    keep = np.flatnonzero(keep & (total < 1e25))[:LANES]
    assert len(keep) == LANES
    return {k: v[keep] for k, v in x.items()}, profit[keep], total[keep]


KINDS = ["fixed", "given", "chosen"]
# Bounds compile for as long as all else; the best price has what the others have.
CASES = [*((kind, False) for kind in KINDS), ("chosen", True)]
CASES += [pytest.param(kind, True, marks=pytest.mark.thorough) for kind in ("fixed", "given")]
PRICE_FIRST = ["chosen", *(pytest.param(k, marks=pytest.mark.thorough) for k in ("fixed", "given"))]
# Of a profit, and of all that is earned and paid, of which it may be the small difference.
DIGITS, ROUNDING = (1e-8, 1e-12) if X64 else (1e-3, 1e-5)


@pytest.mark.parametrize("seed", [20, SEED], ids=["the same each time", "fresh"])
@pytest.mark.parametrize(("kind", "bounded"), CASES)
def test_no_plan_of_a_brute_force_search_earns_more(kind, bounded, seed):
    print(f"JAXSCALE_TEST_SEED={SEED}")
    inputs, profit, total = problems(kind, bounded, seed)
    best = solve(kind, inputs, bounded=bounded)
    slack = DIGITS * np.abs(profit) + ROUNDING * total
    assert (best.profit >= profit - slack)[best.ok].all()
    pays, loses = profit > slack, profit < -slack
    assert pays.sum() > 30
    missed = pays & ~best.ok
    # The search answers all but one in a thousand.
    assert missed.sum() <= (0 if X64 and seed != SEED else 2)
    assert set(names(best.status[missed])) <= {"NOT_CONVERGED", "DO_NOT_TRAIN"}
    nothing = {"DO_NOT_TRAIN", "INFEASIBLE_BOUNDS"} if bounded else {"DO_NOT_TRAIN"}
    assert set(names(best.status[loses])) <= nothing


@pytest.mark.parametrize(("kind", "bounded"), CASES)
def test_a_plan_earns_what_it_says_and_is_within_its_bounds(kind, bounded):
    inputs, _, _ = problems(kind, bounded, 20)
    best = solve(kind, inputs, bounded=bounded)
    x = {k: v[best.ok] for k, v in inputs.items()}
    params, tokens = (y[best.ok].astype(float) for y in (best.plan.params, best.plan.tokens))
    profit, total = economics(x, kind, params, tokens)
    assert (np.abs(best.profit[best.ok] - profit) <= (1e-12 if X64 else 1e-4) * total).all()
    above = 1 + (1e-12 if X64 else 1e-5)
    ratio = tokens / params
    for name, y in (("params", params), ("tokens", tokens), ("tokens_per_param", ratio)):
        assert (y <= x[f"max_{name}"] * above).all()
        assert (y * above >= x.get(f"min_{name}", 0)).all()


# --- Conditions of the optimum --------------------------------------------------------------------


@pytest.fixture(params=KINDS)
def solved(request):
    """Kind, inputs and answers of the random problems with an optimum inside."""
    inputs, _, _ = problems(request.param, False, 20)
    best = solve(request.param, inputs)
    inside = np.isin(best.status, [Status.OK, Status.BEST_OF_SEVERAL])
    assert inside.sum() > 30
    inputs = {name: x[inside] for name, x in inputs.items()}
    return request.param, inputs, jax.tree.map(lambda x: x[inside].astype(float), best)


# Where served demand dwarfs training, a law's sum of two powers loses digits of the small one.
CONDITION = 1e-7 if X64 else 2e-2


def test_params_and_tokens_stand_in_the_ratio_of_sardana_for_the_demand_that_is_met(solved):
    _, x, best = solved
    params, tokens = best.plan.params, best.plan.tokens
    of_size = x["alpha"] * x["A"] * params ** -x["alpha"]
    of_data = x["beta"] * x["B"] * tokens ** -x["beta"]
    met = x["prefill"] * best.demand.input_tokens + x["decode"] * best.demand.output_tokens
    ratio = 1 + met / x["train"] / (3 * tokens)
    assert_allclose(of_size / of_data, ratio, rtol=CONDITION)


def test_a_nat_costs_what_it_earns(solved):
    kind, x, best = solved
    earned = x["per_nat"]
    if kind != "fixed":
        earned = earned + x["reaction"] * (best.revenue - best.plan.inference_cost)
    assert_allclose(best.plan.marginal_cost, earned, rtol=CONDITION)


def test_the_best_price_is_that_of_lerner_and_the_demand_the_one_of_the_market(solved):
    kind, x, best = solved
    known, sold = (
        y.input_tokens + y.output_tokens for y in (js.Demand(*(x[k] for k in DEMAND)), best.demand)
    )
    if kind == "fixed":
        assert_allclose(sold, known)
        assert (best.price == 0).all()
        return
    price = x["at_price"]
    if kind == "chosen":
        price = best.plan.inference_cost / sold * x["elasticity"] / (x["elasticity"] - 1)
    assert_allclose(best.price, price, rtol=DIGITS)
    scale = np.exp(x["reaction"] * (x["at_loss"] - best.plan.loss))
    scale *= (best.price / x["at_price"]) ** -x["elasticity"]
    assert_allclose(sold, known * scale, rtol=DIGITS)
    assert_allclose(best.demand.input_tokens / sold, x["input_tokens"] / known, rtol=DIGITS)


# --- Statuses -------------------------------------------------------------------------------------


def cases(kind, table, *, bounded=False):
    """Statuses of one batch with a scenario for each row of inputs that are not typical."""
    rows = [TYPICAL | changed for changed in table]
    best = solve(kind, {k: np.array([row[k] for row in rows]) for k in TYPICAL}, bounded=bounded)
    given = np.isfinite(best.profit)
    assert (given == best.ok).all()
    assert all(((x == x) == given).all() for x in jax.tree.leaves((best.plan.params, best.price)))
    return names(best.status)


COMMON_CASES = [
    ({}, "OK"),
    ({"worthless_at": 1.5, "at_loss": -20.0}, "DO_NOT_TRAIN"),
    ({"per_nat": 1e25}, "NO_INTERIOR_OPTIMUM"),
    ({"per_nat": np.nan}, "INVALID_INPUT"),
    ({"worthless_at": np.inf}, "INVALID_INPUT"),
    ({"alpha": -0.3}, "INVALID_INPUT"),
    ({"train": 0.0}, "INVALID_INPUT"),
    ({"output_tokens": -1.0}, "INVALID_INPUT"),
    ({}, "OK"),
]
MARKET_CASES = [
    ({"input_tokens": 0.0, "output_tokens": 0.0}, "INVALID_INPUT"),
    ({"at_loss": np.nan}, "INVALID_INPUT"),
    ({"at_price": 0.0}, "INVALID_INPUT"),
    ({"reaction": np.inf}, "INVALID_INPUT"),
    ({"elasticity": -0.1}, "INVALID_INPUT"),
]
FIXED_CASES = [({"per_nat": -2e7}, "NO_INTERIOR_OPTIMUM")]  # ever worse models earn ever more
CHOSEN_CASES = [
    ({"reaction": 0.0}, "NO_INTERIOR_OPTIMUM"),  # ever smaller models serve at ever lower prices
    ({"elasticity": 1.0}, "NO_FINITE_PRICE"),
    ({"elasticity": 0.0}, "NO_FINITE_PRICE"),
    ({"prefill": 0.0, "decode": 0.0}, "NO_INTERIOR_OPTIMUM"),
]
GIVEN_CASES = [(changed, "OK") for changed, _ in CHOSEN_CASES]


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        ("fixed", COMMON_CASES + FIXED_CASES),
        ("given", COMMON_CASES + MARKET_CASES + GIVEN_CASES),
        ("chosen", COMMON_CASES + MARKET_CASES + CHOSEN_CASES),
    ],
    ids=KINDS,
)
def test_each_scenario_of_a_batch_has_its_status(kind, table):
    assert cases(kind, [x for x, _ in table]) == [status for _, status in table]


@pytest.mark.parametrize("kind", PRICE_FIRST)
def test_statuses_name_the_bound_that_decides(kind):
    free = solve(kind, {"E": TYPICAL["E"]}).plan
    few, many = free.params[0] / 2, 2 * free.params[0]
    less, more = free.tokens[0] / 2, 2 * free.tokens[0]
    table = [
        ({"min_params": few, "max_params": many, "max_tokens": more}, "OK"),
        ({"max_params": few}, "AT_MAX_PARAMS"),
        ({"min_params": many}, "AT_MIN_PARAMS"),
        ({"max_tokens": less}, "AT_MAX_TOKENS"),
        ({"min_tokens": more}, "AT_MIN_TOKENS"),
        ({"max_tokens_per_param": less / many}, "AT_MAX_RATIO"),
        ({"max_params": few, "max_tokens": less}, "AT_CORNER"),
        ({"max_params": few, "min_tokens": more, "max_tokens_per_param": 1.0}, "INFEASIBLE_BOUNDS"),
        ({"min_params": -1.0}, "INVALID_INPUT"),
        ({"min_params": 1e25}, "DO_NOT_TRAIN"),
    ]
    assert cases(kind, [x for x, _ in table], bounded=True) == [status for _, status in table]


# --- Values of other forms, and other laws --------------------------------------------------------


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Steps:
    """A value that rises by `first` at a loss of 2.4, and by `second` at one of 2.0."""

    first: Any
    second: Any

    def __call__(self, loss):
        return sum(
            rise * jax.nn.sigmoid((at - loss) / 0.02)
            for rise, at in ((self.first, 2.4), (self.second, 2.0))
        )


def test_the_better_of_two_optima_is_found():
    second = np.linspace(0, 1e7, LANES).astype(DTYPE)
    value = Steps(np.full(LANES, 1e6, DTYPE), second)
    law, costs = js.laws.published("besiroglu2024"), js.Costs(1.4e-18, 1.4e-18, 1.4e-18)
    best = interpreted(js.maximize_profit, law, value, js.Demand(1e11, 1e11), costs)
    # Where an optimum lies between two of the points that are compared, one of these may beat it.
    assert set(names(best.status)) <= {"OK", "BEST_OF_SEVERAL", "NOT_CONVERGED"}
    several = best.status == Status.BEST_OF_SEVERAL
    assert several.sum() > 10
    # The best of ten thousand losses.
    losses = np.linspace(1.85, 3, 10_001).astype(DTYPE)
    costs_of = interpreted(js.minimize_cost, law, losses, js.Demand(1e11, 1e11), costs).total_cost
    worth = Steps(*(x[:, None] for x in (value.first, second)))(losses[None])
    profit = np.asarray(worth - costs_of[None], float)
    # Of two optima closer than the points that are compared, only one is seen.
    off = np.asarray(best.profit) / profit.max(1) - 1
    assert (off >= -(1e-12 if X64 else 1e-4))[several].all()
    assert (off <= 1e-4)[several].all()
    assert (np.asarray(best.plan.loss) < 2.2)[several].any()


@pytest.mark.parametrize(
    ("name", "levers"),
    [
        ("kaplan2020", {}),
        pytest.param(
            "muennighoff2023_repeated",
            {"unique_tokens": 3e10},  # which are repeated
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_another_law_and_an_accuracy_against_a_search_with_evaluate(name, levers):
    law = js.laws.published(name)
    value = js.economics.ValueOfAccuracy(js.task("gadre2024_c4"), 1e8, worthless_at=0.45)
    demand, costs = js.Demand(1e12, 1e12), js.Costs(1.4e-18, 1.4e-18, 1.4e-18)
    best = interpreted(js.maximize_profit, law, value, demand, costs, levers=levers)
    assert names(best.status) == ["OK"]
    top, at, width = -np.inf, np.log([1e10, 1e11]), 4.0
    while width > 1e-6:
        steps = np.linspace(-width, width, 41)
        params, tokens = np.exp(at[0] + steps)[:, None], np.exp(at[1] + steps)
        plan = js.evaluate(
            law, params.astype(DTYPE), tokens.astype(DTYPE), demand, costs, levers=levers
        )
        profit = np.asarray(value(plan.loss) - plan.total_cost)
        i, j = np.unravel_index(profit.argmax(), profit.shape)
        top, at = max(top, profit[i, j]), at + steps[[i, j]]
        width /= 8
    assert_allclose(best.profit, top, rtol=1e-11 if X64 else 1e-4)
    assert_allclose(best.plan.params, np.exp(at[0]), rtol=1e-4 if X64 else 0.1)
    assert_allclose(best.plan.tokens, np.exp(at[1]), rtol=1e-4 if X64 else 0.1)


# --- Derivatives ----------------------------------------------------------------------------------

COUNT = 6  # scenarios; the first two have no plan


def outcomes(best):
    return {
        "profit": best.profit,
        "params": best.plan.params,
        "tokens": best.plan.tokens,
        "price": best.price,
    }


def near_typical():
    rng = np.random.default_rng(3)
    x = {name: TYPICAL[name] * rng.uniform(0.9, 1.1, COUNT) for name in INPUTS}
    x["E"] = rng.uniform(1.7, 1.8, COUNT)
    x["alpha"][0] = -1.0
    x["per_nat"][1], x["at_loss"][1] = 0.0, -20.0
    return x


def central_differences(function, x, name):
    """Of fourth order, by one input."""
    step = 1e-3 * np.where(x[name] == 0, 1, np.abs(x[name]))
    weights = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
    moved = {each: np.tile(y, len(weights)) for each, y in x.items()}
    moved[name] = np.concatenate([x[name] + k * step for k in weights])

    def difference(values):
        rows = np.asarray(values).reshape(len(weights), -1)
        return np.array(list(weights.values())) @ rows / step

    return jax.tree.map(difference, function(moved))


@needs_x64
@pytest.mark.parametrize("kind", PRICE_FIRST)
def test_derivatives_are_central_differences_beside_scenarios_without_a_plan(kind):
    x = near_typical()
    best = solve(kind, x)
    assert names(best.status) == ["INVALID_INPUT", "DO_NOT_TRAIN", "OK", "OK", "OK", "OK"]

    def decided(x):
        arguments, price = problem_of(kind, x)
        return outcomes(js.maximize_profit(*arguments, **price))

    found = interpreted(jax.vmap(jax.jacfwd(decided)), x)
    for name in INPUTS:
        expected = central_differences(lambda y: outcomes(solve(kind, y)), x, name)
        for outcome, size in outcomes(best).items():
            gradient = np.asarray(found[outcome][name])
            assert (gradient[:2] == 0).all()
            scale = np.abs(size / x[name])[2:]
            off = np.abs(gradient - expected[outcome])[2:]
            assert (off <= 1e-6 * np.abs(gradient[2:]) + 1e-8 * scale).all(), (outcome, name)


@needs_x64
@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["fixed", "chosen"])
def test_second_derivatives_of_profit_are_differences_of_what_it_is_made_of(kind):
    # By the envelope theorem, first derivatives are those at fixed params, tokens and price.
    x = near_typical()

    def first(x):
        best = solve(kind, x)
        plan = best.plan
        return {
            "per_nat": x["worthless_at"] - plan.loss,
            "decode": -2 * plan.params * best.demand.output_tokens,
            "train": -6 * plan.params * plan.tokens,
        }

    def profit(some, others):
        arguments, price = problem_of(kind, others | some)
        return js.maximize_profit(*arguments, **price).profit

    some = {name: x[name] for name in first(x)}
    found = jax.jit(jax.vmap(jax.hessian(profit)))(some, x)
    for name in some:
        expected = central_differences(first, x, name)
        for other in some:
            assert (found[other][name][:2] == 0).all()
            assert_allclose(found[other][name][2:], expected[other][2:], rtol=1e-6)


# --- Where it is used -----------------------------------------------------------------------------


def test_a_sweep_has_the_numbers_of_a_batch():
    low, high = 1e7, 1e8
    best = solve("given", {"per_nat": np.linspace(low, high, 5)})

    def scenario(per_nat):
        arguments, price = problem_of("given", TYPICAL | {"per_nat": per_nat})
        one = js.maximize_profit(*arguments, **price)
        return {"profit": one.profit, "status": one.status}

    grid = js.Grid(per_nat=js.linspace(low, high, 5))
    moments = js.sweep(scenario, grid, reduce=[js.Moments("profit")])[js.Moments("profit")]
    assert_allclose(moments.mean, best.profit.mean(), rtol=1e-9 if X64 else 1e-4)
    assert_allclose(moments.max, best.profit[-1], rtol=1e-9 if X64 else 1e-4)
    assert moments.count == 5


@needs_x64
def test_float32_in_is_float32_out():
    inputs, profit, total = problems("given", False, 20)
    given = {k: x.astype(np.float32) for k, x in inputs.items()}
    arguments, price = problem_of("given", given)
    best = interpreted(js.maximize_profit, *arguments, **price)
    assert {x.dtype for x in jax.tree.leaves(best)} == {np.dtype("f4"), np.dtype("i1")}
    pays = profit > 1e-4 * total
    assert best.ok[pays].mean() > 0.95
    off = np.abs(np.asarray(best.profit, float) - profit) - 1e-5 * total
    assert (off[pays & best.ok] <= 1e-3 * profit[pays & best.ok]).all()


def test_a_result_is_shown_and_becomes_a_table():
    best = solve("given", {"at_loss": np.array([2.0, -20.0]), "per_nat": np.zeros(2)})
    text = repr(best)
    assert "DO_NOT_TRAIN" in text
    assert f"{best.plan.loss[0]:.4f}" in text
    assert "DO_NOT_TRAIN" in best._repr_html_()
    frame = best.to_dataframe()
    assert len(frame) == 2
    assert list(frame["status"]) == ["OK", "DO_NOT_TRAIN"]
    row = frame.iloc[0]
    earned = row["value"] + row["revenue"] - row["total_cost"]
    assert_allclose(row["profit"], earned, rtol=1e-12 if X64 else 1e-5)
    assert_allclose(row["params"], best.plan.params[0])


@pytest.mark.parametrize(
    ("kind", "changed", "error", "text"),
    [
        ("given", {"demand": js.Demand(1e12)}, ValueError, "price is for a js.economics.Market"),
        ("fixed", {"value": None}, ValueError, "value must be given with a Demand"),
        ("fixed", {"value": 3.0}, TypeError, "value must be a function of loss; got 3.0"),
        ("fixed", {"value": lambda x: x + np.ones(3)}, ValueError, "of the shape of the loss"),
        ("fixed", {"demand": 1e12}, TypeError, "demand must be a jaxscale Demand"),
        ("fixed", {"costs": 1e-18}, TypeError, "costs must be a jaxscale Costs"),
        ("chosen", {"levers": {"bits": 8}}, ValueError, "bits"),
        ("fixed", {"demand": js.Demand(np.ones(2), np.ones(3))}, ValueError, "demand"),
    ],
)
def test_errors_name_the_argument(kind, changed, error, text):
    arguments, price = problem_of(kind, TYPICAL)
    named = dict(zip(("law", "value", "demand", "costs", "bounds"), arguments, strict=True))
    with pytest.raises(error, match=text):
        js.maximize_profit(**{**named, **price, **changed})


def test_what_a_plain_function_closes_over_is_differentiated():
    (law, _, *rest), _ = problem_of("fixed", {k: float(x) for k, x in TYPICAL.items()})

    def profit(dollars):
        best = js.maximize_profit(law, lambda loss: dollars * (5.0 - loss), *rest)
        return best.profit, best.plan.loss

    # By the envelope theorem: what a change of the best plan costs, it earns.
    slope, loss = interpreted(jax.grad(profit, has_aux=True), 1e9)
    assert_allclose(slope, 5.0 - loss, rtol=1e-6 if X64 else 1e-3)
