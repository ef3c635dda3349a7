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


# --- Groups ----------------------------------------------------------------------------------

GROUPS = {
    "first": [("hoffmann2022_unrounded", "9.51B", "within the runs"), ("x", "1", "")],
    "a second heading, of many words": [("y", "22.0T", "far beyond the runs of that law")],
}


@pytest.fixture
def groups(capsys, monkeypatch):
    """The lines of groups, in a terminal so wide or in a pipe."""

    def printed(width=None, marks=None):
        monkeypatch.setenv("COLUMNS", str(width or 80))
        monkeypatch.delenv("NO_COLOR", raising=False)
        if width:
            monkeypatch.setenv("FORCE_COLOR", "1")
        tables.print_groups(("law", "tokens\nper param", "note"), GROUPS, marks or {})
        lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
        return [line.rstrip() for line in lines]

    return printed


def test_rows_stand_under_the_heading_of_their_group(groups):
    assert groups() == [
        "                              tokens",
        "   law                     per param  note",
        f" {68 * '─'}",
        " first",
        "   hoffmann2022_unrounded      9.51B  within the runs",
        "   x                               1",
        " a second heading, of many words",
        "   y                           22.0T  far beyond the runs of that law",
        "",
    ]


@pytest.mark.parametrize("width", [40, 56, 80])
def test_in_a_narrow_terminal_words_go_beneath_the_row(groups, width):
    found = groups(width)
    assert max(map(len, found)) <= width
    (row,) = (line for line in found if "hoffmann2022_unrounded" in line)
    assert "9.51B" in row
    assert ("within the runs" in row) == (width >= 56)
    (last,) = (line for line in found if "22.0T" in line)
    assert last.endswith("law") == (width >= 80)
    beneath = " ".join(found[found.index(last) :]).split()
    assert beneath[-7:] == GROUPS["a second heading, of many words"][0][2].split()


@pytest.mark.parametrize("width", [40, 56, 80, None])
def test_in_a_narrow_terminal_marks_stand_for_phrases(groups, width):
    found = groups(width, {"within the runs": "*"})
    (row,) = (line for line in found if "hoffmann2022_unrounded" in line)
    assert row.endswith("9.51B *" if width in (40, 56) else "9.51B  within the runs")


def test_a_reason_that_does_not_fit_is_shortened(capsys, monkeypatch):
    reasons = [("a, b", "far too many words for a line", "too long"), ("c", "none", "none")]
    tables.print_reasons(reasons)
    assert capsys.readouterr().out.splitlines() == [
        "  a, b: far too many words for a line",
        "  c: none",
    ]
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "30")
    tables.print_reasons(reasons)
    assert capsys.readouterr().out.splitlines() == ["  a, b: too long", "  c: none"]
