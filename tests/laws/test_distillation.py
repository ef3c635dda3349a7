"""The laws of distillation: values at fifty digits, costs, and what the paper found."""

import dataclasses
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale.laws import Distillation

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
STUDENT = js.laws.published("busbridge2025_student")
TRAINED = js.laws.published("busbridge2025_teacher_trained")
EXISTS = js.laws.published("busbridge2025_teacher_exists")
STORED = js.laws.published("busbridge2025_logits_stored")
ALONE = js.laws.published("busbridge2025")
N, D = np.geomspace(1.5e8, 1e10, 4), np.geomspace(1e11, 1e13, 3)[:, None]


def by_the_paper(law, params, tokens, teacher_loss):
    """Eq. 8 as printed, at fifty digits."""
    A, B, alpha, beta, gamma, c0, c1, d1, f1, E, A1, B1, alpha1, beta1, gamma1, *_ = (
        mpf(float(x)) for x in dataclasses.astuple(law)
    )
    N, D, L_T = mpf(float(params)), mpf(float(tokens)), mpf(float(teacher_loss))
    alone = E + (A1 / N**alpha1 + B1 / D**beta1) ** gamma1
    gap = (1 + (L_T / (alone * d1)) ** (1 / f1)) ** (-c1 * f1)
    return L_T + gap / L_T**c0 * (A / N**alpha + B / D**beta) ** gamma


@pytest.mark.parametrize("dtype", DTYPES)
def test_it_is_its_formula_at_fifty_digits(dtype):
    law = jax.tree.map(dtype, STUDENT)
    arrays = (x.astype(dtype) for x in (N, D, np.linspace(1.7, 3.0, 5)[:, None, None]))
    params, tokens, teacher = np.broadcast_arrays(*arrays)
    with mp.workdps(50):
        numbers = zip(params.ravel(), tokens.ravel(), teacher.ravel(), strict=True)
        expected = [float(by_the_paper(law, *each)) for each in numbers]
    found = law.loss(params, tokens, teacher_loss=teacher)
    assert found.dtype == dtype
    # The gap is raised to the power of 1 / f1 = 11 and then of c1 f1 = 47; and at the ten tokens a
    # param of the largest sizes 1e-9 of a param is left out.
    assert_allclose(found.ravel(), expected, rtol=2000 * np.finfo(dtype).eps + 1e-10)


def test_a_teacher_is_known_by_the_loss_of_its_size_and_training():
    teacher = {"teacher_params": 2.7e9, "teacher_tokens": 54e9}
    loss = ALONE.loss(teacher["teacher_params"], teacher["teacher_tokens"])
    ours = TRAINED.loss(N, D, **teacher)
    assert_allclose(ours, STUDENT.loss(N, D, teacher_loss=loss), rtol=1e-6)
    for law in (STUDENT, TRAINED):
        assert_allclose(law.alone().loss(N, D), ALONE.loss(N, D), rtol=1e-6)


@pytest.mark.parametrize(
    ("law", "logits", "training"), [(EXISTS, 1, 0), (STORED, 0, 1), (TRAINED, 1, 1)]
)
def test_four_kinds_of_cost_are_those_of_the_equation(law, logits, training):
    params, tokens, teacher, of_teacher = 1e9, 2e10, 7e9, 1.4e11
    plan = js.evaluate(
        law, params, tokens, levers={"teacher_params": teacher, "teacher_tokens": of_teacher}
    )
    expected = 3 * (2 * params) * tokens
    expected += 2 * teacher * (logits * tokens + training * 3 * of_teacher)
    assert_allclose(plan.train_cost, expected, rtol=1e-6)
    free = js.evaluate(STUDENT, params, tokens, levers={"teacher_loss": 2.0})
    assert_allclose(free.train_cost, 6 * params * tokens, rtol=1e-6)
    asked = replace(STUDENT, teacher_params=teacher)
    asked = js.evaluate(asked, params, tokens, levers={"teacher_loss": 2.0})
    assert_allclose(asked.train_cost, (6 * params + 2 * teacher) * tokens, rtol=1e-6)
    shared = js.evaluate(replace(law, training=training / 4), params, tokens, levers=plan.levers)
    saved = 0.75 * training * 6 * teacher * of_teacher
    assert_allclose(plan.train_cost - shared.train_cost, saved, rtol=1e-5, atol=1e-6 * expected)


# --- What the paper found, where the formula says it -----------------------------------------


