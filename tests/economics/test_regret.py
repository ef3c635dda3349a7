"""What not knowing the law costs: against a brute-force search in NumPy, and by what must hold.

One scenario of either problem is compiled, for many tests; NumPy runs what is asked for once.
"""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from conftest import X64
from jaxscale._numerics.interpreted import interpreted
from jaxscale.economics import regret as module

CENTRE = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.336, "beta": 0.283}
DEMAND, COSTS = js.Demand(1e12, 3e11), js.Costs(2e-18, 1e-18, 4e-18)
SERVED = 2 * (1e12 * 1e-18 + 3e11 * 4e-18)  # dollars per param
PROBLEMS = {"loss": {"loss": 2.1}, "budget": {"budget": 5e5}}
COMMON = {"demand": DEMAND, "costs": COSTS}
COUNT = 64  # of resamples, in nearly all tests: a program is compiled for each shape


def spread(size=1.0):
    """Coefficients of resamples, as NumPy arrays."""
    rng = np.random.default_rng(0)
    error = {"E": 0.01, "A": 0.1, "B": 0.1, "alpha": 0.005, "beta": 0.004}
    return {
        name: x + (x if name in "AB" else 1) * size * error[name] * rng.normal(size=COUNT)
        for name, x in CENTRE.items()
    }


def law_of(coefficients):
    return js.laws.Chinchilla(**coefficients)


LAW = law_of(spread())


def run_by_numpy(law, **options):
    return interpreted(js.expected_regret, law, **options)


# --- The same by brute force, in NumPy: golden sections of log params, all resamples at once ------


def cost_to_reach(c, x, loss):
    """Dollars; infinite where a model is too small."""
    left = loss - c["E"] - c["A"] * np.exp(-c["alpha"] * x)
    with np.errstate(invalid="ignore", divide="ignore"):
        tokens = (c["B"] / np.where(left > 0, left, np.nan)) ** (1 / c["beta"])
    cost = 6 * 2e-18 * np.exp(x) * tokens + SERVED * np.exp(x)
    return np.where(left > 0, cost, np.inf)


def loss_for(c, x, budget):
    """Nats; infinite where serving alone costs more."""
    tokens = (budget - SERVED * np.exp(x)) / (6 * 2e-18 * np.exp(x))
    data = np.where(tokens > 0, np.abs(tokens), np.nan) ** -c["beta"] * c["B"]
    value = c["E"] + c["A"] * np.exp(-c["alpha"] * x) + data
    return np.where(tokens > 0, value, np.inf)


def lowest(function, low, high, steps=80):
    """Where a function of log params is least, and its value there."""
    golden = (5**0.5 - 1) / 2
    low, high = np.asarray(low, float), np.asarray(high, float)
    for _ in range(steps):
        left, right = high - golden * (high - low), low + golden * (high - low)
        falls = ~(function(left) < function(right))
        low, high = np.where(falls, left, low), np.where(falls, high, right)
    return (low + high) / 2, function((low + high) / 2)


