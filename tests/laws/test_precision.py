"""The law of precision: shares, losses, the penalty of rounding, and derivatives below 4 bits."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_allclose, assert_array_equal

from jaxscale.laws.precision import Kumar
from jaxscale.laws.protocol import flops_of

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
# Round numbers of the size of the published ones: the formula is tested, not the catalogue.
LAW = Kumar(
    A=4300.0, B=18000.0, E=2.8, alpha=0.5, beta=0.45,
    gamma_w=2.7, n_w=0.3, gamma_a=2.2, n_a=1.4, gamma_kv=1.0, n_kv=2.4,
    C_T=0.06, gamma_D=0.5, gamma_N=0.35, gamma_post=0.6, b=0.1,
)  # fmt: skip


def exact_share(bits, gamma, offset):
    return 1 - mp.exp(offset - bits / gamma)


def exact_effective(law, params, bits):
    share = exact_share(bits, law.gamma_w, law.n_w) * exact_share(bits, law.gamma_a, law.n_a)
    return params * share * exact_share(bits, law.gamma_kv, law.n_kv)


def exact_loss(law, params, tokens, bits):
    size = law.A * exact_effective(law, params, bits) ** -law.alpha
    return size + law.B * tokens**-law.beta + law.E


def exact_penalty(law, params, tokens, bits, post_bits):
    ratio = tokens**law.gamma_D / exact_effective(law, params, bits) ** law.gamma_N
    return law.C_T * ratio * mp.exp(law.b - post_bits / law.gamma_post)


def at_fifty_digits(exact, law, *arguments):
    with mp.workdps(50):
        coefficients = {name: mpf(float(x)) for name, x in dataclasses.asdict(law).items()}
        return float(exact(dataclasses.replace(law, **coefficients), *map(mpf, arguments)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", [4.0, 5.5, 8.0, 16.0])
def test_loss_is_the_law_at_fifty_digits(bits, dtype):
    law = jax.tree.map(dtype, LAW)
    arguments = [dtype(x) for x in (3e8, 2e10, bits)]
    found = law.loss(*arguments[:2], bits=arguments[2])
    assert found.dtype == dtype
    expected = at_fifty_digits(exact_loss, law, *map(float, arguments))
    assert_allclose(found, expected, rtol=60 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_penalty_is_the_law_at_fifty_digits(dtype):
    law = jax.tree.map(dtype, LAW)
    arguments = [dtype(x) for x in (3e8, 2e10, 8.0, 4.0)]
    expected = at_fifty_digits(exact_penalty, law, *map(float, arguments))
    assert_allclose(law.post_training_penalty(*arguments), expected, rtol=100 * np.finfo(dtype).eps)


def test_nothing_rounded_off_costs_nothing():
    penalties = LAW.post_training_penalty(3e8, 2e10, 8.0, np.array([16.0, 8.0, 7.9]))
    assert_array_equal(penalties[:2], 0)
    assert penalties[2] > 0


def test_bad_values_are_nan():
    assert_array_equal(np.isnan(LAW.loss(3e8, np.array([2e10, -1.0]), bits=8.0)), [False, True])
    assert_array_equal(np.isnan(LAW.shares(np.array([8.0, 0.0])).weights), [False, True])
    penalties = LAW.post_training_penalty(np.array([3e8, np.inf]), 2e10, 8.0, 4.0)
    assert_array_equal(np.isnan(penalties), [False, True])
    spoiled = dataclasses.replace(LAW, gamma_kv=np.array([1.0, -1.0]))
    assert_array_equal(np.isnan(spoiled.loss(3e8, 2e10, bits=8.0)), [False, True])


def test_penalties_differentiate_beside_bad_neighbours():
    def total(bits):
        penalties = LAW.post_training_penalty(3e8, 2e10, bits, 4.0)
        return jnp.where(jnp.isnan(penalties), 0, penalties).sum()

    slopes = jax.grad(total)(jnp.array([8.0, -1.0]))
    # d ln penalty / d bits is -gamma_N d ln N_eff / d bits.
    with mp.workdps(50):
        slope = mp.diff(lambda bits: mp.log(exact_penalty(LAW, 3e8, 2e10, bits, 4.0)), 8)
    penalty = at_fifty_digits(exact_penalty, LAW, 3e8, 2e10, 8.0, 4.0)
    assert_allclose(slopes, [float(slope) * penalty, 0], rtol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_falls_smoothly_with_bits_also_where_the_printed_share_is_negative(dtype):
    """The printed share of activations falls through 0 at 3.08 bits."""
    bits = np.linspace(3, 5, 1001, dtype=dtype)
    sizes = np.log(np.array([3e8, 2e10], dtype))

    def loss(x):
        return LAW.loss_from_logs(x[0], x[1], x[2])

    points = np.array([[*sizes, each] for each in bits], dtype)
    losses = jax.jit(jax.vmap(loss))(points)
    slopes = jax.jit(jax.vmap(jax.grad(loss)))(points)
    assert (np.diff(losses) <= 0).all()
    assert np.isfinite(slopes).all()
    assert np.isfinite(jax.jit(jax.vmap(jax.hessian(loss)))(points)).all()
    # A kink would be a step of the slope, from one value to the next that float32 can resolve.
    assert (slopes[1:, 2] / slopes[:-1, 2]).min() > 0.9


def test_from_four_bits_the_floor_is_invisible():
    shares = LAW.shares(np.array([4.0, 6.0]))
    expected = [
        [
            at_fifty_digits(lambda law, bits, k=k: exact_share(bits, *k(law)), LAW, bits)
            for bits in (4, 6)
        ]
        for k in (
            lambda law: (law.gamma_w, law.n_w),
            lambda law: (law.gamma_a, law.n_a),
            lambda law: (law.gamma_kv, law.n_kv),
        )
    ]
    assert_allclose(shares, expected, rtol=4e-6 if not X64 else 1e-13)


def test_flops_fall_in_proportion_to_bits():
    train, prefill, decode = flops_of(LAW, 1e9, 2e10, bits=8.0)
    assert_allclose((train, prefill, decode), (0.5 * 6 * 1e9 * 2e10, 1e9, 1e9), rtol=1e-15)


def test_more_bits_than_any_leave_a_chinchilla_law():
    found = LAW.loss(3e8, 2e10, bits=200.0)
    assert_allclose(found, LAW.A * 3e8**-LAW.alpha + LAW.B * 2e10**-LAW.beta + LAW.E, rtol=2e-6)
