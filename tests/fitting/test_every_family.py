"""Resampling, profiles, derivatives and hold-outs of any family, against closed forms and peers."""

import dataclasses
import functools
import json
from dataclasses import dataclass, replace

import jax
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from fitting.runs_at_hand import fitted_simulation, simulated
from fitting.test_any_law import (
    SQUARES,
    Line,
    Plain,
    Product,
    coefficients,
    design,
    least_squares,
    logs,
    noisy_runs,
)
from jaxscale.fitting import FitStatus


@functools.cache
def product():
    return js.fit(Product, noisy_runs(), objective=SQUARES)


@functools.cache
def plain():
    return js.fit(Plain, simulated())


def drawn(rng, count, resamples):
    return rng.integers(count, size=(resamples, count))


def test_each_resample_is_fitted_to_its_runs(rng):
    runs, rows = noisy_runs(), drawn(rng, 100, 20)
    boot = js.bootstrap(product(), indices=rows)
    assert boot.ok.all()
    found = np.stack([np.log(boot.law.A), boot.law.alpha, boot.law.beta])
    for at, each in enumerate(rows):
        weights = runs.weights * np.bincount(each, minlength=100)
        expected = least_squares(design(), np.log(runs.loss), weights)
        assert_allclose(found[:, at], expected, rtol=1e-8)
    assert_allclose(boot.covariance, np.cov(found), rtol=1e-8)
    low, high = boot.intervals()["alpha"]
    assert low < product().law.alpha < high


def test_the_kernel_of_any_law_resamples_as_the_one_of_chinchilla(rng):
    rows = drawn(rng, 100, 8)
    ours, theirs = (js.bootstrap(each, indices=rows) for each in (fitted_simulation(), plain()))
    assert_allclose(theirs.objective, ours.objective, rtol=1e-9)
    for name in ("E", "alpha", "beta"):
        assert_allclose(getattr(theirs.law, name), getattr(ours.law, name), rtol=1e-4)


def test_what_is_held_and_tied_stays_so_in_every_resample():
    tied = js.fit(Product, noisy_runs(), objective=SQUARES, tie=(("alpha", "beta"),))
    boot = js.bootstrap(tied, resamples=10, key=1)
    assert (boot.law.alpha == boot.law.beta).all()
    held = js.fit(Product, noisy_runs(), objective=SQUARES, fixed={"alpha": 0.1})
    boot = js.bootstrap(held, resamples=10, key=1)
    assert boot.law.alpha.shape == (10,)
    assert (boot.law.alpha == 0.1).all()
    assert boot.standard_errors.alpha == 0


def test_a_profile_is_the_best_of_the_rest_at_each_value():
    found = product()
    profile = js.profile_likelihood(found, "alpha", values=found.law.alpha * np.array([0.9, 1.1]))
    assert profile.converged.all()
    runs, columns = noisy_runs(), design()
    for value, objective in zip(profile.values, profile.objective, strict=True):
        target = np.log(runs.loss) - value * columns[:, 1]
        rest = least_squares(columns[:, [0, 2]], target, runs.weights)
        residuals = columns[:, [0, 2]] @ rest - target
        assert objective == pytest.approx(np.sum(runs.weights * residuals**2) / 2, rel=1e-9)
    low, high = js.profile_likelihood(found, "alpha").interval()
    assert low < found.law.alpha < high


def test_a_coefficient_of_any_sign_has_a_profile_below_zero():
    found = js.fit(Line, lines(), objective=SQUARES)
    low, high = js.profile_likelihood(found, "b").interval()
    assert low < found.law.b < high < 0


def test_names_and_values_of_a_profile_are_checked():
    with pytest.raises(ValueError, match="name must be one of A, alpha, beta; got 'gamma'"):
        js.profile_likelihood(product(), "gamma")
    held = js.fit(Product, noisy_runs(), objective=SQUARES, fixed={"alpha": 0.1})
    with pytest.raises(ValueError, match="alpha was held or tied"):
        js.profile_likelihood(held, "alpha")
    with pytest.raises(ValueError, match="values must be finite, above 0"):
        js.profile_likelihood(product(), "A", values=[-1.0])
    for function in (js.bootstrap, js.profile_likelihood):
        with pytest.raises(TypeError, match=r"needs a js\.fitting\.Fit; got 3"):
            function(3, "alpha") if function is js.profile_likelihood else function(3, key=0)