def by_brute_force(c, name, target, log_params):
    """Best log params and their mean objective; regrets in dollars and nats at `log_params`.

    Not at the best ones: a search by values knows a minimum to half its digits.
    """
    objective = {"loss": cost_to_reach, "budget": loss_for}[name]
    inverse = {"loss": loss_for, "budget": cost_to_reach}[name]
    count = len(c["E"])
    wide = np.full(count, 18.0), np.full(count, 27.0)
    least = lowest(lambda x: objective(c, x, target), *wide)[1]
    x, mean = lowest(lambda x: objective(c, x, target).mean(), 18.0, 27.0)
    here = objective(c, log_params, target)
    other = target - lowest(lambda x: inverse(c, x, here), *wide)[1]
    return x, mean, *((here - least, other) if name == "loss" else (other, here - least))


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_plan_and_its_regret_are_those_of_a_brute_force_search(name):
    given = {key: np.asarray(x, LAW_DTYPE) for key, x in spread().items()}
    target = float(np.asarray(*PROBLEMS[name].values(), LAW_DTYPE))
    regret = js.expected_regret(law_of(given), **{name: target}, **COMMON)
    exact = {key: x.astype(float) for key, x in given.items()}
    log_params = np.log(float(regret.params))
    x, mean, dollars, nats = by_brute_force(exact, name, target, log_params)
    assert int(regret.status) == js.Status.OK
    assert_allclose(regret.params, np.exp(x), rtol=1e-7 if X64 else 1e-4)
    assert_allclose(regret.cost if name == "loss" else regret.loss, mean, rtol=RTOL)
    assert_allclose(regret.resample_regret_cost, dollars, rtol=REGRET, atol=ATOL * mean_of(dollars))
    assert_allclose(regret.resample_regret_loss, nats, rtol=REGRET, atol=ATOL * mean_of(nats))
    assert_allclose(regret.regret_cost, dollars.mean(), rtol=REGRET)
    assert_allclose(regret.regret_loss, nats.mean(), rtol=REGRET)


LAW_DTYPE = np.float64 if X64 else np.float32
RTOL, REGRET, ATOL = (1e-12, 1e-8, 1e-8) if X64 else (1e-5, 2e-3, 2e-3)


def mean_of(x):
    return float(np.mean(x))


def test_regrets_hold_where_a_model_is_hardly_large_enough_for_the_loss():
    # Serving is so dear that each resample's own model is the smallest that reaches the loss: a
    # thousandth of an e-fold away, tokens are ten times as many.
    demand = js.Demand(1e17, 3e11)
    regret = js.expected_regret(LAW, loss=2.1, demand=demand, costs=COSTS)
    own = js.minimize_cost(LAW, 2.1, demand, COSTS)
    tokens = LAW.tokens_for(2.1, regret.params)
    plan = js.evaluate(LAW, regret.params, tokens, demand, COSTS)
    slack = 10 * RTOL * float(np.max(plan.total_cost))
    assert_allclose(regret.resample_regret_cost, plan.total_cost - own.total_cost, atol=slack)
    assert (regret.resample_regret_cost >= -slack).all()


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_law_without_spread_has_no_regret(name):
    same = law_of({key: np.full(COUNT, x) for key, x in CENTRE.items()})
    regret = js.expected_regret(same, **PROBLEMS[name], **COMMON)
    solve = {"loss": js.minimize_cost, "budget": js.minimize_loss}[name]
    plan = solve(law_of(CENTRE), *PROBLEMS[name].values(), DEMAND, COSTS)
    assert_allclose(regret.params, plan.params, rtol=1e-7 if X64 else 1e-3)
    assert_allclose(regret.tokens, plan.tokens, rtol=1e-7 if X64 else 1e-3)
    assert_allclose(regret.cost, plan.total_cost, rtol=RTOL)
    assert abs(regret.regret_cost) <= RTOL * plan.total_cost
    assert abs(regret.regret_loss) <= RTOL
    assert_allclose(regret.naive_regret_cost, regret.regret_cost, atol=RTOL * plan.total_cost)
    assert jax.tree.leaves(regret.share) == [0] * 5


@pytest.mark.parametrize("size", [1e-2, 1e-4])
@pytest.mark.parametrize("name", PROBLEMS)
def test_small_regrets_are_half_the_curvature_times_the_variance(name, size):
    if not X64 and size < 1e-3:
        pytest.skip("float32 does not hold coefficients this close to each other")
    c = spread(size)
    regret = js.expected_regret(law_of(c), **PROBLEMS[name], **COMMON)
    objective = {"loss": cost_to_reach, "budget": loss_for}[name]
    (target,) = PROBLEMS[name].values()
    mean = {key: np.mean(x) for key, x in c.items()}
    x = lowest(lambda x: objective(mean, x, target), 18.0, 27.0)[0]
    h = 1e-3
    curvature = objective(mean, x + h, target) + objective(mean, x - h, target)
    curvature = (curvature - 2 * objective(mean, x, target)) / h**2
    step = 1e-4

    def slope(x, c=c):
        return (objective(c, x + step, target) - objective(c, x - step, target)) / (2 * step)

    apart = slope(x) / curvature  # one step of Newton's method from x to each optimum
    expected = curvature * np.var(apart) / 2
    got = regret.regret_cost if name == "loss" else regret.regret_loss
    assert_allclose(got, expected, rtol=max(10 * size, 1e-3))


