"""Seeded randomness: a fresh seed each run, printed by each test that draws; full optimisation."""

import numpy as np
import pytest

from solve.lanes import SEED

# Whose digits are promised: compiled as a user's programs are.
OPTIMIZED = {"test_accuracy.py", "test_brute_force.py", "test_logarithm.py", "test_root.py"}


@pytest.fixture(autouse=True)
def _digits_as_users_get_them(request):
    if request.node.path.name in OPTIMIZED:
        request.getfixturevalue("compiled_as_users_do")


@pytest.fixture
def seed():
    print(f"JAXSCALE_TEST_SEED={SEED}")
    return SEED


@pytest.fixture
def rng(seed):
    return np.random.default_rng(seed)