def test_derivatives_by_weights_and_losses_are_those_of_the_normal_equations():
    runs = noisy_runs()

    def alpha(weights, loss):
        given = replace(runs, weights=weights, loss=loss)
        return js.fit(Product, given, objective=SQUARES).law.alpha

    with jax.enable_x64(True):
        by_weight, by_loss = jax.grad(alpha, argnums=(0, 1))(runs.weights, runs.loss)
    # Of x = (X'WX)^-1 X'W y: dx/dw_i = (X'WX)^-1 x_i (y_i - x_i x), dx/dy_i = (X'WX)^-1 w_i x_i.
    columns, target = design(), np.log(runs.loss)
    best = least_squares(columns, target, runs.weights)
    inverse = np.linalg.inv(columns.T @ (runs.weights[:, None] * columns))
    pull = (columns @ inverse)[:, 1]
    assert_allclose(by_weight, pull * (target - columns @ best), rtol=1e-6, atol=1e-12)
    assert_allclose(by_loss, pull * runs.weights / runs.loss, rtol=1e-6)


def test_influence_is_that_of_the_hand_written_kernel():
    def size(law):
        return law.alpha / law.beta

    ours, theirs = fitted_simulation().influence(size), plain().influence(size)
    assert_allclose(theirs, ours, rtol=1e-4, atol=1e-5 * np.abs(ours).max())


def test_an_optax_optimiser_fits_any_family():
    # Without its line search, which takes three times as long to compile.
    optimizer = optax.lbfgs(linesearch=None)
    found = js.fit(Product, noisy_runs(), objective=SQUARES, optimizer=optimizer)
    assert_allclose(logs(found.law), logs(product().law), rtol=1e-6)
    assert found.ok


def lines():
    random = np.random.default_rng(2)
    runs, x = noisy_runs(), random.uniform(-1, 1, 100)
    loss = 1.0 - 0.2 * np.log(runs.params) + 0.5 * x + 0.1 * random.standard_normal(100)
    return replace(runs, loss=loss, levers={"x": x})


def test_a_hold_out_takes_any_family():
    runs = noisy_runs()
    check = js.holdout(runs, Product, by="flops", resamples=50, objective=SQUARES)
    smaller, larger = np.split(np.argsort(runs.flops), [80])
    weights = runs.weights[smaller]
    best = least_squares(design()[smaller], np.log(runs.loss[smaller]), weights)
    assert_allclose(check.predicted, np.exp(design()[larger] @ best), rtol=1e-8)
    assert_allclose(check.held.loss, runs.loss[larger])
    inside = (check.low <= runs.loss[larger]) & (runs.loss[larger] <= check.high)
    assert check.coverage == pytest.approx(inside.mean())
    below = js.holdout(lines(), law=Line, by="params", resamples=200)
    assert below.held.loss.max() < 0
    assert below.error == pytest.approx(0.1, rel=0.5)
    assert 0.7 < below.coverage <= 1
    assert "nats" in str(below)


def test_a_study_by_ratio_takes_any_family():
    (subset,) = js.fitting.fit_by_ratio(noisy_runs(), (200.0,), law=Product, objective=SQUARES)
    kept = noisy_runs().select(noisy_runs().tokens_per_param <= 200)
    expected = least_squares(design(kept), np.log(kept.loss), kept.weights)
    assert_allclose(logs(subset.fit.law), expected, rtol=1e-9)


def test_a_term_that_is_held_at_zero_takes_the_kernel_of_any_law():
    runs = simulated()
    loss = 20 * runs.params**-0.12 + 60 * runs.tokens**-0.16
    found = js.fit(js.laws.Chinchilla, replace(runs, loss=loss), fixed={"E": 0.0})
    assert found.ok
    assert_allclose(coefficients(found.law), [0.0, 20.0, 60.0, 0.12, 0.16], rtol=1e-6)
    with pytest.raises(ValueError, match=r"fixed\['A'\] must be a value that Chinchilla can have"):
        js.fit(js.laws.Chinchilla, runs, fixed={"A": 0.0})


