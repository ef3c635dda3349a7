"""What an import costs and touches, and that imports run downhill."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import jaxscale

PACKAGE = Path(jaxscale.__file__).parent

NUMBERS = {"_arrays", "_values"}

# DESIGN's order: a part may import itself and what stands to its left.
ALLOWED = {
    "_arrays": set(),
    "_names": set(),
    "_compiled": set(),
    "_values": {"_arrays"},
    "_logarithm": {"_arrays", "_values"},
    "laws": {"_arrays", "_compiled", "_names", "_values"},
    "allocations": {"_arrays", "_names", "_values", "laws"},
    "architectures": {"_arrays", "_names", "_values", "_logarithm", "laws"},
    "recipes": {"_arrays", "_compiled", "_names", "_values", "laws"},
    "schedules": {"_arrays", "_values"},
    "hardware": set(),
    "costs": {"_arrays", "_values", "laws", "hardware"},
    "status": set(),
    "plan": {
        "_arrays",
        "_compiled",
        "_values",
        "_logarithm",
        "status",
        "laws",
        "hardware",
        "costs",
    },
    "solve": {
        "_arrays",
        "_compiled",
        "_values",
        "_logarithm",
        "status",
        "laws",
        "hardware",
        "costs",
        "plan",
    },
    "attempts": {
        "_arrays",
        "_compiled",
        "_values",
        "status",
        "laws",
        "hardware",
        "costs",
        "plan",
        "solve",
    },
    "fitting": {"_arrays", "_compiled", "laws"},
    "sweeping": {"_arrays", "_values", "status"},
    "plots": set(),
}
# Imported where a file or a bar needs them.
FOR_FILES = {"sweeping": {"rich", "tensorstore", "xarray", "zarr"}, "fitting": {"pandas"}}
CORE = {"jax", "numpy", "optax", "jaxscale"} | sys.stdlib_module_names


def modules():
    """Every module with the part of the house it belongs to; the command line may import all."""
    for path in sorted(PACKAGE.rglob("*.py")):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if part not in ("cli", "__init__"):
            yield pytest.param(path, part, id=str(path.relative_to(PACKAGE)))


def imported(path):
    """Dotted names of all that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


@pytest.mark.parametrize(("path", "part"), list(modules()))
def test_imports_run_downhill(path, part):
    ours = [name.split(".")[1] for name in imported(path) if name.startswith("jaxscale.")]
    assert set(ours) <= ALLOWED[part] | {part}


@pytest.mark.parametrize(("path", "part"), list(modules()))
def test_the_core_needs_jax_numpy_and_optax_alone(path, part):
    if part == "plots":
        pytest.skip("pictures come with an extra")
    needed = {name.split(".")[0] for name in imported(path)}
    assert needed <= CORE | FOR_FILES.get(part, set())


@pytest.mark.parametrize(("path", "part"), list(modules()))
def test_nothing_below_the_command_line_prints(path, part):
    del part
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    assert "print" not in [call.func.id for call in calls if isinstance(call.func, ast.Name)]


def run(code):
    # With bytecode, as pip leaves it with whoever installs: to compile takes longer than to import.
    env = {name: x for name, x in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=env)


def test_import_adds_less_than_150_ms_to_jax_and_optax():
    code = (
        "import time, jax, optax; start = time.process_time(); import jaxscale; "
        "print(time.process_time() - start)"
    )
    # Of this process alone, and the best of five: other work on the machine only ever adds.
    assert min(float(run(code).stdout) for _ in range(5)) < 0.15


def test_import_does_nothing_else():
    code = """
import jax, optax, sys
before, loaded = jax.config.values.copy(), set(sys.modules)
import jaxscale
assert jax.config.values == before, "a config switch changed"
assert not jax._src.xla_bridge._backends, "a backend was started"
extras = {"pandas", "matplotlib", "typer", "rich", "xarray", "zarr", "tensorstore", "scipy"}
print(*(extras & set(sys.modules) - loaded))
"""
    assert run(code).stdout.split() == []


def test_the_public_names_are_those_of_the_design():
    names = {name for name in vars(jaxscale) if not name.startswith("_")}
    modules = {"costs", "plan", "solve", "status", "hardware", "laws", "sweeping", "cli", "plots"}
    modules |= {"allocations", "architectures", "attempts", "fitting", "recipes", "schedules"}
    assert names - modules == {
        "Architecture",
        "Bounds",
        "Costs",
        "Demand",
        "Extremes",
        "Grid",
        "Histogram",
        "MainEffects",
        "Moments",
        "Plan",
        "Quantiles",
        "Runs",
        "Sample",
        "Sobol",
        "Status",
        "StatusCounts",
        "TopK",
        "accelerator",
        "bootstrap",
        "choice",
        "downstream",
        "evaluate",
        "fit",
        "geomspace",
        "holdout",
        "linspace",
        "lognormal",
        "loguniform",
        "minimize_cost",
        "minimize_loss",
        "normal",
        "overhead",
        "profile_likelihood",
        "rows",
        "sweep",
        "training_recipe",
        "triangular",
        "uniform",
    }
