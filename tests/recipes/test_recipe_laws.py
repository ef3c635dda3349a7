"""The laws behind recipes: values at fifty digits, derivatives, bad numbers, ranges, names."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp
from numpy.testing import assert_allclose, assert_array_equal

from jaxscale import published, recipes

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
SIZE = (1e9, 2e10, 2.5)  # params, tokens, loss


# The formulas of the papers as they stand, of mpmath numbers: coefficients, then N, D and L.
def step_rate(scale, batch_scale, by_params, by_tokens, batch_by_tokens, N, D, L):
    return scale * N**by_params * D**by_tokens


def step_batch(scale, batch_scale, by_params, by_tokens, batch_by_tokens, N, D, L):
    return batch_scale * D**batch_by_tokens


def deepseek_rate(scale, batch_scale, by_flops, batch_by_flops, N, D, L):
    return scale * (6 * N * D) ** by_flops


def deepseek_batch(scale, batch_scale, by_flops, batch_by_flops, N, D, L):
    return batch_scale * (6 * N * D) ** batch_by_flops


def porian_rate(scale, batch_scale, by_params, batch_by_params, N, D, L):
    return scale * N**by_params


def porian_batch(scale, batch_scale, by_params, batch_by_params, N, D, L):
    return batch_scale * N**batch_by_params


def kaplan_rate(at_one, by_log, B_star, alpha_B, N, D, L):
    return at_one + by_log * mp.log(N)


def kaplan_batch(at_one, by_log, B_star, alpha_B, N, D, L):
    return B_star / L ** (1 / alpha_B)


def experts_rate(log_at_one, by_params, by_experts, batch, N, D, L):
    return mp.exp(log_at_one) * N**by_params


def experts_batch(log_at_one, by_params, by_experts, batch, N, D, L):
    return batch


def zhang_batch(sequences, by_tokens, sequence_tokens, unit, N, D, L):
    return sequences * (D / unit) ** by_tokens * sequence_tokens


class Form(NamedTuple):
    """A paper's recipe: the class that holds it, and its coefficients by their names there."""

    law: type
    numbers: dict[str, float]


STEP = Form(
    recipes.PowerRecipe,
    {"rate_scale": 1.79, "batch_scale": 0.58, "rate_by_params": -0.713}
    | {"rate_by_tokens": 0.307, "batch_by_tokens": 0.571},
)
DEEPSEEK = Form(
    recipes.PowerRecipe,
    {"rate_scale": 0.3118, "batch_scale": 0.292, "rate_by_flops": -0.125, "batch_by_flops": 0.3271},
)
PORIAN = Form(
    recipes.PowerRecipe,
    {"rate_scale": 3.7, "batch_scale": 0.7576, "rate_by_params": -0.36, "batch_by_params": 0.703},
)
KAPLAN = Form(
    recipes.KaplanRecipe,
    {"rate_at_one": 3.239e-3, "rate_by_log_params": -1.395e-4, "B_star": 2.1e8, "alpha_B": 0.21},
)
EXPERTS = Form(
    recipes.ExpertsRecipe,
    {"log_rate_at_one": 8.39, "rate_by_params": -0.81, "rate_by_experts": -0.25, "batch": 262144.0},
)
ZHANG = Form(
    recipes.CriticalBatchRecipe,
    {"sequences": 22.91, "by_tokens": 0.47, "sequence_tokens": 512.0, "unit_of_tokens": 1e9},
)
# Each with all its numbers as arguments, coefficients first; which of them it depends on.
FORMULAS = {
    "step rate": (STEP, "learning_rate", step_rate, (0, 2, 3, 5, 6)),
    "step batch": (STEP, "batch_tokens", step_batch, (1, 4, 6)),
    "deepseek rate": (DEEPSEEK, "learning_rate", deepseek_rate, (0, 2, 4, 5)),
    "deepseek batch": (DEEPSEEK, "batch_tokens", deepseek_batch, (1, 3, 4, 5)),
    "porian rate": (PORIAN, "learning_rate", porian_rate, (0, 2, 4)),
    "porian batch": (PORIAN, "batch_tokens", porian_batch, (1, 3, 4)),
    "kaplan rate": (KAPLAN, "learning_rate", kaplan_rate, (0, 1, 4)),
    "kaplan batch": (KAPLAN, "batch_tokens", kaplan_batch, (2, 3, 6)),
    "experts rate": (EXPERTS, "learning_rate", experts_rate, (0, 1, 4)),
    "experts batch": (EXPERTS, "batch_tokens", experts_batch, (3, 5)),
    "zhang batch": (ZHANG, "batch_tokens", zhang_batch, (0, 1, 2, 3, 5)),
}


