"""Tables of the terminal: names and numbers stay whole, whatever the width."""

import re

import pytest

pytest.importorskip("rich")

from jaxscale.cli import tables

HEADER = ("law", "95 % interval", "hoffmann2022_unrounded", "note")
NAME, INTERVAL = "porian2024_refinedweb_last_layer", "0.454 to 0.455"
ROWS = [(NAME, INTERVAL, "1.693", "the plan lies outside the runs"), ("x", "", "1", "")]


@pytest.fixture
def lines(capsys, monkeypatch):
    """The lines of a table, in a terminal so wide or in a pipe."""

    def printed(width=None, header=HEADER):
        monkeypatch.setenv("COLUMNS", str(width or 80))
        monkeypatch.delenv("NO_COLOR", raising=False)
        if width:
            monkeypatch.setenv("FORCE_COLOR", "1")
        tables.print_columns(header, ROWS, words=("note",))
        return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()

    return printed


def test_in_a_pipe_each_row_is_one_line(lines):
    head, _, first, second = (line for line in lines() if line.strip())
    assert head.split("  ") != [head]
    assert all(name in head for name in HEADER)
    assert all(cell in first for cell in ROWS[0])
    assert second.split() == ["x", "1"]


@pytest.mark.parametrize("width", [20, 60, 90, 200])
def test_in_a_terminal_names_and_numbers_stay_whole(lines, width):
    found = lines(width)
    (row,) = (line for line in found if NAME in line)
    assert INTERVAL in row
    assert "1.693" in row
    assert "hoffmann2022_" in "".join(found)
    if width >= 90:
        assert max(map(len, found)) <= width


def test_a_wide_terminal_breaks_nothing(lines):
    assert any(all(name in line for name in HEADER) for line in lines(200))


def test_facts_are_one_line_each_in_a_pipe(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    tables.print_facts([("about", "a word " * 40), ("about", "another")])
    assert len(capsys.readouterr().out.splitlines()) == 2
