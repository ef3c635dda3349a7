"""The README's examples run as printed and print what it says."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import jax
import pytest

from jaxscale import cli

README = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.fixture(autouse=True)
def _as_a_reader_runs_it():
    """JAX as it starts: single precision, promotion allowed."""
    settings = {
        "jax_enable_x64": False,
        "jax_numpy_dtype_promotion": "standard",
        "jax_numpy_rank_promotion": "allow",
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


EXAMPLES = re.findall(r"```python\n(.*?)```\n+```text\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize(
    "example", EXAMPLES, ids=["plan", "sweep", "fit", "levers", "own law", "arithmetic"]
)
def test_python_example_prints_the_block_below_it(example, tmp_path, monkeypatch):
    code, printed = example
    monkeypatch.chdir(tmp_path)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "README.md", "exec"), {})
    assert out.getvalue() == printed


def test_the_first_python_example_is_ten_lines():
    code, _ = EXAMPLES[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 10


def test_as_many_published_numbers_are_listed_as_the_readme_says():
    rows = (Path(__file__).parent / "published" / "README.md").read_text().splitlines()
    ends = [row.rsplit("|", 2)[1].strip() for row in rows if row.startswith("| ")][2:]
    told = re.search(r"(\d+) published numbers, .*?: (\d+) come out", README, re.DOTALL)
    assert told is not None
    assert [len(ends), len(ends) - ends.count("no")] == [int(x) for x in told.groups()]


def test_the_specification_is_one(tmp_path):
    (spec,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    path = tmp_path / "spec.toml"
    path.write_text(spec)
    with pytest.raises(SystemExit) as ended:
        cli.main(["sweep", str(path), "--dry-run"])
    assert not ended.value.code


def console_examples():
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, printed = part.split("\n", 1)
            yield pytest.param(command, printed, id=command)


@pytest.mark.parametrize(("command", "printed"), list(console_examples()))
def test_console_example_prints_what_the_readme_shows(command, printed, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    program, *arguments = shlex.split(command)
    assert program == "jaxscale"
    with contextlib.suppress(SystemExit):
        cli.main(arguments)
    shown = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert "\n".join(shown).strip() == printed.strip()