def test_a_fit_is_saved_and_read_again(tmp_path):
    found, path = product(), tmp_path / "ours.json"
    boot = js.bootstrap(found, resamples=20, key=1)
    found.save(path, boot, dataset="a hundred runs", tokenizer="bytes")
    assert js.laws.load(path, family=Product) == found.law
    with pytest.raises(ValueError, match="a class of your own"):
        js.laws.load(path)
    record = json.loads(path.read_text())
    assert record["covariance_of"] == ["ln A", "alpha", "beta"]
    assert_allclose(record["covariance"], boot.covariance)
    assert record["dataset"] == "a hundred runs"
    assert_allclose(record["draws"]["alpha"], boot.law.alpha, rtol=1e-8)
    with pytest.raises(ValueError, match=r"path must end in \.json"):
        found.save(tmp_path / "ours.txt")


def test_a_fit_in_a_file_is_an_entry_with_its_covariance(tmp_path):
    found, path = fitted_simulation(), tmp_path / "ours.json"
    found.save(path)
    entry = js.laws.entry(str(path))
    assert entry.law == found.law
    assert_allclose(entry.covariance, found.covariance)
    assert entry.params_range == (simulated().params.min(), simulated().params.max())


# --- How results show themselves -------------------------------------------------------------


def test_results_show_themselves_in_few_lines():
    runs, found = noisy_runs(), product()
    boot = js.bootstrap(found, resamples=20, key=1)
    for each in (runs, found, boot):
        assert 3 < len(repr(each).splitlines()) <= 30
        assert max(map(len, repr(each).splitlines())) <= 120
        assert each._repr_html_().startswith("<table>")
    assert "100 runs" in repr(runs)
    assert "20 resamples" in repr(boot)


def test_results_become_data_frames():
    pytest.importorskip("pandas")
    runs, found = lines(), product()
    frame = runs.to_dataframe()
    assert list(frame.columns) == ["params", "tokens", "loss", "weights", "x"]
    assert_allclose(frame["loss"], runs.loss)
    frame = found.to_dataframe()
    assert frame.loc["alpha", "value"] == found.law.alpha
    assert frame.loc["alpha", "standard_error"] == found.standard_errors.alpha
    boot = js.bootstrap(found, resamples=20, key=1)
    assert_allclose(boot.to_dataframe()["beta"], boot.law.beta)


def test_pictures_take_results_as_they_come():
    pytest.importorskip("matplotlib")
    found = fitted_simulation()
    boot = js.bootstrap(found, resamples=100, key=1)
    for figure in (found.plot(), boot.plot(), js.plots.fit_surface(found, boot)):
        assert figure.axes
    few = js.plots.fit_sizes(found, boot, beside={"a": js.laws.published("sardana2024")})
    assert [panel.get_title(loc="left") for panel in few.axes] != []
    assert js.plots.fit_isoflops(found).axes
    levers = js.fit(Line, lines(), objective=SQUARES)
    with pytest.raises(ValueError, match="a law with levers has no sizes of its own; got Line"):
        js.plots.fit_surface(levers)


# --- Advice ----------------------------------------------------------------------------------


def test_advice_has_its_numbers_and_how_grave_it_is():
    few = js.fit(js.laws.Chinchilla, simulated().select(slice(12)))
    remarks = {each.about: each for each in few.diagnose()}
    assert remarks["number of runs"].severity == "warning"
    assert remarks["number of runs"].numbers == {"runs": 12, "coefficients": 5}
    assert "12 runs for 5 coefficients are few" in remarks["number of runs"].sentence
    one = js.fit(js.laws.Chinchilla, simulated().select(slice(5)))
    assert one.status is FitStatus.TOO_FEW_RUNS
    first, second, *_ = one.diagnose()
    assert (first.about, first.severity) == ("status", "problem")
    assert (second.about, second.severity) == ("not identified", "problem")
    assert all(each.sentence.endswith(".") for each in one.diagnose())


def test_normal_intervals_are_two_standard_errors_wide():
    found = fitted_simulation()
    low, high = found.intervals()["beta"]
    assert high - low == pytest.approx(2 * 1.959964 * found.standard_errors.beta, rel=1e-6)
    low, high = found.intervals(0.5)["A"]
    reach = 0.6744898 * found.standard_errors.A / found.law.A
    assert (low, high) == pytest.approx(
        (found.law.A * np.exp(-reach), found.law.A * np.exp(reach)), rel=1e-6
    )
    with pytest.raises(ValueError, match="level must be between 0 and 1; got 95"):
        found.intervals(95)


