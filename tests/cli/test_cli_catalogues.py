"""`jaxscale laws` and `jaxscale hardware`: everything that is known, with its source."""

import re

import pytest

import jaxscale as js
from jaxscale.laws import Chinchilla
from jaxscale.laws.protocol import levers_of
from jaxscale.published.facts import coefficients, range_text

pytest.importorskip("typer")


def words(text):
    """The words of a text, however it was wrapped."""
    return " ".join(text.split())


def test_every_law_is_listed_with_its_coefficients_or_its_equation_and_levers(command):
    code, out, err = command("laws")
    assert (code, err) == (0, "")
    lines = [line.replace(",", "").split() for line in out.splitlines() if line.strip()]
    rows = {line[0]: line for line in lines}
    for entry in js.laws.catalog():
        row = rows[entry.name]
        if isinstance(entry.law, Chinchilla):
            assert float(row[1]) == pytest.approx(entry.law.E, rel=1e-3)
            assert float(row[5]) == pytest.approx(entry.law.beta, rel=1e-3)
        else:
            assert row[1:3] == entry.law.equation.replace(",", "").split()[:2]
            assert set(levers_of(entry.law)) <= set(row)


def test_an_equation_in_the_list_ends_where_it_goes_on_to_define_terms(command):
    out = command("laws").out
    (row,) = [line for line in out.splitlines() if "muennighoff2023_repeated" in line]
    assert re.split("  +", row.strip())[1] == "L(N, D, U) = E + A / N'^alpha + B / D'^beta"


@pytest.mark.parametrize("entry", js.laws.catalog(), ids=lambda entry: entry.name)
def test_one_law_is_printed_in_full(command, entry):
    code, out, err = command("laws", entry.name)
    assert (code, err) == (0, "")
    # Long words may be cut where a line ends; short facts are whole.
    assert entry.source.split(",")[0] in words(out)
    assert entry.params_convention in words(out)
    assert entry.law.equation in words(out)
    for name, value in coefficients(entry.law).items():
        assert f" {name} {value:.10g} " in words(out)
    if levers_of(entry.law):
        listed = (f"{name}, {range_text(x)}" for name, x in levers_of(entry.law).items())
        assert f" lever {' '.join(listed)} " in words(out)
    for text in entry.errata:
        assert text[:40] in words(out)
    if entry.standard_errors is not None:
        assert f"B {entry.standard_errors.B:.4g}" in words(out)
    if entry.covariance is not None:
        assert f"{entry.covariance[0][0]:.3g}" in out
        assert f"{entry.covariance[4][4]:.3g}" in out


def test_a_law_is_found_by_its_alias(command):
    assert "sardana2024" in command("laws", "devries2023").out


def test_every_accelerator_is_listed(command):
    code, out, err = command("hardware")
    assert (code, err) == (0, "")
    for device in js.hardware.catalog():
        assert f" {device.name} " in out
    (row,) = [line for line in out.splitlines() if " A100-80GB " in line]
    assert row.split() == ["A100-80GB", "312", "624", "80", "2.04", "1.39", "to", "2.45"]


@pytest.mark.parametrize("device", js.hardware.catalog(), ids=lambda device: device.name)
def test_one_accelerator_is_printed_in_full(command, device):
    code, out, err = command("hardware", device.name)
    assert (code, err) == (0, "")
    assert device.name in out
    for precision, peak in device.peak_flops.items():
        assert f"{precision} {peak / 1e12:g}" in words(out)
    for quote in device.quotes:
        assert f"${quote.dollars_per_hour:.2f} an hour, {quote.date}" in words(out)
    assert device.note[:30] in words(out)
    default = "none" if device.price is None else f"${device.price:.2f}"
    assert f"default price {default}" in words(out)
