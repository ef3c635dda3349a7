"""Tables of results in text, HTML and pandas."""

import sys

import pytest

from jaxscale._display import dataframe, html, table
from jaxscale._numerics.quantities import cents, short, short_scientific


def test_a_table_aligns_names_to_the_left_and_numbers_to_the_right():
    text = table(("law", "E", "note"), [("a", "1.69", "of runs"), ("longer", "12.7", "")])
    assert text.splitlines() == [
        "law        E  note",
        "---------------------",
        "a       1.69  of runs",
        "longer  12.7",
    ]


@pytest.mark.parametrize("count", [0, 1, 25, 26, 1000])
def test_no_table_is_longer_than_30_lines_and_each_says_how_many_rows_are_missing(count):
    rows = [(str(i), "1") for i in range(count)]
    text = table(("index", "x"), rows, title="Numbers")
    assert len(text.splitlines()) <= 30
    assert (f"... and {count - 25:,} more" in text) == (count > 25)
    assert (f"... and {count - 25:,} more" in html(("index", "x"), rows)) == (count > 25)
    assert text == table(("index", "x"), rows[:25], title="Numbers", total=count)


def test_a_long_cell_is_cut_and_line_ends_become_blanks():
    (line,) = table(("",), [("a\n" + "b" * 100,)]).splitlines()
    assert line == "a " + "b" * 55 + "..."


def test_html_escapes_every_text():
    text = html(("<a>",), [("<b>",)], title="<c>")
    assert "<a>" not in text
    assert "<b>" not in text
    assert "<c>" not in text
    assert text.startswith("<table><caption>&lt;c&gt;</caption>")


def test_a_dataframe_has_the_columns_in_order():
    frame = dataframe({"law": ["a", "b"], "E": [1.0, 2.0]})
    assert list(frame.columns) == ["law", "E"]
    assert frame["E"].tolist() == [1.0, 2.0]


def test_without_pandas_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxscale\[all\]'"):
        dataframe({})


@pytest.mark.parametrize(
    ("x", "text", "power"),
    [(1e10, "10B", "1e10"), (1.5e12, "1.5T", "1.5e12"), (3e21, "3e21", "3e21"), (0, "0", "0")],
)
def test_short_numbers_have_no_zeros_at_the_end(x, text, power):
    assert short(x) == text
    assert short_scientific(x) == power


@pytest.mark.parametrize(
    ("price", "text"),
    [
        (2.0, "$2.00"),
        (1.234, "$1.23"),
        (0.5, "$0.50"),
        (0.125, "$0.125"),
        (0.0045, "$0.0045"),
        (0.0, "$0.00"),
        (12345.678, "$12345.68"),
    ],
)
def test_a_price_of_less_than_some_cents_keeps_its_digits(price, text):
    assert cents(price) == text