@pytest.mark.parametrize("name", [pytest.param("loss", marks=pytest.mark.thorough), "budget"])
def test_derivatives_are_those_of_central_differences(name):
    if not X64:
        pytest.skip("differences of float32 say nothing")

    def numbers(changes):
        target = {key: x * jnp.exp(changes[0]) for key, x in PROBLEMS[name].items()}
        demand = js.Demand(1e12 * jnp.exp(changes[1]), 3e11)
        costs = js.Costs(2e-18 * jnp.exp(changes[2]), 1e-18, 4e-18)
        law = dataclasses.replace(LAW, alpha=LAW.alpha * jnp.exp(changes[3]))
        regret = js.expected_regret(law, **target, demand=demand, costs=costs)
        names = ("params", "tokens", "cost", "loss", "regret_cost", "regret_loss")
        return jnp.log(jnp.stack([getattr(regret, each) for each in names]))

    zero, step = jnp.zeros(4), 1e-4
    slopes = interpreted({"loss": jax.jacfwd, "budget": jax.jacrev}[name](numbers), zero)
    differences = [
        (numbers(zero.at[i].set(step)) - numbers(zero.at[i].set(-step))) / (2 * step)
        for i in range(4)
    ]
    assert_allclose(slopes, np.stack(differences, axis=1), rtol=1e-5, atol=1e-5)


@pytest.mark.thorough
def test_second_derivatives_are_those_of_central_differences():
    if not X64:
        pytest.skip("differences of float32 say nothing")

    def log_params(change):
        demand = js.Demand(1e12 * jnp.exp(change), 3e11)
        regret = js.expected_regret(LAW, loss=2.1, demand=demand, costs=COSTS)
        return jnp.log(regret.params)

    step = 1e-3
    slope = jax.grad(log_params)
    expected = (slope(step) - slope(-step)) / (2 * step)
    assert_allclose(jax.grad(slope)(0.0), expected, rtol=1e-5)


# --- Scenarios -----------------------------------------------------------------------------------


def test_scenarios_broadcast_and_are_those_solved_one_by_one(monkeypatch):
    losses, read = np.array([2.05, 2.1, 2.2]), np.array([[0.0], [1e12]])
    together = run_by_numpy(LAW, loss=losses, demand=js.Demand(read))
    assert together.params.shape == together.share.alpha.shape == (2, 3)
    assert together.resample_regret_cost.shape == (COUNT, 2, 3)
    assert len(together.to_dataframe()) == 6
    # Two scenarios at a time, by a loop; with axes that no other test compiles a program for.
    monkeypatch.setattr(module, "LANES", 150)
    in_parts = run_by_numpy(LAW, loss=losses[:, None], demand=js.Demand(read[:, 0]))
    alone = js.expected_regret(LAW, loss=2.2, demand=js.Demand(1e12))
    exact = 1e-9 if X64 else 1e-3
    for one, part, whole in zip(*map(jax.tree.leaves, (alone, in_parts, together)), strict=True):
        assert_allclose(part.swapaxes(-1, -2), whole, rtol=exact, atol=exact)
        assert_allclose(one, whole[..., 1, 2], rtol=exact, atol=exact)


