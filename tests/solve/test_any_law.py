"""The general Newton: as good as the closed reduction, and never silently wrong."""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from jaxscale import Status
from jaxscale._numerics.interpreted import interpreted
from jaxscale.laws.protocol import log_tokens_ceiling
from reference import random_bounds, random_budgets, random_scenarios, rows, solve_row
from solve.lanes import (
    DTYPE,
    EPS,
    LANES,
    LOSS_FIRST,
    REFERENCES,
    SOLVERS,
    TARGETS,
    X64,
    needs_x64,
    scenario,
    stacked,
)
from solve.law_samples import (
    PUBLISHED,
    InLogs,
    OfMillions,
    OnlyLoss,
    TwoValleys,
    log_slopes,
    random_demand,
    random_plans,
)

LAW = js.laws.published("sardana2024")
REPEATED = "muennighoff2023_repeated"
KKT = 1e-9 if X64 else 1e-4  # residual in logarithms, beside what rounding of the loss allows


def as_(kind, law):
    return kind(law.E, law.A, law.B, law.alpha, law.beta)


@functools.cache
def drawn(seed):
    """Scenarios of the whole domain, as both paths solve them."""
    draws = random_scenarios(np.random.default_rng(seed), LANES, DTYPE)
    law, loss, demand, costs = scenario(draws, "loss")
    plan = js.minimize_cost(law, loss, demand, costs)
    known = np.asarray(plan.ok)
    return {name: values[known] for name, values in draws.items()} | {
        "budget": np.asarray(plan.total_cost)[known]
    }


# --- Beside the closed reduction -------------------------------------------------------------


@pytest.mark.parametrize(("target", "value"), [("loss", 2.1), ("budget", 1e23)])
def test_a_law_that_is_two_powers_is_solved_as_the_chinchilla_law(target, value):
    own = OfMillions(js.laws.Chinchilla(1.69, 3.9, 8.2, 0.336, 0.283))
    plan = SOLVERS[target](own, value)
    expected = SOLVERS[target](own.two_powers(), value)
    assert jax.tree.all(jax.tree.map(lambda x, y: x == y, plan, expected))
    assert_allclose(plan.loss, own.loss(plan.params, plan.tokens), rtol=8 * EPS)


@needs_x64
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kind", [pytest.param(InLogs, marks=pytest.mark.thorough), OnlyLoss])
def test_agrees_with_the_closed_reduction(seed, kind, target):
    draws = drawn(seed)
    law, given, *others = scenario(draws, target)
    closed = SOLVERS[target](law, given, *others)
    found = interpreted(SOLVERS[target], as_(kind, law), given, *others)
    # What a law that exposes only its loss can know: the loss, to its rounding.
    reducible = np.asarray(closed.loss) - draws["E"]
    exponent = np.minimum(draws["alpha"], draws["beta"])
    tolerance = 10 * EPS * np.asarray(closed.loss) / (reducible * exponent) + 1e-12
    held = np.array(closed.ok)
    share = {InLogs: 0.85, OnlyLoss: 0.6}[kind]
    for size in ("params", "tokens"):
        log_size = np.log(np.where(held, getattr(closed, size), 1))
        if kind is OnlyLoss:
            # Its powers, differentiated twice, are powers of N^-2 and D^-2, which overflow.
            held &= np.abs(log_size) < 230
        held &= np.abs(log_size) < 600  # nor is a law asked for sizes at the very end of all range
    # Where the loss is all but E, even the last digit of it moves sizes by more than all range.
    held &= tolerance < 0.1
    assert held.mean() > share
    error = np.zeros(len(held))
    for size in ("params", "tokens"):
        with np.errstate(invalid="ignore"):
            ratio = np.log(np.asarray(getattr(found, size)) / np.asarray(getattr(closed, size)))
        error = np.maximum(error, np.abs(ratio))
    unsolved = held & ~np.asarray(found.ok)
    flagged = {InLogs: 0.01, OnlyLoss: 0.05}[kind]  # at the ends of all range
    assert unsolved.sum() <= flagged * len(held), np.unique(np.asarray(found.status)[unsolved])
    solved = held & np.asarray(found.ok)
    worst = np.argmax(np.where(solved, error / tolerance, 0))
    assert np.all(error[solved] <= tolerance[solved]), {k: v[worst] for k, v in draws.items()}


