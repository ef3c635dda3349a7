"""Parameters of a shape, counted matrix by matrix, and what bad numbers give."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from jaxscale.architectures import Architecture, chinchilla_params

X64 = jax.config.read("jax_enable_x64")
DTYPES = [np.float32, np.float64] if X64 else [np.float32]
EPS = np.finfo(DTYPES[-1]).eps

DENSE = Architecture(12, 768, 12, 12, 64, 3072, 50257, 1024, gated=False, tied=True)
SHAPES = {
    "plain": DENSE,
    "learned positions": replace(DENSE, learned_positions=True),
    "gated and grouped": Architecture(4, 96, 6, 2, 32, 256, 1000, 64, gated=True, tied=False),
    "experts": Architecture(
        3, 64, 4, 2, 16, 128, 500, 32, experts=8, active_experts=2, gated=True, tied=False
    ),
}

MOE = SHAPES["experts"]
LATENT = {"kv_latent": 32, "rope_size": 8, "kv_heads": 1}
SHAPES |= {
    "shared experts": replace(MOE, shared_experts=3),
    "dense layers": replace(MOE, shared_experts=1, dense_layers=2, dense_width=300),
    "latents": replace(MOE, **LATENT, query_latent=48),
    "latents, plain queries": replace(DENSE, **LATENT),
    "linear": replace(
        MOE, layers=5, linear_layers=3, linear_params=7777, linear_state=9, gated_attention=True
    ),
    "windows": replace(DENSE, window_layers=5, window=100),
}


def matrices_of_attention(a):
    """As a checkpoint would list them."""
    d = a.heads * a.head_size
    gate = [(a.width, d)] * a.gated_attention
    if a.kv_latent:
        down = (a.width, a.kv_latent + a.rope_size)
        up = (a.kv_latent, a.heads * (a.head_size + a.head_size))
        queries = a.heads * (a.head_size + a.rope_size)
        if a.query_latent:
            both = [(a.width, a.query_latent), (a.query_latent, queries)]
        else:
            both = [(a.width, queries)]
        return [*both, down, up, (d, a.width), *gate]
    return [
        (a.width, a.heads * a.head_size),  # queries
        (a.width, a.kv_heads * a.head_size),  # keys
        (a.width, a.kv_heads * a.head_size),  # values
        (a.heads * a.head_size, a.width),  # output
        *gate,
    ]


def matrices_of_layer(a, layer, experts):
    """The shape of every matrix in the layer of that index."""
    # Layers of linear attention come last here, as those without experts come first.
    is_linear = layer >= a.layers - a.linear_layers
    attention = [(a.linear_params, 1)] if is_linear else matrices_of_attention(a)
    if layer < a.dense_layers:
        up = [(a.width, a.dense_width)] * (2 if a.gated else 1)
        return [*attention, *up, (a.dense_width, a.width)]
    up = [(a.width, a.ff_width)] * (2 if a.gated else 1)
    router = [(a.width, a.experts)] if a.experts > 1 else []
    return attention + [*up, (a.ff_width, a.width)] * (experts + a.shared_experts) + router


def counted(a, experts):
    layers = sum(
        sum(np.prod(shape) for shape in matrices_of_layer(a, layer, experts))
        for layer in range(a.layers)
    )
    norms = a.layers * 2 * a.width + a.width
    norms += (a.layers - a.linear_layers) * (a.kv_latent + a.query_latent)
    tables = a.vocabulary * a.width * (1 if a.tied else 2)
    return layers, layers + norms + tables + a.learned_positions * a.context * a.width


@pytest.mark.parametrize("a", SHAPES.values(), ids=SHAPES)
def test_params_are_those_of_all_matrices(a):
    layers, total = counted(a, a.experts)
    active_layers, active = counted(a, a.active_experts)
    found = a.params, a.non_embedding_params, a.active_params, a.active_non_embedding_params
    assert_allclose(found, [total, layers, active, active_layers], rtol=4 * EPS)


def test_numbers_may_be_traced_and_broadcast():
    experts = np.array([1, 2, 8])
    layers = np.array([[3.0], [5.0]], DTYPES[-1])

    @jax.jit
    def params(layers, experts):
        return replace(SHAPES["experts"], layers=layers, experts=experts, active_experts=1).params

    expected = [
        [counted(replace(SHAPES["experts"], layers=each, experts=n), n)[1] for n in experts]
        for each in (3, 5)
    ]
    assert_allclose(params(layers, experts), expected, rtol=4 * EPS)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype_is_that_of_the_floats(dtype):
    found = replace(DENSE, width=np.array([768.0, 1024.0], dtype)).params
    assert found.dtype == dtype
    # The second: 12 * (12 * 1024^2 + 2 * 1024) and 1024 more for the norms, but ff_width is 3072.
    second = 12 * (4 * 1024 * 768 + 2 * 1024 * 3072 + 2 * 1024) + 1024 + 50257 * 1024
    assert_allclose(found, [counted(DENSE, 1)[1], second], rtol=4 * np.finfo(dtype).eps)


def test_a_gradient_is_that_of_the_formula():
    by_layers = jax.grad(lambda layers: replace(DENSE, layers=layers).params)(12.0)
    assert_allclose(by_layers, 12 * 768**2 + 2 * 768, rtol=4 * EPS)


BAD = {
    "width": 0.0,
    "layers": -1.0,
    "vocabulary": np.nan,
    "context": np.inf,
    "kv_heads": 13.0,  # of 12 heads
    "active_experts": 2.0,  # of 1
    "window_layers": 3.0,  # without a window
    "dense_layers": 13.0,  # of 12
    "linear_layers": 1.0,  # without params
    "rope_size": 8.0,  # without latents
    "shared_experts": -1.0,
}


def test_a_bad_number_is_nan_and_leaves_its_neighbours():
    # A lane for each bad number, between one that is good and another.
    rows = range(1, len(BAD) + 1)
    fields = {name: np.full(len(BAD) + 2, getattr(DENSE, name), DTYPES[-1]) for name in BAD}
    for row, (name, bad) in zip(rows, BAD.items(), strict=True):
        fields[name][row] = bad

    @jax.jit
    @partial(jax.grad, has_aux=True)
    def slopes_and_values(fields):
        a = replace(DENSE, **fields)
        found = jnp.stack([a.params, a.train_flops("hoffmann"), chinchilla_params(a)])
        return jnp.sum(jnp.where(jnp.isnan(found), 0, found)), found

    slopes, found = slopes_and_values(fields)
    assert_array_equal(np.isnan(found), [[False, *[True] * len(BAD), False]] * 3)
    slopes = {name: np.asarray(slope) for name, slope in slopes.items()}
    for slope in slopes.values():
        assert_array_equal(slope[1:-1], 0)
        assert np.isfinite(slope[[0, -1]]).all()
    assert (slopes["width"][[0, -1]] > 0).all()


def test_wrong_structure_names_the_field():
    with pytest.raises(TypeError, match="width must be a real number"):
        _ = replace(DENSE, width="768").params
    with pytest.raises(ValueError, match=r"do not broadcast: layers \(2,\), heads \(3,\)"):
        _ = replace(DENSE, layers=np.ones(2), heads=np.ones(3)).params
    with pytest.raises(TypeError, match="architecture must be an Architecture; got 'gpt2'"):
        chinchilla_params("gpt2")
