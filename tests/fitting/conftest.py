"""Seeded randomness: a fresh seed each run, printed by each test that draws from it."""

import numpy as np
import pytest

from fitting.runs_at_hand import SEED


@pytest.fixture
def rng():
    print(f"JAXSCALE_TEST_SEED={SEED}")
    return np.random.default_rng(SEED)
