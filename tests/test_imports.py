"""What an import loads and touches, and that imports run downhill."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import jaxscale

PACKAGE = Path(jaxscale.__file__).parent

# DESIGN's order: a part may import itself and what stands to its left.
FACTS = {"_numerics", "published"}
PRICES = {*FACTS, "laws", "hardware"}
ALLOWED = {
    "_numerics": set(),
    "_display": {"_numerics"},  # which every part may import, as the version
    "_version": set(),
    "published": {"_numerics"},
    "laws": FACTS,
    "allocations": {*FACTS, "laws"},
    "architectures": {*FACTS, "laws"},
    "recipes": {*FACTS, "laws"},
    "reinforcement": {*FACTS, "laws"},
    "growth": {"_numerics"},
    "hardware": FACTS,
    "costs": {*PRICES, "serving"},
    "status": set(),
    "serving": {*PRICES, "architectures", "status"},
    "plan": {*PRICES, "status", "costs"},
    "solve": {*PRICES, "architectures", "serving", "status", "costs", "plan"},
    "training": {*PRICES, "status", "costs"},
    "economics": {*PRICES, "status", "costs", "plan", "solve", "training"},
    "repeated_sampling": {*PRICES, "status", "costs", "plan", "solve"},
    "fitting": {*FACTS, "laws"},
    "trajectories": {*FACTS, "laws", "fitting"},
    "experiments": {*PRICES, "status", "costs", "plan", "solve", "fitting", "economics"},
    "_schema": {*PRICES, "costs", "plan"},
    "_explain_served": {*PRICES, "architectures", "costs", "plan", "serving", "solve", "status"},
    "_explain": {*PRICES, "_explain_served", "_schema", "costs", "plan", "status"},
    "_compare": {*PRICES, "_explain", "costs", "plan", "solve", "status"},
    "_labelled": set(),
    "_written": {"_numerics"},
    "_written_law": {"_numerics", "_schema", "_written", "laws"},
    "_written_device": {"_numerics", "_written", "hardware"},
    "_levers": {"_compare", "_schema", "_written", "laws"},
    "_scores": {*FACTS, "_written", "laws"},
    "_sentences": {
        *("_compare", "_schema", "_written", "costs", "laws", "plan", "serving", "status"),
    },
    "exploring": {
        *(*PRICES, "_compare", "_explain", "_schema", "_written", "architectures"),
        *("_levers", "_scores", "_sentences", "_written_device", "_written_law"),
        *("costs", "plan", "plots", "serving", "solve", "status"),
    },
    "sweeping": {"_numerics", "_labelled", "status"},
    "plots": {
        *FACTS,
        "_labelled",
        "laws",
        "solve",
        "allocations",
        "architectures",
        "serving",
        "economics",
    },
}
# Where sweeps meet plans.
MEETING = {"sweeping/spec.py", "sweeping/_spec_text.py"}
OF_PLANS = {*PRICES, "costs", "plan", "solve", "_schema"}
# Imported where a file or a bar needs them.
FOR_FILES = {
    **{
        part: {"pandas"}
        for part in (
            "_display",
            "_compare",
            "economics",
            "experiments",
            "hardware",
            "plan",
            "published",
            "serving",
        )
    },
    "_labelled": {"xarray"},
    "exploring": {"bokeh", "panel", "panel_material_ui", "tornado"},  # of the page alone
    "sweeping": {"pandas", "pyarrow", "rich", "tensorstore", "xarray", "zarr"},
    "fitting": {"pandas"},
    "trajectories": {"pandas"},
}
CORE = {"jax", "numpy", "optax", "jaxscale"} | sys.stdlib_module_names
FIRST_PLAN = 66  # modules of ours at the most: a third of all that there are


def modules():
    """(path, part of the house, syntax tree) of every module; the command line may import all."""
    for path in sorted(PACKAGE.rglob("*.py")):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if part not in ("cli", "_command", "__init__"):
            yield str(path.relative_to(PACKAGE)), part, ast.parse(path.read_text("utf-8"))


MODULES = list(modules())


def imported(tree):
    """Dotted names of all that a module imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


def calls(tree):
    """Names of the functions that a module calls by their plain names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


def test_imports_run_downhill():
    uphill = {}
    for path, part, tree in MODULES:
        ours = {name.split(".")[1] for name in imported(tree) if name.startswith("jaxscale.")}
        ours -= OF_PLANS if path in MEETING else set()
        uphill[path] = ours - ALLOWED[part] - {part, "_display", "_version"}
    assert len(uphill) > 100
    assert {path: parts for path, parts in uphill.items() if parts} == {}


def test_the_core_needs_jax_numpy_and_optax_alone():
    more = {
        path: {name.split(".")[0] for name in imported(tree)} - CORE - FOR_FILES.get(part, set())
        for path, part, tree in MODULES
        if part != "plots"  # pictures come with an extra
    }
    assert {path: names for path, names in more.items() if names} == {}


def test_nothing_below_the_command_line_prints():
    assert [path for path, _, tree in MODULES if "print" in calls(tree)] == []


def run(code):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


OURS = "print(*(name for name in sys.modules if name.split('.')[0] == 'jaxscale'))"


def test_import_loads_the_version_and_no_other_package():
    code = "import sys; first = set(sys.modules); import jaxscale; print(*set(sys.modules) - first)"
    loaded = run(code).split()
    ours = {name for name in loaded if name.split(".")[0] == "jaxscale"}
    assert ours == {"jaxscale", "jaxscale._version"}
    assert {name.split(".")[0] for name in loaded} <= {"jaxscale"} | sys.stdlib_module_names


def test_a_plan_loads_what_it_needs_and_nothing_else():
    code = f"import sys, jaxscale as js; js.laws.published, js.minimize_cost; {OURS}"
    loaded = [name.split(".")[1] for name in run(code).split() if "." in name]
    assert set(loaded) <= {"solve", "_display", "_version"} | ALLOWED["solve"]
    assert len(loaded) <= FIRST_PLAN


def test_loading_every_name_does_nothing_else():
    code = """