@needs_x64
@pytest.mark.parametrize("target", LOSS_FIRST)
def test_bounds_decide_as_in_the_closed_reduction(rng, target):
    moderate = dict(exponents=(0.15, 0.8), coefficients=(1e1, 1e4), reducible=(1e-2, 1e0))
    draws = random_scenarios(rng, 300, DTYPE, demand=(1e6, 1e14), **moderate)
    draws["budget"] = random_budgets(draws)
    near = [solve_row(REFERENCES[target], row, target) for row in rows(draws)]
    draws |= stacked([random_bounds(rng, plan, 0.4)._asdict() for plan in near])
    law, *others = scenario(draws, target)
    closed, found = (interpreted(SOLVERS[target], x, *others) for x in (law, as_(InLogs, law)))
    assert len(set(np.asarray(closed.status))) >= 6
    np.testing.assert_array_equal(found.status, closed.status)
    assert_allclose(found.params, closed.params, rtol=1e-9)
    assert_allclose(found.tokens, closed.tokens, rtol=1e-9)


@needs_x64
@pytest.mark.parametrize(
    ("target", "bounds"),
    [
        ("loss", None),
        pytest.param("budget", None, marks=pytest.mark.thorough),
        ("loss", js.Bounds(max_tokens_per_param=100.0)),
    ],
)
def test_derivatives_are_those_of_the_closed_reduction(target, bounds):
    base = jnp.array(
        [LAW.E, LAW.A, LAW.B, LAW.alpha, LAW.beta, {"loss": 2.0, "budget": 1e23}[target]]
    )

    def logs(kind, move, demand):
        *coefficients, given = base * (1 + move[:-1])
        # In units of training tokens: there may be no demand.
        served = js.Demand(demand + 1e12 * move[-1])
        plan = SOLVERS[target](kind(*coefficients), given, served, bounds=bounds)
        return jnp.log(jnp.stack([plan.params, plan.tokens, plan.total_cost, plan.loss]))

    def derivatives(kind, demand):
        first = jax.jacrev(lambda move: logs(kind, move, demand))
        nowhere = jnp.zeros(len(base) + 1)
        # Bounds are decided in one place for all orders; the second takes long to compile.
        if bounds is not None:
            return first(nowhere)
        # Both orders at once: to compile the first on its own, too, takes as long again.
        return jax.jacfwd(lambda move: (first(move),) * 2, has_aux=True)(nowhere)

    # Without a demand and with one. Traced for a scalar, and run once: XLA would compile for long.
    found, expected = (
        interpreted(jax.vmap(functools.partial(derivatives, kind)), np.array([0.0, 1e12]))
        for kind in (InLogs, js.laws.Chinchilla)
    )
    jax.tree.map(lambda a, b: assert_allclose(a, b, rtol=1e-7, atol=1e-7), found, expected)


# --- Its own guarantee -----------------------------------------------------------------------


def kkt_residuals(law, plan, demand, levers, target, value):
    """How far a plan is from its constraint and from an even trade-off, in logs; and the floor."""
    (loss_x, loss_y), (bill_x, bill_y) = log_slopes(
        law, plan.params, plan.tokens, demand, js.Costs.flops(), levers
    )
    off = {
        "loss": (plan.loss - value) / (loss_x + loss_y),
        "budget": (plan.total_cost - value) / (bill_x + bill_y),
    }[target]
    # What the last digits of the loss say of where it is; in a trade-off there is none of E.
    floor = 10 * EPS * jnp.abs(plan.loss / (loss_x + loss_y))
    return np.abs(off), np.abs(jnp.log(loss_x * bill_y / (loss_y * bill_x))), np.asarray(floor)


# Of all of them `test_never_beaten` asks the like.
STATIONARY = {
    (REPEATED, "loss"),
    ("kaplan2020", "loss"),
    ("kaplan2020", "budget"),
    ("tao2024", "loss"),
}


@needs_x64
@pytest.mark.parametrize(
    ("name", "target"),
    [
        pytest.param(
            name, target, marks=() if (name, target) in STATIONARY else pytest.mark.thorough
        )
        for name in PUBLISHED
        for target in TARGETS
    ],
)
def test_random_plans_are_stationary(rng, name, target):
    law, params, tokens, levers = random_plans(name, LANES, rng)
    demand = random_demand(LANES, rng)
    known = js.evaluate(law, params, tokens, demand, levers=levers)
    value = known.loss if target == "loss" else known.total_cost
    plan = SOLVERS[target](law, value, demand, levers=levers)
    off, trade, floor = kkt_residuals(law, plan, demand, levers, target, value)
    # Where the loss is flat its last digit is worth any size, and says nothing of this plan:
    # `test_never_beaten` asks whether there is a better one.
    told = np.asarray(plan.ok) & (floor < 1e-4)
    assert told.mean() > 0.6
    assert np.all(off[told] <= KKT + floor[told])
    assert np.all(trade[told] <= KKT)


