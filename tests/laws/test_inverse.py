"""Sizes for a loss, of laws that have no inverse of their own."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from solve.law_samples import InLogs

LAW = js.laws.published("sardana2024")
COPY = InLogs(LAW.E, LAW.A, LAW.B, LAW.alpha, LAW.beta)
RTOL = 1e-9 if jax.config.jax_enable_x64 else 2e-3


def test_agrees_with_the_closed_inverse():
    sizes = np.geomspace(1e8, 1e11, 4)
    assert_allclose(js.laws.tokens_for(COPY, 2.2, sizes), LAW.tokens_for(2.2, sizes), rtol=RTOL)
    assert_allclose(
        js.laws.params_for(COPY, 2.2, sizes * 20), LAW.params_for(2.2, sizes * 20), rtol=RTOL
    )
    # A law that has an inverse is asked for it.
    np.testing.assert_array_equal(js.laws.tokens_for(LAW, 2.2, sizes), LAW.tokens_for(2.2, sizes))


def test_is_an_inverse_of_laws_with_levers():
    law = js.laws.published("muennighoff2023_repeated")
    tokens = np.array([2e10, 1e11, 4e11])
    loss = law.loss(5e9, tokens, unique_tokens=25e9)
    assert_allclose(js.laws.tokens_for(law, loss, 5e9, unique_tokens=25e9), tokens, rtol=RTOL)


def test_where_no_size_reaches_the_loss_there_is_none():
    law = js.laws.published("kaplan2020")
    # L(N) = (N_c / N)^alpha_N at endless data: 2.32 at 1e9 params.
    assert np.isnan(js.laws.tokens_for(law, 2.3, 1e9))
    slope = jax.grad(lambda loss: js.laws.tokens_for(law, loss, 1e9))
    assert slope(2.3) == 0
    tokens = js.laws.tokens_for(law, 2.5, 1e9)
    by_tokens = jax.grad(lambda tokens: law.loss(1e9, tokens))(float(tokens))
    assert_allclose(slope(2.5), 1 / by_tokens, rtol=RTOL)


# --- Sizes for FLOPs -------------------------------------------------------------------------

TOKENS = np.array([2e10, 1e11, 4e11])
COUNTED = [  # a law, its levers, and FLOPs of 3e9 params on TOKENS, counted by hand
    ("sardana2024", {}, 6 * 3e9 * TOKENS),
    ("kumar2024", {"bits": 8.0}, 6 * 3e9 * TOKENS / 2),
    ("abnar2025", {"sparsity": 0.75}, 6 * 3e9 * TOKENS / 4),
    ("tao2024", {"vocabulary_params": 2e8}, 6 * 3.2e9 * TOKENS),
]


@pytest.mark.parametrize(("name", "levers", "flops"), COUNTED, ids=[x[0] for x in COUNTED])
def test_a_size_takes_the_flops_that_the_law_counts(name, levers, flops):
    law = js.laws.published(name)
    rtol = 1e-13 if jax.config.jax_enable_x64 else 1e-5
    params = js.laws.params_of_flops(law, flops, TOKENS, **levers)
    assert_allclose(params, 3e9, rtol=rtol)
    assert_allclose(js.laws.tokens_of_flops(law, flops, 3e9, **levers), TOKENS, rtol=rtol)


def test_sizes_for_flops_have_derivatives():
    law = js.laws.published("tao2024")
    slope = jax.grad(lambda flops: js.laws.params_of_flops(law, flops, 1e11, **COUNTED[-1][1]))
    assert_allclose(slope(1e21), 1 / 6e11, rtol=1e-5)


def test_where_no_size_takes_the_flops_there_is_none():
    law = js.laws.published("tao2024")
    # The vocabulary alone takes 6 x 2e8 x 1e10 = 1.2e19.
    assert np.isnan(js.laws.params_of_flops(law, 1.1e19, 1e10, vocabulary_params=2e8))
    assert np.isnan(js.laws.params_of_flops(LAW, -1.0, 1e10))
    assert np.isnan(js.laws.tokens_of_flops(LAW, 1e20, 0.0))


def test_sizes_for_flops_need_the_levers_of_the_law():
    with pytest.raises(TypeError, match="levers of Kumar are bits; got none"):
        js.laws.params_of_flops(js.laws.published("kumar2024"), 1e20, 1e10)
    with pytest.raises(TypeError, match="levers of Chinchilla are none; got bits"):
        js.laws.tokens_of_flops(LAW, 1e20, 1e10, bits=8)


def test_sizes_for_flops_need_a_law():
    for function in (js.laws.params_of_flops, js.laws.tokens_of_flops):
        with pytest.raises(TypeError, match=r"law must be a jaxscale law.*got 3 \(int\)"):
            function(3, 1e21, 1e9)
