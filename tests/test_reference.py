"""The references are right: they are held to the equations, to papers and to each other."""

import os

import numpy as np
import pytest
from mpmath import mp, mpf

from reference import (
    DIGITS,
    NO_DEMAND,
    UNBOUNDED,
    Bounds,
    Costs,
    Demand,
    Law,
    Solution,
    best,
    best_bounded,
    brute_force_best,
    brute_force_cheapest,
    cheapest,
    cheapest_bounded,
    derivative,
    error_bound,
    gradient_by_name,
    in_normal_range,
    moderate_scenario,
    priced,
    random_bounds,
    random_budgets,
    random_scenarios,
    rows,
    solve_row,
)

SARDANA = Law(E=1.69, A=406.4, B=410.7, alpha=0.336, beta=0.283)  # Sardana et al. 2024, app. A


@pytest.fixture
def rng():
    seed = int(os.environ.get("JAXSCALE_TEST_SEED") or np.random.SeedSequence().entropy % 2**32)
    print(f"JAXSCALE_TEST_SEED={seed}")
    return np.random.default_rng(seed)


def parts(row, target="loss"):
    """(law, target, demand, costs) of a row."""
    return solve_row(lambda *scenario: scenario, row, target)


def relative(found, expected) -> float:
    with mp.workdps(2 * DIGITS):
        return float(abs(mpf(found) / mpf(expected) - 1))


# --- Stationarity and the constraint -------------------------------------------------------


def distance_to_stationary(objective_at, tokens) -> float:
    """How far log D is from the minimum, by one Newton step on differences of the objective."""
    with mp.workdps(2 * DIGITS):
        step = mpf(10) ** -25
        before, here, after = (objective_at(tokens * mp.exp(k * step)) for k in (-1, 0, 1))
        curvature = before - 2 * here + after
        assert curvature > 0, "the objective does not rise to both sides"
        return float(abs((after - before) / (2 * curvature)) * step)


def cost_along_iso_loss(law, loss, demand, costs):
    def cost(tokens):
        rest = mpf(loss) - mpf(law.E) - law.B * tokens ** -mpf(law.beta)
        params = (law.A / rest) ** (1 / mpf(law.alpha))
        return priced(law, params, tokens, demand, costs).total_cost

    return cost


def loss_along_budget(law, budget, demand, costs):
    def loss(tokens):
        one = priced(law, 1, tokens, demand, costs)  # the cost is proportional to N
        # Less E, next to which the rest can be too small for twice the digits.
        return priced(law, budget / one.total_cost, tokens, demand, costs).loss - mpf(law.E)

    return loss


def assert_cheapest(law, loss, demand, costs):
    plan = cheapest(law, loss, demand, costs)
    with mp.workdps(2 * DIGITS):
        miss = abs(plan.loss - mpf(loss)) / (mpf(loss) - mpf(law.E))
    assert miss < 1e-38
    cost = cost_along_iso_loss(law, loss, demand, costs)
    assert distance_to_stationary(cost, plan.tokens) < 1e-40
    return plan


def assert_best(law, budget, demand, costs):
    plan = best(law, budget, demand, costs)
    assert relative(plan.total_cost, budget) < 1e-45
    loss = loss_along_budget(law, budget, demand, costs)
    assert distance_to_stationary(loss, plan.tokens) < 1e-40
    return plan


def assert_both_problems_agree(law, loss, demand, costs):
    plan = assert_cheapest(law, loss, demand, costs)
    same = assert_best(law, plan.total_cost, demand, costs)
    # The better of two plans is so in both problems: at this budget, this very loss.
    assert relative(same.tokens, plan.tokens) < 1e-35
    assert relative(same.params, plan.params) < 1e-35


