"""Best sizes as powers of compute: values at fifty digits, where they come from, bad numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale import allocations
from jaxscale.allocations import Allocation
from jaxscale.laws import kaplan

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
SIZES = ("params", "tokens", "tokens_per_param")
NUMBERS = (0.12, 0.497, 1.4, 0.503, 6.0, 5.88e23)  # the fields in order, and FLOPs
LAW = js.laws.Chinchilla(E=1.8, A=480.0, B=2100.0, alpha=0.35, beta=0.37)


def find(size, *numbers):
    return getattr(Allocation(*numbers[:5]), size)(numbers[5])


# The formulas as they stand, of mpmath numbers.
EXACT = {
    "params": lambda s, a, t, b, u, c: s * (c / u) ** a,
    "tokens": lambda s, a, t, b, u, c: t * (c / u) ** b,
    "tokens_per_param": lambda s, a, t, b, u, c: t / s * (c / u) ** (b - a),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_value_is_the_formula_at_fifty_digits(size, dtype):
    spread = np.random.default_rng(0).uniform(0.5, 2, (30, 6))
    spread[:, [1, 3]] = np.clip(spread[:, [1, 3]], 0.6, 1.4)
    numbers = (spread * NUMBERS).astype(dtype)
    with mp.workdps(50):
        expected = [float(EXACT[size](*map(mp.mpf, map(float, lane)))) for lane in numbers]
    found = find(size, *numbers.T)
    assert found.dtype == dtype
    # An exponential of rounded logarithms of up to 60.
    assert_allclose(found, expected, rtol=100 * np.finfo(dtype).eps)


@pytest.mark.parametrize("size", SIZES)
def test_derivatives_are_those_of_the_formula(size):
    found = jax.grad(lambda x: find(size, *x))(NUMBERS)
    with mp.workdps(50):
        point = tuple(map(mp.mpf, NUMBERS))
        for i, slope in enumerate(found):
            order = tuple(int(j == i) for j in range(len(point)))
            # In float32 the difference of two logarithms of 53 is good to a few 1e-6.
            expected = float(mp.diff(EXACT[size], point, order))
            assert_allclose(slope, expected, rtol=1e-12 if X64 else 1e-3)


def test_a_number_that_a_size_does_not_depend_on_may_be_bad():
    assert np.isfinite(find("params", 0.1, 0.5, np.nan, -np.inf, 1.0, 1e20))
    assert np.isfinite(find("tokens", np.nan, -np.inf, 0.1, 0.5, 1.0, 1e20))


# Of scales, units and budgets; of exponents.
ALL_BAD = [0.0, -1.0, np.inf, np.nan], [np.inf, np.nan]


def test_bad_number_gives_nan_with_zero_derivatives_and_leaves_neighbours_alone():
    places = [(place, bad) for place in range(6) for bad in ALL_BAD[place in (1, 3)]]
    lanes = np.tile(np.array(NUMBERS, DTYPES[-1]), (len(places) + 1, 1))
    for lane, (place, bad) in enumerate(places):
        lanes[lane, place] = bad
    values, slopes = jax.vmap(jax.value_and_grad(lambda x: find("tokens_per_param", *x)))(lanes)
    assert np.all(np.isnan(values[:-1]))
    assert not np.any(slopes[:-1])
    assert_allclose(values[-1], find("tokens_per_param", *NUMBERS), rtol=1e-5)
    assert np.all(np.isfinite(slopes[-1]))


def test_size_out_of_range_is_nan_and_the_ratio_of_two_is_known():
    huge = Allocation(1e30, 9.0, 1e31, 9.0)
    flops = np.array(1e36, DTYPES[-1])
    value, slope = jax.value_and_grad(huge.params)(flops)
    assert np.isnan(value)
    assert slope == 0
    assert_allclose(huge.tokens_per_param(flops), 10, rtol=1e-3)  # logarithms near 800


def test_fields_and_budgets_broadcast():
    several = Allocation(np.array([0.1, 0.2]), 0.5, np.array([[1.0], [2.0], [3.0]]), 0.5)
    flops = np.geomspace(1e18, 1e24, 4)[:, None, None]
    assert several.params(flops).shape == (4, 1, 2)
    assert several.tokens(1e20).shape == (3, 1)
    ratio = several.tokens_per_param(flops)
    assert ratio.shape == (4, 3, 2)
    assert_allclose(ratio[0], [[10, 5], [20, 10], [30, 15]], rtol=1e-5)
    with pytest.raises(ValueError, match="shapes do not broadcast"):
        several.tokens_per_param(np.ones(5))
    with pytest.raises(TypeError, match="params_scale must be a real number"):
        Allocation("0.1", 0.5, 1.0, 0.5).params(1e20)


# --- From one size, and from a law ----------------------------------------------------------


@pytest.mark.parametrize("unit", [1.0, kaplan.PF_DAY])
@pytest.mark.parametrize("known", ["params", "tokens"])
def test_the_other_size_is_what_the_budget_leaves(known, unit):
    made = getattr(allocations, f"from_{known}")(0.3, 0.6, unit)
    flops = np.geomspace(1e17, 1e25, 9) if X64 else np.geomspace(1e17, 1e25, 9).astype(np.float32)
    tight = 1e-13 if X64 else 2e-5
    assert_allclose(getattr(made, known)(flops), 0.3 * (flops / unit) ** 0.6, rtol=tight)
    assert_allclose(6 * made.params(flops) * made.tokens(flops), flops, rtol=tight)


def test_arrays_and_tracers_make_allocations_too():
    scales = np.array([0.1, 0.2], DTYPES[-1])
    assert_allclose(allocations.from_params(scales, 0.5).tokens_scale, [1 / 0.6, 1 / 1.2])
    slope = jax.grad(lambda s: allocations.from_params(s, 0.5).tokens(1e20))(0.1)
    assert_allclose(slope, -1e10 / 0.06, rtol=1e-4)


@pytest.mark.parametrize("make", [allocations.from_params, allocations.from_tokens])
def test_concrete_numbers_that_make_no_sense_are_refused_by_name(make):
    for bad in (0.0, -1.0, np.inf, np.nan, np.array([1.0, 0.0])):
        with pytest.raises(ValueError, match="scale must be finite and above 0; got"):
            make(bad, 0.5)
        with pytest.raises(ValueError, match="unit must be finite and above 0; got"):
            make(0.1, 0.5, bad)
    with pytest.raises(ValueError, match="exponent must be finite; got nan"):
        make(0.1, np.nan)
    with pytest.raises(TypeError, match="scale must be a real number"):
        make("0.1", 0.5)


def test_laws_give_the_split_of_lowest_loss():
    names = ("hoffmann2022_unrounded", "besiroglu2024", "muennighoff2023")
    several = zip(*(jax.tree.leaves(js.laws.published(name)) for name in names), strict=True)
    law = js.laws.Chinchilla(*(np.array(x, DTYPES[-1]) for x in several))
    made = allocations.from_law(law)
    flops = np.geomspace(1e18, 1e26, 9).astype(DTYPES[-1])[:, None]
    plan = js.minimize_loss(law, flops)
    tight = 1e-12 if X64 else 1e-4
    assert_allclose(made.params(flops), plan.params, rtol=tight)
    assert_allclose(made.tokens(flops), plan.tokens, rtol=tight)


def test_no_step_aside_lowers_the_loss():
    flops = np.geomspace(1e18, 1e26, 9).astype(DTYPES[-1])
    made = allocations.from_law(LAW)
    params, tokens = made.params(flops), made.tokens(flops)
    for factor in (0.9, 1.1):
        assert np.all(LAW.loss(params * factor, tokens / factor) > LAW.loss(params, tokens))


def test_derivatives_by_coefficients_are_those_of_the_closed_form():
    """Of log N* = (log(alpha A / (beta B)) + beta log(C / 6)) / (alpha + beta)."""
    found = jax.grad(lambda law: jnp.log(allocations.from_law(law).params(1e21)))(LAW)

    def log_params(A, B, alpha, beta):
        return (mp.log(alpha * A / (beta * B)) + beta * mp.log(mp.mpf(10) ** 21 / 6)) / (
            alpha + beta
        )

    names = ("A", "B", "alpha", "beta")
    with mp.workdps(50):
        point = [mp.mpf(getattr(LAW, name)) for name in names]
        for i, name in enumerate(names):
            expected = float(mp.diff(log_params, point, tuple(int(j == i) for j in range(4))))
            assert_allclose(getattr(found, name), expected, rtol=1e-12 if X64 else 1e-3)
    assert found.E == 0


def test_a_bad_law_gives_nan_with_zero_derivatives():
    def params(A):
        return allocations.from_law(js.laws.Chinchilla(1.8, A, 2100.0, 0.35, 0.37)).params(1e21)

    lanes = np.array([480.0, -1.0, 0.0, np.nan], DTYPES[-1])
    found, slopes = jax.vmap(jax.value_and_grad(params))(lanes)
    assert_array_equal(np.isnan(found), [False, True, True, True])
    assert_allclose(slopes[0] * 480, found[0] / 0.72, rtol=1e-4)  # N* ~ A^(1 / (alpha + beta))
    assert not np.any(slopes[1:])


def test_best_sizes_of_kaplans_law_are_powers_of_compute_too():
    law = js.laws.published("kaplan2020")
    flops = np.geomspace(1e18, 1e26, 9).astype(DTYPES[-1])
    made, plan = allocations.from_law(law), js.minimize_loss(law, flops)
    tight = 1e-9 if X64 else 1e-3
    assert_allclose(made.params(flops), plan.params, rtol=tight)
    assert_allclose(made.tokens(flops), plan.tokens, rtol=tight)


def test_a_law_of_another_form_has_no_powers():
    with pytest.raises(TypeError, match=r"best sizes that are powers of compute.*; got Farseer"):
        allocations.from_law(js.laws.published("li2025"))
