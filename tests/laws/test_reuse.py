"""Constants of data reuse: laws and names that take them."""

import jax
import numpy as np
import pytest

import jaxscale as js
from jaxscale.laws import Reuse, repeated

BASE = js.laws.published("besiroglu2024")


def test_a_law_of_repeated_data_has_the_losses_of_its_base():
    law = repeated(BASE, Reuse(R_D=20.0, R_N=7.0))
    once = law.loss(1e8, 2e11, unique_tokens=1e15)
    assert float(once) == pytest.approx(float(BASE.loss(1e8, 2e11)), rel=1e-6)
    assert (law.R_D, law.R_N) == (20.0, 7.0)


def test_constants_are_taken_by_name_with_a_plus_and_from_another_law():
    law = repeated(BASE, "prabhudesai2025_diffusion")
    assert law == repeated("besiroglu2024", "prabhudesai2025_diffusion")
    assert law == js.laws.published("besiroglu2024+prabhudesai2025_diffusion")
    assert law == repeated(repeated(BASE, "muennighoff2023"), "prabhudesai2025_diffusion")


def test_an_entry_tells_both_sources_and_that_losses_are_not_comparable():
    entry = js.laws.entry("Besiroglu2024+Prabhudesai2025_Diffusion")
    assert entry.name == "besiroglu2024+prabhudesai2025_diffusion"
    assert "Besiroglu" in entry.source
    assert "Table 1b" in entry.source
    assert any("512.85" in each for each in entry.errata)
    assert entry.loss_scale
    assert not js.laws.entry("besiroglu2024+muennighoff2023").loss_scale
    assert entry.covariance is None


def test_a_fit_in_a_file_takes_them_with_its_resamples(tmp_path):
    runs = js.fitting.simulate(BASE, 60, key=1)
    fit = js.fit(js.laws.Chinchilla, runs)
    path = tmp_path / "ours.json"
    fit.save(path, js.bootstrap(fit, resamples=4, key=1))
    entry = js.laws.entry(f"{path}+muennighoff2023")
    assert entry.law == repeated(fit.law, "muennighoff2023")
    assert {np.shape(x) for x in jax.tree.leaves(entry.draws)} == {(4,)}


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"unknown part 'muenighoff2023' .*muennighoff2023"):
        js.laws.published("besiroglu2024+muenighoff2023")
    with pytest.raises(ValueError, match="unknown law 'besiroglu2023'"):
        js.laws.published("besiroglu2023+muennighoff2023")
    with pytest.raises(
        ValueError, match="law must be a Chinchilla law, or one of repeated data; got Kaplan"
    ):
        js.laws.published("kaplan2020+muennighoff2023")
    with pytest.raises(TypeError, match="must be a Chinchilla law"):
        repeated(js.laws.published("kaplan2020"), "muennighoff2023")
    with pytest.raises(TypeError, match="reuse must be a name"):
        repeated(BASE, 15.4)  # pyright: ignore[reportArgumentType]