def test_coefficients_may_have_axes_of_scenarios():
    E = np.stack([np.linspace(1.68, 1.7, COUNT), np.linspace(1.58, 1.6, COUNT)], axis=1)
    both = run_by_numpy(js.laws.Chinchilla(E, 406.4, 410.7, 0.336, 0.283), loss=2.1)
    one = js.expected_regret(js.laws.Chinchilla(E[:, 1], 406.4, 410.7, 0.336, 0.283), loss=2.1)
    assert both.params.shape == (2,)
    assert_allclose(both.regret_cost[1], one.regret_cost, rtol=1e-9 if X64 else 1e-3)


def test_a_resample_without_a_plan_is_counted_and_its_scenario_has_no_numbers():
    E = np.concatenate([np.full(COUNT - 2, 1.69), [2.05, 2.2]])
    law = js.laws.Chinchilla(E, 406.4, 410.7, 0.336, 0.283)

    def cost(losses):
        regret = js.expected_regret(law, loss=losses)
        return jnp.nansum(regret.cost / 1e24), regret

    losses = jnp.array([2.0, 2.1, 2.3])
    slope, regret = interpreted(jax.grad(cost, has_aux=True), losses)
    names = [js.Status(int(x)).name for x in regret.status]
    assert names == ["INFEASIBLE_LOSS", "INFEASIBLE_LOSS", "OK"]
    assert regret.infeasible.tolist() == [2, 1, 0]
    assert np.isnan(regret.regret_cost).tolist() == [True, True, False]
    assert slope[:2].tolist() == [0, 0]
    step = 1e-5 if X64 else 1e-3  # the cost is bent: E is near to this loss
    costs = [float(js.expected_regret(law, loss=2.3 + apart).cost) for apart in (step, -step)]
    difference = (costs[0] - costs[1]) / (2 * step) / 1e24
    assert_allclose(slope[2], difference, rtol=1e-6 if X64 else 1e-2)
    assert [js.Status(int(x)).name for x in regret.resample_status[-3:, 0]] == [
        "OK",
        "INFEASIBLE_LOSS",
        "INFEASIBLE_LOSS",
    ]


def test_other_bad_numbers_have_their_statuses():
    regrets = [js.expected_regret(LAW, budget=budget) for budget in (np.nan, -1.0, 1e23)]
    names = [js.Status(int(each.status)).name for each in regrets]
    assert names == ["INVALID_INPUT", "INVALID_INPUT", "OK"]


def test_a_naive_size_that_cannot_reach_the_loss_has_an_infinite_cost():
    # One resample needs a far larger model than the mean of the coefficients does.
    law = js.laws.Chinchilla(np.array([1.69] * (COUNT - 1) + [1.99]), 406.4, 410.7, 0.336, 0.283)
    regret = js.expected_regret(law, loss=2.0)
    assert regret.ok
    assert np.isinf(regret.naive_regret_cost)
    assert np.isfinite(regret.naive_regret_loss)
    assert np.isfinite(regret.regret_cost)


# --- Bounds --------------------------------------------------------------------------------------

BOUNDS = [
    ("loss", {}, "OK"),
    ("loss", {"max_params": 5e9}, "AT_MAX_PARAMS"),
    ("loss", {"min_params": 2e10}, "AT_MIN_PARAMS"),
    ("loss", {"max_tokens": 3e11}, "AT_MAX_TOKENS"),
    ("loss", {"max_tokens_per_param": 15.0}, "AT_MAX_RATIO"),
    ("loss", {"max_params": 1e12, "max_tokens": 1e15}, "OK"),
    ("budget", {"max_params": 2e9}, "AT_MAX_PARAMS"),
    ("budget", {"max_tokens": 5e11}, "AT_MAX_TOKENS"),
    ("budget", {"max_tokens_per_param": 10.0}, "AT_MAX_RATIO"),
    ("budget", {"max_params": 1e9, "max_tokens": 1e11}, "AT_CORNER"),
]


def priced(name, c, params, bounds):
    """Cost, loss and tokens of a size that meets the target, in NumPy."""
    per_token, served = 6 * 2e-18 * params, SERVED * params
    size = c["E"] + c["A"] * params ** -c["alpha"]
    if name == "loss":
        tokens = (c["B"] / (2.1 - size)) ** (1 / c["beta"])
    else:
        tokens = np.minimum((5e5 - served) / per_token, bounds.max_tokens)
        tokens = np.minimum(tokens, bounds.max_tokens_per_param * params)
    return per_token * tokens + served, size + c["B"] * tokens ** -c["beta"], tokens


