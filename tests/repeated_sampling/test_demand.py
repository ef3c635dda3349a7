"""Demand of repeated sampling: tokens of a request, with its prompt read once or each time."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import jaxscale as js
from jaxscale.repeated_sampling import demand_of_attempts

TOKENS = {"input_tokens": 300, "output_tokens": 50}


def test_a_shared_prompt_is_read_once():
    demand = demand_of_attempts(1000, **TOKENS, attempts=8)
    assert demand == js.Demand(300_000, 400_000)


def test_a_prompt_of_its_own_is_read_each_time():
    attempts = np.array([1.0, 8.0])
    demand = demand_of_attempts(1000, **TOKENS, attempts=attempts, shared_prompt=False)
    assert_allclose(demand.input_tokens, [300_000, 2_400_000])
    assert_allclose(demand.output_tokens, [50_000, 400_000])


@pytest.mark.parametrize(("attempts", "error"), [(0.5, ValueError), (np.inf, ValueError)])
def test_bad_attempts_are_named(attempts, error):
    with pytest.raises(error, match="attempts must be finite and at least 1"):
        demand_of_attempts(1000, **TOKENS, attempts=attempts)


def test_what_is_no_number_is_named():
    with pytest.raises(TypeError, match="attempts must be a real number"):
        demand_of_attempts(1000, **TOKENS, attempts="8")
    with pytest.raises(ValueError, match="input_tokens must be finite, at least 0"):
        demand_of_attempts(1000, input_tokens=-1, output_tokens=1, attempts=2)
