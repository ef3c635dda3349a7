"""The data-constrained law: values at fifty digits, its joints and limits, its derivatives."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp
from numpy.testing import assert_allclose, assert_array_equal

from jaxscale.laws.repeated_data import Muennighoff

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
EPS = np.finfo(DTYPES[-1]).eps
NAMES = [field.name for field in dataclasses.fields(Muennighoff)]
# Exponents apart, so that the best params are no fixed multiple of the tokens.
LAW = Muennighoff(E=1.8, A=500.0, B=1500.0, alpha=0.36, beta=0.33, R_D=15.0, R_N=5.0)
UNIQUE = 1e10
SIZES = {  # params and tokens beside 1e10 unique tokens; the best params for those are 2.2e8
    "seen once": (1e8, 5e9),
    "seen once by too many params": (1e10, 5e9),
    "repeated": (1e8, 4e10),
    "repeated by too many params": (1e10, 4e11),
    "repeated until nothing is left": (1e12, 1e14),
}


# The formulas of the paper as they stand.
def exact_best_params(E, A, B, alpha, beta, R_D, R_N, U):
    del E, R_D, R_N
    G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    return (U * G) ** (beta / alpha) * G


def worth(seen, first, scale):
    return first + first * scale * (1 - mp.exp(-(seen / first - 1) / scale))


def exact_loss(*numbers):
    *law, N, D, U = numbers
    E, A, B, alpha, beta, R_D, R_N = law
    U_D = min(U, D)
    U_N = min(N, exact_best_params(*law, U_D))
    return E + A / worth(N, U_N, R_N) ** alpha + B / worth(D, U_D, R_D) ** beta


def loss(*numbers):
    *law, N, D, U = numbers
    return Muennighoff(*law).loss(N, D, unique_tokens=U)


def numbers_at(sizes, unique=UNIQUE):
    return (*(getattr(LAW, name) for name in NAMES), *sizes, unique)


@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_is_the_law_at_fifty_digits(dtype):
    spread = np.random.default_rng(0).uniform(0.8, 1.25, (8, len(SIZES), 10))
    lanes = np.array([numbers_at(sizes) for sizes in SIZES.values()])
    numbers = (spread * lanes).astype(dtype).reshape(-1, 10)
    with mp.workdps(50):
        expected = [float(exact_loss(*map(mp.mpf, map(float, lane)))) for lane in numbers]
    # A term is the exponential of a sum of logarithms of up to 40, each rounded.
    assert_allclose(loss(*numbers.T), expected, rtol=60 * np.finfo(dtype).eps)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_derivatives_are_those_of_the_law(sizes):
    numbers = numbers_at(sizes)
    found = jax.grad(lambda x: loss(*x))(numbers)
    with mp.workdps(50):
        point = tuple(map(mp.mpf, numbers))
        for i, slope in enumerate(found):
            order = tuple(int(j == i) for j in range(len(point)))
            expected = float(mp.diff(exact_loss, point, order))
            # Relative to the loss per fold of the number: some derivatives are nearly nothing.
            scale = abs(numbers[i])
            assert_allclose(slope * scale, expected * scale, rtol=0, atol=1e-12 if X64 else 1e-4)


@pytest.mark.usefixtures("compiled_as_users_do")
def test_tokens_seen_once_are_the_base_law():
    params, tokens = np.array([1e7, 1e8]), np.array([[1e9], [9e9]])
    fitting = np.minimum(params, LAW.best_params_for(tokens))
    assert_array_equal(
        LAW.loss(fitting, tokens, unique_tokens=UNIQUE), LAW.base().loss(fitting, tokens)
    )
    assert_array_equal(LAW.effective_tokens(tokens, UNIQUE), tokens.astype(DTYPES[-1]))


def test_repeats_add_at_most_their_scale():
    most = (1 + LAW.R_D) * UNIQUE
    assert_allclose(LAW.effective_tokens(1e38, UNIQUE), most, rtol=4 * EPS)
    best = LAW.best_params_for(UNIQUE)
    floor = LAW.base().loss((1 + LAW.R_N) * best, most)
    assert_allclose(LAW.loss(1e38, 1e38, unique_tokens=UNIQUE), floor, rtol=20 * EPS)


def test_first_repeat_loses_half_its_distance_over_the_scale():
    """D' = D - U R^2 / (2 R_D) + ..., the series of the exponential."""
    repeats = 1e-2
    lost = (1 + repeats) * UNIQUE - LAW.effective_tokens((1 + repeats) * UNIQUE, UNIQUE)
    assert_allclose(lost, UNIQUE * repeats**2 / (2 * LAW.R_D), rtol=1e-3 if X64 else 0.5)


def test_best_params_are_the_optimum_of_the_base_law():
    """Where alpha A / N^alpha = beta B / D^beta, at 6 N D fixed."""
    tokens = np.geomspace(1e6, 1e14, 9)
    params = LAW.best_params_for(tokens)
    size = LAW.alpha * LAW.A * params**-LAW.alpha
    data = LAW.beta * LAW.B * tokens**-LAW.beta
    assert_allclose(size, data, rtol=100 * EPS)