EVEN = Costs(1, 1, 1)
CORNERS = {
    "smallest exponents": (Law(0, 1, 1, 0.02, 0.02), 1.0, Demand(1e12), EVEN),
    "largest exponents": (Law(0, 1, 1, 2.0, 2.0), 1.0, Demand(1e12), EVEN),
    "alpha small, beta large": (Law(0, 1e6, 1e-3, 0.02, 2.0), 1e-9, Demand(1e30), EVEN),
    "alpha large, beta small": (Law(0, 1e-3, 1e6, 2.0, 0.02), 1e-9, Demand(1e30), EVEN),
    "largest plan": (Law(0, 1e6, 1e6, 0.02, 0.02), 1e-9, Demand(1e30, 1e30), EVEN),
    "smallest plan": (Law(0, 1e-3, 1e-3, 0.02, 0.02), 1e3, NO_DEMAND, EVEN),
    "smallest plan, largest demand": (Law(0, 1e-3, 1e-3, 0.02, 0.02), 1e3, Demand(1e30), EVEN),
    "alpha exactly 1": (Law(1.5, 400.0, 400.0, 1.0, 0.3), 2.0, Demand(1e12), EVEN),
    "alpha 2, demand 1": (Law(1.5, 400.0, 400.0, 2.0, 0.3), 2.0, Demand(1.0), EVEN),
    "no demand": (Law(3.0, 1e6, 1e-3, 2.0, 0.02), 3.0 + 1e-9, NO_DEMAND, EVEN),
    "demand of 1e-300": (SARDANA, 2.0, Demand(1e-300, 0), EVEN),
    "demand far above tokens": (Law(0, 1e-3, 1e-3, 2.0, 2.0), 1e3, Demand(1e30), EVEN),
    "loss next to E": (SARDANA, float(np.nextafter(1.69, 2)), Demand(1e12, 1e12), EVEN),
    "tiny prices": (SARDANA, 2.0, Demand(1e12, 1e12), Costs(1e-300, 1e-303, 1e-297)),
    "huge prices": (SARDANA, 2.0, Demand(1e12, 1e12), Costs(1e300, 1e297, 1e303)),
    "free serving": (SARDANA, 2.0, Demand(1e12, 1e12), Costs(1.0, 0.0, 0.0)),
    "one exponent 100 times the other": (Law(0, 1, 1, 2.0, 0.02), 1e3, Demand(1e30), EVEN),
}


@pytest.mark.parametrize("scenario", CORNERS.values(), ids=CORNERS.keys())
def test_corners_of_the_domain_are_stationary_on_their_constraint(scenario):
    assert_both_problems_agree(*scenario)


def test_random_scenarios_are_stationary_on_their_constraint(rng):
    for row in rows(random_scenarios(rng, 200)):
        assert_both_problems_agree(*parts(row))


def test_a_loss_of_E_has_no_cheapest_plan():
    with pytest.raises(ValueError, match="loss must exceed E"):
        cheapest(SARDANA, SARDANA.E)
    assert cheapest_bounded(SARDANA, SARDANA.E) == (None, frozenset())


def test_zero_demand_has_the_closed_form():
    """Hoffmann et al. 2022, eq. 4, and its counterpart at fixed loss."""
    with mp.workdps(DIGITS):
        E, A, B, alpha, beta = map(mpf, SARDANA)
        ratio = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
        compute = mpf("5.76e23")
        at_budget = best(SARDANA, compute)
        at_loss = cheapest(SARDANA, mpf(2))
        tokens = ((1 + beta / alpha) * B / (2 - E)) ** (1 / beta)
        params = ratio * (compute / 6) ** (beta / (alpha + beta))
        rest = compute / (6 * params)
    assert relative(at_budget.params, params) < 1e-45
    assert relative(at_budget.tokens, rest) < 1e-45
    assert relative(at_loss.tokens, tokens) < 1e-45
    assert at_loss.prefill_cost == at_loss.decode_cost == 0


# --- Published tables ----------------------------------------------------------------------


def assert_printed(value, printed: str, units: float = 1.0):
    """Equal to a number as printed, up to so many units of its last digit."""
    mantissa, _, exponent = printed.partition("e")
    digits = len(mantissa.partition(".")[2])
    unit = 10.0 ** (int(exponent or 0) - digits)
    assert abs(float(value) - float(printed)) <= units * unit, (float(value), printed)


# D_inf, loss, Chinchilla N, D and FLOPs, optimal N, D and FLOPs, saving in %. The first
# optimal N is printed as 6.33M, a slip: its own FLOPs need 633e6.
TABLE_2 = [
    ("50e9", "2.53", "1e9", "27.4e9", "2.64e20", "633e6", "46.8e9", "2.41e20", "9.1"),
    ("200e9", "2.13", "7e9", "276e9", "1.44e22", "5.40e9", "367e9", "1.40e22", "2.6"),
    ("1e12", "2.05", "13e9", "577e9", "7.10e22", "8.32e9", "967e9", "6.49e22", "8.5"),
    ("5e12", "1.96", "30e9", "1.56e12", "5.80e23", "16.4e9", "3.27e12", "4.86e23", "16"),
    ("10e12", "1.89", "70e9", "4.26e12", "3.19e24", "41.6e9", "7.92e12", "2.81e24", "12"),
]


