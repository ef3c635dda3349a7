"""Seeded randomness: a fresh seed each run, printed by each test that draws; full optimisation."""

import jax
import numpy as np
import pytest

from solve.lanes import SEED

# Whose digits are promised: compiled as a user's programs are.
OPTIMIZED = {"test_accuracy.py", "test_brute_force.py", "test_logarithm.py", "test_root.py"}


@pytest.fixture(autouse=True)
def _compiled_as_users_do(request):
    before = jax.config.read("jax_disable_most_optimizations")
    if request.node.path.name in OPTIMIZED:
        jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture
def seed():
    print(f"JAXSCALE_TEST_SEED={SEED}")
    return SEED


@pytest.fixture
def rng(seed):
    return np.random.default_rng(seed)