def test_loss_never_rises_with_tokens_or_params():
    sizes = np.geomspace(1e6, 1e16, 60)
    for losses in (
        LAW.loss(1e9, sizes, unique_tokens=UNIQUE),
        LAW.loss(sizes, 1e12, unique_tokens=UNIQUE),
    ):
        # Flat in the end, up to rounding.
        assert np.all(np.diff(losses) <= 8 * EPS)
    assert np.all(np.diff(LAW.loss(1e7, 1e12, unique_tokens=sizes)) <= 8 * EPS)


slopes_of_loss = jax.vmap(
    jax.grad(lambda n, d, u: LAW.loss(n, d, unique_tokens=u), argnums=(0, 1, 2))
)


def test_derivatives_at_the_joints_are_those_of_the_base_law():
    """Both kinks are smooth from either side: the first repeat is worth a new token."""
    tokens = np.array([UNIQUE, UNIQUE])
    best = float(LAW.best_params_for(UNIQUE))
    params = np.array([best, best / 2])
    by_params, by_tokens, by_unique = slopes_of_loss(params, tokens, tokens)
    expected = jax.vmap(jax.grad(LAW.base().loss, argnums=(0, 1)))(params, tokens)
    assert_allclose((by_params, by_tokens), expected, rtol=200 * EPS)
    assert_allclose(by_unique * UNIQUE, 0, atol=20 * EPS)


@pytest.mark.parametrize("dtype", DTYPES)
def test_derivatives_are_finite_at_every_size(dtype):
    # Below the least of these, dL/dN itself is too large for the dtype.
    least, most = (1e-20, 1e38) if dtype == np.float32 else (1e-150, 1e300)
    sizes = np.array([least, 1.0, 1e10, most], dtype)
    grid = (x.ravel() for x in np.meshgrid(sizes, sizes, sizes))
    assert np.all(np.isfinite(slopes_of_loss(*grid)))


def test_derivatives_are_finite_at_every_scale_of_repeats():
    def loss(R_D, repeats):
        law = dataclasses.replace(LAW, R_D=R_D)
        return law.loss(1e8, (1 + repeats) * 1e5, unique_tokens=1e5)

    # In float32, where the square of the least scale underflows and a quotient overflows.
    scales, repeats = [1e-20, 1e-3, 1e20], [0.0, 1e-3, 1.0, 1e3, 1e9, 1e25]
    lanes = (x.ravel().astype(np.float32) for x in np.meshgrid(scales, repeats))
    value, slopes = jax.vmap(jax.value_and_grad(loss, argnums=(0, 1)))(*lanes)
    assert np.all(np.isfinite(value))
    assert np.all(np.isfinite(slopes))


def test_bad_number_gives_nan_with_zero_derivatives():
    numbers = np.array(numbers_at((1e9, 1e11)), DTYPES[-1])
    lanes = np.tile(numbers, (4, 10, 1))
    for lane, bad in zip(lanes, [0.0, -1.0, np.inf, np.nan], strict=True):
        np.fill_diagonal(lane, bad)
    lanes = lanes.reshape(-1, 10)[1:]  # E of 0 is good
    values, slopes = jax.vmap(jax.value_and_grad(lambda x: loss(*x)))(lanes)
    assert np.all(np.isnan(values))
    assert not np.any(slopes)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.inf, np.nan])
def test_sizes_asked_for_alone_are_nan_with_zero_derivatives_beside_good_lanes(bad):
    def total(unique):
        found = LAW.effective_tokens(1e11, unique), LAW.best_params_for(unique)
        return sum(jnp.sum(jnp.where(jnp.isnan(x), 0, x)) for x in found), found

    slopes, found = jax.grad(total, has_aux=True)(np.array([UNIQUE, bad], DTYPES[-1]))
    assert_array_equal(np.isnan(found), [[False, True]] * 2)
    assert slopes[0] > 0
    assert slopes[1] == 0


def test_fields_and_arguments_broadcast():
    laws = dataclasses.replace(LAW, R_D=np.array([10.0, 20.0]))
    found = laws.loss(np.array([[1e8], [1e9], [1e10]]), 1e11, unique_tokens=UNIQUE)
    one = dataclasses.replace(LAW, R_D=20.0).loss(1e9, 1e11, unique_tokens=UNIQUE)
    assert found.shape == (3, 2)
    assert_allclose(found[1, 1], one, rtol=4 * EPS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_repeats_of_a_large_scale_are_worth_as_much_as_new_tokens(dtype):
    """The law of R_D -> infinity is the base law; of R_D it is off by repeats^2 / (2 R_D) of D."""
    with jax.enable_x64(dtype == np.float64):
        params, tokens, unique = (dtype(x) for x in (1e9, 4e11, 1e11))

        def loss(R_D):
            return dataclasses.replace(LAW, R_D=R_D, R_N=dtype(1e20)).loss(
                params, tokens, unique_tokens=unique
            )

        new = LAW.base().loss(params, tokens)
        for scale in (1e5, 1e8, 1e12):
            lost = loss(dtype(scale)) - new
            expected = LAW.B * LAW.beta * float(tokens) ** -LAW.beta * (9 / 8) / scale
            assert abs(lost - expected) < 0.1 * expected + 8 * np.finfo(dtype).eps
            slope = jax.grad(loss)(dtype(scale))
            assert slope == pytest.approx(-expected / scale, rel=0.1)
