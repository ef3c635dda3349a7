"""Tests run in float64 under strict promotion; `JAXSCALE_TEST_X64=0` runs them in float32.

Compiling is most of their time. So a program is compiled once for all processes and kept on disk
until the run ends; only the tests of the solvers' digits compile as a user does, with all
optimisations; and what holds a second form of what another test holds is marked `thorough`, and
runs with `JAXSCALE_TEST_THOROUGH=1`.
"""

import ctypes
import gc
import os
import resource
import shutil
import sys
import tempfile
from importlib.metadata import version
from math import inf
from pathlib import Path

# Read when JAX is imported, here and in the processes that tests start. On a CPU unless another
# platform is asked for: where JAX finds a GPU, workers would take its memory from each other.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# The older emitters of XLA, in one module a program, compile in six tenths of the time, and two
# passes that pay in long runs take a tenth of the rest. Only for releases that are known to have
# these flags: XLA stops at a flag that it does not know.
QUICK_XLA = version("jaxlib").startswith("0.10.")
if QUICK_XLA:
    flags = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    passes = "while-loop-invariant-code-motion,cpu-parallel-task-assigner"
    flags += f" --xla_disable_hlo_passes={passes}"
    os.environ.setdefault("XLA_FLAGS", flags)
PROGRAMS = None  # the folder of compiled programs, in the one process that made it
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    PROGRAMS = tempfile.mkdtemp(prefix="jaxscale-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = PROGRAMS
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"

import jax  # noqa: E402
import pytest  # noqa: E402

X64 = os.environ.get("JAXSCALE_TEST_X64", "1") == "1"
jax.config.update("jax_enable_x64", X64)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
# Options of `jax.jit`, beside the fixture below, where digits are those that users see.
AS_USERS_DO = (
    {"xla_cpu_use_fusion_emitters": True, "xla_disable_hlo_passes": ""} if QUICK_XLA else None
)
THOROUGH = os.environ.get("JAXSCALE_TEST_THOROUGH") == "1"


@pytest.fixture
def compiled_as_users_do():
    """With all optimisations."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="module", autouse=True)
def _programs_are_forgotten():
    """After a file that leaves much: all that a worker compiles would be gigabytes of memory."""
    yield
    if memory() > 0.7 * 2**30:
        jax.clear_caches()
        gc.collect()
        if sys.platform == "linux":
            # What programs took stays with the process until it is asked for.
            getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)(0)


def memory():
    """Bytes that this process holds; infinitely many where the system does not say."""
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) * resource.getpagesize() if pages.exists() else inf


def pytest_collection_finish():
    # What imports and the collection made stays: a tenth of the time went into looking it over.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


def pytest_configure(config):
    # One process may read what another has written half of; it then compiles it itself.
    config.addinivalue_line(
        "filterwarnings", "ignore:Error (reading|writing) persistent compilation cache"
    )


def pytest_unconfigure():
    if PROGRAMS is not None:
        shutil.rmtree(PROGRAMS, ignore_errors=True)


def pytest_collection_modifyitems(items):
    skip = pytest.mark.skip(reason="asked for by JAXSCALE_TEST_THOROUGH=1")
    for item in items:
        if not THOROUGH and item.get_closest_marker("thorough"):
            item.add_marker(skip)
