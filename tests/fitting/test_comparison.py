"""Comparisons of fits: criteria and left-out errors by hand, and which family is believed."""

import functools
import itertools
from dataclasses import replace

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from fitting.runs_at_hand import simulated
from fitting.test_any_law import SQUARES, Line, Product, design, least_squares, noisy_runs
from jaxscale.fitting import FitStatus
from jaxscale.fitting._comparison import _folds
from jaxscale.fitting.likelihood import log_likelihood

# --- The noise -------------------------------------------------------------------------------


def huber(residuals, delta):
    size = np.abs(residuals)
    return np.where(size <= delta, size**2 / 2, delta * (size - delta / 2))


def likeliest(rho, residuals, weights):
    """Of the density `exp(-rho(r) / s) / Z`: Z summed over a fine grid, s the best of many."""
    far = 60 * np.abs(residuals).max()
    points = np.concatenate([-np.geomspace(far, 1e-9, 4000), np.geomspace(1e-9, far, 4000)])
    mean = weights @ rho(residuals) / weights.sum()
    values = []
    for scale in mean * np.geomspace(0.9, 2.1, 400):
        normaliser = np.trapezoid(np.exp(-rho(points) / scale), points)
        values.append(-np.log(normaliser) - mean / scale)
    return len(residuals) * max(values)


@pytest.mark.parametrize("ratio", [0.01, 0.7, 3.0])
def test_the_likelihood_of_huber_noise_is_that_of_its_density(rng, ratio):
    residuals, weights = 0.01 * rng.standard_normal(50), rng.uniform(0.5, 2, 50)
    delta = 0.01 * ratio
    expected = likeliest(lambda r: huber(r, delta), residuals, weights)
    found = log_likelihood(js.fitting.Huber(delta), residuals, weights)
    assert found == pytest.approx(expected, abs=50 * 1e-4)  # of the sums and steps above


def test_huber_noise_is_normal_for_a_large_delta_and_laplacian_for_a_small_one(rng):
    residuals, ones = 0.01 * rng.standard_normal(50), np.ones(50)
    normal = -25 * (np.log(2 * np.pi * np.mean(residuals**2)) + 1)
    laplace = -50 * (np.log(2 * np.mean(np.abs(residuals))) + 1)
    fitted = {
        "SquaredError": (js.fitting.SquaredError(), normal),
        "wide": (js.fitting.Huber(1.0), normal),
        "AbsoluteError": (js.fitting.AbsoluteError(), laplace),
        "narrow": (js.fitting.Huber(1e-9), laplace),
        "likelihood": (js.fitting.HuberLikelihood(50.0), normal),
    }
    for objective, expected in fitted.values():
        assert log_likelihood(objective, residuals, ones) == pytest.approx(expected, abs=1e-4)
        # Weights count by their ratios alone.
        again = log_likelihood(objective, residuals, 7 * ones)
        assert again == pytest.approx(expected, abs=1e-4)


# --- A linear family: all of a comparison by the normal equations ----------------------------


@functools.cache
def linear():
    """Exponents free, and one for both."""
    free = js.fit(Product, noisy_runs(), objective=SQUARES)
    tied = js.fit(Product, noisy_runs(), objective=SQUARES, tie=(("alpha", "beta"),))
    return js.compare({"free": free, "tied": tied}, question=lambda law: {"A": law.A})


def columns_of(name):
    columns = design()
    if name == "free":
        return columns
    return np.stack([columns[:, 0], columns[:, 1] + columns[:, 2]], axis=1)


def test_criteria_are_those_of_the_textbook():
    runs, comparison = noisy_runs(), linear()
    weights, target = runs.weights / runs.weights.mean(), np.log(runs.loss)
    criteria = []
    for row, count in zip(comparison.rows, (4, 3), strict=True):  # with the scale
        columns = columns_of(row.name)
        residuals = columns @ least_squares(columns, target, weights) - target
        variance = np.mean(weights * residuals**2)
        twice = 100 * (np.log(2 * np.pi * variance) + 1)
        assert row.log_likelihood == pytest.approx(-twice / 2)
        assert row.aic == pytest.approx(twice + 2 * count)
        assert row.bic == pytest.approx(twice + count * np.log(100))
        criteria.append(twice + 2 * count + 2 * count * (count + 1) / (100 - count - 1))
        assert row.aicc == pytest.approx(criteria[-1])
        assert row.coefficients == count - 1
        assert row.spread == pytest.approx(np.std(residuals))
    shares = np.exp(-(np.array(criteria) - min(criteria)) / 2)
    assert_allclose([row.weight for row in comparison.rows], shares / shares.sum(), rtol=1e-6)


