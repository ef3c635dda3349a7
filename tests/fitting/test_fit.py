"""What a fit takes, what it gives back, and what it refuses."""

from dataclasses import replace

import jax
import numpy as np
import optax
import pytest

import jaxscale as js
from fitting.runs_at_hand import TRUTH, fitted, fitted_simulation, simulated, table
from jaxscale.fitting import FitStatus
from jaxscale.fitting.chinchilla_claims import NAMES

Chinchilla = js.laws.Chinchilla


def coefficients(law):
    return np.array([float(getattr(law, name)) for name in NAMES])


def objective_at(law, runs, objective=None):
    """By the law's own loss, in plain NumPy."""
    params, tokens = np.asarray(runs.params), np.asarray(runs.tokens)
    loss = law.E + law.A / params**law.alpha + law.B / tokens**law.beta
    objective = objective or js.fitting.Huber()
    with jax.enable_x64(True):
        return float(objective.value(np.log(loss / runs.loss), np.ones(len(runs))))


class TestResult:
    def test_exact_runs_give_their_law_back(self):
        found = js.fit(Chinchilla, simulated(noise=0.0))
        np.testing.assert_allclose(coefficients(found.law), coefficients(TRUTH), rtol=1e-8)
        assert found.ok
        assert found.search.next_best == ()

    def test_noisy_runs_give_it_back_within_their_errors(self):
        found = fitted_simulation()
        off = coefficients(found.law) - coefficients(TRUTH)
        assert (np.abs(off) < 3 * coefficients(found.standard_errors)).all()

    def test_residuals_and_objective_are_those_of_the_law(self):
        found, runs = fitted_simulation(), simulated()
        assert found.objective == pytest.approx(objective_at(found.law, runs), rel=1e-9)
        with jax.enable_x64(True):
            loss = np.asarray(found.law.loss(runs.params, runs.tokens))
        np.testing.assert_allclose(found.residuals, np.log(loss / runs.loss), atol=1e-14)

    def test_it_prints_itself_as_a_small_table(self):
        lines = str(fitted_simulation()).splitlines()
        assert len(lines) < 16
        assert max(map(len, lines)) <= 100
        assert lines[0].endswith("fitted to 100 runs")
        for name, line in zip(NAMES, lines[2:7], strict=True):
            assert line.split()[0] == name
            assert float(line.split()[1]) == pytest.approx(
                getattr(fitted_simulation().law, name), rel=1e-5
            )
        assert "best of 256 starts; 32 of 32" in lines[8]
        assert lines[-1].strip().startswith("OK: ")

    def test_it_does_not_depend_on_the_callers_precision(self):
        with jax.enable_x64(not jax.config.read("jax_enable_x64")):
            again = js.fit(Chinchilla, simulated())
        assert coefficients(again.law).tolist() == coefficients(fitted_simulation().law).tolist()

    def test_runs_of_the_same_sizes_in_any_unit_give_the_same_exponents(self):
        runs = simulated()
        billions = js.Runs(runs.params / 1e9, runs.tokens / 1e9, runs.loss)
        found, law = js.fit(Chinchilla, billions), fitted_simulation().law
        assert found.objective == pytest.approx(fitted_simulation().objective, rel=1e-10)
        assert found.law.beta == pytest.approx(law.beta, rel=1e-8)
        assert pytest.approx(law.A * 1e9**-law.alpha, rel=1e-7) == found.law.A


