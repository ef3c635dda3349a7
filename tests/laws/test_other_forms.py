"""Forms of laws to fit: values at fifty digits, limits, derivatives, and bad input."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_allclose, assert_array_equal

from jaxscale.laws.farseer import Farseer
from jaxscale.laws.other_forms import BrokenPowerLaw, Frantar

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
SIZES = (1e9, 2e10)

ONE_BREAK = BrokenPowerLaw(a=1.7, b=60.0, c0=0.05, c=0.1, d=1e20, f=0.5)
TWO_BREAKS = BrokenPowerLaw(a=1.7, b=60.0, c0=0.05, c=(0.1, -0.04), d=(1e20, 1e23), f=(0.5, 0.25))
# Made up, so that losses are a few nats.
FARSEER = Farseer(-0.2, 0.8, 60.0, 1.5, -0.05, 1.2, 0.1, -0.12, 0.12)
FRANTAR = Frantar(17.0, 0.7, 45.0, 0.25, 7e8, 0.2, 0.65)


def exact_broken(law, x):
    columns = (y if isinstance(y, tuple) else (y,) for y in (law.c, law.d, law.f))
    product = law.b * x**-law.c0
    for c, d, f in zip(*columns, strict=True):
        product *= (1 + (x / d) ** (1 / f)) ** (-c * f)
    return law.a + product


def exact_frantar(law, params, tokens, sparsity):
    size = (law.a_S * (1 - sparsity) ** law.b_S + law.c_S) * (1 / params) ** law.b_N
    return size + (law.a_D / tokens) ** law.b_D + law.c


def exactly(law):
    return jax.tree.map(lambda x: mpf(float(x)), law)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("law", [ONE_BREAK, TWO_BREAKS], ids=["one", "two"])
def test_broken_power_law_is_its_formula_at_fifty_digits(law, dtype):
    law = jax.tree.map(dtype, law)
    xs = np.geomspace(1e15, 1e28, 14, dtype=dtype)
    found = law.value(xs)
    assert found.dtype == dtype
    with mp.workdps(50):
        expected = [float(exact_broken(exactly(law), mpf(float(x)))) for x in xs]
    # (log x - log d) / f loses what log x = 64 rounds off, over f.
    assert_allclose(found, expected, rtol=100 * np.finfo(dtype).eps)


def test_a_law_of_sizes_reads_the_broken_power_law_along_its_training_flops():
    found = TWO_BREAKS.loss(*SIZES)
    assert_allclose(found, TWO_BREAKS.value(6 * SIZES[0] * SIZES[1]), rtol=1e-6)


def test_breaks_may_differ_from_lane_to_lane():
    lanes = dataclasses.replace(TWO_BREAKS, d=(np.array([1e20, 1e21]), 1e23))
    alone = [dataclasses.replace(TWO_BREAKS, d=(d, 1e23)).loss(*SIZES) for d in (1e20, 1e21)]
    assert_allclose(lanes.loss(*SIZES), alone, rtol=1e-6)


def test_a_broken_power_law_is_a_flat_pytree():
    leaves, structure = jax.tree.flatten(TWO_BREAKS)
    assert leaves == [1.7, 60.0, 0.05, 0.1, -0.04, 1e20, 1e23, 0.5, 0.25]
    assert jax.tree.unflatten(structure, leaves) == TWO_BREAKS
    with pytest.raises(TypeError, match=r"law\.f must be a real number"):
        dataclasses.replace(TWO_BREAKS, f=(0.5, "sharp")).value(1.0)


def test_breaks_have_to_be_complete():
    with pytest.raises(ValueError, match=r"one number for each break; got \[2, 1, 2\]"):
        dataclasses.replace(TWO_BREAKS, d=1e20).loss(*SIZES)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.95])
def test_frantar_is_its_formula_at_fifty_digits(sparsity, dtype):
    law = jax.tree.map(dtype, FRANTAR)
    arguments = [dtype(x) for x in (*SIZES, sparsity)]
    with mp.workdps(50):
        expected = float(exact_frantar(exactly(law), *(mpf(float(x)) for x in arguments)))
    found = law.loss(*arguments[:2], sparsity=arguments[2])
    assert_allclose(found, expected, rtol=60 * np.finfo(dtype).eps)


@pytest.mark.parametrize(
    ("law", "levers"),
    [
        pytest.param(TWO_BREAKS, {}, id="broken"),
        pytest.param(FARSEER, {}, id="farseer"),
        pytest.param(FRANTAR, {"sparsity": 0.0}, id="frantar, dense"),
        pytest.param(FRANTAR, {"sparsity": 0.95}, id="frantar, sparse"),
    ],
)
def test_derivatives_are_finite_and_bad_lanes_have_none(law, levers):
    def loss(x):
        return law.loss_from_logs(x[0], x[1], *x[2:])

    point = jnp.array([*np.log(SIZES), *levers.values()])
    assert np.isfinite(jax.jit(jax.hessian(loss))(point)).all()

    def total(params):
        losses = law.loss(params, SIZES[1], **levers)
        return jnp.where(jnp.isnan(losses), 0, losses).sum(), losses

    slopes, losses = jax.grad(total, has_aux=True)(jnp.array([SIZES[0], -1.0, jnp.nan]))
    assert_array_equal(np.isnan(losses), [False, True, True])
    assert slopes[0] < 0
    assert_array_equal(slopes[1:], 0)


def test_all_zeros_leave_no_model():
    found, slope = jax.value_and_grad(lambda s: FRANTAR.loss(*SIZES, sparsity=s))(1.0)
    assert np.isnan(found)
    assert slope == 0


def test_bad_coefficients_are_nan():
    law = dataclasses.replace(ONE_BREAK, d=np.array([1e20, -1e20]))
    assert_array_equal(np.isnan(law.value(1e21)), [False, True])
    assert np.isnan(dataclasses.replace(FARSEER, a1=np.nan).loss(*SIZES))
    assert np.isnan(dataclasses.replace(FRANTAR, b_S=-0.5).loss(*SIZES, sparsity=0.5))
