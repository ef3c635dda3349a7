"""De Vries' overhead, against his formula and his table."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from solve.lanes import DTYPE, X64

LAW = js.laws.published("devries2023")
SIZES = np.array([0.75, 0.6, 0.57, 0.5, 0.4, 0.3, 0.25], DTYPE)
RTOL = 1e-10 if X64 else 1e-3


def test_is_the_formula_of_the_post():
    found = js.overhead(LAW, SIZES)
    # k_D = (1 - (k_N^-alpha - 1) beta / alpha)^(-1 / beta); overhead k_N k_D - 1.
    k = SIZES.astype(float)
    tokens = (1 - (k**-0.336 - 1) * 0.283 / 0.336) ** (-1 / 0.283)
    assert_allclose(found.tokens_ratio, tokens, rtol=RTOL)
    assert_allclose(found.extra_cost, k * tokens - 1, rtol=RTOL * 10)
    assert_allclose(found.smallest, (1 + 0.336 / 0.283) ** (-1 / 0.336), rtol=RTOL)


def test_does_not_depend_on_the_loss_and_ends_at_the_smallest_size():
    found = js.overhead(LAW, np.array([0.5, 0.09], DTYPE), loss=2.5)
    assert_allclose(found.tokens_ratio[0], js.overhead(LAW, 0.5).tokens_ratio, rtol=RTOL)
    assert np.isnan(found.tokens_ratio[1])
    assert found.smallest[1] > 0.09


def test_other_laws_need_a_loss():
    kaplan = js.laws.published("kaplan2020")
    with pytest.raises(ValueError, match="loss is needed: the overhead of Kaplan depends on it"):
        js.overhead(kaplan, 0.5)
    found = js.overhead(kaplan, 0.6, loss=2.5)
    best = js.minimize_cost(kaplan, 2.5)
    again = kaplan.loss(0.6 * best.params, found.tokens_ratio * best.tokens)
    assert_allclose(again, 2.5, rtol=1e-10 if X64 else 1e-5)


def test_an_overhead_shows_itself_in_few_lines():
    law = js.laws.published("hoffmann2022")
    assert repr(js.overhead(law, 0.5)) == (
        "Overhead(tokens_ratio=2.416, extra_cost=0.208, smallest=0.09652)"
    )
    lines = repr(js.overhead(law, np.linspace(0.5, 2.0, 40))).splitlines()
    assert lines[0] == "Overhead of shape (40,)"
    assert lines[3].split() == ["0", "2.416", "0.208", "0.09652"]
    assert lines[-1] == "... and 15 more"
    shown = []
    jax.jit(lambda k: shown.append(repr(js.overhead(law, k))))(0.5)
    assert "Tracer" in shown[0]
