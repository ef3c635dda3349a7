"""Laws of mixtures of experts: values, derivatives to the ends of the levers, FLOPs, bad input."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf
from numpy.testing import assert_allclose, assert_array_equal

from jaxscale.laws.experts import Abnar, Clark, Krajewski
from jaxscale.laws.joint_experts import Ludziejewski
from jaxscale.laws.protocol import checked_loss, flops_of, levers_of, loss_from_logs

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
SIZES = (1e9, 2e10)  # params, tokens


# The formulas of the papers, at 50 digits.
def exact_clark(law, params, tokens, experts):
    del tokens
    shifted = experts - 1 + 1 / (1 / law.E_start - 1 / law.E_max)
    size, routed = mp.log10(params), mp.log10(1 / (1 / shifted + 1 / law.E_max))
    return mpf(10) ** (law.a * size + law.b * routed + law.c * size * routed + law.d)


def exact_krajewski(law, params, tokens, granularity):
    size = (law.g / granularity**law.gamma + law.a) / params**law.alpha
    return law.c + size + law.b / tokens**law.beta


def exact_abnar(law, params, tokens, sparsity):
    active = 1 - sparsity
    alone = law.a / params**law.alpha + law.b / tokens**law.beta + law.c / active**law.lambda_
    return alone + law.d / (active**law.delta * params**law.gamma) + law.e


def exact_ludziejewski(law, params, tokens, experts):
    shifted = experts - 1 + 1 / (1 / law.E_start - 1 / law.E_max)
    transformed = 1 / (1 / shifted + 1 / law.E_max)
    log = mp.log(transformed)
    size = law.a * transformed**law.delta * params ** (law.alpha + law.gamma * log)
    return size + law.b * transformed**law.omega * tokens ** (law.beta + law.zeta * log) + law.c


# Round numbers of the size of the published ones: the formula is tested, not the catalogue.
CLARK = Clark(-0.08, -0.11, 0.01, 1.1, 1.9, 320.0)
KRAJEWSKI = Krajewski(0.5, 2.0, 0.6, 18.0, 0.12, 30.0, 0.15)
ABNAR = Abnar(16600.0, 0.6, 5500.0, 0.4, 0.46, -0.17, 17.0, 0.16, 0.16, 0.94)
LUDZIEJEWSKI = Ludziejewski(36.0, -0.19, -0.23, 0.01, 36.0, -0.18, 0.55, -0.026, 2.1, 290.0, 1.4)
CASES = [
    pytest.param(CLARK, exact_clark, id="clark"),
    pytest.param(KRAJEWSKI, exact_krajewski, id="krajewski"),
    pytest.param(ABNAR, exact_abnar, id="abnar"),
    pytest.param(LUDZIEJEWSKI, exact_ludziejewski, id="ludziejewski"),
]


def lever(law):
    """The only lever's name, and values at, between and at the ends of its range."""
    ((name, (low, high)),) = levers_of(law).items()
    return name, np.linspace(low, high, 4)


def exactly(law):
    return jax.tree.map(lambda x: mpf(float(x)), law)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("law", "exact"), CASES)
def test_loss_is_the_law_at_fifty_digits(law, exact, dtype):
    law = jax.tree.map(dtype, law)
    name, values = lever(law)
    params, tokens = np.geomspace(1e6, 1e13, 4, dtype=dtype), dtype(2e11)
    found = law.loss(params[:, None], tokens, **{name: values.astype(dtype)})
    assert found.shape == (4, 4)
    assert found.dtype == dtype
    for i, size in enumerate(params):
        for j, value in enumerate(values.astype(dtype)):
            with mp.workdps(50):
                expected = exact(exactly(law), *(mpf(float(x)) for x in (size, tokens, value)))
            # Each term is the exponential of a sum of logarithms up to 20.
            assert_allclose(found[i, j], float(expected), rtol=60 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("law", "exact"), CASES)
def test_derivatives_hold_to_the_ends_of_the_lever(law, exact, dtype):
    name, values = lever(law)
    logs = np.log(SIZES)

    def loss(x):
        return loss_from_logs(law, x[0], x[1], **{name: x[2]})

    points = np.array([[*logs, value] for value in values], dtype)
    slopes = jax.jit(jax.vmap(jax.grad(loss)))(points)
    curvatures = jax.jit(jax.vmap(jax.hessian(loss)))(points)
    assert np.isfinite(curvatures).all()

    def exact_loss(log_params, log_tokens, value):
        return exact(exactly(law), mp.exp(log_params), mp.exp(log_tokens), value)

    for point, slope in zip(points.tolist(), slopes, strict=True):
        with mp.workdps(50):
            orders = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
            expected = [float(mp.diff(exact_loss, point, order)) for order in orders]
        # Slopes by the lever are small differences of larger terms.
        assert_allclose(slope, expected, rtol=1000 * np.finfo(dtype).eps, atol=1e-12)


