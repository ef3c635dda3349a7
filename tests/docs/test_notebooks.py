"""The notebooks in examples/ run from top to bottom, on small sizes."""

import contextlib
import io
import re
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "examples").glob("[a-z]*.md"))
SIZES = "# Change these for a run of your own."  # the first line of one cell of each
# In its place.
SMALL = {
    "runs_to_size": "TABLE, RESAMPLES = None, 100",
    "serving_sensitivity": "SCENARIOS = 2**12",
    "own_law": "RUNS = 120",
}
# docs/guides/own-law.md has its plan, gradient and fit, with what they print.
HELD = {"own_law"}
CELL = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_every_notebook_has_small_sizes():
    assert {path.stem for path in NOTEBOOKS} == set(SMALL)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=pytest.mark.thorough if path.stem in HELD else ())
        for path in NOTEBOOKS
    ],
    ids=lambda path: path.stem,
)
@pytest.mark.usefixtures("solved_by_numpy")
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    cells = CELL.findall(path.read_text("utf-8"))
    assert sum(code.startswith(SIZES) for code in cells) == 1
    monkeypatch.chdir(tmp_path)
    names, out = {}, io.StringIO()
    with contextlib.redirect_stdout(out):
        for code in cells:
            small = SMALL[path.stem] if code.startswith(SIZES) else code
            exec(compile(small, path.name, "exec"), names)
    assert "nan" not in out.getvalue()
    print(out.getvalue())
