"""Tests run in float64 under strict promotion; `JAXSCALE_TEST_X64=0` runs them in float32.

Compiling is most of their time. So programs are kept for all processes and for the next run; those
of the solvers' digits alone are compiled as a user's are, with all optimisations; and what only
holds a second form of what another test holds is marked `thorough`, and runs with
`JAXSCALE_TEST_THOROUGH=1`.
"""

import os
from pathlib import Path

# Read when JAX is imported, here and in the processes that tests start.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import jax
import pytest

X64 = os.environ.get("JAXSCALE_TEST_X64", "1") == "1"
jax.config.update("jax_enable_x64", X64)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
THOROUGH = os.environ.get("JAXSCALE_TEST_THOROUGH") == "1"


def pytest_collection_modifyitems(items):
    skip = pytest.mark.skip(reason="asked for by JAXSCALE_TEST_THOROUGH=1")
    for item in items:
        if not THOROUGH and item.get_closest_marker("thorough"):
            item.add_marker(skip)
