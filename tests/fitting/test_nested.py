"""A family that holds another one fits at least as well, and says truly where it ended."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pytest

import jaxscale as js
from fitting.runs_at_hand import TRUTH
from jaxscale.fitting.certificate import best_lane

ABSOLUTE = js.fitting.AbsoluteError()


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Blend:
    """Chinchilla at k = 1, with nothing but a loss: the example of the README."""

    E: Any
    A: Any
    B: Any
    alpha: Any
    beta: Any
    k: Any

    def loss(self, params, tokens):
        size, data = self.A / params**self.alpha, self.B / tokens**self.beta
        return self.E + (size**self.k + data**self.k) ** (1 / self.k)


def losses(law, runs):
    """In plain NumPy."""
    fields = dataclasses.astuple(law)
    return Blend(*(np.float64(x) for x in fields)).loss(runs.params, runs.tokens)


def sum_of_errors(law, runs):
    return np.abs(np.log(losses(law, runs) / runs.loss)).sum()


@pytest.fixture
def runs(rng):
    return js.fitting.simulate(TRUTH, 120, key=int(rng.integers(2**31)), noise=0.005)


@pytest.fixture
def nested(runs):
    return js.fit(js.laws.Chinchilla, runs, objective=ABSOLUTE).law


# Five hundred starts take longer than their program takes to optimise; those of Chinchilla do not.
@pytest.mark.usefixtures("nested", "compiled_as_users_do")
def test_absolute_errors_of_a_family_are_at_most_those_of_one_within_it(runs, nested, rng):
    found = js.fit(Blend, runs, objective=ABSOLUTE)
    assert found.objective == pytest.approx(sum_of_errors(found.law, runs), rel=1e-9)
    within = Blend(nested.E, nested.A, nested.B, nested.alpha, nested.beta, 1.0)
    assert found.objective <= sum_of_errors(within, runs) * (1 + 1e-9)
    # Among kinks no slope is 0: what tells a minimum is that every step leads up.
    for size in (1e-4, 1e-2):
        for step in size * rng.standard_normal((200, 6)):
            near = Blend(*(np.array(dataclasses.astuple(found.law)) * np.exp(step)))
            assert sum_of_errors(near, runs) >= found.objective * (1 - 1e-9)


@pytest.mark.thorough
@pytest.mark.usefixtures("compiled_as_users_do")
def test_a_likelihood_that_collapses_is_that_of_the_absolute_errors():
    runs = js.fitting.simulate(js.laws.published("besiroglu2024"), 240, key=1)
    # As delta goes to 0 the scale goes with it, and -ln L to n ln(sum of |r| / n) and a constant.
    likelihood = js.fitting.HuberLikelihood()
    found = js.fit(Blend, runs, objective=likelihood)
    nested = js.fit(js.laws.Chinchilla, runs, objective=likelihood)
    assert found.ok
    assert found.objective <= nested.objective + 1e-9 * abs(nested.objective)
    expected = len(runs) * np.log(sum_of_errors(found.law, runs) / np.abs(nested.residuals).sum())
    # Runs within the bound, at most some ten of 240, count as squares.
    assert found.objective - nested.objective == pytest.approx(expected, abs=0.02)


def test_of_lanes_at_one_minimum_one_that_has_converged_is_reported():
    converged = np.array([True, False, True, True])
    assert best_lane(np.array([2.0, 1.0, 1.0 + 1e-12, 1.1]), converged) == 2
    # A lower place that is no minimum is not hidden behind a higher one that is.
    assert best_lane(np.array([2.0, 0.9, 1.0, 1.1]), converged) == 1