@pytest.mark.parametrize("name", ["loss", pytest.param("budget", marks=pytest.mark.thorough)])
def test_bounds_hold_in_every_resample_and_cost_what_they_cost(name):
    cases = [(limits, status) for problem, limits, status in BOUNDS if problem == name]
    each = [js.Bounds(**limits) for limits, _ in cases]
    bounds = jax.tree.map(lambda *x: np.array(x), *each)
    regret = run_by_numpy(LAW, **PROBLEMS[name], **COMMON, bounds=bounds)
    assert [js.Status(int(x)).name for x in regret.status] == [status for _, status in cases]
    c = {key: np.asarray(x, float)[:, None] for key, x in vars(LAW).items()}
    params, own_params = np.asarray(regret.params, float), np.asarray(regret.resample_params, float)
    cost, loss, tokens = priced(name, c, params, bounds)
    least_cost, least_loss, _ = priced(name, c, own_params, bounds)
    slack = 1 + (1e-9 if X64 else 1e-3)
    assert (tokens <= bounds.max_tokens * slack).all()
    assert (tokens <= bounds.max_tokens_per_param * params * slack).all()
    assert (params <= bounds.max_params * slack).all()
    assert (params * slack >= bounds.min_params).all()
    got = regret.resample_regret_cost if name == "loss" else regret.resample_regret_loss
    value, least = (cost, least_cost) if name == "loss" else (loss, least_loss)
    assert_allclose(got, value - least, rtol=REGRET, atol=3 * RTOL * np.max(value))
    assert (regret.resample_regret_cost >= -3 * RTOL * np.max(cost)).all()
    assert (regret.resample_regret_loss >= -3 * RTOL * np.max(loss)).all()


# --- Any law, coefficients, bootstraps -----------------------------------------------------------


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sparse:
    """The Chinchilla law with a lever, as a user's own class that offers no more than a loss."""

    E: jax.Array
    A: jax.Array
    B: jax.Array
    alpha: jax.Array
    beta: jax.Array

    fitted = js.laws.Chinchilla.fitted
    levers: ClassVar = {"density": (0.01, 1.0)}

    def loss(self, params, tokens, density):
        size = self.A / density**0.1 * params**-self.alpha
        return self.E + size + self.B * tokens**-self.beta


@pytest.mark.parametrize("name", ["loss", pytest.param("budget", marks=pytest.mark.thorough)])
def test_a_law_of_ones_own_has_the_regret_of_the_closed_form(name):
    levers = {"density": 0.5}
    own = run_by_numpy(Sparse(**vars(LAW)), **PROBLEMS[name], **COMMON, levers=levers)
    law = dataclasses.replace(LAW, A=LAW.A / 0.5**0.1)
    closed = js.expected_regret(law, **PROBLEMS[name], **COMMON)
    assert int(own.status) == js.Status.OK
    for field in ("params", "tokens", "cost", "loss"):
        assert_allclose(getattr(own, field), getattr(closed, field), rtol=1e-8 if X64 else 1e-3)
    for field in ("regret_cost", "regret_loss", "naive_regret_cost", "naive_regret_loss"):
        assert_allclose(getattr(own, field), getattr(closed, field), rtol=1e-6 if X64 else 3e-2)
    assert_allclose(jax.tree.leaves(own.share), jax.tree.leaves(closed.share), atol=1e-4)


