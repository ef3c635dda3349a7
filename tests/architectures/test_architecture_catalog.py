"""The catalogue of architectures, by name."""

import numpy as np
import pytest

from jaxscale.architectures import Architecture, catalog, entry, published


def test_every_entry_has_a_name_a_source_and_a_shape():
    names = [each.name for each in catalog()]
    assert len(set(names)) == len(names)
    for each in catalog():
        assert each.source.split(",")[0].split()[-1].isdigit(), each.name  # authors and a year
        assert isinstance(each.architecture, Architecture)
        assert np.isfinite(each.architecture.params)
        assert entry(each.name.upper()) is each


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(
        ValueError, match=r"unknown architecture 'lama-2-7b' \(did you mean llama-2"
    ):
        published("lama-2-7b")
    with pytest.raises(ValueError, match="unknown architecture 7; known: gpt2, "):
        published(7)