@pytest.mark.parametrize(("law", "exact"), CASES)
def test_bad_values_are_nan_with_zero_derivatives_beside_good_neighbours(law, exact):
    del exact
    name, values = lever(law)
    for bad in ({"params": -1.0}, {"tokens": np.nan}, {name: np.nan}, {name: np.inf}):
        good = {"params": SIZES[0], "tokens": SIZES[1], name: values[1]}
        pairs = {key: jnp.array([good[key], (good | bad)[key]]) for key in good}

        def total(pairs):
            losses = law.loss(pairs["params"], pairs["tokens"], **{name: pairs[name]})
            return jnp.where(jnp.isnan(losses), 0, losses).sum(), losses

        gradient, losses = jax.grad(total, has_aux=True)(pairs)
        assert_array_equal(np.isnan(losses), [False, True])
        for key, slope in gradient.items():
            assert np.isfinite(slope).all(), (key, bad)
            assert slope[1] == 0


@pytest.mark.parametrize(
    ("law", "value"),
    [(CLARK, -5.0), (KRAJEWSKI, 0.0), (ABNAR, 1.0), (LUDZIEJEWSKI, 0.999)],
)
def test_beyond_what_the_formula_means_the_loss_is_nan_with_zero_derivatives(law, value):
    name, _ = lever(law)
    value, slope = jax.value_and_grad(lambda x: law.loss(*SIZES, **{name: x}))(value)
    assert np.isnan(value)
    assert slope == 0


def test_one_bad_coefficient_spoils_its_own_lane_alone():
    law = dataclasses.replace(CLARK, E_max=np.array([320.0, 1.0]))  # below E_start
    assert_array_equal(np.isnan(law.loss(*SIZES, experts=8)), [False, True])


def test_a_lever_has_to_be_named():
    with pytest.raises(TypeError, match="levers of Abnar are sparsity; got granularity"):
        checked_loss(ABNAR, *SIZES, granularity=4.0)


def test_clark_is_the_same_at_every_number_of_tokens():
    law = CLARK
    losses = law.loss(1e9, np.array([1e9, 130e9, 1e13]), experts=8)
    assert_array_equal(losses, losses[0])


def test_one_expert_is_e_start_and_no_number_passes_e_max():
    law = CLARK
    plain = 10 ** (law.a * 9 + law.d)  # at 1e9 params, without experts
    slope = law.b + law.c * 9
    assert_allclose(law.loss(*SIZES, experts=1.0), plain * law.E_start**slope, rtol=2e-6)
    assert_allclose(law.loss(*SIZES, experts=1e12), plain * law.E_max**slope, rtol=2e-6)


def test_flops_of_abnar_are_those_of_the_active_parameters():
    law = ABNAR
    train, prefill, decode = flops_of(law, 1e9, 2e10, sparsity=0.75)
    assert_allclose((train, prefill, decode), (6 * 0.25e9 * 2e10, 0.5e9, 0.5e9), rtol=1e-15)


def test_flops_of_krajewski_are_those_of_its_blocks():
    """A model of 10 blocks of width 640, term by term as in eq. 10 and Section 6.1."""
    blocks, width, granularity, tokens = 10, 640, 4, 1e9
    params = blocks * width**2 * (8 * 64 + 4)
    train = (12 * width**2 * 6 + width * 64 * granularity * 14) * tokens * blocks
    found = flops_of(KRAJEWSKI, float(params), tokens, granularity=float(granularity))
    assert_allclose(found, (train, train / tokens / 3, train / tokens / 3), rtol=2e-6)


@pytest.mark.parametrize("law", [KRAJEWSKI, ABNAR], ids=["krajewski", "abnar"])
def test_flops_have_finite_derivatives_at_the_ends_of_the_lever(law):
    name, values = lever(law)

    def log_train(x):
        return jnp.log(flops_of(law, jnp.exp(x[0]), jnp.exp(x[1]), **{name: x[2]}).train)

    for value in values[[0, -1]]:
        assert np.isfinite(
            jax.jit(jax.hessian(log_train))(jnp.array([*np.log(SIZES), value]))
        ).all()