@pytest.mark.thorough
def test_a_law_with_levers_is_at_the_least_mean_cost():
    law = js.laws.published("muennighoff2023_repeated")
    worth = law.R_D * np.exp(0.5 * np.random.default_rng(1).normal(size=30))
    law, levers = dataclasses.replace(law, R_D=worth), {"unique_tokens": 1e10}
    regret = js.expected_regret(law, loss=2.6, levers=levers)
    assert int(regret.status) == js.Status.OK

    def mean_cost(params):
        tokens = js.laws.tokens_for(law, 2.6, params, **levers)
        return float(jnp.mean(6 * params * tokens))

    assert_allclose(regret.cost, mean_cost(float(regret.params)), rtol=1e-10 if X64 else 1e-4)
    least = (1 + (1e-8 if X64 else 1e-4)) * mean_cost(float(regret.params))
    assert all(mean_cost(float(regret.params) * x) > least for x in (0.9, 0.98, 1.02, 1.1))
    assert_allclose(regret.share.R_D, 1, rtol=1e-6)


def test_shares_are_those_of_one_coefficient_at_a_time():
    errors = {"E": 0.003, "A": 0.01, "B": 0.01, "alpha": 0.0005, "beta": 0.0004}
    # All combinations of up and down: no two coefficients are correlated.
    signs = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 5, indexing="ij")).reshape(5, -1)
    signs = np.tile(signs, COUNT // 32)
    moved = {
        name: x + errors[name] * (x if name in "AB" else 1) * sign
        for (name, x), sign in zip(CENTRE.items(), signs, strict=True)
    }
    whole = js.expected_regret(law_of(moved), loss=2.1, **COMMON)
    assert_allclose(sum(jax.tree.leaves(whole.share)), 1, rtol=1e-5)
    still = {name: np.full(COUNT, x) for name, x in CENTRE.items()}
    alone = [
        js.expected_regret(law_of(still | {name: moved[name]}), loss=2.1, **COMMON)
        for name in CENTRE
    ]
    regrets = np.array([float(each.regret_cost) for each in alone])
    assert_allclose(jax.tree.leaves(whole.share), regrets / regrets.sum(), atol=0.01)
    assert_allclose(regrets.sum(), whole.regret_cost, rtol=0.03)


def test_a_bootstrap_counts_the_resamples_that_are_ok_and_beats_the_plan_of_the_fit():
    runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 100, key=3)
    fit = js.fit(js.laws.Chinchilla, runs)
    count = COUNT + 3
    boot = js.bootstrap(fit, resamples=count, key=3)
    boot = dataclasses.replace(boot, status=np.where(np.arange(count) < 3, 1, boot.status))
    regret = js.expected_regret(boot, loss=2.2)
    assert len(regret.resample_params) == boot.ok.sum() <= COUNT
    assert_allclose(regret.naive_params, js.minimize_cost(fit.law, 2.2).params, rtol=1e-5)
    assert 0 < regret.regret_cost < regret.naive_regret_cost
    with pytest.raises(ValueError, match="this bootstrap has none"):
        js.expected_regret(dataclasses.replace(boot, status=np.ones(count, np.int8)), loss=2.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one of loss and budget"),
        ({"loss": 2.0, "budget": 1e23}, "exactly one of loss and budget"),
        ({"loss": 2.0, "bounds": js.Bounds(min_tokens=1e9)}, "no min_tokens"),
        ({"loss": 2.0, "law": law_of(CENTRE)}, "first axis of resamples"),
        ({"loss": 2.0, "law": law_of({**CENTRE, "E": np.zeros(0)})}, r"of lengths \[0\]"),
        ({"loss": 2.0, "levers": {"bits": 8}}, "no lever 'bits'"),
    ],
)
def test_wrong_structure_raises(arguments, message):
    with pytest.raises(ValueError, match=message):
        js.expected_regret(**{"law": LAW} | arguments)


def test_it_prints_as_a_table_of_scenarios_and_works_under_jit():
    regret = jax.jit(lambda loss: js.expected_regret(LAW, loss=loss))(np.array([2.1, 2.2]))
    assert repr(regret).startswith("ExpectedRegret of shape (2,)")
    assert "naive_regret_cost" in repr(regret)
    assert "<table>" in regret._repr_html_()