OBJECTIVES = {
    "squared": js.fitting.SquaredError(),
    "absolute": js.fitting.AbsoluteError(),
    "wide huber": js.fitting.Huber(0.01),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_law_nearby_has_a_lower_objective(name, rng):
    found = js.fit(Chinchilla, simulated(), objective=OBJECTIVES[name])
    assert found.ok
    least = objective_at(found.law, simulated(), OBJECTIVES[name])
    assert least == pytest.approx(found.objective, rel=1e-9)
    for size in (1e-6, 1e-4, 1e-2):
        for _ in range(20):
            moved = coefficients(found.law) * (1 + size * rng.normal(size=5))
            law = Chinchilla(**dict(zip(NAMES, moved.tolist(), strict=True)))
            # Absolute errors below 1e-10 are counted as squares.
            near = least * (1 - 1e-8)
            assert objective_at(law, simulated(), OBJECTIVES[name]) >= near


class TestConstraints:
    def test_fixed_coefficients_stay_and_the_others_are_best(self):
        fixed = {"E": 1.75, "alpha": 0.36}
        found = js.fit(Chinchilla, simulated(), fixed=fixed)
        assert found.law.E == 1.75
        assert found.law.alpha == 0.36
        assert found.ok
        assert found.covariance[0].tolist() == [0.0] * 5
        for name in ("A", "B", "beta"):
            for factor in (1 - 1e-5, 1 + 1e-5):
                moved = replace(found.law, **{name: getattr(found.law, name) * factor})
                assert objective_at(moved, simulated()) > found.objective
        assert "held" in str(found)

    def test_a_and_b_may_be_fixed_too(self):
        found = js.fit(Chinchilla, simulated(), fixed={"A": 480.0, "B": 2100.0})
        assert (found.law.A, found.law.B) == (480.0, 2100.0)
        assert found.ok
        np.testing.assert_allclose(coefficients(found.law), coefficients(TRUTH), rtol=0.02)

    def test_tied_exponents_are_one(self):
        found = js.fit(Chinchilla, simulated(), tie=(("alpha", "beta"),))
        assert found.law.alpha == pytest.approx(found.law.beta, rel=1e-12)
        assert found.ok
        assert found.objective > fitted_simulation().objective
        for factor in (1 - 1e-5, 1 + 1e-5):
            both = {"alpha": found.law.alpha * factor, "beta": found.law.beta * factor}
            assert objective_at(replace(found.law, **both), simulated()) > found.objective

    def test_a_bound_that_binds_is_a_status(self):
        found = js.fit(Chinchilla, simulated(), bounds={"E": (0.5, 1.7)})
        assert pytest.approx(1.7, rel=1e-12) == found.law.E
        assert found.status is FitStatus.AT_BOUND
        at = js.fit(Chinchilla, simulated(), fixed={"E": 1.7})
        assert found.objective == pytest.approx(at.objective, rel=1e-9)
        exponent = js.fit(Chinchilla, simulated(), bounds={"alpha": (0.1, 0.3)})
        assert exponent.status is FitStatus.EXPONENT_AT_BOUND
        scale = js.fit(Chinchilla, simulated(), bounds={"A": (10, 200)})
        assert pytest.approx(200, rel=1e-9) == scale.law.A

    def test_a_bound_that_does_not_bind_changes_nothing(self):
        found = js.fit(Chinchilla, simulated(), bounds={"E": (0.5, 3.0), "beta": (0.1, 1.0)})
        assert found.ok
        np.testing.assert_allclose(
            coefficients(found.law), coefficients(fitted_simulation().law), rtol=1e-8
        )

    def test_a_prior_costs_what_a_run_that_is_off_by_delta_does(self):
        centre, deviation = 0.40, 0.002
        found = js.fit(Chinchilla, simulated(), prior={"beta": (centre, deviation)})
        free = fitted_simulation().law.beta
        assert free < found.law.beta < centre

        def total(law):
            off = (law.beta - centre) / deviation
            return objective_at(law, simulated()) + 1e-6 * off**2 / 2

        for name in NAMES:
            for factor in (1 - 1e-5, 1 + 1e-5):
                moved = replace(found.law, **{name: getattr(found.law, name) * factor})
                assert total(moved) > total(found.law) * (1 - 1e-12), name

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"fixed": {"Alpha": 0.3}}, r"no coefficient 'Alpha' \(did you mean alpha\?\)"),
            ({"fixed": {"E": -1.0}}, r"fixed\['E'\] must be finite, and 0 or more; got -1"),
            ({"fixed": {"E": 1.0}, "bounds": {"E": (1, 2)}}, "E is fixed"),
            ({"tie": (("alpha", "beta"),), "fixed": {"beta": 0.3}}, "beta is tied"),
            ({"bounds": {"E": (2, 1)}}, r"bounds\['E'\] must be 0 or more and ascending"),
            ({"bounds": {"E": 2}}, r"bounds\['E'\] must be two numbers; got 2"),
            ({"prior": {"E": (1.0, 0.0)}}, r"prior\['E'\] must have a deviation above 0"),
            ({"starts": "hoffman"}, "starts must be None, 'hoffmann2022'"),
            ({"starts": Chinchilla(-1.0, 1.0, 1.0, 1.0, 1.0)}, "finite, and above 0"),
        ],
    )
    def test_mistakes_are_named(self, options, message):
        with pytest.raises(ValueError, match=message):
            js.fit(Chinchilla, simulated(), **options)


def few(count):
    return simulated().select(slice(count))


class TestStatus:
    def test_too_few_runs(self):
        assert js.fit(Chinchilla, few(5)).status is FitStatus.TOO_FEW_RUNS
        repeated = few(5).select(np.repeat(np.arange(5), 4))
        assert js.fit(Chinchilla, repeated).status is FitStatus.TOO_FEW_RUNS
        held = js.fit(Chinchilla, few(6), fixed={"alpha": 0.348, "beta": 0.366})
        assert held.status is not FitStatus.TOO_FEW_RUNS

    def test_runs_that_want_no_e(self):
        law = Chinchilla(E=1e-9, A=20.0, B=60.0, alpha=0.12, beta=0.16)
        found = js.fit(Chinchilla, js.fitting.simulate(law, 80, key=2, noise=0.001))
        # With noise E is as likely to be wanted below 0 as above, and here it is below.
        assert found.status is FitStatus.E_AT_ZERO
        assert found.law.E < 1e-5

    def test_runs_of_one_size_do_not_identify_its_term(self):
        runs = replace(simulated(), params=np.full(100, 1e9))
        runs = replace(runs, loss=np.asarray(TRUTH.loss(runs.params, runs.tokens), float))
        found = js.fit(Chinchilla, runs)
        assert not found.ok
        assert found.status.sentence

    def test_an_absurd_value_that_is_held_leaves_no_minimum(self):
        with pytest.raises(ValueError, match="not finite at any of 256 starts"):
            js.fit(Chinchilla, simulated(), fixed={"alpha": 1e9})

    def test_every_status_has_a_sentence(self):
        for status in FitStatus:
            assert status.sentence.endswith(".")


