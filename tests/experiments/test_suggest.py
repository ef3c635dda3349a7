"""Suggestions: regret and the stop rule, budgets, resamples, files, families and mistakes."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from jaxscale._numerics.interpreted import interpreted  # compiles nothing
from jaxscale.experiments import information, read_information
from jaxscale.experiments._information import information_of
from jaxscale.experiments._suggest import worth

LAW = js.laws.published("besiroglu2024")
AT = 1e24


@pytest.fixture(autouse=True)
def _references_in_float64():
    """As suggestions are, whatever the switch says."""
    with jax.enable_x64(True):
        yield


def sized(budgets, reach, count):
    with jax.enable_x64(True):
        params = np.asarray(js.compute_optimal(LAW, flops=np.asarray(budgets)).params)
    params = params[:, None] * 10 ** np.linspace(-reach, reach, count)
    tokens = np.asarray(budgets)[:, None] / (6 * params)
    return js.Runs(params.ravel(), tokens.ravel(), np.ones(params.size))


STARTED = sized([1e18, 1e19, 1e20], 1.0, 5)
CANDIDATES = sized([1e20, 1e21, 1e22], 1.2, 9)


@pytest.fixture(scope="module")
def known():
    return information(LAW, STARTED, 0.005)


@pytest.fixture(scope="module")
def fit():
    runs = js.fitting.simulate(LAW, 60, key=3, flops=(1e18, 1e20))
    return js.fit(js.laws.Chinchilla, runs)


def test_the_expected_regret_of_a_plan(known):
    # The worked design, with the coefficients of the catalogue, which have more digits.
    found = js.suggest(known, CANDIDATES, at=AT)
    assert_allclose(found.regret_before[0], 1.314229e-4, rtol=1e-6)
    assert_allclose(found.sd_before[0], 0.12044705, rtol=1e-6)
    curvature = 2 * found.regret_before[0] / found.sd_before[0] ** 2
    assert_allclose(curvature, 1.81179362e-2, rtol=1e-6)
    params, tokens = float(found.plan.params), float(found.plan.tokens)
    by_hand = LAW.alpha**2 * LAW.A / params**LAW.alpha + LAW.beta**2 * LAW.B / tokens**LAW.beta
    assert_allclose(curvature, by_hand, rtol=1e-10)


def test_the_stop_rule_compares_each_run_with_the_fall_of_regret(known):
    found = js.suggest(known, CANDIDATES, at=AT, count=8)
    assert_allclose(found.cost, 6 * found.params * found.tokens)
    assert_allclose(found.sd_after[:-1], found.sd_before[1:])
    fall = found.regret_before - found.regret_after
    assert_allclose(found.saved, fall * js.compute_optimal(LAW, flops=AT).marginal_cost, rtol=1e-9)
    assert found.worth == 6  # those of a ten-thousandth of the plan
    assert (found.saved > found.cost).tolist() == [True] * 6 + [False] * 2
    assert found.advice.startswith("Train the first 6 runs: they cost 6.00e20 FLOPs and save")
    assert found.advice.endswith("The next costs 1.00e21 FLOPs and saves 3.34e20 FLOPs: stop.")
    small = js.suggest(known, CANDIDATES, at=1e21, count=3)
    assert small.worth == 0  # where a run costs as much as the plan itself
    assert small.advice.startswith("Stop: the next run costs 1.00e20 FLOPs")
    assert not small.columns["worth"].any()


def test_only_first_runs_that_save_more_than_they_cost_are_worth_it():
    assert worth(np.array([5.0, 2.0, 0.5, 0.4]), np.ones(4)) == 2
    assert worth(np.array([0.5, 5.0]), np.ones(2)) == 2  # the two ends of a size range, say
    assert worth(np.array([0.5, 0.4]), np.ones(2)) == 0
    assert worth(np.array([np.nan, 5.0]), np.ones(2)) == 0


@pytest.mark.parametrize("power", [0.0, 0.4, 1.0])
def test_a_set_keeps_its_budget_and_saves_the_most_beyond_its_cost(known, power):
    found = js.suggest(known, CANDIDATES, at=AT, budget=3e21, power=power)
    assert found.cost.sum() <= 3e21 * (1 + 1e-9)
    assert np.unique(found.index, return_counts=True)[1].max() <= 2

    def net(suggestion):
        return (suggestion.saved - suggestion.cost)[: suggestion.worth].sum()

    assert net(found) > 0
    for other in (0.0, 0.4, 1.0):
        plain = js.suggest(known, CANDIDATES, at=AT, count=3, power=other)
        if plain.cost.sum() <= 3e21:
            assert net(found) >= net(plain) * (1 - 1e-9)


def test_budgets_offer_31_sizes_around_the_best_one(known):
    found = js.suggest(known, budgets=[1e20, 1e21], at=AT, count=40, cap=1)
    assert found.candidates == 62
    best = np.asarray(js.compute_optimal(LAW, flops=found.cost).params)
    decades = np.log10(found.params / best)
    assert_allclose(np.abs(decades).max(), 1.2, rtol=1e-9)
    assert_allclose(decades, 0.08 * np.round(decades / 0.08), atol=1e-9)
    alone = js.suggest(known, budget=1e21, at=AT, count=3)
    assert alone.candidates == 7 * 31
    assert alone.cost.sum() <= 1e21 * (1 + 1e-9)
    # None below the smallest run of the design.
    assert js.suggest(known, budget=1e20, at=AT, count=3).candidates == 5 * 31
    with pytest.raises(ValueError, match=r"1\.00e17 FLOPs, does not pay for the smallest"):
        js.suggest(known, budget=1e17, at=AT, count=3)


def test_dollars_and_costs_of_ones_own(known):
    costs = js.Costs(train=2e-18, prefill=2e-18, decode=2e-18)
    flops = js.suggest(known, CANDIDATES, at=AT, count=3)
    money = js.suggest(known, CANDIDATES, at=AT, count=3, cost=costs)
    assert (flops.unit, money.unit) == ("FLOPs", "dollars")
    assert_allclose(money.cost, 2e-18 * flops.cost, rtol=1e-12)
    assert_allclose(money.saved, 2e-18 * flops.saved, rtol=1e-9)
    own = js.suggest(known, CANDIDATES, at=AT, count=3, cost=lambda n, d: 12e-18 * n * d)
    assert_allclose(own.saved, money.saved, rtol=1e-5)  # by a difference
    assert own.index.tolist() == money.index.tolist() == flops.index.tolist()
    assert "$" in repr(money)


def test_a_plan_that_serves_rests_on_its_own_size_and_budget(known):
    costs = js.Costs(train=1e-18, prefill=1e-18, decode=4e-18)
    demand = js.Demand(1e12, 1e12)
    found = js.suggest(known, CANDIDATES, at=AT, count=1, cost=costs, demand=demand)
    plan = js.minimize_loss(LAW, 1e6, demand, costs)
    assert_allclose(found.plan.params, plan.params, rtol=1e-12)
    assert_allclose(found.marginal_cost, plan.marginal_cost, rtol=1e-12)

    # Loss against size at the same lifetime cost, by differences.
    def loss(step):
        params = float(plan.params) * np.exp(step)
        serving = 2 * params * (1e-18 * 1e12 + 4e-18 * 1e12)
        return float(LAW.loss(params, (1e6 - serving) / (6e-18 * params)))

    bent = (loss(1e-2) - 2 * loss(0) + loss(-1e-2)) / 1e-4
    curvature = 2 * found.regret_before[0] / found.sd_before[0] ** 2
    assert_allclose(curvature, bent, rtol=1e-3)


def test_goals_by_name_are_functions_of_the_law(known):
    def size(law):
        return jnp.log(js.compute_optimal(law, flops=AT).params)

    def loss(law):
        return jnp.log(js.compute_optimal(law, flops=AT).loss)

    for name, fn in (("N*", size), ("loss", loss)):
        named = js.suggest(known, CANDIDATES, at=AT, goal=name, method="c", count=2)
        own = js.suggest(known, CANDIDATES, at=AT, goal=fn, method="c", count=2)
        assert_allclose(named.sd_after, own.sd_after, rtol=1e-9)
        assert_allclose(own.sd_before[0], known.sd(fn)[0], rtol=1e-9)
    # The size is chosen, so to first order its error does not change the loss: the loss at the
    # plan's size is as uncertain, and its cost by the slope of the frontier.
    region = js.suggest(known, CANDIDATES, at=AT, goal="loss", count=1, power=0.0)
    assert region.gain[0] == pytest.approx(5.73615158e-4, rel=1e-6)  # of the worked design
    cost = js.suggest(known, CANDIDATES, at=AT, goal="cost", count=1)
    slope = float(js.compute_optimal(LAW, flops=AT).marginal_cost) * float(cost.plan.loss) / AT
    assert_allclose(cost.sd_before[0] / known.sd(loss)[0], slope, rtol=1e-6)


def test_an_equal_bootstrap_chooses_as_the_law_does(known):
    same = replace(known, laws=js.laws.Chinchilla(*(np.full(30, x) for x in vars(LAW).values())))
    one = js.suggest(known, CANDIDATES, at=AT, count=4)
    many = js.suggest(same, CANDIDATES, at=AT, count=4)
    assert many.index.tolist() == one.index.tolist()
    assert_allclose(many.gain, one.gain, rtol=1e-9)


def test_a_bootstrap_averages_over_its_resamples_and_widens_the_sizes(fit):
    boot = js.bootstrap(fit, resamples=200, key=1)
    found = js.suggest(boot, budgets=[1e21], at=AT, count=2)
    narrow = js.suggest(fit, budgets=[1e21], at=AT, count=2)
    assert found.params.max() / found.params.min() >= narrow.params.max() / narrow.params.min()
    assert found.sd_before[0] != narrow.sd_before[0]


def test_a_file_answers_as_the_fit_does(fit, tmp_path):
    boot = js.bootstrap(fit, resamples=100, key=1)
    fit.save(tmp_path / "fit.json")
    fit.save(tmp_path / "boot.json", boot)
    for given, name in ((fit, "fit.json"), (boot, "boot.json")):
        one = js.suggest(given, CANDIDATES, at=AT, count=3)
        other = js.suggest(tmp_path / name, CANDIDATES, at=AT, count=3)
        assert other.index.tolist() == one.index.tolist()
        assert_allclose(other.sd_after, one.sd_after, rtol=1e-5)  # draws have nine digits
    record = json.loads((tmp_path / "boot.json").read_text())
    del record["noise"]  # as older versions wrote it
    record["covariance"] = None
    (tmp_path / "older.json").write_text(json.dumps(record))
    older = read_information(tmp_path / "older.json")
    spread = record["quality"]["residual_spread"]
    assert_allclose(older.noise, spread * np.sqrt(np.pi / 2))
    assert_allclose(older.covariance, boot.covariance, rtol=1e-5)


def test_any_family_with_levers_is_answered():
    law, levers = js.laws.published("kumar2024"), {"bits": 8.0}
    runs = js.fitting.simulate(LAW, 60, key=1)
    runs = replace(runs, levers={"bits": np.resize([3.0, 4.0, 6.0, 8.0, 16.0], 60)})
    known = information(law, runs, 0.01)
    found = js.suggest(known, budgets=[1e21], at=1e23, levers=levers, count=2)
    assert_allclose(found.levers["bits"], 8.0)
    assert (found.sd_after < found.sd_before).all()

    # By differences of the solver.
    slopes = []
    for name in known.names:
        value, step = float(getattr(law, name)), 1e-4
        ends = [
            replace(law, **{name: value * np.exp(sign * step) if positive else value + sign * step})
            for positive in (js.laws.fitted.coefficients_of(type(law))[name].positive,)
            for sign in (1, -1)
        ]
        asked = {"flops": 1e23, "levers": levers}
        sizes = [float(interpreted(js.compute_optimal, each, **asked).params) for each in ends]
        slopes.append(np.log(sizes[0] / sizes[1]) / (2 * step))
    variance = np.array(slopes) @ known.covariance @ np.array(slopes)
    assert_allclose(found.sd_before[0], np.sqrt(variance), rtol=1e-4)


def test_losses_that_may_be_negative_are_known_by_themselves():
    law, levers = js.laws.published("tao2024"), {"vocabulary_params": 1e8}
    known = information(law, replace(STARTED, levers={"vocabulary_params": np.full(15, 1e8)}), 0.01)
    found = js.suggest(known, CANDIDATES, at=1e22, levers=levers, goal="loss")
    assert found.goal == "loss"


def test_noise_is_that_of_the_residuals_and_never_below_that_of_seeds():
    runs = js.fitting.simulate(LAW, 40, key=1, noise=0.01)
    squares = js.fit(js.laws.Chinchilla, runs, objective=js.fitting.SquaredError())
    sd = np.sqrt(np.sum(squares.residuals**2) / 35)
    noise = js.fitting.noise_of(squares)
    assert_allclose(noise.sd, sd, rtol=0.1)
    exact = js.fitting.simulate(LAW, 40, key=1, noise=1e-6)
    floor = js.fitting.noise_of(js.fit(js.laws.Chinchilla, exact))
    assert floor.sd == 0.002
    assert floor.factor > 1e4


def test_few_runs_are_joined_by_a_prior():
    few = STARTED.select(slice(0, 6))
    known = information(LAW, few, 0.005)
    assert np.isfinite(known.covariance).all()
    assert (np.diag(known.covariance) <= np.array([9, 9, 9, 0.25, 0.25]) * (1 + 1e-9)).all()


def test_a_file_tells_of_few_runs_what_the_fit_does(tmp_path):
    fit = js.fit(js.laws.Chinchilla, js.fitting.simulate(LAW, 7, key=1, flops=(1e18, 1e20)))
    fit.save(tmp_path / "few.json")
    ours, read = information_of(fit), read_information(tmp_path / "few.json")
    assert_allclose(read.covariance, ours.covariance, rtol=1e-9)
    assert read.noise == ours.noise


def test_a_file_without_residuals_says_so(tmp_path):
    record = {
        "format": "jaxscale fit 2",
        "family": "Chinchilla",
        "law": {name: float(x) for name, x in vars(LAW).items()},
        "ranges": {},
        "covariance": np.diag(np.full(5, 1e-4)).tolist(),
    }
    for part in ({}, {"noise": {"sd": None, "factor": 1.0}}, {"quality": {}}):
        (tmp_path / "old.json").write_text(json.dumps(record | part))
        with pytest.raises(ValueError, match="does not say how far its runs are from the law"):
            js.experiments.read_information(tmp_path / "old.json")


def test_a_result_prints_and_becomes_a_table(known):
    found = js.suggest(known, CANDIDATES, at=AT, count=2)
    assert repr(found).splitlines()[-1] == found.advice
    assert found.advice in found._repr_html_().replace("&#x27;", "'")
    assert found.cumulative_cost.tolist() == np.cumsum(found.cost).tolist()
    pytest.importorskip("pandas")
    assert len(found.to_dataframe()) == 2


def test_the_switch_of_jax_changes_nothing(known):
    with jax.enable_x64(True):
        one = js.suggest(known, budgets=[1e20], at=AT, count=2)
    with jax.enable_x64(False):
        other = js.suggest(known, budgets=[1e20], at=AT, count=2)
    assert_allclose(other.sd_after, one.sd_after, rtol=1e-12)
    assert_allclose(other.params, one.params, rtol=1e-12)


def test_nothing_within_the_budget_is_said(known):
    found = js.suggest(known, CANDIDATES, at=AT, budget=1e10)
    assert len(found) == 0
    assert found.advice.startswith("No candidate")
    assert found.advice in repr(found)


MISTAKES = [
    ({"at": 0.0}, ValueError, "at must be the FLOPs of one plan"),
    ({"goal": "size"}, ValueError, "goal must be 'N[*]', 'loss', 'cost' or a function"),
    ({"method": "A"}, ValueError, "method must be 'V', 'c' or 'D'"),
    ({"count": 0}, ValueError, "count must be a whole number"),
    ({"cap": 0}, ValueError, "cap must be a whole number"),
    ({"power": -1.0}, ValueError, "power must be 0 or more"),
    ({"budget": -1.0}, ValueError, "budget must be above 0"),
    ({"noise": 0.0}, ValueError, "noise must be above 0"),
    ({"cost": 3}, TypeError, "cost must be js.Costs or a function"),
    ({"candidates": 3}, TypeError, "candidates must have params and tokens"),
    ({"candidates": None}, ValueError, "give candidates, or budgets"),
    ({"budgets": [1e20]}, ValueError, "give candidates or budgets, not both"),
    ({"levers": {"bits": 8}}, ValueError, "no lever 'bits'"),
]


@pytest.mark.parametrize(
    ("given", "kind", "message"), MISTAKES, ids=lambda x: str(x)[:40] if x is not None else "none"
)
def test_mistakes_are_named(known, given, kind, message):
    arguments = {"candidates": CANDIDATES, "at": AT} | given
    with pytest.raises(kind, match=message):
        js.suggest(known, **arguments)


def test_what_is_no_fit_or_identifies_nothing_is_refused(tmp_path):
    with pytest.raises(TypeError, match="fit must be a js"):
        js.suggest(LAW, CANDIDATES, at=AT)
    line = js.fitting.simulate(LAW, 30, key=1, tokens_per_param=(20, 20))
    fit = js.fit(js.laws.Chinchilla, line)
    with pytest.raises(ValueError, match=r"do not identify .* train a first set of runs"):
        js.suggest(fit, CANDIDATES, at=AT)
    fit.save(tmp_path / "line.json")
    with pytest.raises(ValueError, match=r"do not identify .* train a first set of runs"):
        js.suggest(str(tmp_path / "line.json"), CANDIDATES, at=AT)