def test_intervals_of_sizes_are_quantiles_of_the_plans():
    boot = js.bootstrap(fitted_simulation(), resamples=50, key=1)
    ends = js.size_intervals(boot.law, [1e21, 1e23], level=0.9)
    with jax.enable_x64(True):
        laws = jax.tree.map(lambda x: x[:, None], boot.law)
        plans = js.minimize_loss(laws, np.array([1e21, 1e23]))
    for name, (low, high) in ends.items():
        expected = np.quantile(getattr(plans, name), [0.05, 0.95], axis=0)
        assert_allclose([low, high], expected, rtol=1e-12)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Fragile:
    """A law of which one in three has no optimum: loss falls with params alone."""

    slope: float

    def loss(self, params, tokens):
        return 1 + params**-self.slope + 0 * tokens


def test_where_many_laws_have_no_plan_nothing_is_known():
    ends = js.size_intervals(Fragile(np.array([0.3, 0.4])), 1e21)
    assert np.isnan(ends["params"]).all()
    assert dataclasses.fields(Fragile)


# --- Wrong calls, said by name ---------------------------------------------------------------


def test_resamples_of_another_fit_are_refused(tmp_path):
    other = js.bootstrap(fitted_simulation(), resamples=10, key=1)
    for call in (product().diagnose, lambda boot: product().save(tmp_path / "a.json", boot)):
        with pytest.raises(ValueError, match="must be of this fit; got resamples of another, of C"):
            call(other)
        with pytest.raises(TypeError, match=r"bootstrap must be what js\.bootstrap returns; got 3"):
            call(3)
    assert not list(tmp_path.iterdir())


def test_a_file_names_its_path_and_what_json_has_not(tmp_path):
    with pytest.raises(OSError, match=r"nowhere/a\.json"):
        product().save(tmp_path / "nowhere" / "a.json")
    with pytest.raises(TypeError, match="runs must be text, numbers, lists or dicts; got Runs"):
        product().save(tmp_path / "a.json", runs=noisy_runs())


def test_a_file_of_another_family_is_not_taken_for_the_one_asked_for(tmp_path):
    path = tmp_path / "a.json"
    fitted_simulation().save(path)
    with pytest.raises(ValueError, match="a fit of Chinchilla, and family is Kaplan"):
        js.laws.load(path, family=js.laws.Kaplan)
    with pytest.raises(TypeError, match="family must be a class of law; got 'Kaplan'"):
        js.laws.load(path, family="Kaplan")


def test_what_is_no_number_or_optimiser_or_sample_is_named():
    with pytest.raises(TypeError, match="fn must return one number; got Plan"):
        fitted_simulation().influence(lambda law: js.minimize_loss(law, 1e21))
    with pytest.raises(TypeError, match="optimizer must be an Optax transformation; got 'adam'"):
        js.fit(Product, noisy_runs(), optimizer="adam")
    for laws in (fitted_simulation().law, fitted_simulation()):
        with pytest.raises(ValueError, match=r"laws must be a law with a leading axis, as boot\.l"):
            js.size_intervals(laws, 1e21)


def test_other_results_show_themselves_in_few_lines():
    profile = js.profile_likelihood(product(), "alpha")
    check = js.holdout(noisy_runs(), Product, objective=SQUARES, resamples=20)
    subsets = js.fitting.fit_by_ratio(noisy_runs(), (200.0,), law=Product, objective=SQUARES)
    boot = js.bootstrap(fitted_simulation(), resamples=20, key=1)
    advice = product().diagnose()
    for each in (profile, check, subsets, boot.law, advice):
        assert len(repr(each).splitlines()) <= 30
        assert max(map(len, repr(each).splitlines())) <= 260
    assert repr(boot.law).startswith("Chinchilla(E=float64[20], A=float64[20], ")
    assert repr(profile).startswith("Profile of alpha: 41 values from ")
    for each in (profile, check, advice):
        assert each._repr_html_().startswith("<table>")
    pytest.importorskip("pandas")
    assert_allclose(profile.to_dataframe()["objective"], profile.objective)
    assert_allclose(check.to_dataframe()["predicted"], check.predicted)
    assert list(advice.to_dataframe()["about"]) == [each.about for each in advice]


def test_runs_that_do_not_belong_together_can_be_looked_at():
    assert repr(js.Runs([1e9], [2e10], [2.5, 2.6])).startswith("Runs(params=")
    assert js.Runs([1e9], [2e10], [2.5, 2.6])._repr_html_() is None
