"""Accuracy by loss: both curves, their inverses, and tasks by name."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale.laws import Chinchilla, ExponentialAccuracy, SigmoidAccuracy, Task
from jaxscale.laws._tasks import entry_of_law

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
EPS = np.finfo(DTYPES[-1]).eps


def exponential(curve, loss):
    return 1 - curve.epsilon + curve.k * mp.exp(-curve.gamma * loss)


def sigmoid(curve, loss):
    return curve.q + curve.p / (1 + mp.exp(-curve.k * (loss - curve.x0)))


CURVES = {
    "exponential": (ExponentialAccuracy(epsilon=0.85, k=2.0, gamma=0.7), exponential),
    "sigmoid": (SigmoidAccuracy(p=-0.75, x0=0.6, k=5.0, q=0.99), sigmoid),
    "steep": (SigmoidAccuracy(p=-0.73, x0=0.77, k=12.7, q=0.99), sigmoid),
}
curves = pytest.mark.parametrize("name", CURVES)


@pytest.mark.parametrize("dtype", DTYPES)
@curves
def test_accuracy_is_the_formula_and_loss_its_inverse(name, dtype):
    curve, formula = CURVES[name]
    curve = jax.tree.map(dtype, curve)
    loss = np.linspace(0.1, 2, 12).astype(dtype)
    exact = jax.tree.map(lambda x: mp.mpf(float(x)), curve)
    with mp.workdps(50):
        expected = np.array([float(formula(exact, mp.mpf(float(x)))) for x in loss])
        slopes = np.array([float(mp.diff(lambda y: formula(exact, y), float(x))) for x in loss])
    eps = np.finfo(dtype).eps
    found = curve.accuracy(loss)
    assert found.dtype == dtype
    assert_allclose(found, expected, rtol=0, atol=12 * eps)
    # The accuracy is rounded, and tells less of the loss the flatter the curve is.
    back = np.abs(curve.loss(found) - loss)
    assert np.all(back <= 12 * eps / np.abs(slopes) + 4 * eps)


@curves
def test_derivatives_of_a_curve_and_its_inverse_are_reciprocal(name):
    curve, formula = CURVES[name]
    loss = 0.7
    there = jax.grad(curve.accuracy)(loss)
    assert_allclose(there * jax.grad(curve.loss)(curve.accuracy(loss)), 1, rtol=200 * EPS)
    assert_allclose(there, float(mp.diff(lambda x: formula(curve, x), loss)), rtol=200 * EPS)


@curves
def test_accuracy_that_no_positive_loss_has(name):
    curve, formula = CURVES[name]
    low, high = float(curve.floor), float(formula(curve, mp.mpf(0)))
    for accuracy in (low, low - 0.01, -2.0, high + 1e-5, 3.0, np.inf, np.nan):
        value, slope = jax.value_and_grad(curve.loss)(accuracy)
        assert np.isnan(value), accuracy
        assert slope == 0
    assert np.all(curve.loss(jnp.array([low + 1e-3, high - 1e-3])) > 0)


@pytest.mark.parametrize("bad", [-1.0, np.inf, np.nan])
@curves
def test_a_bad_number_gives_nan_with_zero_derivatives(name, bad):
    curve = CURVES[name][0]
    signed = {"k", "gamma", "p", "loss"} if bad == -1 else {*vars(curve), "loss"}
    for field in signed & {*vars(curve), "loss"}:
        wrong = -bad if field == "p" else bad
        numbers = {**vars(curve), "loss": 0.7, field: wrong}

        def accuracy(numbers):
            numbers = dict(numbers)
            loss = numbers.pop("loss")
            return type(curve)(**numbers).accuracy(loss)

        value, slopes = jax.value_and_grad(accuracy)(numbers)
        assert np.isnan(value), field
        assert not any(slopes.values())


@curves
def test_a_curve_broadcasts_and_leaves_neighbours_alone(name):
    curve = CURVES[name][0]
    shares = jnp.array([0.5, 3.0, 0.6])
    found = jax.jit(jax.vmap(curve.loss))(shares)
    assert_array_equal(np.isnan(found), [False, True, False])
    assert_allclose(found[0], curve.loss(0.5), rtol=10 * EPS)
    slopes = jax.grad(lambda x: jnp.nansum(curve.loss(x)))(shares)
    assert_array_equal(np.isfinite(slopes), True)


# --- Tasks ----------------------------------------------------------------------------------------

LAW = Chinchilla(E=0.5, A=40.0, B=100.0, alpha=0.23, beta=0.24)
TASK = Task(LAW, SigmoidAccuracy(p=-0.75, x0=0.6, k=5.0, q=0.99))


def test_a_plan_for_an_accuracy_has_it():
    demand = js.Demand(1e12, 1e12)
    plan = js.minimize_cost(LAW, TASK.loss(jnp.array([0.4, 0.55])), demand)
    assert np.all(plan.ok)
    found = TASK.accuracy(LAW.loss(plan.params, plan.tokens))
    assert_allclose(found, [0.4, 0.55], rtol=1e4 * EPS if X64 else 1e-5)


def test_models_have_the_accuracies_between_the_two_ends_of_reach():
    low, high = TASK.reach
    loss = LAW.loss(jnp.array([1e7, 1e9, 1e25]), jnp.array([1e8, 1e11, 1e25]))
    accuracy = TASK.accuracy(loss)
    assert np.all((low < accuracy) & (accuracy < high))
    statuses = js.minimize_cost(LAW, TASK.loss(jnp.array([high - 0.05, high + 0.01, 0.999]))).status
    assert [js.Status(int(x)).name for x in statuses] == ["OK", "INFEASIBLE_LOSS", "INVALID_INPUT"]


def test_a_task_of_any_law_has_a_reach():
    low, high = Task(js.laws.published("kaplan2020"), TASK.curve).reach
    assert_allclose(low, 0.24, atol=10 * EPS)
    assert_allclose(high, TASK.curve.accuracy_at(0.0), rtol=10 * EPS)


def test_tasks_by_name():
    assert js.task("MMLU") == js.task("bhagia2024_mmlu")
    assert js.task("gadre2024_c4") != js.task("gadre2024_c4_46")
    assert js.task("gadre2024_c4").law == js.laws.published("gadre2024_c4")
    with pytest.raises(ValueError, match=r"task 'gadre_c4' \(did you mean gadre2024_c4\?\); known"):
        js.task("gadre_c4")


def test_a_badly_determined_task_warns():
    with pytest.warns(UserWarning, match=r"bhagia2024_arc_challenge: the term of params is badly"):
        js.task("arc-c")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        js.task("mmlu")


@pytest.mark.skipif(not X64, reason="solved in float64")
@pytest.mark.parametrize("name", [entry.name for entry in js.laws.tasks()])
def test_random_accuracies_are_reached_or_flagged(name):
    task = js.laws.task_entry(name).law
    low, high = map(float, task.reach)
    rng = np.random.default_rng(7)
    accuracy = low + (high - low) * rng.uniform(-0.2, 1.2, 64)
    demand = js.Demand(10 ** rng.uniform(8, 15, 64), 10 ** rng.uniform(8, 15, 64))
    plan = js.minimize_cost(task.law, task.loss(accuracy), demand)
    assert_array_equal(plan.ok, (accuracy > low) & (accuracy < high))
    found = task.accuracy(task.law.loss(plan.params, plan.tokens))[plan.ok]
    assert_allclose(found, accuracy[plan.ok], rtol=1e-9)
    # Neither a tenth more nor fewer params have it for less.
    for factor in (0.9, 1.1):
        params = plan.params[plan.ok] * factor
        tokens = task.law.tokens_for(task.loss(accuracy[plan.ok]), params)
        served = js.Demand(*(x[plan.ok] for x in (demand.input_tokens, demand.output_tokens)))
        other = js.evaluate(task.law, params, tokens, served).total_cost
        assert np.all(np.isnan(other) | (other >= plan.total_cost[plan.ok] * (1 - 1e-9)))
    slopes = jax.grad(lambda x: jnp.nansum(js.minimize_cost(task.law, task.loss(x)).params))(
        accuracy
    )
    assert np.all(np.isfinite(slopes))


def test_every_task_says_what_it_is_on_and_by_whose_loss():
    for entry in js.laws.tasks():
        law = entry_of_law(entry)
        assert law.law == entry.law.law
        assert entry.benchmark != js.laws.tasks()[0].dataset
        is_ladder = entry.name.startswith("bhagia2024")
        assert ("bits per byte" in law.loss_scale) == is_ladder
        assert law.has_range
        assert (law.name == entry.name) == (is_ladder or entry.name in law.name)
        assert "accuracy(L)" in dict(entry.facts())["equation"]
