"""De Vries' overhead, against his formula and his table."""

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
