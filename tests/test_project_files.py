"""Files that no command here runs: they parse, and agree with pyproject.toml."""

import re
import tomllib
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FILES = [*ROOT.glob(".github/**/*.yml"), ROOT / ".pre-commit-config.yaml"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_yaml_with_something_in_it(path):
    assert yaml.safe_load(path.read_text("utf-8"))


def test_the_oldest_versions_tested_are_the_lower_bounds():
    workflow = (ROOT / ".github/workflows/tests.yml").read_text()
    tested = dict(re.findall(r"'(\w+)==([\d.]+)'", workflow))
    bounds = dict(re.findall(r"(\w+)>=([\d.]+)", " ".join(PROJECT["dependencies"])))
    assert {"jax": bounds["jax"], "jaxlib": bounds["jax"], "optax": bounds["optax"]} == tested


def test_the_oldest_python_tested_is_the_one_required():
    matrix = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())["jobs"]["test"]
    oldest = matrix["strategy"]["matrix"]["python"][0]
    assert PROJECT["requires-python"] == f">={oldest}"