import jax, optax, sys
before, loaded = jax.config.values.copy(), set(sys.modules)
import jaxscale
for name in dir(jaxscale):
    getattr(jaxscale, name)
assert jax.config.values == before, "a config switch changed"
assert not jax._src.xla_bridge._backends, "a backend was started"
extras = {"pandas", "matplotlib", "typer", "rich", "xarray", "zarr", "tensorstore", "scipy"}
print(*(extras & set(sys.modules) - loaded))
"""
    assert run(code).split() == []


def test_the_names_loaded_lazily_are_those_that_type_checkers_read():
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    declared = {name.rsplit(".", 1)[1]: name.rsplit(".", 1)[0] for name in imported(block)}
    internal = {"costs", "plan", "solve", "status", "sweeping"}
    assert set(declared) == set(jaxscale.__all__) - internal
    for name, home in declared.items():
        assert getattr(jaxscale, name) is getattr(importlib.import_module(home), name)


def test_a_name_that_is_not_there_is_an_attribute_error_that_names_it():
    with pytest.raises(AttributeError, match="module 'jaxscale' has no attribute 'minimise_cost'"):
        _ = jaxscale.minimise_cost
    assert "minimize_cost" in dir(jaxscale)


def test_the_public_names_are_those_of_the_design():
    names = {name for name in dir(jaxscale) if not name.startswith("_")}
    modules = {"costs", "plan", "solve", "status", "hardware", "laws", "sweeping"}
    modules |= {"allocations", "architectures", "fitting", "growth", "plots", "published"}
    modules |= {"economics", "recipes", "repeated_sampling", "serving", "training"}
    modules |= {"experiments", "exploring", "reinforcement", "trajectories"}
    assert names - modules == {
        "Architecture",
        "Bounds",
        "Costs",
        "Demand",
        "Extremes",
        "Grid",
        "Histogram",
        "LawComparison",
        "LawRow",
        "MainEffects",
        "Moments",
        "Plan",
        "Quantiles",
        "Runs",
        "Saltelli",
        "Sample",
        "Sobol",
        "SobolIndices",
        "Status",
        "StatusCounts",
        "TopK",
        "accelerator",
        "bootstrap",
        "choice",
        "compare",
        "compare_laws",
        "compute_optimal",
        "design",
        "devices_for",
        "evaluate",
        "expected_regret",
        "explain",
        "explore",
        "fit",
        "geomspace",
        "holdout",
        "implied_demand",
        "linspace",
        "lognormal",
        "loguniform",
        "maximize_profit",
        "minimize_cost",
        "minimize_loss",
        "normal",
        "overhead",
        "padded",
        "plan_intervals",
        "size_intervals",
        "profile_likelihood",
        "rows",
        "suggest",
        "sweep",
        "task",
        "training_recipe",
        "triangular",
        "training_time",
        "uniform",
    }


def test_no_package_offers_a_name_that_is_also_one_of_its_modules():
    clashes = set()
    for file in PACKAGE.rglob("__init__.py"):
        package = _dotted(str(file.relative_to(PACKAGE)))
        inside = {path.stem for path in file.parent.glob("*.py")}
        inside |= {path.parent.name for path in file.parent.glob("*/__init__.py")}
        for name in imported(ast.parse(file.read_text("utf-8"))):
            home, _, last = name.rpartition(".")
            if last in inside and home != package:
                clashes.add(f"{package}.{last}")
    assert clashes == set()


def test_no_imports_go_round_in_a_circle():
    names = {path: _dotted(path) for path, _, _ in MODULES}
    trees = {names[path]: tree for path, _, tree in MODULES}
    imports = {
        name: {each for each in map(_nearest(trees), imported(tree)) if each not in (None, name)}
        for name, tree in trees.items()
    }
    # Whatever imports nothing that is left goes; what stays goes round, type-only imports counted.
    left = set(imports)
    while gone := {name for name in left if not imports[name] & left}:
        left -= gone
    assert left == set()


def _dotted(path):
    parts = ("jaxscale", *Path(path).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


def _nearest(trees):
    """The module that a dotted name is, or is a part of; None for what is not ours."""

    def module(name):
        if name in trees:
            return name
        above = name.rpartition(".")[0]
        return above if above in trees else None

    return module
