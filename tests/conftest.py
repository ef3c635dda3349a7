"""Tests run in float64 under strict promotion; `JAXSCALE_TEST_X64=0` runs them in float32.

Compiling is most of their time. So only the tests of the solvers' digits compile as a user does,
with all optimisations; and what holds a second form of what another test holds is marked
`thorough`, and runs with `JAXSCALE_TEST_THOROUGH=1`.
"""

import os

# Read when JAX is imported, here and in the processes that tests start. On a CPU unless another
# platform is asked for: where JAX finds a GPU, workers would take its memory from each other.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import jax
import pytest

X64 = os.environ.get("JAXSCALE_TEST_X64", "1") == "1"
jax.config.update("jax_enable_x64", X64)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
THOROUGH = os.environ.get("JAXSCALE_TEST_THOROUGH") == "1"


@pytest.fixture
def compiled_as_users_do():
    """With all optimisations."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


def pytest_collection_modifyitems(items):
    skip = pytest.mark.skip(reason="asked for by JAXSCALE_TEST_THOROUGH=1")
    for item in items:
        if not THOROUGH and item.get_closest_marker("thorough"):
            item.add_marker(skip)
