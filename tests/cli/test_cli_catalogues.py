"""`jaxscale laws` and `jaxscale hardware`: everything that is known, with its source."""

import pytest

import jaxscale as js
from jaxscale._numerics.quantities import count
from jaxscale.laws.protocol import levers_of

pytest.importorskip("typer")


def words(text):
    """The words of a text, however it was wrapped."""
    return " ".join(text.split())


def test_every_law_is_listed_with_its_runs_under_the_equation_of_its_family(command):
    code, out, err = command("laws")
    assert (code, err) == (0, "")
    family, under = "", {}
    for line in filter(str.strip, out.splitlines()):
        if line.startswith("   "):
            under[line.split()[0]] = family, line
        else:
            family = line
    for entry in js.laws.catalog():
        family, row = under[entry.name]
        assert family.startswith(f" {type(entry.law).__name__}: ")
        assert entry.law.equation.split()[0] in family
        assert all(lever in family for lever in levers_of(entry.law))
        for limits in filter(None, (entry.params_range, entry.tokens_range)):
            assert count(limits[0]) in row
            assert count(limits[1]) in row


def test_an_equation_in_the_list_ends_where_it_goes_on_to_define_terms(command):
    out = command("laws").out
    family = "Muennighoff: L(N, D, U) = E + A / N'^alpha + B / D'^beta; lever unique_tokens"
    assert f" {family}" in out.splitlines()


@pytest.mark.parametrize("entry", js.laws.catalog(), ids=lambda entry: entry.name)
def test_one_law_is_printed_in_full(command, entry):
    code, out, err = command("laws", entry.name)
    assert (code, err) == (0, "")
    # Long words may be cut where a line ends; short facts are whole.
    assert entry.source.split(",")[0] in words(out)
    assert entry.params_convention in words(out)
    assert entry.law.equation in words(out)
    for name, value in vars(entry.law).items():
        assert f" {name} {value:.10g} " in words(out)
    for lever in levers_of(entry.law):
        assert f" lever {lever}, " in words(out)
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
