"""Recipes of plans: what they hold, shapes, plans that are not ok, and derivatives."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale import recipes

X64 = jax.config.read("jax_enable_x64")
CLOSE = 1e-12 if X64 else 1e-4
LAW = js.laws.published("sardana2024")
NAMES = [each.name for each in recipes.catalog()]


@pytest.fixture(scope="module")
def plan():
    return js.evaluate(LAW, np.array([4e8, 7e9, -1.0]), np.array([[4e10], [1.4e12]]))


@pytest.mark.parametrize("name", NAMES)
def test_recipe_is_that_of_its_law_in_the_full_shape(plan, name):
    law = recipes.entry(name).law
    found = recipes.training_recipe(plan, name)
    assert {leaf.shape for leaf in jax.tree.leaves(found)} == {(2, 3)}
    size = plan.params, plan.tokens, plan.loss
    assert_allclose(found.learning_rate, law.learning_rate(*size), rtol=CLOSE)
    assert_allclose(found.batch_tokens, law.batch_tokens(*size), rtol=CLOSE)
    assert_allclose(found.steps * found.batch_tokens, plan.tokens, rtol=CLOSE)


@pytest.mark.parametrize("name", NAMES)
def test_plan_that_is_not_ok_has_no_recipe(plan, name):
    found = recipes.training_recipe(plan, name)
    numbers = found.batch_tokens, found.steps
    assert np.isnan(found.learning_rate[:, 2]).all()
    if name != "zhang2024":  # which is of a batch alone
        numbers += (found.learning_rate,)
    for number in numbers:
        assert_array_equal(np.isnan(number), ~np.asarray(plan.ok))
    assert not np.any(found.in_range[:, 2])


def test_step_law_covers_its_runs_alone(plan):
    found = recipes.training_recipe(plan)
    assert_array_equal(found.in_range, [[True, False, False], [False, False, False]])


def total(size, name):
    """The sum of a recipe's logarithms over the lanes that have one."""
    found = recipes.training_recipe(js.Runs(*size), name)
    numbers = found.learning_rate, found.batch_tokens, found.steps
    return sum(jnp.nansum(jnp.log(each)) for each in numbers)


slopes_of_total = jax.jit(jax.grad(total), static_argnums=1)


@pytest.mark.parametrize("name", NAMES)
def test_bad_plans_have_zero_derivatives_and_leave_their_neighbours_alone(name):
    good = np.tile(np.array([[1e9], [1e10], [2.5]]), 9)
    bad = good.copy()
    for lane, (place, number) in enumerate(
        (place, number) for place in (0, 1) for number in (-1.0, 0.0, np.inf, np.nan)
    ):
        bad[place, lane] = number
    found = np.asarray(slopes_of_total(bad, name))
    assert_array_equal(found[:, 8], np.asarray(slopes_of_total(good, name))[:, 8])
    assert np.any(found[:, 8])
    assert not np.any(found[:, :8])


def test_exponents_of_step_law_are_its_logarithmic_derivatives():
    size = np.tile(np.array([[1e9], [1e10], [2.5]]), 9)
    by_params, by_tokens, by_loss = slopes_of_total(size, "steplaw2025") * size
    # Of LR = N^-0.713 D^0.307, B = D^0.571 and D / B together.
    assert_allclose(by_params, np.full(9, -0.713), rtol=CLOSE)
    assert_allclose(by_tokens, np.full(9, 0.307 + 1), rtol=CLOSE)
    assert not np.any(by_loss)


def test_runs_have_recipes_and_loss_may_be_negative_where_it_does_not_count():
    runs = js.Runs(np.array([1e8, 1e9]), np.array([2e9, 2e10]), np.array([3.0, -0.1]))
    assert np.all(np.isfinite(recipes.training_recipe(runs).steps))
    assert_array_equal(np.isnan(recipes.training_recipe(runs, "kaplan2020").steps), [False, True])


def test_an_entry_of_arrays_gives_a_recipe_for_each_of_its_laws(plan):
    found = recipes.entry("steplaw2025")
    scales = np.array([1.0, 2.0, 0.5]).reshape(3, 1, 1)
    law = dataclasses.replace(found.law, rate_scale=found.law.rate_scale * scales)
    several = recipes.training_recipe(plan, dataclasses.replace(found, law=law))
    one = recipes.training_recipe(plan, "steplaw2025")
    assert several.steps.shape == (3, *one.steps.shape)
    assert_allclose(several.learning_rate, scales * np.asarray(one.learning_rate), rtol=1e-5)
    assert_allclose(several.batch_tokens, np.stack([one.batch_tokens] * 3), rtol=1e-6)


def test_numbers_of_one_plan_are_those_of_a_batch_under_vmap_and_jit():
    params, tokens = np.array([1e8, 2e9, 7e10]), np.array([1e9, 1e11, 1e12])

    def recipe(params, tokens):
        return recipes.training_recipe(js.Runs(params, tokens, 2.5), "deepseek2024")

    batch = recipe(params, tokens)
    mapped = jax.jit(jax.vmap(recipe))(params, tokens)
    for one, other in zip(jax.tree.leaves(batch), jax.tree.leaves(mapped), strict=True):
        assert_allclose(one, other, rtol=CLOSE)


def test_float32_stays_float32():
    runs = js.Runs(np.float32(1e9), np.float32(1e11), np.float32(2.3))
    for name in NAMES:
        found = recipes.training_recipe(runs, name)
        numbers = found.learning_rate, found.batch_tokens, found.steps
        assert {x.dtype for x in numbers} == {np.dtype(np.float32)}


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"'porian' \(did you mean porian2024\?\).*kaplan2020"):
        recipes.training_recipe(js.Runs(1e9, 1e11, 2.3), "porian")
    with pytest.raises(TypeError, match="without params, tokens, loss"):
        recipes.training_recipe(js.Bounds, "porian2024")
    with pytest.raises(ValueError, match=r"tokens \(3,\), loss \(2,\)"):
        recipes.training_recipe(js.Runs(1e9, np.ones(3), np.ones(2)))


def test_a_recipe_takes_experts_from_the_plan_and_is_dense_without():
    """Exponents of Ludziejewski et al. 2025, eq. 8."""
    law = js.laws.published("ludziejewski2025")
    plan = js.minimize_loss(law, 1e21, levers={"experts": np.array([1.0, 8.0, 32.0])})
    found = recipes.training_recipe(plan, "ludziejewski2025")
    dense = recipes.training_recipe(js.evaluate(LAW, plan.params, plan.tokens), "ludziejewski2025")
    shares = np.array([1, 8, 32]) ** -0.25
    assert_allclose(found.learning_rate, shares * dense.learning_rate, rtol=CLOSE)
    runs = js.Runs(1e9, 1e10, 2.5, levers={"experts": np.array([32.0, 33.0])})
    assert_array_equal(recipes.training_recipe(runs, "ludziejewski2025").in_range, [True, False])
    # Bits are no part of it.
    bits = js.evaluate(js.laws.published("kumar2024"), 1e9, 1e10, levers={"bits": 8})
    rate = recipes.training_recipe(bits, "ludziejewski2025").learning_rate
    assert_allclose(rate, np.exp(8.39) * 1e9**-0.81, rtol=CLOSE)
