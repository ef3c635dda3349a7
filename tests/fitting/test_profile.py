"""Profiles are constrained fits, and their intervals those of a likelihood where it is one."""

import numpy as np
import pytest

import jaxscale as js
from fitting.runs_at_hand import fitted_simulation, simulated
from jaxscale.fitting.chinchilla_claims import NAMES

Chinchilla = js.laws.Chinchilla


@pytest.mark.parametrize("name", NAMES)
def test_each_place_is_the_fit_with_that_coefficient_held(name):
    centre = getattr(fitted_simulation().law, name)
    values = centre * np.array([0.9, 1.0, 1.07])
    profile = js.profile_likelihood(fitted_simulation(), name, values)
    assert profile.converged.all()
    np.testing.assert_allclose(getattr(profile.law, name), values, rtol=1e-12)
    for place in (0, 2):
        held = js.fit(Chinchilla, simulated(), fixed={name: values[place]})
        assert profile.objective[place] == pytest.approx(held.objective, rel=1e-9)
        assert profile.law.beta[place] == pytest.approx(held.law.beta, rel=1e-6)
    assert profile.objective[1] == pytest.approx(fitted_simulation().objective, rel=1e-9)


def test_the_interval_of_a_likelihood_is_where_it_falls_by_half_a_chi_squared():
    fit = js.fit(Chinchilla, simulated(), objective=js.fitting.HuberLikelihood(1.0))
    profile = js.profile_likelihood(fit, "beta")
    for edge in profile.interval(0.95):
        held = js.fit(
            Chinchilla,
            simulated(),
            objective=js.fitting.HuberLikelihood(1.0),
            fixed={"beta": edge},
        )
        assert 2 * (held.objective - fit.objective) == pytest.approx(3.8415, rel=0.02)


def test_the_interval_of_squared_errors_is_near_the_standard_error():
    fit = js.fit(Chinchilla, simulated(), objective=js.fitting.SquaredError())
    low, high = js.profile_likelihood(fit, "alpha").interval(0.6827)
    assert (high - low) / 2 == pytest.approx(fit.standard_errors.alpha, rel=0.1)
    assert low < fit.law.alpha < high


def test_an_interval_beyond_the_values_is_open():
    centre = fitted_simulation().law.beta
    profile = js.profile_likelihood(fitted_simulation(), "beta", centre * np.array([1.0, 1.001]))
    assert profile.interval() == (-np.inf, np.inf)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("gamma", None, "name must be one of E, A, B, alpha, beta; got 'gamma'"),
        ("beta", [0.0, 0.3], "values must be finite, above 0"),
        ("beta", [], "one dimension"),
    ],
)
def test_mistakes_are_named(name, values, message):
    with pytest.raises(ValueError, match=message):
        js.profile_likelihood(fitted_simulation(), name, values)


def test_a_held_coefficient_has_no_profile():
    fit = js.fit(Chinchilla, simulated(), fixed={"E": 1.8})
    with pytest.raises(ValueError, match="E was held or tied"):
        js.profile_likelihood(fit, "E")