def test_each_run_left_out_is_predicted_by_the_others():
    runs, comparison = noisy_runs(), linear()
    target, held = np.log(runs.loss), np.argsort(runs.flops, kind="stable")[-20:]
    assert_array_equal(np.sort(comparison.held), np.sort(held))

    def errors(columns, rows):
        others = np.setdiff1d(np.arange(100), rows)
        best = least_squares(columns[others], target[others], runs.weights[others])
        return columns[rows] @ best - target[rows]

    for row in comparison.rows:
        columns = columns_of(row.name)
        assert_allclose(row.held_errors, errors(columns, comparison.held), rtol=1e-6, atol=1e-10)
        for by, found in {"params": row.by_size, "flops": row.by_budget}.items():
            every = np.concatenate([errors(columns, rows) for rows in _folds(row.fit.runs, by)])
            assert found == pytest.approx(np.sqrt(np.mean(every**2)), rel=1e-6)


def test_a_comparison_shows_itself_and_its_answers():
    comparison = linear()
    lines = repr(comparison).splitlines()
    assert lines[0] == "2 fits to 100 runs, the 20 largest of them held out"
    assert "for normal noise" in repr(comparison)
    assert max(map(len, lines)) <= 120
    assert comparison._repr_html_().startswith("<table>")
    for row in comparison.rows:
        assert row.answer == {"A": pytest.approx(row.fit.law.A)}
        assert f"{100 * row.held_out:.2f} %" in repr(comparison)
    pytest.importorskip("pandas")
    frame = comparison.to_dataframe()
    assert list(frame.index) == ["free", "tied"]
    assert frame.loc["tied", "bic"] == comparison.rows[1].bic
    assert frame.loc["tied", "A"] == comparison.rows[1].fit.law.A


def test_runs_without_weight_change_nothing():
    runs = noisy_runs()
    more = js.Runs(
        *(np.append(x, 2 * x[:3]) for x in (runs.params, runs.tokens, runs.loss)),
        weights=np.append(runs.weights, np.zeros(3)),
    )
    (row,) = js.compare([js.fit(Product, more, objective=SQUARES)]).rows
    free = linear().rows[0]
    for name in ("held_out", "by_size", "aicc", "bic"):
        assert getattr(row, name) == pytest.approx(getattr(free, name), rel=1e-6)
    few = replace(simulated(), weights=(np.arange(100) < 5).astype(float))
    assert js.fit(js.laws.Chinchilla, few).status is FitStatus.TOO_FEW_RUNS


# --- Parts of the runs -----------------------------------------------------------------------


def test_runs_of_one_size_stay_together(rng):
    budgets = np.repeat([1e18, 3e18, 1e19, 3e19, 1e20, 3e20, 1e21], 9)
    params = np.tile(np.geomspace(1e7, 1e9, 9), 7)
    tokens = budgets / (6 * params) * rng.uniform(0.99, 1.01, 63)
    runs = js.Runs(params, tokens, np.full(63, 3.0))
    for by, kinds in {"flops": budgets, "params": params}.items():
        parts = _folds(runs, by)
        assert 3 <= len(parts) <= 5
        assert_array_equal(np.sort(np.concatenate(parts)), np.arange(63))
        inside = [set(kinds[rows]) for rows in parts]
        assert sum(map(len, inside)) == len(set(kinds))  # each kind in one part
        for smaller, larger in itertools.pairwise(inside):
            assert max(smaller) < min(larger)


def test_runs_of_one_training_stay_together(rng):
    group = rng.integers(12, size=80)
    runs = replace(simulated(80), group=group)
    parts = _folds(runs, "flops")
    assert sum(len(set(group[rows])) for rows in parts) == len(set(group))
    assert 2 <= len(parts) <= 5


def test_runs_of_one_size_have_no_parts():
    runs = replace(simulated(20), params=np.full(20, 1e9))
    assert _folds(runs, "params") == []


