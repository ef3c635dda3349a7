"""Loss along tokens per parameter, and the null model of compute alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp
from numpy.testing import assert_allclose, assert_array_equal

from jaxscale.laws import Chinchilla
from jaxscale.laws._flops_form import from_flops_form, loss_at_ratio
from jaxscale.laws.other_forms import ComputeOnly
from jaxscale.laws.repeated_data import Muennighoff

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
EPS = np.finfo(DTYPES[-1]).eps
FORM = (1.8, 200.0, 300.0, 0.13)  # E, a, b, eta


# --- Loss by compute and tokens per parameter -----------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_flops_form_is_the_law_in_other_variables(dtype):
    numbers = np.array([[*FORM, 1e20, 20], [*FORM, 3e23, 640], [1.5, 140, 190, 0.12, 1e17, 5]])
    E, a, b, eta, flops, ratio = numbers = numbers.astype(dtype).T
    with mp.workdps(50):
        expected = [
            float(E + (a * M**eta + b * M**-eta) * C**-eta)
            for E, a, b, eta, C, M in (map(mp.mpf, map(float, lane)) for lane in numbers.T)
        ]
    found = loss_at_ratio(from_flops_form(E, a, b, eta), flops, ratio)
    assert found.dtype == dtype
    assert_allclose(found, expected, rtol=60 * np.finfo(dtype).eps)


def test_flops_form_of_python_numbers_is_of_python_numbers():
    law = from_flops_form(*FORM)
    assert all(type(x) is float for x in jax.tree.leaves(law))


@pytest.mark.parametrize(
    ("place", "bad", "message"),
    [(0, -1.0, "E must be finite and 0 or more"), (1, 0.0, "a must"), (3, np.nan, "eta must")],
)
def test_flops_form_refuses_a_bad_number_by_name(place, bad, message):
    numbers = [bad if i == place else x for i, x in enumerate(FORM)]
    with pytest.raises(ValueError, match=message):
        from_flops_form(*numbers)


def test_loss_at_ratio_is_that_of_the_sizes():
    params, tokens = np.array([1e8, 1e9, 1e10]), np.array([1e10, 1e10, 1e12])
    flops, ratio = 6 * params * tokens, tokens / params
    law = Chinchilla(E=1.7, A=400.0, B=410.0, alpha=0.34, beta=0.28)
    assert_allclose(loss_at_ratio(law, flops, ratio), law.loss(params, tokens), rtol=20 * EPS)


def test_loss_at_ratio_hands_levers_on():
    law = Muennighoff(E=1.8, A=500.0, B=1500.0, alpha=0.35, beta=0.35, R_D=15.0, R_N=5.0)
    found = loss_at_ratio(law, 6 * 1e9 * 1e11, 100, unique_tokens=1e10)
    assert_allclose(found, law.loss(1e9, 1e11, unique_tokens=1e10), rtol=20 * EPS)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.inf, np.nan])
@pytest.mark.parametrize("place", [0, 1])
def test_bad_compute_or_ratio_is_nan_and_leaves_its_neighbours(place, bad):
    numbers = np.array([[1e20, 1e20], [20, 20]], DTYPES[-1])
    numbers[place, 1] = bad

    def total(numbers):
        loss = loss_at_ratio(from_flops_form(*FORM), *numbers)
        return jnp.sum(jnp.where(jnp.isnan(loss), 0, loss)), loss

    slopes, loss = jax.grad(total, has_aux=True)(numbers)
    assert_array_equal(np.isnan(loss), [False, True])
    assert np.all(slopes[:, 0] != 0)
    assert_array_equal(slopes[:, 1], [0, 0])


# --- Compute alone, Guo 2024 ----------------------------------------------------------------


def test_compute_alone_is_blind_to_the_split():
    law = ComputeOnly(intercept=6.0, slope=0.07)
    params = np.geomspace(1e6, 1e12, 7)
    expected = 6.0 - 0.07 * np.log(6e20)
    assert_allclose(law.loss(params, 1e20 / params), expected, rtol=20 * EPS)
    by_params, by_tokens = jax.grad(law.loss, argnums=(0, 1))(1e9, 2e10)
    assert_allclose(by_params * 1e9, -0.07, rtol=20 * EPS)
    assert_allclose(by_tokens * 2e10, -0.07, rtol=20 * EPS)


@pytest.mark.parametrize(
    ("law", "params"),
    [(ComputeOnly(6.0, 0.0), 1e9), (ComputeOnly(np.nan, 0.1), 1e9), (ComputeOnly(6.0, 0.1), -1.0)],
)
def test_compute_alone_of_a_bad_number_is_nan(law, params):
    value, slope = jax.value_and_grad(law.loss)(params, 2e10)
    assert np.isnan(value)
    assert slope == 0
