"""Families: the shape has the parameters that were asked for, to any derivative."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp
from numpy.testing import assert_allclose, assert_array_equal

from jaxscale.architectures import CHINCHILLA, LLAMA
from jaxscale.architectures.family import Power, log_root

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
EPS = np.finfo(DTYPES[-1]).eps
PARAMS = np.geomspace(1e6, 1e14, 17)
# Lanes: of the table, of one depth, ever deeper; and for the other with fewer heads of keys.
OF_CHINCHILLA = replace(
    CHINCHILLA,
    scale=np.array([[CHINCHILLA.scale], [12.0], [1e-9]]),
    power=np.array([[CHINCHILLA.power], [0.0], [3.0]]),
)
OF_LLAMA = replace(
    LLAMA, kv_group=np.array([[1.0], [8.0]]), vocabulary=np.array([[32000.0], [128256.0]])
)
OF_EXPERTS = replace(
    LLAMA, experts=np.array([[1.0], [8.0], [64.0]]), active_experts=np.array([[1.0], [2.0], [6.0]])
)
TABLES = {
    "chinchilla": (CHINCHILLA, [10, 20, 24, 26, 28, 40], [640, 1024, 1280, 1792, 2048, 3584]),
    "llama": (LLAMA, [32, 40, 60, 80], [4096, 5120, 6656, 8192]),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "family", [OF_CHINCHILLA, OF_LLAMA, OF_EXPERTS], ids=["plain", "gated", "experts"]
)
def test_the_shape_has_so_many_params(family, dtype):
    params = PARAMS.astype(dtype)
    a = jax.tree.map(lambda x: np.asarray(x, dtype), family).architecture(params)
    assert a.width.dtype == dtype
    # Their logarithm, near 30, is rounded before it is exponentiated.
    assert_allclose(a.params, np.broadcast_to(params, a.width.shape), rtol=60 * np.finfo(dtype).eps)


def test_idle_experts_are_params_that_are_not_active():
    a = OF_EXPERTS.architecture(1e10)
    idle = np.array([[0.0], [6.0], [58.0]])
    parts = np.asarray(3 * a.layers * a.width * a.ff_width) * idle
    assert_allclose(a.params - a.active_params, parts, rtol=1e3 * EPS, atol=1e10 * 40 * EPS)


def test_the_shape_is_that_of_the_family():
    a = OF_LLAMA.architecture(PARAMS)
    assert_allclose(a.layers, OF_LLAMA.scale * np.asarray(a.width) ** OF_LLAMA.power, rtol=40 * EPS)
    assert_allclose(a.heads * a.head_size, a.width, rtol=4 * EPS)
    assert_allclose(a.kv_heads * OF_LLAMA.kv_group, a.heads, rtol=4 * EPS)
    assert_allclose(a.ff_width * 3, 8 * a.width, rtol=4 * EPS)
    assert (a.gated, a.tied, a.learned_positions) == (True, False, False)


@pytest.mark.parametrize(("family", "layers", "width"), TABLES.values(), ids=TABLES)
def test_a_family_is_the_least_squares_line_of_its_table(family, layers, width):
    layers, width = np.log(layers), np.log(width)
    power, log_scale = np.polyfit(width, layers, 1)
    assert_allclose(family.power, power, rtol=0, atol=5e-5)
    assert_allclose(family.scale, np.exp(log_scale), rtol=5e-4)
    # Rounded together, they still go through the depths that the line does.
    line = power * width + log_scale
    assert_allclose(np.log(family.scale) + family.power * width, line, rtol=0, atol=1e-3)


def test_derivatives_of_any_order_are_those_of_the_inverse():
    # The params of the shape are what was asked for, so their derivatives by it are 1, 0, 0, and
    # by the family's numbers 0.
    def log_params(numbers):
        asked, scale = numbers
        found = replace(CHINCHILLA, scale=scale).architecture(jnp.exp(asked))
        return jnp.log(found.params)

    first = jax.jacfwd(log_params)
    orders = jax.jit(lambda x: (first(x), jax.jacfwd(first)(x), jax.jacfwd(jax.jacfwd(first))(x)))
    found = orders(np.array([20.0, 0.1], DTYPES[-1]))
    assert_allclose(found[0], [1, 0], atol=200 * EPS)
    # Derivatives by a scale of 0.1 are of the size of its inverse's powers.
    assert_allclose(found[1], np.zeros((2, 2)), atol=1e4 * EPS)
    assert_allclose(found[2], np.zeros((2, 2, 2)), atol=1e5 * EPS)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_root_is_that_of_fifty_digits(dtype):
    power = np.array([[-0.5], [0.0], [1.35], [4.0]], dtype)
    targets = np.array([-80.0, 0.0, 20.0, 80.0], dtype)
    one, scales = np.ones_like(power), np.array([-3.0, 5.0, 10.0], dtype)
    exponents = 2 + power, 1 + power, one
    terms = tuple(Power(c * one, p) for c, p in zip(scales, exponents, strict=True))
    found = np.asarray(jax.jit(log_root)(terms, targets[None]), float)
    eps = np.finfo(dtype).eps
    for (row, lane), root in np.ndenumerate(found):
        with mp.workdps(50):
            pairs = [(float(c), float(p[row, 0])) for c, p in zip(scales, exponents, strict=True)]

            def off(u, pairs=pairs, target=float(targets[lane])):
                return mp.log(sum(mp.exp(c + p * u) for c, p in pairs)) - target

            error = float(abs(mp.findroot(off, root) - mp.mpf(root)))
        assert error <= 8 * eps * max(1, abs(root), abs(targets[lane]))


BAD = {"params": 0.0, "scale": -1.0, "power": -1.0, "vocabulary": np.nan, "context": np.inf}


def test_a_bad_number_is_nan_and_leaves_its_neighbours():
    good = {"params": 1e9, "scale": 0.1, "power": 0.7, "vocabulary": 32000.0, "context": 2048.0}
    numbers = {name: np.full(len(BAD) + 2, x, DTYPES[-1]) for name, x in good.items()}
    for row, (name, bad) in enumerate(BAD.items(), 1):
        numbers[name][row] = bad

    @jax.jit
    @partial(jax.grad, has_aux=True)
    def slopes_and_values(numbers):
        given = dict(numbers)
        params = given.pop("params")
        a = replace(CHINCHILLA, **given).architecture(params)
        found = a.width + a.layers
        return jnp.sum(jnp.where(jnp.isnan(found), 0, found)), found

    slopes, found = slopes_and_values(numbers)
    assert_array_equal(np.isnan(found), [False, *[True] * len(BAD), False])
    slopes = {name: np.asarray(slope) for name, slope in slopes.items()}
    for slope in slopes.values():
        assert_array_equal(slope[1:-1], 0)
        assert np.isfinite(slope[[0, -1]]).all()
    assert (slopes["params"][[0, -1]] > 0).all()


def test_wrong_structure_names_the_field():
    with pytest.raises(TypeError, match="scale must be a real number"):
        replace(CHINCHILLA, scale="deep").architecture(1e9)
    with pytest.raises(TypeError, match="params must be a real number"):
        CHINCHILLA.architecture("1e9")