# Laws that are not sums of powers, and one with FLOPs of its own. Their programs are those of the
# test above; of the other laws `test_never_beaten` asks the like.
SEARCHED = (REPEATED, "kaplan2020", "tao2024")


@needs_x64
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in SEARCHED else pytest.mark.thorough)
        for name in PUBLISHED
    ],
)
def test_no_plan_of_a_dense_search_is_cheaper(rng, name):
    law, params, tokens, levers = random_plans(name, LANES, rng)
    demand = random_demand(LANES, rng)
    target = js.evaluate(law, params, tokens, demand, levers=levers).loss
    plan = js.minimize_cost(law, target, demand, levers=levers)
    flat = kkt_residuals(law, plan, demand, levers, "loss", target)[2]
    few = jax.tree.map(lambda x: np.asarray(x)[:20], (plan, demand, levers, target, flat))
    plan, demand, levers, target, flat = few
    ok = plan.ok
    assert ok.mean() > 0.6
    column = {key: value[:, None] for key, value in levers.items()}
    lanes = js.Demand(demand.input_tokens[:, None], demand.output_tokens[:, None])
    sizes = np.where(ok, plan.params, 1e9)[:, None] * np.exp(np.linspace(-12, 12, 1201))[None]
    # Up to a ceiling the loss falls with tokens: those that reach the target, by halving.
    low, high = np.full_like(sizes, np.log(1e-2)), np.full_like(sizes, np.log(1e26))
    high = np.minimum(high, log_tokens_ceiling(law, np.log(sizes), **column))
    for _ in range(60):
        middle = (low + high) / 2
        above = np.asarray(law.loss(sizes, np.exp(middle), **column)) > np.asarray(target)[:, None]
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    found = js.evaluate(law, sizes, np.exp(high), lanes, levers=column)
    reached = np.abs(np.asarray(found.loss) - np.asarray(target)[:, None]) < 1e-9
    least = np.where(reached, found.total_cost, np.inf).min(axis=1)
    # Where the loss is flat its last digits, in which the two may differ, are worth more.
    assert np.all(plan.total_cost[ok] <= (least * (1 + 1e-9 + np.nan_to_num(flat)))[ok])
    # The grid is 2 % apart, and a cost is flat at its least.
    told = ok & (flat < 1e-6)
    assert told.sum() > 5
    assert np.all(plan.total_cost[told] >= least[told] * (1 - 2e-4))


# --- What gets a status ----------------------------------------------------------------------


@pytest.mark.parametrize("target", LOSS_FIRST)
def test_where_only_compute_matters_nothing_is_optimal(target):
    law = js.laws.ComputeOnly(intercept=8.0, slope=0.12)
    value = {"loss": float(law.loss(1e9, 2e10)), "budget": 1.2e20}[target]
    solve = functools.partial(interpreted, SOLVERS[target])
    for demand in (js.Demand(), js.Demand(1e10)):
        plan = solve(law, value, demand)
        assert plan.status == Status.NO_INTERIOR_OPTIMUM
        assert np.isnan(plan.params)
    # To serve costs params alone: the smallest that a bound allows is best.
    bounded = solve(law, value, js.Demand(1e10), bounds=js.Bounds(min_params=1e9))
    assert bounded.status == Status.AT_MIN_PARAMS
    assert bounded.params == 1e9
    if target == "loss":
        assert_allclose(bounded.tokens, 2e10, rtol=1e-5 if X64 else 1e-3)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Compute:
    """A law of the product of params and tokens, written so that rounding hides that."""

    E: float
    A: float
    a: float

    def loss(self, params, tokens):
        return self.E + self.A * jnp.exp(-self.a * (jnp.log(params) + jnp.log(tokens)))


def test_rounding_is_no_optimum_where_all_plans_of_a_cost_are_alike():
    law, none = Compute(1.7, 100.0, 0.1), Status.NO_INTERIOR_OPTIMUM
    of_flops = interpreted(js.compute_optimal, law, flops=np.geomspace(1e18, 1e25, 15))
    of_losses = interpreted(js.minimize_cost, law, np.linspace(2, 3, 7))
    assert (of_flops.status == none).all()
    assert (of_losses.status == none).all()
    assert interpreted(js.minimize_loss, law, 1e22).status == none


def test_a_law_that_tokens_do_not_move_has_no_optimum():
    law = js.laws.published("clark2022_sbase")
    plan = interpreted(js.minimize_cost, law, 2.3, levers={"experts": 64.0})
    assert plan.status == Status.NO_INTERIOR_OPTIMUM