def chinchilla_plan(params, demand, costs=EVEN) -> Solution:
    """The plan with these params that is optimal without demand, priced with it."""
    _, A, B, alpha, beta = SARDANA
    tokens = (beta * B / (alpha * A) * params**alpha) ** (1 / beta)
    return priced(SARDANA, params, tokens, demand, costs)


@pytest.mark.parametrize("row", TABLE_2, ids=[row[2] for row in TABLE_2])
def test_sardana_table_2_to_the_printed_digits(row):
    tokens, loss, params, *printed, saving = row
    demand = Demand(input_tokens=float(tokens))
    chinchilla = chinchilla_plan(float(params), demand)
    plan = cheapest(SARDANA, chinchilla.loss, demand)
    assert_printed(chinchilla.loss, loss)
    found = (chinchilla.tokens, chinchilla.total_cost, plan.params, plan.tokens, plan.total_cost)
    for value, text in zip(found, printed, strict=True):
        assert_printed(value, text)
    reduction = 100 * (1 - plan.total_cost / chinchilla.total_cost)
    # Half a unit, and 0.1 points for their costs were rounded first.
    half = 0.5 if "." not in saving else 0.05
    assert abs(float(reduction) - float(saving)) <= half + 0.1


# D_inf, Chinchilla N and $, optimal N, D and $. The third optimal N is printed as 430B, a
# slip: its own cost needs 4.30e9.
TABLE_3 = [
    ("50e9", "1e9", "3.77e3", "327e6", "152e9", "1.89e3"),
    ("200e9", "7e9", "124e3", "2.90e9", "929e9", "81.8e3"),
    ("1e12", "13e9", "987e3", "4.30e9", "3.1e12", "500e3"),
    ("5e12", "30e9", "10.8e6", "8.58e9", "12.1e12", "4.52e6"),
    ("10e12", "70e9", "51.5e6", "21.5e9", "27e12", "23.8e6"),
]


@pytest.mark.parametrize("row", TABLE_3, ids=[row[1] for row in TABLE_3])
def test_sardana_table_3_to_the_printed_digits(row):
    """In dollars. The table follows from 70 tokens read and 145 written out of 215."""
    tokens, params, *printed = row
    demand = Demand(float(tokens) * 70 / 215, float(tokens) * 145 / 215)
    hours = 1 / 3600
    train, serve = 1.5 * hours / 3.12e14, 1.1 * hours / 6.24e14
    costs = Costs(train / 0.5, serve / 0.5, serve / 0.01)
    chinchilla = chinchilla_plan(float(params), demand, costs)
    plan = cheapest(SARDANA, chinchilla.loss, demand, costs)
    found = (chinchilla.total_cost, plan.params, plan.tokens, plan.total_cost)
    for value, text in zip(found, printed, strict=True):
        assert_printed(value, text)


# --- Bounds and brute force ----------------------------------------------------------------


def assert_same_optimum(found, plan, price, objective):
    """`found` by brute force against a reference plan, or None against None."""
    assert (found is None) == (plan is None)
    if plan is None:
        return
    # The objective is flat at an optimum, so N and D are known to about its root precision.
    assert relative(found[0], plan.params) < 1e-5
    assert relative(found[1], plan.tokens) < 1e-5
    assert relative(objective(price(*found)), objective(plan)) < 1e-9


def check_against_brute_force(row, bounds):
    """Both problems, the budget being what the free cheapest plan costs; gives active bounds."""
    law, loss, demand, costs = parts(row)
    budget = float(cheapest(law, loss, demand, costs).total_cost)

    def price(params, tokens):
        return priced(law, params, tokens, demand, costs)

    plan, active = cheapest_bounded(law, loss, demand, costs, bounds)
    found = brute_force_cheapest(law, loss, demand, costs, bounds)
    assert_same_optimum(found, plan, price, lambda p: p.total_cost)
    other, also_active = best_bounded(law, budget, demand, costs, bounds)
    found = brute_force_best(law, budget, demand, costs, bounds)
    assert_same_optimum(found, other, price, lambda p: p.loss)
    return active, also_active


