"""Seeded randomness: a fresh seed each run, printed by each test that draws from it."""

import numpy as np
import pytest

from solve.lanes import SEED


@pytest.fixture
def seed():
    print(f"JAXSCALE_TEST_SEED={SEED}")
    return SEED


@pytest.fixture
def rng(seed):
    return np.random.default_rng(seed)
