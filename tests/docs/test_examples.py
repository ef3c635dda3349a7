"""The examples of the README and of the documentation run as printed and print what it says."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from jaxscale import cli

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = {page.relative_to(ROOT): page.read_text() for page in [README, *ROOT.glob("docs/**/*.md")]}


def blocks(pattern):
    """What a pattern finds on any page, once however many pages show it."""
    found = {}
    for page, text in PAGES.items():
        for number, match in enumerate(re.findall(pattern, text, re.DOTALL | re.MULTILINE)):
            found.setdefault(match, f"{page}-{number}")
    return [pytest.param(match, id=name) for match, name in found.items()]


PYTHON = r"^```python\n(.*?)^```\n+```text\n(.*?)^```$"


@pytest.mark.parametrize("example", blocks(PYTHON))
def test_python_example_prints_the_block_below_it(example, tmp_path, monkeypatch, request):
    code, printed = example
    if "README" not in request.node.name:  # whose example is compiled, as a reader's is
        request.getfixturevalue("solved_by_numpy")
    monkeypatch.chdir(tmp_path)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "example", "exec"), {})
    assert out.getvalue() == printed


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_python_example_says_what_it_prints(page):
    assert len(re.findall(PYTHON, PAGES[page], re.DOTALL | re.MULTILINE)) == PAGES[page].count(
        "```python\n"
    )


def test_the_readme_is_short():
    assert len(README.read_bytes()) <= 6_000
    code, _ = re.findall(PYTHON, README.read_text(), re.DOTALL | re.MULTILINE)[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 10


@pytest.mark.parametrize("spec", blocks(r"^```toml\n(.*?)^```$"))
def test_a_specification_is_one(spec, tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text(spec)
    with pytest.raises(SystemExit) as ended:
        cli.main(["sweep", str(path), "--dry-run"])
    assert not ended.value.code


def console_examples():
    shown = {}
    for block in blocks(r"^```console\n(.*?)^```$"):
        for part in re.split(r"^\$ ", block.values[0], flags=re.MULTILINE)[1:]:
            command, printed = part.split("\n", 1)
            shown[command] = pytest.param(command, printed, id=command)
    return list(shown.values())


@pytest.mark.parametrize(("command", "printed"), console_examples())
def test_console_example_prints_what_the_page_shows(command, printed, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    program, *arguments = shlex.split(command)
    assert program == "jaxscale"
    with contextlib.suppress(SystemExit):
        cli.main(arguments)
    shown = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert "\n".join(shown).strip() == printed.strip()


def test_as_many_published_numbers_are_listed_as_the_page_says():
    rows = (ROOT / "tests" / "published" / "README.md").read_text().splitlines()
    ends = [row.rsplit("|", 2)[1].strip() for row in rows if row.startswith("| ")][2:]
    page = (ROOT / "docs" / "published.md").read_text()
    told = re.search(r"(\d+) published numbers, .*?: (\d+) come out", page, re.DOTALL)
    assert told is not None
    assert [len(ends), len(ends) - ends.count("no")] == [int(x) for x in told.groups()]