def test_brute_force_finds_the_free_optima(rng):
    for _ in range(10):
        active = check_against_brute_force(moderate_scenario(rng), UNBOUNDED)
        assert active == (frozenset(), frozenset())


def test_brute_force_finds_the_bounded_optima(rng):
    for _ in range(30):
        row = moderate_scenario(rng)
        check_against_brute_force(row, random_bounds(rng, solve_row(cheapest, row)))


def bounded_pair(bounds):
    """Both bounded answers around one plan of 5.4e9 params and 3.6e11 tokens; its budget."""
    demand = Demand(2e11)
    budget = cheapest(SARDANA, 2.13, demand).total_cost
    cheap = cheapest_bounded(SARDANA, 2.13, demand, EVEN, bounds)
    return cheap, best_bounded(SARDANA, budget, demand, EVEN, bounds), budget


BINDING = {
    "min_params": 6e9,
    "max_params": 5e9,
    "min_tokens": 4e11,
    "max_tokens": 3e11,
    "max_tokens_per_param": 60.0,
}


@pytest.mark.parametrize(("name", "value"), BINDING.items(), ids=BINDING.keys())
def test_each_bound_binds_with_the_target_still_met(name, value):
    bounds = UNBOUNDED._replace(**{name: value})
    (cheap, active), (good, also), budget = bounded_pair(bounds)
    assert active == also == {name}
    assert relative(cheap.loss, 2.13) < 1e-45
    assert relative(good.total_cost, budget) < 1e-45
    row = SARDANA._asdict() | Demand(2e11)._asdict() | Costs()._asdict() | {"loss": 2.13}
    check_against_brute_force(row, bounds)


def test_lower_corner_that_beats_the_loss_is_the_cheapest_plan():
    (plan, active), _, _ = bounded_pair(Bounds(min_params=7e9, min_tokens=4e11))
    assert plan[:2] == (7e9, 4e11)
    assert plan.loss < 2.13
    assert active == {"min_params", "min_tokens"}
    # The ratio can be what keeps N up.
    (plan, active), _, _ = bounded_pair(Bounds(min_tokens=4e11, max_tokens_per_param=50))
    assert plan[:2] == (8e9, 4e11)
    assert plan.loss < 2.13
    assert active == {"min_tokens", "max_tokens_per_param"}


def test_upper_corner_below_the_budget_is_the_best_plan():
    _, (plan, active), budget = bounded_pair(Bounds(max_params=5e9, max_tokens=3e11))
    assert plan[:2] == (5e9, 3e11)
    assert plan.total_cost < budget
    assert active == {"max_params", "max_tokens"}
    _, (plan, active), budget = bounded_pair(Bounds(max_params=5e9, max_tokens_per_param=50))
    assert plan[:2] == (5e9, 2.5e11)
    assert plan.total_cost < budget
    assert active == {"max_params", "max_tokens_per_param"}


INFEASIBLE = {
    "params the wrong way round": (Bounds(min_params=2e9, max_params=1e9), True, True),
    "tokens the wrong way round": (Bounds(min_tokens=2e9, max_tokens=1e9), True, True),
    "ratio out of reach": (
        Bounds(max_params=1e9, min_tokens=2e9, max_tokens_per_param=1.0),
        True,
        True,
    ),
    "too small for the loss": (Bounds(max_params=6e9, max_tokens=3e11), True, False),
    "too large for the budget": (Bounds(min_params=6e9, min_tokens=4e11), False, True),
}


@pytest.mark.parametrize("case", INFEASIBLE.values(), ids=INFEASIBLE.keys())
def test_infeasible_bounds_give_no_plan(case):
    bounds, no_cheapest, no_best = case
    (cheap, _), (good, _), _ = bounded_pair(bounds)
    assert (cheap is None, good is None) == (no_cheapest, no_best)


def test_equal_bounds_pin_the_plan_and_are_both_active():
    (plan, active), (other, also), _ = bounded_pair(Bounds(min_params=6e9, max_params=6e9))
    assert plan.params == other.params == 6e9
    assert active == also == {"min_params", "max_params"}


# --- Derivatives ---------------------------------------------------------------------------