NAN = float("nan")


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([1, 2, 3], "runs must be js.Runs"),
        (js.Runs([1e9], [1e9, 2e9], [2.0]), "columns of one length, at least 1; got params 1, tok"),
        (js.Runs([], [], []), "at least 1"),
        (js.Runs([[1e9]], [[1e9]], [[2.0]]), "one dimension; got shape"),
        (js.Runs([1e9, -1.0], [1e9, 1e9], [2.0, 2.0]), "params must be finite.*-1 in row 2"),
        (js.Runs([1e9, 1e9], [1e9, NAN], [2.0, 2.0]), "tokens must be finite.*nan in row 2"),
        (js.Runs([1e9] * 9, [1e9] * 9, [0.0] * 9), "loss must .*row 1, .* and 6 more"),
        (js.Runs(["big"], [1e9], [2.0]), "params must be numbers"),
        (js.Runs([1e9], [1e9], [2.0], weights=[-1.0]), "weights must be finite and 0 or more"),
        (js.Runs([1e9], [1e9], [2.0], weights=[0.0]), "weights must be above 0 for at least one"),
        (js.Runs([1e9], [1e9], [2.0], group=["a", "b"]), "one length.*group 2"),
    ],
)
def test_impossible_runs_are_refused_by_row(runs, message):
    with pytest.raises((TypeError, ValueError), match=message):
        js.fit(Chinchilla, runs)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("huber", "objective must be a js.fitting Huber, SquaredError.*; got 'huber'"),
        (js.fitting.Huber, "objective must be"),
        (js.fitting.Huber(0.0), "objective.delta must be finite and above 0; got 0.0"),
        (js.fitting.HuberLikelihood(NAN), "objective.delta must be finite and above 0; got nan"),
        (js.fitting.Huber(np.ones(2)), "objective.delta must be finite"),
    ],
)
def test_objectives_that_are_none_are_named(objective, message):
    with pytest.raises((TypeError, ValueError), match=message):
        js.fit(Chinchilla, simulated(), objective=objective)


def test_only_the_class_of_a_law_can_be_fitted():
    with pytest.raises(TypeError, match=r"law must be the class js\.laws\.Chinchilla"):
        js.fit(TRUTH, simulated())


OPTIMIZERS = {
    "lbfgs": optax.lbfgs(),
    "adam": optax.adam(optax.cosine_decay_schedule(0.1, 3000)),
}


@pytest.mark.parametrize(
    ("runs", "name"),
    [pytest.param("besiroglu", "adam", marks=pytest.mark.thorough), ("sardana", "lbfgs")],
)
def test_an_optax_optimiser_reaches_the_same_minimum(name, runs):
    found = js.fit(Chinchilla, table(runs), optimizer=OPTIMIZERS[name])
    assert found.objective == pytest.approx(fitted(runs).objective, rel=1e-9)
    assert found.ok


def test_simulated_runs_keep_to_what_was_asked():
    runs = js.fitting.simulate(TRUTH, 500, key=1, noise=0.0, flops=(1e20, 1e21))
    assert len(runs) == 500
    assert (runs.flops >= 1e20 * (1 - 1e-9)).all()
    assert (runs.flops <= 1e21 * (1 + 1e-9)).all()
    ratio = runs.tokens_per_param
    assert 5 <= ratio.min() < 6 < 400 < ratio.max() <= 500
    with jax.enable_x64(True):
        np.testing.assert_allclose(runs.loss, TRUTH.loss(runs.params, runs.tokens), rtol=1e-15)
    noisy = js.fitting.simulate(TRUTH, 500, key=1, noise=0.01, flops=(1e20, 1e21))
    assert np.std(np.log(noisy.loss / runs.loss)) == pytest.approx(0.01, rel=0.1)
    with pytest.raises(ValueError, match="count must be"):
        js.fitting.simulate(TRUTH, 0, key=1)
    with pytest.raises(ValueError, match="noise must be"):
        js.fitting.simulate(TRUTH, 10, key=1, noise=1.0)
    with pytest.raises(ValueError, match="flops must be finite, above 0 and ascending"):
        js.fitting.simulate(TRUTH, 10, key=1, flops=(1e21, 1e20))