def test_students_are_never_better_than_their_teacher_and_come_to_it_in_the_end():
    teacher = np.linspace(1.8, 3.2, 8)[:, None, None]
    assert np.all(STUDENT.loss(N, D, teacher_loss=teacher) >= teacher)
    endless = STUDENT.loss(1e30, 1e32, teacher_loss=teacher)
    assert_allclose(endless, teacher, atol=1e-5)


def test_a_random_teacher_makes_random_students():
    assert_allclose(STUDENT.loss(1e9, 2e10, teacher_loss=10.0), 10.0, rtol=1e-6)


def test_there_is_a_best_teacher_and_a_larger_student_wants_a_better_one():
    teacher = np.linspace(1.3, 3.5, 2201)[:, None]
    losses = np.asarray(STUDENT.loss(N, 1e11, teacher_loss=teacher))
    best = losses.argmin(axis=0)
    assert np.all((best > 0) & (best < len(teacher) - 1))
    assert np.all(np.diff(teacher[best, 0]) < 0)
    slopes = np.sign(np.diff(losses, axis=0))
    for column in slopes.T:  # down to the best teacher, and up from there
        turns = np.flatnonzero(np.diff(column[column != 0]))
        assert len(turns) == 1


def test_more_params_and_more_tokens_of_a_student_never_hurt():
    params, tokens = np.geomspace(1e8, 1e11, 40), np.geomspace(3e11, 1e14, 40)[:, None]
    for teacher in (1.9, 2.3, 2.8):
        loss = np.asarray(STUDENT.loss(params, tokens, teacher_loss=teacher))
        assert np.diff(loss, axis=0).max() <= 1e-6
        assert np.diff(loss, axis=1).max() <= 1e-6


def test_params_beyond_the_tokens_count_for_nothing_and_get_no_answer():
    params = jnp.log(jnp.array([1e10, 1e11, 1e12]))
    loss = STUDENT.loss_from_logs(params, jnp.log(1e10), jnp.asarray(2.0))
    assert loss[0] > loss[1]
    assert_allclose(loss[1], loss[2], rtol=1e-6)
    few = STUDENT.loss(1e10, np.array([1.9e10, 2.1e10]), teacher_loss=2.0)
    assert_array_equal(np.isnan(few), [1, 0])
    plan = js.minimize_loss(STUDENT, 1e20, levers={"teacher_loss": 1.9})
    assert js.Status(int(plan.status)).name == "BEYOND_LAW"
    # From 8 tokens a param on, the formula is the paper's.
    with mp.workdps(50):
        expected = float(by_the_paper(STUDENT, 1e9, 8e9, 2.0))
    assert_allclose(STUDENT.loss(1e9, 8e9, teacher_loss=2.0), expected, rtol=1e-6)


needs_x64 = pytest.mark.skipif(not X64, reason="differences of losses in the fourth digit")


def least_losses(sizes, budgets):
    """The least loss over a grid of teachers trained for one student, and the best teacher."""
    teacher = np.geomspace(1e8, 1e11, 61)[:, None]
    tokens = np.geomspace(1e9, 1e14, 101)
    for params in sizes:
        for budget in budgets:
            left = budget - 6 * teacher * tokens
            student = np.where(left > 0, left, np.nan) / (6 * params + 2 * teacher)
            levers = {"teacher_params": teacher, "teacher_tokens": tokens}
            loss = np.asarray(TRAINED.loss(params, student, **levers))
            row, _ = np.unravel_index(np.nanargmin(loss), loss.shape)
            alone = ALONE.loss(params, budget / (6 * params))
            yield np.nanmin(loss), float(alone), teacher[row, 0]


def test_a_teacher_trained_for_one_student_never_pays_and_the_best_is_finite():
    losses, alone, teachers = np.array([*least_losses((3e8, 1e9, 3e9), (1e21, 1e22, 1e23))]).T
    assert np.all(losses > alone)
    assert np.all((teachers > 1e8) & (teachers < 1e11))
    assert np.all(np.diff(teachers.reshape(3, 3), axis=0) > 0)


@pytest.mark.thorough
@needs_x64
def test_the_solver_finds_the_best_teacher_of_the_grid_or_a_better_one():
    sizes, budgets = (3e8, 1e9, 3e9), (1e21, 1e22, 1e23)
    bounds = js.Bounds(min_params=np.array(sizes)[:, None], max_params=np.array(sizes)[:, None])
    over = ("params", "tokens", "teacher_params", "teacher_tokens")
    plan = js.minimize_loss(TRAINED, np.array(budgets), bounds=bounds, over=over)
    losses, *_ = np.array([*least_losses(sizes, budgets)]).T
    assert np.all(plan.ok)
    assert np.all(plan.loss <= losses.reshape(3, 3) + 1e-9)
    assert_allclose(plan.loss, losses.reshape(3, 3), atol=2e-3)