@pytest.mark.parametrize("x", [0, 1e-300, 0.5, -2.0, 1e3])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivative_of_a_sine(x, order):
    with mp.workdps(2 * DIGITS):
        expected = mp.sin(mpf(x) + order * mp.pi / 2)
        found = derivative(mp.sin, x, order, scale=1)
        assert abs(found - expected) < 1e-20


def test_derivative_by_demand_at_zero_has_the_closed_form():
    """Eq. 12 to first order in D_inf: D = D0 + D_inf / (3 (alpha + beta))."""
    row = SARDANA._asdict() | Demand()._asdict() | Costs()._asdict() | {"loss": 2.0}
    slope = gradient_by_name(cheapest, row, "input_tokens")
    with mp.workdps(DIGITS):
        expected = 1 / (3 * (mpf(SARDANA.alpha) + mpf(SARDANA.beta)))
        assert relative(slope.tokens, expected) < 1e-40
        # At fixed loss the cost of one more token served is that of serving it.
        assert relative(slope.total_cost, 2 * cheapest(SARDANA, 2.0).params) < 1e-40


def test_gradients_satisfy_the_envelope_theorem(rng):
    """The optimal cost moves with each price and demand as if the plan stood still."""
    for row in rows(random_scenarios(rng, 10)):
        plan = solve_row(cheapest, row)
        with mp.workdps(DIGITS):
            expected = {
                "train": plan.train_cost / row["train"],
                "prefill": 2 * plan.params * row["input_tokens"],
                "output_tokens": 2 * plan.params * row["decode"],
            }
        for name, value in expected.items():
            found = gradient_by_name(cheapest, row, name).total_cost
            with mp.workdps(DIGITS):
                natural = plan.total_cost / row[name] if row[name] else 0
                assert abs(found - value) <= 1e-20 * max(value, natural)
        assert relative(gradient_by_name(cheapest, row, "loss").loss, 1) < 1e-20


def test_the_two_problems_have_inverse_gradients(rng):
    for row in rows(random_scenarios(rng, 10)):
        price_of_loss = gradient_by_name(cheapest, row, "loss").total_cost
        row["budget"] = solve_row(cheapest, row).total_cost
        for name in ("budget", "E"):
            gain = gradient_by_name(best, row, name, target="budget").loss
            expected = 1 / price_of_loss if name == "budget" else 1
            assert relative(gain, expected) < 1e-14


# --- Random scenarios ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_random_scenarios_lie_in_the_domain_as_rounded(rng, dtype):
    draws = random_scenarios(rng, 1000, dtype)
    assert all(x.shape == (1000,) and x.dtype == dtype for x in draws.values())
    assert all(np.isfinite(x).all() for x in draws.values())
    assert (draws["loss"] > draws["E"]).all()
    assert (draws["E"] == 0).mean() > 0.15
    served = draws["input_tokens"] + draws["output_tokens"]
    assert 0.05 < (served == 0).mean() < 0.15
    eps = np.finfo(dtype).eps
    for name, low, high in [("alpha", 0.02, 2), ("beta", 0.02, 2), ("A", 1e-3, 1e6)]:
        assert (draws[name] >= low * (1 - eps)).all()
        assert (draws[name] <= high * (1 + eps)).all()


def test_random_budgets_are_those_of_the_cheapest_plans(rng):
    draws = random_scenarios(rng, 20, np.float32, exponents=(0.2, 1.0))
    budgets = random_budgets(draws)
    assert budgets.dtype == np.float32
    for row, budget in zip(rows(draws), budgets.tolist(), strict=True):
        if in_normal_range(np.float32, budget):
            assert relative(budget, solve_row(cheapest, row).total_cost) < 1e-7


def test_in_normal_range_knows_the_dtypes():
    assert in_normal_range(np.float64, 1e300, mpf("1e-300"))
    assert not in_normal_range(np.float32, 1.0, 1e39)
    assert not in_normal_range(np.float32, 1e-40)
    assert not in_normal_range(np.float64, mpf("1e400"))


def test_error_bound_at_hand_computed_points():
    eps = 2.0**-52
    assert error_bound(eps, 0.0, 2.0, 2.0, 0.5) == 6 * eps
    assert np.isclose(error_bound(eps, -10.0, np.e, 1.0, 0.25), 38 * eps, rtol=1e-14)
