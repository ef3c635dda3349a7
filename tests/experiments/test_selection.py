"""Gains, updates and greedy choices: the numbers of one worked design, and what must hold of all.

The numbers were computed apart from this package, from the formulas of optimal design.
"""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from jaxscale.experiments import gains, greedy, information, information_matrix, updated
from jaxscale.fitting import jacobian

LAW = js.laws.Chinchilla(
    E=float(np.exp(0.597111960)),
    A=float(np.exp(6.177955976)),
    B=float(np.exp(7.642732362)),
    alpha=0.347813029,
    beta=0.365854117,
)
NOISE = 0.005
DIGITS = dict(rtol=1e-6)


def optimal_params(flops):
    """Hoffmann et al. 2022, eq. 4."""
    total = LAW.alpha + LAW.beta
    scale = (LAW.alpha * LAW.A / (LAW.beta * LAW.B)) ** (1 / total)
    return scale * (np.asarray(flops) / 6) ** (LAW.beta / total)


def design(budgets, reach, count):
    params = optimal_params(budgets)[:, None] * 10 ** np.linspace(-reach, reach, count)
    tokens = np.asarray(budgets)[:, None] / (6 * params)
    return SimpleNamespace(params=params.ravel(), tokens=tokens.ravel())


STARTED = design([1e18, 1e19, 1e20], 1.0, 5)
CANDIDATES = design([1e20, 1e21, 1e22], 1.2, 9)
COSTS = 6 * CANDIDATES.params * CANDIDATES.tokens


def log_size(law):
    return jnp.log(js.compute_optimal(law, flops=1e24).params)


@pytest.fixture(scope="module")
def known():
    return information(LAW, STARTED, NOISE)


@pytest.fixture(scope="module")
def slopes(known):
    return known.jacobian(CANDIDATES.params, CANDIDATES.tokens)


@pytest.fixture(scope="module")
def goal(known):
    return known.gradients(log_size)[1]


def sd(covariance, goal):
    return float(np.sqrt(goal[0] @ covariance @ goal[0]))


def test_the_information_of_a_first_design():
    matrix = information_matrix(LAW, STARTED.params, STARTED.tokens, NOISE)
    assert_allclose(np.linalg.slogdet(matrix)[1], 48.72083163, **DIGITS)
    order = [1, 2, 0, 3, 4]  # of the fields, as the number is of (ln A, ln B, ln E, a, b)
    assert_allclose(np.linalg.cond(matrix[np.ix_(order, order)]), 1.090e6, rtol=0.01)


def test_what_a_first_design_tells_of_the_size_and_of_the_exponent(known):
    assert_allclose(known.sd(log_size), 0.12044705, **DIGITS)
    exponent = known.sd(lambda law: law.beta / (law.alpha + law.beta))
    assert_allclose(exponent, 0.00903634, rtol=1e-6)


def test_the_gradient_of_the_size_is_the_closed_one(goal):
    a, b, total = LAW.alpha, LAW.beta, LAW.alpha + LAW.beta
    logs = np.log(1e24 / 6)
    scale = np.log(a) + np.log(LAW.A) - np.log(b) - np.log(LAW.B)
    by_a = 1 / (a * total) - scale / total**2 - b * logs / total**2
    by_b = -1 / (b * total) - scale / total**2 + logs / total - b * logs / total**2
    assert_allclose(goal[0], [0, 1 / total, -1 / total, by_a, by_b], rtol=1e-10, atol=1e-12)


# Method, power, best candidate, its gain (None: not published), deviation of ln N* after it.
ONE_RUN = [
    ("D", 0.0, 22, 1.22890467, 0.12043281),
    ("c", 0.0, 17, 3.41847100e-3, 0.10530442),
    ("c", 1.0, 8, None, 0.11101924),
    ("c", 0.4, 8, None, 0.11101924),
    ("D", 1.0, 8, None, 0.11101924),
]


@pytest.mark.parametrize(("method", "power", "best", "gain", "after"), ONE_RUN)
def test_the_best_single_run(known, slopes, goal, method, power, best, gain, after):
    chosen = greedy(
        known.covariance, slopes, NOISE**2, goal, COSTS, power=power, count=1, method=method
    )
    assert chosen.indices.tolist() == [best]
    if gain is not None:
        assert_allclose(chosen.gains, [gain], **DIGITS)
    covariance = updated(known.covariance, slopes[best], NOISE**2)
    assert_allclose(sd(covariance, goal), after, **DIGITS)


def test_the_best_run_for_predictions_over_a_region(known, slopes):
    region = design([1e24], 0.5, 5)
    goals = jacobian(LAW, region.params, region.tokens)
    before = np.einsum("ti,ij,tj->", goals, known.covariance, goals)
    assert_allclose(before, 8.34174884e-4, **DIGITS)
    found = gains(known.covariance, slopes, NOISE**2, goals)
    assert np.argmax(found) == 22
    assert_allclose(found[22], 5.73615158e-4, **DIGITS)
    assert_allclose(CANDIDATES.params[22], 9.057635e9, rtol=1e-6)
    assert_allclose(CANDIDATES.tokens[22], 1.840068e11, rtol=1e-6)


@pytest.mark.parametrize(
    ("power", "indices", "after"),
    [(0.0, [17, 18, 26, 18, 26], 0.06469612), (1.0, [8, 0, 7, 1, 7], 0.08935214)],
)
def test_five_runs(known, slopes, goal, power, indices, after):
    chosen = greedy(
        known.covariance, slopes, NOISE**2, goal, COSTS, power=power, count=5, method="c"
    )
    assert chosen.indices.tolist() == indices
    covariance = known.covariance
    for index in indices:
        covariance = updated(covariance, slopes[index], NOISE**2)
    assert_allclose(sd(covariance, goal), after, **DIGITS)
    assert_allclose(chosen.gains.sum(), sd(known.covariance, goal) ** 2 - after**2, rtol=1e-5)
    if power:
        assert_allclose(COSTS[indices].sum(), 5.0e20, rtol=1e-9)
