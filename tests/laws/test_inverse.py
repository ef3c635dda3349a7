"""Sizes for a loss, of laws that have no inverse of their own."""

import jax
import numpy as np
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