def formula(name):
    """The library's answer and the paper's, of the same numbers; the numbers; those that count."""
    (law, coefficients), method, exact, used = FORMULAS[name]

    def answer(*numbers):
        values = dict(zip(coefficients, numbers[:-3], strict=True))
        return getattr(law(**values), method)(*numbers[-3:])

    return answer, exact, (*coefficients.values(), *SIZE), used


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORMULAS)
def test_value_is_the_formula_at_fifty_digits(name, dtype):
    function, exact, numbers, _ = formula(name)
    spread = np.random.default_rng(0).uniform(0.9, 1.1, (20, len(numbers)))
    lanes = (spread * numbers).astype(dtype)
    with mp.workdps(50):
        expected = [float(exact(*map(mp.mpf, map(float, lane)))) for lane in lanes]
    # An exponential of rounded logarithms of up to 60.
    assert_allclose(function(*lanes.T), expected, rtol=100 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", FORMULAS)
def test_derivatives_are_those_of_the_formula(name):
    function, exact, numbers, _ = formula(name)
    found = jax.jit(jax.grad(lambda x: function(*x)))(tuple(map(float, numbers)))
    with mp.workdps(50):
        for place, slope in enumerate(found):
            order = tuple(int(other == place) for other in range(len(numbers)))
            expected = float(mp.diff(exact, tuple(map(mp.mpf, numbers)), order))
            assert_allclose(slope, expected, rtol=1e-11 if X64 else 1e-3)


@pytest.mark.parametrize("name", FORMULAS)
def test_bad_number_gives_nan_with_zero_derivatives(name):
    function, _, numbers, used = formula(name)
    scales = [place for place in used if numbers[place] > 1e-2]  # not the rates of Kaplan et al.
    signed = {"step rate": {2, 3}, "deepseek rate": {2}, "porian rate": {2}, "kaplan rate": {1}}
    signed["experts rate"] = {0, 1}
    signed["step batch"], signed["deepseek batch"], signed["porian batch"] = {4}, {3}, {3}
    lanes = [
        np.where(np.arange(len(numbers)) == place, bad, numbers)
        for place in {*scales, *signed.get(name, ())}
        for bad in (np.nan, np.inf, 0.0, -1.0)
        if not np.isfinite(bad) or place not in signed.get(name, ())  # an exponent may be either
    ]
    one = jax.value_and_grad(lambda x: function(*x))
    values, slopes = jax.jit(jax.vmap(one))(np.array(lanes, DTYPES[-1]))
    assert np.all(np.isnan(values))
    assert not np.any(slopes)


def test_neighbours_of_a_bad_number_are_untouched():
    law = recipes.entry("steplaw2025").law
    params = np.array([1e9, -1.0, 4e9])
    slopes = jax.grad(lambda x: jnp.nansum(law.learning_rate(x, 1e11, 2.0)))(params)
    rates = law.learning_rate(params, 1e11, 2.0)
    # d LR / d N = -0.713 LR / N.
    assert_allclose(slopes[::2], -0.713 * rates[::2] / params[::2], rtol=1e-5)
    assert slopes[1] == 0


def test_rate_of_kaplan_ends_where_it_is_no_longer_positive():
    law = recipes.entry("kaplan2020").law
    end = np.exp(3.239e-3 / 1.395e-4)
    assert law.learning_rate(0.99 * end, 1e12, 2.0) > 0
    value, slope = jax.value_and_grad(law.learning_rate)(1.01 * end, 1e12, 2.0)
    assert np.isnan(value)
    assert slope == 0


def test_a_power_that_is_left_out_is_no_power():
    """LR = 2 N^-0.5 alone, so tokens and compute change nothing."""
    law = recipes.PowerRecipe(2.0, 3.0, rate_by_params=-0.5)
    assert_allclose(law.learning_rate(1e8, np.array([1e9, 1e12]), 2.0), [2e-4, 2e-4], rtol=1e-5)
    assert_allclose(law.batch_tokens(1e8, np.array([1e9, 1e12]), 2.0), [3.0, 3.0], rtol=1e-6)


def test_fields_and_sizes_broadcast():
    law = recipes.PowerRecipe(np.array([1.0, 2.0]), 0.5, rate_by_params=-0.7, rate_by_tokens=0.3)
    rates = law.learning_rate(np.array([[1e8], [1e9], [1e10]]), 1e11, 2.0)
    assert rates.shape == (3, 2)
    assert_allclose(rates[:, 1], 2 * rates[:, 0], rtol=1e-5)


class Size(NamedTuple):
    params: np.ndarray | float
    tokens: np.ndarray | float


@pytest.mark.parametrize("dtype", DTYPES)
def test_limits_of_a_range_are_inside(dtype):
    found = recipes.entry("steplaw2025")
    params = np.array([2.1e8, 214_663_680, 5e8, 1_073_741_824, 1.1e9, np.nan], dtype)
    tokens = np.array([[3.9e9], [4e9], [1e11], [1.1e11]], dtype)
    inside = np.array([0, 1, 1, 1, 0, 0], bool) & np.array([[0], [1], [1], [0]], bool)
    assert_array_equal(found.in_range(Size(params, tokens)), inside)


@pytest.mark.parametrize("dtype", DTYPES)
def test_range_of_flops_is_that_of_six_n_d(dtype):
    found = recipes.entry("deepseek2024")
    params = np.array([1e8, 1e8, 1e9, 1e9, 1e25], dtype)
    tokens = np.array([1.6e8, 1.7e8, 3.3e9, 3.4e9, 1e25], dtype)  # the last overflows float32
    assert_array_equal(found.in_range(Size(params, tokens)), [False, True, True, False, False])


def test_all_runs_of_porian_had_20_tokens_for_each_param():
    found = recipes.entry("porian2024")
    assert_array_equal(found.in_range(Size(1e8, np.array([5e8, 2e9, 8e8]))), [False, True, False])


def test_range_works_under_jit_and_an_unstated_one_holds_nothing():
    found = recipes.entry("porian2024")
    assert jax.jit(lambda n: found.in_range(Size(n, 1e9)))(5e7)
    bare = published.Entry("bare", found.law)
    assert not bare.in_range(Size(5e7, 1e9))


def test_entries_say_what_they_are():
    names = [each.name for each in recipes.catalog()]
    assert len(set(names)) == len(names)
    for each in recipes.catalog():
        assert recipes.entry(each.name.upper()) is each
        assert all((each.source, each.params_convention, each.schedule, each.errata))
        # Coefficients are Python floats, the leaves of a pytree.
        assert {type(leaf) for leaf in jax.tree.leaves(each.law)} == {float}


def test_unknown_recipe_names_the_nearest_and_all():
    with pytest.raises(ValueError, match=r"'steplaw25' \(did you mean steplaw2025\?\); known: .*"):
        recipes.entry("steplaw25")
