"""Padded solvers: the answers of a batch, by a program of a rounded length."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js

LAW = js.laws.published("sardana2024")
DTYPE = np.float64 if jax.config.read("jax_enable_x64") else np.float32


@pytest.mark.parametrize("shape", [(), (1,), (3,), (9,), (2, 3), (0,)])
def test_a_padded_solver_answers_as_the_solver_does(shape):
    # Arguments of every rank and length that broadcast to the shape.
    losses = np.resize(np.linspace(2.0, 2.6, 7, dtype=DTYPE), shape)
    law = js.laws.Chinchilla(**{**vars(LAW), "A": np.full(shape[-1:], LAW.A, DTYPE)})
    question = law, losses, js.Demand(DTYPE(1e12)), None, js.Bounds(max_params=1e10)
    plan, expected_plan = (f(*question) for f in (js.padded(js.minimize_cost), js.minimize_cost))
    for answer, expected in zip(*map(jax.tree.leaves, (plan, expected_plan)), strict=True):
        assert (answer.shape, answer.dtype) == (shape, expected.dtype)
        assert_allclose(answer, expected, rtol=8 * np.finfo(DTYPE).eps)


def test_lengths_share_programs():
    traced = []

    @jax.jit
    def doubled(x):
        traced.append(x.shape)
        return 2 * x

    for length in (1, 2, 5, 8, 9, 16, 13):
        assert_allclose(js.padded(doubled)(np.arange(length)), 2 * np.arange(length))
    assert traced == [(1,), (8,), (16,)]


def test_what_is_no_array_is_left_alone():
    function = js.padded(lambda x, name, *, over: {name: x, "over": over})
    answer = function(np.arange(3), "x", over=("params", "tokens"))
    assert answer["x"].tolist() == [0, 1, 2]
    assert answer["over"] == ("params", "tokens")


def test_shapes_that_do_not_broadcast_are_refused():
    with pytest.raises(ValueError, match="broadcast"):
        js.padded(js.minimize_cost)(LAW, np.ones(3), js.Demand(np.ones(4)))
