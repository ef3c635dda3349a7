"""Designs of first runs: their sizes, their costs, and how well they would tell a plan."""

import csv

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from jaxscale.experiments._tables import _one_by_one, fit_tables

LAW = js.laws.published("besiroglu2024")
BUDGET = 1e21


def test_levels_cost_the_budget_and_each_is_centred_at_its_best_size():
    design = js.design(LAW, BUDGET, levels=3, step=4.0, sizes=5, span=1.0, replicates=1)
    assert len(design) == 18
    assert_allclose(design.total_cost, BUDGET, rtol=1e-12)
    assert_allclose(6 * design.params * design.tokens, design.flops, rtol=1e-6)
    levels = design.flops.reshape(3, 6)
    assert_allclose(levels, levels[:, :1] * np.ones(6), rtol=1e-12)
    assert_allclose(levels[1:, 0] / levels[:-1, 0], 4.0, rtol=1e-12)
    a, b = float(LAW.alpha), float(LAW.beta)
    scale = (a * float(LAW.A) / (b * float(LAW.B))) ** (1 / (a + b))
    best = scale * (levels[:, 0] / 6) ** (b / (a + b))  # Hoffmann et al. 2022, eq. 4
    offsets = np.log10(design.params.reshape(3, 6) / best[:, None])
    assert_allclose(offsets, np.tile([-1, -0.5, 0, 0, 0.5, 1], (3, 1)), atol=1e-6)
    assert_allclose(design.cumulative_cost, np.cumsum(design.flops))


def test_dollars_buy_the_flops_that_they_cost():
    costs = js.Costs(train=2e-18, prefill=1.0, decode=1.0)
    design = js.design(LAW, 5000.0, costs=costs)
    assert_allclose(design.cost, 2e-18 * design.flops, rtol=1e-12)
    assert_allclose(design.total_cost, 5000.0, rtol=1e-12)
    assert "cost" in design.columns
    assert "cost" not in js.design(LAW, BUDGET).columns


def test_a_law_of_its_own_flops_gets_the_tokens_that_they_buy():
    law = js.laws.published("krajewski2024")
    design = js.design(law, 1e22, levels=2, levers={"granularity": [2, 8]})
    assert len(design) == 2 * 2 * 8
    assert sorted(set(design.levers["granularity"])) == [2, 8]
    spent = law.flops(design.params, design.tokens, design.levers["granularity"]).train
    assert_allclose(spent, design.flops, rtol=1e-5)
    assert_allclose(design.total_cost, 1e22, rtol=1e-12)


def test_sizes_along_one_ratio_are_flagged():
    design = js.design(LAW, BUDGET)
    logs = np.log(design.params), np.log(design.tokens)
    assert_allclose(design.correlation, np.corrcoef(*logs)[0, 1], rtol=1e-12)
    with pytest.warns(UserWarning, match=r"correlation of 0\.9"):
        js.design(LAW, BUDGET, span=0.05)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"budget": 0.0}, "budget must be finite and above 0"),
        ({"budget": "1e21"}, "budget must be finite and above 0; got '1e21'"),
        ({"budget": 1e6}, "at least one param and one token"),
        ({"span": 1e3}, "at least one param and one token"),
        ({"step": 1.0}, "step must be finite and above 1"),
        ({"sizes": 2}, "sizes must be a whole number, at least 3"),
        ({"levers": {"bits": 8}}, "no lever 'bits'"),
    ],
)
def test_a_wrong_number_is_named(changed, message):
    with pytest.raises(ValueError, match=message):
        js.design(LAW, **({"budget": BUDGET} | changed))


def test_counts_of_numpy_are_whole_numbers():
    assert len(js.design(LAW, BUDGET, levels=np.int64(2), sizes=np.int32(3))) == 10


def test_what_is_no_price_and_no_lever_is_named():
    with pytest.raises(TypeError, match=r"costs must be js\.Costs; got 2\.0"):
        js.design(LAW, BUDGET, costs=2.0)
    law = js.laws.published("krajewski2024")
    for levers in ([], "best"):
        with pytest.raises(ValueError, match="granularity must be a number or several"):
            js.design(law, BUDGET, levers={"granularity": levers})


def test_a_law_without_a_best_size_is_refused():
    law = js.laws.published("clark2022_sbase")
    with pytest.raises(ValueError, match="no compute-optimal size"):
        js.design(law, BUDGET, levers={"experts": 8})


