"""Gains, updates and greedy choices: the numbers of one worked design, and what must hold of all.

The numbers were computed apart from this package, from the formulas of optimal design.
"""

import time
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import jaxscale as js
from jaxscale.experiments import (
    gains,
    greedy,
    information,
    information_matrix,
    updated,
    within_budget,
)
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


# --- What holds of any matrices ---------------------------------------------------------------

CASES = given(
    seed=st.integers(0, 2**32 - 1),
    coordinates=st.integers(1, 7),
    candidates=st.integers(1, 12),
    variance=st.floats(1e-3, 1e3),
)
SOME = settings(max_examples=60, deadline=None, database=None)


class Case:
    """A covariance with the information behind it, slopes of candidates, and goals."""

    def __init__(self, seed, coordinates, candidates, variance):
        random = np.random.default_rng(seed)
        square = random.standard_normal((coordinates + 2, coordinates))
        self.matrix = square.T @ square + 0.1 * np.eye(coordinates)
        self.covariance = np.linalg.inv(self.matrix)
        self.slopes = random.standard_normal((candidates, coordinates))
        self.goals = random.standard_normal((3, coordinates))
        self.costs = np.exp(random.uniform(-3, 3, candidates))
        self.variance = variance

    def gains(self, method, goals=None, scale=1.0):
        covariance, variance = scale * self.covariance, scale * self.variance
        return gains(covariance, self.slopes, variance, goals, method)


def assert_close(ours, theirs):
    """Digits of the largest: a goal at right angles to a run gains nothing but rounding."""
    assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10 * np.abs(theirs).max())


@SOME
@CASES
def test_the_determinant_grows_by_the_gain_of_d(seed, coordinates, candidates, variance):
    case = Case(seed, coordinates, candidates, variance)
    for slopes, gain in zip(case.slopes, case.gains("D"), strict=True):
        further = case.matrix + np.outer(slopes, slopes) / variance
        logs = np.linalg.slogdet(further)[1] - np.linalg.slogdet(case.matrix)[1]
        assert_allclose(gain, logs, rtol=1e-8, atol=1e-9)


@SOME
@CASES
def test_updates_of_a_greedy_choice_equal_a_fresh_inverse(seed, coordinates, candidates, variance):
    case = Case(seed, coordinates, candidates, variance)
    chosen = greedy(case.covariance, case.slopes, variance, case.goals, case.costs, count=6)
    covariance, matrix = case.covariance, case.matrix
    for index, gain in zip(chosen.indices, chosen.gains, strict=True):
        before = np.trace(case.goals @ covariance @ case.goals.T)
        covariance = updated(covariance, case.slopes[index], variance)
        matrix = matrix + np.outer(case.slopes[index], case.slopes[index]) / variance
        fresh = np.linalg.inv(matrix)
        assert_close(covariance, fresh)
        after = np.trace(case.goals @ fresh @ case.goals.T)
        assert_allclose(gain, before - after, atol=1e-9 * before)
    assert np.bincount(chosen.indices).max() <= 2


@SOME
@CASES
def test_gains_are_not_negative_and_a_replicate_gains_less(seed, coordinates, candidates, variance):
    case = Case(seed, coordinates, candidates, variance)
    for method, goals in (("D", None), ("V", case.goals), ("c", case.goals[:1])):
        first = case.gains(method, goals)
        assert (first >= 0).all()
        for index, slopes in enumerate(case.slopes):
            after = updated(case.covariance, slopes, variance)
            again = gains(after, case.slopes, variance, goals, method)[index]
            assert 0 <= again <= first[index] * (1 + 1e-9) + 1e-12 * first.max()


@SOME
@CASES
def test_one_target_is_one_goal_and_several_add_up(seed, coordinates, candidates, variance):
    case = Case(seed, coordinates, candidates, variance)
    singles = [case.gains("c", goal[None]) for goal in case.goals]
    assert_close(case.gains("V", case.goals[:1]), singles[0])
    assert_close(case.gains("V", case.goals), sum(singles))


@SOME
@CASES
def test_louder_runs_scale_all_gains_and_change_no_rank(seed, coordinates, candidates, variance):
    case = Case(seed, coordinates, candidates, variance)
    assert_close(case.gains("D", scale=9.0), case.gains("D"))
    for method, goals in (("V", case.goals), ("c", case.goals[:1])):
        scaled = case.gains(method, goals, scale=9.0)
        assert_close(scaled, 9 * case.gains(method, goals))


@SOME
@CASES
def test_a_budget_is_kept_and_beaten_by_no_single_run(seed, coordinates, candidates, variance):
    case = Case(seed, coordinates, candidates, variance)
    budget = 2 * float(np.median(case.costs))
    arguments = case.covariance, case.slopes, variance, case.goals, case.costs
    chosen = within_budget(*arguments, budget=budget)
    assert chosen.gains.sum() >= greedy(*arguments, budget=budget).gains.sum() * (1 - 1e-9)
    assert case.costs[chosen.indices].sum() <= budget * (1 + 1e-8)
    alone = case.gains("V", case.goals)[case.costs <= budget]
    assert chosen.gains.sum() >= alone.max(initial=0) * (1 - 1e-9)


def test_a_candidate_without_a_loss_is_never_chosen(known, slopes, goal):
    broken = slopes.copy()
    broken[[8, 17]] = np.nan
    chosen = greedy(known.covariance, broken, NOISE**2, goal, COSTS, count=8)
    assert not {8, 17} & set(chosen.indices.tolist())


def test_coefficients_that_are_held_have_no_variance_and_no_gain():
    held = information(LAW, STARTED, NOISE, names=("E", "A", "B", "alpha"))
    free = information(LAW, STARTED, NOISE)
    assert held.sd(log_size)[0] < free.sd(log_size)[0]
    at = np.arange(4)
    matrix = np.linalg.inv(free.covariance)[np.ix_(at, at)]
    assert_allclose(np.linalg.inv(held.covariance), matrix, rtol=1e-6)


def test_several_laws_are_answered_at_once():
    laws = js.laws.Chinchilla(*(np.repeat(x, 3) for x in vars(LAW).values()))
    one = jacobian(LAW, CANDIDATES.params, CANDIDATES.tokens)
    many = jacobian(laws, CANDIDATES.params, CANDIDATES.tokens)
    assert_allclose(many, np.stack([one] * 3), rtol=1e-12)


def test_derivatives_of_the_loss_are_those_by_hand():
    params, tokens = CANDIDATES.params, CANDIDATES.tokens
    x, y = LAW.A * params**-LAW.alpha, LAW.B * tokens**-LAW.beta
    rows = [np.full_like(x, LAW.E), x, y, -x * np.log(params), -y * np.log(tokens)]
    expected = np.stack(rows, axis=-1) / (LAW.E + x + y)[:, None]
    assert_allclose(jacobian(LAW, params, tokens), expected, rtol=1e-10)


def test_ten_thousand_candidates_and_a_hundred_goals_take_no_time(known):
    budgets, random = np.geomspace(1e22, 1e26, 100), np.random.default_rng(0)
    sizes = np.exp(random.uniform(np.log(1e7), np.log(1e11), (2, 10_000)))
    goals = known.gradients(lambda law: jnp.log(js.compute_optimal(law, flops=budgets).params))[1]
    slopes = known.jacobian(*sizes)
    start = time.process_time()
    greedy(known.covariance, slopes, NOISE**2, goals, 6 * sizes.prod(axis=0), count=5)
    assert time.process_time() - start < 1.0
