"""Files of published facts: those that are shipped, and a user's own."""

import dataclasses
import textwrap

import pytest

import jaxscale as js
from jaxscale import published
from jaxscale.published.entry import NOT_STATED
from jaxscale.published.load import _READERS, KINDS

OURS = """
[laws.ours2026]
form = "Chinchilla"
E = 1.69
A = 406.4
B = 410.7
alpha = 0.336
beta = 0.283
source = "our runs of 2026"
"""


def written(folder, text):
    path = folder / "ours.toml"
    path.write_text(text, "utf-8")
    return path


def example():
    """The indented lines of the package's docstring."""
    lines = (published.__doc__ or "").splitlines()
    return textwrap.dedent("\n".join(line for line in lines if line.startswith("    ")))


def test_the_documented_file_is_used_like_the_shipped_ones(tmp_path):
    (entry,) = published.read(written(tmp_path, example()))
    law = js.laws.published("sardana2024")
    assert entry.name == "ours2026"
    assert entry.law == law
    assert entry.source == "our runs of 2026, table.csv"
    assert entry.params_range == (70e6, 16e9)
    assert not entry.in_range(js.minimize_loss(entry.law, 1e21))  # no range of tokens is stated
    assert published.find("law", [entry], "Ours2026") is entry


def test_whatever_describes_an_entry_can_be_in_a_file(tmp_path):
    more = """
    standard_errors = { E = 0.02, A = 120, B = 1300, alpha = 0.015, beta = 0.02 }
    covariance = [[1.0, 0.5], [0.5, 2.0]]
    tokens_range = [1e9, 1e11]
    errata = ["One fault.", "Another."]
    aliases = ["ours"]
    loss_scale = "in bits per byte"
    """
    (entry,) = published.read(written(tmp_path, OURS + more))
    assert entry.loss_scale == "in bits per byte"
    (row,) = js.compare_laws([entry], loss=2.0).rows
    assert row.reason == "its loss is in bits per byte: use params instead of loss"
    assert entry.standard_errors == js.laws.Chinchilla(0.02, 120, 1300, 0.015, 0.02)
    assert entry.covariance == ((1.0, 0.5), (0.5, 2.0))
    assert entry.tokens_range == (1e9, 1e11)
    assert entry.errata == ("One fault.", "Another.")
    assert entry.aliases == ("ours",)


def test_an_allocation_is_given_by_scales_or_a_law_or_has_exponents_alone(tmp_path):
    text = """
    [allocations.scales]
    form = "from_params"
    scale = 0.1
    exponent = 0.5
    source = "ours"

    [allocations.law]
    form = "from_law"
    law = "besiroglu2024"
    source = "ours"

    [allocations.exponents]
    exponents = [0.5, 0.5]
    source = "ours"
    """
    scales, law, exponents = published.read(written(tmp_path, text))
    assert scales.allocation == js.allocations.from_params(0.1, 0.5)
    assert law.allocation == js.allocations.published("besiroglu2024")
    assert exponents.allocation is None
    with pytest.raises(ValueError, match=r"allocations\.law: unknown law 'besirolu2024'"):
        published.read(written(tmp_path, text.replace("roglu", "rolu")))


def test_an_accelerator_of_ones_own_is_one(tmp_path):
    text = """
    [accelerators.Ours-1]
    vendor = "Us"
    peak_flops = { bf16 = 250e12, fp8 = 500e12 }
    memory_bytes = 64e9
    memory_bandwidth = 2e12
    quotes = [{ dollars_per_hour = 0.9, date = "2026-01", source = "our invoice" }]
    source = "our data sheet"
    """
    (entry,) = published.read(written(tmp_path, text))
    device = entry.accelerator
    assert (device.name, device.source, device.price) == ("Ours-1", "our data sheet", 0.9)
    assert js.Costs.on(train=device, serve=device, serve_precision="fp8").train > 0
    text = text.replace("bf16", "bf61")
    with pytest.raises(ValueError, match=r"accelerators\.Ours-1: .*no precision 'bf61'.*bf16"):
        published.read(written(tmp_path, text))


@pytest.mark.parametrize("kind", KINDS)
def test_shipped_entries_have_sources_and_names_of_their_own(kind):
    entries = published.shipped(kind)
    names = [name.lower() for each in entries for name in (each.name, *each.aliases)]
    assert len(set(names)) == len(names) >= 3
    assert all(each.source != NOT_STATED for each in entries)
    assert published.shipped(kind) is entries


MISTAKES = {
    "not TOML": ("E = ", "not TOML"),
    "kind": (OURS.replace("laws.", "law."), r"unknown kind 'law' \(did you mean laws\?\); known: "),
    "no table": ("laws = 3", "laws must be a table; got 3"),
    "no entry": ("[laws]\nE = 1.69", r"laws\.E: .*must be a table; got 1\.69"),
    "form": (
        OURS.replace("Chin", "Chim"),
        r"laws\.ours2026: unknown form 'Chimchilla' \(did you mean Chinchilla\?\); known: Chinchi",
    ),
    "no form": (OURS.replace("form", "# form"), "form is missing; known: Chinchilla, "),
    "number missing": (OURS.replace("beta", "# beta"), r"laws\.ours2026: beta is missing"),
    "number misspelt": (
        OURS.replace("beta", "betta"),
        r"unknown key 'betta' \(did you mean beta\?\); the form has E, A, B, alpha, beta",
    ),
    "key misspelt": (OURS + "toknizer = 'GPT-2'", r"'toknizer' \(did you mean tokenizer\?\)"),
    "no number": (OURS.replace("1.69", "'1.69'"), "E must be a finite number; got '1.69'"),
    "a truth": (OURS.replace("1.69", "true"), "E must be a finite number; got True"),
    "not finite": (OURS.replace("1.69", "nan"), "E must be a finite number; got nan"),
    "no source": (OURS.replace("source", "# source"), r"laws\.ours2026: source is missing"),
    "text": (OURS.replace('"our runs of 2026"', "2026"), "source must be text; got 2026"),
    "range": (OURS + "params_range = [2, 1]", "params_range must be above 0 and ascending"),
    "pair": (OURS + "params_range = [2]", r"params_range must be two numbers; got \[2\]"),
    "list": (OURS + "errata = 'One.'", "errata must be a list; got 'One.'"),
    "matrix": (OURS + "covariance = [[1, 2]]", "covariance must be square"),
    "errors": (OURS + "standard_errors = { E = 1 }", "A is missing"),
    "interval": (OURS + "params_interval = { low = 1 }", "must have low, high, level"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_place(mistake, tmp_path):
    text, said = MISTAKES[mistake]
    with pytest.raises(ValueError, match=rf"ours\.toml: .*{said}"):
        published.read(written(tmp_path, text))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"cannot read '.*none\.toml': No such file"):
        published.read(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"bytes\.toml: not text"):
        published.read(tmp_path / "bytes.toml")


def test_every_field_of_an_entry_is_read_or_made():
    """No key of a file goes to a form because a reader was forgotten."""
    made = {"name", "law", "allocation", "accelerator", "architecture", "release"}
    made |= {"standard_errors"}
    of_fits = {"unidentified", "directions", "draws"}
    names = {field.name for field in dataclasses.fields(published.Entry)}
    assert names - made - of_fits == set(_READERS)