def test_the_table_is_written_shown_and_fitted(tmp_path):
    design = js.design(LAW, BUDGET, levels=2)
    design.to_csv(tmp_path / "runs.csv")
    with open(tmp_path / "runs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["params"]) for row in rows] == pytest.approx(design.params, rel=1e-11)
    assert [float(row["cumulative_cost"]) for row in rows][-1] == pytest.approx(BUDGET)
    assert repr(design).splitlines()[0].startswith("16 runs for 1.00e21 FLOPs, ")
    assert "<table>" in design._repr_html_()
    runs = design.observed(np.full(16, 2.5))
    assert len(runs) == 16
    with pytest.raises(ValueError, match="loss must have 16 values"):
        design.observed([2.5])


# --- Scores ---------------------------------------------------------------------------------


def linear_deviation(design, at, noise):
    """Standard deviation of ln N* by the derivatives of Chinchilla's law, written out."""
    E, A, B, a, b = (float(getattr(LAW, name)) for name in ("E", "A", "B", "alpha", "beta"))
    x, y = A * design.params**-a, B * design.tokens**-b
    loss = E + x + y
    slopes = np.stack([x, y, E + 0 * x, -x * np.log(design.params), -y * np.log(design.tokens)])
    slopes = slopes / loss
    s, G, ln = a + b, np.log(a * A / (b * B)), np.log(at / 6)
    by_exponents = 1 / (a * s) - G / s**2 - b * ln / s**2, -1 / (b * s) - G / s**2 + a * ln / s**2
    g = np.array([1 / s, -1 / s, 0, *by_exponents])
    return noise * np.sqrt(g @ np.linalg.solve(slopes @ slopes.T, g))


@pytest.fixture(scope="module")
def score():
    """The error of squares, whose theory is known, at the default design."""
    design = js.design(LAW, BUDGET)
    squares = js.fitting.SquaredError()
    return js.experiments.score_design(
        design, LAW, at=1e23, noise=0.002, tables=300, key=3, objective=squares
    )


def test_errors_are_those_of_linear_theory(score):
    expected = linear_deviation(js.design(LAW, BUDGET), 1e23, 0.002)
    # Of 300 tables a deviation is known to 4 %.
    assert_allclose(score.params.rmse, expected, rtol=0.16)
    # A sandwich of 40 runs is a little narrow.
    assert_allclose(score.params.width, 2 * 1.96 * expected, rtol=0.25)
    assert abs(score.params.bias) < 4 * expected / np.sqrt(300)
    assert score.ok == 1


def test_intervals_hold_the_truth_as_often_as_they_say(score):
    # 95 % of 300 tables, give or take 1.3 %, and less for a sandwich of 40 runs.
    for quantity in (score.params, score.tokens, score.loss, score.exponent):
        assert 0.83 < quantity.coverage <= 0.99


def test_truths_and_regret_are_those_of_the_law(score):
    plan = js.compute_optimal(LAW, flops=1e23)
    assert_allclose(score.params.truth, float(plan.params), rtol=1e-5)
    assert_allclose(score.loss.truth, float(plan.loss), rtol=1e-6)
    a, b = float(LAW.alpha), float(LAW.beta)
    assert_allclose(score.exponent.truth, b / (a + b), rtol=1e-5)
    x, y = float(LAW.A * plan.params**-a), float(LAW.B * plan.tokens**-b)
    curvature = a * a * x + b * b * y  # of the loss in ln N, at constant FLOPs
    assert_allclose(score.regret, curvature * score.params.rmse**2 / 2, rtol=0.05)
    assert "Loss of the plan above the best" in repr(score)


def test_tables_at_once_are_fitted_as_one_by_one():
    design = js.design(LAW, BUDGET, levels=3)
    with jax.enable_x64(True):
        exact = np.asarray(LAW.loss(design.params, design.tokens), float)
    noise = np.random.default_rng(5).standard_normal((4, len(design)))
    losses = exact * np.exp(0.005 * noise)
    fitted = js.fit(js.laws.Chinchilla, design.observed(exact))
    advanced = []
    at_once = fit_tables(fitted, losses, {}, advanced.append)
    alone = _one_by_one(fitted, losses, {}, None)
    assert sum(advanced) == 4
    assert at_once.ok.all()
    assert_allclose(at_once.coordinates, alone.coordinates, rtol=1e-6)
    assert_allclose(at_once.covariance, alone.covariance, rtol=1e-4)


def test_a_design_that_leaves_coefficients_open_is_refused():
    one_ratio = js.Runs(np.geomspace(1e8, 1e10, 12), 20 * np.geomspace(1e8, 1e10, 12), None)
    with pytest.raises(ValueError, match="does not identify"):
        js.experiments.score_design(one_ratio, LAW, at=1e23)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"noise": 0}, "noise must be finite and above 0"),
        ({"noise": 1}, "noise must be above 0 and below 1"),
        ({"level": "a"}, "level must be finite and above 0; got 'a'"),
        ({"at": None}, "at must be finite and above 0; got None"),
        ({"tables": 1}, "tables must be a whole number"),
        ({"levers": {"bits": 8}, "tables": 2}, "no lever 'bits'"),
    ],
)
def test_a_wrong_number_of_a_score_is_named(changed, message):
    design = js.design(LAW, BUDGET, levels=2)
    with pytest.raises(ValueError, match=message):
        js.experiments.score_design(design, LAW, **({"at": 1e23} | changed))


@pytest.mark.thorough
def test_any_family_is_scored():
    law = js.laws.published("kaplan2020")
    design = js.design(law, 1e22, levels=4)
    score = js.experiments.score_design(design, law, at=1e24, tables=40)
    assert score.ok == 1
    assert 0.01 < score.params.rmse < 0.3