def test_a_free_teacher_pays_up_to_a_compute_that_grows_with_the_student():
    sizes, teacher = np.array([1e9, 3e9, 1e10]), np.linspace(1.2, 3.0, 1801)[:, None, None]
    budgets = np.geomspace(3e21, 1e25, 9)[:, None]
    tokens = budgets / (6 * sizes)
    best = np.asarray(STUDENT.loss(sizes, tokens, teacher_loss=teacher)).min(axis=0)
    better = best < np.asarray(ALONE.loss(sizes, tokens))
    until = better.sum(axis=0)
    assert_array_equal(better, np.arange(len(budgets))[:, None] < until)
    assert 0 < until[0] < until[1] < until[2] < len(budgets)


# --- As any other law ------------------------------------------------------------------------


@needs_x64
def test_derivatives_are_finite_differences():
    at = jnp.log(jnp.array([1e9, 3e10, 2.1]))

    def loss(logs):
        params, tokens, teacher = jnp.exp(logs)
        return STUDENT.loss(params, tokens, teacher_loss=teacher)

    step = 1e-5
    ends = [[loss(at.at[i].add(sign * step)) for sign in (-1, 1)] for i in range(3)]
    expected = [(high - low) / (2 * step) for low, high in ends]
    assert_allclose(jax.grad(loss)(at), expected, rtol=1e-7)


def test_bad_lanes_are_nan_with_zero_derivatives():
    teacher = jnp.array([2.0, -1.0, jnp.nan])
    loss = STUDENT.loss(1e9, 2e10, teacher_loss=teacher)
    assert_array_equal(np.isnan(loss), [0, 1, 1])
    slopes = jax.grad(lambda x: jnp.nansum(STUDENT.loss(1e9, 2e10, teacher_loss=x)))(teacher)
    assert slopes[0] != 0
    assert_array_equal(slopes[1:], 0)
    assert np.isnan(replace(STUDENT, f1=-0.1).loss(1e9, 2e10, teacher_loss=2.0))
    levers = {"teacher_params": np.array([1e9, 0.0]), "teacher_tokens": 2e10}
    assert_array_equal(np.isnan(TRAINED.loss(1e9, 2e10, **levers)), [0, 1])


@needs_x64
def test_a_fit_recovers_a_simulated_law():
    # With its transition among the runs, so that they determine every coefficient.
    law = replace(STUDENT, c1=2.0, d1=0.95, f1=0.3, alpha=0.35, beta=0.4, A=2e3, B=1e4)
    rng = np.random.default_rng(3)
    params = np.exp(rng.uniform(np.log(1.5e8), np.log(8e9), 150))
    tokens = params * np.exp(rng.uniform(np.log(10), np.log(1000), 150))
    teacher = rng.uniform(1.9, 2.8, 150)
    loss = law.loss(params, tokens, teacher_loss=teacher)
    runs = js.Runs(params, tokens, np.asarray(loss), levers={"teacher_loss": teacher})
    alone = {
        field.name: getattr(law, field.name)
        for field in dataclasses.fields(law)
        if field.name.endswith("_alone")
    }
    starts = replace(
        law,
        **{
            name: getattr(law, name) * np.exp(rng.uniform(-0.2, 0.2, 6))
            for name in ("A", "B", "alpha", "beta", "gamma", "c0", "c1", "d1", "f1")
        },
    )
    starts = jax.tree.map(lambda x: np.broadcast_to(x, 6), starts)
    fit = js.fit(Distillation, runs, fixed=alone, starts=starts)
    assert np.abs(fit.residuals).max() < 1e-6
    for name in ("alpha", "beta", "gamma", "c0", "d1"):
        assert_allclose(getattr(fit.law, name), getattr(law, name), rtol=2e-2, err_msg=name)


def test_the_entries_differ_in_what_is_paid_and_nothing_else():
    pays = ("logits", "training", "teacher_params")
    laws = STUDENT, EXISTS, STORED, TRAINED
    numbers = [{name: x for name, x in vars(law).items() if name not in pays} for law in laws]
    assert all(each == numbers[0] for each in numbers)
