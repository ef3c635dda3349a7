"""The law of floating-point formats: losses, the ceiling in tokens, and its derivatives."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale.laws.floating_point import FORMATS, Sun
from jaxscale.laws.protocol import flops_of, is_at_ceiling, least_loss_from_logs

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
# Round numbers of the size of the published ones: the formula is tested, not the catalogue.
LAW = Sun(n=70.0, alpha=0.25, d=70000.0, beta=0.5, e=1.9, gamma=11000.0, delta=3.2, nu=2.9)
LEVERS = {"exponent_bits": 2.0, "mantissa_bits": 1.0, "scaling_block": 128.0}


def exact_rounding(law, exponent_bits, mantissa_bits, scaling_block):
    half = mpf("0.5")
    fine = law.gamma * (exponent_bits + half) ** law.delta * (mantissa_bits + half) ** law.nu
    return mp.log(scaling_block, 2) / fine


def exact_loss(law, params, tokens, *levers):
    rounding = exact_rounding(law, *levers) * tokens**law.beta * params**-law.alpha
    return law.n * params**-law.alpha + law.d * tokens**-law.beta + law.e + rounding


def exact_ceiling(law, params, *levers):
    return (law.d * params**law.alpha / exact_rounding(law, *levers)) ** (1 / (2 * law.beta))


def at_fifty_digits(exact, law, *arguments):
    with mp.workdps(50):
        coefficients = {name: mpf(float(x)) for name, x in dataclasses.asdict(law).items()}
        return float(exact(dataclasses.replace(law, **coefficients), *map(mpf, arguments)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_and_ceiling_are_the_law_at_fifty_digits(dtype):
    law = jax.tree.map(dtype, LAW)
    for bits in [(0, 7), (1, 1), (2, 1), (4, 3), (5, 10)]:
        params, tokens, *levers = map(dtype, (3e8, 2e12, *bits, 128.0))
        named = dict(zip(LEVERS, levers, strict=True))
        loss, most = law.loss(params, tokens, **named), law.critical_tokens(params, **named)
        assert loss.dtype == most.dtype == dtype
        given = list(map(float, (params, tokens, *levers)))
        eps = np.finfo(dtype).eps
        assert_allclose(loss, at_fifty_digits(exact_loss, law, *given), rtol=60 * eps)
        expected = at_fifty_digits(exact_ceiling, law, given[0], *given[2:])
        assert_allclose(most, expected, rtol=200 * eps)


def test_the_loss_is_lowest_at_the_ceiling():
    most = LAW.critical_tokens(1e9, **LEVERS)
    slope = jax.grad(lambda y: LAW.loss(1e9, jnp.exp(y), **LEVERS))
    assert slope(jnp.log(most) - 0.5) < -1e-3
    assert abs(slope(jnp.log(most))) < 1e-5
    assert slope(jnp.log(most) + 0.5) > 1e-3


def test_the_loss_of_at_most_so_many_tokens_stays_where_it_is_lowest():
    levers = {name: jnp.asarray(x) for name, x in LEVERS.items()}
    x, y = jnp.log(jnp.asarray(1e9)), jnp.log(LAW.critical_tokens(1e9, **LEVERS))
    more = jnp.array([-1.0, 0.0, 1.0, 30.0])
    found = least_loss_from_logs(LAW, x, y + more, **levers)
    assert_allclose(found[1:], LAW.loss(1e9, jnp.exp(y), **LEVERS), rtol=1e-6)
    assert_array_equal(is_at_ceiling(LAW, x, y + more, **levers), [False, True, True, True])
    # A law without a ceiling is as it was.
    other = js.laws.published("sardana2024")
    assert_array_equal(least_loss_from_logs(other, x, y), other.loss_from_logs(x, y))
    assert not is_at_ceiling(other, x, y)


def test_a_block_of_one_number_loses_nothing_and_has_no_ceiling():
    exact = {**LEVERS, "scaling_block": 1.0}
    dense = js.laws.Chinchilla(E=LAW.e, A=LAW.n, B=LAW.d, alpha=LAW.alpha, beta=LAW.beta)
    assert_allclose(LAW.loss(1e9, 1e15, **exact), dense.loss(1e9, 1e15), rtol=1e-6)
    assert np.isnan(LAW.critical_tokens(1e9, **exact))
    slopes = jax.grad(lambda law: LAW.loss(1e9, law["tokens"], **law["levers"]))(
        {"tokens": 1e15, "levers": exact}
    )
    assert all(np.isfinite(x) for x in jax.tree.leaves(slopes))
    assert slopes["levers"]["scaling_block"] > 0


@pytest.mark.parametrize(
    "bad",
    [
        {"exponent_bits": -0.5}, {"mantissa_bits": -1.0}, {"scaling_block": 0.5},
        {"scaling_block": np.nan}, {"exponent_bits": np.inf},
    ],
    ids=lambda bad: f"{bad}",
)  # fmt: skip
def test_formats_that_do_not_exist_are_nan_with_zero_derivatives(bad):
    levers = {**LEVERS, **bad}
    assert np.isnan(LAW.loss(1e9, 1e11, **levers))
    assert np.isnan(LAW.critical_tokens(1e9, **levers))
    slope = jax.grad(lambda params: LAW.loss(params, 1e11, **levers))(1e9)
    assert slope == 0


def test_flops_are_those_of_sixteen_bits_times_the_share_of_bits():
    for exponent, mantissa in FORMATS.values():
        flops = flops_of(LAW, 1e9, 1e11, **{**LEVERS, **_bits(exponent, mantissa)})
        share = (1 + exponent + mantissa) / 16
        assert_allclose(
            [flops.train, flops.prefill, flops.decode], share * np.array([6e20, 2e9, 2e9])
        )


def _bits(exponent, mantissa):
    return {"exponent_bits": exponent, "mantissa_bits": mantissa}


def test_formats_are_within_the_ranges_of_the_levers():
    for bits in FORMATS.values():
        for (low, high), each in zip(list(Sun.levers.values())[:2], bits, strict=True):
            assert low <= each <= high
