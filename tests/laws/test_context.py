"""Loss by context: what doubling gains, and bad input."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import jaxscale as js
from jaxscale.laws.context import ContextLength, context_length

X64 = jax.config.read("jax_enable_x64")
EPS = np.finfo(np.float64 if X64 else np.float32).eps
LAW = ContextLength(alpha=20.0, beta=0.5, gamma=1.5)


def test_doubling_cuts_the_excess_and_not_the_loss():
    context = np.geomspace(256, 32768, 8)
    assert_allclose(LAW.loss(context), (20 / context) ** 0.5 + 1.5, rtol=4 * EPS)
    gain = LAW.gain_of_doubling(context)
    assert_allclose(gain, LAW.loss(context) - LAW.loss(2 * context), rtol=64 * EPS / gain.min())
    assert_allclose(gain, (1 - 2**-0.5) * (20 / context) ** 0.5, rtol=16 * EPS)
    assert (gain < 0.06 * LAW.loss(context)).all()


def test_bad_values_are_nan():
    bad = np.array([4096.0, 0.0, -1.0, np.inf, np.nan])
    assert_array_equal(np.isnan(LAW.loss(bad)), bad != 4096)
    assert_array_equal(np.isnan(LAW.gain_of_doubling(bad)), bad != 4096)
    assert np.isnan(ContextLength(20.0, 0.5, -1.0).loss(4096.0))
    slope = jax.grad(LAW.loss)(-1.0)
    assert slope == 0


def test_laws_by_name():
    assert context_length("Xiong2023_7B") == js.laws.context_length("xiong2023_7b")
    with pytest.raises(ValueError, match="unknown context name 'xiong_7b'"):
        context_length("xiong_7b")
