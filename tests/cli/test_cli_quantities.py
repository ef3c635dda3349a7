"""Numbers as people write them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxscale._written import (
    count,
    dollars,
    dollars_per_hour,
    duration,
    nonnegative,
    percent,
    positive,
    scientific,
    share,
)

WRITTEN = {
    "7B": 7e9,
    "7b": 7e9,
    "70 B": 70e9,
    " 70B ": 70e9,
    "1.5T": 1.5e12,
    "4.35M": 4_350_000.0,
    "12k": 12e3,
    "2Q": 2e15,
    "2e12": 2e12,
    "2E+12": 2e12,
    "1e-3": 1e-3,
    "1_000_000": 1e6,
    "1,000,000": 1e6,
    "1,234.5": 1234.5,
    ".336": 0.336,
    "5.": 5.0,
    "007": 7.0,
    "1.89": 1.89,
}
NONSENSE = (
    "",
    " ",
    "seven",
    "B",
    "7BB",
    "7 B B",
    "7G",
    "1,5T",
    "1,00",
    ",100",
    "1__0",
    "_1",
    "1.2.3",
    "1e",
    "e9",
    "1e9B",
    "0x10",
    "nan",
    "inf",
    "-inf",
    "1/2",
    "7B\n8B",
    "٣",
    "½",
    "--loss",
)
magnitudes = st.floats(1e-2, 1e17)


@pytest.mark.parametrize(("text", "value"), WRITTEN.items())
def test_numbers_are_read_as_people_write_them(text, value):
    assert positive(text) == value


@pytest.mark.parametrize("text", NONSENSE)
def test_nonsense_is_refused_with_what_to_write(text):
    with pytest.raises(ValueError, match="is not a number; write it like 7B"):
        nonnegative(text)


@pytest.mark.parametrize("text", ["7G", "7 bn", "1.5 million", "7BB"])
def test_an_unknown_suffix_is_refused_with_those_that_are_known(text):
    with pytest.raises(ValueError, match=r"1,000,000; known suffixes: K, M, B, T, Q$"):
        positive(text)


@pytest.mark.parametrize("text", ["-1", "-7B", "- 1e9", "\N{MINUS SIGN}3"])
def test_negative_numbers_are_refused_as_negative(text):
    with pytest.raises(ValueError, match="must not be negative"):
        nonnegative(text)


@pytest.mark.parametrize("text", ["1e999", "9e307T", "1e-400"])
def test_what_float64_cannot_hold_is_refused(text):
    with pytest.raises(ValueError, match=r"beyond the range|not a number"):
        nonnegative(text)


def test_zero_is_a_demand_but_not_a_size():
    assert nonnegative("0") == nonnegative("0.0e5") == 0
    with pytest.raises(ValueError, match="'0' must be greater than zero"):
        positive("0")


@pytest.mark.parametrize(
    ("text", "value"), [("0.4", 0.4), ("40%", 0.4), ("100 %", 1.0), ("1", 1.0)]
)
def test_shares_are_read_with_and_without_percent(text, value):
    assert share(text) == value


@pytest.mark.parametrize("text", ["50", "101%", "1.01", "1B", "0", "-5%", "%", "fifty"])
def test_shares_outside_their_range_are_refused(text):
    with pytest.raises(ValueError, match=r"share of the peak|zero|negative|not a number"):
        share(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30d", 2_592_000), ("1.5 h", 5400), ("90min", 5400), ("50ms", 0.05), ("2W", 1_209_600)],
)
def test_times_have_a_unit(text, seconds):
    assert duration(text) == pytest.approx(seconds, rel=1e-15)


@pytest.mark.parametrize(
    "text", ["", "30", "d", "30m", "30 fortnights", "1d1h", "0d", "-1d", "9Qd"]
)
def test_times_without_a_unit_or_out_of_range_are_refused(text):
    with pytest.raises(ValueError, match=r"not a time|not a number|zero|negative"):
        duration(text)


def test_prices_may_carry_a_dollar_sign():
    assert dollars_per_hour("$2.50") == dollars_per_hour("2.50") == 2.5


@given(magnitudes)
def test_plain_floats_are_read_exactly(x):
    assert positive(repr(x)) == x


@given(st.integers(1, 10**17), st.sampled_from([",", "_", ""]))
def test_integers_are_read_with_any_grouping(n, separator):
    assert positive(f"{n:{separator}}") == float(n)


@given(st.decimals(1, 999, places=2), st.sampled_from("KMBTQkmbtq"), st.sampled_from(["", " "]))
def test_a_suffix_moves_the_point_exactly(digits, suffix, space):
    power = {"k": 3, "m": 6, "b": 9, "t": 12, "q": 15}[suffix.lower()]
    assert positive(f"{digits}{space}{suffix}") == float(f"{digits}e{power}")


@given(st.floats(1e-30, 1e40))
def test_what_is_printed_can_be_read_again_to_three_digits(x):
    for written in (count(x), scientific(x), dollars(x).removeprefix("$")):
        # Half a unit in the third digit of 1.00, and the rounding of float64.
        assert math.isclose(positive(written), x, rel_tol=0.00501)


@given(st.floats(1e3, 0.999e18))
def test_counts_are_three_digits_and_a_suffix(x):
    written = count(x)
    assert written[-1] in "KMBTQ"
    assert len(written[:-1].replace(".", "")) == 3
    assert 1 <= float(written[:-1]) < 1000


@pytest.mark.parametrize(
    ("x", "written"),
    [
        (7e9, "7.00B"),
        (1.556e12, "1.56T"),
        (999.6e6, "1.00B"),
        (41.6e9, "41.6B"),
        (190.7, "191"),
        (60.8, "60.8"),
        (0.456, "0.456"),
        (4.86e23, "4.86e23"),
        (1e-7, "1.00e-7"),
        (0, "0"),
    ],
)
def test_counts_as_tables_print_them(x, written):
    assert count(x) == written


@pytest.mark.parametrize(
    ("x", "written"),
    [(1890, "$1.89K"), (4.52e6, "$4.52M"), (23.8e6, "$23.8M"), (2.5, "$2.50"), (0, "$0")],
)
def test_dollars_as_tables_print_them(x, written):
    assert dollars(x) == written


@pytest.mark.parametrize(
    ("x", "written"),
    [
        (0.1195, "12 %"),
        (0.0911, "9.1 %"),
        (0.0026, "0.26 %"),
        (0.9999, "100 %"),
        (-0.35, "-35 %"),
        (-2e-16, "0.00 %"),
    ],
)
def test_percentages_have_two_digits(x, written):
    assert percent(x) == written