# --- Which family is believed ----------------------------------------------------------------

BUSBRIDGE = js.laws.Skaling(E=1.22, A=39.2, R=5.42, alpha=0.408, beta=0.431, k=0.452)


# Fits of one family to as many runs share a compiled program.
RUNS = 120


def compared(law, *families):
    runs = js.fitting.simulate(law, RUNS, key=5)
    return js.compare([js.fit(each, runs) for each in families])


def test_a_coefficient_that_tells_nothing_costs_what_it_should():
    law = js.laws.Chinchilla(E=1.8, A=480.0, B=1500.0, alpha=0.35, beta=0.35)
    runs = js.fitting.simulate(law, RUNS, key=5)
    free, tied = (js.fit(js.laws.Chinchilla, runs, tie=tie) for tie in ((), (("alpha", "beta"),)))
    comparison = js.compare({"free": free, "tied": tied})
    more, fewer = comparison.rows
    assert free.objective <= tied.objective
    assert more.log_likelihood >= fewer.log_likelihood
    assert fewer.bic < more.bic
    assert fewer.weight > 0.5
    assert more.weight + fewer.weight == pytest.approx(1)
    assert comparison.best is fewer
    assert "within noise" in comparison.advice


def test_the_family_of_the_runs_wins_over_one_that_it_holds():
    comparison = compared(BUSBRIDGE, js.laws.Chinchilla, js.laws.Skaling)
    nested, whole = comparison.rows
    assert whole.fit.ok
    assert whole.fit.objective < nested.fit.objective
    assert whole.bic < nested.bic - 10
    assert whole.held_out < nested.held_out
    assert whole.weight > 0.999
    assert comparison.best is whole
    assert "Chinchilla" in comparison.advice
    assert "worse by more than noise" in comparison.advice


@pytest.mark.thorough
def test_the_family_of_the_runs_wins_over_one_that_holds_it():
    chinchilla = js.laws.published("besiroglu2024")
    comparison = compared(chinchilla, js.laws.Chinchilla, js.laws.Skaling, js.laws.Kaplan)
    ours, larger, other = comparison.rows
    assert larger.fit.objective <= ours.fit.objective
    assert ours.bic < larger.bic
    assert ours.bic < other.bic - 100
    assert 0.5 < ours.weight < 0.9
    assert comparison.best is ours


@pytest.mark.thorough
def test_a_family_that_fits_badly_is_fitted_to_parts_as_well_as_from_all_starts():
    # Without the largest budgets Kaplan's law has two minima, with objectives 0.09 % apart; from
    # the best four of the starts at the edges of valleys, the fit ended at the higher one.
    params, flops = np.tile(np.geomspace(1e8, 1e9, 7), 6), np.repeat(np.geomspace(1e19, 1e21, 6), 7)
    tokens, noise = flops / 6 / params, np.random.default_rng(2).standard_normal(42)
    loss = np.asarray(js.laws.published("besiroglu2024").loss(params, tokens))
    whole = js.fit(js.laws.Kaplan, js.Runs(params, tokens, loss * np.exp(0.005 * noise)))
    comparison = js.compare([whole])
    held = comparison.held
    weights = np.where(np.isin(np.arange(42), held), 0.0, 1.0)
    others = js.fit(js.laws.Kaplan, replace(whole.runs, weights=weights))
    with jax.enable_x64(True):
        errors = np.log(others.law.loss(params[held], tokens[held]) / whole.runs.loss[held])
    assert comparison.rows[0].held_out == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-5)


@pytest.mark.thorough
def test_parts_are_fitted_as_well_as_from_all_starts():
    runs = js.fitting.simulate(BUSBRIDGE, RUNS, key=5)
    whole = js.fit(js.laws.Skaling, runs)
    (row,) = js.compare([whole]).rows
    every = []
    for rows in _folds(whole.runs, "params"):
        others = runs.select(np.setdiff1d(np.arange(RUNS), rows))
        law = js.fit(js.laws.Skaling, others).law
        with jax.enable_x64(True):
            every.append(np.log(law.loss(runs.params[rows], runs.tokens[rows]) / runs.loss[rows]))
    assert row.by_size == pytest.approx(np.sqrt(np.mean(np.concatenate(every) ** 2)), rel=1e-6)


