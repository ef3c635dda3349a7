"""`jaxscale allocations`: every published split of a budget, in a table, in full and as JSON."""

import json

import pytest

import jaxscale as js
from jaxscale import allocations

pytest.importorskip("typer")


def words(text):
    """The words of a text, however it was wrapped."""
    return " ".join(text.split())


def rows(out):
    return {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}


def test_every_allocation_is_on_a_line_with_its_exponents(command):
    code, out, err = command("allocations")
    assert (code, err) == (0, "")
    found = rows(out)
    for entry in allocations.catalog():
        row = found[entry.name]
        assert [float(x) for x in row[1:3]] == pytest.approx(entry.exponents, abs=5e-5)
        assert (row[-1] == "-") == (entry.allocation is None)
        if entry.params_interval is not None:
            low, high, level = entry.params_interval
            assert f"{low:g} to {high:g} ({100 * level:g} %)" in " ".join(row)
    assert found["kaplan2020"][-2:] == ["816B", "217B"]  # 1.3e9 (5.88e23 / 8.64e19)^0.73
    assert "5.88e23 FLOPs" in out


def test_sizes_are_those_of_the_budget_that_is_given(command):
    out = command("allocations", "--flops", "1e21").out
    # G (C / 6)^a of the law of Besiroglu et al. 2024, computed apart.
    assert rows(out)["besiroglu2024"][-2:] == ["2.78B", "59.9B"]


@pytest.mark.parametrize("entry", allocations.catalog(), ids=lambda entry: entry.name)
def test_one_allocation_is_printed_in_full(command, entry):
    code, out, err = command("allocations", entry.name)
    assert (code, err) == (0, "")
    assert entry.source.split(",")[0] in words(out)
    assert entry.params_convention in words(out)
    assert entry.flops_convention in words(out)
    assert ("formula" in out) == (entry.allocation is not None)
    for text in entry.errata:
        assert text[:40] in words(out)


def test_a_formula_is_in_the_unit_of_its_paper(command):
    assert "params = 1.3e+09 (C / 8.64e+19)^0.73 " in words(
        command("allocations", "kaplan2020").out
    )
    assert "tokens = 0.299 C^0.537 " in words(command("allocations", "llama3").out)


def test_json_has_the_same_numbers_and_null_for_what_is_not_published(command):
    record = json.loads(command("allocations", "--json", "--flops", "1e21").out)
    assert record["flops"] == 1e21
    found = {each["name"]: each for each in record["allocations"]}
    assert list(found) == [entry.name for entry in allocations.catalog()]
    assert found["hoffmann2022_c4"]["params"] is None
    one = json.loads(command("allocations", "deepseek", "--json", "--flops", "1e21").out)
    head = {"command": "allocations", "version": js.__version__}
    assert {**head, "flops": 1e21, **found["deepseek2024"]} == one
    # 0.1715 C^0.5243 / 6.
    assert one["params"] == pytest.approx(0.1715 * 1e21**0.5243 / 6)
    assert one["tokens"] / one["params"] == pytest.approx(one["tokens_per_param"])


def test_mistakes_are_said_in_a_line(command):
    code, out, err = command("allocations", "besirolu2024")
    assert (code, out) == (2, "")
    assert "NAME: unknown allocation 'besirolu2024' (did you mean besiroglu2024?)" in err
    assert command("allocations", "--flops", "0").code == 2


def test_a_budget_beyond_all_sizes_has_none(command):
    record = json.loads(command("allocations", "llama3", "--json", "--flops", "1e-320").out)
    assert record["params"] is None
