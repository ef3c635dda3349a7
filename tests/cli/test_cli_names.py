"""Names from files and options reach the terminal and the pictures as they are written."""

import json
import os
from pathlib import Path

import pytest

import jaxscale as js
from jaxscale.sweeping.store import copies

pytest.importorskip("typer")
pytest.importorskip("pandas")

# Markup, an escape sequence, a right-to-left override, and formulas, one of them broken.
NASTY = "[/][bold]\x1b[31m\u202e $x$ $\\frac{$"
SHOWN = "[/][bold]\\x1b[31m\\u202e $x$ $\\frac{$"


def is_plain(text):
    return all(char.isprintable() or char == "\n" for char in text)


@pytest.fixture
def store(tmp_path):
    """A small stored sweep whose attributes can be overwritten."""
    for extra in ("zarr", "tensorstore", "xarray", "matplotlib"):
        pytest.importorskip(extra)
    path = tmp_path / (NASTY.replace("/", "").replace("\\", "") + ".zarr")
    js.sweep(lambda x: {"y": 2 * x}, js.Grid(x=js.linspace(1.0, 2.0, 3)), store=path)
    copies.path_in(path).unlink()  # which would call what is overwritten below damaged

    def overwrite(**attributes):
        for file in (path / "zarr.json", *path.glob("*/zarr.json")):
            record = json.loads(file.read_text())
            record["attributes"].update(attributes)
            file.write_text(json.dumps(record))
        return path

    return overwrite


def test_a_store_cannot_steer_the_terminal_or_the_picture(command, store, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    path = store(conditions=NASTY, units=NASTY, long_name=NASTY)
    code, out, err = command("show", str(path))
    assert (code, err) == (0, "")
    assert is_plain(out)
    assert out.count(SHOWN) >= 3  # conditions, and the units of the axis and the field
    assert list(path.parent.glob("*.png"))
    assert not list(path.parent.glob(".*"))


def test_a_store_of_attributes_of_other_types_is_shown(command, store):
    code, _, err = command("show", str(store(conditions=[5], units={"a": 1}, long_name=7)))
    assert (code, err) == (0, "")
    code, out, err = command("resume", str(store(specification=[5])))
    assert (code, out) == (2, "")
    assert "was not begun from a specification" in err


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = NASTY.replace("/", "") + ".csv"
    rows = "".join(f"{n}e9,{n}e10,{4 - n / 10}\n" for n in (1, 2, 3))
    Path(name).write_text(f"train/loss,model.params,{NASTY}\n{rows}", "utf-8")
    return name


@pytest.mark.parametrize(
    ("where", "answer"),
    [
        ("train/loss > 9e9", "holds for none of 3 rows"),
        ("model.params > 2e10 and `train/loss` < 0", "holds for none of 3 rows"),
        (f"`{NASTY}` > 9", "holds for none of 3 rows"),
        ("train/los > 1", "no column 'train/los' (did you mean train/loss?); the columns are"),
        ("loss.__class__ > 1", "no column 'loss.__class__'"),
        ("model.params.__class__ > 1", "'model.params.__class__' is not allowed"),
    ],
)
def test_where_takes_the_columns_that_tables_have(command, runs, where, answer):
    columns = ("--params", "train/loss", "--tokens", "model.params", "--loss", NASTY)
    code, out, err = command("fit", runs, *columns, "--where", where)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert is_plain(err)
    assert answer in err


def test_the_names_of_columns_in_a_mistake_are_plain(command, runs):
    code, _, err = command("fit", runs, "--params", "N")
    assert code == 2
    assert is_plain(err)
    assert SHOWN in err


@pytest.mark.skipif(os.sep == "\\", reason="a backslash parts folders")
def test_a_store_with_a_backslash_is_refused_before_any_work(command, tmp_path):
    path = tmp_path / "a\\b.zarr"
    code, out, err = command("sweep", "--store", str(path))
    assert (code, out) == (2, "")
    assert "has a backslash, which no store may have" in err

    def scenario(x):
        raise AssertionError("traced")

    with pytest.raises(ValueError, match="store must be a path without backslashes"):
        js.sweep(scenario, js.Grid(x=js.linspace(1.0, 2.0, 3)), store=path)
    assert not list(tmp_path.iterdir())