@pytest.mark.parametrize("target", TARGETS)
def test_more_than_one_optimum_is_said(target):
    value = {"loss": 2.1, "budget": 1e22}[target]
    heights = np.array([0.0, 0.5], DTYPE)
    plan = SOLVERS[target](TwoValleys(heights), value)
    assert list(plan.status) == [Status.OK, Status.SEVERAL_OPTIMA]
    # The ridge lies where the best would be without it, and leaves one on either side.
    assert np.isnan(plan.params[1])
    assert_allclose(plan.tokens_per_param[0], 1, rtol=1e-5 if X64 else 1e-2)


def run_op_by_op(function, *args):
    with jax.disable_jit():
        return function(*args)


@pytest.mark.parametrize(
    "run",
    [
        interpreted,  # as the command line solves
        pytest.param(run_op_by_op, marks=pytest.mark.thorough),
    ],
)
def test_a_bracketed_search_runs_without_jit(run):
    # The ridge needs brackets.
    plan = run(js.minimize_cost, TwoValleys(np.asarray(0.1, DTYPE)), 2.1)
    # In the shape of the test above, whose program this shares.
    again = js.minimize_cost(TwoValleys(np.full(2, 0.1, DTYPE)), 2.1)
    assert plan.ok
    assert_allclose(plan.params, again.params[0], rtol=1e-9 if X64 else 1e-3)


@jax.jit
def total_slopes(law, losses, demand):
    """Derivatives of the sum of all costs by each loss, and by the demand that lanes share."""

    def total(losses, demand):
        return jnp.nansum(js.minimize_cost(law, losses, js.Demand(demand)).total_cost)

    return jax.grad(total, (0, 1))(losses, demand)


def test_bad_lanes_leave_their_neighbours_alone():
    losses = np.array([2.0, np.nan, 1.0, 2.1], DTYPE)
    law, demand = as_(InLogs, LAW), np.asarray(1e12, DTYPE)
    plan = js.minimize_cost(law, losses, js.Demand(demand))
    assert list(plan.status) == [0, Status.INVALID_INPUT, Status.INFEASIBLE_LOSS, 0]
    good = np.where([True, False, False, True], losses, losses[0])
    alone = js.minimize_cost(law, good, js.Demand(demand))
    np.testing.assert_array_equal(plan.params[::3], alone.params[::3])
    slopes = total_slopes(law, losses, demand)[0]
    np.testing.assert_array_equal(slopes[1:3], 0)
    assert_allclose(slopes[::3], total_slopes(law, good, demand)[0][::3], rtol=1e-12)


@pytest.mark.parametrize("law", [LAW, as_(InLogs, LAW)], ids=["closed", "any"])
def test_one_number_that_all_lanes_share_has_a_derivative(law):
    losses, demand = np.array([2.0, 2.1, 1.0, 2.2], DTYPE), np.asarray(1e12, DTYPE)
    shared = total_slopes(law, losses, demand)[1]
    each = [total_slopes(law, np.full(4, loss), demand)[1] / 4 for loss in losses]
    assert_allclose(shared, sum(each), rtol=1e-12 if X64 else 1e-5)


def test_a_bill_that_even_no_model_meets_is_said():
    law = js.laws.published("tao2024")
    demand, levers = js.Demand(1e12), {"vocabulary_params": 5e10}
    assert js.minimize_loss(law, 1e22, demand, levers=levers).status == Status.INFEASIBLE_BUDGET


@pytest.mark.parametrize(
    ("law", "message"),
    [
        (js.laws.Chinchilla, "law must be a jaxscale law, such as"),
        (object(), "law must be a jaxscale law, such as"),
        (2.0, "law must be a jaxscale law, such as"),
    ],
)
def test_what_is_no_law_is_named(law, message):
    with pytest.raises(TypeError, match=message):
        js.minimize_cost(law, 2.0)


def test_costs_and_demand_have_the_shape_of_all():
    law = as_(InLogs, LAW)
    losses, tokens = np.array([[2.0], [2.1]], DTYPE), np.array([0, 1e11, 1e12], DTYPE)
    plan = interpreted(js.minimize_cost, law, losses, js.Demand(tokens))
    assert all(getattr(plan, name).shape == (2, 3) for name in ("params", "status", "decode_cost"))
    by_row = jax.vmap(lambda loss: js.minimize_cost(law, loss, js.Demand(tokens)))
    again = interpreted(by_row, losses)
    np.testing.assert_array_equal(plan.params, again.params[:, :])