def test_a_fit_that_is_not_known_has_no_part_in_it():
    runs = simulated()
    line = js.Runs(runs.params, 20 * runs.params, runs.loss)
    unknown = js.fit(Product, line, objective=SQUARES)
    known = js.fit(Product, line, objective=SQUARES, tie=(("alpha", "beta"),))
    assert not unknown.ok
    assert known.ok
    comparison = js.compare([unknown, known], question=lambda law: 1.0)
    first, second = comparison.rows
    for name in ("aic", "aicc", "bic", "weight", "held_out", "by_size", "log_likelihood"):
        assert np.isnan(getattr(first, name))
    assert np.isnan(first.answer["answer"])
    assert second.answer == {"answer": 1.0}
    assert second.weight == 1
    assert comparison.best is second
    assert unknown.status.name in repr(comparison)
    alone = js.compare([unknown])
    assert alone.best is None
    assert alone.advice.startswith("No fit is OK")


def test_the_advice_weighs_runs_held_out_and_criteria():
    comparison, alternating = linear(), np.resize([1.0, -1.0], 20)
    free = replace(comparison.rows[0], held_errors=np.full(20, 0.01))

    def advised(held_errors, aicc):
        tied = replace(comparison.rows[1], held_errors=held_errors, aicc=free.aicc + aicc)
        made = replace(comparison, rows=(free, tied))
        return made.best.name, made.advice

    alike = 0.01 * (0.98 + 0.1 * alternating)  # by 0.9 standard errors of the difference
    assert advised(alike, 3.9)[0] == "tied"
    name, advice = advised(alike, 50.0)
    assert name == "free"
    assert advice.startswith("tied predicts the 20 largest runs best, 0.99 % off; free (1.00 %) is")
    assert advice.endswith("Prefer free: the AICc of tied is 50.0 higher.")
    name, advice = advised(2 * alike, -50.0)  # whatever the criteria say
    assert name == "free"
    assert "tied (1.97 %) is worse by more than noise" in advice
    worse = 0.01 * (1.02 + 0.1 * alternating)
    assert advised(worse, 0.0)[1].endswith("Prefer tied: it needs 2 coefficients, not 3.")
    # Of one training there is one error, and of that no deviation.
    one = replace(comparison, runs=replace(comparison.runs, group=np.zeros(100, int)))
    assert one.best is one._ranked()[0]


def test_a_plan_is_an_answer():
    fit = js.fit(js.laws.Chinchilla, simulated(RUNS))
    (row,) = js.compare([fit], question=lambda law: js.compute_optimal(law, flops=1e24)).rows
    with jax.enable_x64(True):
        plan = js.compute_optimal(fit.law, flops=1e24)
    assert row.answer == {name: float(getattr(plan, name)) for name in ("params", "tokens", "loss")}


# --- Wrong calls, said by name ---------------------------------------------------------------


def test_fits_that_do_not_belong_together_are_refused():
    free = linear().rows[0].fit
    other = replace(noisy_runs(), loss=2 * noisy_runs().loss)
    with pytest.raises(ValueError, match="the same runs: loss of Product and Product 2"):
        js.compare([free, js.fit(Product, other, objective=SQUARES)])
    huber = js.fit(Product, noisy_runs())
    with pytest.raises(ValueError, match="one objective: Product and Product 2 have SquaredError"):
        js.compare([free, huber])
    lever = replace(noisy_runs(), levers={"x": np.linspace(-1, 1, 100)})
    with pytest.raises(ValueError, match="a and b cannot be compared: one has residuals of ln l"):
        js.compare({"a": free, "b": js.fit(Line, lever, objective=SQUARES)})
    with pytest.raises(TypeError, match=r"needs a js\.fitting\.Fit; got 3"):
        js.compare([3])
    with pytest.raises(TypeError, match="fits must be a list of fits"):
        js.compare(free)
    with pytest.raises(ValueError, match="fits is empty"):
        js.compare([])
    with pytest.raises(ValueError, match=r"fraction must leave runs .* got 1"):
        js.compare([free], fraction=1)
    with pytest.raises(ValueError, match="question must return single numbers; got answer"):
        js.compare([free], question=lambda law: np.ones(2))
